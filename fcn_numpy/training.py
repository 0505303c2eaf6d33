"""The paper's training, retold in small: classifier, FCN-32s, FCN-16s, FCN-8s.

Each network starts from the weights of the one before. A run lives in a folder and can be killed
at any moment: a checkpoint holds all that the next step depends on (weights, velocities, the
number of the step, the losses so far), and is replaced in one piece.

Each batch is split between workers (`fcn_numpy.workers`), which send back its gradient.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy import __version__, weights
from fcn_numpy.checks import check_array, whole_number
from fcn_numpy.data import CLASSES, IGNORE, normalise, single_shapes, toy_shapes
from fcn_numpy.files import atomic_write
from fcn_numpy.metrics import Scores, confusion_matrix, segmentation_scores
from fcn_numpy.models import FCN, TINY, Classifier, FCN8s, FCN16s, FCN32s, convolutionalize
from fcn_numpy.nn import Dropout2d, LossSampling, Module, SoftmaxCrossEntropy
from fcn_numpy.optim import SGD
from fcn_numpy.workers import Workers

SEGMENTERS = {"fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s}
STAGES = ("classifier", *SEGMENTERS)
# Every batch is split into so many parts, whatever the number of cores: so a run gives the same
# result to the bit wherever there is one core or more.
SHARES = 2
CHECKPOINT = "checkpoint.npz"
CONFIG = "config.json"
HISTORY = "history.csv"
SCORES = "scores.json"
# Toy pictures are drawn from seeds of their own, so that the held-out ones were never trained on.
TEST_SIZE = 128
TEST_SEED, TRAIN_SEED, SINGLE_SEED = 1_000_000_000, 2_000_000_000, 3_000_000_000


class TrainingDiverged(ValueError):
    """The loss became infinite or NaN."""


class TrainingStopped(Exception):
    """The run was asked to stop, and has saved where it is."""


@dataclass(frozen=True)
class Settings:
    """All that a run depends on. Tuples have one entry for each of `STAGES`.

    Attributes
    ----------
    seed : int
    steps, batch, lr : tuple
        Steps, pictures a step, and the learning rate at the start of each stage. The rate falls
        to 0 as ``lr * (1 - step / steps) ** 0.9``, after `warmup` steps in which it rises.
    momentum, weight_decay, clip_gradients, dropout : float
        As of `fcn_numpy.optim.SGD`; without clipping, the large learning rates that a few hundred
        steps need would destroy what a network has learnt before. Dropout is that of the FCNs;
        the classifier has none, it is small enough. Momentum and clip_gradients may be tuples
        too; None does not clip.
    warmup : int
    n_train, n_single, n_test : int
        Pictures to train the FCNs and the classifier on, and held-out pictures.
    size, single_size : int
        Height and width of the pictures for the FCNs and for the classifier.
    rim : bool
        Whether the rims of shapes, a pixel wide, count neither in the loss nor in the scores, as
        those of objects in PASCAL VOC.
    checkpoint_every : int
        Steps.
    reduction : {"mean", "sum"}
        Of the FCNs' loss, over the labelled pixels of a batch. "sum" multiplies its gradient with
        their number, so a learning rate and a clip_gradients for one are none for the other;
        `regime` converts. The losses that are told are means in any case. The classifier's
        reduction is the mean.
    loss_sampling : float
        Probability with which a pixel's loss counts in a step of an FCN
        (`fcn_numpy.nn.LossSampling`); 1 is whole-image training.
    """

    seed: int = 0
    steps: tuple[int, ...] = (180, 200, 100, 260)
    batch: tuple[int, ...] = (32, 8, 8, 8)
    lr: tuple[float, ...] = (0.1, 0.2, 0.2, 0.2)
    momentum: float | tuple[float, ...] = 0.9
    weight_decay: float = 5e-4
    clip_gradients: float | None | tuple[float | None, ...] = 0.5
    dropout: float = 0.0
    warmup: int = 20
    n_train: int = 800
    n_single: int = 4000
    n_test: int = 200
    size: int = 128
    single_size: int = 72
    rim: bool = True
    checkpoint_every: int = 50
    reduction: str = "mean"
    loss_sampling: float = 1.0

    def __post_init__(self):
        # They know what is wrong with these two, and say so before anything is computed.
        SoftmaxCrossEntropy(reduction=self.reduction, sampling=LossSampling(self.loss_sampling))

    def quick(self) -> Settings:
        """Return the same run with few steps and pictures: it shows that all works, no more."""
        return dataclasses.replace(
            self, steps=(12, 6, 4, 6), batch=(8, 2, 2, 2), n_train=24, n_single=48, n_test=8,
            checkpoint_every=4,
        )

    def regime(
        self,
        batch: int | None = None,
        momentum: float | None = None,
        reduction: str | None = None,
    ) -> Settings:
        """Return the same run with the FCNs' pictures gathered otherwise into steps.

        Each FCN is shown as many pictures as before (but for rounding), and each picture counts
        as much: the number of steps and the learning rates follow, by `effective_learning_rate`.
        With the sum no gradient is clipped: its norm grows with the picture, and the small
        threshold of the mean would leave nothing of it but a direction.

        Parameters
        ----------
        batch : int, optional
            Pictures a step; what is not given stays as it is.
        momentum : float, optional
        reduction : {"mean", "sum"}, optional
        """
        pixels = self.size**2
        own = [_of_stage(self.momentum, index) for index in range(len(STAGES))]
        new_reduction = self.reduction if reduction is None else reduction
        stages = [(self.steps[0], self.batch[0], self.lr[0], own[0])]
        for index in range(1, len(STAGES)):
            new_batch = self.batch[index] if batch is None else batch
            new_momentum = own[index] if momentum is None else momentum
            each = effective_learning_rate(
                self.lr[index], own[index], self.batch[index], self.reduction, pixels
            )
            unit = effective_learning_rate(1.0, new_momentum, new_batch, new_reduction, pixels)
            steps = max(1, round(self.steps[index] * self.batch[index] / new_batch))
            stages.append((steps, new_batch, each / unit, new_momentum))
        steps, batches, lr, momenta = zip(*stages)
        clip = tuple(_of_stage(self.clip_gradients, index) for index in range(len(STAGES)))
        if new_reduction == "sum":
            clip = (clip[0], *[None] * len(SEGMENTERS))
        return dataclasses.replace(
            self, steps=steps, batch=batches, lr=lr, momentum=momenta, reduction=new_reduction,
            clip_gradients=clip,
        )

    def heavy(self) -> Settings:
        """Return the same run with the paper's "heavy learning", as a `regime`.

        One picture a step, momentum 0.99, the loss summed over pixels, no clipping.
        """
        return self.regime(batch=1, momentum=0.99, reduction="sum")


def effective_learning_rate(
    lr: float, momentum: float, batch: int, reduction: str = "mean", pixels: int = 1
) -> float:
    """Return what the gradient of one picture moves the weights by, in all.

    Let g be the gradient of a picture's loss, a mean over its pixels. It enters the velocity once
    and fades by the momentum with each step, so together it moves the weights by
    ``lr * c * g * (1 + momentum + momentum**2 + ...)``, or::

        "mean"   c = 1 / batch    lr / (batch * (1 - momentum)) * g
        "sum"    c = pixels       lr * pixels / (1 - momentum) * g

    The mean divides by the pictures of a batch; to the sum each adds the same, whatever the
    others. So batch 1, momentum 0.99 and the sum do as much with a picture as batch 20, momentum
    0.9 and the mean if ``lr_sum * pixels / 0.01 = lr_mean / (20 * 0.1)``: the learning rate is
    200 * pixels times smaller. A step of k pictures moves the weights by k times this.

    That is exact as far as g stays the same while it fades. How long it takes to fade, counted in
    pictures, is the same where ``momentum ** (1 / batch)`` is: 0.9 with batch 20 is
    0.9 ** (1 / 20) = 0.995 with batch 1.

    Parameters
    ----------
    lr : float
    momentum : float
        At least 0 and below 1.
    batch : int
        Pictures a step.
    reduction : {"mean", "sum"}
    pixels : int
        Labelled pixels of a picture, the same for all pictures.

    Notes
    -----
    Shelhamer et al. (PAMI), "Image-to-Image Learning"; Long et al., section 4.3. Clipped
    gradients do not follow it.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"expected momentum of at least 0 and below 1, got {momentum}")
    whole_number(batch, "batch", 1)
    whole_number(pixels, "pixels", 1)
    if reduction not in ("mean", "sum"):
        raise ValueError(f"expected reduction 'mean' or 'sum', got {reduction!r}")
    return lr / (1 - momentum) * (pixels if reduction == "sum" else 1 / batch)


