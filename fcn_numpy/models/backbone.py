"""Backbone: what an FCN asks of the network under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn import Module, Sequential


class Backbone(Module):
    """A network that offers feature maps, and what an FCN has to know about it.

    A backbone is a class: a network calls it with `dtype` and `rng`, and with `in_channels` if
    that is not 3, and takes over its layers, which must be attributes. ``forward(image)`` returns
    the feature maps by name, from fine to coarse. ``backward(grads)`` takes the gradients of the
    coarsest map and of any others, by name, and returns that of the image. Both only call the
    layers; the backbone itself has no parameters and saves nothing.

    Strides and crops are not stated anywhere: `fcn_numpy.geometry` finds them. Pad the first layer
    generously: fc6 has no padding, and a crop cannot begin outside a map.

    Parameters
    ----------
    dtype : dtype
        Of the parameters, and so of the images.
    rng : numpy.random.Generator, optional
        Draws the weights.

    Attributes
    ----------
    name : str
    fc_width, fc_kernel : int
        Channels of fc6 and fc7, and kernel size of fc6: the height of the coarsest map for the
        classifier's own images (7 for VGG16 and 224 x 224).
    preprocessing : {"normalize", "subtract_mean"}
        Which function of `fcn_numpy.data` prepares images for it.
    splits_batches : bool
        Whether training splits each batch between processes. The layers of TINY are too small to
        keep several cores busy; those of VGG16 do so in a single process, and their gradient, of
        540 MB, is too large to be sent between processes.
    learns_from_scratch : bool
        Whether it can be trained without pretrained weights.
    image_size : int
        Height and width of the image that `summary` describes by default.
    """

    name: str
    fc_width: int
    fc_kernel: int
    preprocessing = "normalize"
    splits_batches = True
    learns_from_scratch = True
    image_size = 128

    def __init__(
        self, *, dtype: DTypeLike = np.float32, rng: np.random.Generator | None = None
    ):
        raise TypeError(f"{type(self).__name__} defines no __init__")

    def forward(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the feature maps by name, from fine to coarse."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def backward(self, grads: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the gradient of the image, given those of some feature maps."""
        raise TypeError(f"{type(self).__name__} defines no backward")


class StagedBackbone(Backbone):
    """A backbone whose stages run one after another; each offers its result as a map.

    A subclass passes its layers to `_build`.

    Attributes
    ----------
    widths : tuple of int
        Numbers of channels; the last is that of the coarsest map.
    pad : int
        Padding of the first layer in an FCN.
    """

    widths: tuple[int, ...]
    pad: int

    def _build(self, stages: Mapping[str, Mapping[str, Module]]) -> None:
        """Take over the layers of each stage; a stage has the name of the map that it offers."""
        self._stages = {}
        for stage, layers in stages.items():
            self._adopt(layers.items())
            self._stages[stage] = Sequential(*layers.values())

    def forward(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the result of each stage, by its name."""
        maps, x = {}, image
        for name, stage in self._stages.items():
            x = maps[name] = stage(x)
        return maps

    def backward(self, grads: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the gradient of the image. A map that feeds a skip gets two, which are added."""
        grad: Any = 0.0
        for name, stage in reversed(self._stages.items()):
            grad = stage.backward(grad + grads[name] if name in grads else grad)
        return grad


def first_layer(name: str, in_channels: int) -> str:
    """Return the name of a backbone's first layer, which the authors change if it sees depth."""
    return f"{name}_bgrd" if in_channels == 4 else name


def adopt(network: Module, backbone: Backbone, image: FeatureMap) -> dict[str, FeatureMap]:
    """Give a network the layers of its backbone, under their own names.

    Parameters
    ----------
    network : Module
        The network that is being built.
    backbone : Backbone
    image : FeatureMap

    Returns
    -------
    dict of str to FeatureMap
        What the backbone makes of this image, traced.

    Raises
    ------
    ValueError
        If a layer of the backbone is not an attribute, or a parameter belongs to no layer:
        the network would lose it.
    """
    network._adopt(backbone.children())
    maps = backbone(image)
    known = {id(module) for module in network.modules()}
    lost = [type(layer).__name__ for layer, _, _ in image._steps if id(layer) not in known]
    own = {id(parameter) for parameter in network.parameters()}
    lost += [name for name, p in backbone.named_parameters() if id(p) not in own]
    if lost:
        raise ValueError(
            f"expected all layers of {type(backbone).__name__} to be attributes of it, and its "
            f"parameters those of layers, got others: {', '.join(lost[:6])}"
        )
    return maps
