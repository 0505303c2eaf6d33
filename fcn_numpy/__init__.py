"""Fully convolutional networks for semantic segmentation, in NumPy, every backward pass by hand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcn_numpy.algorithms import algorithm
    from fcn_numpy.convolution import col2im, conv2d, conv2d_input, conv2d_weight, im2col
    from fcn_numpy.matrix import conv_matrix

__version__ = "0.1.0"

__all__ = [
    "algorithm", "col2im", "conv2d", "conv2d_input", "conv2d_weight", "conv_matrix", "im2col"
]
_ELSEWHERE = {"algorithm": "algorithms", "conv_matrix": "matrix"}


def __getattr__(name: str) -> object:
    """Import a function when it is first used: the command line starts before NumPy is loaded."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"fcn_numpy.{_ELSEWHERE.get(name, 'convolution')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
