"""Page 4: kinks. Grade it: python -m pytest tutorials/exercises -k 04."""

import numpy as np


def leaky_relu_backward(g, x, slope):
    """Return dL/dx of a leaky ReLU: y = x where x > 0, and y = slope * x elsewhere.

    Parameters
    ----------
    g : ndarray
        dL/dy.
    x : ndarray, shape of g
    slope : float

    Returns
    -------
    ndarray, shape of x
    """
    raise NotImplementedError("leaky_relu_backward in tutorials/exercises/04.py")


def leaky_relu_piece(x):
    """Say which smooth piece of a leaky ReLU an array is on.

    Two inputs must give equal arrays if no element crosses the kink between them, and different
    arrays if one does.

    Parameters
    ----------
    x : ndarray

    Returns
    -------
    ndarray
    """
    raise NotImplementedError("leaky_relu_piece in tutorials/exercises/04.py")


def safe_difference(f, piece, x, index, steps):
    """Return a central difference of f at x that crosses no kink.

    Try the steps h in the given order. Use the first one for which both x + h and x - h (changed
    at `index` alone) are on the same piece as x. Leave x as it was.

    Parameters
    ----------
    f : callable
        Takes an array like x and returns a number.
    piece : callable
        Takes an array like x and returns an array.
    x : ndarray
    index : tuple of int
    steps : sequence of float

    Returns
    -------
    float or None
        None if every step crosses.
    """
    raise NotImplementedError("safe_difference in tutorials/exercises/04.py")
