"""Crop and Sum: crop one map to the size of another, and fuse them."""

import numpy as np

from fcn_numpy.checks import IntOrPair, Pair, check_array, pair
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class Crop(Module):
    """Crop x to the size of `like`, starting at row and column `offset`.

    ``y = x[:, :, top : top + H, left : left + W]``, a view of x. Only the size (H, W) of `like` is
    used; it gets no gradient.

    Parameters
    ----------
    offset : int or pair of int
        Height first. `fcn_numpy.geometry.Grid.offset_of` computes it.
    """

    def __init__(self, offset: IntOrPair):
        self.offset = pair(offset, "offset")

    def _check_fits(self, size: Pair, like: Pair) -> None:
        if any(o + n > s for o, n, s in zip(self.offset, like, size)):
            raise ValueError(f"Crop expected x of at least offset {self.offset} + size "
                             f"{tuple(like)}, got size {tuple(size)}")

    def forward(self, x: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Return a view of x, shape (N, C, *like.shape[2:])."""
        check_array(x, "Crop: x", ("N", "C", "H", "W"))
        check_array(like, "Crop: like", ("N", "C", "H", "W"))
        self._check_fits(x.shape[2:], like.shape[2:])
        self._save(x.shape, like.shape[2:], x.dtype)
        (top, left), (h, w) = self.offset, like.shape[2:]
        return x[:, :, top : top + h, left : left + w]

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x: grad where y was cropped out, zeros around it."""
        shape, (h, w), dtype = self._take()
        self._check_grad(grad, (*shape[:2], h, w), dtype)
        grad_x, (top, left) = np.zeros(shape, grad.dtype), self.offset
        grad_x[:, :, top : top + h, left : left + w] = grad
        return grad_x

    def trace(self, x: FeatureMap, like: FeatureMap) -> FeatureMap:
        """Describe y."""
        self._check_fits(x.size, like.size)
        return x.to(x.channels, like.size, x.grid.cropped(self.offset))


class Sum(Module):
    """``y = a + b``: fuse two maps of the same shape. The gradient goes to both unchanged."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a + b."""
        check_array(a, "Sum: a", (...,))
        check_array(b, "Sum: b", a.shape, dtype=a.dtype, owner="a")
        self._save(a.shape, a.dtype)
        return a + b

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of a and b."""
        self._check_grad(grad, *self._take())
        return grad, grad

    def trace(self, a: FeatureMap, b: FeatureMap) -> FeatureMap:
        """Describe y; the two maps must be on the same grid."""
        return a.fused(b)
