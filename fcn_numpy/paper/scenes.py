"""What an FCN misses: a class that only the other end of the image reveals (Zhao et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fcn_numpy.data.scenes import SCENE_CLASSES, SCENE_SIZE, toy_scenes
from fcn_numpy.metrics import Scores, confusion_matrix, segmentation_scores
from fcn_numpy.models import TINY, FCN8s, PyramidPooling
from fcn_numpy.nn import SoftmaxCrossEntropy
from fcn_numpy.paper.toy_training import train_from_scratch


def train_on_scenes(
    context: bool,
    seed: int = 0,
    steps: int = 400,
    n_train: int = 400,
    n_test: int = 100,
    report: Callable[[int, float], None] = lambda step, loss: None,
    distance: int | None = None,
) -> tuple[FCN8s, Scores]:
    """Train a tiny FCN-8s on `fcn_numpy.data.toy_scenes`, with or without pyramid pooling.

    Training starts from scratch, with batches of 4 images, SGD with momentum 0.9, and a learning
    rate that falls from 0.1 to 0. The background, 97 percent of the pixels, has a weight of one
    tenth in the loss, so that the class of a disc matters. The networks with and without pyramid
    pooling start from the same backbone and see the same images in the same order.

    Parameters
    ----------
    context : bool
        Whether the network has a `fcn_numpy.models.PyramidPooling` before its coarsest scores.
    seed : int
        Seed of the images and weights.
    steps, n_train, n_test : int
    report : callable
        Called with each step's number and loss.
    distance : int, optional
        See `fcn_numpy.data.toy_scenes`.

    Returns
    -------
    model : FCN8s
        In eval mode.
    scores : Scores
        On `n_test` held-out images.
    """
    images, labels = toy_scenes(n_train, seed=2 * seed, distance=distance)
    order = np.random.default_rng((seed, 1))
    pyramid = PyramidPooling(TINY.fc_width, rng=np.random.default_rng((seed, 2)))
    model = FCN8s(
        len(SCENE_CLASSES), TINY, context=pyramid if context else None, dropout=0,
        rng=np.random.default_rng(seed),
    )
    loss_of = SoftmaxCrossEntropy(weight=[0.1, 1, 1])

    def compute() -> float:
        batch = order.integers(n_train, size=4)
        loss = loss_of(model(_centered(images[batch])), labels[batch])
        model.backward(loss_of.backward())
        return loss

    train_from_scratch(model, compute, steps, report)
    images, labels = toy_scenes(n_test, SCENE_SIZE, 2 * seed + 1, distance)
    predictions = [model(_centered(some[None]))[0].argmax(axis=0) for some in images]
    hist = confusion_matrix(labels, np.array(predictions), len(SCENE_CLASSES))
    return model, segmentation_scores(hist)


def _centered(images):
    # Subtracting each image's own mean would tell every pixel something about the whole image.
    return (images - np.float32(0.5)) * 4
