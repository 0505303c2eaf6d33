"""A folder of images and masks that a run learns from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_numpy.data import Classes, DataFaults, Folder, is_voc, named_folder, open_folder


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
    ) -> OwnData:
        """Find the images of a folder, and hold out some of them.

        Parameters
        ----------
        root : path
            With the layout of `fcn_numpy.data.own_folder` or `fcn_numpy.data.voc_folder`.
        classes : Classes, optional
            See `own_folder`; PASCAL VOC has its 21 classes by default.
        coloured : bool
            Whether masks are read by their colours.
        split : str, optional
            For PASCAL VOC: the list of images to train on. By default "train", with "val" held
            out.
        validation : float, optional
            Fraction of the images that is held out, drawn at random: by default 0.2, for PASCAL
            VOC with its own lists none.
        seed : int
            Decides which images are drawn.

        Returns
        -------
        OwnData

        Raises
        ------
        DataFaults
            If images or masks are missing, with everything else that is wrong with them.
        """
        if split is not None and not is_voc(root):
            raise ValueError(f"expected {root} to have the layout of PASCAL VOC, with lists")
        if is_voc(root) and split is None and validation is None:
            train, test = (open_folder(root, name, classes, coloured) for name in ("train", "val"))
        else:
            everything = open_folder(root, split or "train", classes, coloured)
            if everything.faults:
                everything.check()
            train, test = everything.split(0.2 if validation is None else validation, seed)
        return cls(root.resolve(), train, test)

    @property
    def source(self) -> dict:
        """What `found_again` needs to find the same images; it is stored in config.json."""
        return {
            "folder": str(self.root), "coloured": self.train.coloured,
            "train": self.train.names, "held_out": self.test.names,
        }

    @classmethod
    def found_again(cls, source: dict, classes: Classes) -> OwnData:
        """Find the images of a run that was started before.

        Parameters
        ----------
        source : dict
            The `source` of its images, as config.json holds it.
        classes : Classes

        Returns
        -------
        OwnData

        Raises
        ------
        ValueError
            If some of them are missing.
        """
        root = Path(source["folder"])
        train, test = (
            named_folder(root, source[part], classes, source["coloured"])
            for part in ("train", "held_out")
        )
        faults = train.faults + test.faults
        if faults:
            raise ValueError(
                f"the images in {root} are not those that the run was started with: {faults[0]}"
            )
        return cls(root, train, test)

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

    def check(self) -> tuple[np.ndarray, np.ndarray]:
        """Read all images and masks, unless that is done already.

        Returns
        -------
        train : ndarray, shape (n_class,), int64
            The `counts`.
        test : ndarray, shape (n_class,), int64

        Raises
        ------
        DataFaults
            With everything that is wrong in both parts.
        """
        return self._checked

    @functools.cached_property
    def _checked(self):
        counts, faults = [], []
        for folder in (self.train, self.test):
            try:
                counts.append(folder.check())
            except DataFaults as error:
                faults += error.faults
        if faults:
            raise DataFaults(faults)
        (train, ignored_train), (test, ignored_test) = counts
        if not train.any():
            raise DataFaults(["no pixel of the images to train on has a class"])
        if ignored_train + ignored_test and not (train + test)[1:].any():
            raise DataFaults([
                f"all pixels of all masks are {self.classes.names[0]} (0) or ignored (255): "
                "objects must be 1 or above, or have their color in classes.csv"
            ])
        return train, test
