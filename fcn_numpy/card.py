"""The card of a network: what its file says besides weights, so that names travel with them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy import __version__, weights
from fcn_numpy.checks import is_number
from fcn_numpy.data import VOC_CLASSES, Classes, read_classes, write_classes
from fcn_numpy.files import errors_name, shown
from fcn_numpy.models import FCN, Backbone

CLASSES_FILE = "classes.csv"
MARK = "fcn_numpy"
# What an image must be like, by the function of `fcn_numpy.data` that makes it so.
INPUTS = {
    "subtract_mean": (
        "BGR from 0 to 255, minus 104.00699, 116.66877, 122.67892 (the mean blue, green and red)"
    ),
    "normalise": "RGB from 0 to 1, minus the mean of each color in each image, times 4",
}
# Published networks tell PASCAL VOC's classes apart and do not say so: their files are known by
# the names that pytorch-fcn, Chainer's fcn and the paper's authors gave them.
PUBLISHED = re.compile(r"fcn-?(32|16|8)s.*(from[_-]caffe|pascal)", re.IGNORECASE)


@dataclass(frozen=True)
class Card:
    """What a network tells apart, and what its images must be like.

    Attributes
    ----------
    classes : Classes, optional
        None if nobody has said which they are.
    percentiles : (float, float), optional
        What `fcn_numpy.data.stretch` did to the images it was trained on; None for nothing.
    """

    classes: Classes | None = None
    percentiles: tuple[float, float] | None = None

    def named(self, n_class: int) -> Classes:
        """Return the classes; "class 0", "class 1" and so on if they are not known."""
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
            The network's file, which errors name.

        Returns
        -------
        ndarray, shape (n_class,), int64
            ``scores[numbers]`` are the network's scores in the order of the list. If the network's
            classes are not known, the order is taken to be the same.

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

    def metadata(self, network: str, backbone: type[Backbone]) -> dict[str, str]:
        """Return the metadata of a file of weights, which `card_of` reads.

        Parameters
        ----------
        network : str
            Its name, such as "FCN8s".
        backbone : type of Backbone

        Returns
        -------
        dict of str to str
            Lists and numbers as JSON.
        """
        data = {
            MARK: __version__, "network": f"{network} on {backbone.name}",
            "input": INPUTS[backbone.preprocessing],
        }
        if self.classes is not None:
            data["classes"] = json.dumps(self.classes.names, ensure_ascii=False)
            data["colors"] = json.dumps(self.classes.colours)
            if self.classes.ignore_colour is not None:
                data["ignore_color"] = json.dumps(self.classes.ignore_colour)
        if self.percentiles is not None:
            data["stretch"] = json.dumps(self.percentiles)
        return data


def card_of(
    path: str | os.PathLike, n_class: int, backbone: type[Backbone], *, beside: bool = True
) -> Card:
    """Return the card of the network in a file.

    Parameters
    ----------
    path : path-like
    n_class : int
    backbone : type of Backbone
    beside : bool
        Whether to look into the file classes.csv beside it.

    Returns
    -------
    Card
        Of the metadata in the file. Where there is none: with the classes of the file classes.csv
        beside it, if it lists as many as the network has; those of PASCAL VOC for the published
        networks, which are known by the names of their files; or none.

    Raises
    ------
    ValueError
        If the metadata or classes.csv is damaged, or names another number of classes.
    """
    data = weights.read_metadata(path)
    if MARK not in data:  # of another program, which may mean anything by the same words
        data = {}
    with errors_name(path):
        classes = _classes_of(data, n_class)
        percentiles = None
        if "stretch" in data:
            percentiles = check_percentiles(_value(data, "stretch"))
    list_beside = Path(path).parent / CLASSES_FILE
    if classes is None and beside and list_beside.is_file():
        listed, _ = read_classes(list_beside)
        classes = listed if len(listed) == n_class else None
    if classes is None and n_class == len(VOC_CLASSES) and not backbone.learns_from_scratch:
        classes = VOC_CLASSES if PUBLISHED.search(Path(path).name) else None
    return Card(classes, percentiles)


def _classes_of(data, n_class):
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
        classes = replace(classes, colours=tuple(map(tuple, colors)))
    if "ignore_color" in data:
        color = _value(data, "ignore_color")
        if not _is_color(color):
            raise ValueError(f"ignore_color: expected 3 bytes, got {shown(color, 80)}")
        classes = replace(classes, ignore_colour=tuple(color))
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
    """Return percentiles that were read from JSON, None as it is; raise ValueError for others."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value)):
        if 0 <= value[0] < value[1] <= 100:
            return float(value[0]), float(value[1])
    raise ValueError(
        "stretch: expected two percentiles from 0 to 100, the smaller one first, got "
        f"{shown(repr(value), 80)}"
    )


def save_network(path: str | os.PathLike, model: FCN, card: Card) -> Path | None:
    """Write the weights of a network with its card.

    Parameters
    ----------
    path : path-like
        The ending chooses the format, as for `fcn_numpy.weights.save`. PyTorch's cannot carry
        more than weights: the classes go into classes.csv beside the file.
    model : FCN
    card : Card

    Returns
    -------
    path or None
        Of the classes.csv that has the classes, if the file cannot carry them.

    Raises
    ------
    ValueError
        If there is a classes.csv with other content. It stays, and nothing has been written.
    """
    path = Path(path)
    state = {name: p.data for name, p in model.named_parameters()}
    if path.suffix.lower() not in (".pth", ".pt"):
        weights.save(path, state, card.metadata(type(model).__name__, model.backbone))
        return None
    beside = path.parent / CLASSES_FILE
    plain = None if card.classes is None else replace(card.classes, codes=())
    if plain is not None and beside.exists() and read_classes(beside)[0] != plain:
        # It names other weights, or is the list of a folder of masks.
        raise ValueError(
            f"{shown(beside)} is there, and is not the list of this network's classes: choose "
            "another folder"
        )
    weights.save(path, state)
    if plain is None:
        return None
    if not beside.exists():
        write_classes(beside, plain)
    return beside


