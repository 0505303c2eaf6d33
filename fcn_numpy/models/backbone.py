"""Backbone: what an FCN requires of the network that computes its feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn import Module, Sequential


class Backbone(Module):
    """A network that computes feature maps, and what an FCN needs to know about it.

    An FCN takes a backbone as a class. It calls the class with `dtype` and `rng`, and with
    `in_channels` if that is not 3. Then it takes over the layers, which must be attributes of the
    backbone. ``forward(image)`` returns the feature maps by name, from fine to coarse.
    ``backward(grads)`` takes the gradients of the coarsest map and of any other maps, by name, and
    returns the gradient of the image. Both only call the layers; the backbone itself has no
    parameters and saves nothing.

    A backbone does not state its strides and crops: `fcn_numpy.geometry` derives them. Pad the
    first layer generously: fc6 has no padding, and a crop cannot begin outside a map.

    Parameters
    ----------
    dtype : dtype
        Data type of the parameters and the images.
    rng : numpy.random.Generator, optional
        Draws the weights.

    Attributes
    ----------
    name : str
    fc_width, fc_kernel : int
        Channels of fc6 and fc7, and kernel size of fc6. The kernel is as large as the coarsest map
        of an image of the classifier's own size (7 for VGG16 and 224 x 224 pixels).
    preprocessing : {"normalize", "subtract_mean"}
        The function of `fcn_numpy.data` that prepares images for the network.
    splits_batches : bool
        Whether training splits each batch between processes. TINY needs this, because its layers
        are too small to keep several cores busy. VGG16 keeps them busy in a single process, and
        its gradient (540 MB) is too large to send between processes.
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
        """Return the gradient of the image, given the gradients of some feature maps."""
        raise TypeError(f"{type(self).__name__} defines no backward")


class StagedBackbone(Backbone):
    """A backbone of stages that run one after another; the output of each stage is a map.

    A subclass passes its layers to `_build`.

    Attributes
    ----------
    widths : tuple of int
        Numbers of channels; the last one belongs to the coarsest map.
    pad : int
        Padding of the first layer in an FCN.
    """

    widths: tuple[int, ...]
    pad: int

    def _build(self, stages: Mapping[str, Mapping[str, Module]]) -> None:
        """Take over the layers of each stage; a stage has the name of the map that it computes."""
        self._stages = {}
        for stage, layers in stages.items():
            self._adopt(layers.items())
            self._stages[stage] = Sequential(*layers.values())

    def forward(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the output of each stage, by the name of the stage."""
        maps, x = {}, image
        for name, stage in self._stages.items():
            x = maps[name] = stage(x)
        return maps

    def backward(self, grads: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the gradient of the image. A map that feeds a skip adds up two gradients."""
        grad: Any = 0.0
        for name, stage in reversed(self._stages.items()):
            grad = stage.backward(grad + grads[name] if name in grads else grad)
        return grad


def first_layer(name: str, in_channels: int) -> str:
    """Return the name of a backbone's first layer, which the authors rename if it sees depth."""
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
        The backbone's feature maps of this image, traced.

    Raises
    ------
    ValueError
        If a layer of the backbone is not an attribute of it, or a parameter does not belong to a
        layer. The network would lose it.
    """
    network._adopt(backbone.children())
    maps = backbone(image)
    known = {id(module) for module in network.modules()}
    lost = [type(layer).__name__ for layer, _, _ in image._steps if id(layer) not in known]
    own = {id(parameter) for parameter in network.parameters()}
    lost += [name for name, p in backbone.named_parameters() if id(p) not in own]
    if lost:
        raise ValueError(
            f"expected all layers of {type(backbone).__name__} to be attributes of it, and all "
            f"parameters to belong to layers, got others: {', '.join(lost[:6])}"
        )
    return maps
