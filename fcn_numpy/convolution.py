"""A convolution is a matrix: y = C x. Three functions say all there is to say about C.

========================  ==================================================================
`conv2d`                  C x, the convolution
`conv2d_input`            Cᵀ y, its transpose: the gradient of its input, and the upsampling
                          of Long, Shelhamer and Darrell, section 3.3
`conv2d_weight`           the gradient of the weight
========================  ==================================================================

The names are those of torch.nn.grad. "Convolution" is meant as in all deep learning: the kernel
is not flipped (a cross-correlation)::

    y[n, f, i, j] = sum over c, a, b of
                    w[f, c, a, b] * x[n, c, i s - p + a d, j s - p + b d]

with zeros outside of x. `conv_matrix` writes C out, for small inputs: to read, to plot and to
test against.

`im2col` lays each window of x out as a column, so that the convolution is one matrix product:
``w.reshape(F, -1) @ im2col(x)``. The columns hold every pixel up to kh * kw times, so the
functions here never build all of them: they fill one buffer with the columns of a band of output
rows, multiply, and go on with the next band.

Where it is faster, float32 convolutions with 3x3 kernels go through `fcn_numpy.winograd` instead
(its `suits` has the rule); ``with algorithm("im2col"):`` prevents that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import scipy.sparse

from fcn_numpy import winograd
from fcn_numpy.checks import Pair, check_array, check_dtype, pair
from fcn_numpy.geometry import output_size
from fcn_numpy.threads import SMALL_PRODUCT, share_out
from fcn_numpy.windows import padded, windows

# A band of columns is to stay in the processor's cache between being written and multiplied. Where
# bands of at least MIN_CELLS columns make small products, they are shared out between threads.
# Elsewhere bands have at least MAX_CELLS columns, so that BLAS's own threads are worth their start.
BAND_BYTES = 512 * 1024
MIN_CELLS, MAX_CELLS = 256, 1024
# The transposed convolution collects if that takes at most so many times the multiplications of
# scattering, which has more memory to write.
MAX_COLLECTING = 2

ALGORITHMS = "auto", "im2col"
_ALGORITHM = ContextVar("algorithm", default="auto")


@contextmanager
def algorithm(name: str) -> Iterator[None]:
    """Choose how convolutions are computed inside a with block, layers' ones included.

    Parameters
    ----------
    name : {"auto", "im2col"}
        "auto", as it is outside of any block: Winograd's algorithm for float32 and 3x3 kernels at
        stride 1 with at least 32 channels in and out, im2col for all else. "im2col": im2col always.
        In float32 its rounding errors are a half (32 channels) to a fifth (512) of Winograd's.

    Raises
    ------
    ValueError
        If there is no algorithm of this name.
    """
    if name not in ALGORITHMS:
        raise ValueError(f"expected algorithm {' or '.join(map(repr, ALGORITHMS))}, got {name!r}")
    token = _ALGORITHM.set(name)
    try:
        yield
    finally:
        _ALGORITHM.reset(token)


def im2col(
    x: np.ndarray,
    kernel_size: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> np.ndarray:
    """Lay out each window of x as a column.

    ``cols[n, (c, a, b), (i, j)] = x[n, c, i s - p + a d, j s - p + b d]``, zero outside of x.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    kernel_size, stride, padding, dilation : int or pair of int
        Height first.

    Returns
    -------
    ndarray, shape (N, C * kh * kw, Ho * Wo), dtype of x

    Raises
    ------
    ValueError
        If x is not four-dimensional or no window fits.
    """
    check_array(x, "x", ("N", "C", "H", "W"), kinds="fiub")
    arguments = _arguments(kernel_size, stride, padding, dilation)
    kernel, stride, padding, dilation = arguments
    size = output_size(x.shape[2:], *arguments)
    cols = windows(padded(x, padding), size, kernel, stride, dilation).copy()
    return cols.reshape(len(x), -1, size[0] * size[1])


def col2im(
    cols: np.ndarray,
    input_size: Pair,
    kernel_size: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> np.ndarray:
    """Add each column back to the window it came from: the adjoint of `im2col`.

    ``<im2col(x), cols> = <x, col2im(cols)>`` for all x and cols. It is not the inverse: a pixel
    that lies in several windows gets the sum of its copies.

    Parameters
    ----------
    cols : ndarray, shape (N, C * kh * kw, Ho * Wo)
    input_size : (int, int)
        Height and width of the image that `im2col` was given.
    kernel_size, stride, padding, dilation : int or pair of int
        As they were given to `im2col`.

    Returns
    -------
    ndarray, shape (N, C, H, W), dtype of cols

    Raises
    ------
    ValueError
        If the shape of cols does not belong to these arguments.
    """
    arguments = _arguments(kernel_size, stride, padding, dilation)
    size = pair(input_size, "input_size", 1)
    kh, kw = arguments[0]
    ho, wo = output_size(size, *arguments)
    check_array(cols, "cols", ("N", f"C*{kh}*{kw}", ho * wo), kinds="fiu")
    if cols.shape[1] % (kh * kw):
        raise ValueError(f"expected cols of shape (N, C*{kh}*{kw}, {ho * wo}), got {cols.shape}")
    n, c = cols.shape[0], cols.shape[1] // (kh * kw)
    out = _padded_zeros((n, c), size, arguments, cols.dtype)
    _add_windows(out, cols.reshape(n, c, kh, kw, ho, wo), arguments)
    return _without_padding(out, size, arguments[2])


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    *,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Convolve x with w: C x.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    w : ndarray, shape (F, C, kh, kw), dtype of x
    stride, padding, dilation : int or pair of int
        Height first.
    bias : ndarray, shape (F,), dtype of x, optional
        Added to each output map while it is at hand.

    Returns
    -------
    ndarray, shape (N, F, Ho, Wo), dtype of x

    Raises
    ------
    ValueError
        If shapes or dtypes do not belong together, or no window fits.
    """
    _check_weight(w)
    check_array(x, "x", ("N", w.shape[1], "H", "W"))
    check_dtype(x, "x", w.dtype, "w")
    if bias is not None:
        check_array(bias, "bias", (w.shape[0],))
        check_dtype(bias, "bias", w.dtype, "w")
    arguments = _arguments(w.shape[2:], stride, padding, dilation)
    ho, wo = output_size(x.shape[2:], *arguments)
    if _takes_winograd(x.dtype, w.shape[:2], arguments):
        return winograd.conv2d(x, w, arguments[2], bias)
    matrix = w.reshape(w.shape[0], -1)
    y = np.empty((x.shape[0], w.shape[0], ho * wo), x.dtype)

    def work(bands):
        for image, cells, cols in _columns(x, arguments, bands):
            band = np.matmul(matrix, cols, out=y[image, :, cells])
            if bias is not None:
                band += bias[:, None]

    share_out(work, *_bands(x, len(w), arguments))
    return y.reshape(x.shape[0], w.shape[0], ho, wo)


