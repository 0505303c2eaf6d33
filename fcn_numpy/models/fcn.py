"""FCN: one network over a backbone table and a list of skips."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fcn_numpy.checks import Pair, check_array, pair, whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models.context import PyramidPooling
from fcn_numpy.models.vgg import Backbone, add_stages
from fcn_numpy.nn import (
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout2d,
    Module,
    ReLU,
    Scale,
    Sequential,
    Sum,
    bilinear_kernel,
)


@dataclass(frozen=True)
class _Skip:
    """The layers of one skip: the coarser scores upsampled, the stage's scores, their fusion."""

    stage: int
    upsample: ConvTranspose2d
    score: Sequential
    crop: Crop
    fuse: Sum


class FCN(Module):
    """Fully convolutional network for semantic segmentation.

    Stages of 3x3 convolutions each end in a 2x2 pool. The classifier's layers, as convolutions
    (fc6, fc7), and score_fr give scores at the stride of the last pool, 32. For each skip, coarse
    to fine: upsample the scores by 2, score the earlier pool with a 1x1 convolution, crop it to
    them, add. Last, upsample by the stride that remains and crop to the image.

    Where the crops begin is not written down anywhere: it follows from where each map lies in
    the image (see `fcn_numpy.geometry`), for any backbone.

    Parameters
    ----------
    backbone : Backbone
    skips : sequence of int, or mapping of int to float
        Stages whose pools are fused, one after the other from the last but one: (), (4,), (4, 3)
        for five stages. As a mapping, each with a factor for its pool before it is scored.
    n_class : int
        Classes, background included.
    context : PyramidPooling, optional
        What the coarsest features pass through before they are scored; made for
        ``backbone.fc_width`` channels. Its parameters are named context.*.
    learn_upsampling : bool
        Whether the upsampling weights, bilinear at first, are learnt. If not, their lr_mult is 0.
    dtype : dtype
        Of the parameters, and so of the images.
    rng : numpy.random.Generator, optional
        Draws the weights and what is dropped out. The backbone, fc6 and fc7 start as He has it,
        score layers at zero, upsampling bilinear.

    Notes
    -----
    Long, Shelhamer and Darrell, figure 3 and section 4. Parameter names are pytorch-fcn's.
    Unlike there, the backbone never starts at zero: a network of zeros has no gradient and would
    only learn how frequent each class is.
    """

    def __init__(
        self,
        backbone: Backbone,
        skips: Sequence[int] | Mapping[int, float] = (),
        *,
        n_class: int = 21,
        context: PyramidPooling | None = None,
        learn_upsampling: bool = False,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        factors = dict(skips) if isinstance(skips, Mapping) else dict.fromkeys(skips, 1.0)
        n_stages = len(backbone.widths)
        if tuple(skips) != tuple(range(n_stages - 1, 1, -1))[: len(skips)]:
            raise ValueError(
                f"expected skips from stage {n_stages - 1} on, one by one down to at most 2, got "
                f"{tuple(skips)}"
            )
        self.backbone = backbone
        self.n_class = whole_number(n_class, "n_class", 1)
        self._sizes_that_fit: set = set()
        options = {"dtype": dtype, "rng": np.random.default_rng() if rng is None else rng}

        self._stages = add_stages(self, backbone, backbone.pad, **options)
        width = backbone.fc_width
        self.fc6 = Conv2d(backbone.widths[-1], width, backbone.fc_kernel, **options)
        self.relu6 = ReLU()
        self.drop6 = Dropout2d(rng=options["rng"])
        self.fc7 = Conv2d(width, width, 1, **options)
        self.relu7 = ReLU()
        self.drop7 = Dropout2d(rng=options["rng"])
        head = [self.fc6, self.relu6, self.drop6, self.fc7, self.relu7, self.drop7]
        if context is not None:
            if context.in_channels != width:
                raise ValueError(
                    f"expected a context for {width} channels, the width of fc7, got one for "
                    f"{context.in_channels}"
                )
            # After fc7, so that a pre-trained backbone and classifier fit as they are.
            self.context = context.astype(dtype)
            head.append(self.context)
            width = context.out_channels
        self.score_fr = self._score(width, options)
        self._head = Sequential(*head, self.score_fr)

        # A described image, of a size at which every map has a cell, finds the crop offsets;
        # they are the same for all sizes.
        image = FeatureMap(3, (backbone.fc_kernel * 2**n_stages,) * 2)
        scores, pools = self._coarse_scores(image)
        self._skips = []
        name = "upscore2"
        for stage, factor in factors.items():
            upsample = self._upsampling(name, 2, learn_upsampling, dtype)
            scores = upsample.trace(scores)
            skip = self._skip(stage, factor, upsample, pools[stage].grid, scores.grid, options)
            self._skips.append(skip)
            name = f"upscore_pool{stage}"
        stride = 2 ** (n_stages - len(factors))
        name = f"upscore{stride}" if factors else "upscore"
        self._upsample = self._upsampling(name, stride, learn_upsampling, dtype)
        self.crop = Crop(self._upsample.trace(scores).grid.offset_of(image.grid))

    def _score(self, channels, options):
        score = Conv2d(channels, self.n_class, 1, **options)
        score.weight.data[...] = 0
        return score

    def _upsampling(self, name, factor, learn, dtype):
        size = 2 * factor
        layer = ConvTranspose2d(self.n_class, self.n_class, size, stride=factor, dtype=dtype)
        # Each class by itself: the kernel stands on the diagonal, zeros elsewhere.
        layer.weight.data[...] = np.eye(self.n_class)[:, :, None, None] * bilinear_kernel(size)
        if not learn:
            layer.weight.lr_mult = layer.weight.decay_mult = 0.0
        setattr(self, name, layer)
        return layer

    def _skip(self, stage, factor, upsample, pool_grid, scores_grid, options):
        layers = {
            f"scale_pool{stage}": Scale(factor),
            f"score_pool{stage}": self._score(self.backbone.widths[stage - 1], options),
            f"crop_pool{stage}": Crop(pool_grid.offset_of(scores_grid)),
            f"fuse_pool{stage}": Sum(),
        }
        if factor == 1:
            del layers[f"scale_pool{stage}"]
        for name, layer in layers.items():
            setattr(self, name, layer)
        *scores, crop, fuse = layers.values()
        return _Skip(stage, upsample, Sequential(*scores), crop, fuse)

    def _coarse_scores(self, image):
        """Return score_fr's map, and the pools on the way to it under the number of their stage."""
        x, pools = image, {}
        for number, stage in enumerate(self._stages, 1):
            x = pools[number] = stage(x)
        return self._head(x), pools

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Return scores of shape (N, n_class, H, W) for images of shape (N, 3, H, W).

        Raises
        ------
        ValueError
            For a size that the backbone's padding cannot bring back to itself. The message lists
            the sizes that it can; for VGG16 these are all.
        """
        if not isinstance(image, FeatureMap):
            check_array(image, f"{type(self).__name__}: image", ("N", 3, "H", "W"))
        self._check_size(image.shape[2:])
        return self._segment(image)

    def _segment(self, image):
        scores, pools = self._coarse_scores(image)
        for skip in self._skips:
            coarse = skip.upsample(scores)
            fine = skip.crop(skip.score(pools[skip.stage]), coarse)
            scores = skip.fuse(coarse, fine)
        return self.crop(self._upsample(scores), image)

    def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray | None:
        """Add to the parameters' gradients; return the gradient of the image.

        Parameters
        ----------
        grad : ndarray, shape (N, n_class, H, W)
            Gradient of the scores.
        need_input_grad : bool
            Without it the image's gradient is not computed, and None returned.
        """
        grad = self._upsample.backward(self.crop.backward(grad))
        grad_pools = {}
        for skip in reversed(self._skips):
            grad_coarse, grad_fine = skip.fuse.backward(grad)
            grad_pools[skip.stage] = skip.score.backward(skip.crop.backward(grad_fine))
            grad = skip.upsample.backward(grad_coarse)
        grad = self._head.backward(grad)
        for number in range(len(self._stages), 0, -1):
            if number in grad_pools:
                # The pool went two ways, on to the next stage and into the skip: both count.
                grad = grad + grad_pools[number]
            grad = self._stages[number - 1].backward(grad, need_input_grad or number > 1)
        return grad

    def _check_size(self, size):
        if size in self._sizes_that_fit:
            return
        if not self.takes(size):
            raise ValueError(
                f"{type(self).__name__} on {self.backbone.name} takes images with a height and a "
                f"width of {self.sizes_taken}, got {tuple(size)}"
            )
        self._sizes_that_fit.add(size)

    @functools.cached_property
    def sizes_taken(self) -> str:
        """The heights and widths that the network takes, in words."""
        numbers = range(1, 8 * 2 ** len(self.backbone.widths) + 1)
        return f"{_ranges([n for n in numbers if self.takes(n)])} and so on"

    def takes(self, size: int | Pair) -> bool:
        """Return whether images of this height and width can be segmented.

        Each axis counts for itself: (h, w) is taken if (h, h) and (w, w) are.
        """
        try:
            self._segment(FeatureMap(3, pair(size, "size", 1)))
        except ValueError:
            return False
        return True


def _ranges(numbers: list[int]) -> str:
    """Write whole numbers as ranges: [1, 2, 3, 7] as '1 to 3, 7'."""
    ranges: list[list[int]] = []
    for n in numbers:
        if ranges and n == ranges[-1][1] + 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    return ", ".join(f"{a} to {b}" if a != b else str(a) for a, b in ranges)
