"""fcn-numpy train: train an FCN on toy shapes, or on your own images."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fcn_numpy import plotting, training
from fcn_numpy.cli.options import (
    add_classes,
    add_mask_suffix,
    add_stretch,
    given,
    number,
    parse_classes,
    percentiles_of,
    whole_number,
)
from fcn_numpy.cli.output import complain, typed
from fcn_numpy.cli.progress import Counter, LiveLine, TrainingProgress
from fcn_numpy.data import Classes, DataWarning
from fcn_numpy.metrics import Scores, score_table
from fcn_numpy.models import BACKBONES, Backbone
from fcn_numpy.training import SEGMENTERS, OwnData, Settings, balanced_class_weights

DESCRIPTION = """\
Train a small FCN on toy shapes, in the stages of the paper. First, a classifier learns
single shapes. Its layers, made convolutional, then become FCN-32s. FCN-16s starts from
FCN-32s, and FCN-8s from FCN-16s. This takes about two minutes on two cores.

With --data DIR, train on your own images instead. DIR contains

  images/NAME.jpg  an image (.jpg, .png ...)
  masks/NAME.png   its mask, with the class of each pixel
  classes.csv      the classes, one per line: `name` if masks contain class numbers from 0,
                   `name,number` for other numbers, `name,red,green,blue` for colors

or it is a PASCAL VOC folder (JPEGImages, SegmentationClass, ImageSets/Segmentation).
Several lines of classes.csv with the same name are one class. Lines named `ignore` mark
pixels that do not count.

To choose which images are held out for scoring, add the lists DIR/train.txt and
DIR/val.txt, or the folders images/train, masks/train, images/val and masks/val. Without
them, a random fifth of the images is held out. All files are checked before training
starts.

