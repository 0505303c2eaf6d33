"""One architecture, two inputs or two heads (Long et al., NYUDv2 and SIFT Flow)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fcn_numpy.data import log_depth
from fcn_numpy.data.depths import DEPTHS, DISTANCES, SHADES, toy_depths
from fcn_numpy.models import TINY, FCN32s, LateFusion, Segmenter
from fcn_numpy.nn import SoftmaxCrossEntropy
from fcn_numpy.paper.toy_training import train_from_scratch

HEADS = {"shade": len(SHADES), "distance": len(DISTANCES)}


class SMALL(TINY):
    """A TINY with one convolution per stage, which learns from scratch in a minute."""

    name, convs, fc_width = "SMALL", (1, 1, 1, 1, 1), 64


def train_with_depth(
    fusion: str, two_heads: bool = False, seed: int = 0, steps: int = 300, n_train: int = 400,
    n_test: int = 100, report: Callable[[int, float], None] = lambda step, loss: None,
) -> tuple[Segmenter, dict[str, float]]:
    """Train an FCN-32s on `fcn_numpy.data.toy_depths`, with or without the depth.

    Training starts from scratch, with batches of 4 images. The background, which covers most of
    each image, has a weight of one fifth in the loss.

    Parameters
    ----------
    fusion : {"color", "early", "late"}
        What the network sees. "color": colors alone. "early": depth as a fourth channel, like the
        authors' nyud-fcn32s-color-d. "late": two networks, one for colors and one for depth, with
        their scores averaged, like nyud-fcn32s-color-hha.
    two_heads : bool
        Whether a second head also labels the shades, as the siftflow networks label two sets of
        classes. Not possible with "late".
    seed : int
        Seed of the images and weights.
    steps, n_train, n_test : int
    report : callable
        Called with each step's number and loss.

    Returns
    -------
    model : FCN32s or LateFusion
        In eval mode.
    shares : dict of str to float
        The share of the discs' pixels that get the right one of two distances (and, with two
        heads, the right one of two shades), on `n_test` held-out images. Guessing gives one half.
    """
    if fusion not in ("color", "early", "late"):
        raise ValueError(f"expected fusion 'color', 'early' or 'late', got {fusion!r}")
    if fusion == "late" and two_heads:
        raise ValueError("expected two_heads with fusion 'color' or 'early', got 'late'")
    heads = HEADS if two_heads else {"distance": HEADS["distance"]}
    rng = np.random.default_rng(seed)
    model: Segmenter
    if fusion == "late":
        color = FCN32s(HEADS["distance"], SMALL, dropout=0, rng=rng)
        depth = FCN32s(HEADS["distance"], SMALL, in_channels=1, dropout=0, rng=rng)
        model = LateFusion(color, depth)
    else:
        classes: Any = {"heads": heads} if two_heads else {"n_class": HEADS["distance"]}
        channels = 4 if fusion == "early" else 3
        model = FCN32s(backbone=SMALL, in_channels=channels, dropout=0, rng=rng, **classes)
    losses = {head: SoftmaxCrossEntropy(weight=[0.2, 1, 1]) for head in heads}
    images, depths, labels = toy_depths(n_train, seed=2 * seed)
    order = np.random.default_rng((seed, 1))

    def compute() -> float:
        batch = order.integers(n_train, size=4)
        scores = _scores(model, inputs_of(fusion, images[batch], depths[batch]))
        loss = sum(losses[head](scores[head], labels[head][batch]) for head in heads)
        grads: Any = {head: losses[head].backward() for head in heads}
        model.backward(grads if two_heads else grads["distance"])
        return loss

    train_from_scratch(model, compute, steps, report)
    images, depths, labels = toy_depths(n_test, seed=2 * seed + 1)
    scores = _scores(model, inputs_of(fusion, images, depths))
    shares = {}
    for head in heads:
        disc = labels[head] > 0
        guess = scores[head][:, 1:].argmax(axis=1) + 1
        shares[head] = float(np.mean(guess[disc] == labels[head][disc]))
    return model, shares


def inputs_of(fusion: str, images: np.ndarray, depths: np.ndarray) -> list[np.ndarray]:
    """Return the inputs for a network of `train_with_depth`.

    Parameters
    ----------
    fusion : {"color", "early", "late"}
    images, depths : ndarray
        As `toy_depths` draws them.

    Returns
    -------
    list of ndarray
        The arguments of its forward.
    """
    color = (images - np.float32(0.5)) * 4
    # Subtract the mean of the logarithm, like the authors, and multiply by 4, like the colors.
    depth = log_depth(depths, float(np.log(DEPTHS).mean())) * np.float32(4)
    if fusion == "early":
        return [np.concatenate([color, depth], axis=1)]
    return [color, depth] if fusion == "late" else [color]


def _scores(model, inputs):
    scores = model(*inputs)
    return scores if isinstance(scores, dict) else {"distance": scores}
