"""FCN: a backbone, scores of its feature maps, and their upsampling to the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fcn_numpy import nn
from fcn_numpy.checks import Pair, check_array, whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models.pyramid import PyramidPooling
from fcn_numpy.models.sizes import Sizes
from fcn_numpy.models.vgg import VGG16, Backbone


class SkipNames(NamedTuple):
    """The feature map that a skip fuses, and the names of its two layers with weights."""

    pool: str
    score: str
    upscore: str
    scale: float = 1.0


class Skip(nn.Module):
    """Fuse a finer map into coarser scores: upsample these, score the map, crop it, add.

    Parameters
    ----------
    upscore : ConvTranspose2d
    score : Conv2d
    crop : Crop
    scale : Scale, optional
        Applied to the map before it is scored.
    """

    def __init__(
        self, upscore: nn.ConvTranspose2d, score: nn.Conv2d, crop: nn.Crop,
        scale: nn.Scale | None = None,
    ):
        self.upscore = upscore
        self.score = score
        self.crop = crop
        self.fuse = nn.Sum()
        self._score = nn.Sequential(scale, score) if scale else score

    def forward(self, coarse: np.ndarray, pool: np.ndarray) -> np.ndarray:
        """Return the fused scores, at the stride of `pool`."""
        coarse = self.upscore(coarse)
        return self.fuse(coarse, self.crop(self._score(pool), coarse))

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of `coarse` and of `pool`."""
        grad_coarse, grad_fine = self.fuse.backward(grad)
        grad_pool = self._score.backward(self.crop.backward(grad_fine))
        return self.upscore.backward(grad_coarse), grad_pool


class FCN(nn.Module):
    """Fully convolutional network. Subclasses say which maps they fuse; without, it is FCN-32s.

    The classifier's layers, as convolutions (fc6, fc7), and score_fr give scores at the stride of
    the coarsest feature map. Each skip fuses a finer one. Last, the scores are upsampled by the
    stride that is left and cropped to the image. Strides and crops follow from where each map
    lies in the image (`fcn_numpy.geometry`), for any backbone.

    Parameters
    ----------
    n_class : int
        Classes, background included.
    backbone : type of Backbone
    context : PyramidPooling, optional
        What the output of fc7 passes through before it is scored. Its parameters are context.*.
    dropout : float
        Probability with which channels of fc6 and fc7 are dropped in train mode.
    learn_upsampling : bool
        Whether the upsampling weights, bilinear at first, are learned. If not, their lr_mult is 0.
    dtype : dtype
        Of the parameters, and so of the images.
    rng : numpy.random.Generator, optional
        Draws weights and dropout. Score layers start at zero, upsampling bilinear, the rest as He
        proposes: a network of zeros has no gradient, and would learn only how frequent classes are.

    Notes
    -----
    Long, Shelhamer and Darrell, figure 3 and section 4. Parameter names are pytorch-fcn's.
    """

    skips: Sequence[SkipNames] = ()
    upscore_name = "upscore"

    def __init__(
        self, n_class: int = 21, backbone: type[Backbone] = VGG16, *,
        context: PyramidPooling | None = None, dropout: float = 0.5,
        learn_upsampling: bool = False, dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        self.n_class = whole_number(n_class, "n_class", 1)
        self.backbone = backbone
        rng = np.random.default_rng() if rng is None else rng
        self._features = backbone(dtype=dtype, rng=rng)
        self._adopt(self._features.children())
        # Trace an image so large that every map has a cell: its maps tell strides and crops.
        image = FeatureMap(3, (1024, 1024))
        maps = self._features(image)
        self._coarsest = list(maps)[-1]
        coarsest = maps[self._coarsest]

        width = backbone.fc_width
        self.fc6 = nn.Conv2d(coarsest.channels, width, backbone.fc_kernel, dtype=dtype, rng=rng)
        self.relu6 = nn.ReLU(inplace=True)
        self.drop6 = nn.Dropout2d(dropout, rng=rng)
        self.fc7 = nn.Conv2d(width, width, 1, dtype=dtype, rng=rng)
        self.relu7 = nn.ReLU(inplace=True)
        self.drop7 = nn.Dropout2d(dropout, rng=rng)
        head = [self.fc6, self.relu6, self.drop6, self.fc7, self.relu7, self.drop7]
        if context is not None:
            if context.in_channels != width:
                raise ValueError(
                    f"expected a context for {width} channels, the width of fc7, got one for "
                    f"{context.in_channels}"
                )
            self.context = context.astype(dtype)
            head.append(self.context)
            width = context.out_channels
        self.score_fr = self._scoring(width, dtype)
        self._head = nn.Sequential(*head, self.score_fr)

        scores = self._head(coarsest)
        self._skips = {}
        for names in self.skips:
            if names.pool not in maps:
                raise ValueError(
                    f"expected a skip from one of {', '.join(maps)}, got one from {names.pool}"
                )
            pool = maps[names.pool]
            upscore = self._upsampling(scores, pool, learn_upsampling, dtype)
            score = self._scoring(pool.channels, dtype)
            scores = upscore.trace(scores)
            crop = nn.Crop(pool.grid.offset_of(scores.grid))
            scale = nn.Scale(names.scale) if names.scale != 1 else None
            skip = self._skips[names.pool] = Skip(upscore, score, crop, scale)
            layers = {
                names.upscore: upscore, f"scale_{names.pool}": scale, names.score: score,
                f"crop_{names.pool}": crop, f"fuse_{names.pool}": skip.fuse,
            }
            self._adopt((name, layer) for name, layer in layers.items() if layer)
        self._upscore = self._upsampling(scores, image, learn_upsampling, dtype)
        self._adopt([(self.upscore_name, self._upscore)])
        self.crop = nn.Crop(self._upscore.trace(scores).grid.offset_of(image.grid))
        self.sizes = Sizes(self, coarsest.grid.scale)

    def _scoring(self, channels, dtype):
        with nn.skip_init():
            return nn.Conv2d(channels, self.n_class, 1, dtype=dtype)

    def _upsampling(self, scores, finer, learn, dtype):
        """Make the layer that upsamples scores to the stride of a finer map, bilinearly."""
        factors = [a / b for a, b in zip(scores.grid.scale, finer.grid.scale)]
        if any(f <= 1 or f.denominator != 1 for f in factors):
            raise ValueError("expected skips from coarse to fine, with strides that divide another")
        stride = int(factors[0]), int(factors[1])
        kernel = 2 * stride[0], 2 * stride[1]
        with nn.skip_init():
            layer = nn.ConvTranspose2d(self.n_class, self.n_class, kernel, stride, dtype=dtype)
        # Each class by itself: the kernel stands on the diagonal, zeros elsewhere.
        layer.weight.data[...] = np.eye(self.n_class)[:, :, None, None] * nn.bilinear_kernel(kernel)
        if not learn:
            layer.weight.lr_mult = layer.weight.decay_mult = 0.0
        return layer

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Return scores of shape (N, n_class, H, W) for images of shape (N, 3, H, W).

        Raises ValueError for a size that the backbone's padding cannot bring back to itself, with
        the sizes that it can. VGG16 takes all.
        """
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

    def takes(self, size: int | Pair) -> bool:
        """Return whether images of this height and width can be segmented."""
        return self.sizes.take(size)
