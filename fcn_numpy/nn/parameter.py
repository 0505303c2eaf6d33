"""Parameter: an array that is learned, and its gradient."""

from __future__ import annotations

import numpy as np


class Parameter:
    """An array that is learned, and its gradient.

    Parameters
    ----------
    data : ndarray
        The value.
    lr_mult, decay_mult : float
        The optimizer multiplies its learning rate and its weight decay by these, like Caffe's
        fields of the same names. An lr_mult of 0 fixes the parameter.

    Attributes
    ----------
    grad : ndarray, shape and dtype of data
        Sum of the gradients that backward has added since the last `zero_grad`; zeros if none.
    """

    def __init__(self, data: np.ndarray, lr_mult: float = 1.0, decay_mult: float = 1.0):
        self.data = data
        self.lr_mult = lr_mult
        self.decay_mult = decay_mult
        self._grad = np.zeros(data.shape, data.dtype)  # memory is not touched until needed
        self._is_zero = True  # whatever _grad contains: the first read writes zeros

    @property
    def grad(self) -> np.ndarray:  # noqa: D102
        if self._is_zero:
            self._grad[...] = 0
            self._is_zero = False
        return self._grad

    @grad.setter
    def grad(self, value: np.ndarray) -> None:
        if value is not self._grad:  # they are the same after ``parameter.grad /= 2``
            # Copy, because later gradients are computed into this array.
            self._grad = np.array(value, self.data.dtype, order="C")
        self._is_zero = False

    @property
    def buffer(self) -> np.ndarray | None:
        """Array for computing the first gradient after zero_grad without a copy, or None."""
        return self._grad if self._is_zero else None

    def add_grad(self, value: np.ndarray) -> None:
        """Add to the gradient; `value` may have been computed into `buffer`."""
        if self._is_zero and value is self._grad:
            self._is_zero = False
        elif self._is_zero:
            self._grad[...] = value
            self._is_zero = False
        else:
            self._grad += value

    def zero_grad(self) -> None:
        """Set the gradient to zeros."""
        self._is_zero = True

    def __repr__(self) -> str:
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype})"
