"""Pictures with a label for each pixel, and picture files."""

from fcn_numpy.data.images import normalise, read_image, write_image, write_labels
from fcn_numpy.data.scenes import SCENE_CLASSES, toy_scenes
from fcn_numpy.data.shapes import CLASSES, IGNORE, single_shapes, toy_shapes

__all__ = [
    "CLASSES",
    "IGNORE",
    "SCENE_CLASSES",
    "normalise",
    "read_image",
    "single_shapes",
    "toy_scenes",
    "toy_shapes",
    "write_image",
    "write_labels",
]
