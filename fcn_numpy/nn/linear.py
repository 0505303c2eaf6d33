"""Linear and Flatten: the fully connected layers of a classifier."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import check_array, whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.initial import he_normal, zero_bias
from fcn_numpy.nn.module import Module


class Flatten(Module):
    """Flatten the map of each image to one row: (N, C, H, W) becomes (N, C * H * W)."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x of shape (N, C * H * W)."""
        check_array(x, "Flatten: x", ("N", ...))
        self._save(x.shape, x.dtype)
        return x.reshape(len(x), -1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        shape, dtype = self._take()
        self._check_grad(grad, (shape[0], int(np.prod(shape[1:]))), dtype)
        return grad.reshape(shape)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y: one cell that sees the whole map."""
        grid = x.grid.convolved(x.size)
        return x.to(x.channels * x.size[0] * x.size[1], (1, 1), grid)


class Linear(Module):
    """Fully connected layer: ``y = x Wᵀ + bias``.

    Parameters
    ----------
    in_features, out_features : int
        D and F.
    bias : bool
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights: normal, standard deviation ``sqrt(2 / D)`` (He).

    Attributes
    ----------
    weight : Parameter, shape (F, D)
    bias : Parameter, shape (F,), or None
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        self.in_features = whole_number(in_features, "in_features", 1)
        self.out_features = whole_number(out_features, "out_features", 1)
        self.weight = he_normal((out_features, in_features), in_features, dtype, rng)
        self.bias = zero_bias(out_features, dtype) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, F) for x of shape (N, D)."""
        dtype, shape = self.weight.data.dtype, ("N", self.in_features)
        check_array(x, "Linear: x", shape, dtype=dtype, owner="its parameters")
        self._save(x)
        y = x @ self.weight.data.T
        if self.bias is not None:
            y += self.bias.data
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add to the parameters' gradients; return the gradient of x."""
        (x,) = self._take()
        self._check_grad(grad, (len(x), self.out_features), x.dtype)
        self.weight.add_grad(np.matmul(grad.T, x, out=self.weight.buffer))
        if self.bias is not None:
            self.bias.add_grad(grad.sum(axis=0))
        return grad @ self.weight.data

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y: one cell."""
        x.check_channels(self.in_features, "Linear")
        return x.to(self.out_features, (1, 1), x.grid)
