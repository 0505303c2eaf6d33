"""ReLU: the rectified linear unit."""

import numpy as np

from fcn_numpy import fast
from fcn_numpy.checks import check_array
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class ReLU(Module):
    """``y = max(x, 0)``. The gradient passes where x > 0; at exactly 0 it is 0.

    Parameters
    ----------
    inplace : bool
        Overwrite x with y, and in backward the gradient of y with that of x. Safe after layers that
        return new arrays, like Conv2d; not after Crop, Flatten, Dropout2d (eval), or before Sum.
    """

    def __init__(self, inplace: bool = False):
        self.inplace = inplace

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, which has the shape of x."""
        check_array(x, "ReLU: x", (...,))
        y = x if self.inplace else np.empty(x.shape, x.dtype)
        if fast.on():
            fast.relu(x, y)
        else:
            np.maximum(x, 0, out=y)
        self._save(y)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return ``grad * (y > 0)``, the gradient of x; infinity times 0 is NaN."""
        (y,) = self._take()
        self._check_grad(grad, y.shape, y.dtype)
        grad_x = grad if self.inplace else np.empty(grad.shape, grad.dtype)
        if fast.on():
            fast.relu_input(grad, y, grad_x)
        else:
            np.multiply(grad, y > 0, out=grad_x)
        return grad_x

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y: a map like x."""
        return x
