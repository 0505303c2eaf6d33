"""A convolution with a fixed weight, and the ReLU and the pooling layer that follow it."""

from __future__ import annotations

import numpy as np

from fcn_numpy.fast import winograd
from fcn_numpy.fast.choose import channels_of, im2col, takes_winograd
from fcn_numpy.fast.finish import Finish
from fcn_numpy.fast.memory import Maps
from fcn_numpy.fast.pointwise import max_pool
from fcn_numpy.window import Window

HALVING = Window((2, 2), (2, 2))


class FrozenConv:
    """Compute a convolution, bias, ReLU and 2x2 pooling in one pass.

    Parameters
    ----------
    w : ndarray, shape (F, C / groups, kh, kw), float32
        Winograd's algorithm transforms it only once, here, so it must not change.
    window : Window
    groups : int
    finish : Finish
    pool : bool
        Whether to return only the maximum of each 2x2 window of the output, at stride 2.
    ceil_mode : bool
        The ceil_mode of the pooling.
    """

    def __init__(
        self, w: np.ndarray, window: Window, groups: int, finish: Finish, pool: bool,
        ceil_mode: bool,
    ):
        self.window, self.pool, self.ceil_mode = window, pool, ceil_mode
        self.out_channels = len(w)
        self.by_winograd = takes_winograd(w.dtype, (len(w) // groups, w.shape[1]), window)
        self.groups = []
        for f, c in channels_of(groups, w):
            kernel = winograd.transform_kernel(w[f]) if self.by_winograd else w[f]
            bias = None if finish.bias is None else finish.bias[f]
            self.groups.append((f, c, kernel, Finish(bias, finish.relu)))

    def __call__(self, x: np.ndarray, maps: Maps) -> np.ndarray:
        """Return the output for x of shape (N, C, H, W), in the memory of `maps`."""
        channels = len(x), self.out_channels
        size = self.window.output_size(x.shape[2:])
        pooled = HALVING.output_size(size, self.ceil_mode) if self.pool else size
        y = maps.take((*channels, *(pooled if self.by_winograd else size)))
        for f, c, kernel, finish in self.groups:
            part, out = x[:, c], y[:, f]
            if self.by_winograd:
                winograd.conv2d(part, kernel, self.window.padding, finish, out, self.pool)
            else:
                method = im2col(len(kernel), self.window, part)
                method.conv2d(part, kernel, self.window, finish, out)
        if self.by_winograd or not self.pool:
            return y
        best = maps.take((*channels, *pooled))
        max_pool(y, HALVING, pooled, y=best)
        maps.give_back(y)
        return best
