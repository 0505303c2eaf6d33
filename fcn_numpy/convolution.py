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

Where it is faster, float32 convolutions with 3x3 kernels go through `fcn_numpy.fast.winograd`
(its `suits` has the rule); ``with algorithm("im2col"):`` prevents that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import scipy.sparse

from fcn_numpy.checks import Pair, check_array, check_dtype, pair
from fcn_numpy.fast import choose, transposed
from fcn_numpy.fast.choose import CHOICE
from fcn_numpy.fast.windows import padded, windows
from fcn_numpy.geometry import output_size

ALGORITHMS = "auto", "im2col"


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
    token = CHOICE.set(name)
    try:
        yield
    finally:
        CHOICE.reset(token)


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
    out = transposed.padded_zeros((n, c), size, arguments, cols.dtype)
    transposed.add_windows(out, cols.reshape(n, c, kh, kw, ho, wo), arguments)
    return transposed.without_padding(out, size, arguments[2])


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
    output_size(x.shape[2:], *arguments)
    return choose.conv2d(x, w, arguments, bias)


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
    return transposed.conv2d_input(grad_y, w, size, arguments)


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
    return choose.conv2d_weight(x, grad_y, arguments, out)


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


def _check_weight(w):
    check_array(w, "w", ("F", "C", "kh", "kw"))
