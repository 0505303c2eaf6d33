"""Look up backbones and networks by name, and find the backbone that weights belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from fcn_numpy.files import shown
from fcn_numpy.models.alexnet import ALEXNET
from fcn_numpy.models.backbone import StagedBackbone
from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.variants import FCN8s, FCN8sAtOnce, FCN16s, FCN32s
from fcn_numpy.models.vgg import TINY, VGG16

# The keys are the names that the command line takes.
BACKBONES: dict[str, type[StagedBackbone]] = {
    "tiny": TINY, "vgg16": VGG16, "alexnet": ALEXNET,
}
MODELS: dict[str, type[FCN]] = {
    "fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s, "fcn8satonce": FCN8sAtOnce
}

# torchvision's networks by their number of convolutions.
TORCHVISION_VGGS = {8: "vgg11", 10: "vgg13", 13: "vgg16", 16: "vgg19"}


def backbone_of(state: Mapping[str, np.ndarray]) -> type[StagedBackbone]:
    """Find the backbone that weights belong to, by the shape of fc6.

    Parameters
    ----------
    state : dict of str to ndarray
        The state_dict of a classifier or of an FCN.

    Returns
    -------
    type of StagedBackbone
        One of `BACKBONES`.

    Raises
    ------
    ValueError
        If the weights do not belong to any of them.
    """
    refuse_other_vggs(state)
    if "fc6.weight" not in state:
        raise ValueError(
            "expected the weights of an FCN or of a classifier, with fc6.weight among the names, "
            f"got {listed(list(state)[:6])}"
        )
    shape = np.shape(state["fc6.weight"])
    expected = []
    for backbone in BACKBONES.values():
        width, channels, k = backbone.fc_width, backbone.widths[-1], backbone.fc_kernel
        shapes = (width, channels, k, k), (width, channels * k * k)
        if shape in shapes:
            return backbone
        expected.append(f"{shapes[0]} or {shapes[1]} for {backbone.name}")
    raise ValueError(f"expected fc6.weight of shape {', or '.join(expected)}, got {shape}")


def refuse_other_vggs(state: Mapping[str, np.ndarray]) -> None:
    """Raise an error for weights of a torchvision VGG other than VGG16.

    `fcn_numpy.weights.our_names` leaves their names as they are.

    Parameters
    ----------
    state : dict of str to ndarray

    Raises
    ------
    ValueError
        If the weights belong to VGG11, VGG13 or VGG19, or to a VGG with batch normalization.
    """
    layers = {name: value for name, value in state.items() if name.startswith("features.")}
    convolutions = sum(np.ndim(value) == 4 for value in layers.values())
    name = TORCHVISION_VGGS.get(convolutions)
    if any(layer.endswith(".running_mean") for layer in layers):
        name = name and f"{name}_bn"
    if name not in (None, "vgg16"):
        raise ValueError(
            f"these look like the weights of torchvision's {name} ({convolutions} convolutions); "
            "expected VGG16 without batch normalization"
        )


def listed(names: Iterable[str]) -> str:
    """Format names of weights, which may be anything, for a message."""
    return ", ".join(shown(name, 40) for name in names) or "none"
