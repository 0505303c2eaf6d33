"""The backbones and networks by name, and the backbone that weights belong to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.variants import FCN8s, FCN8sAtOnce, FCN16s, FCN32s
from fcn_numpy.models.vgg import TINY, VGG, VGG16

# Under the names that the command line knows.
BACKBONES: dict[str, type[VGG]] = {"tiny": TINY, "vgg16": VGG16}
MODELS: dict[str, type[FCN]] = {
    "fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s, "fcn8satonce": FCN8sAtOnce
}


def backbone_of(state: Mapping[str, np.ndarray]) -> type[VGG]:
    """Find the backbone that weights belong to, by the shape of fc6.

    Parameters
    ----------
    state : dict of str to ndarray
        The state_dict of a classifier or of an FCN.

    Returns
    -------
    type of VGG
        One of `BACKBONES`.

    Raises
    ------
    ValueError
        If they belong to none of them.
    """
    if "fc6.weight" not in state:
        raise ValueError(
            "expected the weights of an FCN or of a VGG classifier, fc6.weight among their names, "
            f"got {', '.join(list(state)[:6]) or 'none'}"
        )
    shape = np.shape(state["fc6.weight"])
    expected = []
    for backbone in BACKBONES.values():
        width, channels, k = backbone.fc_width, backbone.widths[-1], backbone.fc_kernel
        shapes = (width, channels, k, k), (width, channels * k * k)
        if shape in shapes:
            return backbone
        expected.append(f"{shapes[0]} or {shapes[1]}, that of {backbone.name}")
    raise ValueError(f"expected fc6.weight of shape {', or '.join(expected)}, got {shape}")
