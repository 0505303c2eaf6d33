"""Compute the gradient of a batch, in one process or in several that split the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fcn_numpy import fast
from fcn_numpy.models import BACKBONES, FCN, Classifier, Frozen
from fcn_numpy.nn import Dropout2d, LossSampling
from fcn_numpy.prediction import prepare
from fcn_numpy.seeds import stream
from fcn_numpy.training.images import Batch, classes_of, images_of
from fcn_numpy.training.networks import Network, load_fcn, make_loss, make_model
from fcn_numpy.training.own_data import OwnData
from fcn_numpy.training.part import Part
from fcn_numpy.training.scoring import score_images
from fcn_numpy.training.settings import Settings
from fcn_numpy.training.stages import Stage
from fcn_numpy.training.workers import make_pool

# Number of processes that split a batch. It does not depend on the number of cores, so a run gives
# bitwise the same result whatever the number of cores.
PARTS = 2
# Number of images between two progress reports of scoring.
SCORED_AT_ONCE = 4


def gradients_for(
    settings: Settings, data: OwnData | None = None
) -> SerialGradients | ParallelGradients:
    """Return the object that computes the gradients of a run; use it in a ``with`` block."""
    if BACKBONES[settings.backbone].splits_batches:
        return ParallelGradients(settings, data)
    return SerialGradients(settings, data)


class PartGradients:
    """Computes the losses and gradients of one part of every batch.

    Parameters
    ----------
    settings : Settings
    data : OwnData, optional
        None for toy images.
    part : Part
    """

    def __init__(self, settings: Settings, data: OwnData | None, part: Part):
        self.settings = settings
        self.part = part
        self.images = images_of(settings, data, part)
        self.n_class = len(classes_of(data))

    def begin(self, stage: Stage, model: Network) -> None:
        """Prepare for a stage of training `model`."""
        self.stage = stage
        self.model = model
        self.loss_of = make_loss(stage)

    def compute(self, step: int) -> tuple[float, float] | None:
        """Set the model's gradients to those of this part of a step's batch.

        The gradients and the loss are sums over labeled pixels. The sums of all parts add up to
        the sums of the batch, whichever pixels are ignored. One division then gives the mean.

        Parameters
        ----------
        step : int

        Returns
        -------
        (float, float) or None
            The loss, and the sum of the class weights of the labeled pixels (the number of
            labeled pixels if there are no class weights). None if no image of the batch belongs
            to this part.
        """
        stage, model, loss_of = self.stage, self.model, self.loss_of
        size = self.part.size(stage.batch, step)
        if not size:
            return None
        # The number of a step determines all its random numbers, so a checkpoint does not need
        # to store the state of a generator.
        rng = np.random.default_rng(
            stream("step", self.settings.seed, stage.number, step, self.part.number)
        )
        for module in (*model.modules(), *loss_of.modules()):
            if isinstance(module, (Dropout2d, LossSampling)):
                module.rng = rng
        if isinstance(model, Classifier):
            x, y = self.images.windows(size, rng)
        else:
            x, y = self.images.batch(size, rng, model)
        model.zero_grad()
        # The caller reports a loss that is infinite or NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            loss = loss_of(model(prepare(x, model.backbone)), y)
            model.backward(loss_of.backward())
        return loss, loss_of.total

    def begin_scoring(self, out: Path, name: str, n: int | None, seed: int) -> None:
        """Prepare to score a trained network on this part of the held-out images."""
        model = load_fcn(out, name, self.settings, self.n_class)
        self.scores = self._scores(model, self.images.held_out(n, seed))

    def score_some(self) -> tuple[np.ndarray, int]:
        """Return the confusion matrix and the number of the next few images."""
        return next(self.scores)

    @staticmethod
    def _scores(model: FCN, images: Iterator[Batch]) -> Iterator[tuple[np.ndarray, int]]:
        with Frozen(model) as network:
            while True:
                some = list(itertools.islice(images, SCORED_AT_ONCE))
                yield score_images(network, some), len(some)


class SerialGradients:
    """Computes the gradients of whole batches in this process.

    Parameters
    ----------
    settings : Settings
    data : OwnData, optional
        None for toy images.
    """

    def __init__(self, settings: Settings, data: OwnData | None = None):
        self._whole = PartGradients(settings, data, Part())

    def __enter__(self) -> SerialGradients:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def begin(self, stage: Stage, model: Network) -> None:
        """Prepare for a stage of training `model`."""
        self._stage, self._model = stage, model
        self._whole.begin(stage, model)

    def compute(self, step: int) -> float:
        """Set the model's gradients to those of the batch of a step; return its mean loss."""
        sums = self._whole.compute(step)
        assert sums is not None  # the whole batch has images
        loss, total = sums
        divisor = gradient_divisor(self._stage, total)
        if divisor != 1:  # dividing VGG16's gradients by 1 would touch 540 MB for nothing
            for p in self._model.parameters():
                p.grad /= divisor
        return loss / (total or 1.0)

    def confusion_matrix(
        self, out: Path, name: str, n: int | None, seed: int,
        report: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Return the confusion matrix of a trained network on held-out images.

        Parameters
        ----------
        out : path
            Folder of the run.
        name : str
            Stage of the network.
        n : int or None
            Number of images; None for all images of a folder, or `Settings.n_test` toy images.
        seed : int
            Seed of the toy images.
        report : callable
            Called from time to time with the number of images done.

        Returns
        -------
        ndarray, shape (n_class, n_class), int64
        """
        self._whole.begin_scoring(out, name, n, seed)
        return _sum_of(lambda: [self._whole.score_some()], report)


class ParallelGradients:
    """Computes the gradients of every batch in several processes, one for each part of the batch.

    Parameters
    ----------
    settings : Settings
    data : OwnData, optional
        None for toy images.
    """

    def __init__(self, settings: Settings, data: OwnData | None = None):
        parts = [Part(number, PARTS) for number in range(PARTS)]
        self._pool = make_pool([PartJob(settings, data, part) for part in parts])

    def __enter__(self) -> ParallelGradients:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.close()

    def begin(self, stage: Stage, model: Network) -> None:
        """Prepare for a stage of training `model`."""
        self._stage, self._model = stage, model
        self._pool.call(PartWorker.begin, stage)

    def compute(self, step: int) -> float:
        """Set the model's gradients to those of the batch of a step; return its mean loss."""
        values = _packed([p.data for p in self._model.parameters()])
        answers = self._pool.call(PartWorker.compute, step, values)
        # A part without images contributes nothing.
        losses, totals, gradients = zip(*(answer for answer in answers if answer is not None))
        total = sum(totals)
        gradient = sum(gradients)
        gradient /= gradient_divisor(self._stage, total)
        _unpack(gradient, [p.grad for p in self._model.parameters()])
        return sum(losses) / (total or 1.0)

    def confusion_matrix(
        self, out: Path, name: str, n: int | None, seed: int,
        report: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Return the confusion matrix of a trained network on held-out images.

        Parameters and result as for `SerialGradients.confusion_matrix`.
        """
        self._pool.call(PartWorker.begin_scoring, out, name, n, seed)
        return _sum_of(lambda: self._pool.call(PartWorker.score_some), report)


def _sum_of(
    score_some: Callable[[], list[tuple[np.ndarray, int]]], report: Callable[[int], None]
) -> np.ndarray:
    """Sum confusion matrices until no images are left."""
    parts, done = [], 0
    while True:
        matrices, counts = zip(*score_some())
        parts += matrices
        if not sum(counts):
            return np.sum(parts, axis=0)
        done += sum(counts)
        report(done)


def gradient_divisor(stage: Stage, total: float) -> float:
    """Return the divisor for a gradient that is summed over pixels of this total weight."""
    return 1.0 if stage.reduction == "sum" else total or 1.0


@dataclass(frozen=True)
class PartJob:
    """What a worker starts with: the arguments of `PartGradients`, and the algorithm."""

    settings: Settings
    data: OwnData | None
    part: Part
    algorithm: str = field(default_factory=fast.CHOICE.get)

    def start(self) -> PartWorker:
        """Return the object whose methods the worker calls."""
        fast.CHOICE.set(self.algorithm)
        return PartWorker(PartGradients(self.settings, self.data, self.part))


class PartWorker:
    """Runs `PartGradients` in a worker, on a copy of the model that is updated in every step.

    Parameters
    ----------
    gradients : PartGradients
    """

    def __init__(self, gradients: PartGradients):
        self.gradients = gradients

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage."""
        backbone = BACKBONES[self.gradients.settings.backbone]
        model = make_model(stage, backbone, self.gradients.n_class, np.random.default_rng(0))
        self.gradients.begin(stage, model)

    def compute(self, step: int, values: np.ndarray) -> tuple[float, float, np.ndarray] | None:
        """Return the loss, total weight and gradient of this part for these parameter values."""
        parameters = list(self.gradients.model.parameters())
        _unpack(values, [p.data for p in parameters])
        sums = self.gradients.compute(step)
        return None if sums is None else (*sums, _packed([p.grad for p in parameters]))

    def begin_scoring(self, out: Path, name: str, n: int | None, seed: int) -> None:
        """Prepare to score a trained network, like `PartGradients.begin_scoring`."""
        self.gradients.begin_scoring(out, name, n, seed)

    def score_some(self) -> tuple[np.ndarray, int]:
        """Return the result of `PartGradients.score_some`."""
        return self.gradients.score_some()


def _packed(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([a.ravel() for a in arrays])


def _unpack(values: np.ndarray, arrays: list[np.ndarray]) -> None:
    start = 0
    for a in arrays:
        a[...] = values[start : start + a.size].reshape(a.shape)
        start += a.size