def conv2d_input(
    grad_y: np.ndarray,
    w: np.ndarray,
    input_size: Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> np.ndarray:
    """Apply the transpose of the convolution with w: Cᵀ grad_y.

    It is the gradient of the loss by the input of `conv2d`, given the gradient by its output.
    Read forwards, it is the transposed ("backwards strided") convolution that upsamples.

    Each cell of grad_y is multiplied with the kernel and added to the window it came from. Or,
    seen from a cell of the result: it is a sum over the few cells of grad_y whose windows hold
    it. At stride 1 that is itself a convolution, of grad_y with the kernel turned by 180 degrees
    and its two channel axes exchanged. At stride s it is s * s of them, one for each remainder of
    the cell's row and column by s, each with every s-th tap of the kernel.

    Parameters
    ----------
    grad_y : ndarray, shape (N, F, Ho, Wo), floating
    w : ndarray, shape (F, C, kh, kw), dtype of grad_y
    input_size : (int, int)
        Height and width of the convolution's input; several sizes can have the same output size.
    stride, padding, dilation : int or pair of int
        As they were given to `conv2d`.

    Returns
    -------
    ndarray, shape (N, C, H, W), dtype of grad_y

    Raises
    ------
    ValueError
        If shapes or dtypes do not belong together.
    """
    _check_weight(w)
    arguments = _arguments(w.shape[2:], stride, padding, dilation)
    size = pair(input_size, "input_size", 1)
    check_array(grad_y, "grad_y", ("N", w.shape[0], *output_size(size, *arguments)))
    check_dtype(grad_y, "grad_y", w.dtype, "w")
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
    y = conv2d(grad_y[:, :, cuts[0], cuts[1]], turned, 1, tuple(pads), dilation)
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
    out = _padded_zeros((n, c), size, arguments, grad_y.dtype)
    y = grad_y.reshape(n, f, ho * wo)
    images = max(1, BAND_BYTES // (matrix.shape[0] * ho * wo * y.itemsize))
    for some in (slice(i, i + images) for i in range(0, n, images)):
        _add_windows(out[some], (matrix @ y[some]).reshape(-1, c, kh, kw, ho, wo), arguments)
    return _without_padding(out, size, arguments[2])


def conv2d_weight(
    x: np.ndarray,
    grad_y: np.ndarray,
    kernel_size: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Gradient of the loss by the weight of `conv2d`, given the gradient by its output.

    ``dL/dw[f, c, a, b] = sum over n, i, j of grad_y[n, f, i, j] * x[n, c, i s - p + a d, ...]``:
    grad_y times the transposed columns of x.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    grad_y : ndarray, shape (N, F, Ho, Wo), dtype of x
    kernel_size : int or pair of int
    stride, padding, dilation : int or pair of int
        As they were given to `conv2d`.
    out : ndarray, shape (F, C, kh, kw), dtype of x, C order, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (F, C, kh, kw), dtype of x

    Raises
    ------
    ValueError
        If shapes or dtypes do not belong together.
    """
    check_array(x, "x", ("N", "C", "H", "W"))
    arguments = _arguments(kernel_size, stride, padding, dilation)
    size = output_size(x.shape[2:], *arguments)
    check_array(grad_y, "grad_y", (x.shape[0], "F", *size))
    check_dtype(grad_y, "grad_y", x.dtype, "x")
    n, f = grad_y.shape[:2]
    shape = (f, x.shape[1], *arguments[0])
    if out is None:
        out = np.empty(shape, x.dtype)
    check_array(out, "out", shape)
    check_dtype(out, "out", x.dtype, "x")
    if not out.flags.c_contiguous:
        raise ValueError(f"expected out in C order, got strides {out.strides}")
    if _takes_winograd(x.dtype, shape[:2], arguments):
        return winograd.conv2d_weight(x, grad_y, arguments[2], out)
    y = grad_y.reshape(n, f, -1)
    matrix = out.reshape(f, -1)
    bands, small = _bands(x, f, arguments)
    if len(bands) == 1:
        # fc6's weight is 400 MB large: nothing but the product itself.
        (image, _, cols), = _columns(x, arguments, bands)
        np.matmul(y[image], cols.T, out=matrix)
        return out

    def work(bands):
        total = np.zeros(matrix.shape[::-1], x.dtype)
        for image, cells, cols in _columns(x, arguments, bands):
            # This way round, not y @ cols.T, the long matrix is read along its rows.
            total += cols @ np.ascontiguousarray(y[image, :, cells].T)
        return total.T

    first, *others = share_out(work, bands, small)
    matrix[...] = first
    for other in others:
        matrix += other
    return out


def conv_matrix(
    w: np.ndarray,
    input_size: Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> scipy.sparse.csr_array:
    """Write out the matrix C of a convolution: ``conv2d(x, w).ravel() == C @ x.ravel()``.

    For one image of small size: to read, to plot, and to test the fast functions against. Row
    (f, i, j) holds the kernel of output f where the window of cell (i, j) lies in the input.

    Parameters
    ----------
    w : ndarray, shape (F, C, kh, kw)
    input_size : (int, int)
        Height and width of the input.
    stride, padding, dilation : int or pair of int

    Returns
    -------
    scipy.sparse.csr_array, shape (F * Ho * Wo, C * H * W), dtype of w

    Raises
    ------
    ValueError
        If w is not four-dimensional or no window fits.
    """
    _check_weight(w)
    kernel, strides, pads, dilations = _arguments(w.shape[2:], stride, padding, dilation)
    h, wd = pair(input_size, "input_size", 1)
    ho, wo = output_size((h, wd), kernel, strides, pads, dilations)
    f, c, a, b, i, j = np.ogrid[
        : w.shape[0], : w.shape[1], : kernel[0], : kernel[1], :ho, :wo
    ]
    y = i * strides[0] - pads[0] + a * dilations[0]
    x = j * strides[1] - pads[1] + b * dilations[1]
    inside = (y >= 0) & (y < h) & (x >= 0) & (x < wd)
    full = np.broadcast_shapes(f.shape, c.shape, a.shape, b.shape, i.shape, j.shape)
    inside = np.broadcast_to(inside, full)
    rows = np.broadcast_to((f * ho + i) * wo + j, full)[inside]
    columns = np.broadcast_to((c * h + y) * wd + x, full)[inside]
    values = np.broadcast_to(w[..., None, None], full)[inside]
    shape = (w.shape[0] * ho * wo, w.shape[1] * h * wd)
    return scipy.sparse.csr_array((values, (rows, columns)), shape=shape)


def _arguments(kernel_size, stride, padding, dilation):
    return (
        pair(kernel_size, "kernel_size", 1),
        pair(stride, "stride", 1),
        pair(padding, "padding"),
        pair(dilation, "dilation", 1),
    )


def _takes_winograd(dtype, channels, arguments):
    return _ALGORITHM.get() == "auto" and winograd.suits(dtype, channels, *arguments)


class _Band(NamedTuple):
    """Some rows of the output for one image."""

    image: int
    top: int
    bottom: int


def _bands(x, f, arguments):
    """Cut the output into bands; return them, and whether their matrix products are small.

    They are, if bands of a good size can be.
    """
    ho, wo = output_size(x.shape[2:], *arguments)
    taps = x.shape[1] * arguments[0][0] * arguments[0][1]
    in_cache = BAND_BYTES // (taps * x.itemsize)
    cells = min(SMALL_PRODUCT // (f * taps), in_cache)
    small = cells >= max(MIN_CELLS, wo)
    if not small:
        cells = max(in_cache, MAX_CELLS)
    rows = max(1, cells // wo)
    bands = [
        _Band(image, top, min(top + rows, ho))
        for image in range(len(x))
        for top in range(0, ho, rows)
    ]
    return bands, small


def _columns(
    x: np.ndarray, arguments: tuple, bands: Sequence[_Band]
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yield (image, cells, columns) for one band after the other.

    `columns` has shape (C * kh * kw, cells) and is overwritten by the next band.
    """
    kernel, stride, (ph, pw), dilation = arguments
    n, c, h, w = x.shape
    ho, wo = size = output_size((h, w), *arguments)
    plain = kernel == stride == (1, 1) and (ph, pw) == (0, 0)
    rows = max(band.bottom - band.top for band in bands)
    buffer = np.empty(0 if plain else c * kernel[0] * kernel[1] * rows * wo, x.dtype)
    # One padded image at a time: it is still in the cache when its windows are read.
    whole, current = padded(x[bands[0].image], (ph, pw)), bands[0].image
    view = windows(whole, size, kernel, stride, dilation)
    for image, top, bottom in bands:
        cells = slice(top * wo, bottom * wo)
        if plain:
            # The columns of a 1x1 convolution are the map itself.
            yield image, cells, x[image].reshape(c, -1)[:, cells]
            continue
        if image != current:
            current = image
            if whole.shape == x.shape[1:]:
                view = windows(x[image], size, kernel, stride, dilation)
            else:
                whole[:, ph : ph + h, pw : pw + w] = x[image]
        view_of_band = view[..., top:bottom, :]
        cols = buffer[: view_of_band.size].reshape(view_of_band.shape)
        np.copyto(cols, view_of_band)
        yield image, cells, cols.reshape(-1, (bottom - top) * wo)


def _padded_zeros(lead, size, arguments, dtype):
    _, _, padding, _ = arguments
    return np.zeros((*lead, *(n + 2 * p for n, p in zip(size, padding))), dtype)


def _add_windows(out, cols, arguments):
    """Add windows (N, C, kh, kw, Ho, Wo) to where they lie in the padded image, one tap a time."""
    (kh, kw), (sh, sw), _, (dh, dw) = arguments
    ho, wo = cols.shape[4:]
    for a in range(kh):
        for b in range(kw):
            rows = slice(a * dh, a * dh + (ho - 1) * sh + 1, sh)
            columns = slice(b * dw, b * dw + (wo - 1) * sw + 1, sw)
            out[:, :, rows, columns] += cols[:, :, a, b]


def _without_padding(x, size, padding):
    (h, w), (ph, pw) = size, padding
    return np.ascontiguousarray(x[:, :, ph : ph + h, pw : pw + w])


def _check_weight(w):
    check_array(w, "w", ("F", "C", "kh", "kw"))
