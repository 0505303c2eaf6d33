"""Collect findings about a folder of images and masks, and report errors and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fcn_numpy.data.classes import VOC_CLASSES, Classes
from fcn_numpy.data.faults import DataFaults, DataWarning, listed
from fcn_numpy.data.shapes import IGNORE

# A 16-bit image that uses a smaller part of its range is almost uniform gray to a network.
SMALL_RANGE = 0.1
# Class names that usually mean pixels to ignore, not a class to learn.
VOID_NAMES = ("void", "unlabeled", "unlabelled", "ignored", "_ignore_", "__ignore__")


@dataclass
class Survey:
    """The findings about the images and masks of a folder.

    Attributes
    ----------
    counts : ndarray, shape (256,), int64
        Number of pixels with each label.
    faults : list of str
        Errors, in words.
    turned, several, dark, reordered, doubtful : list of str
        Images that were turned by their EXIF orientation, files with several images, 16-bit images
        that use a small part of their range, masks whose palette was in a different order, and
        masks whose palette may be in a different order.
    images : dict of bytes to str
        Name of an image, by the checksum of its pixels.
    checksum : int
        Checksum of all pixels and labels, to detect changes.
    only_ignored : list of str
        Masks that contain 255 and class 0 and nothing else.
    ignored_with_others : int
        Number of masks that contain 255 and any other class.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    images: dict[bytes, str] = field(default_factory=dict)
    checksum: int = 0
    faults: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    only_ignored: list[str] = field(default_factory=list)
    ignored_with_others: int = 0


def is_narrow(image: np.ndarray) -> bool:
    """Return whether an image uses less than a tenth of its range of values."""
    return bool(np.ptp(np.percentile(image, (1, 99))) < SMALL_RANGE)


def judge(surveys: Mapping[str, Survey], classes: Classes, colored: bool) -> None:
    """Raise an error if the labels are unusable, and warn about possible mistakes.

    Every command that reads labels calls this.

    Parameters
    ----------
    surveys : dict of str to Survey
        Surveys of the parts of a folder, by their names in messages ("images to train on").
    classes : Classes
    colored : bool
        Whether masks are read by color.

    Raises
    ------
    DataFaults
        If any file has a fault, if no pixel of the first part has a class, or if objects seem to
        be labeled 255, which is ignored.

    Warns
    -----
    DataWarning
        For classes without pixels or with a name such as "void", images turned by EXIF, files with
        several images, 16-bit images that use less than a tenth of their range, and masks whose
        palette was in a different order.
    """
    parts = list(surveys.values())
    faults = [fault for part in parts for fault in part.faults]
    if faults:
        raise DataFaults(faults)
    total = np.sum([part.counts for part in parts], axis=0)
    first, survey = next(iter(surveys.items()))
    n_class = len(classes)
    if not survey.counts[:n_class].any():
        raise DataFaults([f"no pixel of the {first} has a class"])
    declared = colored or any(IGNORE in code for code in classes.number_codes)
    only_ignored = [name for part in parts for name in part.only_ignored]
    if total[IGNORE] and not total[1:n_class].any() and not declared:
        raise DataFaults([
            f"all pixels of all masks are {_first(classes)} or ignored (255): {_mend(classes)}"
        ])
    if only_ignored and not declared:
        words = f"{listed(only_ignored)}: nothing but {_first(classes)} and ignored (255)"
        if not any(part.ignored_with_others for part in parts):
            raise DataFaults([f"{words}: {_mend(classes)}"])
        _warn(f"{words} in these masks")
    *others, last = parts
    both = [name for pixels, name in last.images.items() for p in others if pixels in p.images]
    if both:
        _warn(
            f"{len(both)} of {len(last.images)} images to score on are also trained on "
            f"({listed(sorted(both))}): their scores are not meaningful"
        )
    for where, part in surveys.items():
        absent = [name for name, n in zip(classes.names, part.counts) if not n]
        if absent:
            _warn(
                f"none of the {where} has a pixel of {listed(absent)}: does this list of classes "
                "belong to these masks?" + (
                    " (Without a list, a folder in PASCAL VOC's layout has its 21 classes.)"
                    if classes is VOC_CLASSES else ""
                )
            )
    void = [name for name in classes.names if name.lower() in VOID_NAMES]
    if void:
        _warn(f"{listed(void)} is learned as a class: if it should not count, name it ignore")
    turned, several, dark, reordered, doubtful = (
        [name for part in parts for name in getattr(part, what)]
        for what in ("turned", "several", "dark", "reordered", "doubtful")
    )
    if turned:
        _warn(
            f"turned upright by its EXIF orientation: {listed(turned)}. A mask must be drawn on "
            "the upright image; predictions.png shows whether it was"
        )
    if several:
        _warn(f"several images in one file, of which only the first is read: {listed(several)}")
    if dark:
        _warn(
            f"less than a tenth of the 16-bit range is used by {listed(dark)}: --stretch spreads "
            "the values of each image"
        )
    if reordered:
        _warn(
            f"read by color, because the palette is not in the order of the list of classes: "
            f"{listed(reordered)}"
        )
    if doubtful:
        _warn(
            f"read by number, although the colors are those of the list in a different order: "
            f"{listed(doubtful)}. If the colors are right, list them: name,red,green,blue"
        )


def _first(classes):
    return f"{classes.names[0]} ({_number_of_first(classes)})"


def _number_of_first(classes):
    return next((code for code, number in classes.number_codes if number == 0), 0)


def _mend(classes):
    return (
        "if 255 is a class, list it in classes.csv (first line name,number, then "
        f"{classes.names[0]},{_number_of_first(classes)} and {classes.names[1]},255); if it should "
        "be ignored, add a line ignore,255"
    )


def _warn(words):
    warnings.warn(words, DataWarning, stacklevel=4)
