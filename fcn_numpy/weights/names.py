"""Convert the names that other projects give to weights into the names of this package."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Prefixes that wrappers add to all names: DataParallel, torch.compile, or a module that has the
# network as an attribute with such a name.
_PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.")
_MOST_PREFIXES = 8
_CHAINER = {"/W": ".weight", "/b": ".bias"}


def _vgg16_names():
    """Map torchvision's names of VGG16's layers to ours: features.28 is conv5_3."""
    names, place = {}, 0
    for stage, depth in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, depth + 1):
            names[f"features.{place}"] = f"conv{stage}_{number}"
            place += 2  # a ReLU also has a number
        place += 1  # and so does a pooling layer
    names |= {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
    return {f"{a}.{kind}": f"{b}.{kind}" for a, b in names.items() for kind in ("weight", "bias")}


_VGG16 = _vgg16_names()
_FIRST = "conv1_1.weight"


def our_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the same arrays under the names of this package.

    This removes prefixes of all names: ``module.`` (PyTorch's DataParallel), ``_orig_mod.``
    (torch.compile), ``model.``, ``net.``, ``network.`` and anything else before ``conv1_1.weight``.
    It converts ``conv1_1/W`` and ``conv1_1/b`` if all names end this way (Chainer, as wkentaro/fcn
    saves them), and ``features.0.weight`` to ``classifier.6.bias`` (torchvision's VGG16). All other
    names stay the same. Arrays do not change: the weights of a classifier are still matrices.

    Parameters
    ----------
    state : dict of str to ndarray

    Returns
    -------
    dict of str to ndarray
        The arrays, in the same order.

    Raises
    ------
    ValueError
        If two names become the same.
    """
    names = list(state)
    # Limit the number: a malicious name may consist of a million prefixes.
    for _ in range(_MOST_PREFIXES):
        prefix = _common_prefix(names)
        names = [name.removeprefix(prefix) for name in names]
    if all(name[-2:] in _CHAINER for name in names):
        names = [name[:-2] + _CHAINER[name[-2:]] for name in names]
    foreign = [name for name in names if name.startswith(("features.", "classifier."))]
    # VGG11, VGG19 and networks with batch normalization have other numbers: keep their names.
    if set(foreign) <= _VGG16.keys():
        names = [_VGG16.get(name, name) for name in names]
    ours: dict[str, np.ndarray] = {}
    for name, value in zip(names, state.values()):
        if name in ours:
            raise ValueError(f"expected one array for {name}, got two under different names")
        ours[name] = value
    return ours


def _common_prefix(names):
    """Return the prefix of all names: a known one, whatever precedes conv1_1, or nothing."""
    first = next((name for name in names if name.endswith(f".{_FIRST}")), _FIRST)
    if first != _FIRST and all(name.startswith(first[: -len(_FIRST)]) for name in names):
        return first[: -len(_FIRST)]
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in names):
            return prefix
    return ""
