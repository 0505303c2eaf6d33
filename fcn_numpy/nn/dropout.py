"""Dropout2d: drop whole channels at random."""

import numpy as np

from fcn_numpy.checks import check_array, fraction
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class Dropout2d(Module):
    """In train mode, set each channel of each image to zero with probability p.

    ``y[n, c] = x[n, c] * keep[n, c] / (1 - p)``: the kept channels are scaled up, so the mean stays
    the same. In eval mode y = x. Neighboring cells are alike: dropping single cells hides little.

    Parameters
    ----------
    p : float
        At least 0 and below 1.
    rng : numpy.random.Generator, optional
        Draws the channels to drop.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None):
        self.p = fraction(p, "p")
        self.rng = np.random.default_rng() if rng is None else rng

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, which has the shape of x, (N, C, ...)."""
        check_array(x, "Dropout2d: x", ("N", "C", ...))
        if not self.training:
            return x
        keep = self.rng.random(x.shape[:2]) >= self.p
        factor = (keep / (1 - self.p)).astype(x.dtype).reshape(keep.shape + (1,) * (x.ndim - 2))
        self._save(factor, x.shape)
        return x * factor

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x, with the same channels dropped."""
        factor, shape = self._take()
        self._check_grad(grad, shape, factor.dtype)
        return grad * factor

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y: a map like x."""
        return x
