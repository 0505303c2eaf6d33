"""A checkpoint: everything that the next step of a run depends on, in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fcn_numpy import weights
from fcn_numpy.files import errors_name, shown
from fcn_numpy.models.finite import check_finite
from fcn_numpy.optim import SGD
from fcn_numpy.training.networks import Network
from fcn_numpy.training.stages import STAGES, Stage

CHECKPOINT = "checkpoint.npz"

# Stage number, step (counted from 1), learning rate, loss.
Row = tuple[float, float, float, float]


@dataclass
class Checkpoint:
    """The progress of a run.

    Attributes
    ----------
    run : int
        Identity of the run that the checkpoint belongs to.
    finished : int
        Number of finished stages.
    history : list of (float, float, float, float)
        Stage number, step, learning rate and loss of every completed step.
    step : int
        Steps completed in the unfinished stage; 0 between two stages.
    weights : dict of str to ndarray
        Weights of that stage's network.
    velocities : list of ndarray
        Velocities of that stage's optimizer.
    """

    run: int
    finished: int = 0
    history: list[Row] = field(default_factory=list)
    step: int = 0
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    velocities: Sequence[np.ndarray] = ()

    def restore(self, model: Network, optimizer: SGD, path: Path) -> None:
        """Load the weights and velocities into a network and its optimizer.

        Parameters
        ----------
        model : Classifier or FCN
        optimizer : SGD
        path : path
            The checkpoint file, named in error messages.

        Raises
        ------
        ValueError
            If the weights or velocities belong to another network.
        """
        with errors_name(path):
            model.load_state_dict(self.weights)
            shapes = [v.shape for v in self.velocities]
            expected = [v.shape for v in optimizer.velocities]
            if shapes != expected:
                raise ValueError(
                    f"velocity: expected {len(expected)} arrays with the shapes of the "
                    f"parameters, got {len(shapes)}"
                    + (" with other shapes" if len(shapes) == len(expected) else "")
                )
        for own, value in zip(optimizer.velocities, self.velocities):
            own[...] = value


def write_checkpoint(out: Path, state: Checkpoint) -> None:
    """Write checkpoint.npz to the folder of a run."""
    arrays = {
        "run": np.array(state.run, np.int64),
        "finished": np.array(state.finished, np.int64),
        "history": np.array(state.history, np.float64).reshape(-1, 4),
        "step": np.array(state.step, np.int64),
    }
    arrays |= {f"weight.{name}": value for name, value in state.weights.items()}
    arrays |= {f"velocity.{number}": v for number, v in enumerate(state.velocities)}
    weights.save(out / CHECKPOINT, arrays)


def read_checkpoint(
    out: str | os.PathLike, stages: Sequence[Stage], run: int
) -> Checkpoint:
    """Read checkpoint.npz of a run.

    Parameters
    ----------
    out : path-like
        Folder of the run.
    stages : sequence of Stage
        Stages of the run.
    run : int
        Identity of the run.

    Returns
    -------
    Checkpoint
        The state before the first step if the file does not exist.

    Raises
    ------
    ValueError
        If the file is damaged or belongs to another run. The message names the file and the array.
    """
    path = Path(out) / CHECKPOINT
    if not path.exists():
        return Checkpoint(run)
    arrays = weights.load(path)
    with errors_name(path):
        own = {n.removeprefix("weight."): v for n, v in arrays.items() if n.startswith("weight.")}
        n_velocities = sum(name.startswith("velocity.") for name in arrays)
        velocities = [f"velocity.{number}" for number in range(n_velocities)]
        expected = {
            "run", "finished", "history", "step", *velocities, *(f"weight.{name}" for name in own)
        }
        for name in sorted(expected ^ arrays.keys()):
            state = "missing" if name in expected else "unexpected"
            raise ValueError(f"{shown(name)} is {state}")
        if arrays["run"].shape != () or arrays["run"] != run:
            raise ValueError("it does not belong to the same run as config.json")
        finished = _number(arrays["finished"], "finished", len(stages))
        steps = stages[finished].steps if finished < len(stages) else 1
        step = _number(arrays["step"], "step", steps - 1)
        if bool(step) != bool(own) or bool(step) != bool(velocities):
            raise ValueError(f"step: expected weights and velocities for step {step}, or none at 0")
        check_finite(own)
        check_finite({name: arrays[name] for name in velocities})
        history = _history(arrays["history"], stages, finished, step)
    return Checkpoint(run, finished, history, step, own, [arrays[name] for name in velocities])


def _number(value, name, largest):
    if value.shape != () or value.dtype.kind not in "iu" or not 0 <= value <= largest:
        raise ValueError(
            f"{name}: expected a whole number from 0 to {largest}, got "
            f"{shown(value, 80) if value.size == 1 else value.shape}"
        )
    return int(value)


def _history(rows, stages, finished, step):
    done = [(stage, stage.steps) for stage in stages[:finished]]
    done += [(stages[finished], step)] if step else []
    expected = [(stage.number, n + 1) for stage, steps in done for n in range(steps)]
    if rows.dtype != np.float64 or rows.shape != (len(expected), 4):
        raise ValueError(
            f"history: expected float64 of shape ({len(expected)}, 4), one row per step, "
            f"got {rows.dtype} {rows.shape}"
        )
    right = (rows[:, :2] == np.reshape(expected, (-1, 2))).all(axis=1)
    right &= np.isfinite(rows).all(axis=1)
    if not right.all():
        number = int(np.argmin(right))
        stage, n = expected[number]
        raise ValueError(
            f"history: expected finite numbers for {STAGES[stage]}, step {n}, in row {number}, got "
            f"{shown(rows[number].tolist(), 100)}"
        )
    return [tuple(row) for row in rows.tolist()]
