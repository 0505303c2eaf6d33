"""AlexNet (Krizhevsky et al., 2012), as Caffe distributes it under the name CaffeNet."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy.models.backbone import StagedBackbone, first_layer
from fcn_numpy.nn import Conv2d, LocalResponseNorm, MaxPool2d, ReLU


class ALEXNET(StagedBackbone):
    """The backbone of FCN-AlexNet (Long et al., table 1).

    It has five convolutions. Three of them have two groups, because AlexNet was trained on two
    graphics cards. The pooling layers overlap: they have 3x3 windows and stride 2. The maps are
    pool1 (stride 8), pool2 (16) and pool5 (32).

    With padding 100, cell i of the coarsest scores is centered at pixel 32 i + 13. To put cells
    onto pixels, upsampling by 32 uses a kernel of size 63, not 64, and the crop is 18.

    Parameters
    ----------
    in_channels : int
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights.

    Attributes
    ----------
    widths : tuple of int
        Channels of the convolutions.
    """

    name = "AlexNet"
    widths: tuple[int, ...] = (96, 256, 384, 384, 256)
    fc_width, fc_kernel, pad = 4096, 6, 100
    preprocessing = "subtract_mean"
    splits_batches = learns_from_scratch = False
    image_size = 227

    def __init__(
        self, in_channels: int = 3, *, dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        conv = functools.partial(Conv2d, dtype=dtype, rng=rng)
        pool = functools.partial(MaxPool2d, 3, 2, ceil_mode=True)
        norm = functools.partial(LocalResponseNorm, 5, alpha=1e-4, beta=0.75)
        one, two, three, four, five = self.widths
        self._build({
            "pool1": {
                first_layer("conv1", in_channels): conv(in_channels, one, 11, 4, self.pad),
                "relu1": ReLU(inplace=True), "pool1": pool(),
            },
            "pool2": {
                "norm1": norm(),
                "conv2": conv(one, two, 5, padding=2, groups=2), "relu2": ReLU(inplace=True),
                "pool2": pool(),
            },
            "pool5": {
                "norm2": norm(),
                "conv3": conv(two, three, 3, padding=1), "relu3": ReLU(inplace=True),
                "conv4": conv(three, four, 3, padding=1, groups=2), "relu4": ReLU(inplace=True),
                "conv5": conv(four, five, 3, padding=1, groups=2), "relu5": ReLU(inplace=True),
                "pool5": pool(),
            },
        })
