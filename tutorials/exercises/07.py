"""Page 7: transposed convolution by painting. Grade it: python -m pytest tutorials/exercises -k 07."""

import numpy as np


def paint(x, kernel, stride):
    """Upsample a row: every value of x paints one copy of the kernel, `stride` cells further on.

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


def tent(factor):
    """Return the bilinear kernel that upsamples a row by an even factor, shape (2 * factor,)."""
    raise NotImplementedError("tent in tutorials/exercises/07.py")
