"""The card of a network: what its file says besides the weights, such as names of classes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy import __version__, weights
from fcn_numpy.checks import is_number
from fcn_numpy.data import DATASETS, Classes, Dataset, read_classes, write_classes
from fcn_numpy.data.datasets import Means
from fcn_numpy.files import errors_name, shown
from fcn_numpy.models import Classifier, Frozen, Segmenter
from fcn_numpy.models.files import factors_of
from fcn_numpy.prediction import means_for

CLASSES_FILE = "classes.csv"
MARK = "fcn_numpy"
# The extensions of formats that hold only weights.
PLAIN = (".pth", ".pt", ".caffemodel")
# How to prepare an image, by its kind.
INPUTS = {
    "color": "BGR from 0 to 255, minus {} (the mean blue, green and red)",
    "hha": "HHA from 0 to 255, minus {}",
    "depth": "natural logarithm of the depth, minus {}",
}
NORMALISED = "RGB from 0 to 1, minus the mean of each color in each image, times 4"


@dataclass(frozen=True)
class Card:
    """The classes of a network, and how to prepare its images.

    Attributes
    ----------
    classes : Classes, optional
        None if they are not known, or there are several heads.
    percentiles : (float, float), optional
        The percentiles by which `fcn_numpy.data.stretch` changed the training images; None if it
        did not change them.
    heads : dict of str to Classes
        The classes of each of several heads, as far as they are known.
    means : dict of str to tuple of float, optional
        The means to subtract from the images (`fcn_numpy.prediction.prepare`).
    """

    classes: Classes | None = None
    percentiles: tuple[float, float] | None = None
    heads: Mapping[str, Classes] = field(default_factory=dict)
    means: Means | None = None

    def names(self, model: Segmenter | Frozen) -> bool:
        """Return whether the classes of all heads of a network are known."""
        return self.heads.keys() == model.heads.keys() if model.heads else self.classes is not None

    def of_heads(self, model: Segmenter | Frozen) -> dict[str, Classes]:
        """Return the classes of each head of a network; a single head has the name ""."""
        if not model.heads:
            return {"": self.named(model.n_class)}
        unknown = {head: Card().named(n) for head, n in model.heads.items()}
        return {**unknown, **self.heads}

    def named(self, n_class: int) -> Classes:
        """Return the classes, or "class 0", "class 1" and so on if they are not known."""
        if self.classes is not None:
            return self.classes
        return Classes.named([f"class {number}" for number in range(n_class)])

    def matched(
        self, classes: Classes, n_class: int, path: str | os.PathLike
    ) -> np.ndarray:
        """Return the number that each class of a list has in the network.

        Parameters
        ----------
        classes : Classes
            The list, in any order.
        n_class : int
            Number of classes of the network.
        path : path-like
            The network's file, for error messages.

        Returns
        -------
        ndarray, shape (n_class,), int64
            ``scores[numbers]`` are the network's scores in the order of the list. If the network's
            classes are not known, the order is assumed to be the same.

        Raises
        ------
        ValueError
            If the network has other classes.
        """
        if len(classes) != n_class:
            raise ValueError(
                f"expected {shown(path)} to hold weights for {len(classes)} classes, got "
                f"score_fr.weight for {n_class}"
            )
        if self.classes is None:
            return np.arange(n_class)
        with errors_name(path):
            return classes.numbers_in(self.classes)

    def metadata(self, model: Segmenter | Classifier) -> dict[str, str]:
        """Return the metadata of a file of weights, which `card_of` reads.

        Parameters
        ----------
        model : FCN, LateFusion or Classifier

        Returns
        -------
        dict of str to str
            The metadata, with lists and numbers as JSON.
        """
        means = means_for(model, self.means)
        data = {
            MARK: __version__, "network": f"{type(model).__name__} on {model.backbone.name}",
            "input": NORMALISED if means is None else "; ".join(
                INPUTS[kind].format(", ".join(map(str, mean))) for kind, mean in means.items()
            ),
        }
        if means is not None:
            data["means"] = json.dumps(means)
        if self.classes is not None:
            data |= _written(self.classes)
        for head, classes in self.heads.items():
            data |= {f"{key}_{head}": value for key, value in _written(classes).items()}
        if self.percentiles is not None:
            data["stretch"] = json.dumps(self.percentiles)
        return data


def _written(classes):
    data = {
        "classes": json.dumps(classes.names, ensure_ascii=False),
        "colors": json.dumps(classes.colors),
    }
    if classes.ignore_color is not None:
        data["ignore_color"] = json.dumps(classes.ignore_color)
    return data


def card_of(
    path: str | os.PathLike, model: Segmenter, *, beside: bool = True, dataset: str | None = None
) -> Card:
    """Return the card of the network in a file.

    Parameters
    ----------
    path : path-like
    model : FCN or LateFusion
        The network.
    beside : bool
        Whether to read the file classes.csv in the same folder.
    dataset : str, optional
        One of `fcn_numpy.data.DATASETS`, for a file that does not name its data set.

    Returns
    -------
    Card
        What the metadata in the file says. Without metadata, what is known about the data set: the
        given one, or the one that belongs to the name of a published file. The classes in
        classes.csv take precedence over those of the data set, if their number fits the network.

    Raises
    ------
    ValueError
        If the metadata or classes.csv is damaged, or has another number of classes; or if the
        network does not have the classes of the data set.
    """
    data = weights.read_metadata(path)
    if MARK not in data:  # from another program, which may use the same words differently
        data = {}
    with errors_name(path):
        heads = {head: _classes_of(data, n, f"_{head}") for head, n in model.heads.items()}
        card = Card(
            None if model.heads else _classes_of(data, model.n_class),
            check_percentiles(_value(data, "stretch")) if "stretch" in data else None,
            {head: classes for head, classes in heads.items() if classes is not None},
            _means_of(data, model),
        )
        if dataset is not None and not _fits(DATASETS[dataset], model):
            raise ValueError(
                f"expected a network for {dataset}, with "
                f"{_counts({h: len(c) for h, c in DATASETS[dataset].classes.items()})}, got "
                f"{_counts(model.heads or {'': model.n_class})}"
            )
        if dataset is not None and card.names(model):
            names = {head: classes.names for head, classes in card.of_heads(model).items()}
            if names != {head: c.names for head, c in DATASETS[dataset].classes.items()}:
                raise ValueError(f"expected the classes of {dataset}, got weights that name others")
    if dataset is not None or not data:
        card = _with_dataset(card, path, model, dataset)
    list_beside = Path(path).parent / CLASSES_FILE
    asked = not card.names(model) or (not data and dataset is None)
    if beside and asked and not model.heads and list_beside.is_file():
        listed, _ = read_classes(list_beside)
        card = replace(card, classes=listed) if len(listed) == model.n_class else card
    return card


def _with_dataset(
    card: Card, path: str | os.PathLike, model: Segmenter, dataset: str | None
) -> Card:
    """Add to a card what is known about the data set of a published network."""
    if dataset is not None:
        known = [DATASETS[dataset]]
    elif model.backbone.learns_from_scratch:
        known = []  # nobody has published such a network
    else:
        known = [d for d in DATASETS.values() if d.names(Path(path).name) and _fits(d, model)]
    if not known:
        return card
    heads = {head: classes for head, classes in known[0].classes.items() if head}
    means = means_for(model, known[0].means)
    return replace(card, classes=known[0].classes.get(""), heads=heads, means=means)


def _fits(dataset: Dataset, model: Segmenter) -> bool:
    return {h: len(c) for h, c in dataset.classes.items()} == (model.heads or {"": model.n_class})


def _counts(heads: Mapping[str, int]) -> str:
    return " and ".join(f"{n} classes{f' ({head})' if head else ''}" for head, n in heads.items())


def _means_of(data: Mapping[str, str], model: Segmenter) -> Means | None:
    if "means" not in data:
        return None
    means = _value(data, "means")
    try:
        return means_for(model, {kind: tuple(mean) for kind, mean in means.items()})
    except (AttributeError, TypeError):
        raise ValueError(f"means: expected lists of numbers, got {shown(means, 80)}") from None


def _classes_of(data, n_class, suffix=""):
    """Return the classes of a head; with several heads, keys end in the name of the head."""
    data = {key.removesuffix(suffix): text for key, text in data.items() if key.endswith(suffix)}
    if "classes" not in data:
        return None
    names = _value(data, "classes")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"classes: expected a list of names, got {shown(data['classes'], 80)}")
    if len(names) != n_class:
        raise ValueError(f"classes: expected {n_class} names, got {len(names)}")
    classes = Classes.named(names)
    if "colors" in data:
        colors = _value(data, "colors")
        if not isinstance(colors, list) or not all(map(_is_color, colors)):
            raise ValueError(f"colors: expected lists of 3 bytes, got {shown(data['colors'], 80)}")
        classes = replace(classes, colors=tuple(map(tuple, colors)))
    if "ignore_color" in data:
        color = _value(data, "ignore_color")
        if not _is_color(color):
            raise ValueError(f"ignore_color: expected 3 bytes, got {shown(color, 80)}")
        classes = replace(classes, ignore_color=tuple(color))
    return classes


def _value(data: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(data[name])
    except (ValueError, RecursionError):
        raise ValueError(f"{name}: expected JSON, got {shown(data[name], 80)}") from None


def _is_color(value):
    numbers = isinstance(value, list) and len(value) == 3
    return numbers and all(type(n) is int and 0 <= n <= 255 for n in value)


def check_percentiles(value: Any) -> tuple[float, float] | None:
    """Return None or percentiles read from JSON, or raise ValueError for anything else."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value)):
        if 0 <= value[0] < value[1] <= 100:
            return float(value[0]), float(value[1])
    raise ValueError(
        "stretch: expected two percentiles from 0 to 100, the smaller one first, got "
        f"{shown(repr(value), 80)}"
    )


