"""What sections 3.1 to 3.3 of the paper say of convolutions, as code that shows it.

`dense` turns a classifier into a network that gives a map of scores (3.1), `rarefaction` has two
ways to the same dense map (3.2), `upsampling` three ways to the same upsampled map (3.3). All are
written to be read; the layers and the models use none of it.
"""

from fcn_numpy.paper.dense import classify_windows, convolutionalize_layers, dense_classifier
from fcn_numpy.paper.rarefaction import rarefied_kernel, rarefy, shift_and_stitch
from fcn_numpy.paper.upsampling import by_layer, by_matrix, by_zeros, inversion_error, overlap

__all__ = [
    "by_layer",
    "by_matrix",
    "by_zeros",
    "classify_windows",
    "convolutionalize_layers",
    "dense_classifier",
    "inversion_error",
    "overlap",
    "rarefied_kernel",
    "rarefy",
    "shift_and_stitch",
]