def _of_stage(value, index):
    """Return the value of a setting that may have one for each stage."""
    return value[index] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Progress:
    """Where a run is, after each step.

    Attributes
    ----------
    stage : str
    step, steps : int
        Steps done of this stage, and its number of steps.
    loss : float
        Of this step.
    work_done, work, step_work : float
        Done, in total, and of this step, in pixels: a measure of time.
    images : int
        Pictures in this step.
    """

    stage: str
    step: int
    steps: int
    loss: float
    work_done: float
    work: float
    step_work: float
    images: int


def train(
    out: str | os.PathLike,
    settings: Settings | None = None,
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Scores]:
    """Train the classifier and the three networks on toy shapes.

    Parameters
    ----------
    out : path-like
        Folder of the run. It gets config.json, history.csv, the weights of each stage
        (classifier.npz, fcn32s.npz, fcn16s.npz, fcn8s.npz), scores.json, and while it runs
        checkpoint.npz.
    settings : Settings, optional
        Read from config.json when resuming.
    resume : bool
        Go on with the run in `out`, to the same result as if it had not been stopped.
    report : callable
        Called with a `Progress` after each step.
    should_stop : callable
        Asked after each step; True saves and raises TrainingStopped.

    Returns
    -------
    dict of str to Scores
        Of the three networks on the held-out pictures.

    Raises
    ------
    ValueError
        If `out` holds a run already, or none to resume.
    TrainingDiverged
        If a loss is infinite or NaN.
    TrainingStopped
        If asked to stop.
    """
    out = Path(out)
    if resume:
        if settings is not None:
            raise ValueError("a resumed run keeps its settings: expected none, got some")
        settings = read_settings(out)
    else:
        settings = Settings() if settings is None else settings
        if (out / CONFIG).exists():
            raise ValueError(f"{out} holds a run already: resume it, or choose another folder")
        out.mkdir(parents=True, exist_ok=True)
        _write_config(out, settings)
    if not (out / SCORES).exists():
        with _workers(settings) as workers:
            run = _Run(out, settings, workers, report, should_stop)
            for index in range(run.first_stage, len(STAGES)):
                run.stage(index)
            scores = _score(workers, out, settings, settings.n_test, seed=0)
        text = {name: {**s._asdict(), "iu": s.iu.tolist()} for name, s in scores.items()}
        _write_text(out / SCORES, json.dumps(text, indent=2) + "\n")
    (out / CHECKPOINT).unlink(missing_ok=True)
    return read_scores(out)


