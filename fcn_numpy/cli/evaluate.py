"""fcn-numpy evaluate: score networks on labeled images."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

import numpy as np

from fcn_numpy import training
from fcn_numpy.card import card_of
from fcn_numpy.cli.options import (
    add_classes,
    add_dataset,
    add_mask_suffix,
    add_stretch,
    describe,
    given,
    parse_classes,
    percentiles_of,
    whole_number,
)
from fcn_numpy.cli.progress import Counter, LiveLine
from fcn_numpy.data import open_folder
from fcn_numpy.data.layouts import VAL, layout_of
from fcn_numpy.files import shown
from fcn_numpy.metrics import Scores, score_table, segmentation_scores
from fcn_numpy.models import MODELS, Frozen, from_file

DESCRIPTION = """\
Score the FCN-32s, FCN-16s and FCN-8s of a run on images that the run was not trained on.
With --weights and --data, score any FCN on a folder of images and masks (laid out as for
`train --data`). The command prints pixel accuracy, mean accuracy, mean IU (intersection
over union), frequency weighted IU, and the IU of each class.

If the folder has a list or folders named val, the command scores these images. Otherwise
it scores all images, even those that the weights were trained on.

Classes are matched by name. If the weights have the same classes in a different order,
the order of the folder is used. If the weights have different classes, this is an error.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "run_folder", nargs="?", type=Path, metavar="RUN", help="folder of a run (`train --out`)"
    )
    parser.add_argument(
        "--images", type=whole_number(1), metavar="N",
        help="number of images to score (default: as many as `train` scored, or all of --data)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), metavar="N",
        help="seed of the toy images (default: 0, the images that `train` scores)",
    )
    group = parser.add_argument_group("a folder of images and masks")
    folder_options = [
        group.add_argument("--weights", type=Path, metavar="FILE", help="weights of an FCN"),
        group.add_argument("--data", type=Path, metavar="DIR", help="folder of images and masks"),
        group.add_argument(
            "--split", metavar="NAME",
            help="the images to score: a list (DIR/NAME.txt, ImageSets/Segmentation/NAME.txt for "
            "PASCAL VOC, or the path of a list), or the name of a folder inside images and masks "
            "(default: val, if it exists)",
        ),
        add_classes(group, "DIR/classes.csv; without it, a PASCAL VOC folder has its 21"),
        add_dataset(group),
        add_mask_suffix(group),
        add_stretch(group, " (default: as recorded in the weights)"),
    ]
    parser.set_defaults(folder_options=folder_options)


def run(options: argparse.Namespace) -> int:
    """Print the scores of a run's networks, or of one network on a folder."""
    with contextlib.closing(LiveLine(sys.stdout)) as line:
        if options.run_folder is None:
            scores, names = _scores_on_folder(options, line)
        else:
            scores, names = _scores_of_run(options, line)
    print(score_table(scores, names))
    return 0


def _scores_of_run(
    options: argparse.Namespace, line: LiveLine
) -> tuple[dict[str, Scores], tuple[str, ...]]:
    of_folder = given(options, options.folder_options)
    if of_folder:
        raise ValueError(f"expected a RUN, or --weights and --data, got a RUN and {of_folder[0]}")

    def report(what: str, done: int) -> None:
        if line.live:  # a file gets only the table
            line.write(f"{what}: {done} images", finished=False)

    scores = training.evaluate(options.run_folder, options.images, options.seed, report)
    return scores, training.read_classes_of(options.run_folder).names


def _scores_on_folder(
    options: argparse.Namespace, line: LiveLine
) -> tuple[dict[str, Scores], tuple[str, ...]]:
    if options.weights is None or options.data is None:
        raise ValueError("expected a RUN, or --weights and --data")
    if options.seed is not None:
        raise ValueError("--seed is for the toy images of a RUN")
    model = from_file(options.weights)
    if model.heads or list(model.inputs.values()) != [3]:
        raise ValueError(
            f"expected a network with one head that takes one image of three channels, got "
            f"{describe(model)}, which takes {' and '.join(model.inputs)}"
        )
    card = card_of(options.weights, model, dataset=options.dataset)
    classes, colored = parse_classes(options.classes)
    split = layout_of(options.data).usual(VAL) if options.split is None else options.split
    folder = open_folder(
        options.data, split, classes, colored, mask_suffix=options.mask_suffix,
        percentiles=percentiles_of(options, card),
    )
    folder = folder.subset(range(len(folder))[: options.images])
    order = card.matched(folder.classes, model.n_class, options.weights)
    if card.classes is None:
        print(
            f"{shown(options.weights)} names no classes: using the order of the folder",
            flush=True,
        )
    elif (order != np.arange(len(order))).any():
        print(
            f"{shown(options.weights)} has the classes in a different order: matching by name",
            flush=True,
        )
    folder.check(Counter(line, len(folder), lambda done: "checked"))
    count = Counter(line, len(folder), lambda done: shown(folder.names[done - 1]))
    images = (folder[i] for i in range(len(folder)))
    with Frozen(model) as network:
        hist = training.score_images(network, images, count, order, card.means)
    name = next(name for name, kind in MODELS.items() if type(model) is kind)
    return {name: segmentation_scores(hist)}, folder.classes.names
