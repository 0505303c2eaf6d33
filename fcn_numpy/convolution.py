"""A convolution is a matrix: y = M x. Three functions are all that a network needs of it.

====================  ======================================================================
`conv2d`              M x: the convolution
`conv2d_input`        Mᵀ y: the gradient of its input, and the upsampling of section 3.3
                      of Long, Shelhamer and Darrell
`conv2d_weight`       the gradient of its weight
====================  ======================================================================

As everywhere in deep learning, the kernel is not flipped (a cross-correlation)::

    y[n, f, i, j] = sum over c, a, b of
                    w[f, c, a, b] * x[n, c, i s - p + a d, j s - p + b d]

with zeros outside of x. M is never stored. `im2col` copies every window of x into a column; then
M x is the small matrix product ``w.reshape(F, -1) @ im2col(x)``, and the other two functions are
its transposes. That is the whole theory, and this file computes it as it is written here.

`fcn_numpy.fast` computes the same numbers in less time and memory. It is what runs, unless you ask
for the code on this page: ``with algorithm("plain"):``.

All three functions raise ValueError if the shapes or dtypes of their arrays do not fit together,
or if no window fits into the input. The names are those of torch.nn.grad.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fcn_numpy import fast
from fcn_numpy.checks import Pair, check_array, check_dtype, pair
from fcn_numpy.window import Window

ALGORITHMS = "auto", "im2col", "plain"


@contextmanager
def algorithm(name: str) -> Iterator[None]:
    """Choose how everything inside a with block is computed, whole networks included.

    Parameters
    ----------
    name : {"auto", "im2col", "plain"}
        "auto", the choice outside of any block: `fcn_numpy.fast`, with Winograd's algorithm for
        float32 and 3x3 kernels at stride 1 with at least 32 channels in and out, im2col for the
        rest. "im2col": `fcn_numpy.fast` without Winograd's algorithm; in float32 its rounding
        errors are a half (32 channels) to a fifth (512) of Winograd's. "plain": the textbook,
        without `fcn_numpy.fast`.

    Examples
    --------
    >>> x, w = np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3))
    >>> with algorithm("plain"):
    ...     conv2d(x, w)
    array([[[[9., 9.],
             [9., 9.]]]])
    """
    if name not in ALGORITHMS:
        raise ValueError(f"expected algorithm {' or '.join(map(repr, ALGORITHMS))}, got {name!r}")
    token = fast.CHOICE.set(name)
    try:
        yield
    finally:
        fast.CHOICE.reset(token)


def im2col(
    x: np.ndarray, kernel_size: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> np.ndarray:
    """Copy every window of x into a column.

    ``cols[n, (c, a, b), (i, j)] = x[n, c, i s - p + a d, j s - p + b d]``, zero outside of x.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    kernel_size, stride, padding, dilation : int or pair of int
        Height first.

    Returns
    -------
    ndarray, shape (N, C * kh * kw, Ho * Wo), dtype of x

    Examples
    --------
    >>> im2col(np.arange(9).reshape(1, 1, 3, 3), 2)[0]
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    """
    window = Window.of(kernel_size, stride, padding, dilation)
    check_array(x, "x", ("N", "C", "H", "W"), kinds="fiub")
    ho, wo = window.output_size(x.shape[2:])
    return window.windows(x).copy().reshape(len(x), -1, ho * wo)


def col2im(
    cols: np.ndarray, input_size: Pair, kernel_size: int | Pair, stride: int | Pair = 1,
    padding: int | Pair = 0, dilation: int | Pair = 1,
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
        As `im2col` was given them.

    Returns
    -------
    ndarray, shape (N, C, H, W), dtype of cols

    Examples
    --------
    >>> col2im(im2col(np.ones((1, 1, 3, 3)), 2), (3, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    window = Window.of(kernel_size, stride, padding, dilation)
    (kh, kw), size = window.kernel, pair(input_size, "input_size", 1)
    ho, wo = window.output_size(size)
    check_array(cols, "cols", ("N", f"C*{kh}*{kw}", ho * wo), kinds="fiu")
    if cols.shape[1] % (kh * kw):
        raise ValueError(f"expected cols of shape (N, C*{kh}*{kw}, {ho * wo}), got {cols.shape}")
    return window.add_windows(cols.reshape(len(cols), -1, kh, kw, ho, wo), size)


def conv2d(
    x: np.ndarray, w: np.ndarray, stride: int | Pair = 1, padding: int | Pair = 0,
    dilation: int | Pair = 1, *, bias: np.ndarray | None = None,
) -> np.ndarray:
    """Convolve x with w: M x, plus bias.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    w : ndarray, shape (F, C, kh, kw), dtype of x
    stride, padding, dilation : int or pair of int
        Height first.
    bias : ndarray, shape (F,), dtype of x, optional

    Returns
    -------
    ndarray, shape (N, F, Ho, Wo), dtype of x

    Examples
    --------
    >>> edges = np.array([[[[-1.0, 1.0]]]])
    >>> conv2d(np.array([[[[0.0, 0.0, 5.0, 5.0]]]]), edges)
    array([[[[0., 5., 0.]]]])
    """
    window = _window_of(w, stride, padding, dilation)
    check_array(x, "x", ("N", w.shape[1], "H", "W"))
    check_dtype(x, "x", w.dtype, "w")
    if bias is not None:
        check_array(bias, "bias", (len(w),))
        check_dtype(bias, "bias", w.dtype, "w")
    size = window.output_size(x.shape[2:])
    if fast.on():
        return fast.conv2d(x, w, window, bias)
    y = (w.reshape(len(w), -1) @ im2col(x, *window)).reshape(len(x), len(w), *size)
    return y if bias is None else y + bias[:, None, None]


def conv2d_input(
    grad_y: np.ndarray, w: np.ndarray, input_size: Pair, stride: int | Pair = 1,
    padding: int | Pair = 0, dilation: int | Pair = 1,
) -> np.ndarray:
    """Apply the transpose of the convolution with w: Mᵀ grad_y.

    It is the gradient of the loss by the input of `conv2d`, given the gradient by its output.
    Read forward, it is the transposed ("backwards strided") convolution that upsamples: each cell
    of grad_y is multiplied by the kernel and added to the window it belongs to.

    Parameters
    ----------
    grad_y : ndarray, shape (N, F, Ho, Wo), floating
    w : ndarray, shape (F, C, kh, kw), dtype of grad_y
    input_size : (int, int)
        Height and width of the convolution's input; several sizes can have the same output size.
    stride, padding, dilation : int or pair of int
        As `conv2d` was given them.

    Returns
    -------
    ndarray, shape (N, C, H, W), dtype of grad_y

    Examples
    --------
    >>> conv2d_input(np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 2.0]]]]), (1, 3))
    array([[[[ 1., 12., 20.]]]])
    """
    window = _window_of(w, stride, padding, dilation)
    size = pair(input_size, "input_size", 1)
    check_array(grad_y, "grad_y", ("N", w.shape[0], *window.output_size(size)))
    check_dtype(grad_y, "grad_y", w.dtype, "w")
    if fast.on():
        return fast.conv2d_input(grad_y, w, size, window)
    cols = w.reshape(len(w), -1).T @ grad_y.reshape(*grad_y.shape[:2], -1)
    return col2im(cols, size, *window)


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, kernel_size: int | Pair, stride: int | Pair = 1,
    padding: int | Pair = 0, dilation: int | Pair = 1, *, out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the gradient of the loss by the weight of `conv2d`, given that by its output.

    ``dL/dw[f, c, a, b] = sum over n, i, j of grad_y[n, f, i, j] * x[n, c, i s - p + a d, ...]``:
    grad_y times the transposed columns of x.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    grad_y : ndarray, shape (N, F, Ho, Wo), dtype of x
    kernel_size : int or pair of int
    stride, padding, dilation : int or pair of int
        As `conv2d` was given them.
    out : ndarray, shape (F, C, kh, kw), dtype of x, C order, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (F, C, kh, kw), dtype of x

    Examples
    --------
    >>> conv2d_weight(np.array([[[[1.0, 2.0, 4.0]]]]), np.ones((1, 1, 1, 2)), (1, 2))
    array([[[[3., 6.]]]])
    """
    window = Window.of(kernel_size, stride, padding, dilation)
    check_array(x, "x", ("N", "C", "H", "W"))
    check_array(grad_y, "grad_y", (len(x), "F", *window.output_size(x.shape[2:])))
    check_dtype(grad_y, "grad_y", x.dtype, "x")
    shape = (grad_y.shape[1], x.shape[1], *window.kernel)
    if out is None:
        out = np.empty(shape, x.dtype)
    check_array(out, "out", shape)
    check_dtype(out, "out", x.dtype, "x")
    if not out.flags.c_contiguous:
        raise ValueError(f"expected out in C order, got strides {out.strides}")
    if fast.on():
        return fast.conv2d_weight(x, grad_y, window, out)
    y = grad_y.reshape(*grad_y.shape[:2], -1)
    out[...] = (y @ im2col(x, *window).transpose(0, 2, 1)).sum(axis=0).reshape(shape)
    return out


def _window_of(w, stride, padding, dilation):
    check_array(w, "w", ("F", "C", "kh", "kw"))
    return Window.of(w.shape[2:], stride, padding, dilation)
