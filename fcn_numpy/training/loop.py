"""Train as in the paper, on a small scale: classifier, FCN-32s, FCN-16s, FCN-8s.

Each network starts from the weights of the previous one. A run has its own folder and can be killed
at any moment: a checkpoint stores everything that the next step depends on (weights, velocities,
step number, losses so far). A new checkpoint replaces the old one atomically.
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

# Name of the run's identity in the metadata of a stage's weights.
RUN = "run"
# Assumed size of whole images of a folder in estimates of the remaining time.
TYPICAL_SIZE = 500


class TrainingDiverged(ValueError):
    """The loss became infinite or NaN."""


class TrainingStopped(Exception):
    """The run was asked to stop, and saved its state."""


class TrainingInterrupted(Exception):
    """Something outside the run failed; the run can be resumed from its last checkpoint."""


@dataclass(frozen=True)
class StepReport:
    """The state of a run after a step.

    Attributes
    ----------
    stage : str
    step, steps : int
        Steps completed in this stage, and total steps of this stage.
    loss : float
        Mean loss of this step.
    work_done, work, step_work : float
        Work completed so far, work of the whole run, and work of this step, in pixels. Work is
        roughly proportional to time.
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
        Folder of the run. Training writes config.json, classes.csv, history.csv, the weights of
        each stage (such as fcn8s.npz) and scores.json, and keeps checkpoint.npz during the run.
        Only one process at a time can train in a folder.
    settings : Settings, optional
        When resuming, settings are read from config.json.
    data : OwnData, optional
        Images and masks. By default, toy images. When resuming, config.json says where they are.
    resume : bool
        Continue the run in `out`. The result is the same as without the interruption.
    report : callable
        Called with a `StepReport` after each step.
    report_other : callable
        Called with a task other than training ("checking", "scoring fcn8s") and the number of
        images done so far.
    should_stop : callable
        Called after each step. If it returns True, the run saves and raises TrainingStopped.

    Returns
    -------
    dict of str to Scores
        Scores of the three FCNs on the held-out images.

    Raises
    ------
    ValueError
        If `out` already contains a run, or contains no run to resume; if another process is
        training in `out`; if a file of the run is damaged; if images or masks have faults
        (DataFaults); if the pretrained weights do not fit.
    TrainingInterrupted
        If, after training has begun, a file cannot be read or written, memory runs out, or a
        worker process ends.
    TrainingDiverged, TrainingStopped
    """
    out = Path(out)
    if resume:
        if settings is not None or data is not None:
            raise ValueError("a resumed run keeps its settings: expected none, got some")
        read_config(out)  # before making a folder
    else:
        check_new(out)
        if data is not None:
            data.check_apart(out)
    with claimed(out):
        if resume:
            settings, classes, data = read_run(out)
        else:
            refuse_files(out)  # another run may have started before the claim
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
                    # Rewrite the files that follow from others: a killed run may not have
                    # written them.
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
    """Turn errors of files, memory and worker processes into TrainingInterrupted."""
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
        raise ValueError("expected a size for the toy images, got None (whole images)")
    n_class = len(classes_of(data))
    for stage in settings.stages:
        if stage.class_weights is not None and len(stage.class_weights) != n_class:
            raise ValueError(
                f"expected {n_class} class weights, one for each class, got "
                f"{len(stage.class_weights)} in {stage.name}"
            )


class _Run:
    """A run in progress: its checkpoint, and the losses so far."""

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
        # The next stage starts from these weights: those of the previous stage, or pretrained.
        self.previous: Mapping[str, np.ndarray] = {}
        if settings.pretrained is not None and not self.state.history:
            self.previous = self._read_pretrained(settings.pretrained)

    def _read_pretrained(self, path: str) -> Mapping[str, np.ndarray]:
        """Read the pretrained weights, and check that they fit before writing anything."""
        state: Mapping[str, np.ndarray] = weights.load(path)
        with errors_name(path):
            state = for_caffe_images(state, self.settings.pretrained_on)
            model = make_fcn(self.settings.stages[0], self.backbone, self.n_class)
            start_from(model, state, assign=True)
            return self._own_scores(path, state)

    def _own_scores(self, path, state):
        """Return the weights with score layers matched to the run's classes, or without them."""
        scores = [name for name in state if name.startswith("score_")]
        classes = self.card.classes
        assert classes is not None  # a run knows its classes
        if not scores:
            return state
        n_class = len(np.atleast_1d(state[scores[0]]))
        with skip_init():  # only the number of classes matters
            card = card_of(path, FCN32s(n_class, self.backbone))
        rest = {name: value for name, value in state.items() if name not in scores}
        if card.classes is None:
            why = "the file does not name its classes; a classes.csv next to it can"
        else:
            try:
                numbers = classes.numbers_in(card.classes)
                return rest | {
                    name: state[name][numbers] for name in scores if len(state[name]) == n_class
                }
            except ValueError as error:
                why = reason_of(error)
        warnings.warn(
            f"the score layers of {shown(path)} are not used and start at zero: {why}",
            DataWarning, stacklevel=2,
        )
        return rest

    def write_history(self) -> None:
        """Write history.csv from the checkpoint."""
        write_history(self.out, [
            (STAGES[int(n)], int(step), lr, loss) for n, step, lr, loss in self.state.history
        ])

    def train_stages(self) -> None:
        """Train all unfinished stages."""
        for stage in self.settings.stages[self.state.finished:]:
            self._train(stage)

    def _train(self, stage: Stage) -> None:
        """Train a stage from its start, or from a checkpoint made during the stage."""
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
            with np.errstate(over="ignore", invalid="ignore"):  # the next loss will show it
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
        """Write the weights of a finished stage, then a checkpoint."""
        state = model.state_dict()
        try:
            check_finite(state)
        except ValueError as error:
            raise TrainingDiverged(
                f"{stage.name} diverged: try a lower learning rate than {stage.lr:g} for this stage"
            ) from error
        metadata = {**self.card.metadata(model), RUN: str(self.state.run)}
        weights.save(self.out / f"{stage.name}.npz", state, metadata)
        self._save(self.state.finished + 1)
        if self.should_stop():
            raise TrainingStopped(f"stopped in {stage.name} after step {stage.steps}")

    def _begin(self, stage: Stage) -> tuple[Network, SGD]:
        """Return the network and the optimizer of a stage, restored from any checkpoint."""
        rng = np.random.default_rng(stream("weights", self.settings.seed, stage.number))
        model = make_model(stage, self.backbone, self.n_class, rng)
        if isinstance(model, FCN) and not self.state.step:
            start_from(model, self._take_previous(), assign=True)
        optimizer = SGD(
            model.parameters(), stage.lr, stage.momentum, stage.weight_decay, stage.clip_gradients
        )
        if self.state.step:
            self.state.restore(model, optimizer, self.out / CHECKPOINT)
            self.state.weights, self.state.velocities = {}, ()  # to free their memory
        return model, optimizer

    def _take_previous(self):
        """Return the weights that the next stage starts from, and drop the reference to them."""
        state, self.previous = self.previous, {}
        if state:
            return state
        path = self.out / f"{self.settings.stages[self.state.finished - 1].name}.npz"
        if weights.read_metadata(path).get(RUN) != str(self.state.run):
            raise ValueError(f"{shown(path)}: it does not belong to the same run as config.json")
        return weights.load(path)

    def _save(self, finished, step=0, state=None, velocities=()):
        """Write a checkpoint, then history.csv from it."""
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
