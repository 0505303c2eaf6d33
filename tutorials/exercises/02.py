"""Page 2: the matrix of a convolution. Grade it: python -m pytest tutorials/exercises -k 02."""

import numpy as np


def matrix(w, size, stride):
    """Write out the matrix M of a convolution of one map, without padding.

    ``M @ x.ravel()`` is the convolution of x, as a list. Row ``i * Wo + j`` of M belongs to cell
    (i, j) of y. Column ``r * W + q`` belongs to cell (r, q) of x.

    Parameters
    ----------
    w : ndarray, shape (kh, kw)
    size : (int, int)
        H and W, the height and width of x.
    stride : int

    Returns
    -------
    ndarray, shape (Ho * Wo, H * W)
    """
    raise NotImplementedError("matrix in tutorials/exercises/02.py")


def columns(x, k, stride, padding):
    """Copy every k x k window of x into a column (im2col).

    Rows count (channel, row of the window, column of the window), the last one fastest. Columns
    count (row of y, column of y). Cells outside of x are 0.

    Parameters
    ----------
    x : ndarray, shape (C, H, W)
    k, stride, padding : int

    Returns
    -------
    ndarray, shape (C * k * k, Ho * Wo)
    """
    raise NotImplementedError("columns in tutorials/exercises/02.py")
