"""Columns at stride 1 in long copies: a padded map as one line of cells.

Let the rows of a padded map follow each other in memory, P cells apart. Then tap (a, b) of every
window is a P + b cells after the window's first cell, for all windows of all rows. So a row of
im2col's columns is a slice of the line::

    cols[(c, a, b), l] = line[c, l + a P + b]

The slice is copied in one piece of thousands of cells, not in pieces of one row each. The price is
extra columns for cells that do not exist, where a window runs over the end of its row. Their
products are computed and then ignored.

The zeros to the right of one row are also the zeros to the left of the next row. So P is the width
plus the padding on one side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast import blas
from fcn_numpy.fast.bands import BAND_BYTES
from fcn_numpy.fast.finish import Finish
from fcn_numpy.fast.memory import Workspace
from fcn_numpy.fast.threads import LARGE_PRODUCT, SHARERS, even, parts, share_out
from fcn_numpy.window import Window

# Bytes of a chunk's line: it must still be in the cache when its columns are copied.
LINE_BYTES = 1 << 20
# OpenBLAS has kernels for small products, of up to this many multiplications. They are faster by a
# third if they have at least FEW_CELLS columns.
SMALL_PRODUCT, FEW_CELLS = 1_000_000, 100
# Up to this many filters, the gradient of the weight is y @ cols.T. For more filters, cols @ y.T is
# faster in OpenBLAS, although y.T must be copied: neither matrix has its long axis transposed.
FEW_FILTERS = 8
# With more filters than this, the product takes so long that copying does not matter. In addition,
# the line must not have many more cells than the output.
MAX_FILTERS = 64
MAX_WASTE = 1.4


def applies(filters: int, window: Window, size: Pair) -> bool:
    """Return whether this module can compute a convolution, and faster than `bands`.

    Parameters
    ----------
    filters : int
        How many times each number of the columns is multiplied.
    window : Window
    size : (int, int)
        Height and width of the input.

    Returns
    -------
    bool
    """
    if window.stride != (1, 1) or window.kernel == (1, 1) or filters > MAX_FILTERS:
        return False
    (h, w), (ho, wo) = _line_size(window, size), window.output_size(size)
    return h * w <= MAX_WASTE * ho * wo


def _line_size(window: Window, size: Pair) -> Pair:
    """Return the number of rows of a padded map, and their distance P."""
    ho, wo = window.output_size(size)
    return ho + window.extent[0] - 1, max(size[1] + window.padding[1], wo)


def conv2d(
    x: np.ndarray, w: np.ndarray, window: Window, finish: Finish, out: np.ndarray
) -> None:
    """Compute `fcn_numpy.conv2d` into `out`; parameters as for `bands.conv2d`."""
    matrix = w.reshape(len(w), -1)

    def work(chunks):
        with Workspace.borrow() as workspace:
            for chunk in chunks:
                y = workspace.array("y", len(w), *chunk.shape, dtype=x.dtype)
                cells = y.reshape(len(w), -1)
                for some, cols in _columns(x, window, chunk, len(w), workspace):
                    blas.matmul(matrix, cols, out=cells[:, some])
                finish.apply(cells[:, : chunk.cells])
                np.copyto(out[chunk.images, :, chunk.rows], chunk.output(y).swapaxes(0, 1))

    share_out(work, _chunks(x, len(w), window))


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, window: Window, out: np.ndarray
) -> np.ndarray:
    """Compute the gradient of the weight of `conv2d` into `out`."""
    f = grad_y.shape[1]
    matrix = out.reshape(f, -1)

    few = f <= FEW_FILTERS

    def work(chunks):
        total = np.zeros(matrix.shape if few else matrix.shape[::-1], x.dtype)
        with Workspace.borrow() as workspace:
            for chunk in chunks:
                line = (f, *chunk.shape) if few else (*chunk.shape, f)
                y = workspace.array("y", *line, dtype=x.dtype)
                y[...] = 0
                output = chunk.output(y) if few else chunk.output(y[None])[0].transpose(3, 0, 1, 2)
                np.copyto(output, grad_y[chunk.images, :, chunk.rows].swapaxes(0, 1))
                for some, cols in _columns(x, window, chunk, f, workspace):
                    if few:
                        total += blas.matmul(y.reshape(f, -1)[:, some], cols.T)
                    else:
                        total += blas.matmul(cols, y.reshape(-1, f)[some])
        return total if few else total.T

    first, *others = share_out(work, _chunks(x, f, window))
    matrix[...] = first
    for other in others:
        matrix += other
    return out


class _Chunk(NamedTuple):
    """Some rows of the output of a few images, as a line.

    Attributes
    ----------
    images, rows : slice
    shape : (int, int, int)
        Images, rows and columns of the line.
    cells : int
        Cells up to the last one of the output.
    width : int
        Columns of the output.
    """

    images: slice
    rows: slice
    shape: tuple[int, int, int]
    cells: int
    width: int

    def output(self, y):
        """Return the cells of the output in an array of shape (F, *shape, ...)."""
        return y[:, :, : self.rows.stop - self.rows.start, : self.width]


def _chunks(x: np.ndarray, f: int, window: Window) -> list[_Chunk]:
    n, c, h, w = x.shape
    size = h, w
    (ho, wo), (rows, columns) = window.output_size(size), _line_size(window, size)
    extra = rows - ho
    row_bytes = c * columns * x.itemsize
    deep = -(-n // max(1, LINE_BYTES // (row_bytes * rows)))
    high = 1
    if deep == n:
        high = -(-ho // max(4 * extra, LINE_BYTES // row_bytes - extra, 1))
    if n * f * c * window.kernel[0] * window.kernel[1] * ho * wo >= LARGE_PRODUCT:
        if n % SHARERS:
            high = even(high)
        else:
            deep = even(deep)
    chunks = []
    for images in parts(n, deep):
        for some in parts(ho, high):
            shape = images.stop - images.start, some.stop - some.start + extra, columns
            cells = (shape[0] * shape[1] - extra) * columns
            chunks.append(_Chunk(images, some, shape, cells, wo))
    return chunks


def _columns(
    x: np.ndarray, window: Window, chunk: _Chunk, f: int, workspace: Workspace
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (cells, columns) until the chunk's line is done.

    `columns` has shape (C * kh * kw, cells). The next columns overwrite it.
    """
    c, h, w = x.shape[1:]
    (kh, kw), _, (ph, pw), (dh, dw) = window
    images, rows, columns = chunk.shape
    # The last windows extend beyond the last row.
    line = workspace.array("line", c, images * rows * columns + columns, dtype=x.dtype)
    line[...] = 0
    padded = line[:, : images * rows * columns].reshape(c, *chunk.shape)
    first = chunk.rows.start - ph
    top, bottom = max(first, 0), min(first + rows, h)
    if top < bottom:
        inside = padded[:, :, top - first : bottom - first, pw : pw + w]
        np.copyto(inside, x[chunk.images, :, top:bottom].swapaxes(0, 1))
    step, item = line.strides
    taps = np.lib.stride_tricks.as_strided(
        line, (c, kh, kw, chunk.cells), (step, dh * columns * item, dw * item, item),
        writeable=False,
    )
    k = c * kh * kw
    most = max(BAND_BYTES // (k * x.itemsize), FEW_CELLS)
    small = SMALL_PRODUCT // (f * k)
    if small < FEW_CELLS:
        small = most
    most = max(most // small, 1) * small
    cols = workspace.array("columns", c, kh, kw, most, dtype=x.dtype)
    matrix = cols.reshape(k, most)
    for start in range(0, chunk.cells, most):
        end = min(start + most, chunk.cells)
        np.copyto(cols[..., : end - start], taps[..., start:end])
        for first in range(start, end, small):
            last = min(first + small, end)
            yield slice(first, last), matrix[:, first - start : last - start]
