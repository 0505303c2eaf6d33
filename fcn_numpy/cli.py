"""The command line: fcn-numpy train, evaluate, predict, gradcheck, summary."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fcn_numpy import __version__
from fcn_numpy.metrics import Scores


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process if not given.

    Returns
    -------
    int
        Exit status: 0 if all went well, 1 if a check failed, 2 for a mistake in what was asked
        for, 130 if stopped by Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:
        # The reader of our output has gone (as in `| head`): nothing is left to be said.
        sys.stderr.close()
        return 1
    except (ValueError, OSError, MemoryError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"fcn-numpy {options.command}: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fcn-numpy {options.command}: stopped", file=sys.stderr)
        return 130


def _parser():
    parser = _Parser(
        prog="fcn-numpy",
        description="Fully convolutional networks for semantic segmentation, in NumPy.",
    )
    parser.add_argument("--version", action="version", version=f"fcn-numpy {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_gradcheck(commands)
    _add_summary(commands)
    return parser


def _add(commands, name, run, help, description):
    parser = commands.add_parser(
        name, help=help, description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _whole(minimum):
    def convert(text):
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


def _number(text, what, suits):
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not suits(value):
        raise argparse.ArgumentTypeError(f"expected a number {what}, got {text!r}")
    return value


def _positive(text):
    return _number(text, "above 0", lambda value: 0 < value < float("inf"))


def _momentum(text):
    return _number(text, "of at least 0 and below 1", lambda value: 0 <= value < 1)


def _probability(text):
    return _number(text, "above 0 and of at most 1", lambda value: 0 < value <= 1)


# ---------------------------------------------------------------------------------------- train


def _add_train(commands):
    parser = _add(
        commands, "train", _train,
        "train a tiny FCN on toy shapes",
        "Train a tiny FCN on toy shapes, as the paper does on photographs: a classifier of\n"
        "single shapes first; its layers, made convolutional, become FCN-32s; from that\n"
        "FCN-16s, from that FCN-8s. Takes about two minutes on two cores.\n\n"
        "Leaves in the folder --out: predictions.png (look at this first), curves.png,\n"
        "history.csv (the loss of each step), the weights of every stage (.npz), scores.json\n"
        "and config.json. Ctrl-C stops and saves; --resume goes on.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/shapes"), metavar="DIR",
        help="folder for what the run leaves (default: %(default)s)",
    )
    parser.add_argument(
        "--resume", action="store_true",
        help="go on with the run in --out; its result is the same as without the stop",
    )
    parser.add_argument(
        "--seed", type=_whole(0), metavar="N",
        help="same number, same result, on the same machine (default: 0)",
    )
    parser.add_argument(
        "--lr-factor", type=_positive, metavar="X",
        help="multiply the learning rate of each stage with X (default: 1)",
    )
    parser.add_argument(
        "--steps-factor", type=_positive, metavar="X",
        help="multiply the steps of each stage with X (default: 1)",
    )
    parser.add_argument(
        "--quick", action="store_true",
        help="a few steps only, to see that everything works; the networks learn nothing",
    )
    regime = parser.add_argument_group(
        "how the FCNs learn",
        "By default batches of 8, momentum 0.9, and the mean of the loss over pixels. Another\n"
        "choice gathers the same pictures otherwise: the number of steps and the learning rates\n"
        "follow, so that each picture counts as much. The classifier's training stays as it is.",
    )
    regime.add_argument("--batch", type=_whole(1), metavar="N", help="pictures a step")
    regime.add_argument("--momentum", type=_momentum, metavar="X", help="from 0 to below 1")
    regime.add_argument(
        "--reduction", choices=("mean", "sum"),
        help="of the loss over pixels; with the sum no gradient is clipped",
    )
    regime.add_argument(
        "--heavy", action="store_true",
        help="the paper's heavy learning: --batch 1 --momentum 0.99 --reduction sum",
    )
    regime.add_argument(
        "--loss-sampling", type=_probability, metavar="P",
        help="in each step keep a pixel's loss with probability P (default: 1, whole images)",
    )


def _settings(options):
    from fcn_numpy.training import Settings

    settings = Settings()
    if options.seed is not None:
        settings = dataclasses.replace(settings, seed=options.seed)
    if options.lr_factor is not None:
        lr = tuple(options.lr_factor * lr for lr in settings.lr)
        settings = dataclasses.replace(settings, lr=lr)
    if options.steps_factor is not None:
        steps = tuple(max(1, round(options.steps_factor * n)) for n in settings.steps)
        settings = dataclasses.replace(settings, steps=steps)
    if options.quick:
        settings = settings.quick()
    regime = {name: getattr(options, name) for name in ("batch", "momentum", "reduction")}
    given = [f"--{name}" for name, value in regime.items() if value is not None]
    if options.heavy and given:
        raise ValueError(f"--heavy chooses batch, momentum and reduction, got {given[0]} too")
    if options.heavy:
        settings = settings.heavy()
    elif given:
        settings = settings.regime(**regime)
    if options.loss_sampling is not None:
        settings = dataclasses.replace(settings, loss_sampling=options.loss_sampling)
    return settings


def _train(options):
    from fcn_numpy import training
    from fcn_numpy.progress import ProgressLine

    out = options.out
    if options.resume:
        given = {
            "--seed": options.seed, "--lr-factor": options.lr_factor,
            "--steps-factor": options.steps_factor, "--quick": options.quick or None,
            "--batch": options.batch, "--momentum": options.momentum,
            "--reduction": options.reduction, "--heavy": options.heavy or None,
            "--loss-sampling": options.loss_sampling,
        }
        changed = [name for name, value in given.items() if value is not None]
        if changed:
            raise ValueError(f"--resume keeps the settings of the run, got {', '.join(changed)}")
    settings = None if options.resume else _settings(options)
    progress = ProgressLine(sys.stdout)
    resume_with = f"fcn-numpy train --resume --out {out}"
    try:
        with _stop_on_ctrl_c() as should_stop:
            scores = training.train(
                out, settings, resume=options.resume, report=progress, should_stop=should_stop
            )
    except training.TrainingStopped as stop:
        progress.close()
        print(f"{str(stop).capitalize()} and saved. Go on with: {resume_with}")
        return 130
    except BaseException:
        progress.close()
        raise
    _draw_run(out, scores)
    print(_table(scores))
    print(f"\nPictures and weights are in {out}; look at {out / 'predictions.png'} first.")
    return 0


@contextlib.contextmanager
def _stop_on_ctrl_c():
    """Yield a function that tells whether Ctrl-C was pressed; pressed twice, it interrupts."""
    pressed = []

    def note(number, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _draw_run(out, scores):
    from fcn_numpy import plotting, training
    from fcn_numpy.data import CLASSES

    images, labels, predictions = training.example_predictions(out)
    mean_iu = {name: s.mean_iu for name, s in scores.items()}
    plotting.draw_predictions(
        out / "predictions.png", images, labels, predictions, CLASSES, mean_iu
    )
    plotting.draw_curves(out / "curves.png", training.read_history(out), mean_iu)


def _table(scores: Mapping[str, Scores]) -> str:
    """Lay out the paper's four scores, a line for each network."""
    from fcn_numpy.data import CLASSES

    heads = ("pixel acc.", "mean acc.", "mean IU", "f.w. IU", *(f"IU {c}" for c in CLASSES))
    lines = ["  ".join([" " * 6, *heads])]
    for name, s in scores.items():
        values = zip(heads, (*s[:4], *s.iu))
        lines.append("  ".join([f"{name:6}", *(f"{v:{len(head)}.3f}" for head, v in values)]))
    return "\n".join(lines)


