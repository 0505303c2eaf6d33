"""Pictures with a label for each pixel: drawn, or read from files."""

from fcn_numpy.data.classes import (
    TOY_CLASSES,
    VOC_CLASSES,
    Classes,
    read_classes,
    voc_palette,
    write_classes,
)
from fcn_numpy.data.folders import (
    DataFaults,
    Folder,
    is_voc,
    named_folder,
    open_folder,
    own_folder,
    voc_folder,
)
from fcn_numpy.data.images import (
    normalise,
    read_image,
    read_mask,
    subtract_mean,
    write_image,
    write_labels,
)
from fcn_numpy.data.scenes import SCENE_CLASSES, toy_scenes
from fcn_numpy.data.shapes import CLASSES, IGNORE, single_shapes, toy_shapes

__all__ = [
    "CLASSES",
    "IGNORE",
    "SCENE_CLASSES",
    "TOY_CLASSES",
    "VOC_CLASSES",
    "Classes",
    "DataFaults",
    "Folder",
    "is_voc",
    "named_folder",
    "normalise",
    "open_folder",
    "own_folder",
    "read_classes",
    "read_image",
    "read_mask",
    "single_shapes",
    "subtract_mean",
    "toy_scenes",
    "toy_shapes",
    "voc_folder",
    "voc_palette",
    "write_classes",
    "write_image",
    "write_labels",
]
