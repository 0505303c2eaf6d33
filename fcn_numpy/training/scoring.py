"""Count the pixels that a network gets right and wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from fcn_numpy.data import IGNORE
from fcn_numpy.data.datasets import Means
from fcn_numpy.metrics import confusion_matrix
from fcn_numpy.models import Frozen, Segmenter
from fcn_numpy.prediction import score_image


def score_images(
    model: Segmenter | Frozen,
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    report: Callable[[int], None] = lambda done: None,
    order: np.ndarray | None = None,
    means: Means | None = None,
) -> np.ndarray:
    """Return the confusion matrix of a network on labeled images.

    Parameters
    ----------
    model : FCN, LateFusion or Frozen
        The network, as for `fcn_numpy.prediction.score_image`.
    images : iterable of (image, labels)
        RGB images of any size with values from 0 to 1, (3, H, W), and their labels, (H, W).
    report : callable
        Called after each image with the number of images done.
    order : ndarray of int, shape (n_class,), optional
        The number in the network of each class of the labels. By default, the numbers agree.
    means : dict of str to tuple of float, optional
        Means to subtract from the images, if not the defaults of `score_image`.

    Returns
    -------
    ndarray, shape (n_class, n_class), int64
    """
    hist = np.zeros((model.n_class, model.n_class), np.int64)
    for done, (image, labels) in enumerate(images, 1):
        scores = score_image(model, image, means=means)
        predicted = (scores if order is None else scores[order]).argmax(axis=0)
        hist += confusion_matrix(labels, predicted, model.n_class, IGNORE)
        report(done)
    return hist
