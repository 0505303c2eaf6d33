"""Head: turn feature maps into scores of one set of classes, at the size of the image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy import nn
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models.layers import scoring, upsampling
from fcn_numpy.models.skip import Skip, SkipNames


class Head(nn.Module):
    """Score fc7, fuse finer maps one after another, upsample to the image and crop.

    Parameters
    ----------
    n_class : int
    fc7 : FeatureMap
        The map that score_fr scores.
    maps : dict of str to FeatureMap
        The maps of the backbone.
    image : FeatureMap
    skips : tuple of SkipNames
    upscore : str
        Name of the last upsampling layer.
    suffix : str
        Ending of all layer names, if a network has several heads.
    learn_upsampling : bool
    dtype : dtype
    """

    def __init__(
        self, n_class: int, fc7: FeatureMap, maps: Mapping[str, FeatureMap], image: FeatureMap,
        skips: tuple[SkipNames, ...], upscore: str, *, suffix: str, learn_upsampling: bool,
        dtype: DTypeLike,
    ):
        self._score = scoring(fc7.channels, n_class, dtype)
        self._adopt([(f"score_fr{suffix}", self._score)])
        scores, self._skips = self._score(fc7), {}
        for names in skips:
            if names.pool not in maps:
                raise ValueError(f"expected a skip from {' or '.join(maps)}, got {names.pool}")
            pool = maps[names.pool]
            finer = upsampling(scores, pool, learn_upsampling, dtype)
            scores = finer.trace(scores)
            crop = nn.Crop(pool.grid.offset_of(scores.grid))
            skip = Skip(names, finer, scoring(pool.channels, n_class, dtype), crop, suffix)
            self._adopt(skip.children())
            self._skips[names.pool] = skip
        self._upscore = upsampling(scores, image, learn_upsampling, dtype)
        self._crop = nn.Crop(self._upscore.trace(scores).grid.offset_of(image.grid))
        self._adopt([(f"{upscore}{suffix}", self._upscore), (f"crop{suffix}", self._crop)])

    def forward(
        self, fc7: np.ndarray, maps: Mapping[str, np.ndarray], image: np.ndarray
    ) -> np.ndarray:
        """Return scores of shape (N, n_class, H, W)."""
        scores = self._score(fc7)
        for pool, skip in self._skips.items():
            scores = skip(scores, maps[pool])
        return self._crop(self._upscore(scores), image)

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the gradients of `fc7` and of the fused maps."""
        grad = self._upscore.backward(self._crop.backward(grad))
        grads = {}
        for pool, skip in reversed(self._skips.items()):
            grad, grads[pool] = skip.backward(grad)
        return self._score.backward(grad), grads
