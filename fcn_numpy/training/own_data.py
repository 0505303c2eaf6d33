"""A folder of images and masks that a run learns from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy.card import check_percentiles
from fcn_numpy.data import Classes, DataWarning, Folder, open_folder
from fcn_numpy.data.faults import listed
from fcn_numpy.data.folders import judge
from fcn_numpy.data.layouts import TRAIN, VAL, layout_of
from fcn_numpy.files import shown


@dataclass(frozen=True)
class OwnData:
    """The images and masks of a run on a folder.

    Attributes
    ----------
    root : path
        The folder.
    train, test : Folder
        Images to train on, and held-out images.
    """

    root: Path
    train: Folder
    test: Folder

    @classmethod
    def open(
        cls, root: Path, *, classes: Classes | None = None, coloured: bool = False,
        split: str | None = None, validation: float | None = None, seed: int = 0,
        mask_suffix: str = "", percentiles: tuple[float, float] | None = None,
    ) -> OwnData:
        """Find the images of a folder, and hold out some of them.

        Parameters
        ----------
        root : path
            See `fcn_numpy.data.open_folder`, also for the other parameters.
        classes : Classes, optional
        coloured : bool
        split : str, optional
            The images to train on. By default train, with val held out, if the folder has such
            lists or folders; otherwise all images.
        validation : float, optional
            Fraction of the images that is held out, drawn at random: by default 0.2, or none if
            the split val is held out.
        seed : int
            Decides which images are drawn.
        mask_suffix : str
        percentiles : (float, float), optional

        Returns
        -------
        OwnData

        Raises
        ------
        DataFaults
            If images or masks are missing, with everything else that is wrong with them.
        ValueError
            If a folder or a list is missing, or damaged.
        """
        root = Path(root)

        def folder(name: str | None) -> Folder:
            return open_folder(
                root, name, classes, coloured, mask_suffix=mask_suffix, percentiles=percentiles
            )

        layout = layout_of(root)
        usual = layout.usual(TRAIN) if split is None else split
        held_out = next((name for name in VAL if name in layout.splits), None)
        if split is None and validation is None and held_out is not None:
            train, test = folder(usual), folder(held_out)
        else:
            everything = folder(usual)
            if everything.faults:
                everything.check()
            train, test = everything.split(0.2 if validation is None else validation, seed)
        both = {image for image, _ in train.pairs} & {image for image, _ in test.pairs}
        if both:
            warnings.warn(
                f"{len(both)} of {len(test)} images to score on are also trained on "
                f"({listed(sorted(path.name for path in both))}): their scores say little",
                DataWarning, stacklevel=2,
            )
        return cls(root.resolve(), train, test)

    @property
    def source(self) -> dict:
        """What `found_again` needs to find the same images; it is stored in config.json."""
        return {
            "folder": str(self.root), "coloured": self.train.coloured,
            "stretch": self.train.percentiles,
            "train": self._paths(self.train), "held_out": self._paths(self.test),
        }

    def _paths(self, folder):
        """Return the paths of images and masks, relative to the folder if they are in it."""
        paths = ((Path(os.path.abspath(p)) for p in pair) for pair in folder.pairs)
        root = Path(os.path.abspath(self.root))
        return [
            [(p.relative_to(root) if root in p.parents else p).as_posix() for p in pair]
            for pair in paths
        ]

    @classmethod
    def found_again(cls, source: dict, classes: Classes) -> OwnData:
        """Find the images of a run that was started before.

        Parameters
        ----------
        source : dict
            The `source` of its images, as config.json holds it, or anything else that stands
            there.
        classes : Classes

        Returns
        -------
        OwnData

        Raises
        ------
        ValueError
            If some of them are missing, or `source` is not what it should be.
        """
        percentiles = _checked(source)
        root = Path(source["folder"])
        folders = []
        for part in ("train", "held_out"):
            pairs = tuple((root / image, root / mask) for image, mask in source[part])
            missing = [path for pair in pairs for path in pair if not path.is_file()]
            if missing:
                raise ValueError(
                    f"the images in {shown(root)} are not those that the run was started with: "
                    f"{shown(missing[0])} is missing. If they have moved, change `folder` here"
                )
            folders.append(
                Folder(pairs, classes, source["coloured"], percentiles=percentiles)
            )
        return cls(root, *folders)

    @property
    def classes(self) -> Classes:
        """The classes of the masks."""
        return self.train.classes

    @property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of each class in the images to train on, and in the held-out ones.

        They come from `check`, so a folder with faults raises DataFaults.

        Returns
        -------
        train : ndarray, shape (n_class,), int64
        test : ndarray, shape (n_class,), int64
        """
        return self.check()

    def check(
        self, report: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read all images and masks, unless that is done already.

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
            With everything that is wrong in both parts (`fcn_numpy.data.folders.judge`).
        """
        own = vars(self)
        if "_counts" not in own:
            n = len(self.train)
            train = self.train.survey(report)
            test = self.test.survey(lambda done: report(n + done))
            judge(
                {"images to train on": train, "images to score on": test}, self.classes,
                self.train.coloured,
            )
            n_class = len(self.classes)
            own["_counts"] = train.counts[:n_class], test.counts[:n_class]
        return own["_counts"]


def _checked(source: Any) -> tuple[float, float] | None:
    """Return the percentiles of a `source`, or raise ValueError if that is none."""
    fields = {"folder": str, "coloured": bool, "train": list, "held_out": list}
    if not isinstance(source, dict):
        raise ValueError(f"expected an object with {', '.join(fields)}, got {shown(source, 80)}")
    for name, kind in fields.items():
        if not isinstance(source.get(name), kind):
            raise ValueError(
                f"{name}: expected a {kind.__name__}, got {shown(repr(source.get(name)), 80)}"
            )
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
