"""Winograd's convolution: a quarter of the multiplications, for 3x3 kernels at stride 1.

im2col needs 9 products for one output cell and one input channel. Winograd's algorithm
F(4x4, 3x3) computes a tile of 4x4 output cells from its window of 6x6 input cells with 36 products
instead of 144::

    Y = A [ (G g Gᵀ) * (B d Bᵀ) ] Aᵀ

Here g is a 3x3 kernel, d a 6x6 window, and Y a 4x4 tile; `*` multiplies cell by cell. The idea
comes from fast products of polynomials. G evaluates the kernel, read as a polynomial, at a few
points. B takes the window to the same points. From the products, A finds the polynomial that goes
through them. Because a correlation is the transpose of a polynomial product, B and A trade roles.

Summed over channels, cell k of the 36 is a matrix product, (F, C) times (C, tiles). Transforming
rows and columns, ``B d Bᵀ``, is one product with the Kronecker matrix of B with itself. So the
whole computation consists of matrix products: one in, 36 in the middle, one out. The gradient of
the weight takes the same path, transposed.

The price is rounding: the error grows with the entries of the matrices, and therefore depends on
the points. The usual points, 0, ±1, ±2 and infinity, make all entries whole numbers, but a matrix
product does not need whole numbers. With 0, ±3/4, ±3/2 and infinity, the largest error is a quarter
to a third of the usual one, and two to six times that of im2col (32 to 512 channels): about 1e-5
for outputs of size 1 in float32. An infinity or a NaN in a window makes all 16 cells of its tile
NaN, not only the cells that it touches.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016); Winograd, "Arithmetic
Complexity of Computations" (1980). We chose the points by measurement.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast import blas
from fcn_numpy.fast.finish import Finish
from fcn_numpy.fast.memory import Workspace
from fcn_numpy.fast.threads import LARGE_PRODUCT, even, parts, share_out
from fcn_numpy.fast.views import part_of, windows
from fcn_numpy.window import Window

POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
KERNEL = 3
TILE = 4
WINDOW = TILE + KERNEL - 1

# With fewer channels, the transforms cost as much as the products save.
MIN_CHANNELS = 64
# The largest number of tiles in a block. Its windows take 2 to 15 MB, for 64 to 512 channels. This
# is more than the second-level cache, but the kernels of wide layers are even larger, and each
# block reads them again.
MAX_TILES = 200
# Up to this many kernels, BLAS multiplies well only if the second matrix is not transposed.
FEW_KERNELS = 128 * 128


def transforms(
    points: Sequence[float] = POINTS, kernel: int = KERNEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the three matrices of the one-dimensional algorithm by Toom and Cook's rule.

    ``y = A ((G g) * (B d))`` is the correlation of d with g. Here d has one cell more than there
    are points, because infinity is the last point.

    Parameters
    ----------
    points : sequence of float
        The points, all different, without infinity.
    kernel : int
        Length r of g.

    Returns
    -------
    A : ndarray, shape (m, n)
    G : ndarray, shape (n, r)
    B : ndarray, shape (n, n)
        Here n = len(points) + 1, and m = n - r + 1 is the length of y.
    """
    at = np.asarray(points, float)
    n = len(at) + 1
    m = n - kernel + 1
    others = [np.delete(at, i) for i in range(n - 1)]
    # Evaluate at each point. At infinity, the value of a polynomial is its last coefficient.
    a = np.hstack([np.vander(at, m, increasing=True).T, np.eye(m)[:, -1:]])
    g = np.vstack([np.vander(at, kernel, increasing=True), np.eye(kernel)[-1:]])
    # Lagrange's polynomials are zero at all points but one. Their denominators go into g.
    g[:-1] /= [[np.prod(point - rest)] for point, rest in zip(at, others)]
    b = np.zeros((n, n))
    for row, roots in zip(b, [*others, at]):
        coefficients = np.polynomial.polynomial.polyfromroots(roots)
        row[: len(coefficients)] = coefficients
    return a, g, b


_A, _G, _B = (np.kron(matrix, matrix).astype(np.float32) for matrix in transforms())
# For a kernel rotated by 180 degrees, with its nine cells in the opposite order.
_G_TURNED = np.ascontiguousarray(_G[:, ::-1])


