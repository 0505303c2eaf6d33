"""A convolution is a matrix: y = M x. A network needs only three functions of it.

====================  ======================================================================
`conv2d`              M x: the convolution
`conv2d_input`        Mᵀ y: the gradient of its input, and the upsampling of section 3.3
                      of Long, Shelhamer and Darrell
`conv2d_weight`       the gradient of its weight
====================  ======================================================================

The kernel is not flipped (a cross-correlation, as in all deep learning); beyond its edges x is 0::

    y[n, f, i, j] = sum over c, a, b of w[f, c, a, b] * x[n, c, i s - p + a d, j s - p + b d]

M is never stored. `im2col` copies every window of x into a column; then M x is the small matrix
product ``w.reshape(F, -1) @ im2col(x)``, and the other two functions transpose one of its factors.
That is the whole theory, and the code below follows it literally. With groups, the channels of x
and y are split into that many parts, and each part of y sees only its own part of x: M is block
diagonal.

`fcn_numpy.fast` computes the same in less time and memory. It runs by default, except inside
``algorithm("plain")``. Arrays that do not fit together raise ValueError, and so does an input
smaller than one window. The names are those of torch.nn.grad.
"""

import numpy as np

from fcn_numpy import fast
from fcn_numpy.algorithms import algorithm as algorithm
from fcn_numpy.checks import IntOrPair, Pair, check_array, divide, output_array, pair
from fcn_numpy.window import Window


def im2col(
    x: np.ndarray, kernel_size: IntOrPair, stride: IntOrPair = 1, padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
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
    >>> im2col(np.arange(6).reshape(1, 1, 2, 3), kernel_size=2)[0]
    array([[0, 1],
           [1, 2],
           [3, 4],
           [4, 5]])
    """
    window = Window.of(kernel_size, stride, padding, dilation)
    check_array(x, "x", ("N", "C", "H", "W"), kinds="fiub")
    n, c, kh, kw, ho, wo = (windows := window.windows(x)).shape
    return windows.copy().reshape(n, c * kh * kw, ho * wo)


def col2im(
    cols: np.ndarray, input_size: Pair, kernel_size: IntOrPair, stride: IntOrPair = 1,
    padding: IntOrPair = 0, dilation: IntOrPair = 1,
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

    Returns
    -------
    ndarray, shape (N, C, H, W), dtype of cols

    Examples
    --------
    >>> col2im(im2col(np.ones((1, 1, 2, 3)), 2), (2, 3), 2)[0, 0]
    array([[1., 2., 1.],
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
    x: np.ndarray, w: np.ndarray, stride: IntOrPair = 1, padding: IntOrPair = 0,
    dilation: IntOrPair = 1, groups: int = 1, *, bias: np.ndarray | None = None,
) -> np.ndarray:
    """Convolve x with w: M x, plus bias.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    w : ndarray, shape (F, C / groups, kh, kw), dtype of x
    stride, padding, dilation : int or pair of int
    groups : int
    bias : ndarray, shape (F,), dtype of x, optional

    Returns
    -------
    ndarray, shape (N, F, Ho, Wo), dtype of x

    Examples
    --------
    >>> conv2d(np.array([[[[0.0, 0.0, 5.0, 5.0]]]]), np.array([[[[-1.0, 1.0]]]]))
    array([[[[0., 5., 0.]]]])
    """
    check_array(w, "w", ("F", "C", "kh", "kw"))
    divide(len(w), groups, "the channels of y")
    window = Window.of(w.shape[2:], stride, padding, dilation)
    check_array(x, "x", ("N", w.shape[1] * groups, "H", "W"), dtype=w.dtype, owner="w")
    if bias is not None:
        check_array(bias, "bias", (len(w),), dtype=w.dtype, owner="w")
    size = window.output_size(x.shape[2:])
    if fast.on():
        return fast.conv2d(x, w, window, groups, bias)
    y = _split(w, 0, groups) @ _split(im2col(x, *window), 1, groups)
    y = y.reshape(len(x), len(w), *size)
    return y if bias is None else y + bias[:, None, None]


def conv2d_input(
    grad_y: np.ndarray, w: np.ndarray, input_size: Pair, stride: IntOrPair = 1,
    padding: IntOrPair = 0, dilation: IntOrPair = 1, groups: int = 1,
) -> np.ndarray:
    """Apply the transpose of the convolution with w: Mᵀ grad_y.

    It turns the gradient of the output of `conv2d` into the gradient of its input. Used forward, it
    upsamples: each cell of grad_y is multiplied by the kernel and added to its window.

    Parameters
    ----------
    grad_y : ndarray, shape (N, F, Ho, Wo), floating
    w : ndarray, shape (F, C / groups, kh, kw), dtype of grad_y
    input_size : (int, int)
        Height and width of the convolution's input. Several sizes can have the same output size.
    stride, padding, dilation : int or pair of int
    groups : int

    Returns
    -------
    ndarray, shape (N, C, H, W), dtype of grad_y

    Examples
    --------
    >>> conv2d_input(np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 2.0]]]]), (1, 3))
    array([[[[ 1., 12., 20.]]]])
    """
    check_array(w, "w", ("F", "C", "kh", "kw"))
    divide(len(w), groups, "the channels of grad_y")
    size = pair(input_size, "input_size", 1)
    window = Window.of(w.shape[2:], stride, padding, dilation)
    shape = ("N", w.shape[0], *window.output_size(size))
    check_array(grad_y, "grad_y", shape, dtype=w.dtype, owner="w")
    if fast.on():
        return fast.conv2d_input(grad_y, w, size, window, groups)
    cols = _split(w, 0, groups).swapaxes(1, 2) @ _split(grad_y, 1, groups)
    return col2im(cols.reshape(len(cols), -1, cols.shape[-1]), size, *window)


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, kernel_size: IntOrPair, stride: IntOrPair = 1,
    padding: IntOrPair = 0, dilation: IntOrPair = 1, groups: int = 1, *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the gradient of the weight of `conv2d`, given the gradient of its output.

    y is linear in w as well: ``dL/dw = grad_y im2col(x)ᵀ``, summed over the images.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    grad_y : ndarray, shape (N, F, Ho, Wo), dtype of x
    kernel_size, stride, padding, dilation : int or pair of int
    groups : int
    out : ndarray, shape (F, C / groups, kh, kw), dtype of x, C order, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (F, C / groups, kh, kw), dtype of x

    Examples
    --------
    >>> conv2d_weight(np.array([[[[1.0, 2.0, 4.0]]]]), np.ones((1, 1, 1, 2)), (1, 2))
    array([[[[3., 6.]]]])
    """
    window = Window.of(kernel_size, stride, padding, dilation)
    check_array(x, "x", ("N", "C", "H", "W"))
    expected = (len(x), "F", *window.output_size(x.shape[2:]))
    check_array(grad_y, "grad_y", expected, dtype=x.dtype, owner="x")
    divide(grad_y.shape[1], groups, "the channels of grad_y")
    channels = divide(x.shape[1], groups, "the channels of x")
    shape = (grad_y.shape[1], channels, *window.kernel)
    out = output_array(out, shape, x.dtype, "x")
    if fast.on():
        return fast.conv2d_weight(x, grad_y, window, groups, out)
    cols = _split(im2col(x, *window), 1, groups)
    out[...] = (_split(grad_y, 1, groups) @ cols.swapaxes(2, 3)).sum(axis=0).reshape(shape)
    return out


def _split(x, axis, groups):
    """Split an axis into groups, and flatten the axes after it: a matrix for each group."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, -1)
