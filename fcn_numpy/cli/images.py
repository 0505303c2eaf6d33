"""Read the images that a command is given."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_numpy.card import Card
from fcn_numpy.cli.options import add_classes, add_dataset, add_stretch, describe
from fcn_numpy.data import DataWarning, read_depth, stretch
from fcn_numpy.data.classes import same_name
from fcn_numpy.data.images import inspect_image
from fcn_numpy.data.layouts import files_by_name
from fcn_numpy.data.lists import IMAGES
from fcn_numpy.data.survey import is_narrow
from fcn_numpy.models import Segmenter
from fcn_numpy.prediction import means_for


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what a network of a file sees, and for the names of its classes."""
    add_classes(
        parser, "the names in the weights, or classes.csv next to them; for published networks, "
        "the classes of their data set"
    )
    add_dataset(parser)
    for kind, words in (("depth", "a depth image"), ("hha", "an HHA image")):
        parser.add_argument(
            f"--{kind}", type=Path, metavar="PATH",
            help=f"for a network that takes {kind} as well as color: {words}; for several images, "
            f"a folder with {words} of the same name as each IMAGE",
        )
    add_stretch(parser, " (default: as recorded in the weights)")


def seconds_of(
    model: Segmenter, images: Sequence[Path], options: argparse.Namespace
) -> dict[Path, Path]:
    """Return the depth or HHA image for each image, if the network takes both."""
    kinds = list(means_for(model) or {})[1:]
    for kind in ("depth", "hha"):
        given = getattr(options, kind)
        if given is None and kind in kinds:
            raise ValueError(
                f"{describe(model)}, takes {kind} as well as color: expected --{kind} PATH"
            )
        if given is not None and kind not in kinds:
            raise ValueError(f"--{kind} is for a network that takes {kind}, got {describe(model)}")
    if not kinds:
        return {}
    place = getattr(options, kinds[0])
    if not place.exists():
        raise ValueError(f"expected --{kinds[0]} to be a file or a folder, got {place}")
    if not place.is_dir():
        if len(images) > 1:
            raise ValueError(
                f"expected --{kinds[0]} to be a folder for {len(images)} images, got {place}"
            )
        return dict.fromkeys(images, place)
    found = files_by_name(place, IMAGES)
    missing = [path.stem for path in images if same_name(path.stem) not in found]
    if missing:
        raise ValueError(f"{place}: expected an image {missing[0]}, found none")
    return {path: found[same_name(path.stem)] for path in images}


def read(path: Path, card: Card) -> np.ndarray:
    """Read an image, stretch it if the card says so, and warn about possible mistakes."""
    read = inspect_image(path)
    if read.orientation != 1:
        warnings.warn(
            f"{path}: turned upright by its EXIF orientation {read.orientation}", DataWarning,
            stacklevel=2,
        )
    if read.has_more:
        warnings.warn(
            f"{path}: only the first image in this file is read", DataWarning, stacklevel=2
        )
    if card.percentiles is not None:
        return stretch(read.image, card.percentiles)
    if read.bits == 16 and is_narrow(read.image):
        warnings.warn(
            f"{path}: the image uses less than a tenth of the 16-bit range, and the weights were "
            "trained without --stretch", DataWarning, stacklevel=2,
        )
    return read.image


def read_second(
    path: Path, of: Path, image: np.ndarray, options: argparse.Namespace
) -> np.ndarray:
    """Read the depth or HHA image that belongs to an image."""
    other = inspect_image(path).image if options.depth is None else read_depth(path)
    if other.shape[1:] != image.shape[1:]:
        sizes = [f"{x.shape[2]} x {x.shape[1]}" for x in (image, other)]
        raise ValueError(f"{path}: expected the size of {of}, {sizes[0]}, got {sizes[1]}")
    return other
