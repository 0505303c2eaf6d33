"""Page 7: transposed convolution of a row. Grade it: python -m pytest tutorials/exercises -k 07."""

import numpy as np


def paint(x, kernel, stride):
    """Upsample a row: every value of x paints one copy of the kernel, `stride` cells farther along.

    Parameters
    ----------
    x : ndarray, shape (n,)
    kernel : ndarray, shape (k,)
    stride : int

    Returns
    -------
    ndarray, shape ((n - 1) * stride + k,)
    """
    raise NotImplementedError("paint in tutorials/exercises/07.py")


def by_zeros(x, kernel, stride):
    """Compute the same row as `paint`, by sliding a kernel over zeros.

    Put zeros between the values of x and around them, then slide a kernel over that row with a
    stride of 1. Do not call `paint` or a function that convolves.

    Parameters
    ----------
    x : ndarray, shape (n,)
    kernel : ndarray, shape (k,)
    stride : int

    Returns
    -------
    ndarray, shape ((n - 1) * stride + k,)
    """
    raise NotImplementedError("by_zeros in tutorials/exercises/07.py")


def tent(factor):
    """Return the kernel that upsamples a row by linear interpolation.

    Parameters
    ----------
    factor : int
        At least 1, even or odd.

    Returns
    -------
    ndarray, shape (2 * factor - factor % 2,)
    """
    raise NotImplementedError("tent in tutorials/exercises/07.py")
