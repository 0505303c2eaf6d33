"""The paper's training, retold in small: classifier, FCN-32s, FCN-16s, FCN-8s.

Each network starts from the weights of the one before. A run lives in a folder and can be killed
at any moment: a checkpoint holds all that the next step depends on (weights, velocities, the
number of the step, the losses so far), and is replaced in one piece.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_numpy import weights
from fcn_numpy.data import TOY_CLASSES, write_classes
from fcn_numpy.files import write_text
from fcn_numpy.metrics import Scores
from fcn_numpy.models import start_from
from fcn_numpy.models.published import for_caffe_pictures
from fcn_numpy.nn.conv import NotDrawn
from fcn_numpy.optim import SGD
from fcn_numpy.training.evaluation import (
    CLASSES_FILE,
    HISTORY,
    SCORES,
    read_classes_of,
    read_scores,
    score_networks,
)
from fcn_numpy.training.learner import Share, crew, make_model
from fcn_numpy.training.pictures import OwnData
from fcn_numpy.training.settings import (
    BACKBONES,
    CONFIG,
    SEGMENTERS,
    STAGES,
    Settings,
    of_stage,
    read_config,
    write_config,
)

CHECKPOINT = "checkpoint.npz"


class TrainingDiverged(ValueError):
    """The loss became infinite or NaN."""


class TrainingStopped(Exception):
    """The run was asked to stop, and has saved where it is."""


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
    data: OwnData | None = None,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Scores]:
    """Train the classifier and the three networks, on toy shapes or on pictures of a folder.

    Parameters
    ----------
    out : path-like
        Folder of the run. It gets config.json, classes.csv, history.csv, the weights of each
        stage (classifier.npz, fcn32s.npz, fcn16s.npz, fcn8s.npz), scores.json, and while it runs
        checkpoint.npz. A stage without steps is left out if the next one starts from a file.
    settings : Settings, optional
        Read from config.json when resuming.
    data : OwnData, optional
        Pictures and masks; toy shapes if not given. Found again when resuming.
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
        If `out` holds a run already, or none to resume; DataFaults, if something is wrong with
        pictures or masks; if the file to start from does not fit.
    TrainingDiverged
        If a loss is infinite or NaN.
    TrainingStopped
        If asked to stop.
    """
    out = Path(out)
    if resume:
        if settings is not None or data is not None:
            raise ValueError("a resumed run keeps its settings: expected none, got some")
        settings, source = read_config(out)
        if source is not None:
            data = OwnData.found_again(source, read_classes_of(out))
    else:
        settings = Settings() if settings is None else settings
        check_new(out)
    if not (out / SCORES).exists():
        if data is not None:
            _ = data.counts  # or all that is wrong with the pictures
        with crew(settings, data) as learners:
            run = _Run(out, settings, data, learners, report, should_stop)
            if not resume:
                out.mkdir(parents=True, exist_ok=True)
                write_classes(out / CLASSES_FILE, TOY_CLASSES if data is None else data.classes)
                write_config(out, settings, None if data is None else data.source)
            for index in range(run.first_stage, len(STAGES)):
                run.stage(index)
            n_test = settings.n_test if data is None else None
            scores = score_networks(learners, out, n_test, seed=0)
        text = {name: {**s._asdict(), "iu": s.iu.tolist()} for name, s in scores.items()}
        write_text(out / SCORES, json.dumps(text, indent=2) + "\n")
    (out / CHECKPOINT).unlink(missing_ok=True)
    return read_scores(out)


def check_new(out: str | os.PathLike) -> None:
    """Raise ValueError if a folder holds a run."""
    if (Path(out) / CONFIG).exists():
        raise ValueError(f"{out} holds a run already: resume it, or choose another folder")


class _Run:
    """A run on its way: where it is, and the losses so far."""

    def __init__(self, out, settings, data, learners, report, should_stop):
        self.out = out
        self.settings = settings
        self.n_class = Share(settings, data).n_class
        self.learners = learners
        self.report = report
        self.should_stop = should_stop
        self.checkpoint = {}
        if (out / CHECKPOINT).exists():
            self.checkpoint = weights.load(out / CHECKPOINT)
        # Rows of stage, step, learning rate, loss.
        self.history = [tuple(row) for row in self.checkpoint.get("history", ())]
        self.start = {}
        self.first_stage = self._find_first_stage()

    def _find_first_stage(self):
        """Return the stage to begin or to go on with; read the weights to start from, if any."""
        if self.checkpoint:
            return int(self.checkpoint["stage"])
        if self.settings.start is not None:
            self.start = self._read_start()
            return 1
        if not self.settings.steps[0]:
            raise ValueError(
                "expected weights to start from, as no classifier is to be trained, got none"
            )
        return 0

    def _read_start(self):
        """Read the weights to start from, or say what is wrong with them before all else."""
        state = weights.load(self.settings.start)
        try:
            state = for_caffe_pictures(state, self.settings.start_trained_on)
            # Do they fit? This network is thrown away.
            model = make_model("fcn32s", self.settings, self.n_class, NotDrawn())
            start_from(model, state, assign=True)
        except ValueError as error:
            raise ValueError(f"{self.settings.start}: {error}") from error
        return state

    def stage(self, index):
        """Train one stage from its start, or from the checkpoint if that lies in it."""
        name, settings = STAGES[index], self.settings
        # The FCNs get all their weights from the stage before.
        rng = NotDrawn() if index else np.random.default_rng((settings.seed, index))
        model = make_model(name, settings, self.n_class, rng)
        restoring = "step" in self.checkpoint
        if index and not restoring:
            self._start_from_previous(model, index)
        optimiser = SGD(
            model.parameters(), settings.lr[index], of_stage(settings.momentum, index),
            settings.weight_decay, of_stage(settings.clip_gradients, index),
        )
        done = self._restore(model, optimiser) if restoring else 0
        steps = settings.steps[index]
        self.learners.begin(index, model)
        for step in range(done, steps):
            optimiser.lr = _learning_rate(settings, index, step)
            loss = self.learners.learn(step)
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
        self._save(index + 1)

    def _start_from_previous(self, model, index):
        state, self.start = self.start, {}
        if not state:
            state = weights.load(self.out / f"{STAGES[index - 1]}.npz")
        start_from(model, state, assign=True)

    def _save(self, index, step=0, model=None, optimiser=None):
        """Write the checkpoint: of a step, or of the beginning of a stage."""
        state = {"stage": np.int64(index), "history": np.array(self.history, np.float64)}
        if step:
            state["step"] = np.int64(step)
            for name, p in model.named_parameters():
                state[f"weight.{name}"] = p.data
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
        self.checkpoint = {}
        return int(state["step"])

    def _write_history(self):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("stage", "step", "learning_rate", "loss"))
        for index, step, lr, loss in self.history:
            writer.writerow((STAGES[int(index)], int(step), repr(float(lr)), repr(float(loss))))
        write_text(self.out / HISTORY, text.getvalue())

    def _progress(self, index, step, loss):
        settings = self.settings
        # Whole pictures: what matters is only how they compare with the classifier's windows.
        size = (settings.size or 500) + 2 * BACKBONES[settings.backbone].pad
        sizes = (settings.single_size, *[size] * len(SEGMENTERS))
        costs = [b * n * n for b, n in zip(settings.batch, sizes)]
        done = sum(s * c for s, c in zip(settings.steps[:index], costs)) + step * costs[index]
        work = sum(s * c for s, c in zip(settings.steps, costs))
        return Progress(
            STAGES[index], step, settings.steps[index], loss, done, work, costs[index],
            settings.batch[index],
        )


def _learning_rate(settings: Settings, index: int, step: int) -> float:
    rise = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    return settings.lr[index] * rise * (1 - step / settings.steps[index]) ** 0.9
