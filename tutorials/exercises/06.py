"""Page 6: two ways to a dense row. Grade it: python -m pytest tutorials/exercises -k 06."""

import numpy as np


def shift_and_stitch(network, x, stride):
    """Run a network on all shifts of a row, and interlace the results.

    Parameters
    ----------
    network : callable
        Takes a row (an array of shape (n,)) and returns a shorter one, with one number for every
        `stride` positions of x. Treat it as a black box.
    x : ndarray, shape (n,)
    stride : int

    Returns
    -------
    ndarray, one axis
        Position f * i + a holds result i of the run on x without its first a numbers, where f is
        the stride. The runs may give rows of different lengths.
    """
    raise NotImplementedError("shift_and_stitch in tutorials/exercises/06.py")


def rarefied(kernel, factor):
    """Spread a filter out: put factor - 1 zeros between every weight and the next.

    Parameters
    ----------
    kernel : ndarray, shape (k,)
    factor : int
        At least 1.

    Returns
    -------
    ndarray, shape (factor * (k - 1) + 1,)
    """
    raise NotImplementedError("rarefied in tutorials/exercises/06.py")


def dense(x, kernel):
    """Compute in one run what shift-and-stitch gives for the following network.

    The network has a pooling layer, which takes the larger of two neighbors and has a stride of 2,
    and then a convolution, which slides `kernel` over the pooled row.

    Parameters
    ----------
    x : ndarray, shape (n,)
    kernel : ndarray, shape (k,)

    Returns
    -------
    ndarray, shape (n - 1 - 2 * (k - 1),)
    """
    raise NotImplementedError("dense in tutorials/exercises/06.py")
