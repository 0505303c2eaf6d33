"""fcn-numpy predict: segment image files."""

from __future__ import annotations

import argparse
import glob
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcn_numpy.card import Card, card_of
from fcn_numpy.cli.images import add_image_options, read, read_second, seconds_of
from fcn_numpy.cli.options import (
    check_one_head,
    describe,
    parse_classes,
    percentiles_of,
    print_unnamed,
)
from fcn_numpy.cli.output import complain
from fcn_numpy.data import (
    Classes,
    DataWarning,
    write_image,
    write_labels,
)
from fcn_numpy.data.images import is_ours
from fcn_numpy.data.lists import IMAGES
from fcn_numpy.files import AN_HOUR, atomic_write, open_file, remove_leftovers, shown
from fcn_numpy.models import Frozen, from_file
from fcn_numpy.plotting import draw_legend, overlay, use_defaults
from fcn_numpy.prediction import means_for, score_heads

DESCRIPTION = """\
Segment image files. For each IMAGE, the command writes three files to --out:

  NAME_labels.png   the class number of each pixel, shown in color
  NAME_overlay.png  the same colors on top of the image
  NAME_legend.png   the color of each class

A network with several heads gets three files for each head: NAME_sem_labels.png,
NAME_geo_labels.png and so on.

An IMAGE can also be a folder (all images in it are segmented) or a pattern such as
'photos/*.jpg'. If an image cannot be read, or its results cannot be written, the command
reports it, continues with the other images, and ends with exit status 1. It does not
overwrite files that another program wrote.

With VGG16, an image takes 0.7 GB of memory per million pixels, plus 1 GB.
"""
KINDS = ("labels.png", "overlay.png", "legend.png")
SCORES = "scores.npy"
LONGEST_PATH = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, folder of images, or pattern"
    )
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE",
        help="weights of an FCN (.npz, .pth, .safetensors or .caffemodel): your own, such as "
        "runs/shapes/fcn8s.npz, or published ones, such as fcn8s-heavy-pascal.caffemodel",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), metavar="DIR",
        help="folder for the results, created if missing (default: %(default)s)",
    )
    parser.add_argument(
        "--scores", action="store_true",
        help="also write NAME_scores.npy, the score of every class at every pixel, (K, H, W)",
    )
    parser.add_argument(
        "--overwrite", action="store_true",
        help="replace files in --out even if another program wrote them",
    )
    add_image_options(parser)


def run(options: argparse.Namespace) -> int:
    """Segment the images, and print the classes that each image shows."""
    images, failures = _found(options.images, options.command)
    _check_names(images)
    model = from_file(options.weights)
    classes, _ = parse_classes(options.classes)
    seconds = seconds_of(model, images, options)
    card = card_of(options.weights, model, beside=classes is None, dataset=options.dataset)
    order = None
    if classes is not None:
        check_one_head(model)
        order = card.matched(classes, model.n_class, options.weights)
        card = replace(card, classes=classes)
    card = replace(card, percentiles=percentiles_of(options, card))
    print(describe(model), flush=True)
    print_unnamed(card, model)
    if card.means is None and means_for(model) is not None:
        print("Subtracting the default means from images; --dataset selects others.", flush=True)
    if images:
        options.out.mkdir(parents=True, exist_ok=True)
        remove_leftovers(options.out, AN_HOUR)
    use_defaults()
    written = 0
    with Frozen(model) as network:
        for path in images:
            try:
                shares = _segment(path, seconds.get(path), network, card, order, options)
            except BrokenPipeError:
                raise
            except (ValueError, OSError, MemoryError) as error:
                complain(options.command, error)
                failures += 1
                continue
            written += 1
            print(f"{shown(path, LONGEST_PATH)}: {shares}", flush=True)
    if written:
        print(f"The results are in {options.out}.")
    return 1 if failures else 0