def save_network(path: str | os.PathLike, model: Segmenter, card: Card) -> Path | None:
    """Write the weights of a network with its card.

    Parameters
    ----------
    path : path-like
        The extension determines the format, as in `fcn_numpy.weights.save`. PyTorch's and Caffe's
        formats hold only weights, so the classes go into classes.csv beside the file.
    model : FCN or LateFusion
    card : Card

    Returns
    -------
    path or None
        Path of classes.csv, if the file of weights cannot hold the classes.

    Raises
    ------
    ValueError
        If there is a classes.csv with other content. It stays, and nothing is written.
    """
    path = Path(path)
    state = {name: p.data for name, p in model.named_parameters()}
    if path.suffix.lower() == ".caffemodel":
        state |= factors_of(model)
    if path.suffix.lower() not in PLAIN:
        weights.save(path, state, card.metadata(model))
        return None
    beside = path.parent / CLASSES_FILE
    plain = None if card.classes is None else replace(card.classes, codes=())
    if plain is not None and beside.exists() and read_classes(beside)[0] != plain:
        # It belongs to other weights, or is the list of a folder of masks.
        raise ValueError(
            f"{shown(beside)} exists, and is not the list of this network's classes: choose "
            "another folder"
        )
    weights.save(path, state)
    if plain is None:
        return None
    if not beside.exists():
        write_classes(beside, plain)
    return beside


