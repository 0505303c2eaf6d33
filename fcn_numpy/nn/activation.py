"""ReLU: the rectifier."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import check_array
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class ReLU(Module):
    """``y = max(x, 0)``. The gradient passes where x > 0; at exactly 0 it is 0."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, of the shape of x."""
        check_array(x, "ReLU: x", (...,))
        y = np.maximum(x, 0)
        self._keep(y)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        (y,) = self._take()
        self._check_grad(grad, y.shape, y.dtype)
        return grad * (y > 0)

    def kinks(self, x: np.ndarray) -> np.ndarray:
        """Return where x is above 0."""
        return x > 0

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe the output."""
        return x
