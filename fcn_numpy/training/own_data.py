"""The folder of images and masks that a run trains on."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy.card import check_percentiles
from fcn_numpy.data import Classes, DataWarning, Folder, open_folder
from fcn_numpy.data.faults import listed
from fcn_numpy.data.layouts import TEST, TRAIN, VAL, Pair, files_by_name, layout_of
from fcn_numpy.data.lists import IMAGES
from fcn_numpy.data.survey import judge
from fcn_numpy.files import shown


@dataclass(frozen=True)
class OwnData:
    """The images and masks of a run that trains on a folder.

    Attributes
    ----------
    root : path
        The folder.
    train, test : Folder
        Images to train on, and held-out images.
    checksum : int, optional
        Checksum of all pixels and labels when the run began. `check` warns if it has changed.
    """

    root: Path
    train: Folder
    test: Folder
    checksum: int | None = None

    @classmethod
    def open(
        cls, root: Path, *, classes: Classes | None = None, colored: bool = False,
        split: str | None = None, validation: float | None = None, seed: int = 0,
        mask_suffix: str = "", percentiles: tuple[float, float] | None = None,
    ) -> OwnData:
        """Find the images of a folder, and hold out some of them.

        Parameters
        ----------
        root : path
            The folder. `fcn_numpy.data.open_folder` describes the parameters not described here.
        classes : Classes, optional
        colored : bool
        split : str, optional
            The images to train on. By default, train, with val held out, if the folder has lists
            or folders of these names; otherwise all images.
        validation : float, optional
            Fraction of the images to hold out, drawn at random. The default is 0.2, or none if
            the split val is held out.
        seed : int
            Seed of the random draw.
        mask_suffix : str
        percentiles : (float, float), optional

        Returns
        -------
        OwnData

        Raises
        ------
        DataFaults
            If images or masks are missing. The error lists all other faults too.
        ValueError
            If a folder or a list is missing or damaged.
        """
        root = Path(root)

        def folder(name: str | None) -> Folder:
            return open_folder(
                root, name, classes, colored, mask_suffix=mask_suffix, percentiles=percentiles
            )

        layout = layout_of(root)
        usual = layout.usual(TRAIN) if split is None else split
        held_out = layout.split_named(VAL)
        if split is None and validation is None and held_out is not None:
            train, test = folder(usual), folder(held_out)
        else:
            everything = folder(usual)
            if everything.faults:
                everything.check()
            train, test = everything.split(0.2 if validation is None else validation, seed)
            if held_out not in (None, usual):
                _warn(f"the images of {held_out} are not used: part of {usual} is held out instead")
        _warn_of_masks((*train.pairs, *test.pairs))
        if (layout.images / (usual or "")).is_dir():
            unused = [n for n in layout.splits if n not in (usual, held_out) and n not in TEST]
            if unused and usual is not None:
                _warn(f"not used: the images in {listed(unused)}")
        if not layout.is_voc and usual is not None and not (layout.images / usual).is_dir():
            used = {image.name for image, _ in (*train.pairs, *test.pairs)}
            left = [path.name for path in files_by_name(layout.images, IMAGES).values()]
            left = [name for name in left if name not in used]
            if left and not train.faults + test.faults:
                _warn(f"not used, because no list in use names them: {listed(left)}")
        return cls(Path(os.path.abspath(root)), train, test)

    def check_apart(self, out: Path) -> None:
        """Raise ValueError if a run in `out` would write among the images or masks."""
        out = out.resolve()
        parents = {
            path.parent for folder in (self.train, self.test) for pair in folder.pairs
            for path in pair
        }
        root, own = self.root.resolve(), set()
        for folder in (parent.resolve() for parent in parents):
            inside = folder.relative_to(root).parts if root in folder.parents else ()
            own.add(root / inside[0] if inside else folder)
        if out == root or any(out == folder or folder in out.parents for folder in own):
            raise ValueError(
                f"expected a folder for the results that has no images or masks in it, got "
                f"{shown(out)}"
            )

    @property
    def source(self) -> dict:
        """What `found_again` needs to find the same images; calls `check`. For config.json."""
        self.check()
        return {
            "folder": str(self.root), "colored": self.train.colored,
            "stretch": self.train.percentiles, "checksum": vars(self)["_checksum"],
            "train": self._paths(self.train), "held_out": self._paths(self.test),
        }

    def _paths(self, folder):
        """Return the paths of images and masks, relative to the folder if they are inside."""
        paths = ((Path(os.path.abspath(p)) for p in pair) for pair in folder.pairs)
        root = Path(os.path.abspath(self.root))
        return [
            [(p.relative_to(root) if root in p.parents else p).as_posix() for p in pair]
            for pair in paths
        ]

    @classmethod
    def found_again(cls, source: dict, classes: Classes) -> OwnData:
        """Find the images of a run that was started earlier.

        Parameters
        ----------
        source : dict
            The `source` of the images as read from config.json. It is checked, because the file
            may contain anything.
        classes : Classes

        Returns
        -------
        OwnData

        Raises
        ------
        ValueError
            If some images are missing, or `source` is malformed.
        """
        percentiles = _checked(source)
        root = Path(source["folder"])
        folders = []
        for part in ("train", "held_out"):
            pairs = tuple((root / image, root / mask) for image, mask in source[part])
            missing = [path for pair in pairs for path in pair if not path.is_file()]
            if missing:
                raise ValueError(
                    f"the images in {shown(root)} are not the ones that the run was started with: "
                    f"{shown(missing[0])} is missing. Put it back, or change `folder` to where "
                    "they are"
                )
            folders.append(
                Folder(pairs, classes, source["colored"], percentiles=percentiles)
            )
        train, test = folders
        return cls(root, train, test, source["checksum"])

    @property
    def classes(self) -> Classes:
        """The classes of the masks."""
        return self.train.classes

    @property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Number of pixels of each class in the images to train on, and in the held-out images.

        These come from `check`, so a folder with faults raises DataFaults.

        Returns
        -------
        train : ndarray, shape (n_class,), int64
        test : ndarray, shape (n_class,), int64
        """
        return self.check()

    def check(
        self, report: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read and check all images and masks, unless this was done before.

        Parameters
        ----------
        report : callable
            Called after each image with the number of images done.

        Returns
        -------
        train : ndarray, shape (n_class,), int64
            The `counts`.
        test : ndarray, shape (n_class,), int64

        Raises
        ------
        DataFaults
            If there are faults; lists those of both parts (`fcn_numpy.data.survey.judge`).
        """
        own = vars(self)
        if "_counts" not in own:
            n = len(self.train)
            train = self.train.survey(report)
            test = self.test.survey(lambda done: report(n + done))
            judge(
                {"images to train on": train, "images to score on": test}, self.classes,
                self.train.colored,
            )
            own["_checksum"] = zlib.crc32(str((train.checksum, test.checksum)).encode())
            if self.checksum not in (None, own["_checksum"]):
                _warn(
                    f"images or masks in {shown(self.root)} have changed since the run began: its "
                    "result will differ from that of a run without an interruption"
                )
            n_class = len(self.classes)
            own["_counts"] = train.counts[:n_class], test.counts[:n_class]
        return own["_counts"]


def _warn(words: str) -> None:
    warnings.warn(words, DataWarning, stacklevel=3)


def _warn_of_masks(pairs: Sequence[Pair]) -> None:
    """Warn if several images share a mask."""
    of_masks: dict[Path, set[Path]] = {}
    for image, mask in pairs:
        of_masks.setdefault(mask, set()).add(image)
    shared = sorted(mask.name for mask, images in of_masks.items() if len(images) > 1)
    if shared:
        _warn(f"several images share a mask: {listed(shared)}")


def _checked(source: Any) -> tuple[float, float] | None:
    """Return the percentiles of a `source`, or raise ValueError if it is malformed."""
    fields = {
        "folder": (str, "a string"), "colored": (bool, "true or false"),
        "checksum": (int, "a whole number"), "train": (list, "a list"),
        "held_out": (list, "a list"),
    }
    if not isinstance(source, dict):
        raise ValueError(f"expected an object with {', '.join(fields)}, got {shown(source, 80)}")
    for name, (kind, words) in fields.items():
        if type(source.get(name)) is not kind:
            raise ValueError(f"{name}: expected {words}, got {shown(repr(source.get(name)), 80)}")
    for name in ("train", "held_out"):
        if not source[name]:
            raise ValueError(f"{name}: expected at least one image, got none")
        for pair in source[name]:
            if not _is_list(pair, str):
                raise ValueError(
                    f"{name}: expected an image and a mask, got {shown(repr(pair), 80)}"
                )
    return check_percentiles(source.get("stretch"))


def _is_list(values: Any, kind: type) -> bool:
    two = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 2
    return two and all(isinstance(value, kind) for value in values)
