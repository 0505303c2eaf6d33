"""Page 0: crop and fuse. Grade it: python -m pytest tutorials/exercises -k 00."""

import numpy as np


def crop_offset(start, target, stride):
    """Return at which cell to crop a map so that it starts where another map starts.

    Cell i of the map has its center at pixel ``start + stride * i``. After the crop, the first
    cell must lie at pixel `target`.

    Parameters
    ----------
    start, target : float
        Where the first cells of the two maps lie, in pixels.
    stride : float
        The stride of both maps.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If no cell of the map lies at `target`: the offset is negative, or no whole number.
    """
    raise NotImplementedError("crop_offset in tutorials/exercises/00.py")


def fuse(coarse, fine, offset):
    """Add a finer map of scores to coarser ones that have been upsampled to its stride.

    Parameters
    ----------
    coarse : ndarray, shape (K, h, w)
    fine : ndarray, shape (K, H, W)
        At least `offset` rows and columns larger than `coarse`.
    offset : int
        The row and the column of `fine` that lie on cell (0, 0) of `coarse`.

    Returns
    -------
    ndarray, shape (K, h, w)
        Neither of the inputs is changed.
    """
    raise NotImplementedError("fuse in tutorials/exercises/00.py")
