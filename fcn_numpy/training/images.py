"""The images of a run: toy images, or images of a folder."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from fcn_numpy.data import TOY_CLASSES, Classes, single_shapes, toy_shapes
from fcn_numpy.data.framing import extend, extend_labels, random_crop, random_window
from fcn_numpy.models import FCN
from fcn_numpy.prediction import fitting_size
from fcn_numpy.seeds import stream
from fcn_numpy.training.own_data import OwnData
from fcn_numpy.training.part import Part
from fcn_numpy.training.settings import Settings

TEST_SIZE = 128
# Memory in which each process keeps images of a folder, in bytes.
LOADED_BYTES = 500_000_000

Batch = tuple[np.ndarray, np.ndarray]


class ToyImages:
    """Toy shapes; each part of the batch draws from its own toy shapes.

    Parameters
    ----------
    settings : Settings
    part : Part
    """

    def __init__(self, settings: Settings, part: Part):
        self.settings = settings
        self.part = part

    @functools.cached_property
    def single(self) -> Batch:
        """Images that show one shape each, and the class of each shape."""
        n = -(-self.settings.n_single // self.part.count)
        return single_shapes(n, self.settings.single_size, self._seed("single shapes"))

    @functools.cached_property
    def whole(self) -> Batch:
        """Images that show several shapes, and the class of each pixel."""
        n = -(-self.settings.n_train // self.part.count)
        seed = self._seed("training shapes")
        return toy_shapes(n, self.settings.fixed_size, seed, rim=self.settings.rim)

    def _seed(self, purpose):
        return stream(purpose, self.settings.seed, self.part.number, self.part.count)

    def windows(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw images for the classifier, and the class of each."""
        return self._draw(*self.single, size, rng)

    def batch(self, size: int, rng: np.random.Generator, model: FCN) -> Batch:
        """Draw images for an FCN, and the class of each pixel."""
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

    def held_out(self, n: int | None, seed: int) -> Iterator[Batch]:
        """Yield this part of n held-out images (default `n_test`) with the class of each pixel."""
        n = self.settings.n_test if n is None else n
        seeds = stream("held-out shapes", seed)
        images, labels = toy_shapes(n, TEST_SIZE, seeds, rim=self.settings.rim)
        yield from zip(images[self.part.items], labels[self.part.items])


class FolderImages:
    """Images of a folder; each part of the batch draws from all of them.

    Parameters
    ----------
    settings : Settings
    data : OwnData
    part : Part
    """

    def __init__(self, settings: Settings, data: OwnData, part: Part):
        self.settings = settings
        self.train, self.test = data.train, data.test
        self.part = part
        self._loaded: dict[int, Batch] = {}
        self._loaded_bytes = 0

    def _read(self, index):
        if index in self._loaded:
            return self._loaded[index]
        image, labels = self.train[index]
        if self._loaded_bytes < LOADED_BYTES:
            self._loaded[index] = image, labels
            self._loaded_bytes += image.nbytes + labels.nbytes
        return image, labels

    def windows(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw windows for the classifier, and the class at the center of each window."""
        drawn = []
        for index in rng.integers(len(self.train), size=size):
            image, labels = self._read(int(index))
            image, label = random_window(image, labels, self.settings.single_size, rng)
            drawn.append((image[..., ::-1] if self._mirrors(rng) else image, label))
        images, classes = zip(*drawn)
        return np.stack(images), np.array(classes, np.uint8)

    def batch(self, size: int, rng: np.random.Generator, model: FCN) -> Batch:
        """Draw images and labels for an FCN, extended to one size that the FCN accepts."""
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
        """Yield this part of the first n held-out images (default all); the seed has no effect."""
        for index in range(len(self.test))[:n][self.part.items]:
            yield self.test[index]


def _stacked(drawn, model):
    height = max(labels.shape[0] for _, labels in drawn)
    width = max(labels.shape[1] for _, labels in drawn)
    size = fitting_size(model, (height, width))
    images, labels = zip(*((extend(x, size), extend_labels(y, size)) for x, y in drawn))
    return np.stack(images), np.stack(labels)


def images_of(
    settings: Settings, data: OwnData | None, part: Part
) -> ToyImages | FolderImages:
    """Return the images of a run: images of a folder, or toy images if data is None."""
    return ToyImages(settings, part) if data is None else FolderImages(settings, data, part)


def classes_of(data: OwnData | None) -> Classes:
    """Return the classes of the images of a run."""
    return TOY_CLASSES if data is None else data.classes
