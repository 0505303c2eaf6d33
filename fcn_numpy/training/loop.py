"""The paper's training on a small scale: classifier, FCN-32s, FCN-16s, FCN-8s.

Each network starts from the weights of the previous one. A run lives in a folder and can be killed
at any moment: a checkpoint stores everything that the next step depends on (weights, velocities,
number of the step, losses so far), and is replaced as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_numpy import weights
from fcn_numpy.data import write_classes
from fcn_numpy.files import errors_name
from fcn_numpy.metrics import Scores
from fcn_numpy.models import BACKBONES, FCN, start_from
from fcn_numpy.models.files import for_caffe_images
from fcn_numpy.optim import SGD
from fcn_numpy.training.evaluation import score_networks
from fcn_numpy.training.gradients import ParallelGradients, SerialGradients, gradients_for
from fcn_numpy.training.images import classes_of
from fcn_numpy.training.networks import Network, make_fcn, make_model
from fcn_numpy.training.own_data import OwnData
from fcn_numpy.training.run_folder import (
    CLASSES_FILE,
    SCORES,
    check_new,
    read_run,
    read_scores,
    write_config,
    write_history,
    write_scores,
)
from fcn_numpy.training.settings import Settings
from fcn_numpy.training.stages import STAGES, Stage

CHECKPOINT = "checkpoint.npz"

# Estimates of the remaining time assume this size for whole images of a folder.
TYPICAL_SIZE = 500


class TrainingDiverged(ValueError):
    """The loss became infinite or NaN."""


class TrainingStopped(Exception):
    """The run was asked to stop, and has saved its state."""


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
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Scores]:
    """Train the classifier and the three FCNs, on toy images or on the images of a folder.

    Parameters
    ----------
    out : path-like
        Folder of the run. It gets config.json, classes.csv, history.csv, the weights of each
        stage (such as fcn8s.npz), scores.json, and during the run checkpoint.npz.
    settings : Settings, optional
        Read from config.json when resuming.
    data : OwnData, optional
        Images and masks, by default toy images. Found again when resuming.
    resume : bool
        Continue the run in `out`, with the same result as without the interruption.
    report : callable
        Called with a `StepReport` after each step.
    should_stop : callable
        Called after each step; if it returns True, the run saves and raises TrainingStopped.

    Returns
    -------
    dict of str to Scores
        Scores of the three FCNs on the held-out images.

    Raises
    ------
    ValueError
        If `out` already has a run, or has none to resume; if images or masks have faults
        (DataFaults); if the pretrained weights do not fit.
    TrainingDiverged, TrainingStopped
    """
    out = Path(out)
    if resume:
        if settings is not None or data is not None:
            raise ValueError("a resumed run keeps its settings: expected none, got some")
        settings, data = read_run(out)
    else:
        settings = Settings() if settings is None else settings
        check_new(out)
    if not (out / SCORES).exists():
        _check_data(settings, data)
        with gradients_for(settings, data) as gradients:
            run = _Run(out, settings, data, gradients, report, should_stop)
            if not resume:
                out.mkdir(parents=True, exist_ok=True)
                write_classes(out / CLASSES_FILE, classes_of(data))
                write_config(out, settings, None if data is None else data.source)
            run.train_stages()
            write_scores(out, score_networks(gradients, out, n=None, seed=0))
    (out / CHECKPOINT).unlink(missing_ok=True)
    return read_scores(out)


def _check_data(settings: Settings, data: OwnData | None) -> None:
    """Raise ValueError unless the images have no faults and the settings suit them."""
    if data is not None:
        data.check()
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
        self.checkpoint: dict[str, np.ndarray] = {}
        if (out / CHECKPOINT).exists():
            self.checkpoint = weights.load(out / CHECKPOINT)
        # Number of the stage, step, learning rate, loss.
        self.history = [tuple(row) for row in self.checkpoint.get("history", ())]
        self.finished = int(self.checkpoint.get("finished", 0))
        # The weights that the next stage starts from: those of the stage before, or pretrained.
        self.previous: Mapping[str, np.ndarray] = {}
        if settings.pretrained is not None and not self.checkpoint:
            self.previous = self._read_pretrained(settings.pretrained)

    def _read_pretrained(self, path: str) -> Mapping[str, np.ndarray]:
        """Read the pretrained weights, and check that they fit before anything is written."""
        state: Mapping[str, np.ndarray] = weights.load(path)
        with errors_name(path):
            state = for_caffe_images(state, self.settings.pretrained_on)
            self._check_fit(state)
        return state

    def _check_fit(self, state):
        """Raise ValueError unless the first network can start from these weights."""
        model = make_fcn(self.settings.stages[0], self.backbone, self.n_class)
        start_from(model, state, assign=True)

    def train_stages(self) -> None:
        """Train all stages that are not finished."""
        for stage in self.settings.stages[self.finished:]:
            self._train(stage)

    def _train(self, stage: Stage) -> None:
        """Train a stage from its start, or from the checkpoint if that was made within it."""
        model, optimizer, done = self._begin(stage)
        self.gradients.begin(stage, model)
        for step in range(done, stage.steps):
            optimizer.lr = stage.learning_rate(step)
            loss = self.gradients.compute(step)
            if not np.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss became {loss} in {stage.name} at step {step + 1}: try a lower "
                    f"learning rate than {stage.lr:g} for this stage"
                )
            optimizer.step()
            self.history.append((stage.number, step + 1, optimizer.lr, loss))
            self.report(self._step_report(stage, step + 1, loss))
            stop = self.should_stop()
            due = (step + 1) % self.settings.checkpoint_every == 0 and step + 1 < stage.steps
            if stop or due:
                self._save_step(step + 1, model, optimizer)
            if stop:
                raise TrainingStopped(f"stopped in {stage.name} after step {step + 1}")
        weights.save(self.out / f"{stage.name}.npz", model.state_dict())
        self.finished += 1
        self._save({})

    def _begin(self, stage: Stage) -> tuple[Network, SGD, int]:
        """Return the network and the optimizer of a stage, and the number of steps done."""
        restoring = "step" in self.checkpoint
        rng = np.random.default_rng((self.settings.seed, stage.number))
        model = make_model(stage, self.backbone, self.n_class, rng)
        if isinstance(model, FCN) and not restoring:
            start_from(model, self._take_previous(), assign=True)
        optimizer = SGD(
            model.parameters(), stage.lr, stage.momentum, stage.weight_decay, stage.clip_gradients
        )
        return model, optimizer, self._restore(model, optimizer) if restoring else 0

    def _take_previous(self):
        """Return the weights that the next stage starts from; this releases their memory."""
        state, self.previous = self.previous, {}
        if state:
            return state
        stage = self.settings.stages[self.finished - 1]
        return weights.load(self.out / f"{stage.name}.npz")

    def _save_step(self, step, model, optimizer):
        """Write a checkpoint within a stage."""
        state = {"step": np.array(step, np.int64)}
        for name, p in model.named_parameters():
            state[f"weight.{name}"] = p.data
        for number, velocity in enumerate(optimizer.velocities):
            state[f"velocity.{number}"] = velocity
        self._save(state)

    def _save(self, state):
        """Write a checkpoint: how many stages are finished, the history, and the given arrays."""
        finished, history = np.array(self.finished, np.int64), np.array(self.history, np.float64)
        weights.save(self.out / CHECKPOINT, {"finished": finished, "history": history, **state})
        write_history(self.out, [
            (STAGES[int(n)], int(step), float(lr), float(loss))
            for n, step, lr, loss in self.history
        ])

    def _restore(self, model, optimizer):
        """Load weights and velocities of the checkpoint; return the number of steps done."""
        state, self.checkpoint = self.checkpoint, {}
        own = {n.removeprefix("weight."): v for n, v in state.items() if n.startswith("weight.")}
        model.load_state_dict(own)
        for number, velocity in enumerate(optimizer.velocities):
            velocity[...] = state[f"velocity.{number}"]
        return int(state["step"])

    def _step_report(self, stage, step, loss):
        stages = self.settings.stages
        work = sum(s.steps * self._step_work(s) for s in stages)
        before = sum(s.steps * self._step_work(s) for s in stages[: self.finished])
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
