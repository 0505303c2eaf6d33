"""VGG16 (Simonyan and Zisserman, 2014, table 1, column D), and TINY, built the same way."""

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy.models.backbone import StagedBackbone, first_layer
from fcn_numpy.nn import Conv2d, MaxPool2d, Module, ReLU

# VGG16's layers, stage by stage.
LAYERS = (
    "conv1_1 relu1_1 conv1_2 relu1_2 pool1",
    "conv2_1 relu2_1 conv2_2 relu2_2 pool2",
    "conv3_1 relu3_1 conv3_2 relu3_2 conv3_3 relu3_3 pool3",
    "conv4_1 relu4_1 conv4_2 relu4_2 conv4_3 relu4_3 pool4",
    "conv5_1 relu5_1 conv5_2 relu5_2 conv5_3 relu5_3 pool5",
)


class VGG(StagedBackbone):
    """Stages of 3x3 convolutions, each ending in a 2x2 pooling layer. Subclasses set the numbers.

    Attributes
    ----------
    widths, convs : tuple of int
        Channels and number of convolutions of each stage.
    pad : int
        Padding of conv1_1 in an FCN, so that cropped scores cover the image; other layers have 1.
    """

    widths: tuple[int, ...]
    convs: tuple[int, ...] = (2, 2, 3, 3, 3)
    pad: int

    def __init__(
        self, in_channels: int = 3, *, pad: int | None = None, dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        fit = all(1 <= count <= most for count, most in zip(self.convs, VGG.convs))
        if not (fit and len(self.widths) == len(self.convs) == len(LAYERS)):
            raise ValueError(f"expected five widths, and five convs of at least 1 and at most "
                             f"{VGG.convs}, got {self.widths} and {self.convs}")
        rng = np.random.default_rng() if rng is None else rng
        channels, padding = in_channels, self.pad if pad is None else pad
        stages: dict[str, dict[str, Module]] = {}
        first = first_layer("conv1_1", in_channels)
        for line, width, count in zip(LAYERS, self.widths, self.convs):
            names = line.replace("conv1_1", first).split()
            stage: dict[str, Module] = {}
            for conv, relu in zip(names[: 2 * count : 2], names[1::2]):
                stage[conv] = Conv2d(channels, width, 3, padding=padding, dtype=dtype, rng=rng)
                stage[relu] = ReLU(inplace=True)
                channels, padding = width, 1
            stage[names[-1]] = MaxPool2d(2, stride=2, ceil_mode=True)
            stages[names[-1]] = stage
        self._build(stages)


class VGG16(VGG):
    """The backbone of the paper's networks."""

    name = "VGG16"
    widths = (64, 128, 256, 512, 512)
    fc_width, fc_kernel, pad = 4096, 7, 100
    preprocessing = "subtract_mean"
    splits_batches = learns_from_scratch = False
    image_size = 224


class TINY(VGG):
    """A small VGG16 for toy shapes on a laptop: the same layers, far fewer channels."""

    name = "TINY"
    widths = (8, 16, 32, 64, 64)
    fc_width, fc_kernel, pad = 128, 3, 17
