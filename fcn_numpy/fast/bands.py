"""The matrix product with the columns of im2col, a band of output rows at a time.

The columns hold every pixel up to kh * kw times: those of VGG's conv1_2 for an image of 422 x 422
would take 400 MB. So one buffer is filled with the columns of a few rows, multiplied, and filled
again, while it is in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fcn_numpy.fast.threads import SMALL_PRODUCT, share_out
from fcn_numpy.fast.views import windows
from fcn_numpy.window import Window

# Bytes of the buffer: a band must still be in the cache when it is multiplied. Narrow layers get
# bands of at least MIN_CELLS columns, with small products: threads share them.
# Wide layers get bands of at least MAX_CELLS columns, so that BLAS's own threads pay off.
BAND_BYTES = 512 * 1024
MIN_CELLS, MAX_CELLS = 256, 1024


def conv2d(
    x: np.ndarray, w: np.ndarray, window: Window, bias: np.ndarray | None = None
) -> np.ndarray:
    """Compute `fcn_numpy.conv2d`; the bias is added band by band."""
    ho, wo = window.output_size(x.shape[2:])
    matrix = w.reshape(len(w), -1)
    y = np.empty((len(x), len(w), ho * wo), x.dtype)

    def work(bands):
        for image, cells, cols in _columns(x, window, bands):
            band = np.matmul(matrix, cols, out=y[image, :, cells])
            if bias is not None:
                band += bias[:, None]

    share_out(work, *_bands(x, len(w), window))
    return y.reshape(len(x), len(w), ho, wo)


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, window: Window, out: np.ndarray
) -> np.ndarray:
    """Compute `fcn_numpy.conv2d_weight` into `out`, over the same bands as `conv2d`."""
    n, f = grad_y.shape[:2]
    y = grad_y.reshape(n, f, -1)
    matrix = out.reshape(f, -1)
    bands, in_threads = _bands(x, f, window)
    if len(bands) == 1:
        # Write straight into out: for fc6, a temporary would be another 400 MB.
        (image, _, cols), = _columns(x, window, bands)
        np.matmul(y[image], cols.T, out=matrix)
        return out

    def work(bands):
        total = np.zeros(matrix.shape[::-1], x.dtype)
        for image, cells, cols in _columns(x, window, bands):
            # In this order, unlike y @ cols.T, the long matrix is read along its rows.
            total += cols @ np.ascontiguousarray(y[image, :, cells].T)
        return total.T

    first, *others = share_out(work, bands, in_threads)
    matrix[...] = first
    for other in others:
        matrix += other
    return out


class _Band(NamedTuple):
    """Rows of the output of one image, from `top` up to, but not including, `bottom`."""

    image: int
    top: int
    bottom: int


def _bands(x: np.ndarray, f: int, window: Window) -> tuple[list[_Band], bool]:
    """Cut the output into bands; return them, and whether to share them between threads."""
    ho, wo = window.output_size(x.shape[2:])
    taps = x.shape[1] * window.kernel[0] * window.kernel[1]
    cells_in_cache = BAND_BYTES // (taps * x.itemsize)
    cells = min(SMALL_PRODUCT // (f * taps), cells_in_cache)
    in_threads = cells >= max(MIN_CELLS, wo)
    if not in_threads:
        cells = max(cells_in_cache, MAX_CELLS)
    rows = max(1, cells // wo)
    bands = [
        _Band(image, top, min(top + rows, ho))
        for image in range(len(x))
        for top in range(0, ho, rows)
    ]
    return bands, in_threads


def _columns(
    x: np.ndarray, window: Window, bands: Sequence[_Band]
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yield (image, cells, columns) for one band after another.

    `columns` has shape (C * kh * kw, cells) and is overwritten by the next band.
    """
    c, h, w = x.shape[1:]
    (kh, kw), (ph, pw) = window.kernel, window.padding
    _, wo = size = window.output_size((h, w))
    if window == Window((1, 1)):
        for image, top, bottom in bands:
            cells = slice(top * wo, bottom * wo)
            yield image, cells, x[image].reshape(c, -1)[:, cells]  # the map itself
        return
    rows = max(band.bottom - band.top for band in bands)
    buffer = np.empty(c * kh * kw * rows * wo, x.dtype)
    # One padded image at a time: it is still in the cache when its windows are read.
    padded = np.zeros((c, h + 2 * ph, w + 2 * pw), x.dtype) if (ph, pw) != (0, 0) else None
    current, view = -1, buffer
    for image, top, bottom in bands:
        if image != current:
            current, source = image, x[image]
            if padded is not None:
                padded[:, ph : ph + h, pw : pw + w] = source
                source = padded
            view = windows(source, window, size)
        view_of_band = view[..., top:bottom, :]
        cols = buffer[: view_of_band.size].reshape(view_of_band.shape)
        np.copyto(cols, view_of_band)
        yield image, slice(top * wo, bottom * wo), cols.reshape(-1, (bottom - top) * wo)
