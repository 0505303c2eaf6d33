"""Images with a label for each pixel, drawn or read from files."""

from fcn_numpy.data.class_files import read_classes, write_classes
from fcn_numpy.data.classes import TOY_CLASSES, VOC_CLASSES, Classes, voc_palette
from fcn_numpy.data.datasets import (
    CONTEXT_CLASSES,
    DATASETS,
    NYUD_CLASSES,
    SIFTFLOW_CLASSES,
    SIFTFLOW_GEOMETRY,
    Dataset,
)
from fcn_numpy.data.depths import toy_depths
from fcn_numpy.data.faults import DataFaults, DataWarning
from fcn_numpy.data.folders import Folder, open_folder, own_folder, voc_folder
from fcn_numpy.data.images import (
    log_depth,
    normalise,
    normalize,
    read_depth,
    read_image,
    stretch,
    subtract_mean,
    write_image,
    write_labels,
)
from fcn_numpy.data.layouts import is_voc
from fcn_numpy.data.masks import read_mask
from fcn_numpy.data.scenes import SCENE_CLASSES, toy_scenes
from fcn_numpy.data.shapes import CLASSES, IGNORE, single_shapes, toy_shapes

__all__ = [
    "CLASSES",
    "CONTEXT_CLASSES",
    "DATASETS",
    "IGNORE",
    "NYUD_CLASSES",
    "SCENE_CLASSES",
    "SIFTFLOW_CLASSES",
    "SIFTFLOW_GEOMETRY",
    "TOY_CLASSES",
    "VOC_CLASSES",
    "Classes",
    "DataFaults",
    "DataWarning",
    "Dataset",
    "Folder",
    "is_voc",
    "log_depth",
    "normalise",
    "normalize",
    "open_folder",
    "own_folder",
    "read_classes",
    "read_depth",
    "read_image",
    "read_mask",
    "single_shapes",
    "stretch",
    "subtract_mean",
    "toy_depths",
    "toy_scenes",
    "toy_shapes",
    "voc_folder",
    "voc_palette",
    "write_classes",
    "write_image",
    "write_labels",
]
