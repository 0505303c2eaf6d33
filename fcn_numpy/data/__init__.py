"""Pictures with a label for each pixel, and picture files."""

from fcn_numpy.data.images import normalise, read_image, write_image, write_labels
from fcn_numpy.data.shapes import CLASSES, IGNORE, single_shapes, toy_shapes

__all__ = [
    "CLASSES",
    "IGNORE",
    "normalise",
    "read_image",
    "single_shapes",
    "toy_shapes",
    "write_image",
    "write_labels",
]