# ------------------------------------------------------------------------------------- evaluate


def _add_evaluate(commands):
    parser = _add(
        commands, "evaluate", _evaluate,
        "score the networks of a run on held-out pictures",
        "Score FCN-32s, FCN-16s and FCN-8s of a run on toy pictures that it was not trained\n"
        "on: pixel accuracy, mean accuracy, mean IU, frequency weighted IU, and the IU\n"
        "(intersection over union) of each class.",
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of `train --out`")
    parser.add_argument(
        "--images", type=_whole(1), metavar="N",
        help="how many pictures (default: as many as the run was scored on)",
    )
    parser.add_argument(
        "--seed", type=_whole(0), default=0, metavar="N",
        help="which pictures (default: 0, those that `train` scores on)",
    )


def _evaluate(options):
    from fcn_numpy import training

    print(_table(training.evaluate(options.run_folder, options.images, options.seed)))
    return 0


# -------------------------------------------------------------------------------------- predict


def _add_predict(commands):
    parser = _add(
        commands, "predict", _predict,
        "segment picture files with trained weights",
        "Segment picture files. For each IMAGE two pictures are written to --out:\n"
        "NAME_labels.png, whose pixels are class numbers shown in colours, and\n"
        "NAME_overlay.png, the same colours laid over the picture.",
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG or JPEG files")
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="F",
        help="weights of an FCN, such as runs/shapes/fcn8s.npz",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), metavar="DIR",
        help="folder for the pictures, made if missing (default: %(default)s)",
    )