class _Run:
    """A run on its way: where it is, and the losses so far."""

    def __init__(self, out, settings, workers, report, should_stop):
        self.out = out
        self.settings = settings
        self.workers = workers
        self.report = report
        self.should_stop = should_stop
        self.checkpoint = {}
        if (out / CHECKPOINT).exists():
            self.checkpoint = weights.load(out / CHECKPOINT)
        # Rows of stage, step, learning rate, loss.
        self.history = [tuple(row) for row in self.checkpoint.get("history", ())]

    @property
    def first_stage(self):
        return int(self.checkpoint["stage"]) if self.checkpoint else 0

    def stage(self, index):
        """Train one stage from its start, or from the checkpoint if that lies in it."""
        name, settings = STAGES[index], self.settings
        model = _model(name, settings, np.random.default_rng((settings.seed, index)))
        if index:
            previous = _load_model(self.out, STAGES[index - 1], settings)
            state = convolutionalize(previous) if index == 1 else previous.state_dict()
            model.load_state_dict(state, strict=False)
        optimiser = SGD(
            model.parameters(), settings.lr[index], _of_stage(settings.momentum, index),
            settings.weight_decay, _of_stage(settings.clip_gradients, index),
        )
        done = 0
        if self.checkpoint and index == self.first_stage:
            done = self._restore(model, optimiser)
        steps = settings.steps[index]
        reduction = _loss(name, settings).reduction
        self.workers.do(("begin", index))
        for step in range(done, steps):
            optimiser.lr = _learning_rate(settings, index, step)
            loss = _compute_gradients(model, self.workers, step, reduction)
            if not np.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss became {loss} in {name} at step {step + 1}: try a lower learning "
                    f"rate than {settings.lr[index]:g} for this stage"
                )
            optimiser.step()
            self.history.append((index, step + 1, optimiser.lr, loss))
            self.report(self._progress(index, step + 1, loss))
            stop = self.should_stop()
            if stop or ((step + 1) % settings.checkpoint_every == 0 and step + 1 < steps):
                self._save(index, step + 1, model, optimiser)
            if stop:
                raise TrainingStopped(f"stopped in {name} after step {step + 1}")
        weights.save(self.out / f"{name}.npz", model.state_dict())
        self._write_history()

    def _save(self, index, step, model, optimiser):
        state = {
            "stage": np.int64(index),
            "step": np.int64(step),
            "history": np.array(self.history, np.float64),
        }
        for name, value in model.state_dict().items():
            state[f"weight.{name}"] = value
        for number, velocity in enumerate(optimiser.velocities):
            state[f"velocity.{number}"] = velocity
        weights.save(self.out / CHECKPOINT, state)
        self._write_history()

    def _restore(self, model, optimiser):
        state = self.checkpoint
        own = {n.removeprefix("weight."): v for n, v in state.items() if n.startswith("weight.")}
        model.load_state_dict(own)
        for number, velocity in enumerate(optimiser.velocities):
            velocity[...] = state[f"velocity.{number}"]
        return int(state["step"])

    def _write_history(self):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("stage", "step", "learning_rate", "loss"))
        for index, step, lr, loss in self.history:
            writer.writerow((STAGES[int(index)], int(step), repr(float(lr)), repr(float(loss))))
        _write_text(self.out / HISTORY, text.getvalue())

    def _progress(self, index, step, loss):
        settings = self.settings
        sizes = (settings.single_size, *[settings.size + 2 * TINY.pad] * len(SEGMENTERS))
        costs = [b * n * n for b, n in zip(settings.batch, sizes)]
        done = sum(s * c for s, c in zip(settings.steps[:index], costs)) + step * costs[index]
        work = sum(s * c for s, c in zip(settings.steps, costs))
        return Progress(
            STAGES[index], step, settings.steps[index], loss, done, work, costs[index],
            settings.batch[index],
        )


