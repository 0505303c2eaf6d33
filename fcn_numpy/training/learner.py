"""The gradient of a batch: computed in one process, or in several that share the batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy import weights
from fcn_numpy.data import IGNORE, TOY_CLASSES
from fcn_numpy.metrics import confusion_matrix
from fcn_numpy.models import FCN, Classifier
from fcn_numpy.nn import Dropout2d, LossSampling, Module, SoftmaxCrossEntropy
from fcn_numpy.nn.conv import NotDrawn
from fcn_numpy.prediction import prepare, score_image
from fcn_numpy.training.pictures import FolderPictures, OwnData, ToyPictures
from fcn_numpy.training.settings import BACKBONES, SEGMENTERS, STAGES, Settings
from fcn_numpy.workers import Workers

# A tiny network's batch is split into so many parts, whatever the number of cores: so a run gives
# the same result to the bit wherever there is one core or more.
SHARES = 2


def make_model(
    name: str, settings: Settings, n_class: int, rng: np.random.Generator
) -> Module:
    """Return a new network of a stage."""
    backbone = BACKBONES[settings.backbone]
    if name == "classifier":
        model: Module = Classifier(n_class, backbone, rng=rng)
    else:
        model = SEGMENTERS[name](n_class, backbone, rng=rng)
    for module in model.modules():
        if isinstance(module, Dropout2d):
            module.p = settings.dropout if name in SEGMENTERS else 0.0
    return model


def make_loss(name: str, settings: Settings) -> SoftmaxCrossEntropy:
    """Return the loss of a stage, summed; that of the classifier is always the plain one."""
    if name == "classifier":
        return SoftmaxCrossEntropy(IGNORE, "sum")
    return SoftmaxCrossEntropy(
        IGNORE, "sum", settings.class_weights, sampling=LossSampling(settings.loss_sampling)
    )


def gradient_divisor(index: int, settings: Settings, total: float) -> float:
    """Return what a gradient summed over `total` labelled pixels has to be divided by."""
    if index > 0 and settings.reduction == "sum":
        return 1.0
    return total or 1.0


def load_model(out: str | os.PathLike, name: str, settings: Settings, n_class: int) -> Module:
    """Return the network that a stage of a run has left."""
    model = make_model(name, settings, n_class, NotDrawn())
    model.load_state_dict(weights.load(Path(out) / f"{name}.npz"), assign=True)
    return model


@dataclass(frozen=True)
class Share:
    """Which of `shares` parts of each batch is computed by whoever holds this.

    Attributes
    ----------
    settings : Settings
    data : OwnData, optional
        None for toy shapes.
    number, shares : int
    """

    settings: Settings
    data: OwnData | None = None
    number: int = 0
    shares: int = 1

    def start(self) -> Callable[[tuple], Any]:
        """Return what does the tasks (name of a method of `_Worker`, its arguments)."""
        worker = _Worker(self)
        return lambda task: getattr(worker, task[0])(*task[1:])

    def pictures(self) -> ToyPictures | FolderPictures:
        """Return where this share's pictures come from."""
        if self.data is None:
            return ToyPictures(self.settings, self.number, self.shares)
        train, test = self.data.train, self.data.test
        return FolderPictures(self.settings, train, test, self.number, self.shares)

    @property
    def n_class(self) -> int:
        """Number of classes of the pictures."""
        return len(TOY_CLASSES if self.data is None else self.data.classes)


class Learner:
    """Computes losses and gradients of its share of each batch.

    Parameters
    ----------
    share : Share
    """

    def __init__(self, share: Share):
        self.share = share
        self.settings = share.settings
        self.pictures = share.pictures()

    def begin(self, index: int, model: Module) -> None:
        """Make ready for a stage."""
        self.index = index
        self.model = model
        self.loss_of = make_loss(STAGES[index], self.settings)

    def learn(self, step: int) -> tuple[float, float] | None:
        """Set the model's gradients to those of this share; return its loss and its pixels' weight.

        All three are sums over labelled pixels: those of the shares add up to those of the batch,
        whatever pixels of it are ignored, and the mean is one division away. A pixel's weight is
        that of its class, without class weights 1. None if this share has no picture in the batch.
        """
        model, loss_of, settings, share = self.model, self.loss_of, self.settings, self.share
        batch = settings.batch[self.index]
        # Dealt like cards; the next step begins with the next share, so that small batches too
        # see the pictures of all.
        size = len(range((share.number - step) % share.shares, batch, share.shares))
        if not size:
            return None
        # Batch, dropout and sampling follow from the step alone, so that a resumed run needs no
        # more.
        rng = np.random.default_rng((settings.seed, self.index, step, share.number))
        for module in (*model.modules(), *loss_of.modules()):
            if isinstance(module, (Dropout2d, LossSampling)):
                module.rng = rng
        if self.index == 0:
            x, y = self.pictures.windows(size, rng)
        else:
            x, y = self.pictures.batch(size, rng, model)
        model.zero_grad()
        # A loss that is no number is reported by whoever asked for it, in words.
        with np.errstate(over="ignore", invalid="ignore"):
            loss = loss_of(model(prepare(x, model.backbone)), y)
            model.backward(loss_of.backward(), need_input_grad=False)
        return loss, loss_of.total

    def score(self, out: Path, name: str, n: int | None, seed: int) -> np.ndarray:
        """Return the confusion matrix of this share's part of n held-out pictures."""
        model = load_model(out, name, self.settings, self.share.n_class)
        return score_pictures(model, self.pictures.held_out(n, seed))


