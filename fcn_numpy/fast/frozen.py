"""A convolution whose weight stands still, with the ReLU and the pool that follow it."""

from __future__ import annotations

import numpy as np

from fcn_numpy.fast import winograd
from fcn_numpy.fast.choose import im2col, takes_winograd
from fcn_numpy.fast.finish import Finish
from fcn_numpy.fast.memory import Maps
from fcn_numpy.fast.pointwise import max_pool
from fcn_numpy.window import Window

HALVING = Window((2, 2), (2, 2))


class FrozenConv:
    """Computes a convolution, bias, ReLU and 2x2 pool in one go.

    Parameters
    ----------
    w : ndarray, shape (F, C, kh, kw), float32
        Winograd's algorithm transforms it here, once; so it must not change.
    window : Window
    finish : Finish
    pool : bool
        Whether only the maximum of each 2x2 window of the output is needed, at stride 2.
    ceil_mode : bool
        Of the pool.
    """

    def __init__(
        self, w: np.ndarray, window: Window, finish: Finish, pool: bool, ceil_mode: bool
    ):
        self.w, self.window, self.finish = w, window, finish
        self.pool, self.ceil_mode = pool, ceil_mode
        self.kernel = None
        if takes_winograd(w.dtype, w.shape[:2], window):
            self.kernel = winograd.transform_kernel(w)

    def __call__(self, x: np.ndarray, maps: Maps) -> np.ndarray:
        """Return the output for x of shape (N, C, H, W), in memory of `maps`."""
        channels = len(x), len(self.w)
        size = self.window.output_size(x.shape[2:])
        pooled = HALVING.output_size(size, self.ceil_mode) if self.pool else size
        if self.kernel is not None:
            y = maps.take((*channels, *pooled))
            winograd.conv2d(x, self.kernel, self.window.padding, self.finish, y, self.pool)
            return y
        y = maps.take((*channels, *size))
        im2col(len(self.w), self.window, x).conv2d(x, self.w, self.window, self.finish, y)
        if not self.pool:
            return y
        best = maps.take((*channels, *pooled))
        max_pool(y, HALVING, pooled, y=best)
        maps.give_back(y)
        return best
