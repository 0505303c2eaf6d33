"""Sections of the paper other than its architecture, as code that demonstrates them.

=================  =================================================================
`dense`            3.1, a classifier turned into a network that returns a score map
`rarefaction`      3.2, two ways to compute the same dense map
`upsampling`       3.3, three ways to upsample, and why none inverts a convolution
`sampling_curves`  3.4 and figure 5, whole images compared with sampled losses
`bounds`           appendix A, upper bounds on mean IU
`scenes`           what an FCN misses, and what a pyramid adds
`fusion`           two inputs and two heads, as for NYUDv2 and SIFT Flow
=================  =================================================================

This code is written to be read; the layers and the models do not use it.
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
