"""Where the pictures of a run come from: drawn, or from a folder."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.data import (
    Classes,
    DataFaults,
    Folder,
    is_voc,
    named_folder,
    open_folder,
    single_shapes,
    toy_shapes,
)
from fcn_numpy.data.framing import extend, extend_labels, random_crop, random_window
from fcn_numpy.models import FCN
from fcn_numpy.prediction import fitting_size
from fcn_numpy.training.settings import Settings

# Toy pictures are drawn from seeds of their own, so that the held-out ones were never trained on.
TEST_SIZE = 128
TEST_SEED, TRAIN_SEED, SINGLE_SEED = 1_000_000_000, 2_000_000_000, 3_000_000_000
# Pictures of a folder that are kept in memory by each process, in bytes.
KEPT = 500_000_000

Batch = tuple[np.ndarray, np.ndarray]


class ToyPictures:
    """Toy shapes; each of several workers draws pictures of its own.

    Parameters
    ----------
    settings : Settings
    number, workers : int
        Which worker this is, of how many.
    """

    def __init__(self, settings: Settings, number: int, workers: int):
        self.settings = settings
        self.seed = settings.seed * workers + number
        self.own = slice(number, None, workers)
        self.workers = workers

    @functools.cached_property
    def single(self) -> Batch:
        """Pictures of one shape each, with its class."""
        n = -(-self.settings.n_single // self.workers)
        return single_shapes(n, self.settings.single_size, SINGLE_SEED + self.seed)

    @functools.cached_property
    def whole(self) -> Batch:
        """Pictures of several shapes, with the class of each pixel."""
        n = -(-self.settings.n_train // self.workers)
        return toy_shapes(n, self.settings.size, TRAIN_SEED + self.seed, rim=self.settings.rim)

    def windows(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw pictures for the classifier: images, and the class of each."""
        return self._draw(*self.single, size, rng)

    def batch(self, size: int, rng: np.random.Generator, model: FCN) -> Batch:
        """Draw pictures for an FCN: images, and the class of each pixel."""
        return self._draw(*self.whole, size, rng)

    def _draw(self, images, labels, size, rng):
        chosen = rng.integers(len(images), size=size)
        x, y = images[chosen], labels[chosen]
        if self.settings.flip:
            mirrored = rng.random(size) < 0.5
            x[mirrored] = x[mirrored, ..., ::-1]
            if y.ndim > 1:
                y[mirrored] = y[mirrored, ..., ::-1]
        return x, y

    def held_out(self, n: int, seed: int) -> Iterator[Batch]:
        """Yield this worker's part of n held-out pictures: image, and the class of each pixel."""
        images, labels = toy_shapes(n, TEST_SIZE, TEST_SEED + seed, rim=self.settings.rim)
        yield from zip(images[self.own], labels[self.own])


