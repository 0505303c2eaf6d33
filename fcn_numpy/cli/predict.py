"""fcn-numpy predict: segment image files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fcn_numpy.cli.options import add_classes, complain, parse_classes
from fcn_numpy.data import Classes, read_image, write_image, write_labels
from fcn_numpy.files import atomic_write
from fcn_numpy.models import FCN, from_file
from fcn_numpy.plotting import draw_legend, overlay
from fcn_numpy.prediction import classes_of, score_image

DESCRIPTION = """\
Segment image files. For each IMAGE, three files are written to --out: NAME_labels.png,
whose pixels are class numbers, shown in colors; NAME_overlay.png, the same colors over
the image; NAME_legend.png, the color of each class. An image that cannot be read is
reported, and the others are segmented; the exit status is then 1.

With VGG16 an image takes 0.65 GB of memory for each million of its pixels, plus 0.6 GB.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE",
        help="weights of an FCN: your own, such as runs/shapes/fcn8s.npz, or published ones, such "
        "as fcn8s_from_caffe.pth (.npz, .pth, .safetensors)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), metavar="DIR",
        help="folder for the results, created if missing (default: %(default)s)",
    )
    parser.add_argument(
        "--scores", action="store_true",
        help="also write NAME_scores.npy, the scores of each class at each pixel (K, H, W)",
    )
    add_classes(parser, "classes.csv beside the weights; for 21 classes those of PASCAL VOC")


def run(options: argparse.Namespace) -> int:
    """Segment the images, and print which classes each of them shows."""
    by_stem: dict[str, Path] = {}
    for path in options.images:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} have the same name: their results would collide")
    model = from_file(options.weights)
    classes = classes_of(model, options.weights, parse_classes(options.classes)[0])
    print(f"{type(model).__name__} on {model.backbone.name}, {model.n_class} classes", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    failures = 0
    for path in options.images:
        try:
            image = read_image(path)
            scores = _finite_scores(model, image)
        except (ValueError, OSError, MemoryError) as error:
            complain(options.command, error)
            failures += 1
            continue
        labels = scores.argmax(axis=0).astype(np.uint8)
        stem = options.out / path.stem
        write_labels(f"{stem}_labels.png", labels, classes)
        write_image(f"{stem}_overlay.png", overlay(image, labels, classes))
        draw_legend(f"{stem}_legend.png", labels, classes)
        if options.scores:
            with atomic_write(f"{stem}_scores.npy") as file:
                np.save(file, scores)
        print(f"{path}: {_shares(labels, classes)}", flush=True)
    if failures < len(options.images):
        print(f"The results are in {options.out}.")
    return 1 if failures else 0


def _finite_scores(model: FCN, image: np.ndarray) -> np.ndarray:
    _, h, w = image.shape
    try:
        scores = score_image(model, image)
    except MemoryError as error:
        raise ValueError(f"there is not enough memory for an image of {w} x {h}") from error
    if not np.isfinite(scores).all():
        raise ValueError("the scores are not finite: are these the weights of a broken training?")
    return scores


def _shares(labels: np.ndarray, classes: Classes) -> str:
    """Return the share of the pixels that each class has, largest first: "cat 70%, dog 30%"."""
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    largest_first = np.argsort(-shares, kind="stable")
    return ", ".join(f"{classes.names[n]} {shares[n]:.0%}" for n in largest_first if shares[n])
