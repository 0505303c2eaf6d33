"""The paper's training on a small scale: classifier, FCN-32s, FCN-16s, FCN-8s.

Each network starts from the weights of the previous one. A run lives in a folder and can be killed
at any moment: a checkpoint stores everything that the next step depends on (weights, velocities,
number of the step, losses so far), and is replaced as a whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_numpy import weights
from fcn_numpy.card import Card, card_of
from fcn_numpy.data import DataFaults, DataWarning, write_classes
from fcn_numpy.files import errors_name, message_of, reason_of, shown
from fcn_numpy.metrics import Scores
from fcn_numpy.models import BACKBONES, FCN, FCN32s, start_from
from fcn_numpy.models.finite import check_finite
from fcn_numpy.models.surgery import for_caffe_images
from fcn_numpy.nn import skip_init
from fcn_numpy.optim import SGD
from fcn_numpy.seeds import stream
from fcn_numpy.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from fcn_numpy.training.evaluation import score_networks
from fcn_numpy.training.gradients import ParallelGradients, SerialGradients, gradients_for
from fcn_numpy.training.images import classes_of
from fcn_numpy.training.networks import Network, make_fcn, make_model
from fcn_numpy.training.own_data import OwnData
from fcn_numpy.training.run_folder import (
    CLASSES_FILE,
    SCORES,
    check_new,
    claimed,
    read_config,
    read_run,
    read_scores,
    refuse_files,
    run_identity,
    write_config,
    write_history,
    write_scores,
)
from fcn_numpy.training.settings import Settings
from fcn_numpy.training.stages import STAGES, Stage

# What the weights of a stage call the identity of their run.
RUN = "run"
# Estimates of the remaining time assume this size for whole images of a folder.
TYPICAL_SIZE = 500


class TrainingDiverged(ValueError):
    """The loss became infinite or NaN."""


class TrainingStopped(Exception):
    """The run was asked to stop, and has saved its state."""


class TrainingInterrupted(Exception):
    """Something outside of the run has failed: it can be resumed from its last checkpoint."""


@dataclass(frozen=True)
class StepReport:
    """The state of a run after a step.

    Attributes
    ----------
    stage : str
    step, steps : int
        Steps done in this stage, and its number of steps.
    loss : float
        Mean loss of this step.
    work_done, work, step_work : float
        Work done so far, of the whole run, and of this step, in pixels: a measure of time.
    images : int
        Number of images in this step.
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
    data: OwnData | None = None,
    resume: bool = False,
    report: Callable[[StepReport], None] = lambda step: None,
    report_other: Callable[[str, int], None] = lambda what, done: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Scores]:
    """Train the classifier and the three FCNs, on toy images or on the images of a folder.

    Parameters
    ----------
    out : path-like
        Folder of the run. It gets config.json, classes.csv, history.csv, the weights of each
        stage (such as fcn8s.npz), scores.json, and during the run checkpoint.npz. Only one
        process at a time can train in it.
    settings : Settings, optional
        Read from config.json when resuming.
    data : OwnData, optional
        Images and masks, by default toy images. Found again when resuming.
    resume : bool
        Continue the run in `out`, with the same result as without the interruption.
    report : callable
        Called with a `StepReport` after each step.
    report_other : callable
        Called with what is done besides training ("checking", "scoring fcn8s") and the number of
        images done so far.
    should_stop : callable
        Called after each step; if it returns True, the run saves and raises TrainingStopped.

    Returns
    -------
    dict of str to Scores
        Scores of the three FCNs on the held-out images.

    Raises
    ------
    ValueError
        If `out` already has a run, or has none to resume; if another process trains in it; if a
        file of the run is damaged; if images or masks have faults (DataFaults); if the pretrained
        weights do not fit.
    TrainingInterrupted
        If a file cannot be read or written, or memory ends, or a worker process does, after
        training has begun.
    TrainingDiverged, TrainingStopped
    """
    out = Path(out)
    if resume:
        if settings is not None or data is not None:
            raise ValueError("a resumed run keeps its settings: expected none, got some")
        read_config(out)  # before a folder is made
    else:
        check_new(out)
        if data is not None:
            data.check_apart(out)
    with claimed(out):
        if resume:
            settings, classes, data = read_run(out)
        else:
            refuse_files(out)  # it may have got a run before it was claimed
            settings, classes = Settings() if settings is None else settings, classes_of(data)
            _check_data(settings, data, report_other)
        identity = run_identity(settings, classes, data)
        state = read_checkpoint(out, settings.stages, identity)
        trained = state.finished == len(settings.stages) or not (out / CHECKPOINT).exists()
        if not (trained and (out / SCORES).exists()):
            if resume:
                _check_data(settings, data, report_other)
            with gradients_for(settings, data) as gradients:
                run = _Run(out, settings, data, gradients, state, report, should_stop)
                if not resume:
                    source = None if data is None else data.source
                    write_config(out, settings, classes, source)
                with _interruptions():
                    # What follows from other files is written anew: a killed run may not have
                    # come to that.
                    write_classes(out / CLASSES_FILE, classes)
                    run.write_history()
                    run.train_stages()
                    names = settings.segmenters
                    write_scores(out, score_networks(gradients, out, names, None, 0, report_other))
        scores = read_scores(out)
        (out / CHECKPOINT).unlink(missing_ok=True)
        return scores