def _model(name: str, settings: Settings, rng: np.random.Generator) -> Module:
    if name == "classifier":
        model = Classifier(len(CLASSES), TINY, rng=rng)
    else:
        model = SEGMENTERS[name](len(CLASSES), TINY, rng=rng)
    for module in model.modules():
        if isinstance(module, Dropout2d):
            module.p = settings.dropout if name in SEGMENTERS else 0.0
    return model


def _loss(name: str, settings: Settings) -> SoftmaxCrossEntropy:
    if name == "classifier":
        return SoftmaxCrossEntropy(IGNORE)
    sampling = LossSampling(settings.loss_sampling)
    return SoftmaxCrossEntropy(IGNORE, settings.reduction, sampling=sampling)


def _load_model(out: Path, name: str, settings: Settings) -> Module:
    model = _model(name, settings, np.random.default_rng(0))
    model.load_state_dict(weights.load(out / f"{name}.npz"))
    return model


@dataclass(frozen=True)
class _Share:
    """What a worker is told: the run, and which of the SHARES parts of each batch is its own."""

    settings: Settings
    number: int

    def start(self) -> Callable[[tuple], Any]:
        """Return what does the tasks (name of a method of `_Worker`, its arguments)."""
        # A loss that is no number is reported by the process that asked for it, in words.
        np.seterr(over="ignore", invalid="ignore")
        worker = _Worker(self.settings, self.number)
        return lambda task: getattr(worker, task[0])(*task[1:])