def _found(arguments: Sequence[str], command: str) -> tuple[list[Path], int]:
    """Return the images that the arguments name, and the number of arguments without images."""
    images: list[Path] = []
    failures = 0
    for text in arguments:
        path = Path(text)
        if os.path.isdir(path):
            found = _images_among(path.iterdir(), text)
        elif not os.path.exists(path) and glob.has_magic(text):
            # The name of a folder may contain brackets.
            pattern = text
            if os.path.isdir(path.parent):
                pattern = os.path.join(glob.escape(str(path.parent)), path.name)
            found = _images_among(map(Path, glob.glob(pattern)), text)
        else:
            found = [path]
        if not found:
            complain(command, ValueError(f"{text}: expected images, found none"))
            failures += 1
        images += found
    return list(dict.fromkeys(images)), failures


def _images_among(paths: Iterable[Path], text: str) -> list[Path]:
    """Return the images among `paths`, except those that this program wrote."""
    images = sorted(
        p for p in paths
        if p.suffix.lower() in IMAGES and not p.name.startswith(".") and not p.is_dir()
    )
    foreign = [p for p in images if not (p.name.endswith(KINDS) and is_ours(p))]
    if len(foreign) < len(images):
        warnings.warn(
            f"{len(images) - len(foreign)} of {len(images)} images in {text} were written by this "
            "program and are skipped", DataWarning, stacklevel=2,
        )
    return foreign


def _check_names(images: Sequence[Path]) -> None:
    by_stem: dict[str, Path] = {}
    for path in images:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} have the same name: their results would collide")


def _segment(
    path: Path, second: Path | None, network: Frozen, card: Card, order: np.ndarray | None,
    options: argparse.Namespace,
) -> str:
    """Write the results for an image; return the classes that it shows, in words."""
    out = options.out
    results = {}
    for head in network.heads or [""]:
        for kind in (*KINDS, *([SCORES] if options.scores else [])):
            name = "_".join(filter(None, (path.stem, head, kind)))
            results[head, kind] = out / name
    if not options.overwrite:
        _check_ours(results)
    image = read(path, card)
    other = None if second is None else read_second(second, path, image, options)
    words = []
    for head, scores in _scores(network, image, other, card).items():
        if order is not None:
            scores = scores[order]
        labels = scores.argmax(axis=0).astype(np.uint8)
        classes = card.of_heads(network)[head]
        write_labels(results[head, "labels.png"], labels, classes)
        write_image(results[head, "overlay.png"], overlay(image, labels, classes))
        draw_legend(results[head, "legend.png"], labels, classes)
        if options.scores:
            with atomic_write(results[head, SCORES]) as file:
                np.save(file, scores)
        words.append(f"{head}: {_shares(labels, classes)}" if head else _shares(labels, classes))
    return "; ".join(words)


def _check_ours(results: dict[tuple[str, str], Path]) -> None:
    """Raise ValueError if a result would replace a file that this program did not write."""
    for (_, kind), path in results.items():
        if path.exists() and not (_is_scores(path) if kind == SCORES else is_ours(path)):
            raise ValueError(
                f"{path} exists, and was not written by this program: choose another --out, or use "
                "--overwrite"
            )


def _is_scores(path: Path) -> bool:
    """Return whether a file contains scores as this program writes them, judging by its header."""
    try:
        with open_file(path, 1 << 40) as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    except (OSError, ValueError):
        return False
    return len(shape) == 3 and dtype == np.float32


def _scores(
    network: Frozen, image: np.ndarray, other: np.ndarray | None, card: Card
) -> dict[str, np.ndarray]:
    _, h, w = image.shape
    try:
        return score_heads(network, image, other, means=card.means)
    except MemoryError as error:
        raise ValueError(f"not enough memory for an image of {w} x {h}") from error


def _shares(labels: np.ndarray, classes: Classes) -> str:
    """Return the percentage of pixels in each class, largest first: "cat 70%, dog 30%"."""
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    largest_first = np.argsort(-shares, kind="stable")
    return ", ".join(f"{classes.names[n]} {shares[n]:.0%}" for n in largest_first if shares[n])
