"""The engine room: the functions of the textbook, faster.

Each function computes the same as the plain code next to its caller, and tests compare the two.
The textbook checks arguments, and asks `on`, before it calls one of these functions.

========================  ==================================================================
`choose`                  which algorithm computes a convolution
`bands`                   im2col a band of rows at a time, so that columns stay in the cache
`flat`                    im2col at stride 1 along a line, in longer copies
`winograd`                3x3 kernels with a quarter of the multiplications
`transposed`              the transposed convolution as a convolution
`pointwise`               ReLU and max-pooling, a piece of the map at a time
`finish`                  bias and ReLU, applied while an output is in the cache
`frozen`                  a convolution with a fixed weight, and what follows it
`views`                   parts and windows of a map, as views where possible
`memory`                  arrays that are reused
`threads`                 independent pieces of work, shared between threads
`blas`                    the matrix product, and its number of threads
========================  ==================================================================
"""

from fcn_numpy.fast.choose import CHOICE, conv2d, conv2d_weight, on
from fcn_numpy.fast.finish import Finish
from fcn_numpy.fast.frozen import FrozenConv
from fcn_numpy.fast.memory import Maps
from fcn_numpy.fast.pointwise import max_pool, max_pool_input, relu, relu_input
from fcn_numpy.fast.transposed import conv2d_input

__all__ = [
    "CHOICE",
    "Finish",
    "FrozenConv",
    "Maps",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "max_pool",
    "max_pool_input",
    "on",
    "relu",
    "relu_input",
]
