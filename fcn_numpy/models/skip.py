"""Skip: fuse a finer feature map into coarser scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fcn_numpy import nn


class SkipNames(NamedTuple):
    """The feature map that a skip fuses, and the names of its layers.

    The layers without weights are named after the map: scale_pool4, crop_pool4, fuse_pool4.

    Attributes
    ----------
    pool : str
        A feature map of the backbone.
    score, upscore : str
        Names of the layer that scores this map and the layer that upsamples the coarser scores.
    scale : float
        Factor that the map is multiplied by before it is scored.
    """

    pool: str
    score: str
    upscore: str
    scale: float = 1.0


class Skip(nn.Module):
    """Fuse a finer map into coarser scores: upsample the scores, score the map, crop it, add.

    Parameters
    ----------
    names : SkipNames
    upscore : ConvTranspose2d
    score : Conv2d
    crop : Crop
    suffix : str
        Ending of all layer names, if a network has several heads.
    """

    def __init__(
        self, names: SkipNames, upscore: nn.ConvTranspose2d, score: nn.Conv2d, crop: nn.Crop,
        suffix: str = "",
    ):
        self._upscore, self._crop, self._fuse = upscore, crop, nn.Sum()
        scoring: list[tuple[str, nn.Module]] = [(names.score, score)]
        if names.scale != 1:
            scoring.insert(0, (f"scale_{names.pool}", nn.Scale(names.scale)))
        self._score = nn.Sequential(*(layer for _, layer in scoring))
        crop_and_sum = (f"crop_{names.pool}", crop), (f"fuse_{names.pool}", self._fuse)
        layers = [(names.upscore, upscore), *scoring, *crop_and_sum]
        self._adopt((f"{name}{suffix}", layer) for name, layer in layers)

    def forward(self, coarse: np.ndarray, pool: np.ndarray) -> np.ndarray:
        """Return the fused scores, at the stride of `pool`."""
        coarse = self._upscore(coarse)
        return self._fuse(coarse, self._crop(self._score(pool), coarse))

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of `coarse` and of `pool`."""
        grad_coarse, grad_fine = self._fuse.backward(grad)
        grad_pool = self._score.backward(self._crop.backward(grad_fine))
        return self._upscore.backward(grad_coarse), grad_pool
