"""The transposed convolution: collected where that is cheaper, else scattered."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fcn_numpy.fast.bands import BAND_BYTES
from fcn_numpy.fast.choose import conv2d

# The transposed convolution collects if that takes at most so many times the multiplications of
# scattering, which has more memory to write.
MAX_COLLECTING = 2


def conv2d_input(grad_y, w, size, arguments):
    """Compute the transpose of C times grad_y."""
    axes = [_Axis(*numbers) for numbers in zip(size, grad_y.shape[2:], *arguments)]
    # A strided kernel with holes has no regular share of taps for each remainder. And for a large
    # kernel on a small map, as fc6's, most windows hang over grad_y and would multiply zeros.
    regular = all(axis.stride == 1 or axis.dilation == 1 for axis in axes)
    collecting = math.prod(axis.collecting for axis in axes)
    scattering = math.prod(axis.scattering for axis in axes)
    if regular and collecting <= MAX_COLLECTING * scattering:
        return _collected(grad_y, w, axes)
    return _scattered(grad_y, w, size, arguments)


class _Axis(NamedTuple):
    """One axis of a transposed convolution: its input's size n, its output's size m, the rest."""

    n: int
    m: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def taps(self):
        """Taps that each of the convolutions has, one for each remainder by the stride."""
        return -(-self.kernel // self.stride)

    @property
    def first(self):
        """The cell of each of these convolutions' maps that holds the first cell of the input."""
        return self.padding // self.stride

    @property
    def cells(self):
        """Cells of each of these maps, so that together they hold the whole input."""
        return -(-(self.padding + self.n) // self.stride) - self.first

    @property
    def collecting(self):
        """Multiplications along this axis by `_collected`."""
        return self.cells * self.stride * self.taps

    @property
    def scattering(self):
        """Multiplications along this axis by `_scattered`."""
        return self.m * self.kernel

    @property
    def overhang(self):
        """How far the first window begins before grad_y, and the last one ends behind it."""
        before = self.dilation * (self.taps - 1) - self.first
        return before, self.first + self.cells - self.m


def _collected(grad_y, w, axes):
    """Cᵀ grad_y as a convolution of grad_y, with s * s times the channels, then interlaced."""
    n, (f, c) = len(grad_y), w.shape[:2]
    (sh, sw), (th, tw) = ([getattr(axis, name) for axis in axes] for name in ("stride", "taps"))
    # Tap t of remainder r is the kernel's tap r + s t, turned round: (C, sh, sw, F, th, tw).
    filled = w
    if (th * sh, tw * sw) != w.shape[2:]:
        filled = np.zeros((f, c, th * sh, tw * sw), w.dtype)
        filled[:, :, : w.shape[2], : w.shape[3]] = w
    turned = filled.reshape(f, c, th, sh, tw, sw)[:, :, ::-1, :, ::-1].transpose(1, 3, 5, 0, 2, 4)
    turned = turned.reshape(c * sh * sw, f, th, tw)
    # Windows may begin inside of grad_y, where the convolution's own padding was the larger one:
    # the outermost cells of grad_y saw nothing but padding.
    cuts, pads, parts = [], [], []
    for axis in axes:
        before, behind = axis.overhang
        cuts.append(slice(max(-before, 0), axis.m - max(-behind, 0)))
        pads.append(max(before, behind, 0))
        start = pads[-1] - max(before, 0)
        parts.append(slice(start, start + axis.cells))
    dilation = tuple(axis.dilation if axis.stride == 1 else 1 for axis in axes)
    arguments = ((th, tw), (1, 1), tuple(pads), dilation)
    y = conv2d(grad_y[:, :, cuts[0], cuts[1]], turned, arguments)
    y = y[:, :, parts[0], parts[1]]
    if (sh, sw) == (1, 1):
        return np.ascontiguousarray(y)
    # What is (remainder, cell) on each axis becomes cell * s + remainder.
    y = y.reshape(n, c, sh, sw, *y.shape[2:]).transpose(0, 1, 4, 2, 5, 3)
    y = y.reshape(n, c, y.shape[2] * sh, y.shape[4] * sw)
    top, left = (axis.padding - axis.first * axis.stride for axis in axes)
    return np.ascontiguousarray(y[:, :, top : top + axes[0].n, left : left + axes[1].n])


def _scattered(grad_y, w, size, arguments):
    """Cᵀ grad_y by its definition: columns, added back to where they came from."""
    n, f, ho, wo = grad_y.shape
    _, c, kh, kw = w.shape
    matrix = w.reshape(f, -1).T
    out = padded_zeros((n, c), size, arguments, grad_y.dtype)
    y = grad_y.reshape(n, f, ho * wo)
    images = max(1, BAND_BYTES // (matrix.shape[0] * ho * wo * y.itemsize))
    for some in (slice(i, i + images) for i in range(0, n, images)):
        add_windows(out[some], (matrix @ y[some]).reshape(-1, c, kh, kw, ho, wo), arguments)
    return without_padding(out, size, arguments[2])


def padded_zeros(lead, size, arguments, dtype):
    """Make the padded image."""
    _, _, padding, _ = arguments
    return np.zeros((*lead, *(n + 2 * p for n, p in zip(size, padding))), dtype)


def add_windows(out, cols, arguments):
    """Add windows (N, C, kh, kw, Ho, Wo) to where they lie in the padded image, one tap a time."""
    (kh, kw), (sh, sw), _, (dh, dw) = arguments
    ho, wo = cols.shape[4:]
    for a in range(kh):
        for b in range(kw):
            rows = slice(a * dh, a * dh + (ho - 1) * sh + 1, sh)
            columns = slice(b * dw, b * dw + (wo - 1) * sw + 1, sw)
            out[:, :, rows, columns] += cols[:, :, a, b]


def without_padding(x, size, padding):
    """Cut the padding off."""
    (h, w), (ph, pw) = size, padding
    return np.ascontiguousarray(x[:, :, ph : ph + h, pw : pw + w])
