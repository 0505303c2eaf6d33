"""Score the pixels of an image with a trained network."""

from __future__ import annotations

import itertools

import numpy as np

from fcn_numpy.checks import Pair, check_array, is_number
from fcn_numpy.data import DATASETS, log_depth, normalize, subtract_mean
from fcn_numpy.data.datasets import Means
from fcn_numpy.data.framing import extend
from fcn_numpy.data.images import CAFFE_MEAN
from fcn_numpy.models import Backbone, Classifier, Frozen, Segmenter


def prepare(
    images: np.ndarray, backbone: type[Backbone], mean: tuple[float, ...] = CAFFE_MEAN
) -> np.ndarray:
    """Transform images into the input that a backbone expects.

    The published weights of VGG16 expect `fcn_numpy.data.subtract_mean`. This package trains other
    backbones with `fcn_numpy.data.normalize`: see `Backbone.preprocessing`.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.
    backbone : type of Backbone
    mean : tuple of 3 floats
        The mean that `subtract_mean` subtracts.

    Returns
    -------
    ndarray, shape and dtype of images

    Raises
    ------
    ValueError
        If a value is outside [0, 1], or NaN.
    """
    if backbone.preprocessing == "normalize":
        return normalize(images)
    return subtract_mean(images, mean)


def means_for(
    model: Segmenter | Frozen | Classifier, means: Means | None = None
) -> Means | None:
    """Return the mean to subtract from each kind of image that a network sees, in order.

    Parameters
    ----------
    model : FCN, LateFusion, Frozen or Classifier
    means : dict of str to tuple of float, optional
        Means by kind ("color", "hha", "depth"). Kinds that the network does not see are ignored.
        By default, ImageNet's mean for color alone, and NYUD's means for a network that also sees
        depth.

    Returns
    -------
    dict of str to tuple of float, or None
        None for a backbone with other preprocessing, and for images that are not color, color and
        depth, or color and HHA.

    Raises
    ------
    ValueError
        If the mean of a kind is missing, or is not a finite number for each channel.
    """
    if model.backbone.preprocessing != "subtract_mean":
        return None
    channels = tuple(model.inputs.values())
    kinds = {
        (3,): ("color",), (4,): ("color", "depth"), (3, 3): ("color", "hha"),
    }.get(channels)
    if kinds is None:
        return None
    if means is None:
        means = {"color": CAFFE_MEAN} if kinds == ("color",) else DATASETS["nyud"].means
    if kinds == ("color",) and "color" not in means:
        kinds = ("hha",)
    for kind in kinds:
        mean, n = means.get(kind, ()), 1 if kind == "depth" else 3
        if len(mean) != n or not all(is_number(value) and np.isfinite(value) for value in mean):
            raise ValueError(f"means: expected {n} finite numbers for {kind}, got {mean!r:.80}")
    return {kind: tuple(map(float, means[kind])) for kind in kinds}


def score_image(
    model: Segmenter | Frozen, image: np.ndarray, other: np.ndarray | None = None, *,
    means: Means | None = None,
) -> np.ndarray:
    """Return the scores of one image of any size.

    If the network does not take an image of this size, extend the image at the bottom and the
    right by repeating its last row and column, and crop the scores to its size.

    Parameters
    ----------
    model : FCN, LateFusion or Frozen
        An FCN stays in eval mode. For many images, `fcn_numpy.models.Frozen` is faster.
    image : ndarray, shape (3, H, W), floating
        RGB from 0 to 1, or HHA from 0 to 1 for a network that sees only HHA.
    other : ndarray, shape (1, H, W) or (3, H, W), floating
        The second image, for a network that takes two: depth, as `read_depth` returns it, or HHA
        from 0 to 1.
    means : dict of str to tuple of float, optional
        See `means_for`.

    Returns
    -------
    ndarray, shape (n_class, H, W)
        The argmax over the first axis is the class of each pixel.

    Raises
    ------
    ValueError
        If an image does not have that shape and dtype, or has a value outside [0, 1]; if the second
        image is missing, or the network takes only one; if the scores are not finite; or if the
        network has several heads (use `score_heads`).

    Examples
    --------
    >>> from fcn_numpy.models import TINY, FCN8s
    >>> score_image(FCN8s(21, TINY), np.zeros((3, 50, 70), np.float32)).shape
    (21, 50, 70)
    """
    if model.heads:
        raise ValueError(f"expected a network with one head, got {', '.join(model.heads)}")
    return score_heads(model, image, other, means=means)[""]


