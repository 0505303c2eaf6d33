"""im2col and the matrix product, a band of output rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fcn_numpy.fast.threads import SMALL_PRODUCT, share_out
from fcn_numpy.fast.windows import padded, windows
from fcn_numpy.geometry import output_size

# A band of columns is to stay in the processor's cache between being written and multiplied. Where
# bands of at least MIN_CELLS columns make small products, they are shared out between threads.
# Elsewhere bands have at least MAX_CELLS columns, so that BLAS's own threads are worth their start.
BAND_BYTES = 512 * 1024
MIN_CELLS, MAX_CELLS = 256, 1024


def conv2d(x, w, arguments, bias):
    """Compute C x, plus bias."""
    ho, wo = output_size(x.shape[2:], *arguments)
    matrix = w.reshape(w.shape[0], -1)
    y = np.empty((x.shape[0], w.shape[0], ho * wo), x.dtype)

    def work(bands):
        for image, cells, cols in _columns(x, arguments, bands):
            band = np.matmul(matrix, cols, out=y[image, :, cells])
            if bias is not None:
                band += bias[:, None]

    share_out(work, *_bands(x, len(w), arguments))
    return y.reshape(x.shape[0], w.shape[0], ho, wo)


def conv2d_weight(x, grad_y, arguments, out):
    """Write the gradient of the weight to `out`."""
    n, f = grad_y.shape[:2]
    y = grad_y.reshape(n, f, -1)
    matrix = out.reshape(f, -1)
    bands, small = _bands(x, f, arguments)
    if len(bands) == 1:
        # fc6's weight is 400 MB large: nothing but the product itself.
        (image, _, cols), = _columns(x, arguments, bands)
        np.matmul(y[image], cols.T, out=matrix)
        return out

    def work(bands):
        total = np.zeros(matrix.shape[::-1], x.dtype)
        for image, cells, cols in _columns(x, arguments, bands):
            # This way round, not y @ cols.T, the long matrix is read along its rows.
            total += cols @ np.ascontiguousarray(y[image, :, cells].T)
        return total.T

    first, *others = share_out(work, bands, small)
    matrix[...] = first
    for other in others:
        matrix += other
    return out


class _Band(NamedTuple):
    """Some rows of the output for one image."""

    image: int
    top: int
    bottom: int


def _bands(x, f, arguments):
    """Cut the output into bands; return them, and whether their matrix products are small.

    They are, if bands of a good size can be.
    """
    ho, wo = output_size(x.shape[2:], *arguments)
    taps = x.shape[1] * arguments[0][0] * arguments[0][1]
    in_cache = BAND_BYTES // (taps * x.itemsize)
    cells = min(SMALL_PRODUCT // (f * taps), in_cache)
    small = cells >= max(MIN_CELLS, wo)
    if not small:
        cells = max(in_cache, MAX_CELLS)
    rows = max(1, cells // wo)
    bands = [
        _Band(image, top, min(top + rows, ho))
        for image in range(len(x))
        for top in range(0, ho, rows)
    ]
    return bands, small


def _columns(
    x: np.ndarray, arguments: tuple, bands: Sequence[_Band]
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yield (image, cells, columns) for one band after the other.

    `columns` has shape (C * kh * kw, cells) and is overwritten by the next band.
    """
    kernel, stride, (ph, pw), dilation = arguments
    n, c, h, w = x.shape
    ho, wo = size = output_size((h, w), *arguments)
    plain = kernel == stride == (1, 1) and (ph, pw) == (0, 0)
    rows = max(band.bottom - band.top for band in bands)
    buffer = np.empty(0 if plain else c * kernel[0] * kernel[1] * rows * wo, x.dtype)
    # One padded image at a time: it is still in the cache when its windows are read.
    whole, current = padded(x[bands[0].image], (ph, pw)), bands[0].image
    view = windows(whole, size, kernel, stride, dilation)
    for image, top, bottom in bands:
        cells = slice(top * wo, bottom * wo)
        if plain:
            # The columns of a 1x1 convolution are the map itself.
            yield image, cells, x[image].reshape(c, -1)[:, cells]
            continue
        if image != current:
            current = image
            if whole.shape == x.shape[1:]:
                view = windows(x[image], size, kernel, stride, dilation)
            else:
                whole[:, ph : ph + h, pw : pw + w] = x[image]
        view_of_band = view[..., top:bottom, :]
        cols = buffer[: view_of_band.size].reshape(view_of_band.shape)
        np.copyto(cols, view_of_band)
        yield image, cells, cols.reshape(-1, (bottom - top) * wo)
