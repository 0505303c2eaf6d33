"""Pictures with a label for each pixel: toy shapes that are drawn."""

from fcn_numpy.data.shapes import CLASSES, IGNORE, single_shapes, toy_shapes

__all__ = ["CLASSES", "IGNORE", "single_shapes", "toy_shapes"]
