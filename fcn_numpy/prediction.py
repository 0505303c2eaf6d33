"""From an image to the class of each pixel, with a trained network."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np

from fcn_numpy.checks import Pair, check_array
from fcn_numpy.data import (
    VOC_CLASSES,
    Classes,
    normalise,
    read_classes,
    subtract_mean,
)
from fcn_numpy.data.framing import extend
from fcn_numpy.models import FCN, Backbone

PREPROCESSING = {"normalise": normalise, "subtract_mean": subtract_mean}


def prepare(images: np.ndarray, backbone: type[Backbone]) -> np.ndarray:
    """Transform images into the input that a backbone expects.

    The published weights of VGG16 expect `fcn_numpy.data.subtract_mean`. Other backbones are
    trained by this package, with `fcn_numpy.data.normalise`: see `Backbone.preprocessing`.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.
    backbone : type of Backbone

    Returns
    -------
    ndarray, shape and dtype of images
    """
    return PREPROCESSING[backbone.preprocessing](images)


def score_image(model: FCN, image: np.ndarray) -> np.ndarray:
    """Return the scores of one image of any size.

    If the network does not take an image of this size, the image is extended at the bottom and
    the right by repeating its last row and column, and the scores are cropped to its size.

    Parameters
    ----------
    model : FCN
        It is left in eval mode.
    image : ndarray, shape (3, H, W), floating
        RGB from 0 to 1.

    Returns
    -------
    ndarray, shape (n_class, H, W)
        The argmax over the first axis is the class of each pixel.

    Raises
    ------
    ValueError
        If `image` does not have that shape and dtype.

    Examples
    --------
    >>> from fcn_numpy.models import TINY, FCN8s
    >>> score_image(FCN8s(21, TINY), np.zeros((3, 50, 70), np.float32)).shape
    (21, 50, 70)
    """
    check_array(image, "image", (3, "H", "W"))
    h, w = image.shape[1:]
    model.eval()
    extended = extend(image, fitting_size(model, (h, w)))
    return model(prepare(extended[None], model.backbone))[0, :, :h, :w]


def fitting_size(model: FCN, size: Pair) -> Pair:
    """Return the smallest size that the network takes and that is at least the given one.

    Parameters
    ----------
    model : FCN
    size : (int, int)
        Height and width.

    Returns
    -------
    (int, int)
    """
    h, w = (next(n for n in itertools.count(start) if model.takes(n)) for start in size)
    return h, w


def classes_of(
    model: FCN, weights: str | os.PathLike, classes: Classes | None = None
) -> Classes:
    """Return the classes that a network tells apart, which its weights do not name.

    Parameters
    ----------
    model : FCN
    weights : path-like
        The file that its weights come from.
    classes : Classes, optional
        The classes, if they are known: only their number is checked.

    Returns
    -------
    Classes
        `classes` if given. Otherwise those of the file classes.csv beside the weights, if it
        lists as many as the network has. Otherwise PASCAL VOC's for 21 classes on VGG16, as the
        published networks have them, or else "class 0", "class 1" and so on.

    Raises
    ------
    ValueError
        If `classes` has another number of classes than the network, or classes.csv is damaged.
    """
    if classes is not None:
        if len(classes) != model.n_class:
            raise ValueError(
                f"expected {os.fspath(weights)} to hold weights for {len(classes)} classes, got "
                f"score_fr.weight for {model.n_class}"
            )
        return classes
    beside = Path(weights).parent / "classes.csv"
    if beside.is_file():
        listed, _ = read_classes(beside)
        if len(listed) == model.n_class:
            return listed
    if model.n_class == len(VOC_CLASSES) and not model.backbone.learns_from_scratch:
        return VOC_CLASSES
    return Classes.named([f"class {number}" for number in range(model.n_class)])
