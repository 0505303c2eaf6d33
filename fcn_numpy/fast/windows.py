"""All windows of a padded map, as a view."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair


def padded(x: np.ndarray, padding: Pair) -> np.ndarray:
    """Return x, shape (..., H, W), with zeros around it; x itself where there is no padding."""
    if padding == (0, 0):
        return x
    (h, w), (ph, pw) = x.shape[-2:], padding
    out = np.zeros((*x.shape[:-2], h + 2 * ph, w + 2 * pw), x.dtype)
    out[..., ph : ph + h, pw : pw + w] = x
    return out


def windows(
    x: np.ndarray, size: Pair, kernel: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)
) -> np.ndarray:
    """Return a read-only view of x, shape (..., H, W), as (..., kh, kw, Ho, Wo).

    ``view[..., a, b, i, j] = x[..., i s + a d, j s + b d]``. Nothing is copied; a cell of x stands
    in the view once for each window that it lies in. The caller sees to it that `size` (Ho, Wo)
    windows lie in x.
    """
    sh, sw = x.strides[-2:]
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:-2], *kernel, *size),
        (*x.strides[:-2], sh * dilation[0], sw * dilation[1], sh * stride[0], sw * stride[1]),
        writeable=False,
    )
