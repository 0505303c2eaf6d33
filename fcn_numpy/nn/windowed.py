"""Windowed: the base class of layers that slide a window."""

from __future__ import annotations

from fcn_numpy.checks import Pair
from fcn_numpy.nn.module import Module
from fcn_numpy.window import Window


class Windowed(Module):
    """A layer that slides a window over its input.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or pair of int
        Height first; stored as pairs under the same names.
    """

    def __init__(
        self, kernel_size: int | Pair, stride: int | Pair, padding: int | Pair,
        dilation: int | Pair,
    ):
        window = Window.of(kernel_size, stride, padding, dilation)
        self.kernel_size, self.stride, self.padding, self.dilation = window

    @property
    def window(self) -> Window:
        """The window as one tuple."""
        return Window(self.kernel_size, self.stride, self.padding, self.dilation)
