"""Backbones as small tables, and how their five stages are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fcn_numpy.nn import Conv2d, MaxPool2d, Module, ReLU, Sequential


@dataclass(frozen=True)
class Backbone:
    """A VGG-like network, as a table.

    Attributes
    ----------
    name : str
    widths : tuple of int
        Channels of each stage.
    convs : tuple of int
        3x3 convolutions in each stage, before its 2x2 pool.
    fc_width : int
        Channels of fc6 and fc7.
    fc_kernel : int
        Kernel of fc6: the size of the last pool's map for an image of the size that the
        classifier was made for.
    pad : int
        Padding of conv1_1 in the FCN. It must be large enough that the upsampled scores cover
        the whole image after the crops.
    """

    name: str
    widths: tuple[int, ...]
    convs: tuple[int, ...]
    fc_width: int
    fc_kernel: int
    pad: int

    def __post_init__(self):
        if not self.widths or len(self.widths) != len(self.convs):
            raise ValueError(
                f"expected as many widths as convs, one for each stage, got {self.widths} and "
                f"{self.convs}"
            )


VGG16 = Backbone("VGG16", (64, 128, 256, 512, 512), (2, 2, 3, 3, 3), 4096, 7, 100)
TINY = Backbone("TINY", (8, 16, 32, 64, 64), (2, 2, 3, 3, 3), 128, 3, 17)


def backbone_of(state: Mapping[str, np.ndarray]) -> Backbone:
    """Return the backbone that weights belong to, VGG16 or TINY, told by the shape of fc6.

    Parameters
    ----------
    state : dict of str to ndarray
        The state_dict of a classifier or of an FCN.

    Raises
    ------
    ValueError
        If it is neither's.
    """
    if "fc6.weight" not in state:
        raise ValueError(
            "expected the weights of an FCN or of a VGG classifier, fc6.weight among their names, "
            f"got {', '.join(list(state)[:6]) or 'none'}"
        )
    shape = np.shape(state["fc6.weight"])
    for backbone in (VGG16, TINY):
        channels, k = backbone.widths[-1], backbone.fc_kernel
        if shape in ((backbone.fc_width, channels, k, k), (backbone.fc_width, channels * k * k)):
            return backbone
    raise ValueError(
        "expected fc6.weight of shape (4096, 512, 7, 7) or (4096, 25088), that of VGG16, or of "
        f"(128, 64, 3, 3) or (128, 576), that of TINY, got {shape}"
    )


def add_stages(
    module: Module,
    backbone: Backbone,
    pad: int,
    dtype: np.typing.DTypeLike,
    rng: np.random.Generator,
) -> list[Sequential]:
    """Set the layers of a backbone's stages as attributes of `module`, conv1_1 to the last pool.

    Parameters
    ----------
    module : Module
        The network that is being built.
    backbone : Backbone
    pad : int
        Padding of conv1_1; every other convolution has 1 and keeps its map's size.
    dtype : dtype
    rng : numpy.random.Generator

    Returns
    -------
    list of Sequential
        The same layers in the order in which they run, one Sequential for each stage.
    """
    stages, channels = [], 3
    for stage, (width, convs) in enumerate(zip(backbone.widths, backbone.convs), 1):
        layers = {}
        for index in range(1, convs + 1):
            first = stage == index == 1
            layers[f"conv{stage}_{index}"] = Conv2d(
                channels, width, 3, padding=pad if first else 1, dtype=dtype, rng=rng
            )
            layers[f"relu{stage}_{index}"] = ReLU()
            channels = width
        layers[f"pool{stage}"] = MaxPool2d(2, stride=2, ceil_mode=True)
        for name, layer in layers.items():
            setattr(module, name, layer)
        stages.append(Sequential(*layers.values()))
    return stages
