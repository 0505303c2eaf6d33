"""The transposed convolution as a convolution.

`fcn_numpy.convolution` scatters: it multiplies each cell of grad_y by the kernel and adds the
result to a window. Seen from the other end, each cell of the result collects the few cells of
grad_y whose windows contain it. Collecting writes every cell once, and it is a convolution.

At stride 1, it is the convolution of grad_y with the kernel rotated by 180 degrees and its two
channel axes exchanged. At stride s, it is s convolutions on each axis, one for each phase (the
remainder of the cell's number by s), each with every s-th tap of the kernel. For example, with
kernel 4, stride 2 and padding 1, even cells of the result use taps 1 and 3, and odd cells use taps
0 and 2. One convolution with s * s times the channels computes all phases, which are then
interlaced.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast import blas
from fcn_numpy.fast.bands import BAND_BYTES
from fcn_numpy.fast.choose import channels_of, conv2d, conv2d_turned
from fcn_numpy.fast.threads import LARGE_PRODUCT, parts, share_out
from fcn_numpy.window import Window

# Collect, unless that takes more than twice as many multiplications as scattering. Scattering
# writes more memory.
MAX_COLLECTING = 2


def conv2d_input(
    grad_y: np.ndarray, w: np.ndarray, size: Pair, window: Window, groups: int
) -> np.ndarray:
    """Compute `fcn_numpy.conv2d_input`."""
    if groups == 1:
        return _conv2d_input(grad_y, w, size, window)
    out = np.empty((len(grad_y), groups * w.shape[1], *size), grad_y.dtype)
    for f, c in channels_of(groups, w):
        out[:, c] = _conv2d_input(grad_y[:, f], w[f], size, window)
    return out


def _conv2d_input(grad_y, w, size, window):
    axes = [_Axis(*numbers) for numbers in zip(size, grad_y.shape[2:], *window)]
    # A kernel with stride and dilation has a different number of taps in each phase. With a large
    # kernel on a small map, such as fc6's, collecting would mostly multiply zeros.
    regular = all(axis.stride == 1 or axis.dilation == 1 for axis in axes)
    collecting = math.prod(axis.collecting for axis in axes)
    scattering = math.prod(axis.scattering for axis in axes)
    if regular and collecting <= MAX_COLLECTING * scattering:
        return _collected(grad_y, w, axes)
    return _scattered(grad_y, w, size, window)


class _Axis(NamedTuple):
    """One axis: cells of the result, cells of grad_y, and the window's numbers.

    The result is part of a padded axis that begins `padding` cells before it. A phase consists of
    every `stride`-th cell of that axis.
    """

    result: int
    grad: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def taps(self) -> int:
        """Taps of a phase."""
        return -(-self.kernel // self.stride)

    @property
    def first(self) -> int:
        """The number of the cell of a phase that holds the first cell of the result."""
        return self.padding // self.stride

    @property
    def cells(self) -> int:
        """Cells of a phase that are needed for the whole result."""
        return -(-(self.padding + self.result) // self.stride) - self.first

    @property
    def collecting(self) -> int:
        """Multiplications along this axis by `_collected`."""
        return self.cells * self.stride * self.taps

    @property
    def scattering(self) -> int:
        """Multiplications along this axis by `_scattered`."""
        return self.grad * self.kernel

    @property
    def part(self) -> tuple[slice, int, slice]:
        """The cells of grad_y to convolve, the padding, and the part of the result to keep.

        The first window of a phase begins `before` cells before grad_y, and its last window ends
        `after` cells after it. If a number is negative, the outermost cells of grad_y are not
        needed: they saw nothing but padding.
        """
        before = self.dilation * (self.taps - 1) - self.first
        after = self.first + self.cells - self.grad
        used = slice(max(-before, 0), self.grad - max(-after, 0))
        padding = max(before, after, 0)
        start = padding - max(before, 0)
        return used, padding, slice(start, start + self.cells)


def _collected(grad_y, w, axes):
    n, (f, c) = len(grad_y), w.shape[:2]
    (sh, sw), (th, tw) = ([axis.stride for axis in axes], [axis.taps for axis in axes])
    (rows, ph, kept_rows), (columns, pw, kept_columns) = (axis.part for axis in axes)
    dh, dw = (axis.dilation if axis.stride == 1 else 1 for axis in axes)
    window = Window((th, tw), padding=(ph, pw), dilation=(dh, dw))
    needed = grad_y[:, :, rows, columns]
    if (sh, sw) == (1, 1):
        y = conv2d_turned(needed, w, window)
        return np.ascontiguousarray(y[:, :, kept_rows, kept_columns])
    # Tap t of phase r is the kernel's tap r + s t, rotated: (C, sh, sw, F, th, tw).
    filled = w
    if (th * sh, tw * sw) != w.shape[2:]:
        filled = np.zeros((f, c, th * sh, tw * sw), w.dtype)
        filled[:, :, : w.shape[2], : w.shape[3]] = w
    turned = filled.reshape(f, c, th, sh, tw, sw)[:, :, ::-1, :, ::-1].transpose(1, 3, 5, 0, 2, 4)
    turned = turned.reshape(c * sh * sw, f, th, tw)
    y = conv2d(needed, turned, window)[:, :, kept_rows, kept_columns]
    # Interlace: (phase, cell) on each axis becomes cell * s + phase.
    y = y.reshape(n, c, sh, sw, *y.shape[2:]).transpose(0, 1, 4, 2, 5, 3)
    y = y.reshape(n, c, y.shape[2] * sh, y.shape[4] * sw)
    top, left = (axis.padding - axis.first * axis.stride for axis in axes)
    return np.ascontiguousarray(y[:, :, top : top + axes[0].result, left : left + axes[1].result])


def _scattered(grad_y, w, size, window):
    n, f, ho, wo = grad_y.shape
    _, c, kh, kw = w.shape
    taps = kh * kw
    matrix = w.reshape(f, -1).T
    y = grad_y.reshape(n, f, ho * wo)
    images = max(1, BAND_BYTES // (matrix.shape[0] * ho * wo * y.itemsize))
    out = np.empty((n, c, *size), grad_y.dtype)

    def work(pieces):
        for channels in pieces:
            rows = matrix[channels.start * taps : channels.stop * taps]
            for some in (slice(i, i + images) for i in range(0, n, images)):
                cols = blas.matmul(rows, y[some])
                cols = cols.reshape(-1, channels.stop - channels.start, kh, kw, ho, wo)
                out[some, channels] = window.add_windows(cols, size)

    large = n * f * matrix.shape[0] * ho * wo >= LARGE_PRODUCT
    share_out(work, parts(c, blas.thread_count() if large else 1))
    return out
