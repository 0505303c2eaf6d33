"""fcn-numpy evaluate: score networks on images whose labels are known."""

from __future__ import annotations

import argparse
from pathlib import Path

from fcn_numpy import training
from fcn_numpy.cli.options import add_classes, given, parse_classes, whole_number
from fcn_numpy.data import open_folder
from fcn_numpy.metrics import score_table, segmentation_scores
from fcn_numpy.models import MODELS, from_file
from fcn_numpy.prediction import classes_of

DESCRIPTION = """\
Score FCN-32s, FCN-16s and FCN-8s of a run on images that it was not trained on; or, with
--weights and --data, score any FCN on a folder of images and masks (laid out as for
`train --data`). Prints pixel accuracy, mean accuracy, mean IU, frequency weighted IU, and
the IU (intersection over union) of each class. All images of a folder are scored, even
those that the weights were trained on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "run_folder", nargs="?", type=Path, metavar="RUN", help="folder of `train --out`"
    )
    parser.add_argument(
        "--images", type=whole_number(1), metavar="N",
        help="number of images (default: as many as the run was scored on, or all of --data)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), metavar="N",
        help="which toy images (default: 0, those that `train` scores on)",
    )
    group = parser.add_argument_group("a folder of images and masks")
    folder_options = [
        group.add_argument("--weights", type=Path, metavar="FILE", help="weights of an FCN"),
        group.add_argument("--data", type=Path, metavar="DIR", help="folder of images and masks"),
        group.add_argument(
            "--split", metavar="NAME", help="PASCAL VOC: list of images (default: val)"
        ),
        add_classes(group, "DIR/classes.csv; for PASCAL VOC its 21"),
    ]
    parser.set_defaults(folder_options=folder_options)


def run(options: argparse.Namespace) -> int:
    """Print the scores of a run's networks, or of one network on a folder."""
    if options.run_folder is None:
        _score_on_folder(options)
        return 0
    of_folder = given(options, options.folder_options)
    if of_folder:
        raise ValueError(f"expected a RUN, or --weights and --data, got a RUN and {of_folder[0]}")
    scores = training.evaluate(options.run_folder, options.images, options.seed)
    print(score_table(scores, training.read_classes_of(options.run_folder).names))
    return 0


def _score_on_folder(options: argparse.Namespace) -> None:
    if options.weights is None or options.data is None:
        raise ValueError("expected a RUN, or --weights and --data")
    if options.seed is not None:
        raise ValueError("--seed is for the toy images of a RUN")
    classes, colored = parse_classes(options.classes)
    folder = open_folder(options.data, options.split or "val", classes, colored)
    folder = folder.subset(range(len(folder))[: options.images])
    model = from_file(options.weights)
    classes = classes_of(model, options.weights, folder.classes)
    folder.check()

    def report(done: int) -> None:
        print(f"{done}/{len(folder)} {folder.names[done - 1]}", flush=True)

    images = (folder[i] for i in range(len(folder)))
    hist = training.score_images(model, images, report)
    name = next(name for name, kind in MODELS.items() if type(model) is kind)
    print(score_table({name: segmentation_scores(hist)}, classes.names))
