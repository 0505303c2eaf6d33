"""Options that several commands share, and types of numeric arguments."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from fcn_numpy.card import Card
from fcn_numpy.data import DATASETS, VOC_CLASSES, Classes, DataWarning, read_classes
from fcn_numpy.data.images import PERCENTILES
from fcn_numpy.models import Segmenter


def whole_number(minimum: int) -> Callable[[str], int]:
    """Return an argument type for whole numbers of at least `minimum`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {minimum}, got {text!r}"
            )
        return value

    return convert


def number(limits: str, suits: Callable[[float], bool]) -> Callable[[str], float]:
    """Return an argument type for numbers within limits.

    Parameters
    ----------
    limits : str
        Description of the limits for the error message, such as "above 0".
    suits : callable
        Returns whether a number is within the limits; must return False for NaN.

    Returns
    -------
    callable
        Converts a string to a float, or raises argparse.ArgumentTypeError.
    """

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not suits(value):
            raise argparse.ArgumentTypeError(f"expected a number {limits}, got {text!r}")
        return value

    return convert


def given(options: argparse.Namespace, actions: Iterable[argparse.Action]) -> list[str]:
    """Return the options among `actions` that the user gave, as "--name"."""
    return [
        action.option_strings[0] for action in actions
        if getattr(options, action.dest) is not action.default
    ]


def add_classes(group: argparse._ActionsContainer, default: str) -> argparse.Action:
    """Add the option --classes; its help ends with a description of the default."""
    return group.add_argument(
        "--classes", metavar="LIST",
        help="class names in the order of the class numbers, separated by commas "
        "(background,cat,dog); or a file of class names (.csv, or .txt from CVAT or labelme); or "
        f"voc, for the 21 classes of PASCAL VOC (default: {default})",
    )


def parse_classes(text: str | None) -> tuple[Classes | None, bool]:
    """Return the classes that --classes lists, or None, and whether it lists colors."""
    if text is None:
        return None, False
    if text.lower() == "voc":
        return VOC_CLASSES, False
    # A long list of names is not a path; looking for such a file can even raise an error.
    if text.lower().endswith((".csv", ".txt")) or ("," not in text and Path(text).is_file()):
        return read_classes(text)
    return Classes.named([name.strip() for name in text.split(",")]), False


def add_dataset(group: argparse._ActionsContainer) -> argparse.Action:
    """Add the option --dataset."""
    return group.add_argument(
        "--dataset", choices=tuple(DATASETS),
        help="data set that the weights were trained on; determines the class names and the means "
        "to subtract (default: recognized from the names of published files)",
    )


def describe(model: Segmenter) -> str:
    """Describe a network in words: "FCN8s on VGG16, 21 classes"."""
    heads = [f"{n} classes ({head})" for head, n in model.heads.items()]
    classes = " and ".join(heads) or f"{model.n_class} classes"
    return f"{type(model).__name__} on {model.backbone.name}, {classes}"


def check_one_head(model: Segmenter) -> None:
    """Raise ValueError if a network has several heads: --classes cannot name their classes."""
    if model.heads:
        raise ValueError(
            f"--classes is for a network with one head, got {', '.join(model.heads)}: "
            "--dataset can name their classes"
        )


def print_unnamed(card: Card, model: Segmenter) -> None:
    """Print which option names the classes of a network, if they are unknown."""
    if not card.names(model):
        option = "--dataset" if model.heads else "--classes"
        print(f"The weights do not name their classes; use {option} to name them.", flush=True)


def add_mask_suffix(group: argparse._ActionsContainer) -> argparse.Action:
    """Add the option --mask-suffix."""
    return group.add_argument(
        "--mask-suffix", metavar="TEXT", default="",
        help="suffix that mask names add to image names: _L if the mask of a.jpg is a_L.png",
    )


def add_stretch(group: argparse._ActionsContainer, default: str = "") -> argparse.Action:
    """Add the option --stretch."""
    low, high = PERCENTILES
    return group.add_argument(
        "--stretch", action="store_true",
        help=f"stretch the values of each image so that its percentiles {low:g} to {high:g} fill "
        f"the whole range; for 16-bit images that use a small part of the range{default}",
    )


def percentiles_of(
    options: argparse.Namespace, card: Card | None = None
) -> tuple[float, float] | None:
    """Return the percentiles of --stretch or, without --stretch, those of the weights."""
    if not options.stretch:
        return None if card is None else card.percentiles
    if card is not None and card.classes is not None and card.percentiles is None:
        warnings.warn(
            "these weights were trained on images that were not stretched", DataWarning,
            stacklevel=2,
        )
    return PERCENTILES
