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
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse

from fcn_numpy.checks import Pair, check_array, check_dtype, pair
from fcn_numpy.geometry import output_size

# A band of columns is to stay in the processor's cache between being written and multiplied, but
# has at least so many columns that the matrix product is worth its start.
BAND_BYTES = 512 * 1024
BAND_CELLS = 512


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
    windows = _windows(_padded(x, arguments[2]), output_size(x.shape[2:], *arguments), arguments)
    n, c, kh, kw, ho, wo = windows.shape
    return windows.copy().reshape(n, c * kh * kw, ho * wo)


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
    padded = _padded_zeros((n, c), size, arguments, cols.dtype)
    _add_windows(padded, cols.reshape(n, c, kh, kw, ho, wo), arguments)
    return _without_padding(padded, size, arguments[2])


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
) -> np.ndarray:
    """Convolve x with w: C x.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    w : ndarray, shape (F, C, kh, kw), dtype of x
    stride, padding, dilation : int or pair of int
        Height first.

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
    arguments = _arguments(w.shape[2:], stride, padding, dilation)
    ho, wo = output_size(x.shape[2:], *arguments)
    matrix = w.reshape(w.shape[0], -1)
    y = np.empty((x.shape[0], w.shape[0], ho * wo), x.dtype)
    for image, cells, cols in _bands(x, arguments):
        np.matmul(matrix, cols, out=y[image, :, cells])
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

    Each cell of grad_y is multiplied with the kernel and added to the window it came from. At
    stride 1 that is itself a convolution, of grad_y with the kernel turned by 180 degrees and its
    two channel axes exchanged.

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
    if arguments[1] == (1, 1):
        return _conv2d_input_stride_1(grad_y, w, arguments)
    n, f, ho, wo = grad_y.shape
    _, c, kh, kw = w.shape
    matrix = w.reshape(f, -1).T
    padded = _padded_zeros((n, c), size, arguments, grad_y.dtype)
    y = grad_y.reshape(n, f, ho * wo)
    images = max(1, BAND_BYTES // (matrix.shape[0] * ho * wo * y.itemsize))
    for some in (slice(i, i + images) for i in range(0, n, images)):
        _add_windows(padded[some], (matrix @ y[some]).reshape(-1, c, kh, kw, ho, wo), arguments)
    return _without_padding(padded, size, arguments[2])


def _conv2d_input_stride_1(grad_y, w, arguments):
    kernel, _, padding, dilation = arguments
    turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    # All windows that touch a cell of the input: pad grad_y by what the kernel overhangs, less
    # the convolution's own padding. Where that padding was the larger one, the outermost cells
    # of grad_y saw nothing but padding: they are cut off.
    overhang = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding)]
    cut = tuple(slice(max(-o, 0), n - max(-o, 0)) for o, n in zip(overhang, grad_y.shape[2:]))
    pad = tuple(max(o, 0) for o in overhang)
    return conv2d(grad_y[:, :, cut[0], cut[1]], np.ascontiguousarray(turned), 1, pad, dilation)


def conv2d_weight(
    x: np.ndarray,
    grad_y: np.ndarray,
    kernel_size: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
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
    y = grad_y.reshape(n, f, -1)
    kh, kw = arguments[0]
    total = np.zeros((x.shape[1] * kh * kw, f), x.dtype)
    for image, cells, cols in _bands(x, arguments):
        # This way round, not y @ cols.T, the long matrix is read along its rows.
        total += cols @ y[image, :, cells].T
    return np.ascontiguousarray(total.T).reshape(f, x.shape[1], kh, kw)


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


def _padded(x, padding):
    """x with zeros around it; x itself where there is no padding."""
    if padding == (0, 0):
        return x
    (n, c, h, w), (ph, pw) = x.shape, padding
    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    return padded


def _windows(padded, size, arguments):
    """View of a padded x, shape (N, C, kh, kw, Ho, Wo): all windows, nothing copied."""
    kernel, stride, _, dilation = arguments
    sn, sc, sh, sw = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (*padded.shape[:2], *kernel, *size),
        (sn, sc, sh * dilation[0], sw * dilation[1], sh * stride[0], sw * stride[1]),
        writeable=False,
    )


def _bands(x: np.ndarray, arguments: tuple) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yield (image, cells, columns) for one band of output rows after the other.

    `columns` has shape (C * kh * kw, cells) and is overwritten by the next band.
    """
    kernel, _, (ph, pw), _ = arguments
    n, c, h, w = x.shape
    ho, wo = size = output_size((h, w), *arguments)
    # One padded image at a time: it is still in the cache when its windows are read.
    padded = _padded(x[:1], (ph, pw))
    inside = padded[0, :, ph : ph + h, pw : pw + w]
    windows = _windows(padded, size, arguments)[0]
    taps = c * kernel[0] * kernel[1]
    rows = min(ho, max(BAND_BYTES // (taps * wo * x.itemsize), -(-BAND_CELLS // wo)))
    buffer = np.empty(taps * rows * wo, x.dtype)
    for image in range(n):
        if image and (ph or pw):
            inside[...] = x[image]
        elif image:
            windows = _windows(x[image : image + 1], size, arguments)[0]
        for top in range(0, ho, rows):
            bottom = min(top + rows, ho)
            cols = buffer[: taps * (bottom - top) * wo]
            np.copyto(cols.reshape(c, *kernel, bottom - top, wo), windows[..., top:bottom, :])
            yield image, slice(top * wo, bottom * wo), cols.reshape(taps, -1)


def _padded_zeros(lead, size, arguments, dtype):
    _, _, padding, _ = arguments
    return np.zeros((*lead, *(n + 2 * p for n, p in zip(size, padding))), dtype)


def _add_windows(padded, windows, arguments):
    """Add windows (N, C, kh, kw, Ho, Wo) to where they lie in the padded image, one tap a time."""
    (kh, kw), (sh, sw), _, (dh, dw) = arguments
    ho, wo = windows.shape[4:]
    for a in range(kh):
        for b in range(kw):
            rows = slice(a * dh, a * dh + (ho - 1) * sh + 1, sh)
            columns = slice(b * dw, b * dw + (wo - 1) * sw + 1, sw)
            padded[:, :, rows, columns] += windows[:, :, a, b]


def _without_padding(padded, size, padding):
    (h, w), (ph, pw) = size, padding
    return np.ascontiguousarray(padded[:, :, ph : ph + h, pw : pw + w])


def _check_weight(w):
    check_array(w, "w", ("F", "C", "kh", "kw"))
