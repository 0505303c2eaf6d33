"""The sections of the paper between its title and its architecture, as code that shows them.

=================  =================================================================
`dense`            3.1, a classifier made into a network that gives a map of scores
`rarefaction`      3.2, two ways to the same dense map
`upsampling`       3.3, three ways to the same upsampled map, and what it is not
`sampling_curves`  3.4 and figure 5, whole images against sampled losses
`bounds`           appendix A, upper bounds on mean IU
`scenes`           what an FCN misses, and a pyramid adds
`fusion`           two inputs and two heads, as for NYUDv2 and SIFT Flow
=================  =================================================================

All are written to be read; the layers and the models use none of it.
"""

from fcn_numpy.paper.bounds import upper_bound, upper_bounds
from fcn_numpy.paper.dense import classify_windows, convolutionalize_layers, dense_classifier
from fcn_numpy.paper.fusion import train_with_depth
from fcn_numpy.paper.rarefaction import rarefied_kernel, rarefy, shift_and_stitch
from fcn_numpy.paper.sampling_curves import draw_sampling_curves
from fcn_numpy.paper.scenes import train_on_scenes
from fcn_numpy.paper.upsampling import by_layer, by_matrix, by_zeros, inversion_error, overlap

__all__ = [
    "by_layer",
    "by_matrix",
    "by_zeros",
    "classify_windows",
    "convolutionalize_layers",
    "dense_classifier",
    "draw_sampling_curves",
    "inversion_error",
    "overlap",
    "rarefied_kernel",
    "rarefy",
    "shift_and_stitch",
    "train_on_scenes",
    "train_with_depth",
    "upper_bound",
    "upper_bounds",
]
