"""Winograd's convolution: a quarter of the multiplications, for 3x3 kernels at stride 1.

im2col needs 9 products for one output cell and one input channel. Winograd's algorithm
F(4x4, 3x3) computes a tile of 4x4 output cells from its window of 6x6 input cells with 36 products
instead of 144::

    Y = A [ (G g Gᵀ) * (B d Bᵀ) ] Aᵀ

g is a 3x3 kernel, d a 6x6 window, Y a 4x4 tile; `*` multiplies cell by cell. The idea is that of
fast polynomial products. G evaluates the kernel, read as a polynomial, at a few points. B takes the
window to the same points. A finds from the products the polynomial that goes through them; because
a correlation is the transpose of a polynomial product, B and A trade roles.

Summed over channels, cell k of the 36 is a matrix product, (F, C) times (C, tiles). Transforming
rows and columns, ``B d Bᵀ``, is one product with the Kronecker matrix of B with itself. So the
whole computation is matrix products: one in, 36 in the middle, one out. The gradient of the weight
takes the same path transposed.

The price is rounding: the error grows with the entries of the matrices, and hence depends on the
points. The usual points, 0, ±1, ±2 and infinity, make all entries whole numbers, which a matrix
product does not need. With 0, ±3/4, ±3/2 and infinity the largest error is a quarter to a third of
that, and two to six times im2col's (32 to 512 channels): about 1e-5 for outputs of size 1 in
float32. An infinity or a NaN in a window makes all 16 cells of its tile NaN, not only those that
it touches.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016); Winograd, "Arithmetic
Complexity of Computations" (1980). We chose the points by measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast.threads import SMALL_PRODUCT, share_out
from fcn_numpy.fast.views import windows
from fcn_numpy.window import Window

POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
KERNEL = 3
TILE = 4
WINDOW = TILE + KERNEL - 1

# With fewer channels, the transforms cost more than the products save.
MIN_CHANNELS = 32
# Tiles in a block: enough for an efficient product, few enough to stay in the cache.
MIN_TILES, MAX_TILES = 40, 256


def transforms(
    points: Sequence[float] = POINTS, kernel: int = KERNEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the three matrices of the one-dimensional algorithm, by Toom and Cook's rule.

    ``y = A ((G g) * (B d))`` is the correlation of d with g, where d has one cell more than there
    are points, the last point being infinity.

    Parameters
    ----------
    points : sequence of float
        All different.
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
    # Evaluate at each point; at infinity a polynomial's value is its last coefficient.
    a = np.hstack([np.vander(at, m, increasing=True).T, np.eye(m)[:, -1:]])
    g = np.vstack([np.vander(at, kernel, increasing=True), np.eye(kernel)[-1:]])
    # Lagrange's polynomials, zero at all points but one. Their denominators go to g.
    g[:-1] /= [[np.prod(point - rest)] for point, rest in zip(at, others)]
    b = np.zeros((n, n))
    for row, roots in zip(b, [*others, at]):
        coefficients = np.polynomial.polynomial.polyfromroots(roots)
        row[: len(coefficients)] = coefficients
    return a, g, b


_A, _G, _B = (np.kron(matrix, matrix).astype(np.float32) for matrix in transforms())


def applies(dtype: np.dtype, channels: Pair, window: Window) -> bool:
    """Return whether a convolution can be computed here, and faster than elsewhere.

    That holds for float32, kernels of 3x3, stride 1, dilation 1 and at least 32 channels in and
    out; never for float64, which is asked for where digits count.

    Parameters
    ----------
    dtype : dtype
    channels : (int, int)
        Output and input channels.
    window : Window

    Returns
    -------
    bool
    """
    return (
        dtype == np.float32
        and window == Window((KERNEL, KERNEL), padding=window.padding)
        and min(channels) >= MIN_CHANNELS
    )


class _Block(NamedTuple):
    """A rectangle of tiles, in each of a few images."""

    images: slice
    top: int
    left: int
    rows: int
    cols: int

    @property
    def tiles(self):
        return (self.images.stop - self.images.start) * self.rows * self.cols


class _Plan(NamedTuple):
    """The blocks of a batch of maps, and whether to share them between threads.

    They are shared where their products are so small that BLAS computes each on one thread.
    """

    blocks: list[_Block]
    in_threads: bool

    @classmethod
    def of(cls, images, size, channels):
        """Cut maps of this size into blocks, with small products where that is efficient."""
        rows, cols = (-(-n // TILE) for n in size)
        limit = SMALL_PRODUCT // (channels[0] * channels[1])
        in_threads = limit >= MIN_TILES
        limit = min(limit, MAX_TILES) if in_threads else MAX_TILES
        # Blocks of nearly equal size, as wide as the map if possible. Of small maps, a block takes
        # several images.
        wide = _even(cols, limit)
        high = _even(rows, limit // wide)
        deep = _even(images, limit // (rows * cols))
        blocks = [
            _Block(
                slice(image, min(image + deep, images)), top, left,
                min(high, rows - top), min(wide, cols - left),
            )
            for image in range(0, images, deep)
            for top in range(0, rows, high)
            for left in range(0, cols, wide)
        ]
        return cls(blocks, in_threads)

    def transform(self, matrix, values, out):
        """Multiply `matrix` with values of shape (cells, channels, tiles) along the cells."""
        if self.in_threads:
            np.matmul(matrix, values.transpose(1, 0, 2), out=out.transpose(1, 0, 2))
        else:
            np.matmul(
                matrix, values.reshape(len(values), -1), out=out.reshape(len(out), -1)
            )
        return out


def _even(length, limit):
    """Return the size of the parts when a length is cut evenly into parts of at most `limit`."""
    return -(-length // -(-length // max(1, limit)))


class _Workspace:
    """Arrays that are used again from call to call, since new memory is slow at first touch."""

    _idle: list[_Workspace] = []

    def __init__(self):
        self._memory = {}

    @classmethod
    @contextmanager
    def borrow(cls) -> Iterator[_Workspace]:
        """Lend a workspace that nobody else uses in the meantime."""
        try:
            workspace = cls._idle.pop()
        except IndexError:
            workspace = cls()
        try:
            yield workspace
        finally:
            cls._idle.append(workspace)

    def array(self, name: str, *shape: int) -> np.ndarray:
        """Return the array of this name in this shape, uninitialized."""
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = self._memory[name] = np.empty(size, np.float32)
        return memory[:size].reshape(shape)


def conv2d(
    x: np.ndarray, w: np.ndarray, padding: Pair, bias: np.ndarray | None = None
) -> np.ndarray:
    """Convolve as `fcn_numpy.conv2d` does, for float32 and 3x3 kernels at stride 1.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), float32
    w : ndarray, shape (F, C, 3, 3), float32
    padding : (int, int)
    bias : ndarray, shape (F,), optional
        Added to each output map.

    Returns
    -------
    ndarray, shape (N, F, Ho, Wo), float32
    """
    n, c, h, wd = x.shape
    f = len(w)
    size = Window((KERNEL, KERNEL), padding=padding).output_size((h, wd))
    y = np.empty((n, f, *size), np.float32)
    plan = _Plan.of(n, size, (f, c))
    shift = np.zeros((f, 1, 1), np.float32) if bias is None else bias[:, None, None]

    def work(blocks):
        with _Workspace.borrow() as workspace:
            for block in blocks:
                # Two arrays take turns, so that what is read was written just before.
                d = _gather(x, padding, WINDOW, block, workspace, "one")
                v = plan.transform(_B, d, workspace.array("two", len(_B), c, block.tiles))
                m = np.matmul(weights, v, out=workspace.array("one", len(_B), f, block.tiles))
                y_tiles = plan.transform(_A, m, workspace.array("two", len(_A), f, block.tiles))
                _scatter(y_tiles, shift, y, block)

    with _Workspace.borrow() as workspace:
        weights = _transformed_weight(w, workspace)
        share_out(work, plan.blocks, in_threads=plan.in_threads)
    return y


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
    plan = _Plan.of(n, grad_y.shape[2:], (f, c))

    def work(blocks):
        with _Workspace.borrow() as workspace:
            total = workspace.array("total", len(_B), f, c)
            for block in blocks:
                y_tiles = _gather(grad_y, (0, 0), TILE, block, workspace, "one")
                m = plan.transform(_A.T, y_tiles, workspace.array("two", len(_B), f, block.tiles))
                d = _gather(x, padding, WINDOW, block, workspace, "one")
                v = plan.transform(_B, d, workspace.array("three", len(_B), c, block.tiles))
                v = v.transpose(0, 2, 1)
                if plan.in_threads:
                    # OpenBLAS multiplies small matrices well only if the second one lies
                    # untransposed.
                    d = d.reshape(v.shape)
                    np.copyto(d, v)
                    v = d
                if block is blocks[0]:
                    np.matmul(m, v, out=total)
                else:
                    total += np.matmul(m, v, out=workspace.array("part", *total.shape))
            return np.matmul(total.transpose(1, 2, 0), _G)

    first, *others = share_out(work, plan.blocks, in_threads=plan.in_threads)
    np.copyto(out, first.reshape(out.shape))
    for other in others:
        out += other.reshape(out.shape)
    return out


def _transformed_weight(w, workspace):
    """G g Gᵀ for each kernel: shape (36, F, C)."""
    f, c = w.shape[:2]
    kernels = workspace.array("kernels", KERNEL**2, f, c)
    np.copyto(kernels.reshape(KERNEL, KERNEL, f, c), w.transpose(2, 3, 0, 1))
    weights = workspace.array("weights", len(_G), f, c)
    # One product for each output: small ones, which wake no threads.
    np.matmul(_G, kernels.transpose(1, 0, 2), out=weights.transpose(1, 0, 2))
    return weights


def _gather(x, padding, window, block, workspace, name):
    """Copy windows at a distance of 4 to an array of shape (window * window, channels, tiles)."""
    n, (c, h, w) = block.images.stop - block.images.start, x.shape[1:]
    size = block.rows, block.cols
    top, left = (TILE * b - p for b, p in zip((block.top, block.left), padding))
    high, wide = (TILE * (n - 1) + window for n in size)
    inside = (
        slice(max(top, 0), max(min(top + high, h), 0)),
        slice(max(left, 0), max(min(left + wide, w), 0)),
    )
    piece = x[(block.images, slice(None), *inside)]
    if piece.shape[2:] != (high, wide):
        # The block reaches into the padding, or ends inside its last tiles.
        whole = workspace.array("piece", n, c, high, wide)
        whole[...] = 0
        down, right = max(-top, 0), max(-left, 0)
        whole[..., down : down + piece.shape[2], right : right + piece.shape[3]] = piece
        piece = whole
    out = workspace.array(name, window, window, c, n, *size)
    tiles = windows(piece, Window((window, window), (TILE, TILE)), size)
    np.copyto(out, tiles.transpose(2, 3, 1, 0, 4, 5))
    return out.reshape(window**2, c, -1)


def _scatter(tiles, shift, y, block):
    """Write tiles of shape (16, F, tiles), plus `shift`, to where they lie in y."""
    top, left = TILE * block.top, TILE * block.left
    piece = y[
        block.images, :, top : top + TILE * block.rows, left : left + TILE * block.cols
    ]
    tiles = tiles.reshape(TILE, TILE, y.shape[1], len(piece), block.rows, block.cols)
    tiles = tiles.transpose(0, 1, 3, 2, 4, 5)
    for i in range(TILE):
        for j in range(TILE):
            cells = piece[:, :, i::TILE, j::TILE]
            np.add(tiles[i, j, :, :, : cells.shape[2], : cells.shape[3]], shift, out=cells)
