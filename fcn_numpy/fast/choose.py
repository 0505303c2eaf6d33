"""Which algorithm computes a convolution."""

from __future__ import annotations

from contextvars import ContextVar

from fcn_numpy.fast import bands, winograd

CHOICE = ContextVar("algorithm", default="auto")


def conv2d(x, w, arguments, bias=None):
    """Compute C x, plus bias."""
    if _takes_winograd(x.dtype, w.shape[:2], arguments):
        return winograd.conv2d(x, w, arguments[2], bias)
    return bands.conv2d(x, w, arguments, bias)


def conv2d_weight(x, grad_y, arguments, out):
    """Write the gradient of the weight to `out`."""
    if _takes_winograd(x.dtype, out.shape[:2], arguments):
        return winograd.conv2d_weight(x, grad_y, arguments[2], out)
    return bands.conv2d_weight(x, grad_y, arguments, out)


def _takes_winograd(dtype, channels, arguments):
    return CHOICE.get() == "auto" and winograd.suits(dtype, channels, *arguments)
