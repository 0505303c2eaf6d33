"""The matrix product with the columns of im2col, a band of output rows at a time.

The columns hold every pixel up to kh * kw times: for VGG's conv1_2 and an image of 422 x 422, they
would take 400 MB. Instead, one buffer is filled with the columns of a few rows, multiplied, and
filled again, so that it stays in the processor's cache.

At stride 1, `fcn_numpy.fast.flat` copies the same columns in longer pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast import blas
from fcn_numpy.fast.finish import Finish
from fcn_numpy.fast.memory import Workspace
from fcn_numpy.fast.threads import LARGE_PRODUCT, SHARERS, even, parts, share_out
from fcn_numpy.fast.views import part_of, windows
from fcn_numpy.window import Window

# Bytes of the buffer: a band must still be in the cache when it is multiplied. A weight larger than
# the cache is read again for each band, which pays off for at least MIN_CELLS columns.
BAND_BYTES = 512 * 1024
MIN_CELLS = 256


def conv2d(
    x: np.ndarray, w: np.ndarray, window: Window, finish: Finish, out: np.ndarray
) -> None:
    """Compute `fcn_numpy.conv2d` into `out`, band by band, and apply `finish` to each band.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    w : ndarray, shape (F, C, kh, kw)
    window : Window
    finish : Finish
    out : ndarray, shape (N, F, Ho, Wo), C order
    """
    f, c = w.shape[:2]
    matrix = w.reshape(f, -1)
    size = window.output_size(x.shape[2:])
    y = out.reshape(len(x), f, -1)

    def work(bands):
        for band, cells, cols in _columns(x, window, bands):
            piece = blas.matmul(matrix[band.filters], cols, out=y[band.image, band.filters, cells])
            finish.apply(piece, band.filters)

    share_out(work, _bands(len(x), (f, c), window, size, x.itemsize))


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, window: Window, out: np.ndarray
) -> np.ndarray:
    """Compute the gradient of the weight of `conv2d` into `out`, over the same bands."""
    (n, f), c = grad_y.shape[:2], x.shape[1]
    y = grad_y.reshape(n, f, -1)
    matrix = out.reshape(f, -1)
    bands = _bands(n, (f, c), window, grad_y.shape[2:], x.itemsize)
    one = n == 1 and bands[0].rows == slice(0, grad_y.shape[2])

    def work(bands):
        if one:
            # Write directly to out: for fc6, a temporary array would take another 400 MB.
            for band, _, cols in _columns(x, window, bands):
                blas.matmul(y[band.image, band.filters], cols.T, out=matrix[band.filters])
            return 0
        total = np.zeros(matrix.shape[::-1], x.dtype)
        for band, cells, cols in _columns(x, window, bands):
            # Unlike y @ cols.T, this order reads the long matrix along its rows.
            total += blas.matmul(cols, np.ascontiguousarray(y[band.image, :, cells].T))
        return total.T

    first, *others = share_out(work, bands)
    if not one:
        matrix[...] = first
        for other in others:
            matrix += other
    return out


class _Band(NamedTuple):
    """Some output rows of one image, and the filters to compute for them."""

    image: int
    rows: slice
    filters: slice


def _bands(n: int, channels: Pair, window: Window, size: Pair, itemsize: int) -> list[_Band]:
    """Cut the output into bands, for `share_out`.

    There are enough bands to keep all threads busy. If everything fits into one band, and there are
    more filters than cells, the threads share the filters, so that none reads the whole weight.
    """
    (f, c), (ho, wo) = channels, size
    taps = c * window.kernel[0] * window.kernel[1]
    large = n * f * taps * ho * wo >= LARGE_PRODUCT
    cells = max(BAND_BYTES // (taps * itemsize), MIN_CELLS)
    high = -(-ho // max(1, cells // wo))
    if n * high == 1 and f > ho * wo:
        sharing = blas.thread_count() if large else 1
        return [_Band(0, slice(0, ho), filters) for filters in parts(f, sharing)]
    high = even(high) if large and n % SHARERS else high
    return [
        _Band(image, rows, slice(0, f)) for image in range(n) for rows in parts(ho, high)
    ]


def _columns(
    x: np.ndarray, window: Window, bands: Sequence[_Band]
) -> Iterator[tuple[_Band, slice, np.ndarray]]:
    """Yield (band, cells, columns) for one band after another.

    `columns` has shape (C * kh * kw, cells). The next band overwrites it.
    """
    c = x.shape[1]
    _, wo = window.output_size(x.shape[2:])
    (eh, ew), (sh, sw), (ph, pw) = window.extent, window.stride, window.padding
    with Workspace.borrow() as workspace:
        for band in bands:
            top, bottom = band.rows.start, band.rows.stop
            cells = slice(top * wo, bottom * wo)
            if window == Window((1, 1)):
                yield band, cells, x[band.image].reshape(c, -1)[:, cells]  # the map itself
                continue
            rows = top * sh - ph, (bottom - 1) * sh - ph + eh
            piece = part_of(x[band.image], rows, (-pw, (wo - 1) * sw - pw + ew), workspace)
            view = windows(piece, window, (bottom - top, wo))
            cols = workspace.array("columns", *view.shape, dtype=x.dtype)
            np.copyto(cols, view)
            yield band, cells, cols.reshape(-1, (bottom - top) * wo)
