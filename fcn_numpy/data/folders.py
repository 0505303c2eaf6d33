"""Folders of images with masks: your own, and PASCAL VOC folders."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from fcn_numpy.data.classes import VOC_CLASSES, Classes
from fcn_numpy.data.faults import DataFaults
from fcn_numpy.data.images import inspect_image, stretch
from fcn_numpy.data.layouts import TRAIN, Pair, classes_for, layout_of
from fcn_numpy.data.masks import inspect_mask, values_in
from fcn_numpy.data.shapes import IGNORE
from fcn_numpy.data.survey import Survey, is_narrow, judge
from fcn_numpy.files import shown
from fcn_numpy.seeds import stream


@dataclass(frozen=True)
class Folder:
    """Images with masks of their labels, read on demand.

    Attributes
    ----------
    pairs : tuple of (path, path)
        Paths of each image and its mask.
    classes : Classes
    colored : bool
        Whether masks are read by color.
    faults : tuple of str
        Faults found when the folder was listed; `check` raises them.
    percentiles : (float, float), optional
        Percentiles for `fcn_numpy.data.stretch`. By default, images are not stretched.
    """

    pairs: tuple[Pair, ...]
    classes: Classes
    colored: bool = False
    faults: tuple[str, ...] = ()
    percentiles: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an RGB image from 0 to 1, (3, H, W), and its labels, (H, W), uint8."""
        survey = Survey()
        read, labels = self._read(index, survey)
        if survey.faults:
            raise DataFaults(survey.faults)
        return read.image, labels

    def _read(self, index, survey):
        """Return an image and its labels; add faults and oddities to the survey."""
        path, mask = self.pairs[index]
        read = mask_read = None
        try:
            read = inspect_image(path)
        except (ValueError, OSError) as error:
            survey.faults.append(_what(error, path))
        try:
            mask_read = inspect_mask(mask, self.classes, self.colored)
        except (ValueError, OSError) as error:
            survey.faults.append(_what(error, mask))
        if read is None or mask_read is None:
            return None, None
        labels = mask_read.labels
        if mask_read.reordered:
            survey.reordered.append(mask.name)
        if mask_read.doubtful:
            survey.doubtful.append(mask.name)
        if read.image.shape[1:] != labels.shape:
            why = ""
            if read.size == labels.shape:
                why = (
                    f"; the image was turned upright by its EXIF orientation {read.orientation}, "
                    "but the mask was drawn on the unturned image: turn the mask too"
                )
            survey.faults.append(
                f"expected {shown(mask)} to have the size of its image, "
                f"{_size(read.image.shape[1:])}, got {_size(labels.shape)}{why}"
            )
            return None, None
        if self.percentiles is not None:
            read = read._replace(image=stretch(read.image, self.percentiles))
        return read, labels

    @property
    def names(self) -> list[str]:
        """Names of the images, without folder and extension."""
        return [image.stem for image, _ in self.pairs]

    def subset(self, indices: Iterable[int]) -> Folder:
        """Return the images with these indices."""
        return replace(self, pairs=tuple(self.pairs[i] for i in indices))

    def split(self, share: float, seed: int) -> tuple[Folder, Folder]:
        """Split off a random share of the images, to be held out.

        The choice depends only on the number of images and the seed.

        Parameters
        ----------
        share : float
            Share above 0 and below 1, rounded so that each part has at least one image.
        seed : int

        Returns
        -------
        others : Folder
            The images that are not held out.
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
        """Read all images and masks once, and record what they contain.

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
                if read.has_more:
                    survey.several.append(name)
                if self.percentiles is None and read.bits == 16 and is_narrow(read.image):
                    survey.dark.append(name)
                pixels = hashlib.blake2b(read.image, digest_size=8).digest()
                survey.images.setdefault(pixels, name)
                survey.checksum = zlib.crc32(labels, zlib.crc32(pixels, survey.checksum))
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
        """Read and check all images and masks once, and count pixels.

        Parameters
        ----------
        report : callable
            Called after each image with the number of images done.

        Returns
        -------
        counts : ndarray, shape (n_class,), int64
            Number of pixels of each class.
        ignored : int
            Number of pixels labeled 255.

        Raises
        ------
        DataFaults
            If there are faults (`judge`); lists all of them.
        """
        survey = self.survey(report)
        judge({"images": survey}, self.classes, self.colored)
        return survey.counts[: len(self.classes)], int(survey.counts[IGNORE])


def _what(error, path):
    if isinstance(error, OSError):
        return f"{shown(path)}: {error.strerror or error}"
    return str(error)


def _size(size):
    return f"{size[1]} x {size[0]}"


# ---------------------------------------------------------------- opening


def voc_folder(
    root: str | os.PathLike, split: str, classes: Classes = VOC_CLASSES, colored: bool = False
) -> Folder:
    """Return the images of a PASCAL VOC list; takes and returns the same as `open_folder`."""
    return open_folder(root, split, classes, colored)


def own_folder(
    root: str | os.PathLike, classes: Classes | None = None, colored: bool = False
) -> Folder:
    """Return all images of your own folder; takes and returns the same as `open_folder`."""
    faults: list[str] = []
    pairs = layout_of(root).pairs(None, faults)
    return _folder(root, pairs, faults, classes, colored)


def open_folder(
    root: str | os.PathLike, split: str | None = None, classes: Classes | None = None,
    colored: bool = False, *, mask_suffix: str = "",
    percentiles: tuple[float, float] | None = None,
) -> Folder:
    """Return the images of a folder, or of one of its splits.

    Parameters
    ----------
    root : path-like
        Folder that contains images/NAME.jpg (or another image format) and masks/NAME.png; or, like
        PASCAL VOC, JPEGImages and SegmentationClass.
    split : str, optional
        Name of a list (ROOT/train.txt; ImageSets/Segmentation/train.txt for PASCAL VOC), name of
        folders (images/train and masks/train), or path of a list. By default, train if it exists;
        in a folder without splits, all images.
    classes : Classes, optional
        By default, the classes in classes.csv (or in CVAT's labelmap.txt or labelme's
        class_names.txt). Without a list, a PASCAL VOC folder has PASCAL VOC's classes.
    colored : bool
        Whether masks are read by color. This applies only to `classes`; if the list of classes is
        in the folder, its columns decide.
    mask_suffix : str
        Suffix that mask names add to image names.
    percentiles : (float, float), optional
        Percentiles for `fcn_numpy.data.stretch`. By default, images are not stretched.

    Returns
    -------
    Folder
        The folder. Its `faults` name every image and mask without a partner.

    Raises
    ------
    ValueError
        If a folder, the list of images or the list of classes is missing or damaged.
    """
    layout = layout_of(root, mask_suffix)
    faults: list[str] = []
    pairs = layout.pairs(layout.usual(TRAIN) if split is None else split, faults)
    return _folder(root, pairs, faults, classes, colored, percentiles)


def _folder(root, pairs, faults, classes, colored, percentiles=None):
    if classes is None:
        try:
            classes, colored = classes_for(root)
        except ValueError as error:
            # Report everything else too, so that the user needs only one more try.
            values = values_in(pairs[0][1]) if pairs else ""
            words = f"{error}. {shown(pairs[0][1])} has {values}" if values else str(error)
            raise (DataFaults([words, *faults]) if faults else ValueError(words)) from error
    return Folder(pairs, classes, colored, tuple(faults), percentiles)