def _predict(options):
    from fcn_numpy import data, plotting, training, weights
    from fcn_numpy.models import fcn_for

    model = fcn_for(weights.load(options.weights))
    if model.n_class != len(data.CLASSES):
        raise ValueError(
            f"expected weights for {len(data.CLASSES)} classes, as train makes them, got "
            f"{model.n_class}"
        )
    stems = [path.stem for path in options.images]
    for stem in stems:
        if stems.count(stem) > 1:
            raise ValueError(f"two images are named {stem}: their pictures would collide")
    # All are read before the first is written: a broken one stops it before it has begun.
    images = [data.read_image(path) for path in options.images]
    options.out.mkdir(parents=True, exist_ok=True)
    for path, image in zip(options.images, images):
        labels = training.predict_any_size(model, image)
        data.write_labels(
            options.out / f"{path.stem}_labels.png", labels, plotting.CLASS_COLOURS
        )
        data.write_image(
            options.out / f"{path.stem}_overlay.png", plotting.overlay(image, labels)
        )
        shares = np.bincount(labels.ravel(), minlength=len(data.CLASSES)) / labels.size
        found = ", ".join(
            f"{name} {share:.0%}" for name, share in zip(data.CLASSES, shares) if share
        )
        print(f"{path}: {found}")
    print(f"Pictures are in {options.out}.")
    return 0


# ------------------------------------------------------------------------------------ gradcheck


def _add_gradcheck(commands):
    from fcn_numpy.gradcases import CASES

    parser = _add(
        commands, "gradcheck", _gradcheck,
        "hold every backward pass to finite differences",
        "Hold the backward pass of layers and models to central differences in float64. The\n"
        "relative error must be at most 1e-6; what lies on a kink of a ReLU or a max-pool is\n"
        "left out and counted. Exit status 1 if any fails.\n\n"
        + textwrap.fill("Names: " + ", ".join(CASES) + ".", 80),
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="layers or models to check (default: all)"
    )
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="(default: 0)")


def _gradcheck(options):
    from fcn_numpy.gradcases import CASES
    from fcn_numpy.gradcheck import GradientError, gradcheck

    names = list(dict.fromkeys(name.lower() for name in options.names)) or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise ValueError(f"no layer or model is named {unknown[0]}; there are {', '.join(CASES)}")
    print(f"{'':20}  largest relative error  checked  left out", flush=True)
    failed = 0
    for name in names:
        rng = np.random.default_rng(options.seed)
        module, inputs = CASES[name](rng)
        try:
            report = gradcheck(module, *inputs, rng=rng)
        except GradientError as error:
            failed += 1
            print(f"{name:20}  FAILED: {error}", flush=True)
            continue
        unit = "elements" if report.by_element else "directions"
        print(
            f"{name:20}  {report.max_error:22.1e}  {report.checked:7}  {report.left_out:8}  {unit}",
            flush=True,
        )
    print(f"{len(names) - failed} right, {failed} wrong.")
    return 1 if failed else 0


# -------------------------------------------------------------------------------------- summary


def _add_summary(commands):
    parser = _add(
        commands, "summary", _summary,
        "list the layers of a model",
        "List the layers of a model: the shape of what each puts out, its stride (image pixels\n"
        "from one cell to the next), its receptive field (image pixels along a side that one\n"
        "cell depends on), parameters, and multiply-adds for one image. Below it the totals,\n"
        "and the offsets of the crops.",
    )
    parser.add_argument("model", metavar="MODEL", help="fcn32s, fcn16s, fcn8s or fcn8satonce")
    parser.add_argument(
        "--size", nargs=2, type=_whole(1), metavar=("H", "W"),
        help="size of the image (default: 224 224, with --backbone tiny 128 128)",
    )
    parser.add_argument(
        "--backbone", choices=("vgg16", "tiny"), default="vgg16", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--classes", type=_whole(1), default=21, metavar="N",
        help="number of classes, background included (default: %(default)s)",
    )


def _summary(options):
    from fcn_numpy.models import MODELS, TINY, VGG16
    from fcn_numpy.summary import summary

    name = options.model.lower().replace("-", "").replace("_", "")
    if name not in MODELS:
        raise ValueError(
            f"expected MODEL to be {', '.join(MODELS)}, got {options.model!r}"
        )
    backbone = {"vgg16": VGG16, "tiny": TINY}[options.backbone]
    size = options.size or ((224, 224) if backbone is VGG16 else (128, 128))
    print(summary(MODELS[name](options.classes, backbone), tuple(size)))
    return 0
