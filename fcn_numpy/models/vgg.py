"""Backbones: VGG16, and TINY, which is built the same way."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcn_numpy.nn import Conv2d, MaxPool2d, Module, ReLU, Sequential

# VGG16's layers, stage by stage.
LAYERS = (
    ("conv1_1", "conv1_2", "pool1"),
    ("conv2_1", "conv2_2", "pool2"),
    ("conv3_1", "conv3_2", "conv3_3", "pool3"),
    ("conv4_1", "conv4_2", "conv4_3", "pool4"),
    ("conv5_1", "conv5_2", "conv5_3", "pool5"),
)


class Backbone(Module):
    """A network that offers feature maps, and what an FCN has to know about it.

    A backbone is a class: a network calls it with `dtype` and `rng` and takes over its layers.
    ``forward(image)`` returns the feature maps by name, from fine to coarse; ``backward(grads)``
    takes the gradients of some of them, by name, and returns that of the image. Strides and crops
    are not stated anywhere: `fcn_numpy.geometry` finds them.

    Attributes
    ----------
    name : str
    fc_width, fc_kernel : int
        Channels of fc6 and fc7, and kernel size of fc6: the size of the coarsest map for an image
        of the size that the classifier was made for.
    preprocessing : {"normalise", "subtract_mean"}
        Which function of `fcn_numpy.data` prepares images for it.
    splits_batches : bool
        Whether training splits each batch between processes. The layers of TINY are too small to
        keep several cores busy; those of VGG16 do so in a single process, and their gradient, of
        540 MB, is too large to be sent between processes.
    learns_from_scratch : bool
        Whether it can be trained without pretrained weights.
    image_size : int
        Height and width of the images that examples are computed for.
    """

    name: str
    fc_width: int
    fc_kernel: int
    preprocessing = "normalise"
    splits_batches = True
    learns_from_scratch = True
    image_size = 128

    def forward(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the feature maps by name, from fine to coarse."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def backward(self, grads: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the gradient of the image, given those of some feature maps."""
        raise TypeError(f"{type(self).__name__} defines no backward")


class VGG(Backbone):
    """Stages of 3x3 convolutions, each ending in a 2x2 pool. Subclasses give the numbers.

    Attributes
    ----------
    widths, convs : tuple of int
        Channels and number of convolutions of each stage.
    pad : int
        Padding of conv1_1 in an FCN, so large that after all crops the scores cover the image.
        The other convolutions have 1 and keep their map's size.

    Notes
    -----
    Simonyan and Zisserman, "Very Deep Convolutional Networks" (2014), table 1, column D.
    """

    widths: tuple[int, ...]
    convs: tuple[int, ...] = (2, 2, 3, 3, 3)
    pad: int

    def __init__(
        self, *, pad: int | None = None, dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        rng = np.random.default_rng() if rng is None else rng
        padding = self.pad if pad is None else pad
        most = tuple(len(names) - 1 for names in LAYERS)
        if not len(self.widths) == len(self.convs) == len(LAYERS) or any(
            not 1 <= count <= limit for count, limit in zip(self.convs, most)
        ):
            raise ValueError(
                f"expected five widths, and five convs of at least 1 and at most {most}, got "
                f"{self.widths} and {self.convs}"
            )
        channels = 3
        self._stages = {}
        for (*names, pool), width, count in zip(LAYERS, self.widths, self.convs):
            layers: list[Module] = []
            for name in names[:count]:
                conv = Conv2d(channels, width, 3, padding=padding, dtype=dtype, rng=rng)
                channels, padding = width, 1
                setattr(self, name, conv)
                setattr(self, name.replace("conv", "relu"), relu := ReLU(inplace=True))
                layers += [conv, relu]
            setattr(self, pool, max_pool := MaxPool2d(2, stride=2, ceil_mode=True))
            self._stages[pool] = Sequential(*layers, max_pool)

    def forward(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the maps pool1, pool2, ... of an image."""
        maps, x = {}, image
        for pool, stage in self._stages.items():
            x = maps[pool] = stage(x)
        return maps

    def backward(self, grads: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the gradient of the image."""
        grad = None
        for pool, stage in reversed(self._stages.items()):
            if pool in grads:
                # A fused pool went two ways, to the next stage and into the skip: both count.
                grad = grads[pool] if grad is None else grad + grads[pool]
            grad = stage.backward(grad)
        return grad


class VGG16(VGG):
    """The backbone of the paper's networks."""

    name = "VGG16"
    widths = (64, 128, 256, 512, 512)
    fc_width, fc_kernel, pad = 4096, 7, 100
    preprocessing = "subtract_mean"
    splits_batches = learns_from_scratch = False
    image_size = 224


class TINY(VGG):
    """VGG16 in small, for toy shapes on a laptop: the same layers, an eighth of the channels."""

    name = "TINY"
    widths = (8, 16, 32, 64, 64)
    fc_width, fc_kernel, pad = 128, 3, 17


# Under the names that the command line knows.
BACKBONES: dict[str, type[VGG]] = {"vgg16": VGG16, "tiny": TINY}
