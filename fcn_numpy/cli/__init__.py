"""The command line: fcn-numpy train, evaluate, predict, export, gradcheck, summary."""

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
from fcn_numpy.data import TOY_CLASSES, VOC_CLASSES, Classes, DataFaults
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
        Exit status: 0 if all went well, 1 if a check failed or a picture could not be segmented,
        2 for a mistake in what was asked for, 130 if stopped by Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:
        # The reader of our output has gone (as in `| head`): nothing is left to be said.
        sys.stderr.close()
        return 1
    except DataFaults as error:
        print(f"fcn-numpy {options.command}: error: {error}", file=sys.stderr)
        return 2
    except (ValueError, OSError, MemoryError) as error:
        _complain(options, error)
        return 2
    except KeyboardInterrupt:
        print(f"fcn-numpy {options.command}: stopped", file=sys.stderr)
        return 130


def _complain(options, error):
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"fcn-numpy {options.command}: error: {message}", file=sys.stderr)


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
    _add_export(commands)
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
        "train an FCN on toy shapes, or on your own pictures",
        "Train a tiny FCN on toy shapes, as the paper does on photographs: a classifier of\n"
        "single shapes first; its layers, made convolutional, become FCN-32s; from that\n"
        "FCN-16s, from that FCN-8s. Takes about two minutes on two cores.\n\n"
        "With --data DIR on pictures of your own: DIR/images/NAME.jpg (or .png ...) with\n"
        "DIR/masks/NAME.png, whose pixels are class numbers, or colours that DIR/classes.csv\n"
        "lists as name,red,green,blue; or on a folder of PASCAL VOC (JPEGImages,\n"
        "SegmentationClass, ImageSets/Segmentation). All is checked before training starts.\n\n"
        "Leaves in the folder --out: predictions.png (look at this first), curves.png,\n"
        "history.csv (the loss of each step), the weights of every stage (.npz), scores.json\n"
        "and config.json. Ctrl-C stops and saves; --resume goes on.",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="folder for what the run leaves (default: runs/shapes, with --data runs/NAME)",
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
    own = parser.add_argument_group("your own pictures")
    own.add_argument("--data", type=Path, metavar="DIR", help="folder of pictures and masks")
    _add_classes(own, "(default: DIR/classes.csv; for PASCAL VOC its 21)")
    own.add_argument(
        "--split", metavar="NAME",
        help="PASCAL VOC: list to learn from (default: train, and val to score on)",
    )
    own.add_argument(
        "--validation", type=_share, metavar="X",
        help="share of the pictures held out to score on, drawn by --seed (default: 0.2)",
    )
    own.add_argument(
        "--crop", type=_whole(0), metavar="N",
        help="cut squares of N pixels out, each time elsewhere; 0: whole pictures (default: 128, "
        "with --backbone vgg16 whole pictures)",
    )
    own.add_argument(
        "--no-flip", action="store_true", help="do not mirror half of the pictures, drawn at random"
    )
    own.add_argument(
        "--class-weights", metavar="W",
        help="'balanced' (median frequency balancing: rare classes count more), or a number for "
        "each class, with commas between (default: all count the same)",
    )
    own.add_argument(
        "--backbone", choices=("tiny", "vgg16"),
        help="vgg16 is the paper's; it needs --pretrained, some 5 GB of memory, and hours "
        "(default: tiny)",
    )
    own.add_argument(
        "--pretrained", type=Path, metavar="FILE",
        help="weights to start from, of a classifier or an FCN on the same backbone, instead of "
        "training a classifier first",
    )
    own.add_argument(
        "--pretrained-on", choices=("caffe", "torchvision"),
        help="pictures that VGG16 knows: BGR from 0 to 255 less their mean, or torchvision's "
        "normalised RGB (default: caffe)",
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


def _share(text):
    return _number(text, "above 0 and below 1", lambda value: 0 < value < 1)


def _add_classes(parser, default):
    parser.add_argument(
        "--classes", metavar="LIST",
        help="names of the classes in the order of their numbers, with commas between "
        f"(background,cat,dog), or a CSV file of names and colours {default}",
    )


def _classes(text: str | None) -> tuple[Classes | None, bool]:
    """Return what --classes says, if anything, and whether it has colours."""
    from fcn_numpy.data import read_classes

    if text is None:
        return None, False
    if text.lower().endswith(".csv") or Path(text).is_file():
        return read_classes(text)
    return Classes.named([name.strip() for name in text.split(",")]), False


# Options of `train` for pictures of one's own, and all others that a run is made of.
OWN_OPTIONS = (
    "classes", "split", "validation", "crop", "no_flip", "class_weights", "backbone", "pretrained",
    "pretrained_on",
)
RUN_OPTIONS = (
    "seed", "lr_factor", "steps_factor", "quick", "batch", "momentum", "reduction", "heavy",
    "loss_sampling", "data", *OWN_OPTIONS,
)


def _given(options, names):
    """Return those options that were given, as they are typed."""
    return [
        f"--{name.replace('_', '-')}" for name in names
        if getattr(options, name) is not None and getattr(options, name) is not False
    ]


def _own_data(options):
    """Return the pictures of --data, checked; None for toy shapes."""
    from fcn_numpy.training import OwnData

    given = _given(options, OWN_OPTIONS)
    if options.data is None:
        if given:
            raise ValueError(f"{given[0]} is for pictures of your own: expected --data DIR too")
        return None
    vgg16 = options.backbone == "vgg16"
    if vgg16 and options.pretrained is None:
        raise ValueError(
            "--backbone vgg16 needs --pretrained FILE: from scratch it would need a million "
            "pictures"
        )
    if options.pretrained_on is not None and not vgg16:
        raise ValueError("--pretrained-on is for --backbone vgg16")
    if options.pretrained is not None and not options.pretrained.is_file():
        raise ValueError(f"expected --pretrained to be a file, got {options.pretrained}")
    classes, coloured = _classes(options.classes)
    data = OwnData.open(
        options.data, classes=classes, coloured=coloured, split=options.split,
        validation=options.validation, seed=options.seed or 0,
    )
    print(
        f"Reading {len(data.train)} pictures to learn from, {len(data.test)} to score on.",
        flush=True,
    )
    train, test = (counts / max(counts.sum(), 1) for counts in data.counts)
    print(f"{'share of the pixels':22} {'to learn':>9} {'to score':>9}")
    for name, *shares in zip(data.classes.names, train, test):
        print(f"  {name:20} " + " ".join(f"{share:9.2%}" for share in shares))
    return data


def _class_weights(text, data):
    """Return the numbers that --class-weights asks for."""
    if text == "balanced":
        counts, _ = data.counts
        weights = np.median(counts[counts > 0]) / np.maximum(counts, 1)
        return tuple(np.where(counts > 0, weights, 1.0).tolist())
    try:
        weights = tuple(float(number) for number in text.split(","))
    except ValueError:
        weights = ()
    if len(weights) != len(data.classes) or not all(0 <= w < float("inf") for w in weights):
        raise ValueError(
            f"expected --class-weights to be 'balanced' or {len(data.classes)} numbers of at "
            f"least 0, got {text!r}"
        )
    return weights


def _settings(options, data=None):
    from fcn_numpy.training import Settings

    settings = Settings.vgg16() if options.backbone == "vgg16" else Settings()
    changes = {}
    if options.seed is not None:
        changes["seed"] = options.seed
    if options.lr_factor is not None:
        changes["lr"] = tuple(options.lr_factor * lr for lr in settings.lr)
    steps = settings.steps
    if options.pretrained is not None:
        changes["start"] = str(options.pretrained.resolve())
        changes["start_trained_on"] = options.pretrained_on or "caffe"
        steps = (0, *steps[1:])
    factor = options.steps_factor or 1
    changes["steps"] = tuple(n and max(1, round(factor * n)) for n in steps)
    if options.crop is not None:
        changes["size"] = options.crop or None
    if options.class_weights is not None:
        changes["class_weights"] = _class_weights(options.class_weights, data)
    if options.loss_sampling is not None:
        changes["loss_sampling"] = options.loss_sampling
    settings = dataclasses.replace(settings, flip=not options.no_flip, **changes)
    if options.quick:
        settings = settings.quick()
    return _in_regime(settings, options, data)


def _in_regime(settings, options, data):
    regime = {name: getattr(options, name) for name in ("batch", "momentum", "reduction")}
    given = _given(options, regime)
    if options.heavy and given:
        raise ValueError(f"--heavy chooses batch, momentum and reduction, got {given[0]} too")
    if options.heavy:
        regime = {"batch": 1, "momentum": 0.99, "reduction": "sum"}
    elif not given:
        return settings
    pixels = None
    if settings.size is None:
        pixels = max(1, round(data.counts[0].sum() / len(data.train)))
    return settings.regime(**regime, pixels=pixels)


def _train(options):
    from fcn_numpy import training
    from fcn_numpy.cli.progress import ProgressLine

    name = "shapes" if options.data is None else options.data.resolve().name
    out = Path("runs", name) if options.out is None else options.out
    settings = data = None
    if options.resume:
        given = _given(options, RUN_OPTIONS)
        if given:
            raise ValueError(f"--resume keeps the settings of the run, got {', '.join(given)}")
    else:
        training.check_new(out)
        data = _own_data(options)
        settings = _settings(options, data)
    progress = ProgressLine(sys.stdout)
    resume_with = f"fcn-numpy train --resume --out {out}"
    try:
        with _stop_on_ctrl_c() as should_stop:
            scores = training.train(
                out, settings, data=data, resume=options.resume, report=progress,
                should_stop=should_stop,
            )
    except training.TrainingStopped as stop:
        progress.close()
        print(f"{str(stop).capitalize()} and saved. Go on with: {resume_with}")
        return 130
    except BaseException:
        progress.close()
        raise
    classes = _draw_run(out, scores)
    print(_table(scores, classes))
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
        print("\nStopping after this step; Ctrl-C again stops at once.", flush=True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _draw_run(out, scores):
    """Draw what a run has reached; return its classes."""
    from fcn_numpy import plotting, training

    images, labels, predictions = training.example_predictions(out)
    classes = training.read_classes_of(out)
    mean_iu = {name: s.mean_iu for name, s in scores.items()}
    plotting.draw_predictions(
        out / "predictions.png", images, labels, predictions, classes, mean_iu
    )
    plotting.draw_curves(out / "curves.png", training.read_history(out), mean_iu)
    return classes


def _table(scores: Mapping[str, Scores], classes: Classes) -> str:
    """Lay out the paper's four scores, a line for each network, and the IU of each class."""
    heads = ["pixel acc.", "mean acc.", "mean IU", "f.w. IU"]
    few = len(classes) <= 6 and max(map(len, classes.names)) <= 12
    if few:
        heads += [f"IU {name}" for name in classes.names]
    lines = ["  ".join([" " * 6, *heads])]
    for name, s in scores.items():
        values = zip(heads, (*s[:4], *s.iu))
        lines.append("  ".join([f"{name:6}", *(f"{v:{len(head)}.3f}" for head, v in values)]))
    if not few:
        width = max(map(len, classes.names))
        lines += ["", "  ".join([f"{'IU':{width}}", *(f"{name:>6}" for name in scores)])]
        for number, class_name in enumerate(classes.names):
            values = (f"{s.iu[number]:6.3f}" for s in scores.values())
            lines.append("  ".join([f"{class_name:{width}}", *values]))
    return "\n".join(lines)


# ------------------------------------------------------------------------------------- evaluate


def _add_evaluate(commands):
    parser = _add(
        commands, "evaluate", _evaluate,
        "score networks on pictures whose labels are known",
        "Score FCN-32s, FCN-16s and FCN-8s of a run on pictures that it was not trained on, or,\n"
        "with --weights and --data, any FCN on a folder of pictures and masks (laid out as for\n"
        "`train --data`): pixel accuracy, mean accuracy, mean IU, frequency weighted IU, and the\n"
        "IU (intersection over union) of each class. A folder is scored as a whole, also what the\n"
        "weights were trained on, if that is in it.",
    )
    parser.add_argument(
        "run_folder", nargs="?", type=Path, metavar="RUN", help="folder of `train --out`"
    )
    parser.add_argument(
        "--images", type=_whole(1), metavar="N",
        help="how many pictures (default: as many as the run was scored on, or all of --data)",
    )
    parser.add_argument(
        "--seed", type=_whole(0), metavar="N",
        help="which toy pictures (default: 0, those that `train` scores on)",
    )
    folder = parser.add_argument_group("pictures and masks of a folder")
    folder.add_argument("--weights", type=Path, metavar="F", help="weights of an FCN")
    folder.add_argument("--data", type=Path, metavar="DIR", help="folder of pictures and masks")
    folder.add_argument(
        "--split", metavar="NAME", help="PASCAL VOC: list of pictures (default: val)"
    )
    _add_classes(folder, "(default: DIR/classes.csv; for PASCAL VOC its 21)")


def _evaluate(options):
    from fcn_numpy import training

    if options.run_folder is None:
        return _evaluate_folder(options)
    for name in ("weights", "data", "split", "classes"):
        if getattr(options, name) is not None:
            raise ValueError(f"expected a RUN, or --weights and --data, got a RUN and --{name}")
    scores = training.evaluate(options.run_folder, options.images, options.seed)
    print(_table(scores, training.read_classes_of(options.run_folder)))
    return 0


def _evaluate_folder(options):
    from fcn_numpy import training
    from fcn_numpy.data import open_folder
    from fcn_numpy.metrics import segmentation_scores
    from fcn_numpy.models import MODELS, fcn_from_file

    if options.weights is None or options.data is None:
        raise ValueError("expected a RUN, or --weights and --data")
    if options.seed is not None:
        raise ValueError("--seed is for the toy pictures of a RUN")
    classes, coloured = _classes(options.classes)
    folder = open_folder(options.data, options.split or "val", classes, coloured)
    folder = folder.subset(range(len(folder))[: options.images])
    model = fcn_from_file(options.weights)
    _check_number(options.weights, model, folder.classes)
    folder.check()

    def report(done):
        print(f"{done}/{len(folder)} {folder.names[done - 1]}", flush=True)

    pictures = (folder[i] for i in range(len(folder)))
    hist = training.score_pictures(model, pictures, report)
    name = next(name for name, kind in MODELS.items() if type(model) is kind)
    print(_table({name: segmentation_scores(hist)}, folder.classes))
    return 0


def _check_number(path, model, classes):
    if model.n_class != len(classes):
        raise ValueError(
            f"expected {path} to hold weights for {len(classes)} classes, got score_fr.weight "
            f"for {model.n_class}"
        )


# -------------------------------------------------------------------------------------- predict


def _add_predict(commands):
    parser = _add(
        commands, "predict", _predict,
        "segment picture files",
        "Segment picture files. For each IMAGE three pictures are written to --out:\n"
        "NAME_labels.png, whose pixels are class numbers shown in colours; NAME_overlay.png, the\n"
        "same colours laid over the picture; NAME_legend.png, which colour is which class.\n"
        "A picture that cannot be read is reported, and the others done; exit status 1 then.\n\n"
        "With VGG16 a picture takes 0.65 GB of memory for each million of its pixels, and 0.6 GB.",
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="picture files")
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="F",
        help="weights of an FCN: own ones such as runs/shapes/fcn8s.npz, or published ones such as "
        "fcn8s_from_caffe.pth (.npz, .pth, .safetensors)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), metavar="DIR",
        help="folder for the pictures, made if missing (default: %(default)s)",
    )
    parser.add_argument(
        "--scores", action="store_true",
        help="also write NAME_scores.npy, the scores of each class at each pixel (K, H, W)",
    )
    _add_classes(
        parser, "(default: classes.csv beside the weights; of 21 classes PASCAL VOC's)"
    )


def _names_of(model, options) -> Classes:
    """Return the classes of a network: as told, beside its weights, or by their number."""
    from fcn_numpy.data import read_classes
    from fcn_numpy.models import TINY

    beside = options.weights.parent / "classes.csv"
    if options.classes is not None:
        classes, _ = _classes(options.classes)
        _check_number(options.weights, model, classes)
        return classes
    if beside.is_file():
        classes, _ = read_classes(beside)
        if len(classes) == model.n_class:
            return classes
    if model.n_class == len(VOC_CLASSES):
        return VOC_CLASSES
    if model.n_class == len(TOY_CLASSES) and model.backbone == TINY:
        return TOY_CLASSES
    return Classes.named([f"class {number}" for number in range(model.n_class)])


def _predict(options):
    from fcn_numpy import data
    from fcn_numpy.models import fcn_from_file

    by_stem: dict[str, Path] = {}
    for path in options.images:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} have the same name: their results would collide")
    model = fcn_from_file(options.weights)
    classes = _names_of(model, options)
    print(f"{type(model).__name__} on {model.backbone.name}, {model.n_class} classes", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    broken = 0
    for path in options.images:
        try:
            image = data.read_image(path)
            scores = _scores(model, image)
        except (ValueError, OSError, MemoryError) as error:
            _complain(options, error)
            broken += 1
            continue
        shares = _write_prediction(options, path.stem, image, scores, classes)
        found = ", ".join(f"{name} {share:.0%}" for name, share in shares)
        print(f"{path}: {found}", flush=True)
    if broken < len(options.images):
        print(f"Pictures are in {options.out}.")
    return 1 if broken else 0


def _scores(model, image):
    from fcn_numpy.prediction import score_image

    _, h, w = image.shape
    try:
        scores = score_image(model, image)
    except MemoryError as error:
        raise ValueError(f"the memory does not suffice for a picture of {w} x {h}") from error
    if not np.isfinite(scores).all():
        raise ValueError("the scores are not finite: are these the weights of a broken training?")
    return scores


def _write_prediction(options, stem, image, scores, classes):
    """Write what was found in a picture; return (class, share) of each class, largest first."""
    from fcn_numpy import data, plotting
    from fcn_numpy.files import atomic_write

    labels = scores.argmax(axis=0).astype(np.uint8)
    data.write_labels(options.out / f"{stem}_labels.png", labels, classes)
    data.write_image(
        options.out / f"{stem}_overlay.png", plotting.overlay(image, labels, classes)
    )
    plotting.draw_legend(options.out / f"{stem}_legend.png", labels, classes)
    if options.scores:
        with atomic_write(options.out / f"{stem}_scores.npy") as file:
            np.save(file, scores)
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    return [(classes.names[n], shares[n]) for n in np.argsort(-shares, kind="stable") if shares[n]]


# --------------------------------------------------------------------------------------- export


def _add_export(commands):
    parser = _add(
        commands, "export", _export,
        "write weights in the format of another library",
        "Write the weights of an FCN in another format, which the ending of OUT tells:\n"
        ".pth (PyTorch, with the names of pytorch-fcn), .safetensors, .npz (our own), or .onnx\n"
        "(the whole network; needs the package onnx).",
    )
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="F", help="weights of an FCN"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write")


def _export(options):
    from fcn_numpy import weights
    from fcn_numpy.models import fcn_from_file

    endings = (".pth", ".pt", ".safetensors", ".npz", ".onnx")
    if options.out.suffix.lower() not in endings:
        raise ValueError(f"expected OUT to end in {', '.join(endings)}, got {options.out}")
    model = fcn_from_file(options.weights)
    if options.out.suffix.lower() == ".onnx":
        from fcn_numpy.onnx_export import export_onnx

        try:
            export_onnx(options.out, model)
        except ImportError as error:
            raise ValueError(str(error)) from error
    else:
        weights.save(options.out, {name: p.data for name, p in model.named_parameters()})
    kind, backbone = type(model).__name__, model.backbone.name
    print(f"{options.out}: {kind} on {backbone}, {model.n_class} classes")
    return 0


# ------------------------------------------------------------------------------------ gradcheck


def _add_gradcheck(commands):
    from fcn_numpy.cli.gradcases import CASES

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
    from fcn_numpy.cli.gradcases import CASES
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
    from fcn_numpy.nn.conv import NotDrawn
    from fcn_numpy.summary import summary

    name = options.model.lower().replace("-", "").replace("_", "")
    if name not in MODELS:
        raise ValueError(
            f"expected MODEL to be {', '.join(MODELS)}, got {options.model!r}"
        )
    backbone = {"vgg16": VGG16, "tiny": TINY}[options.backbone]
    size = options.size or ((224, 224) if backbone is VGG16 else (128, 128))
    model = MODELS[name](options.classes, backbone, rng=NotDrawn())
    print(summary(model, tuple(size)))
    return 0
