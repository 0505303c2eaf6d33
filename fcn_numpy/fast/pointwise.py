"""ReLU and max-pooling, a piece of the map at a time.

A piece is a few channels of one image. Several operations go over it while it is in the cache, and
threads share the pieces of a large map.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast.finish import rectify
from fcn_numpy.fast.threads import share_out_pieces
from fcn_numpy.window import Window


def relu(x: np.ndarray, y: np.ndarray) -> None:
    """Write max(x, 0) to y, which may be x."""

    def work(index):
        rectify(x[index], y[index])

    share_out_pieces(work, y)


def relu_input(grad: np.ndarray, y: np.ndarray, grad_x: np.ndarray) -> None:
    """Write the gradient of ReLU's input to grad_x, which may be grad."""

    def work(index):
        np.multiply(grad[index], y[index] > 0, out=grad_x[index])

    share_out_pieces(work, grad_x)


def max_pool(
    x: np.ndarray, window: Window, size: Pair, need_winner: bool = False,
    y: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the maximum of each window, and the number of the tap where it is.

    The function builds no windows: it takes the maximum over strided views of x, one for each tap.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    window : Window
    size : (int, int)
        Height and width of the output.
    need_winner : bool
    y : ndarray, optional
        Where to write the maxima.

    Returns
    -------
    y : ndarray, shape (N, C, *size), dtype of x
    winner : ndarray of int, shape of y, or None
        The first tap, if several have the maximum. None without `need_winner`.
    """
    y = np.empty((*x.shape[:2], *size), x.dtype) if y is None else y
    index_dtype = np.min_scalar_type(window.kernel[0] * window.kernel[1] - 1)
    winner = np.empty(y.shape, index_dtype) if need_winner else None
    is_padding = _taps_in_padding(x.shape[2:], window, size)

    def work(index):
        taps = list(_taps(_padded(x[index], window, size), window))
        best = y[index]
        np.copyto(best, taps[0])
        for tap in taps[1:]:
            np.maximum(best, tap, out=best)
        if winner is not None:
            _count_losers(taps, is_padding, best, winner[index])

    share_out_pieces(work, x)
    return y, winner


def max_pool_input(
    grad: np.ndarray, winner: np.ndarray, window: Window, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the gradient of the input of the pooling, which has this shape."""
    (top, left), size = window.padding, shape[2:]
    h, w = _reach(window, grad.shape[2:])
    padded = np.zeros((*shape[:2], max(h, top + size[0]), max(w, left + size[1])), grad.dtype)
    # Windows that do not overlap give each cell at most one gradient.
    apart = all(s >= e for s, e in zip(window.stride, window.extent))

    def work(index):
        for number, tap in enumerate(_taps(padded[index][:, :h, :w], window)):
            if apart:
                np.multiply(grad[index], winner[index] == number, out=tap)
            else:
                tap += grad[index] * (winner[index] == number)

    share_out_pieces(work, padded)
    return padded[:, :, top : top + size[0], left : left + size[1]]


def _reach(window: Window, size: Pair) -> Pair:
    """Return the number of rows and columns of the padded map that the windows cover."""
    h, w = ((o - 1) * s + e for o, s, e in zip(size, window.stride, window.extent))
    return h, w


def _padded(x: np.ndarray, window: Window, size: Pair, fill: float = -np.inf) -> np.ndarray:
    """Return the part of the padded map that windows cover: a view of x, if that is enough."""
    (top, left), (hx, wx), (h, w) = window.padding, x.shape[-2:], _reach(window, size)
    if (top, left) == (0, 0) and h <= hx and w <= wx:
        return x[..., :h, :w]
    padded = np.full((*x.shape[:-2], max(h, top + hx), max(w, left + wx)), fill, x.dtype)
    padded[..., top : top + hx, left : left + wx] = x
    return padded[..., :h, :w]


def _taps(padded: np.ndarray, window: Window) -> Iterator[np.ndarray]:
    """Yield views of the padded map: tap (a, b) of all windows, in reading order."""
    (eh, ew), (sh, sw), (dh, dw) = window.extent, window.stride, window.dilation
    h, w = padded.shape[-2] - eh + 1, padded.shape[-1] - ew + 1
    for a in range(0, eh, dh):
        for b in range(0, ew, dw):
            yield padded[..., a : a + h : sh, b : b + w : sw]


def _taps_in_padding(map_size: Pair, window: Window, size: Pair) -> list[np.ndarray | None]:
    """Return, for each tap, the windows in which it is in the padding; None if there are none."""
    taps = _taps(_padded(np.zeros(map_size, bool), window, size, fill=True), window)
    return [tap if tap.any() else None for tap in taps]


def _count_losers(taps, is_padding, best, winner):
    """Write to `winner` how many taps of each window come before the first that is the best.

    Padding loses even if the best is -inf.
    """
    winner[...] = 0
    losing = np.ones(best.shape, bool)
    for tap, padding in zip(taps[:-1], is_padding):
        below = tap < best
        if padding is not None:
            below |= padding
        losing &= below
        winner += losing
