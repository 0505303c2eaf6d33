"""What a run has reached: its scores, its losses, and what its networks make of pictures."""

from __future__ import annotations

import csv
import itertools
import json
import os
from pathlib import Path

import numpy as np

from fcn_numpy.data import Classes, read_classes
from fcn_numpy.metrics import Scores, segmentation_scores
from fcn_numpy.prediction import score_image
from fcn_numpy.training.learner import Alone, Share, Together, crew, load_model
from fcn_numpy.training.pictures import OwnData
from fcn_numpy.training.settings import SEGMENTERS, read_config

CLASSES_FILE = "classes.csv"
HISTORY = "history.csv"
SCORES = "scores.json"


def score_networks(
    learners: Alone | Together, out: Path, n: int | None, seed: int
) -> dict[str, Scores]:
    """Return the scores of the three networks of a run."""
    return {
        name: segmentation_scores(learners.score(out, name, n, seed)) for name in SEGMENTERS
    }


def example_predictions(
    out: str | os.PathLike, n: int = 6
) -> tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Return held-out pictures, their labels, and what each network of a run makes of them."""
    settings, data = _read_run(out)
    share = Share(settings, data)
    examples = itertools.islice(share.pictures().held_out(n, 0), n)
    images, labels = map(list, zip(*examples))
    predictions = {}
    for name in SEGMENTERS:
        model = load_model(out, name, settings, share.n_class)
        predictions[name] = [
            score_image(model, image).argmax(axis=0).astype(np.uint8) for image in images
        ]
    return images, labels, predictions


def evaluate(
    out: str | os.PathLike, n: int | None = None, seed: int | None = None
) -> dict[str, Scores]:
    """Score the three networks of a run on its held-out pictures.

    Parameters
    ----------
    out : path-like
        Folder of the run.
    n : int, optional
        How many pictures; by default as many as the run's settings say, and of a folder all.
    seed : int, optional
        Which toy pictures, 0 if not given; none of them are ever trained on.

    Returns
    -------
    dict of str to Scores

    Raises
    ------
    ValueError
        If there is no run, the weights of a network are missing or damaged, or a seed is given
        for a folder's pictures.
    """
    out = Path(out)
    settings, data = _read_run(out)
    if data is not None and seed is not None:
        raise ValueError("expected no seed: the held-out pictures of a folder are drawn once")
    n_class = Share(settings, data).n_class
    for name in SEGMENTERS:
        if not (out / f"{name}.npz").exists():
            raise ValueError(f"{out} has no {name}.npz: the run has not come so far, resume it")
        load_model(out, name, settings, n_class)  # or say what is wrong with it
    if n is None and data is None:
        n = settings.n_test
    with crew(settings, data) as learners:
        return score_networks(learners, out, n, seed or 0)


def _read_run(out):
    settings, source = read_config(out)
    return settings, source and OwnData.found_again(source, read_classes_of(out))


def read_classes_of(out: str | os.PathLike) -> Classes:
    """Return the classes of the run in a folder."""
    path = Path(out) / CLASSES_FILE
    if not path.is_file():
        raise ValueError(f"{out} is no whole run: there is no {CLASSES_FILE} in it")
    return read_classes(path)[0]


def read_scores(out: str | os.PathLike) -> dict[str, Scores]:
    """Return the scores that a finished run has left."""
    path = Path(out) / SCORES
    try:
        values = json.loads(path.read_text())
        return {
            name: Scores(**{**v, "iu": np.array(v["iu"], np.float64)}) for name, v in values.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no scores of a run: {error}") from error


def read_history(out: str | os.PathLike) -> list[tuple[str, int, float]]:
    """Return (stage, step, loss) for each step of a run so far."""
    with open(Path(out) / HISTORY, newline="") as file:
        return [
            (row["stage"], int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)
        ]