Training writes these files to --out: predictions.png (look at it first), curves.png,
history.csv (the loss of each step), the weights of each stage (.npz), scores.json and
config.json. Ctrl-C stops and saves; --resume continues.
"""
REGROUPING = """\
By default, FCN-32s learns from batches of 8, and FCN-16s and FCN-8s from batches of 4,
with momentum 0.9 and the mean of the loss over pixels. With --backbone vgg16, the
defaults are those of --heavy. With alexnet, only FCN-32s learns, from batches of 20.
Other values also change the number of steps and the learning rates, so that the FCNs see
the same number of images and every image has the same effect. The training of the
classifier does not change.
"""

POSITIVE = number("above 0", lambda value: 0 < value < float("inf"))
SHARE = number("above 0 and below 1", lambda value: 0 < value < 1)
MOMENTUM = number("of at least 0 and below 1", lambda value: 0 <= value < 1)
PROBABILITY = number("above 0 and of at most 1", lambda value: 0 < value <= 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="folder for the results (default: runs/shapes, or runs/NAME for --data NAME)",
    )
    parser.add_argument(
        "--resume", action="store_true",
        help="continue the run in --out; the result is the same as without interruption",
    )
    general = _add_general(parser)
    group = parser.add_argument_group("your own images")
    data = group.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of images and masks"
    )
    own_images = _add_own_images(group)
    regrouping = _add_regrouping(parser.add_argument_group("how the FCNs learn", REGROUPING))
    parser.set_defaults(
        own_image_options=own_images, run_options=[*general, *regrouping, data, *own_images]
    )


def _add_general(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        parser.add_argument(
            "--seed", type=whole_number(0), metavar="N",
            help="random seed; the same seed gives the same result on the same machine "
            "(default: 0)",
        ),
        parser.add_argument(
            "--lr-factor", type=POSITIVE, metavar="X",
            help="multiply the learning rate of each stage by X (default: 1)",
        ),
        parser.add_argument(
            "--steps-factor", type=POSITIVE, metavar="X",
            help="multiply the number of steps of each stage by X (default: 1)",
        ),
        parser.add_argument(
            "--control", action="store_true",
            help="train only FCN-32s, on as many images as the three FCNs together, to measure the "
            "effect of longer training without skips",
        ),
        parser.add_argument(
            "--quick", action="store_true",
            help="train for only a few steps, to see that everything works; the networks learn "
            "nothing",
        ),
    ]


def _add_own_images(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    return [
        add_classes(group, "DIR/classes.csv; without it, a PASCAL VOC folder has its 21"),
        add_mask_suffix(group),
        group.add_argument(
            "--split", metavar="NAME",
            help="the images to train on: a list (DIR/NAME.txt, ImageSets/Segmentation/NAME.txt "
            "for PASCAL VOC, or the path of a list), or the name of a folder inside images and "
            "masks (default: train, with val for scoring, if these exist; otherwise all)",
        ),
        group.add_argument(
            "--validation", type=SHARE, metavar="X",
            help="fraction of the images to hold out for scoring, drawn at random with --seed "
            "(default: the split val, if it exists; otherwise 0.2)",
        ),
        add_stretch(group),
        group.add_argument(
            "--crop", type=whole_number(0), metavar="N",
            help="train on random crops of N x N pixels, or on whole images if N is 0 (default: "
            "128; 0 for --backbone vgg16 and alexnet)",
        ),
        group.add_argument(
            "--no-flip", action="store_true",
            help="do not mirror images at random",
        ),
        group.add_argument(
            "--class-weights", metavar="W",
            help="weights of the classes in the loss: 'balanced' (median frequency balancing, rare "
            "classes count more), or one number per class, separated by commas (default: all "
            "classes count the same)",
        ),
        group.add_argument(
            "--backbone", choices=tuple(BACKBONES),
            help="network that the FCNs are built on. vgg16, the paper's, needs --pretrained, "
            "about 5 GB of memory, and hours; alexnet, only for FCN-32s, needs --pretrained too "
            "(default: tiny)",
        ),
        group.add_argument(
            "--pretrained", type=Path, metavar="FILE",
            help="weights to start from, instead of training a classifier first: those of a "
            "classifier or an FCN on the same backbone",
        ),
        group.add_argument(
            "--pretrained-on", choices=("caffe", "torchvision"),
            help="input that the pretrained VGG16 expects: BGR from 0 to 255 minus the mean "
            "(caffe), or normalized RGB (torchvision) (default: caffe)",
        ),
    ]


def _add_regrouping(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    return [
        group.add_argument("--batch", type=whole_number(1), metavar="N", help="images per step"),
        group.add_argument("--momentum", type=MOMENTUM, metavar="X", help="at least 0 and below 1"),
        group.add_argument(
            "--reduction", choices=("mean", "sum"),
            help="how the loss combines pixels; with sum, gradients are not clipped",
        ),
        group.add_argument(
            "--heavy", action="store_true",
            help="the paper's heavy learning: short for --batch 1 --momentum 0.99 --reduction sum",
        ),
        group.add_argument(
            "--loss-sampling", type=PROBABILITY, metavar="P",
            help="in each step, keep the loss of a pixel with probability P (default: 1, "
            "whole-image training)",
        ),
    ]


def run(options: argparse.Namespace) -> int:
    """Train, draw the predictions of the networks, and print their scores."""
    out = options.out
    if out is None:
        out = Path("runs", "shapes" if options.data is None else options.data.resolve().name)
    settings = data = None
    if options.resume:
        changes = given(options, options.run_options)
        if changes:
            raise ValueError(f"--resume keeps the settings of the run, got {', '.join(changes)}")
    else:
        training.check_new(out)
        data = own_data(options)
        if data is not None:
            data.check_apart(out)
            _read_all(data)
        settings = settings_from(options, data)
    command = typed(["fcn-numpy", "train", "--resume", "--out", str(out)])
    saved = f". What was trained is saved; continue with: {command}"
    try:
        with contextlib.closing(LiveLine(sys.stdout)) as line, _stop_on_ctrl_c() as should_stop:
            scores = training.train(
                out, settings, data=data, resume=options.resume, report=TrainingProgress(line),
                report_other=_other_work(line), should_stop=should_stop,
            )
    except training.TrainingStopped as stop:
        print(f"{str(stop).capitalize()} and saved. Continue with: {command}")
        return 130
    except training.TrainingInterrupted as error:
        complain(options.command, error, saved)
        return 1
    classes = training.read_classes_of(out)
    try:
        _draw(out, scores, classes)
    except OSError as error:
        complain(options.command, error, saved)
        return 1
    print(score_table(scores, classes.names))
    print(f"\nThe results are in {out}; look at {out / 'predictions.png'} first.")
    return 0


def _other_work(line: LiveLine) -> Callable[[str, int], None]:
    """Return a function that shows the progress of checking and scoring."""

    def report(what: str, done: int) -> None:
        if line.is_time(due=False, finished=False):
            line.write(f"{what}: {done} images", finished=False)

    return report


def own_data(options: argparse.Namespace) -> OwnData | None:
    """Return the images in the folder --data; None for toy shapes."""
    if options.data is None:
        of_images = given(options, options.own_image_options)
        if of_images:
            raise ValueError(f"{of_images[0]} is for your own images: add --data DIR")
        return None
    backbone = _backbone(options)
    if options.pretrained is None and not backbone.learns_from_scratch:
        raise ValueError(
            f"--backbone {backbone.name.lower()} needs --pretrained FILE: training it from scratch "
            "takes a million images"
        )
    if options.pretrained_on is not None and options.backbone != "vgg16":
        raise ValueError("--pretrained-on is for --backbone vgg16")
    if options.pretrained is not None and not options.pretrained.is_file():
        raise ValueError(f"expected --pretrained to be a file, got {options.pretrained}")
    classes, colored = parse_classes(options.classes)
    return OwnData.open(
        options.data, classes=classes, colored=colored, split=options.split,
        validation=options.validation, seed=options.seed or 0, mask_suffix=options.mask_suffix,
        percentiles=percentiles_of(options),
    )


def _backbone(options: argparse.Namespace) -> type[Backbone]:
    return BACKBONES[options.backbone or "tiny"]


def _read_all(data: OwnData) -> None:
    """Read and check every file, then print the frequency of each class."""
    print(
        f"Reading {len(data.train)} images to train on and {len(data.test)} to score on.",
        flush=True,
    )
    total = len(data.train) + len(data.test)
    with contextlib.closing(LiveLine(sys.stdout)) as line:
        both = data.check(Counter(line, total, lambda done: "checked"))
    train, test = (counts / max(counts.sum(), 1) for counts in both)
    print(f"{'share of the pixels':22} {'to train':>9} {'to score':>9}")
    for name, *shares in zip(data.classes.names, train, test):
        if any(shares):  # a warning names the others
            print(f"  {name:20} " + " ".join(f"{share:9.2%}" for share in shares))


def settings_from(options: argparse.Namespace, data: OwnData | None = None) -> Settings:
    """Return the settings that the options ask for.

    Parameters
    ----------
    options : Namespace
    data : OwnData, optional
        The images in the folder --data, if given.

    Returns
    -------
    Settings
    """
    settings = Settings()
    if options.pretrained is not None:
        pretrained = str(options.pretrained.resolve()), options.pretrained_on or "caffe"
        if _backbone(options).learns_from_scratch:
            settings = settings.with_pretrained(*pretrained)
        elif options.backbone == "alexnet":
            settings = Settings.alexnet(pretrained[0])
        else:
            settings = Settings.vgg16(*pretrained)
    settings = settings.scaled(steps=options.steps_factor or 1, lr=options.lr_factor or 1)
    size = settings.size if options.crop is None else options.crop or None
    settings = dataclasses.replace(
        settings, seed=options.seed or 0, flip=not options.no_flip, size=size
    )
    if options.class_weights is not None and data is not None:
        weights = _class_weights(options.class_weights, data)
        settings = settings.with_stages(*SEGMENTERS, class_weights=weights)
    if options.loss_sampling is not None:
        settings = settings.with_stages(*SEGMENTERS, loss_sampling=options.loss_sampling)
    settings = _regrouped(settings.quick() if options.quick else settings, options, data)
    return settings.control() if options.control else settings


def _class_weights(text: str, data: OwnData) -> tuple[float, ...]:
    """Return the class weights that --class-weights asks for."""
    if text == "balanced":
        return balanced_class_weights(data.counts[0])
    try:
        weights = tuple(float(weight) for weight in text.split(","))
    except ValueError:
        weights = ()
    if len(weights) != len(data.classes) or not all(0 <= w < float("inf") for w in weights):
        raise ValueError(
            f"expected --class-weights to be 'balanced' or {len(data.classes)} numbers of at "
            f"least 0, got {text!r}"
        )
    return weights


def _regrouped(
    settings: Settings, options: argparse.Namespace, data: OwnData | None
) -> Settings:
    """Return the settings with --batch, --momentum and --reduction, or --heavy."""
    changes = {name: getattr(options, name) for name in ("batch", "momentum", "reduction")}
    chosen = [name for name, value in changes.items() if value is not None]
    if options.heavy and chosen:
        raise ValueError(f"--heavy sets batch, momentum and reduction, got --{chosen[0]} too")
    if not options.heavy and not chosen:
        return settings
    pixels = None
    if settings.size is None and data is not None:
        pixels = max(1, round(data.counts[0].sum() / len(data.train)))
    if options.heavy:
        return settings.heavy_learning(pixels)
    return settings.regrouped(**changes, pixels=pixels)


@contextlib.contextmanager
def _stop_on_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed; a second press interrupts."""
    pressed = False

    def note(number, frame):
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        print("\nStopping after this step; press Ctrl-C again to stop at once.", flush=True)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # Ctrl-C does not reach this code
        yield lambda: False
        return
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _draw(out: Path, scores: Mapping[str, Scores], classes: Classes) -> None:
    """Draw predictions.png and curves.png of a finished run."""
    plotting.use_defaults()
    images, labels, predictions = training.example_predictions(out)
    mean_iu = {name: s.mean_iu for name, s in scores.items()}
    plotting.draw_predictions(
        out / "predictions.png", images, labels, predictions, classes, mean_iu
    )
    try:
        history = training.read_history(out)
    except ValueError as error:  # the run is finished and has its scores
        warnings.warn(f"curves.png is not drawn: {error}", DataWarning, stacklevel=2)
    else:
        plotting.draw_curves(out / "curves.png", history, mean_iu)
