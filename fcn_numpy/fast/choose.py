"""Which algorithm computes a convolution."""

from __future__ import annotations

from contextvars import ContextVar

import numpy as np

from fcn_numpy.fast import bands, winograd
from fcn_numpy.window import Window

# Set by `fcn_numpy.convolution.algorithm`, whose docstring says what the names mean.
CHOICE: ContextVar[str] = ContextVar("algorithm", default="auto")


def on() -> bool:
    """Return whether the textbook is to call the functions of this package."""
    return CHOICE.get() != "plain"


def conv2d(
    x: np.ndarray, w: np.ndarray, window: Window, bias: np.ndarray | None = None
) -> np.ndarray:
    """Compute `fcn_numpy.conv2d`."""
    if _takes_winograd(x.dtype, w.shape[:2], window):
        return winograd.conv2d(x, w, window.padding, bias)
    return bands.conv2d(x, w, window, bias)


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, window: Window, out: np.ndarray
) -> np.ndarray:
    """Compute `fcn_numpy.conv2d_weight` into `out`."""
    if _takes_winograd(x.dtype, out.shape[:2], window):
        return winograd.conv2d_weight(x, grad_y, window.padding, out)
    return bands.conv2d_weight(x, grad_y, window, out)


def _takes_winograd(dtype, channels, window):
    return CHOICE.get() == "auto" and winograd.applies(dtype, channels, window)
