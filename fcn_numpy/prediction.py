"""From pictures to classes, with a trained network."""

from __future__ import annotations

import itertools

import numpy as np

from fcn_numpy.checks import Pair, check_array
from fcn_numpy.data import normalise, subtract_mean
from fcn_numpy.data.framing import extend
from fcn_numpy.models import FCN, VGG16, Backbone


def prepare(images: np.ndarray, backbone: Backbone) -> np.ndarray:
    """Bring pictures to what a backbone expects.

    VGG16's published weights expect `fcn_numpy.data.subtract_mean`, all others were trained here
    with `fcn_numpy.data.normalise`.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.
    backbone : Backbone

    Returns
    -------
    ndarray, shape and dtype of images
    """
    return subtract_mean(images) if backbone == VGG16 else normalise(images)


def score_image(model: FCN, image: np.ndarray) -> np.ndarray:
    """Return the scores of one picture, whatever its size.

    A picture of a size that the network does not take is continued at the bottom and the right
    with its last row and column, and the result cut back.

    Parameters
    ----------
    model : FCN
        It is left in eval mode.
    image : ndarray, shape (3, H, W), floating
        RGB from 0 to 1.

    Returns
    -------
    ndarray, shape (n_class, H, W)
        Their argmax over the first axis is the class of each pixel.
    """
    check_array(image, "image", (3, "H", "W"))
    h, w = image.shape[1:]
    model.eval()
    extended = extend(image, fitting_size(model, (h, w)))
    return model(prepare(extended[None], model.backbone))[0, :, :h, :w]


def fitting_size(model: FCN, size: Pair) -> Pair:
    """Return the smallest size, at least the given one, that the network takes."""
    h, w = (next(n for n in itertools.count(start) if model.takes(n)) for start in size)
    return h, w
