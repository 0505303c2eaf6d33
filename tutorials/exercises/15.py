"""Page 15: groups, crops, normalization. Grade it: python -m pytest tutorials/exercises -k 15."""

import numpy as np


def as_one_group(w, groups):
    """Return the weight of an ordinary convolution that computes what one with groups computes.

    Parameters
    ----------
    w : ndarray, shape (F, C / groups, k, k)
        F / groups filters in each group, and C / groups channels.
    groups : int

    Returns
    -------
    ndarray, shape (F, C, k, k)
        Zero wherever a filter does not look at a channel.
    """
    raise NotImplementedError("as_one_group in tutorials/exercises/15.py")


def upsampling(stride, shift):
    """Find the kernel and the crop that put upsampled scores onto the image.

    Cell i of the coarse scores lies at pixel ``stride * i + shift``. Upsampled by `stride` with a
    kernel of k cells, the first cell lies (k - 1) / 2 pixels before the first coarse cell.

    Parameters
    ----------
    stride : int
        Even.
    shift : float
        A multiple of 0.5.

    Returns
    -------
    kernel : int
        ``2 * stride`` or ``2 * stride - 1``, whichever puts cells onto pixels.
    crop : int
        Which cell of the upsampled map lies on pixel 0.
    """
    raise NotImplementedError("upsampling in tutorials/exercises/15.py")


def norm_gradient(x, grad, n, alpha, beta):
    """Return the gradient of x, where local response normalization is applied to x.

    The forward pass is ``y[c] = x[c] / s[c]**beta``, with ``s[c] = 1 + alpha / n`` times the sum of
    ``x[d]**2`` over the n channels around c. Do not call `LocalResponseNorm`.

    Parameters
    ----------
    x : ndarray, shape (C,)
        The channels at one place.
    grad : ndarray, shape (C,)
        The gradient of y.
    n : int
        Odd. Channels beyond the first and the last count as zeros.
    alpha, beta : float

    Returns
    -------
    ndarray, shape (C,)
    """
    raise NotImplementedError("norm_gradient in tutorials/exercises/15.py")
