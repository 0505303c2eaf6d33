"""Page 14: a fast convolution. Grade it: python -m pytest tutorials/exercises -k 14."""

import numpy as np


def windows(x, k, stride):
    """Return a view of all k x k windows of x, `stride` cells apart. Copy nothing.

    Parameters
    ----------
    x : ndarray, shape (C, H, W)
        It need not be contiguous.
    k, stride : int

    Returns
    -------
    ndarray, shape (C, k, k, Ho, Wo)
        With Ho = (H - k) // stride + 1, and Wo likewise. Element (c, a, b, i, j) is tap (a, b) of
        the window of output cell (i, j).
    """
    raise NotImplementedError("windows in tutorials/exercises/14.py")


def convolve(x, w, bias, limit):
    """Compute a convolution with bias and ReLU, band by band.

    In every band, make the columns of a few output rows, multiply them, and add the bias and
    rectify while the result is at hand. A band has as many rows as fit into `limit`, but at least
    one.

    Parameters
    ----------
    x : ndarray, shape (C, H, W)
    w : ndarray, shape (F, C, k, k)
    bias : ndarray, shape (F,)
    limit : int
        Bytes that the columns of a band may take.

    Returns
    -------
    ndarray, shape (F, H - k + 1, W - k + 1), dtype of x
    """
    raise NotImplementedError("convolve in tutorials/exercises/14.py")


def slide(d, g):
    """Slide a kernel of 3 over a row, with two products per output (Winograd's F(2, 3)).

    The grader counts the products. Sums of cells, sums of weights, and halves do not count.

    Parameters
    ----------
    d : ndarray, shape (n + 2,)
        n is even.
    g : ndarray, shape (3,)

    Returns
    -------
    ndarray, shape (n,), dtype of d
        Output i is d[i] g[0] + d[i + 1] g[1] + d[i + 2] g[2].
    """
    raise NotImplementedError("slide in tutorials/exercises/14.py")
