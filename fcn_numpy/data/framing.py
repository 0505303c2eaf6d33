"""Crop images and labels, and extend them to a size."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.data.shapes import IGNORE


def extend(image: np.ndarray, size: Pair) -> np.ndarray:
    """Extend an image at the bottom and the right by repeating its last row and column.

    Parameters
    ----------
    image : ndarray, shape (3, H, W)
    size : (int, int)
        New height and width, at least (H, W).

    Returns
    -------
    ndarray, shape (3, *size)
    """
    if image.shape[1:] == tuple(size):
        return image
    extra = [(0, wanted - n) for wanted, n in zip(size, image.shape[1:])]
    return np.pad(image, [(0, 0), *extra], mode="edge")


def extend_labels(labels: np.ndarray, size: Pair) -> np.ndarray:
    """Extend labels at the bottom and the right with 255, so the added pixels do not count."""
    extra = [(0, wanted - n) for wanted, n in zip(size, labels.shape)]
    return np.pad(labels, extra, constant_values=IGNORE)


def random_crop(
    image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Crop a square at a random place, and extend it if the image is smaller."""
    h, w = labels.shape
    top, left = (int(rng.integers(max(n, size) - size + 1)) for n in (h, w))
    box = slice(top, top + size), slice(left, left + size)
    return extend(image[:, box[0], box[1]], (size, size)), extend_labels(labels[box], (size, size))


def random_window(
    image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Crop a square whose center pixel has a class drawn at random from those in the image.

    All classes in the image are equally likely, and so are all pixels of a class.

    Parameters
    ----------
    image : ndarray, shape (3, H, W)
    labels : ndarray, shape (H, W)
    size : int
        Height and width of the square.
    rng : numpy.random.Generator

    Returns
    -------
    window : ndarray, shape (3, size, size)
        Window of the image. Outside the image, the border pixels are repeated.
    label : int
        Class of the center pixel, or 255 if no pixel has a class.
    """
    there = np.unique(labels[labels != IGNORE])
    label = int(rng.choice(there)) if there.size else IGNORE
    places = np.flatnonzero(labels == label)
    row, column = divmod(int(rng.choice(places)), labels.shape[1])
    before, after = size // 2, size - 1 - size // 2
    window = [
        np.clip(np.arange(middle - before, middle + after + 1), 0, n - 1)
        for middle, n in ((row, labels.shape[0]), (column, labels.shape[1]))
    ]
    return image[:, window[0][:, None], window[1]], label
