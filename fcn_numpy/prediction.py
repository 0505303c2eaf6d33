"""From an image to the class of each pixel, with a trained network."""

from __future__ import annotations

import itertools

import numpy as np

from fcn_numpy.checks import Pair, check_array
from fcn_numpy.data import normalise, subtract_mean
from fcn_numpy.data.framing import extend
from fcn_numpy.models import FCN, Backbone, Frozen

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

    Raises
    ------
    ValueError
        If a value is outside of [0, 1], or NaN.
    """
    return PREPROCESSING[backbone.preprocessing](images)


def score_image(model: FCN | Frozen, image: np.ndarray) -> np.ndarray:
    """Return the scores of one image of any size.

    If the network does not take an image of this size, the image is extended at the bottom and
    the right by repeating its last row and column, and the scores are cropped to its size.

    Parameters
    ----------
    model : FCN or Frozen
        An FCN is left in eval mode. For many images, a `fcn_numpy.models.Frozen` one is faster.
    image : ndarray, shape (3, H, W), floating
        RGB from 0 to 1.

    Returns
    -------
    ndarray, shape (n_class, H, W)
        The argmax over the first axis is the class of each pixel.

    Raises
    ------
    ValueError
        If `image` does not have that shape and dtype, or a value outside of [0, 1]; if the
        scores are not finite.

    Examples
    --------
    >>> from fcn_numpy.models import TINY, FCN8s
    >>> score_image(FCN8s(21, TINY), np.zeros((3, 50, 70), np.float32)).shape
    (21, 50, 70)
    """
    check_array(image, "image", (3, "H", "W"))
    h, w = image.shape[1:]
    if isinstance(model, FCN):
        model.eval()
    extended = extend(image, fitting_size(model, (h, w)))
    with np.errstate(over="ignore", invalid="ignore"):  # it shows in the scores
        scores = model(prepare(extended[None], model.backbone))[0, :, :h, :w]
    if not np.isfinite(scores).all():
        raise ValueError("the scores are not finite: are these the weights of a broken training?")
    return scores


def fitting_size(model: FCN | Frozen, size: Pair) -> Pair:
    """Return the smallest size that the network takes and that is at least the given one.

    Parameters
    ----------
    model : FCN or Frozen
    size : (int, int)
        Height and width.

    Returns
    -------
    (int, int)
    """
    h, w = (next(n for n in itertools.count(start) if model.takes(n)) for start in size)
    return h, w
