"""Folders of images with a mask each: your own, and those of PASCAL VOC."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fcn_numpy.data.classes import VOC_CLASSES, Classes
from fcn_numpy.data.faults import DataFaults, DataWarning, listed
from fcn_numpy.data.images import inspect_image, stretch
from fcn_numpy.data.layouts import TRAIN, Pair, classes_for, layout_of
from fcn_numpy.data.masks import inspect_mask
from fcn_numpy.data.shapes import IGNORE
from fcn_numpy.files import shown
from fcn_numpy.seeds import stream

# An image of 16 bits that fills less of their range is mostly one gray for a network.
SMALL_RANGE = 0.1


@dataclass
class Survey:
    """What was found in the images and masks of a folder.

    Attributes
    ----------
    counts : ndarray, shape (256,), int64
        Pixels of each label.
    faults : list of str
    turned, several, dark, reordered : list of str
        Images that were turned by their EXIF orientation, files of several images, images of 16
        bits that use little of their range, and masks whose palette was in another order.
    only_ignored : list of str
        Masks with 255 and class 0 and nothing else.
    ignored_with_others : int
        Masks with 255 and any other class.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    faults: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    only_ignored: list[str] = field(default_factory=list)
    ignored_with_others: int = 0


@dataclass(frozen=True)
class Folder:
    """Images, each with a mask of its labels, read when they are asked for.

    Attributes
    ----------
    pairs : tuple of (path, path)
        Image and mask.
    classes : Classes
    coloured : bool
        Whether masks are read by their colors.
    faults : tuple of str
        What was found wrong when the folder was listed; `check` raises it.
    percentiles : (float, float), optional
        What `fcn_numpy.data.stretch` does to each image; by default nothing.
    """

    pairs: tuple[Pair, ...]
    classes: Classes
    coloured: bool = False
    faults: tuple[str, ...] = ()
    percentiles: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an image, RGB from 0 to 1, (3, H, W), and its labels, (H, W), uint8."""
        survey = Survey()
        read, labels = self._read(index, survey)
        if survey.faults:
            raise DataFaults(survey.faults)
        return read.image, labels

    def _read(self, index, survey):
        """Return an image and its labels; add what is wrong or odd to the survey."""
        path, mask = self.pairs[index]
        read = labels = None
        try:
            read = inspect_image(path)
        except (ValueError, OSError) as error:
            survey.faults.append(_what(error, path))
        try:
            labels, reordered = inspect_mask(mask, self.classes, self.coloured)
        except (ValueError, OSError) as error:
            survey.faults.append(_what(error, mask))
        if read is None or labels is None:
            return None, None
        if reordered:
            survey.reordered.append(mask.name)
        if read.image.shape[1:] != labels.shape:
            why = ""
            if read.size == labels.shape:
                why = (
                    f"; the image was turned upright by its EXIF orientation {read.orientation}, "
                    "the mask was drawn on the image as it was before: turn the mask too"
                )
            survey.faults.append(
                f"expected {shown(mask)} to be of the size of its image, "
                f"{_size(read.image.shape[1:])}, got {_size(labels.shape)}{why}"
            )
            return None, None
        if self.percentiles is not None:
            read = read._replace(image=stretch(read.image, self.percentiles))
        return read, labels

    @property
    def names(self) -> list[str]:
        """Names of the images, without folder and ending."""
        return [image.stem for image, _ in self.pairs]

    def subset(self, indices: Iterable[int]) -> Folder:
        """Return some of the images."""
        return replace(self, pairs=tuple(self.pairs[i] for i in indices))

    def split(self, share: float, seed: int) -> tuple[Folder, Folder]:
        """Draw a share of the images to be held out.

        Which ones depends only on the number of images and the seed.

        Parameters
        ----------
        share : float
            Above 0 and below 1; rounded so that each part has at least one image.
        seed : int

        Returns
        -------
        others : Folder
        held_out : Folder
        """
        if not 0 < share < 1:
            raise ValueError(f"expected a share above 0 and below 1, got {share}")
        n = len(self)
        if n < 2:
            raise ValueError(f"expected at least 2 images, to train on and to score on, got {n}")
        drawn = np.random.default_rng(stream("held-out images", seed, n)).permutation(n)
        held_out = min(max(1, round(share * n)), n - 1)
        return self.subset(sorted(drawn[held_out:])), self.subset(sorted(drawn[:held_out]))

    def survey(self, report: Callable[[int], None] = lambda done: None) -> Survey:
        """Read everything once, and note what is found.

        Parameters
        ----------
        report : callable
            Called after each image with the number of images done.

        Returns
        -------
        Survey
        """
        survey = Survey(faults=list(self.faults))
        for index in range(len(self)):
            read, labels = self._read(index, survey)
            if labels is not None:
                name = self.pairs[index][0].name
                if read.orientation != 1:
                    survey.turned.append(name)
                if read.frames > 1:
                    survey.several.append(name)
                if read.bits == 16 and np.ptp(np.percentile(read.image, (1, 99))) < SMALL_RANGE:
                    survey.dark.append(name)
                counts = np.bincount(labels.ravel(), minlength=256)
                survey.counts += counts
                if counts[IGNORE]:
                    objects = counts[1 : len(self.classes)].any()
                    survey.ignored_with_others += bool(objects)
                    if counts[0] and not objects:
                        survey.only_ignored.append(self.pairs[index][1].name)
            report(index + 1)
        return survey

    def check(
        self, report: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, int]:
        """Read everything once, and count pixels.

        Parameters
        ----------
        report : callable
            Called after each image with the number of images done.

        Returns
        -------
        counts : ndarray, shape (n_class,), int64
            Pixels of each class.
        ignored : int
            Pixels that are labeled 255.

        Raises
        ------
        DataFaults
            With everything that is wrong (`judge`).
        """
        survey = self.survey(report)
        judge({"images": survey}, self.classes, self.coloured)
        return survey.counts[: len(self.classes)], int(survey.counts[IGNORE])


def _what(error, path):
    if isinstance(error, OSError):
        return f"{shown(path)}: {error.strerror or error}"
    return str(error)


def _size(size):
    return f"{size[1]} x {size[0]}"


def judge(surveys: Mapping[str, Survey], classes: Classes, coloured: bool) -> None:
    """Raise what makes labels useless, and warn of what is odd.

    Every command that reads labels asks here.

    Parameters
    ----------
    surveys : dict of str to Survey
        Of the parts of a folder, by what messages call them: "images to train on".
    classes : Classes
    coloured : bool
        Whether masks are read by their colors.

    Raises
    ------
    DataFaults
        If any file has a fault; if no pixel of the first part has a class; if 255, which is
        ignored, seems to be what objects are labeled.

    Warns
    -----
    DataWarning
        For classes without a pixel, images turned by EXIF, images of 16 bits that use a tenth of
        their range or less, and masks whose palette was in another order.
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
    declared = coloured or any(IGNORE in code for code in classes.number_codes)
    only_ignored = [name for part in parts for name in part.only_ignored]
    if total[IGNORE] and not total[1:n_class].any() and (coloured or not declared):
        raise DataFaults([
            f"all pixels of all masks are {_first(classes)} or ignored (255): "
            + ("the colors of the other classes are missing" if coloured else _mend(classes))
        ])
    if only_ignored and not declared:
        words = f"{listed(only_ignored)}: nothing but {_first(classes)} and ignored (255)"
        if not any(part.ignored_with_others for part in parts):
            raise DataFaults([f"{words}: {_mend(classes)}"])
        _warn(f"{words} in these masks")
    for where, part in surveys.items():
        absent = [name for name, n in zip(classes.names, part.counts) if not n]
        if absent:
            _warn(f"no pixel of the {where} is {listed(absent)}: is this the list of these masks?")
    turned, several, dark, reordered = (
        [name for part in parts for name in getattr(part, what)]
        for what in ("turned", "several", "dark", "reordered")
    )
    if turned:
        _warn(
            f"turned upright by its EXIF orientation: {listed(turned)}. A mask must be drawn on "
            "the image as it looks then"
        )
    if several:
        _warn(f"only the first image is read of a file that holds several: {listed(several)}")
    if dark:
        _warn(
            f"less than a tenth of the 16-bit range is used by {listed(dark)}: --stretch spreads "
            "the values of each image"
        )
    if reordered:
        _warn(
            f"read by color, because the palette is in another order than the list of classes: "
            f"{listed(reordered)}"
        )