class _Worker:
    """The part of a run that a worker process does."""

    def __init__(self, settings, number):
        self.settings = settings
        self.number = number
        self.pictures = {}

    def begin(self, index):
        """Make ready for a stage."""
        self.index = index
        self.model = _model(STAGES[index], self.settings, np.random.default_rng(0))
        self.loss_of = _loss(STAGES[index], self.settings)
        kind = min(index, 1)  # the three FCNs learn from the same pictures
        if kind not in self.pictures:
            self.pictures = {kind: _training_pictures(self.settings, kind, self.number)}
        self.images, self.labels = self.pictures[kind]

    def step(self, step, values):
        """Return loss and gradients of this worker's part of a batch, for given parameters.

        Both are weighted so that the mean over the workers is that over the batch, with the
        reduction "sum" so that the sum over the workers is the gradient. None if this worker has
        no picture in the batch.
        """
        model, loss_of, settings = self.model, self.loss_of, self.settings
        batch = settings.batch[self.index]
        # Dealt like cards; the next step begins with the next worker, so that small batches too
        # see the pictures of all workers.
        size = len(range((self.number - step) % SHARES, batch, SHARES))
        if not size:
            return None
        # Batch, dropout and sampling follow from the step alone, so that a resumed run needs no
        # more.
        rng = np.random.default_rng((settings.seed, self.index, step, self.number))
        for module in (*model.modules(), *loss_of.modules()):
            if isinstance(module, (Dropout2d, LossSampling)):
                module.rng = rng
        _unpack(values, [p.data for p in model.parameters()])
        x, y = _batch(self.images, self.labels, size, rng)
        loss = loss_of(model(normalise(x)), y)
        weight = size * SHARES / batch
        summed = loss_of.reduction == "sum"
        model.zero_grad()
        model.backward(loss_of.backward(1.0 if summed else weight), need_input_grad=False)
        if summed:
            loss /= max(1, np.count_nonzero(y != IGNORE))
        return weight * loss, _pack([p.grad for p in model.parameters()])

    def score(self, out, name, n, seed):
        """Return the confusion matrix of this worker's part of n held-out pictures."""
        images, labels = toy_shapes(n, TEST_SIZE, TEST_SEED + seed, rim=self.settings.rim)
        own = slice(self.number, None, SHARES)
        if not len(images[own]):
            return np.zeros((len(CLASSES), len(CLASSES)), np.int64)
        predictions = predict(_load_model(out, name, self.settings), images[own])
        return confusion_matrix(labels[own], predictions, len(CLASSES), IGNORE)


def _workers(settings: Settings) -> Workers:
    return Workers([_Share(settings, number) for number in range(SHARES)])


def _score(workers: Workers, out: Path, settings: Settings, n: int, seed: int) -> dict[str, Scores]:
    return {
        name: segmentation_scores(sum(workers.do(("score", out, name, n, seed))))
        for name in SEGMENTERS
    }


def _compute_gradients(
    model: Module, workers: Workers, step: int, reduction: str = "mean"
) -> float:
    """Set the gradients of the model to the mean or sum of the workers'; return the mean loss."""
    answers = workers.do(("step", step, _pack([p.data for p in model.parameters()])))
    # One without a picture contributes nothing, here as in the mean.
    (loss, total), *others = [answer for answer in answers if answer is not None]
    for other, grads in others:
        loss += other
        total += grads
    if reduction == "mean":
        total /= len(answers)
    _unpack(total, [p.grad for p in model.parameters()])
    return loss / len(answers)


