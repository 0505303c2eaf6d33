"""Page 5: a classifier as convolutions. Grade it: python -m pytest tutorials/exercises -k 05."""

import numpy as np


def as_kernels(weight, channels, height, width):
    """Turn the weight of a fully connected layer into the kernels of a convolution.

    The layer's input is a map (channels, height, width), flattened by ``x.reshape(-1)``.

    Parameters
    ----------
    weight : ndarray, shape (F, channels * height * width)
        One row for each output.
    channels, height, width : int

    Returns
    -------
    ndarray, shape (F, channels, height, width)
    """
    raise NotImplementedError("as_kernels in tutorials/exercises/05.py")


def score_map(x, weight, bias, height, width):
    """Slide a fully connected layer over a map, one cell at a time (use plain loops).

    Parameters
    ----------
    x : ndarray, shape (C, H, W)
        H is at least `height`, and W at least `width`.
    weight : ndarray, shape (F, C * height * width)
    bias : ndarray, shape (F,)
    height, width : int
        Size of the window that the layer takes.

    Returns
    -------
    ndarray, shape (F, H - height + 1, W - width + 1)
        Cell (i, j) holds the layer's outputs for the window of x whose top left cell is (i, j).
    """
    raise NotImplementedError("score_map in tutorials/exercises/05.py")


def cells(size, window, stride):
    """Return how many cells the score map has along one axis.

    Parameters
    ----------
    size : int
        Pixels of the image along that axis.
    window : int
        Pixels that one cell sees, at most `size`. Nothing is padded.
    stride : int
        Pixels from one window to the next. Only windows that fit completely count.

    Returns
    -------
    int
    """
    raise NotImplementedError("cells in tutorials/exercises/05.py")