def _first(classes):
    return f"{classes.names[0]} ({_number_of_first(classes)})"


def _number_of_first(classes):
    return next((code for code, number in classes.number_codes if number == 0), 0)


def _mend(classes):
    return (
        "if 255 is a class, say so in classes.csv (name,number in the first line, then "
        f"{classes.names[0]},{_number_of_first(classes)} and {classes.names[1]},255); if it is to "
        "be ignored, with a line ignore,255"
    )


def _warn(words):
    warnings.warn(words, DataWarning, stacklevel=4)


# ---------------------------------------------------------------- opening


def voc_folder(
    root: str | os.PathLike, split: str, classes: Classes = VOC_CLASSES, coloured: bool = False
) -> Folder:
    """Return the images of a list of PASCAL VOC. Parameters and result as for `open_folder`."""
    return open_folder(root, split, classes, coloured)


def own_folder(
    root: str | os.PathLike, classes: Classes | None = None, coloured: bool = False
) -> Folder:
    """Return all images of a folder of your own. Parameters and result as for `open_folder`."""
    faults: list[str] = []
    pairs = layout_of(root).pairs(None, faults)
    return _folder(root, pairs, faults, classes, coloured)


def open_folder(
    root: str | os.PathLike, split: str | None = None, classes: Classes | None = None,
    coloured: bool = False, *, mask_suffix: str = "",
    percentiles: tuple[float, float] | None = None,
) -> Folder:
    """Return the images of a folder, or those of one of its splits.

    Parameters
    ----------
    root : path-like
        Holds images/NAME.jpg (or another ending) and masks/NAME.png; or, as PASCAL VOC,
        JPEGImages and SegmentationClass.
    split : str, optional
        The name of a list (ROOT/train.txt, for PASCAL VOC ImageSets/Segmentation/train.txt) or of
        folders (images/train and masks/train), or the path of a list. By default train if there
        is one, and everything in a folder without splits.
    classes : Classes, optional
        By default those that classes.csv lists (or CVAT's labelmap.txt, labelme's
        class_names.txt); without a list, PASCAL VOC's for its layout.
    coloured : bool
        With `classes`: whether masks are read by their colors. A list in the folder says it by
        having colors or not.
    mask_suffix : str
        What the names of masks have after those of the images.
    percentiles : (float, float), optional
        What `fcn_numpy.data.stretch` does to each image; by default nothing.

    Returns
    -------
    Folder
        Its `faults` name each image and mask that has no partner.

    Raises
    ------
    ValueError
        If a folder, the list of images or the list of classes is missing, or damaged.
    """
    layout = layout_of(root, mask_suffix)
    faults: list[str] = []
    pairs = layout.pairs(layout.usual(TRAIN) if split is None else split, faults)
    return _folder(root, pairs, faults, classes, coloured, percentiles)


def _folder(root, pairs, faults, classes, coloured, percentiles=None):
    if classes is None:
        classes, coloured = classes_for(root)
    return Folder(pairs, classes, coloured, tuple(faults), percentiles)