def applies(dtype: np.dtype, channels: Pair, window: Window, cells: float = math.inf) -> bool:
    """Return whether this module can compute a convolution, and faster than the others.

    This is true for float32, 3x3 kernels, stride 1, dilation 1, at least 64 channels in and out,
    and at least ten million multiplications. It is never true for float64, which people choose when
    digits count.

    Parameters
    ----------
    dtype : dtype
    channels : (int, int)
        Output and input channels.
    window : Window
    cells : int
        Cells of the output, in all images. Leave it out if the kernel is already transformed.

    Returns
    -------
    bool
    """
    return (
        dtype == np.float32
        and window == Window((KERNEL, KERNEL), padding=window.padding)
        and min(channels) >= MIN_CHANNELS
        and len(_B) / TILE**2 * math.prod(channels) * cells >= LARGE_PRODUCT
    )


def transform_kernel(
    w: np.ndarray, out: np.ndarray | None = None, turned: bool = False
) -> np.ndarray:
    """Return G g Gᵀ for each kernel.

    Parameters
    ----------
    w : ndarray, shape (F, C, 3, 3), float32
    out : ndarray, shape (36, F, C), float32, optional
        Where to write the result.
    turned : bool
        Whether to rotate each kernel by 180 degrees first.

    Returns
    -------
    ndarray, shape (36, F, C), float32
    """
    f, c = w.shape[:2]
    out = np.empty((len(_G), f, c), np.float32) if out is None else out
    kernels, columns = w.reshape(f * c, -1), out.reshape(len(_G), -1)
    g = _G_TURNED if turned else _G

    def work(pieces):
        for piece in pieces:
            blas.matmul(g, kernels[piece].T, out=columns[:, piece])

    share_out(work, parts(f * c, blas.thread_count() if w.size >= LARGE_PRODUCT // 100 else 1))
    return out


class _Block(NamedTuple):
    """A rectangle of tiles in each of a few images, and the filters to compute for them."""

    images: slice
    rows: slice
    columns: slice
    filters: slice

    @property
    def shape(self):
        """Numbers of images, rows of tiles and columns of tiles."""
        return tuple(part.stop - part.start for part in self[:3])

    @property
    def tiles(self):
        images, rows, columns = self.shape
        return images * rows * columns


def _blocks(images: int, size: Pair, channels: Pair) -> list[_Block]:
    """Cut a batch of maps into blocks, for `share_out`.

    Blocks are as wide as the map if possible, have nearly equal sizes, and are numerous enough to
    keep all threads busy. If everything fits into one block, each thread has its own filters
    instead: it transforms all windows, but reads only its part of the kernels.
    """
    (f, c), (rows, columns) = channels, (-(-n // TILE) for n in size)
    large = len(_B) * f * c * images * rows * columns >= LARGE_PRODUCT
    wide = -(-columns // MAX_TILES)
    high = -(-rows // max(1, MAX_TILES // -(-columns // wide)))
    deep = -(-images // max(1, MAX_TILES // (rows * columns)))
    sharing = 1
    if wide * high * deep == 1:
        sharing = blas.thread_count() if large else 1
    elif large and deep > 1:
        deep = even(deep)
    elif large:
        high = even(high)
    return [
        _Block(*cut)
        for cut in itertools.product(
            parts(images, deep), parts(rows, high), parts(columns, wide),
            parts(f, sharing),
        )
    ]


def conv2d(
    x: np.ndarray, kernel: np.ndarray, padding: Pair, finish: Finish, out: np.ndarray,
    pool: bool = False,
) -> None:
    """Convolve as `fcn_numpy.conv2d` does, for float32 and 3x3 kernels at stride 1.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), float32
    kernel : ndarray, shape (36, F, C), float32
        As `transform_kernel` returns it.
    padding : (int, int)
    finish : Finish
        Applied to each tile.
    out : ndarray, shape (N, F, Ho, Wo), float32
    pool : bool
        Whether `out` gets the maximum of each 2x2 window, at stride 2, instead of the cells. Its
        size is then half that of the convolution, rounded down or up.
    """
    (n, c), f = x.shape[:2], kernel.shape[1]
    size = Window((KERNEL, KERNEL), padding=padding).output_size(x.shape[2:])
    blocks = _blocks(n, size, (f, c))

    def work(blocks):
        with Workspace.borrow() as workspace:
            for block in blocks:
                # Two arrays take turns, so that each step reads what was just written.
                mine = kernel[:, block.filters]
                d = _gather(x, padding, WINDOW, block, workspace, "one")
                v = _transform(_B, d, workspace.array("two", len(_B), c, block.tiles))
                shape = (mine.shape[1], block.tiles)
                m = blas.matmul(mine, v, out=workspace.array("one", len(_B), *shape))
                tiles = _transform(_A, m, workspace.array("two", len(_A), *shape))
                finish.apply(tiles, block.filters)
                _scatter(tiles, size, out, block, pool)

    share_out(work, blocks)


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, padding: Pair, out: np.ndarray
) -> np.ndarray:
    """Compute the gradient of the weight of `conv2d`: the weight's path, transposed.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), float32
    grad_y : ndarray, shape (N, F, Ho, Wo), float32
    padding : (int, int)
    out : ndarray, shape (F, C, 3, 3), float32
        Overwritten.

    Returns
    -------
    ndarray
        `out`.
    """
    n, c = x.shape[:2]
    f = grad_y.shape[1]
    blocks = _blocks(n, grad_y.shape[2:], (f, c))

    def work(blocks):
        filters = blocks[0].filters  # the same for all its blocks
        with Workspace.borrow() as workspace:
            total = workspace.array("total", len(_B), filters.stop - filters.start, c)
            for block in blocks:
                y_tiles = _gather(
                    grad_y[:, filters], (0, 0), TILE, block, workspace, "one"
                )
                m = workspace.array("two", len(_B), total.shape[1], block.tiles)
                _transform(_A.T, y_tiles, m)
                d = _gather(x, padding, WINDOW, block, workspace, "one")
                v = _transform(_B, d, workspace.array("three", len(_B), c, block.tiles))
                v = v.transpose(0, 2, 1)
                if f * c <= FEW_KERNELS:
                    d = d.reshape(v.shape)
                    np.copyto(d, v)
                    v = d
                if block is blocks[0]:
                    blas.matmul(m, v, out=total)
                else:
                    total += blas.matmul(m, v, out=workspace.array("part", *total.shape))
            gradient = blas.matmul(total.reshape(len(_B), -1).T, _G)
            return filters, gradient.reshape(-1, *out.shape[1:])

    out[...] = 0
    for filters, gradient in share_out(work, blocks):
        out[filters] += gradient
    return out


def _transform(matrix, values, out):
    """Multiply `matrix` with values of shape (cells, channels, tiles) along the cells."""
    blas.matmul(matrix, values.reshape(len(values), -1), out=out.reshape(len(out), -1))
    return out


def _gather(x, padding, window, block, workspace, name):
    """Copy windows at a distance of 4 to an array of shape (window * window, channels, tiles)."""
    images, *size = block.shape
    rows, columns = (
        (TILE * part.start - p, TILE * (part.stop - 1) + window - p)
        for part, p in zip((block.rows, block.columns), padding)
    )
    piece = part_of(x[block.images], rows, columns, workspace)
    tiles = windows(piece, Window((window, window), (TILE, TILE)), tuple(size))
    out = workspace.array(name, window, window, x.shape[1], images, *size)
    np.copyto(out, tiles.transpose(2, 3, 1, 0, 4, 5))
    return out.reshape(window**2, x.shape[1], -1)


def _scatter(tiles, size, out, block, pool):
    """Write tiles of shape (16, F, tiles), or the maxima of their 2x2 windows, to `out`."""
    tiles = tiles.reshape(TILE, TILE, -1, *block.shape).transpose(0, 1, 3, 2, 4, 5)
    edge = TILE
    if pool:
        # Cells beyond the map do not belong to any window.
        h, w = (max(0, min(TILE, n - TILE * (p.stop - 1))) for n, p in zip(size, block[1:3]))
        tiles[h:, :, ..., -1, :] = -np.inf
        tiles[:, w:, ..., -1] = -np.inf
        for half in (tiles[0::2], tiles[1::2]):
            np.maximum(half[:, 0::2], half[:, 1::2], out=half[:, 0::2])
        tiles, edge = np.maximum(tiles[0::2, 0::2], tiles[1::2, 0::2]), TILE // 2
    top, left = edge * block.rows.start, edge * block.columns.start
    piece = out[
        block.images, block.filters, top : edge * block.rows.stop, left : edge * block.columns.stop
    ]
    for i in range(edge):
        for j in range(edge):
            cells = piece[:, :, i::edge, j::edge]
            np.copyto(cells, tiles[i, j, :, :, : cells.shape[2], : cells.shape[3]])
