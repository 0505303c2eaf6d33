"""The matrix of a convolution, written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fcn_numpy.checks import Pair, check_array, divide, pair
from fcn_numpy.convolution import im2col
from fcn_numpy.window import Window

if TYPE_CHECKING:
    import scipy.sparse


def conv_matrix(
    w: np.ndarray, input_size: Pair, stride: int | Pair = 1, padding: int | Pair = 0,
    dilation: int | Pair = 1, groups: int = 1,
) -> scipy.sparse.csr_array:
    """Write out the matrix of a convolution: ``conv2d(x, w).ravel() == M @ x.ravel()``.

    Use it for one small image: to read, to plot, and to test the functions against. Row
    (f, i, j) holds the kernel of output f where the window of cell (i, j) lies in the input. With
    groups it is block diagonal, with one block per group.

    Parameters
    ----------
    w : ndarray, shape (F, C / groups, kh, kw)
    input_size : (int, int)
        Height and width of the input.
    stride, padding, dilation : int or pair of int
    groups : int

    Returns
    -------
    scipy.sparse.csr_array, shape (F * Ho * Wo, C * H * W), dtype of w

    Examples
    --------
    >>> conv_matrix(np.array([[[[1.0, 2.0]]]]), (1, 4)).toarray()
    array([[1., 2., 0., 0.],
           [0., 1., 2., 0.],
           [0., 0., 1., 2.]])
    """
    from scipy.sparse import block_diag, csr_array

    check_array(w, "w", ("F", "C", "kh", "kw"))
    divide(len(w), groups, "the channels of y")
    if groups > 1:
        parts = np.split(w, groups)
        blocks = [conv_matrix(part, input_size, stride, padding, dilation) for part in parts]
        return csr_array(block_diag(blocks, "csr"))
    window = Window.of(w.shape[2:], stride, padding, dilation)
    h, wd = pair(input_size, "input_size", 1)
    # If every pixel is its own number, the columns of the image say which pixel each tap reads.
    f, c = w.shape[:2]
    pixels = np.arange(1, c * h * wd + 1).reshape(1, c, h, wd)  # 0 is the padding
    read = im2col(pixels, *window)[0]  # (taps, cells)
    cells = read.shape[1]
    rows = np.arange(f * cells).reshape(f, 1, cells)
    values, rows, read = np.broadcast_arrays(w.reshape(f, -1, 1), rows, read)
    inside = read > 0
    entries = values[inside], (rows[inside], read[inside] - 1)
    return csr_array(entries, shape=(f * cells, pixels.size))
