"""Score the networks of a run, and make example predictions."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fcn_numpy.data import DataFaults
from fcn_numpy.metrics import Scores, segmentation_scores
from fcn_numpy.models import Frozen
from fcn_numpy.prediction import score_image
from fcn_numpy.training.gradients import ParallelGradients, SerialGradients, gradients_for
from fcn_numpy.training.images import classes_of, images_of
from fcn_numpy.training.networks import load_fcn
from fcn_numpy.training.part import Part
from fcn_numpy.training.run_folder import read_run


def evaluate(
    out: str | os.PathLike, n: int | None = None, seed: int | None = None,
    report: Callable[[str, int], None] = lambda what, done: None,
) -> dict[str, Scores]:
    """Score the networks of a run on its held-out images.

    Parameters
    ----------
    out : path-like
        Folder of the run.
    n : int, optional
        Number of images. By default, the number in the run's settings, or all images of a folder.
    seed : int, optional
        Seed of the toy images, 0 by default. No seed produces images that were trained on.
    report : callable
        Called with the current task ("checking", "scoring fcn8s") and the number of images done.

    Returns
    -------
    dict of str to Scores

    Raises
    ------
    ValueError
        If there is no run, if one of its files is missing or damaged, or if a seed is given for
        the images of a folder.
    DataFaults
        If an image or a mask cannot be read.
    """
    out = Path(out)
    settings, _, data = read_run(out)
    if data is not None and seed is not None:
        raise ValueError("expected no seed: the held-out images of a folder are fixed")
    for name in settings.segmenters:
        load_fcn(out, name, settings, len(classes_of(data)))  # every file is there and intact
    if data is not None:
        images = data.test.subset(range(len(data.test))[:n])
        # The run checked when it began whether the labels of all images are usable.
        survey = images.survey(functools.partial(report, "checking"))
        if survey.faults:
            raise DataFaults(survey.faults)
    with gradients_for(settings, data) as gradients:
        return score_networks(gradients, out, settings.segmenters, n, seed or 0, report)


def score_networks(
    gradients: SerialGradients | ParallelGradients, out: Path, names: Sequence[str],
    n: int | None, seed: int, report: Callable[[str, int], None],
) -> dict[str, Scores]:
    """Return the scores of the networks of a run.

    Parameters
    ----------
    gradients : SerialGradients or ParallelGradients
    out : path
        Folder of the run.
    names : sequence of str
        Stages of the networks.
    n : int or None
        Number of images, as for `SerialGradients.confusion_matrix`.
    seed : int
        Seed of the toy images.
    report : callable
        See `evaluate`.

    Returns
    -------
    dict of str to Scores
    """
    scores = {}
    for name in names:
        of_this = functools.partial(report, f"scoring {name}")
        scores[name] = segmentation_scores(
            gradients.confusion_matrix(out, name, n, seed, of_this)
        )
    return scores


def example_predictions(
    out: str | os.PathLike, n: int = 6
) -> tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Return held-out images, their labels, and the labels that each network of a run predicts."""
    settings, _, data = read_run(out)
    held_out = images_of(settings, data, Part()).held_out(n, seed=0)
    images, labels = map(list, zip(*itertools.islice(held_out, n)))
    predictions = {}
    for name in settings.segmenters:
        with Frozen(load_fcn(out, name, settings, len(classes_of(data)))) as network:
            predictions[name] = [
                score_image(network, image).argmax(axis=0).astype(np.uint8) for image in images
            ]
    return images, labels, predictions
