"""All windows of a map as a view, at the cost of one call."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.window import Window


def windows(x: np.ndarray, window: Window, size: Pair) -> np.ndarray:
    """Return `Window.windows` of a map that needs no padding.

    Winograd's algorithm asks for hundreds of views in a training step, so this one does without
    the checks of sliding_window_view.

    Parameters
    ----------
    x : ndarray, shape (..., H, W)
    window : Window
        Its padding is not looked at.
    size : (int, int)
        The number of windows that fit, which must be right.

    Returns
    -------
    ndarray, shape (..., kh, kw, *size)
        A read-only view.
    """
    (sh, sw), (dh, dw) = window.stride, window.dilation
    row, column = x.strides[-2:]
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:-2], *window.kernel, *size),
        (*x.strides[:-2], row * dh, column * dw, row * sh, column * sw),
        writeable=False,
    )