def _pack(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([a.ravel() for a in arrays])


def _unpack(values: np.ndarray, arrays: list[np.ndarray]) -> None:
    start = 0
    for a in arrays:
        a[...] = values[start : start + a.size].reshape(a.shape)
        start += a.size


def _training_pictures(
    settings: Settings, index: int, share: int
) -> tuple[np.ndarray, np.ndarray]:
    seed = settings.seed * SHARES + share
    if index == 0:
        n = -(-settings.n_single // SHARES)
        return single_shapes(n, settings.single_size, SINGLE_SEED + seed)
    n = -(-settings.n_train // SHARES)
    return toy_shapes(n, settings.size, TRAIN_SEED + seed, rim=settings.rim)


def _learning_rate(settings: Settings, index: int, step: int) -> float:
    rise = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    return settings.lr[index] * rise * (1 - step / settings.steps[index]) ** 0.9


def _batch(images, labels, size, rng):
    """Draw pictures, and mirror half of them."""
    chosen = rng.integers(len(images), size=size)
    x, y = images[chosen], labels[chosen]
    mirrored = rng.random(size) < 0.5
    x[mirrored] = x[mirrored, ..., ::-1]
    if y.ndim > 1:
        y[mirrored] = y[mirrored, ..., ::-1]
    return x, y


def predict(model: Module, images: np.ndarray, batch: int = 8) -> np.ndarray:
    """Return the class of each pixel.

    Parameters
    ----------
    model : Module
        A network that gives scores; it is left in eval mode.
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.
    batch : int
        Pictures at a time.

    Returns
    -------
    ndarray, shape (N, H, W), uint8
    """
    model.eval()
    parts = [
        model(normalise(images[i : i + batch])).argmax(axis=1).astype(np.uint8)
        for i in range(0, len(images), batch)
    ]
    return np.concatenate(parts)


def predict_any_size(model: FCN, image: np.ndarray) -> np.ndarray:
    """Return the class of each pixel of one picture, whatever its size.

    A picture of a size that the network does not take is continued at the bottom and the right
    with its last row and column, and the result cut back.

    Parameters
    ----------
    model : FCN
    image : ndarray, shape (3, H, W), floating
        RGB from 0 to 1.

    Returns
    -------
    ndarray, shape (H, W), uint8
    """
    check_array(image, "image", (3, "H", "W"))
    h, w = image.shape[1:]
    extra = [next(n for n in itertools.count(size) if model.takes(n)) - size for size in (h, w)]
    padded = np.pad(image, ((0, 0), (0, extra[0]), (0, extra[1])), mode="edge")
    return predict(model, padded[None])[0, :h, :w]


def example_predictions(
    out: str | os.PathLike, n: int = 6
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return held-out pictures, their labels, and what each network of a run makes of them."""
    settings = read_settings(out)
    images, labels = toy_shapes(n, TEST_SIZE, TEST_SEED, rim=settings.rim)
    return images, labels, {
        name: predict(_load_model(Path(out), name, settings), images) for name in SEGMENTERS
    }


def evaluate(out: str | os.PathLike, n: int | None = None, seed: int = 0) -> dict[str, Scores]:
    """Score the three networks of a run on held-out toy pictures.

    Parameters
    ----------
    out : path-like
        Folder of the run.
    n : int, optional
        How many pictures; by default as many as the run's settings say.
    seed : int
        Which pictures; none of them are ever trained on.

    Returns
    -------
    dict of str to Scores

    Raises
    ------
    ValueError
        If there is no run, or the weights of a network are missing or damaged.
    """
    out = Path(out)
    settings = read_settings(out)
    for name in SEGMENTERS:
        if not (out / f"{name}.npz").exists():
            raise ValueError(f"{out} has no {name}.npz: the run has not come so far, resume it")
        _load_model(out, name, settings)  # or say what is wrong with it
    with _workers(settings) as workers:
        return _score(workers, out, settings, n or settings.n_test, seed)


def read_settings(out: str | os.PathLike) -> Settings:
    """Return the settings of the run in a folder, or raise ValueError."""
    path = Path(out) / CONFIG
    try:
        values = json.loads(path.read_text())["settings"]
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return Settings(**values)
    except FileNotFoundError:
        raise ValueError(f"{out} holds no run: there is no {CONFIG} in it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no {CONFIG} of a run: {error}") from error


def read_scores(out: str | os.PathLike) -> dict[str, Scores]:
    """Return the scores that a finished run has left."""
    values = json.loads((Path(out) / SCORES).read_text())
    return {n: Scores(**{**v, "iu": np.array(v["iu"], np.float64)}) for n, v in values.items()}


def read_history(out: str | os.PathLike) -> list[tuple[str, int, float]]:
    """Return (stage, step, loss) for each step of a run so far."""
    with open(Path(out) / HISTORY, newline="") as file:
        return [
            (row["stage"], int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)
        ]


def _write_config(out: Path, settings: Settings) -> None:
    config = {
        "fcn_numpy": __version__,
        "numpy": np.__version__,
        "settings": dataclasses.asdict(settings),
    }
    _write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
