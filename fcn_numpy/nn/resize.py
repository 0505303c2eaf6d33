"""AdaptiveAvgPool2d and BilinearResize: resize a map with a matrix on each axis."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair, check_array, pair
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


def averaging_matrix(size: int, bins: int) -> np.ndarray:
    """Make the matrix that averages a row of cells in bins: row i is ``1 / length`` on bin i.

    Bin i extends from ``floor(i size / bins)`` up to, but not including,
    ``ceil((i + 1) size / bins)``. If `bins` does not divide `size`, neighboring bins share a cell.

    Parameters
    ----------
    size, bins : int

    Returns
    -------
    ndarray, shape (bins, size), float64

    Notes
    -----
    The edges are those of torch.nn.AdaptiveAvgPool2d.
    """
    matrix = np.zeros((bins, size))
    for i in range(bins):
        first, end = i * size // bins, -(-(i + 1) * size // bins)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


def interpolation_matrix(size: int, new_size: int, align_corners: bool) -> np.ndarray:
    """Make the matrix that interpolates a row linearly: one or two weights per row, with sum 1.

    Cell i of the result is at position ``(i + 1/2) size / new_size - 1/2`` of the old row, as if
    cells were areas and both rows had the same length. With `align_corners`, it is at
    ``i (size - 1) / (new_size - 1)``, so the first and last cells coincide. Positions outside the
    old row use its outermost cell.

    Parameters
    ----------
    size, new_size : int
    align_corners : bool

    Returns
    -------
    ndarray, shape (new_size, size), float64

    Notes
    -----
    The positions are those of torch.nn.functional.interpolate.
    """
    i = np.arange(new_size)
    if align_corners:
        position = i * (size - 1) / max(new_size - 1, 1)
    else:
        position = (i + 0.5) * size / new_size - 0.5
    position = position.clip(0, size - 1)
    lower = position.astype(int)
    matrix = np.zeros((new_size, size))
    matrix[i, lower] = 1 - (position - lower)
    matrix[i, np.minimum(lower + 1, size - 1)] += position - lower
    return matrix


class _Resize(Module):
    """Multiply a map by a matrix on each axis: ``y = R x Sᵀ``, backward ``Rᵀ grad S``.

    Subclasses define `_matrix`.
    """

    def _matrix(self, size: int, new_size: int) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} defines no _matrix")

    def _resized(self, x: np.ndarray, new_size: Pair) -> np.ndarray:
        rows, columns = (
            self._matrix(n, m).astype(x.dtype) for n, m in zip(x.shape[2:], new_size)
        )
        self._save(rows, columns, x.shape[:2])
        return rows @ x @ columns.T

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        rows, columns, channels = self._take()
        self._check_grad(grad, (*channels, len(rows), len(columns)), rows.dtype)
        return rows.T @ grad @ columns

    def _traced(self, x: FeatureMap, new_size: Pair) -> FeatureMap:
        rows, columns = (self._matrix(n, m) != 0 for n, m in zip(x.size, new_size))
        return x.to(x.channels, new_size, x.grid.mixed(rows, columns))


class AdaptiveAvgPool2d(_Resize):
    """Average a map over a fixed number of bins, whatever the size of the map.

    ``y[n, c, i, j]`` is the mean of x over bin i of the rows and bin j of the columns (see
    `averaging_matrix`).

    Parameters
    ----------
    output_size : int or pair of int
        Number of bins on each axis, height first. There may be more bins than cells.

    Notes
    -----
    Sizes and edges are those of torch.nn.AdaptiveAvgPool2d. Zhao et al., "Pyramid Scene Parsing
    Network" (2016), pool to 1, 2, 3 and 6 bins.
    """

    def __init__(self, output_size: int | Pair):
        self.output_size = pair(output_size, "output_size", 1)

    def _matrix(self, size: int, new_size: int) -> np.ndarray:
        return averaging_matrix(size, new_size)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, C, *output_size) for x of shape (N, C, H, W)."""
        check_array(x, "AdaptiveAvgPool2d: x", ("N", "C", "H", "W"))
        return self._resized(x, self.output_size)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y."""
        return self._traced(x, self.output_size)


class BilinearResize(_Resize):
    """Interpolate a map bilinearly to the size of another map.

    The interpolation is linear on each axis (see `interpolation_matrix`). The layer is fixed, and
    backward spreads the gradient with the same weights. Downsampling skips cells; it does not
    average.

    Parameters
    ----------
    align_corners : bool
        Whether the centers of the first and last cells coincide, or the borders of the maps.

    Notes
    -----
    The same as torch.nn.functional.interpolate with mode "bilinear".
    """

    def __init__(self, align_corners: bool = False):
        self.align_corners = bool(align_corners)

    def _matrix(self, size: int, new_size: int) -> np.ndarray:
        return interpolation_matrix(size, new_size, self.align_corners)

    def forward(self, x: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Return y of shape (N, C, *like.shape[2:]); `like` only provides a size."""
        check_array(x, "BilinearResize: x", ("N", "C", "H", "W"))
        check_array(like, "BilinearResize: like", ("N", "C", "H", "W"))
        return self._resized(x, like.shape[2:])

    def trace(self, x: FeatureMap, like: FeatureMap) -> FeatureMap:
        """Describe y."""
        return self._traced(x, like.size)
