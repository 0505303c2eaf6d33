"""Section 3.3, "Upsampling is backwards strided convolution".

A convolution y = M x goes from many cells to few. Its transpose goes back: Mᵀ y has the size of x.
The transpose is often called deconvolution, although it does not invert anything
(`inversion_error`). `by_layer`, `by_matrix` and `by_zeros` compute the same numbers in three ways;
`overlap` shows how evenly the kernels cover the output.
"""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair, check_array, pair
from fcn_numpy.convolution import conv2d, conv2d_input
from fcn_numpy.matrix import conv_matrix
from fcn_numpy.nn import ConvTranspose2d
from fcn_numpy.window import Window


def by_layer(
    x: np.ndarray,
    w: np.ndarray,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
) -> np.ndarray:
    """Upsample as ConvTranspose2d does: the gradient of a convolution with respect to its input.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), floating
    w : ndarray, shape (C, F, kh, kw), dtype of x
    stride, padding, output_padding : int or pair of int
        As in `fcn_numpy.nn.ConvTranspose2d`.

    Returns
    -------
    ndarray, shape (N, F, Ho, Wo), dtype of x
    """
    layer = _layer(x, w, stride, padding, output_padding)
    layer.weight.data[...] = w
    return layer(x)


def by_matrix(
    x: np.ndarray,
    w: np.ndarray,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
) -> np.ndarray:
    """Upsample as Mᵀ x, where M is the matrix of the convolution from the upsampled map to x.

    Parameters and result as for `by_layer`.
    """
    layer = _layer(x, w, stride, padding, output_padding)
    size = layer.window.input_size(x.shape[2:], layer.output_padding)
    c = conv_matrix(w, size, layer.stride, layer.padding)
    return (c.T @ x.reshape(len(x), -1).T).T.reshape(len(x), w.shape[1], *size)


def by_zeros(
    x: np.ndarray,
    w: np.ndarray,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
) -> np.ndarray:
    """Upsample: insert s - 1 zeros between each cell and the next, and convolve with stride 1.

    The kernel is w rotated by 180 degrees with its channel axes exchanged, and the padding is
    ``k - 1 - p``. This is a convolution with "fractional stride" 1 / s: the kernel moves by one
    cell of the output, which is 1 / s of a cell of x. Most multiplications are by zero.

    Parameters and result as for `by_layer`.
    """
    layer = _layer(x, w, stride, padding, output_padding)
    (sh, sw), (eh, ew) = layer.stride, layer.output_padding
    h, wd = (x.shape[2] - 1) * sh + 1, (x.shape[3] - 1) * sw + 1
    spread = np.zeros((*x.shape[:2], h + eh, wd + ew), x.dtype)
    spread[:, :, :h:sh, :wd:sw] = x
    pads = [k - 1 - p for k, p in zip(layer.kernel_size, layer.padding)]
    # Negative padding removes cells of x that saw only padding in M.
    top, left = (max(-p, 0) for p in pads)
    spread = spread[:, :, top : spread.shape[2] - top, left : spread.shape[3] - left]
    turned = np.ascontiguousarray(w[:, :, ::-1, ::-1].swapaxes(0, 1))
    return conv2d(spread, turned, 1, (max(pads[0], 0), max(pads[1], 0)))


def _layer(x, w, stride, padding, output_padding):
    """Make the layer, which checks its arguments and stores them as pairs; its weight is not w."""
    check_array(w, "w", ("C", "F", "kh", "kw"))
    check_array(x, "x", ("N", w.shape[0], "H", "W"), dtype=w.dtype, owner="w")
    layer = ConvTranspose2d(
        w.shape[0], w.shape[1], w.shape[2:], stride, padding, output_padding, dtype=w.dtype
    )
    layer.window.input_size(x.shape[2:], layer.output_padding)  # or ValueError
    return layer


def inversion_error(
    w: np.ndarray,
    input_size: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
) -> float:
    """Return how far Mᵀ M x is from x: "deconvolution" does not undo a convolution.

    The error is the smallest ``|| a Mᵀ M - 1 || / || 1 ||`` over all factors a, in the Frobenius
    norm. This is the root mean square of ``|| a Mᵀ M x - x || / || x ||`` over directions x. The
    factor makes the error independent of the size of the weights.

    The error is 0 if the columns of M are orthogonal to each other and have the same length. For
    almost all kernels, they are not. If M has m rows and n columns, the error is at least
    ``sqrt(1 - m / n)``: what the convolution leaves out does not come back.

    Parameters
    ----------
    w : ndarray, shape (F, C, kh, kw)
        Kernel of the convolution.
    input_size : int or (int, int)
        Height and width of x. They must be small, because M is written out.
    stride, padding : int or pair of int

    Returns
    -------
    float
        From 0 to 1.
    """
    from scipy.sparse import csr_array, identity

    check_array(w, "w", ("F", "C", "kh", "kw"))
    size = pair(input_size, "input_size", 1)
    c = conv_matrix(w.astype(np.float64), size, stride, padding)
    square = c.T @ c
    total = (square * square).sum()
    factor = square.trace() / total if total else 0.0
    n = c.shape[1]
    difference = factor * square - csr_array(identity(n))
    return float(np.sqrt((difference * difference).sum() / n))


def overlap(kernel_size: int | Pair, stride: int | Pair, size: int | Pair) -> np.ndarray:
    """Count how many input cells reach each output cell of an upsampling.

    If the stride does not divide the kernel size, some inner cells get contributions from more
    input cells than their neighbors do. Unless the weights make up for it, upsampled maps show a
    checkerboard. The bilinear kernel for an odd factor f does make up for it: 2 f - 1 is not a
    multiple of f, and yet its weights add up to 1 in each cell.

    Parameters
    ----------
    kernel_size, stride : int or pair of int
    size : int or (int, int)
        Height and width of the input. For a single axis, pass (1, n), and 1 for the other heights.

    Returns
    -------
    ndarray of int, shape (Ho, Wo)
        The counts of the full output: nothing is cropped (padding 0).
    """
    kernel, strides = pair(kernel_size, "kernel_size", 1), pair(stride, "stride", 1)
    cells = pair(size, "size", 1)
    out = Window(kernel, strides).input_size(cells)
    counts = conv2d_input(np.ones((1, 1, *cells)), np.ones((1, 1, *kernel)), out, strides)
    return np.rint(counts[0, 0]).astype(int)
