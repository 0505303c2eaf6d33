"""Page 13: what a score sees. Grade it: python -m pytest tutorials/exercises -k 13."""

import numpy as np


def effective_side(influence, pixel, share):
    """Find the smallest box around a pixel that holds a given share of the influence.

    A box of an odd side 2 r + 1 reaches r pixels from the pixel in each direction. Where it would
    reach beyond the image, it is cut off, but its side still counts as 2 r + 1.

    Parameters
    ----------
    influence : ndarray, shape (H, W)
        Not negative; of any sum above 0.
    pixel : (int, int)
        Row and column.
    share : float
        More than 0, less than 1.

    Returns
    -------
    int
        The smallest odd side whose box holds at least `share` of all influence.
    """
    raise NotImplementedError("effective_side in tutorials/exercises/13.py")


def average_backward(grad, size):
    """Send a gradient back through averages over b x b bins.

    On an axis of n cells, bin i holds the cells from floor(i n / b) up to, but not including,
    ceil((i + 1) n / b). Use loops; do not build a matrix.

    Parameters
    ----------
    grad : ndarray, shape (b, b)
        The gradient of the loss by the mean of each bin.
    size : (int, int)
        Rows and columns of the map that was averaged.

    Returns
    -------
    ndarray, shape `size`
        The gradient of the loss by each cell of the map.
    """
    raise NotImplementedError("average_backward in tutorials/exercises/13.py")


def whole_image(x, weight, bias):
    """Compute a pyramid with a single level of a single bin.

    Average each channel over the whole map, apply a 1x1 convolution and ReLU, and give the result
    to every cell, after the cell's own features.

    Parameters
    ----------
    x : ndarray, shape (C, h, w)
    weight : ndarray, shape (F, C)
        Of the 1x1 convolution.
    bias : ndarray, shape (F,)

    Returns
    -------
    ndarray, shape (C + F, h, w)
    """
    raise NotImplementedError("whole_image in tutorials/exercises/13.py")
