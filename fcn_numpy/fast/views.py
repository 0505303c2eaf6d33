"""Parts and windows of a map, as views where possible."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast.memory import Workspace
from fcn_numpy.window import Window


def windows(x: np.ndarray, window: Window, size: Pair) -> np.ndarray:
    """Return `Window.windows` of a map that needs no padding.

    Winograd's algorithm needs hundreds of views in a training step, so this function omits the
    checks of sliding_window_view.

    Parameters
    ----------
    x : ndarray, shape (..., H, W)
    window : Window
        Its padding is ignored.
    size : (int, int)
        The number of windows that fit, which must be correct.

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


def part_of(x: np.ndarray, rows: Pair, columns: Pair, workspace: Workspace) -> np.ndarray:
    """Return some rows and columns of a map that is surrounded by zeros.

    Parameters
    ----------
    x : ndarray, shape (..., H, W)
    rows, columns : (int, int)
        The first one, and the one after the last; both may be outside x.
    workspace : Workspace

    Returns
    -------
    ndarray, shape (..., rows, columns)
        A view of x if no zeros are needed, otherwise an array of the workspace.
    """
    limits = [(start, stop, n) for (start, stop), n in zip((rows, columns), x.shape[-2:])]
    down, across = (slice(max(start, 0), max(min(stop, n), 0)) for start, stop, n in limits)
    piece = x[..., down, across]
    size = tuple(stop - start for start, stop, _ in limits)
    if piece.shape[-2:] == size:
        return piece
    whole = workspace.array("part of x", *x.shape[:-2], *size, dtype=x.dtype)
    whole[...] = 0
    if piece.size:
        top, left = (max(-start, 0) for start, _, _ in limits)
        whole[..., top : top + piece.shape[-2], left : left + piece.shape[-1]] = piece
    return whole