def score_pictures(
    model: FCN,
    pictures: Iterable[tuple[np.ndarray, np.ndarray]],
    report: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Return the confusion matrix of a network on pictures.

    Parameters
    ----------
    model : FCN
    pictures : iterable of (image, labels)
        RGB from 0 to 1, (3, H, W), of any size, and its labels, (H, W).
    report : callable
        Called after each picture, with how many are done.

    Returns
    -------
    ndarray, shape (n_class, n_class), int64
    """
    hist = np.zeros((model.n_class, model.n_class), np.int64)
    for done, (image, labels) in enumerate(pictures, 1):
        predicted = score_image(model, image).argmax(axis=0)
        hist += confusion_matrix(labels, predicted, model.n_class, IGNORE)
        report(done)
    return hist


class _Worker:
    """What a worker process does: `Learner` with a model of its own, kept equal by its values."""

    def __init__(self, share):
        self.learner = Learner(share)

    def begin(self, index):
        learner = self.learner
        model = make_model(
            STAGES[index], learner.settings, learner.share.n_class, np.random.default_rng(0)
        )
        learner.begin(index, model)

    def learn(self, step, values):
        model = self.learner.model
        _unpack(values, [p.data for p in model.parameters()])
        sums = self.learner.learn(step)
        return None if sums is None else (*sums, _pack([p.grad for p in model.parameters()]))

    def score(self, *arguments):
        return self.learner.score(*arguments)


class Alone:
    """One process that computes all gradients: for networks whose layers fill the cores.

    Parameters
    ----------
    settings : Settings
    data : OwnData, optional
    """

    def __init__(self, settings: Settings, data: OwnData | None = None):
        self._learner = Learner(Share(settings, data))

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def begin(self, index: int, model: Module) -> None:
        """Make ready for a stage of training `model`."""
        self._learner.begin(index, model)

    def learn(self, step: int) -> float:
        """Set the model's gradients to those of the batch; return the mean loss."""
        learner = self._learner
        sums = learner.learn(step)
        assert sums is not None  # a single share has all pictures
        loss, total = sums
        divisor = gradient_divisor(learner.index, learner.settings, total)
        if divisor != 1:  # else a pass over hundreds of MB for nothing
            for p in learner.model.parameters():
                p.grad /= divisor
        return loss / (total or 1.0)

    def score(self, out: Path, name: str, n: int | None, seed: int) -> np.ndarray:
        """Return the confusion matrix of a stage's network on held-out pictures."""
        return self._learner.score(out, name, n, seed)


class Together:
    """Several processes that each compute the gradients of a share of the batch.

    Parameters
    ----------
    settings : Settings
    data : OwnData, optional
    """

    def __init__(self, settings: Settings, data: OwnData | None = None):
        self._settings = settings
        self._workers = Workers(
            [Share(settings, data, number, SHARES) for number in range(SHARES)]
        )

    def __enter__(self) -> Together:
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers.__exit__(*exception)

    def begin(self, index: int, model: Module) -> None:
        """Make ready for a stage of training `model`."""
        self._index = index
        self._model = model
        self._workers.do(("begin", index))

    def learn(self, step: int) -> float:
        """Set the model's gradients to those of the batch; return the mean loss."""
        values = _pack([p.data for p in self._model.parameters()])
        answers = self._workers.do(("learn", step, values))
        # One without a picture contributes nothing.
        losses, totals, gradients = zip(*(answer for answer in answers if answer is not None))
        total = sum(totals)
        gradient = sum(gradients)
        gradient /= gradient_divisor(self._index, self._settings, total)
        _unpack(gradient, [p.grad for p in self._model.parameters()])
        return sum(losses) / (total or 1.0)

    def score(self, out: Path, name: str, n: int | None, seed: int) -> np.ndarray:
        """Return the confusion matrix of a stage's network on held-out pictures."""
        return sum(self._workers.do(("score", out, name, n, seed)))


def crew(settings: Settings, data: OwnData | None = None) -> Alone | Together:
    """Return those who compute the gradients of a run; to be used in a ``with`` block."""
    return (Together if settings.backbone == "tiny" else Alone)(settings, data)


def _pack(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([a.ravel() for a in arrays])


def _unpack(values: np.ndarray, arrays: list[np.ndarray]) -> None:
    start = 0
    for a in arrays:
        a[...] = values[start : start + a.size].reshape(a.shape)
        start += a.size