class FolderPictures:
    """Pictures of a folder; every worker draws from all of them.

    Parameters
    ----------
    settings : Settings
    train, test : Folder
    number, workers : int
        Which worker this is, of how many.
    """

    def __init__(self, settings: Settings, train: Folder, test: Folder, number: int, workers: int):
        self.settings = settings
        self.train, self.test = train, test
        self.own = slice(number, None, workers)
        self._kept: dict[int, Batch] = {}
        self._kept_bytes = 0

    def _read(self, index):
        if index in self._kept:
            return self._kept[index]
        image, labels = self.train[index]
        if self._kept_bytes < KEPT:
            self._kept[index] = image, labels
            self._kept_bytes += image.nbytes + labels.nbytes
        return image, labels

    def windows(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw windows for the classifier: images, and the class in the middle of each."""
        drawn = []
        for index in rng.integers(len(self.train), size=size):
            image, label = random_window(
                *self._read(int(index)), self.settings.single_size, rng
            )
            drawn.append((image[..., ::-1] if self._mirrors(rng) else image, label))
        images, labels = zip(*drawn)
        return np.stack(images), np.array(labels, np.uint8)

    def batch(self, size: int, rng: np.random.Generator, model: FCN) -> Batch:
        """Draw pictures for an FCN, continued to one size that it takes."""
        drawn = []
        for index in rng.integers(len(self.train), size=size):
            image, labels = self._read(int(index))
            if self.settings.size is not None:
                image, labels = random_crop(image, labels, self.settings.size, rng)
            if self._mirrors(rng):
                image, labels = image[..., ::-1], labels[:, ::-1]
            drawn.append((image, labels))
        return _stacked(drawn, model)

    def _mirrors(self, rng):
        return self.settings.flip and rng.random() < 0.5

    def held_out(self, n: int | None, seed: int) -> Iterator[Batch]:
        """Yield this worker's part of the held-out pictures, of the first n if n is given."""
        for index in range(len(self.test))[:n][self.own]:
            yield self.test[index]


def _stacked(pictures, model):
    largest = tuple(max(labels.shape[axis] for _, labels in pictures) for axis in (0, 1))
    size: Pair = fitting_size(model, largest)
    images, labels = zip(*((extend(x, size), extend_labels(y, size)) for x, y in pictures))
    return np.stack(images), np.stack(labels)


@dataclass(frozen=True)
class OwnData:
    """The pictures and masks of a run on a folder.

    Attributes
    ----------
    root : path
        The folder.
    train, test : Folder
        Pictures to learn from, and those held out.
    """

    root: Path
    train: Folder
    test: Folder

    @classmethod
    def open(
        cls, root: Path, *, classes: Classes | None = None, coloured: bool = False,
        split: str | None = None, validation: float | None = None, seed: int = 0,
    ) -> OwnData:
        """Find the pictures of a folder, and hold some out.

        Parameters
        ----------
        root : path
            Laid out as `fcn_numpy.data.own_folder` or `fcn_numpy.data.voc_folder` have it.
        classes, coloured
            As of `own_folder`; for PASCAL VOC its 21 classes if not given.
        split : str, optional
            For PASCAL VOC: the list to learn from. By default "train", with "val" held out.
        validation : float, optional
            Share of the pictures that is held out, drawn at random: 0.2, or for PASCAL VOC with
            its own lists none.
        seed : int
            Which pictures are drawn.

        Raises
        ------
        DataFaults
            If pictures or masks are missing, with all else that is wrong with them.
        """
        if split is not None and not is_voc(root):
            raise ValueError(f"expected {root} to be laid out as PASCAL VOC, to have lists")
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
        """How `found_again` finds the same pictures; goes into config.json."""
        return {
            "folder": str(self.root), "coloured": self.train.coloured,
            "train": self.train.names, "held_out": self.test.names,
        }

    @classmethod
    def found_again(cls, source: dict, classes: Classes) -> OwnData:
        """Find the pictures of a run that was begun before.

        Raises
        ------
        ValueError
            If some of them are gone.
        """
        root = Path(source["folder"])
        train, test = (
            named_folder(root, source[part], classes, source["coloured"])
            for part in ("train", "held_out")
        )
        faults = train.faults + test.faults
        if faults:
            raise ValueError(
                f"the pictures in {root} are not those that the run was begun with: {faults[0]}"
            )
        return cls(root, train, test)

    @property
    def classes(self) -> Classes:
        """The classes of the masks."""
        return self.train.classes

    @functools.cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """How many pixels each class has in the pictures to learn from, and in those held out.

        Everything is read for it, once, and so checked.

        Raises
        ------
        DataFaults
            With all that is wrong, in both parts.
        """
        counts, faults = [], []
        for folder in (self.train, self.test):
            try:
                counts.append(folder.check())
            except DataFaults as error:
                faults += error.faults
        if faults:
            raise DataFaults(faults)
        labelled, ignored = (sum(part) for part in zip(*counts))
        if not counts[0][0].any():
            raise DataFaults(["no pixel of the pictures to learn from has a class"])
        if ignored and not labelled[1:].any():
            raise DataFaults([
                f"all pixels of all masks are {self.classes.names[0]} (0) or ignored (255): "
                "objects must be 1 or above, or have their colour in classes.csv"
            ])
        return counts[0][0], counts[1][0]
