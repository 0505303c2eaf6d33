"""Page 3: backward passes by hand. Grade them: python -m pytest tutorials/exercises -k 03."""

import numpy as np

from fcn_numpy.nn import Module, Parameter


def conv_backward(g, x, w, stride):
    """Return the gradients of a convolution of one map with a stride, without padding.

    Forward is ``y[i, j] = bias + sum over a, b of w[a, b] * x[i * stride + a, j * stride + b]``.

    Parameters
    ----------
    g : ndarray, shape (Ho, Wo)
        dL/dy.
    x : ndarray, shape (H, W)
    w : ndarray, shape (kh, kw)
    stride : int

    Returns
    -------
    gx : ndarray, shape (H, W)
    gw : ndarray, shape (kh, kw)
    gbias : float
    """
    raise NotImplementedError("conv_backward in tutorials/exercises/03.py")


class ChannelAffine(Module):
    """A layer with two Parameters: ``y[n, c] = scale[c] * x[n, c] + shift[c]``.

    Parameters
    ----------
    channels : int

    Attributes
    ----------
    scale : Parameter, shape (channels,)
        Ones at the start.
    shift : Parameter, shape (channels,)
        Zeros at the start.
    """

    def __init__(self, channels):
        raise NotImplementedError("ChannelAffine in tutorials/exercises/03.py")

    def forward(self, x):
        """Return y, of the shape of x, (N, C, H, W)."""
        raise NotImplementedError("ChannelAffine.forward in tutorials/exercises/03.py")

    def backward(self, grad):
        """Add to both gradients, and return dL/dx."""
        raise NotImplementedError("ChannelAffine.backward in tutorials/exercises/03.py")
