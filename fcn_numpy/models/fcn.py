"""FCN: a backbone, scores of its feature maps, and their upsampling to the image."""

import os

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy import nn
from fcn_numpy.checks import IntOrPair, check_array, whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models.backbone import Backbone, adopt
from fcn_numpy.models.layers import scoring, upsampling
from fcn_numpy.models.pyramid import PyramidPooling
from fcn_numpy.models.sizes import Sizes
from fcn_numpy.models.skip import Skip, SkipNames
from fcn_numpy.models.vgg import VGG16


class FCN(nn.Module):
    """Fully convolutional network (Long et al., figure 3, section 4), with pytorch-fcn's names.

    The classifier's layers as convolutions (fc6, fc7), then score_fr, turn the coarsest map into
    scores. Each skip fuses a finer map; a subclass says which. Last, they are upsampled by the
    remaining stride and cropped to the image. Strides and crops follow from where each map
    lies in the image (`fcn_numpy.geometry`), for any backbone.

    Parameters
    ----------
    n_class : int
        Classes, background included.
    backbone : type of Backbone
    context : PyramidPooling, optional
        What the output of fc7 passes through before it is scored.
    dropout : float
        Probability with which channels of fc6 and fc7 are dropped in train mode.
    learn_upsampling : bool
        Whether the upsampling weights, bilinear at first, are learned.
    dtype : dtype
        Of the parameters, and so of the images.
    rng : numpy.random.Generator, optional
        Draws weights (as He proposes; score layers start at zero) and dropout.
    """

    skips: tuple[SkipNames, ...] = ()
    upscore_name = "upscore"

    def __init__(
        self, n_class: int = 21, backbone: type[Backbone] = VGG16, *,
        context: PyramidPooling | None = None, dropout: float = 0.5,
        learn_upsampling: bool = False, dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        self.n_class = whole_number(n_class, "n_class", 1)
        self.backbone = backbone
        rng = np.random.default_rng() if rng is None else rng
        self._features = backbone(dtype=dtype, rng=rng)
        # Trace an image large enough for every map to have a cell: strides and crops follow.
        maps = adopt(self, self._features, image := FeatureMap(3, (1024, 1024)))
        self._coarsest = list(maps)[-1]

        channels, width = maps[self._coarsest].channels, backbone.fc_width
        self.fc6 = nn.Conv2d(channels, width, backbone.fc_kernel, dtype=dtype, rng=rng)
        self.relu6 = nn.ReLU(inplace=True)
        self.drop6 = nn.Dropout2d(dropout, rng=rng)
        self.fc7 = nn.Conv2d(width, width, 1, dtype=dtype, rng=rng)
        self.relu7 = nn.ReLU(inplace=True)
        self.drop7 = nn.Dropout2d(dropout, rng=rng)
        head = [self.fc6, self.relu6, self.drop6, self.fc7, self.relu7, self.drop7]
        if context is not None:
            if context.in_channels != width:
                raise ValueError(f"expected a context for {width} channels, the width of fc7, got "
                                 f"one for {context.in_channels}")
            self.context = context.astype(dtype)
            head.append(self.context)
            width = context.out_channels
        self.score_fr = scoring(width, n_class, dtype)
        self._head = nn.Sequential(*head, self.score_fr)

        scores, self._skips = self._head(maps[self._coarsest]), {}
        for names in self.skips:
            if names.pool not in maps:
                raise ValueError(f"expected a skip from {' or '.join(maps)}, got {names.pool}")
            pool = maps[names.pool]
            upscore = upsampling(scores, pool, learn_upsampling, dtype)
            scores = upscore.trace(scores)
            crop = nn.Crop(pool.grid.offset_of(scores.grid))
            skip = Skip(names, upscore, scoring(pool.channels, n_class, dtype), crop)
            self._adopt(skip.children())
            self._skips[names.pool] = skip
        self._upscore = upsampling(scores, image, learn_upsampling, dtype)
        self._adopt([(self.upscore_name, self._upscore)])
        self.crop = nn.Crop(self._upscore.trace(scores).grid.offset_of(image.grid))
        name, stride = f"{type(self).__name__} on {backbone.name}", maps[self._coarsest].grid.scale
        self.sizes = Sizes(name, self._segment, stride)

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Return scores of shape (N, n_class, H, W) for images of shape (N, 3, H, W)."""
        if not isinstance(image, FeatureMap):
            check_array(image, f"{type(self).__name__}: image", ("N", 3, "H", "W"))
        self.sizes.check(image.shape[2:])
        return self._segment(image)

    def _segment(self, image):
        maps = self._features(image)
        scores = self._head(maps[self._coarsest])
        for pool, skip in self._skips.items():
            scores = skip(scores, maps[pool])
        return self.crop(self._upscore(scores), image)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add to the parameters' gradients; return the gradient of the image."""
        grad = self._upscore.backward(self.crop.backward(grad))
        grads = {}
        for pool, skip in reversed(self._skips.items()):
            grad, grads[pool] = skip.backward(grad)
        grads[self._coarsest] = self._head.backward(grad)
        return self._features.backward(grads)

    @classmethod
    def from_file(
        cls, path: str | os.PathLike, n_class: int | None = None, *, trained_on: str = "caffe"
    ) -> "FCN":
        """Make the network with the weights of a file: see `fcn_numpy.models.files.load_as`."""
        from fcn_numpy.models.files import load_as

        return load_as(cls, path, n_class, trained_on)

    def takes(self, size: IntOrPair) -> bool:
        """Return whether the scores would cover an image of this height and width."""
        return self.sizes.take(size)