@contextlib.contextmanager
def _interruptions() -> Iterator[None]:
    """Turn what files, memory and worker processes do to a run into TrainingInterrupted."""
    try:
        yield
    except BrokenPipeError:  # nobody reads what the run reports
        raise
    except (OSError, MemoryError, DataFaults) as error:
        raise TrainingInterrupted(message_of(error)) from error


def _check_data(
    settings: Settings, data: OwnData | None, report: Callable[[str, int], None]
) -> None:
    """Raise ValueError unless the images have no faults and the settings suit them."""
    if data is not None:
        data.check(functools.partial(report, "checking"))
    elif settings.size is None:
        raise ValueError("expected a size of the toy images, got None (whole images)")
    n_class = len(classes_of(data))
    for stage in settings.stages:
        if stage.class_weights is not None and len(stage.class_weights) != n_class:
            raise ValueError(
                f"expected {n_class} class weights, one for each class, got "
                f"{len(stage.class_weights)} in {stage.name}"
            )


class _Run:
    """A run in progress: how far it is, and its losses so far."""

    def __init__(
        self,
        out: Path,
        settings: Settings,
        data: OwnData | None,
        gradients: SerialGradients | ParallelGradients,
        state: Checkpoint,
        report: Callable[[StepReport], None],
        should_stop: Callable[[], bool],
    ):
        self.out = out
        self.settings = settings
        self.backbone = BACKBONES[settings.backbone]
        self.n_class = len(classes_of(data))
        self.gradients = gradients
        self.report = report
        self.should_stop = should_stop
        self.card = Card(classes_of(data), None if data is None else data.train.percentiles)
        self.state = state
        # The weights that the next stage starts from: those of the stage before, or pretrained.
        self.previous: Mapping[str, np.ndarray] = {}
        if settings.pretrained is not None and not self.state.history:
            self.previous = self._read_pretrained(settings.pretrained)

    def _read_pretrained(self, path: str) -> Mapping[str, np.ndarray]:
        """Read the pretrained weights, and check that they fit before anything is written."""
        state: Mapping[str, np.ndarray] = weights.load(path)
        with errors_name(path):
            state = for_caffe_images(state, self.settings.pretrained_on)
            model = make_fcn(self.settings.stages[0], self.backbone, self.n_class)
            start_from(model, state, assign=True)
            return self._own_scores(path, state)

    def _own_scores(self, path, state):
        """Return weights whose score layers are for the classes of this run, or left out."""
        scores = [name for name in state if name.startswith("score_")]
        classes = self.card.classes
        assert classes is not None  # a run knows its classes
        if not scores:
            return state
        n_class = len(np.atleast_1d(state[scores[0]]))
        with skip_init():  # only its number of classes matters
            card = card_of(path, FCN32s(n_class, self.backbone))
        rest = {name: value for name, value in state.items() if name not in scores}
        if card.classes is None:
            why = "the file does not name its classes; a classes.csv beside it can"
        else:
            try:
                numbers = classes.numbers_in(card.classes)
                return rest | {
                    name: state[name][numbers] for name in scores if len(state[name]) == n_class
                }
            except ValueError as error:
                why = reason_of(error)
        warnings.warn(
            f"the score layers of {shown(path)} are left out, and start at zero: {why}",
            DataWarning, stacklevel=2,
        )
        return rest

    def write_history(self) -> None:
        """Write history.csv, which follows from the checkpoint."""
        write_history(self.out, [
            (STAGES[int(n)], int(step), lr, loss) for n, step, lr, loss in self.state.history
        ])

    def train_stages(self) -> None:
        """Train all stages that are not finished."""
        for stage in self.settings.stages[self.state.finished:]:
            self._train(stage)

    def _train(self, stage: Stage) -> None:
        """Train a stage from its start, or from the checkpoint if that was made within it."""
        model, optimizer = self._begin(stage)
        self.gradients.begin(stage, model)
        for step in range(self.state.step, stage.steps):
            optimizer.lr = stage.learning_rate(step)
            loss = self.gradients.compute(step)
            if not np.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss became {loss} in {stage.name} at step {step + 1}: try a lower "
                    f"learning rate than {stage.lr:g} for this stage"
                )
            with np.errstate(over="ignore", invalid="ignore"):  # the next loss shows it
                optimizer.step()
            self.state.history.append((stage.number, step + 1, optimizer.lr, loss))
            self.report(self._step_report(stage, step + 1, loss))
            stop = self.should_stop() and step + 1 < stage.steps
            due = (step + 1) % self.settings.checkpoint_every == 0 and step + 1 < stage.steps
            if stop or due:
                state = {name: p.data for name, p in model.named_parameters()}
                self._save(self.state.finished, step + 1, state, optimizer.velocities)
            if stop:
                raise TrainingStopped(f"stopped in {stage.name} after step {step + 1}")
        self._finish(stage, model)

    def _finish(self, stage: Stage, model: Network) -> None:
        """Write the weights of a stage, and that it is finished."""
        state = model.state_dict()
        try:
            check_finite(state)
        except ValueError as error:
            raise TrainingDiverged(
                f"{stage.name} has diverged: try a lower learning rate than {stage.lr:g} for it"
            ) from error
        metadata = {**self.card.metadata(model), RUN: str(self.state.run)}
        weights.save(self.out / f"{stage.name}.npz", state, metadata)
        self._save(self.state.finished + 1)
        if self.should_stop():
            raise TrainingStopped(f"stopped in {stage.name} after step {stage.steps}")

    def _begin(self, stage: Stage) -> tuple[Network, SGD]:
        """Return the network and the optimizer of a stage, as far as they are."""
        rng = np.random.default_rng(stream("weights", self.settings.seed, stage.number))
        model = make_model(stage, self.backbone, self.n_class, rng)
        if isinstance(model, FCN) and not self.state.step:
            start_from(model, self._take_previous(), assign=True)
        optimizer = SGD(
            model.parameters(), stage.lr, stage.momentum, stage.weight_decay, stage.clip_gradients
        )
        if self.state.step:
            self.state.restore(model, optimizer, self.out / CHECKPOINT)
            self.state.weights, self.state.velocities = {}, ()  # they take memory
        return model, optimizer

    def _take_previous(self):
        """Return the weights that the next stage starts from; this releases their memory."""
        state, self.previous = self.previous, {}
        if state:
            return state
        path = self.out / f"{self.settings.stages[self.state.finished - 1].name}.npz"
        if weights.read_metadata(path).get(RUN) != str(self.state.run):
            raise ValueError(f"{shown(path)}: it belongs to another run than config.json")
        return weights.load(path)

    def _save(self, finished, step=0, state=None, velocities=()):
        """Write a checkpoint and, from it, history.csv."""
        self.state.finished, self.state.step = finished, step
        write_checkpoint(
            self.out, dataclasses.replace(self.state, weights=state or {}, velocities=velocities)
        )
        self.write_history()

    def _step_report(self, stage, step, loss):
        stages = self.settings.stages
        work = sum(s.steps * self._step_work(s) for s in stages)
        before = sum(s.steps * self._step_work(s) for s in stages[: self.state.finished])
        step_work = self._step_work(stage)
        return StepReport(
            stage.name, step, stage.steps, loss, before + step * step_work, work, step_work,
            stage.batch,
        )

    def _step_work(self, stage):
        settings = self.settings
        if stage.is_classifier:
            return stage.batch * settings.single_size**2
        size = (settings.size or TYPICAL_SIZE) + 2 * self.backbone.pad
        return stage.batch * size**2
