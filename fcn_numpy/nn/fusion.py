"""Crop, Sum, Concat: how maps are laid onto each other and fused; Scale."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair, check_array, check_dtype, pair
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class Crop(Module):
    """Cut from x a piece of the size of `like`, from row and column `offset` on.

    ``y = x[:, :, oy : oy + H, ox : ox + W]``, where (H, W) is the size of `like`. The result is
    a view of x. Backward puts the gradient back where it was cut and zeros around it; `like`
    only gives a size and gets no gradient.

    Parameters
    ----------
    offset : int or pair of int
        Height first. Where it comes from: `fcn_numpy.geometry.Grid.offset_of`.
    """

    def __init__(self, offset: int | Pair):
        self.offset = pair(offset, "offset")

    def _check_fits(self, size, like_size):
        if any(o + n > s for o, n, s in zip(self.offset, like_size, size)):
            raise ValueError(
                f"Crop expected x of at least offset {self.offset} + size {tuple(like_size)}, "
                f"got size {tuple(size)}"
            )

    def forward(self, x: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Return a view of x, shape (N, C, *like.shape[2:])."""
        check_array(x, "Crop: x", ("N", "C", "H", "W"))
        check_array(like, "Crop: like", ("N", "C", "H", "W"))
        self._check_fits(x.shape[2:], like.shape[2:])
        self._keep(x.shape, like.shape[2:], x.dtype)
        (top, left), (h, w) = self.offset, like.shape[2:]
        return x[:, :, top : top + h, left : left + w]

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        shape, (h, w), dtype = self._take()
        self._check_grad(grad, (*shape[:2], h, w), dtype)
        grad_x = np.zeros(shape, grad.dtype)
        top, left = self.offset
        grad_x[:, :, top : top + h, left : left + w] = grad
        return grad_x

    def trace(self, x: FeatureMap, like: FeatureMap) -> FeatureMap:
        """Describe the output."""
        self._check_fits(x.size, like.size)
        return x.to(x.channels, like.size, x.grid.cropped(self.offset))


class Sum(Module):
    """``y = a + b``: fuse two maps of the same shape. The gradient goes to both unchanged."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a + b."""
        check_array(a, "Sum: a", (...,))
        check_array(b, "Sum: b", a.shape)
        check_dtype(b, "Sum: b", a.dtype, "a")
        self._keep(a.shape, a.dtype)
        return a + b

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of a and b."""
        self._check_grad(grad, *self._take())
        return grad, grad

    def trace(self, a: FeatureMap, b: FeatureMap) -> FeatureMap:
        """Describe the output; the two maps must lie on the same grid."""
        if (a.shape, a.grid.scale, a.grid.shift) != (b.shape, b.grid.scale, b.grid.shift):
            raise ValueError(
                f"Sum expected two maps of one shape on one grid, got {a.shape} from pixel "
                f"{tuple(map(float, a.grid.shift))} and {b.shape} from "
                f"{tuple(map(float, b.grid.shift))}"
            )
        return a.to(a.channels, a.size, a.grid.fused(b.grid))


class Concat(Module):
    """Lay maps of the same size behind one another: ``y = concatenate(xs)`` along the channels.

    Backward cuts the gradient at the same places.
    """

    def forward(self, *xs: np.ndarray) -> np.ndarray:
        """Return y of shape (N, sum of all C, H, W) for maps of shape (N, C, H, W) each."""
        if not xs:
            raise ValueError("Concat expected at least one map, got none")
        check_array(xs[0], "Concat: map 0", ("N", "C", "H", "W"))
        n, _, h, w = xs[0].shape
        for i, x in enumerate(xs[1:], 1):
            check_array(x, f"Concat: map {i}", (n, "C", h, w))
            check_dtype(x, f"Concat: map {i}", xs[0].dtype, "map 0")
        y = np.concatenate(xs, axis=1)
        self._keep([x.shape[1] for x in xs], y.shape, y.dtype)
        return y

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the gradient of each map."""
        channels, shape, dtype = self._take()
        self._check_grad(grad, shape, dtype)
        return tuple(np.split(grad, np.cumsum(channels)[:-1], axis=1))

    def trace(self, *xs: FeatureMap) -> FeatureMap:
        """Describe the output, which lies where the first map lies."""
        first = xs[0]
        if any(x.size != first.size for x in xs):
            raise ValueError(f"Concat expected maps of one size, got {[x.size for x in xs]}")
        grid = first.grid
        for x in xs[1:]:
            grid = grid.fused(x.grid)
        return first.to(sum(x.channels for x in xs), first.size, grid)


class Scale(Module):
    """``y = factor * x`` with a fixed factor, as FCN-8s-at-once has before its skips' scores.

    Parameters
    ----------
    factor : float
    """

    def __init__(self, factor: float):
        self.factor = float(factor)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return factor * x, of the dtype of x."""
        check_array(x, "Scale: x", (...,))
        self._keep(x.shape, x.dtype)
        return x * x.dtype.type(self.factor)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        self._check_grad(grad, *self._take())
        return grad * grad.dtype.type(self.factor)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe the output."""
        return x
