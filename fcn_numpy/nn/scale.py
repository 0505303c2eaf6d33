"""Scale: a fixed factor."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import check_array
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class Scale(Module):
    """Multiply by a fixed factor: ``y = factor * x``, as in the skips of FCN-8s-at-once.

    Parameters
    ----------
    factor : float
    """

    def __init__(self, factor: float):
        self.factor = float(factor)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return factor * x, with the dtype of x."""
        check_array(x, "Scale: x", (...,))
        self._save(x.shape, x.dtype)
        return x * x.dtype.type(self.factor)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        self._check_grad(grad, *self._take())
        return grad * grad.dtype.type(self.factor)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y: a map like x."""
        return x
