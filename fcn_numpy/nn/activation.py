"""ReLU: the rectifier."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import check_array
from fcn_numpy.fast.threads import share_out_pieces
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class ReLU(Module):
    """``y = max(x, 0)``. The gradient passes where x > 0; at exactly 0 it is 0."""

    can_overwrite = True

    def forward(self, x: np.ndarray, overwrite: bool = False) -> np.ndarray:
        """Return y, of the shape of x; with `overwrite`, in the place of x."""
        check_array(x, "ReLU: x", (...,))
        y = x if overwrite else np.empty(x.shape, x.dtype)

        def work(index):
            np.maximum(x[index], 0, out=y[index])

        share_out_pieces(work, y)
        self._keep(y)
        return y

    def backward(self, grad: np.ndarray, overwrite: bool = False) -> np.ndarray:
        """Return the gradient of x; with `overwrite`, in the place of `grad`."""
        (y,) = self._take()
        self._check_grad(grad, y.shape, y.dtype)
        grad_x = grad if overwrite else np.empty(grad.shape, grad.dtype)

        def work(index):
            np.multiply(grad[index], y[index] > 0, out=grad_x[index])

        share_out_pieces(work, grad_x)
        return grad_x

    def kinks(self, x: np.ndarray) -> np.ndarray:
        """Return where x is above 0."""
        return x > 0

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe the output."""
        return x
