"""The data sets of the paper's networks: their classes, and the means of their images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fcn_numpy.data.classes import VOC_CLASSES, Classes
from fcn_numpy.data.images import CAFFE_MEAN

Means = Mapping[str, tuple[float, ...]]

CONTEXT_CLASSES = Classes.named((
    *VOC_CLASSES.names, "bag", "bed", "bench", "book", "building", "cabinet", "ceiling", "clothes",
    "computer", "cup", "door", "fence", "floor", "flower", "food", "grass", "ground", "keyboard",
    "light", "mountain", "mouse", "curtain", "platform", "sign", "plate", "road", "rock", "shelves",
    "sidewalk", "sky", "snow", "bedcloth", "track", "tree", "truck", "wall", "water", "window",
    "wood",
))
SIFTFLOW_CLASSES = Classes.named((
    "awning", "balcony", "bird", "boat", "bridge", "building", "bus", "car", "cow", "crosswalk",
    "desert", "door", "fence", "field", "grass", "moon", "mountain", "person", "plant", "pole",
    "river", "road", "rock", "sand", "sea", "sidewalk", "sign", "sky", "staircase", "streetlight",
    "sun", "tree", "window",
))
SIFTFLOW_GEOMETRY = Classes.named(("sky", "horizontal", "vertical"))
NYUD_CLASSES = Classes.named((
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop",
))


@dataclass(frozen=True)
class Dataset:
    """The classes of a data set, and the means that networks subtract from its images.

    Attributes
    ----------
    classes : dict of str to Classes
        Classes of each head, by the name of the head; "" if there is only one head.
    means : dict of str to tuple of float
        Mean of each channel, in the order that networks expect: "color" (blue, green, red),
        "hha", and "depth" (mean of its natural logarithm).
    files : str
        A regular expression for the file names of published networks.
    """

    classes: Mapping[str, Classes]
    means: Means
    files: str

    def names(self, filename: str) -> bool:
        """Return whether a file name is that of a network published for this data set."""
        return bool(re.search(self.files, filename, re.IGNORECASE))


_HHA = (132.431, 94.076, 118.477)
# The file names are from pytorch-fcn, Chainer's fcn and the paper's authors.
DATASETS: dict[str, Dataset] = {
    "voc": Dataset(
        {"": VOC_CLASSES}, {"color": CAFFE_MEAN},
        r"fcn-?(32|16|8)s.*(from[_-]caffe|pascal)|fcn-alexnet-pascal",
    ),
    "pascalcontext": Dataset(
        {"": CONTEXT_CLASSES}, {"color": CAFFE_MEAN}, r"pascal-?context-fcn-?(32|16|8)s"
    ),
    "siftflow": Dataset(
        {"sem": SIFTFLOW_CLASSES, "geo": SIFTFLOW_GEOMETRY},
        {"color": (114.578, 115.294, 108.353)}, r"sift-?flow-fcn-?(32|16|8)s",
    ),
    "nyud-hha": Dataset({"": NYUD_CLASSES}, {"hha": _HHA}, r"nyud-fcn-?32s-hha"),
    "nyud": Dataset(
        {"": NYUD_CLASSES},
        {"color": (116.190, 97.203, 92.318), "depth": (7.844,), "hha": _HHA},
        r"nyud-fcn-?32s-color",
    ),
}
