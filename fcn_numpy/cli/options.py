"""Options that several commands have, and types of numbers."""

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
    """Return a type of argument: whole numbers of at least `minimum`."""

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
    """Return a type of argument: numbers within limits.

    Parameters
    ----------
    limits : str
        What the error says of them: "above 0".
    suits : callable
        Returns whether a number is within them; for NaN it must be false.

    Returns
    -------
    callable
        Converts a text to a float, or raises argparse.ArgumentTypeError.
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
    """Return which of some options the user gave, as "--name"."""
    return [
        action.option_strings[0] for action in actions
        if getattr(options, action.dest) is not action.default
    ]


def add_classes(group: argparse._ActionsContainer, default: str) -> argparse.Action:
    """Add the option --classes, whose help ends with what is the default."""
    return group.add_argument(
        "--classes", metavar="LIST",
        help="names of the classes in the order of their numbers, separated by commas "
        "(background,cat,dog); or a file of them (.csv, or .txt of CVAT or labelme); or voc, for "
        f"the 21 of PASCAL VOC (default: {default})",
    )


def parse_classes(text: str | None) -> tuple[Classes | None, bool]:
    """Return the classes that --classes lists, if it was given, and whether it lists colors."""
    if text is None:
        return None, False
    if text.lower() == "voc":
        return VOC_CLASSES, False
    # A long list of names is no path, and asking for such a file is an error of its own.
    if text.lower().endswith((".csv", ".txt")) or ("," not in text and Path(text).is_file()):
        return read_classes(text)
    return Classes.named([name.strip() for name in text.split(",")]), False


def add_dataset(group: argparse._ActionsContainer) -> argparse.Action:
    """Add the option --dataset."""
    return group.add_argument(
        "--dataset", choices=tuple(DATASETS),
        help="the data set that the weights were trained on, for the names of the classes and the "
        "means to subtract (default: known from the names of published files)",
    )


def describe(model: Segmenter) -> str:
    """Return what a network is, in words: "FCN8s on VGG16, 21 classes"."""
    heads = [f"{n} classes ({head})" for head, n in model.heads.items()]
    classes = " and ".join(heads) or f"{model.n_class} classes"
    return f"{type(model).__name__} on {model.backbone.name}, {classes}"


def check_one_head(model: Segmenter) -> None:
    """Raise ValueError for a network with several heads, whose classes --classes cannot name."""
    if model.heads:
        raise ValueError(
            f"--classes is for a network with one head, got {', '.join(model.heads)}: "
            "--dataset can name their classes"
        )


def print_unnamed(card: Card, model: Segmenter) -> None:
    """Print what can name the classes of a network, if they are not known."""
    if not card.names(model):
        option = "--dataset" if model.heads else "--classes"
        print(f"The weights do not name their classes; {option} can.", flush=True)


def add_mask_suffix(group: argparse._ActionsContainer) -> argparse.Action:
    """Add the option --mask-suffix."""
    return group.add_argument(
        "--mask-suffix", metavar="TEXT", default="",
        help="what the names of masks have after those of the images: _L for a.jpg and a_L.png",
    )


def add_stretch(group: argparse._ActionsContainer, default: str = "") -> argparse.Action:
    """Add the option --stretch."""
    low, high = PERCENTILES
    return group.add_argument(
        "--stretch", action="store_true",
        help=f"spread the values of each image, from its percentile {low:g} to {high:g}, over the "
        f"whole range: for 16-bit images that use a small part of it{default}",
    )


def percentiles_of(
    options: argparse.Namespace, card: Card | None = None
) -> tuple[float, float] | None:
    """Return what --stretch asks for, or else what the weights say."""
    if not options.stretch:
        return None if card is None else card.percentiles
    if card is not None and card.classes is not None and card.percentiles is None:
        warnings.warn(
            "these weights were trained on images that were not stretched", DataWarning,
            stacklevel=2,
        )
    return PERCENTILES