def score_heads(
    model: Segmenter | Frozen, image: np.ndarray, other: np.ndarray | None = None, *,
    means: Means | None = None,
) -> dict[str, np.ndarray]:
    """Return the scores of each head for one image: see `score_image`.

    Parameters
    ----------
    model : FCN, LateFusion or Frozen
    image, other : ndarray
    means : dict of str to tuple of float, optional

    Returns
    -------
    dict of str to ndarray
        Scores by the name of the head, which is "" if there is only one.
    """
    seen = network_inputs(model, image, other, means=means)
    if isinstance(model, Segmenter):
        model.eval()
    with np.errstate(over="ignore", invalid="ignore"):  # the scores will show it
        scores = model(*seen)
    of_heads = scores if isinstance(scores, dict) else {"": scores}
    return {head: _checked(of_head, image.shape[1:]) for head, of_head in of_heads.items()}


def network_inputs(
    model: Segmenter | Frozen, image: np.ndarray, other: np.ndarray | None = None, *,
    means: Means | None = None,
) -> tuple[np.ndarray, ...]:
    """Return the inputs of a network for an image, extended to a size it takes and prepared.

    Parameters
    ----------
    model : FCN, LateFusion or Frozen
    image, other : ndarray
        See `score_image`.
    means : dict of str to tuple of float, optional

    Returns
    -------
    tuple of ndarray, shape (1, C, H, W)
        ``model(*network_inputs(model, image))`` scores the image.
    """
    check_array(image, "image", (3, "H", "W"))
    h, w = image.shape[1:]
    size = fitting_size(model, (h, w))
    wanted = means_for(model, means)
    if wanted is None and tuple(model.inputs.values()) != (3,):
        raise ValueError(
            "expected a network for color images, or for color and depth or HHA on VGG16 or "
            f"AlexNet, got inputs {model.inputs} on {model.backbone.name}"
        )
    kinds = ["color"] if wanted is None else list(wanted)
    given = [image] if other is None else [image, other]
    if len(given) != len(kinds):
        raise ValueError(
            f"expected {' and '.join(kinds)} for this network, got {len(given)} images"
        )
    seen = []
    for kind, x in zip(kinds, given):
        check_array(x, kind, (1 if kind == "depth" else 3, h, w), dtype=image.dtype, owner="image")
        x = extend(x, size)[None]
        if wanted is None or kind == "color":
            x = prepare(x, model.backbone, CAFFE_MEAN if wanted is None else wanted[kind])
        elif kind == "hha":
            x = subtract_mean(x, wanted[kind], reverse=False)
        else:
            x = log_depth(x, wanted[kind][0])
        seen.append(x)
    return tuple(seen) if len(model.inputs) == len(seen) else (np.concatenate(seen, axis=1),)


def _checked(scores, size):
    """Return the scores of the only image, cropped to its size; raise if they are not finite."""
    scores = scores[0, :, : size[0], : size[1]]
    if not np.isfinite(scores).all():
        raise ValueError("the scores are not finite: are these the weights of a failed training?")
    return scores


def fitting_size(model: Segmenter | Frozen, size: Pair) -> Pair:
    """Return the smallest size that the network takes and that is at least as large as this one.

    Parameters
    ----------
    model : FCN, LateFusion or Frozen
    size : (int, int)
        Height and width.

    Returns
    -------
    (int, int)
    """
    h, w = (next(n for n in itertools.count(start) if model.takes(n)) for start in size)
    return h, w
