"""Concat: concatenate maps of the same size along the channels."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import check_array
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class Concat(Module):
    """Concatenate maps of the same size along the channels: ``y = concatenate(xs, axis=1)``.

    Backward splits the gradient at the same places.
    """

    def forward(self, *xs: np.ndarray) -> np.ndarray:
        """Return y of shape (N, sum of all C, H, W) for maps of shape (N, C, H, W) each."""
        if not xs:
            raise ValueError("Concat expected at least one map, got none")
        check_array(xs[0], "Concat: map 0", ("N", "C", "H", "W"))
        n, _, h, w = xs[0].shape
        for i, x in enumerate(xs[1:], 1):
            name = f"Concat: map {i}"
            check_array(x, name, (n, "C", h, w), dtype=xs[0].dtype, owner="map 0")
        y = np.concatenate(xs, axis=1)
        self._save([x.shape[1] for x in xs], y.shape, y.dtype)
        return y

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the gradient of each map."""
        channels, shape, dtype = self._take()
        self._check_grad(grad, shape, dtype)
        return tuple(np.split(grad, np.cumsum(channels)[:-1], axis=1))

    def trace(self, *xs: FeatureMap) -> FeatureMap:
        """Describe y, which has the position of the first map."""
        first = xs[0]
        if any(x.size != first.size for x in xs):
            raise ValueError(f"Concat expected maps of the same size, got {[x.size for x in xs]}")
        grid = first.grid
        for x in xs[1:]:
            grid = grid.fused(x.grid)
        return first.to(sum(x.channels for x in xs), first.size, grid)
