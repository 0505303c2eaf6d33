"""Fully convolutional networks for semantic segmentation, in NumPy, every backward pass by hand."""

from fcn_numpy.algorithms import algorithm
from fcn_numpy.convolution import (
    col2im,
    conv2d,
    conv2d_input,
    conv2d_weight,
    im2col,
)
from fcn_numpy.matrix import conv_matrix

__version__ = "0.1.0"

__all__ = [
    "algorithm", "col2im", "conv2d", "conv2d_input", "conv2d_weight", "conv_matrix", "im2col"
]
