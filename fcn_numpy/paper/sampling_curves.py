"""Figure 5 of the paper: train on whole images, or on the losses of some of their pixels."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fcn_numpy.checks import whole_number
from fcn_numpy.data import CLASSES, IGNORE, normalize, toy_shapes
from fcn_numpy.models import TINY, FCN8s
from fcn_numpy.nn import LossSampling, SoftmaxCrossEntropy
from fcn_numpy.optim import SGD
from fcn_numpy.plotting import plot_convergence
from fcn_numpy.seeds import stream


class Curve(NamedTuple):
    """The progress of a training run.

    Attributes
    ----------
    steps, seconds, losses : ndarray
        Numbers of steps, seconds of training, and the loss on held-out images after them. This is
        the loss of whole images, even if training samples losses. The seconds do not include
        measuring it.
    """

    steps: np.ndarray
    seconds: np.ndarray
    losses: np.ndarray


def sampling_curves(
    probabilities: Sequence[float] = (1.0, 0.5, 0.25),
    *,
    steps: int = 100,
    batch: int = 4,
    lr: float = 0.1,
    size: int = 64,
    n_train: int = 200,
    n_test: int = 32,
    every: int = 10,
    seed: int = 0,
) -> dict[float, Curve]:
    """Train FCN-8s on toy shapes from the same start, for several loss sampling probabilities.

    As in the paper, a batch for probability p has 1 / p times as many images, so that the same
    number of pixels counts in a step. The default takes about half a minute on one core.

    Parameters
    ----------
    probabilities : sequence of float
        Probabilities of `fcn_numpy.nn.LossSampling`; 1 means whole-image training.
    steps : int
    batch : int
        Images per step with p = 1.
    lr : float
        Learning rate of SGD with momentum 0.9; gradients are clipped at norm 0.5.
    size : int
        Height and width of the images.
    n_train, n_test : int
        Images to train on, and held-out images to measure the loss on.
    every : int
        Steps from one measurement to the next.
    seed : int
        The same seed gives the same losses (not seconds) on the same machine.

    Returns
    -------
    dict of float to Curve
        Each curve begins before the first step.

    Notes
    -----
    Long et al., section 4.3 and figure 5: sampling hardly changes the progress per step. Whole
    images are faster, because the cost of a step is the cost of its images. The defaults show the
    same here. With batches of two whole images, more images with fewer losses each do help a
    little, step by step.
    """
    whole_number(steps, "steps", 1)
    whole_number(every, "every", 1)
    images, labels = toy_shapes(n_train, size, stream("training shapes", seed))
    held_out = toy_shapes(n_test, size, stream("held-out shapes", seed))
    data = normalize(images), labels, normalize(held_out[0]), held_out[1]
    return {p: _curve(p, steps, batch, lr, every, seed, data) for p in probabilities}


def _curve(p, steps, batch, lr, every, seed, data):
    images, labels, test_images, test_labels = data
    model = FCN8s(len(CLASSES), TINY, dropout=0, rng=np.random.default_rng(stream("weights", seed)))
    rng = np.random.default_rng(stream("batches", seed))
    loss_of = SoftmaxCrossEntropy(IGNORE, sampling=LossSampling(p, rng))
    optimizer = SGD(model.parameters(), lr, weight_decay=5e-4, clip_gradients=0.5)
    n = max(1, round(batch / p))
    seconds = 0.0
    points = [(0, seconds, _held_out_loss(model, loss_of, test_images, test_labels))]
    for step in range(1, steps + 1):
        start = time.perf_counter()
        chosen = rng.integers(len(images), size=n)
        loss_of(model(images[chosen]), labels[chosen])
        model.zero_grad()
        model.backward(loss_of.backward())
        optimizer.step()
        seconds += time.perf_counter() - start
        if step % every == 0 or step == steps:
            loss = _held_out_loss(model, loss_of, test_images, test_labels)
            points.append((step, seconds, loss))
    return Curve(*np.array(points).T)


def _held_out_loss(model, loss_of, images, labels):
    model.eval()
    loss_of.eval()  # without sampling
    loss = loss_of(model(images), labels)
    model.train()
    loss_of.train()
    return loss


def draw_sampling_curves(path: str | os.PathLike, **settings: Any) -> dict[float, Curve]:
    """Draw figure 5 as a PNG file, with settings of `sampling_curves`, and return the curves."""
    curves = sampling_curves(**settings)
    labels = {p: "whole images" if p == 1 else f"{p:.0%} of the losses" for p in curves}
    plot_convergence(path, {labels[p]: curve for p, curve in curves.items()})
    return curves
