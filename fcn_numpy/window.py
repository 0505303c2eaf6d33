"""Window: how a kernel slides over a map, and the sizes that follow from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import IntOrPair, Pair, pair


class Window(NamedTuple):
    """Kernel size, stride, padding and dilation, as pairs, height first.

    Cell (i, j) of the output sees tap (a, b) of its window at row ``i s - p + a d`` of the input,
    and likewise for its column. All sizes are (H, W); the axes are independent.

    Examples
    --------
    >>> Window.of(3, stride=2, padding=1).output_size((8, 7))
    (4, 4)
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @classmethod
    def of(
        cls, kernel_size: IntOrPair, stride: IntOrPair = 1, padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
    ) -> Window:
        """Make a window of ints or pairs of ints, or raise ValueError."""
        return cls(
            pair(kernel_size, "kernel_size", 1), pair(stride, "stride", 1),
            pair(padding, "padding"), pair(dilation, "dilation", 1),
        )

    @property
    def extent(self) -> Pair:
        """Rows and columns from the first tap to the last: ``d (k - 1) + 1``."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    def output_size(self, size: IntOrPair, ceil_mode: bool = False) -> Pair:
        """Count the windows that fit: ``floor((size + 2 p - extent) / s) + 1``.

        With `ceil_mode` the division rounds up: the last window may hang over the end, unless it
        would start beyond the input (the rule of torch.nn.MaxPool2d).
        """
        size, counts = pair(size, "size"), []
        for n, e, s, p in zip(size, self.extent, self.stride, self.padding):
            room = n + 2 * p - e
            count = (-(-room // s) if ceil_mode else room // s) + 1
            counts.append(count - (ceil_mode and (count - 1) * s >= n + p))
        if min(counts) < 1:
            raise ValueError(
                f"the input is too small: size {size} with padding {self.padding} does not "
                f"hold one window of kernel_size {self.kernel} and dilation {self.dilation}"
            )
        return counts[0], counts[1]

    def input_size(self, size: IntOrPair, output_padding: IntOrPair = 0) -> Pair:
        """Invert `output_size`: ``(size - 1) s - 2 p + extent + output_padding``.

        With a stride above 1, several input sizes have this output size; output_padding 0 gives the
        smallest.
        """
        size, extras = pair(size, "size", 1), pair(output_padding, "output_padding")
        numbers = zip(size, self.stride, self.padding, self.extent, extras)
        h, w = ((n - 1) * s - 2 * p + e + extra for n, s, p, e, extra in numbers)
        if min(h, w) < 1:
            raise ValueError(
                f"the output would be empty: size {size} with kernel_size {self.kernel}, "
                f"stride {self.stride} and padding {self.padding} gives {(h, w)}"
            )
        return h, w

    def windows(self, x: np.ndarray, fill: float = 0, ceil_mode: bool = False) -> np.ndarray:
        """View x, shape (..., H, W), as its windows, shape (..., kh, kw, Ho, Wo).

        The view is read-only: a cell of x appears in it once for every window that it lies in.
        Nothing is copied, unless x must be padded (with `fill`).
        """
        numbers = zip(x.shape[-2:], self.output_size(x.shape[-2:], ceil_mode), *self[1:3])
        margins = [
            (p, max(0, (o - 1) * s + e - n - p)) for (n, o, s, p), e in zip(numbers, self.extent)
        ]
        if margins != [(0, 0), (0, 0)]:
            x = np.pad(x, [(0, 0)] * (x.ndim - 2) + margins, constant_values=fill)
        (sh, sw), (dh, dw) = self.stride, self.dilation
        view = np.lib.stride_tricks.sliding_window_view(x, self.extent, axis=(-2, -1))
        return np.moveaxis(view[..., ::sh, ::sw, ::dh, ::dw], (-2, -1), (-4, -3))

    def add_windows(self, windows: np.ndarray, size: Pair) -> np.ndarray:
        """Add windows back where they came from, in a map of `size`: the adjoint of `windows`.

        A cell that lies in several windows gets their sum; what falls on the padding is dropped.
        """
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = self
        (ho, wo), (eh, ew) = windows.shape[-2:], self.extent
        bottom, right = (ho - 1) * sh + eh, (wo - 1) * sw + ew
        padded = max(size[0] + 2 * ph, bottom), max(size[1] + 2 * pw, right)
        x = np.zeros((*windows.shape[:-4], *padded), windows.dtype)
        for a in range(kh):
            for b in range(kw):
                rows = slice(a * dh, a * dh + (ho - 1) * sh + 1, sh)
                columns = slice(b * dw, b * dw + (wo - 1) * sw + 1, sw)
                x[..., rows, columns] += windows[..., a, b, :, :]
        return np.ascontiguousarray(x[..., ph : ph + size[0], pw : pw + size[1]])
