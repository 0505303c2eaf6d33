"""MaxPool2d: the largest value of each window."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair, check_array, pair
from fcn_numpy.fast.threads import share_out_pieces
from fcn_numpy.geometry import FeatureMap, output_size
from fcn_numpy.nn.module import Module


class MaxPool2d(Module):
    """Maximum over windows: ``y[n, c, i, j] = max over a, b of x[n, c, i s - p + a d, ...]``.

    The gradient goes to the cell that won, the first in reading order where several are equal.
    Padding never wins. Sizes and ties as torch.nn.MaxPool2d; so is the -inf of a window all of
    whose cells are padding, which only a dilation above 1 makes possible.

    Parameters
    ----------
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        The kernel's size if not given.
    padding : int or pair of int
        At most half the kernel's size.
    ceil_mode : bool
        Keep windows that only partly lie in the map; the published FCNs do.
    dilation : int or pair of int
        Steps from one cell of a window to the next.
    """

    returns_new = True

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        ceil_mode: bool = False,
        dilation: int | Pair = 1,
    ):
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else pair(stride, "stride", 1)
        self.padding = pair(padding, "padding")
        self.ceil_mode = ceil_mode
        self.dilation = pair(dilation, "dilation", 1)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            raise ValueError(
                f"expected padding of at most half the kernel_size {self.kernel_size}, "
                f"got {self.padding}"
            )

    def _output_size(self, size):
        return output_size(
            size, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    @property
    def _extent(self):
        """Size of a window, from its first cell to its last: ``d (k - 1) + 1``."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation))

    def _cells(self, padded):
        """Views of the padded map: the cell (a, b) of all windows, in reading order."""
        (eh, ew), (sh, sw), (dh, dw) = self._extent, self.stride, self.dilation
        height = (padded.shape[-2] - eh) // sh * sh + 1
        width = (padded.shape[-1] - ew) // sw * sw + 1
        for a in range(0, eh, dh):
            for b in range(0, ew, dw):
                yield padded[..., a : a + height : sh, b : b + width : sw]

    def _padded_size(self, size):
        """Size of the map with padding, of which the windows cover all that they reach."""
        windows = self._output_size(size)
        return tuple(
            (o - 1) * s + e for o, s, e in zip(windows, self.stride, self._extent)
        )

    def _padded(self, x, fill=-np.inf):
        """The map (..., H, W) with all that the windows reach; x itself, if that is all of it."""
        (top, left), (hx, wx) = self.padding, x.shape[-2:]
        h, w = self._padded_size((hx, wx))
        if (top, left) == (0, 0) and h <= hx and w <= wx:
            return x[..., :h, :w]
        padded = np.full((*x.shape[:-2], max(h, top + hx), max(w, left + wx)), fill, x.dtype)
        padded[..., top : top + hx, left : left + wx] = x
        return padded[..., :h, :w]

    def _outside(self, size):
        """For each cell of the windows, where it is padding; None where it never is."""
        outside = self._cells(self._padded(np.zeros(size, bool), fill=True))
        return [cell if cell.any() else None for cell in outside]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, C, Ho, Wo) for x of shape (N, C, H, W)."""
        check_array(x, "MaxPool2d: x", ("N", "C", "H", "W"))
        y = np.empty((*x.shape[:2], *self._output_size(x.shape[2:])), x.dtype)
        index_dtype = np.min_scalar_type(self.kernel_size[0] * self.kernel_size[1] - 1)
        winner = np.empty(y.shape, index_dtype) if self.training else None
        outside = self._outside(x.shape[2:])

        def work(index):
            cells = list(self._cells(self._padded(x[index])))
            best = y[index]
            np.copyto(best, cells[0])
            for cell in cells[1:]:
                np.maximum(best, cell, out=best)
            if winner is not None:
                _count_losers(cells, outside, best, winner[index])

        share_out_pieces(work, x)
        self._keep(winner, x.shape, x.dtype)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        winner, (n, c, hx, wx), dtype = self._take()
        self._check_grad(grad, winner.shape, dtype)
        (top, left), (h, w) = self.padding, self._padded_size((hx, wx))
        padded = np.zeros((n, c, max(h, top + hx), max(w, left + wx)), grad.dtype)
        apart = all(s >= e for s, e in zip(self.stride, self._extent))

        def work(index):
            for number, cell in enumerate(self._cells(padded[index][:, :h, :w])):
                if apart:
                    np.multiply(grad[index], winner[index] == number, out=cell)
                else:
                    cell += grad[index] * (winner[index] == number)

        share_out_pieces(work, padded)
        return padded[:, :, top : top + hx, left : left + wx]

    def kinks(self, x: np.ndarray) -> np.ndarray:
        """Return the winner of each window.

        Cells that differ by no more than rounding count as equal, and the first of them as the
        winner: whole areas of a map are equal where a network sees only its own padding.
        """
        cells = np.stack(list(self._cells(self._padded(x))))
        best = cells.max(axis=0)
        slack = 2**10 * np.finfo(x.dtype).eps * np.abs(best)
        return np.argmax(cells >= best - slack, axis=0)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe the output."""
        grid = x.grid.convolved(self.kernel_size, self.stride, self.padding, self.dilation)
        return x.to(x.channels, self._output_size(x.size), grid)


def _count_losers(cells, outside, best, winner):
    """Write to `winner` how many cells of each window come before the first that is the best.

    Padding loses even where the best is -inf.
    """
    winner[...] = 0
    losing = np.ones(best.shape, bool)
    for cell, padding in zip(cells[:-1], outside):
        below = cell < best
        if padding is not None:
            below |= padding
        losing &= below
        winner += losing
