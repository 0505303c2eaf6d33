"""The files that a run leaves in its folder, apart from weights: how they are written and read."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy import __version__
from fcn_numpy.data import Classes, read_classes
from fcn_numpy.files import write_text
from fcn_numpy.metrics import Scores
from fcn_numpy.training.own_data import OwnData
from fcn_numpy.training.settings import Settings
from fcn_numpy.training.stages import Stage

CONFIG = "config.json"
CLASSES_FILE = "classes.csv"
HISTORY = "history.csv"
SCORES = "scores.json"


def check_new(out: str | os.PathLike) -> None:
    """Raise ValueError if a folder already holds a run."""
    if (Path(out) / CONFIG).exists():
        raise ValueError(f"{out} holds a run already: resume it, or choose another folder")


def write_config(out: Path, settings: Settings, source: dict | None) -> None:
    """Write config.json, from which a run is resumed.

    Parameters
    ----------
    out : path
    settings : Settings
    source : dict, optional
        `OwnData.source`; None for toy images.
    """
    config = {
        "fcn_numpy": __version__,
        "numpy": np.__version__,
        "settings": dataclasses.asdict(settings),
        "data": source,
    }
    write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")


def read_config(out: str | os.PathLike) -> tuple[Settings, dict | None]:
    """Read config.json.

    Parameters
    ----------
    out : path-like
        Folder of the run.

    Returns
    -------
    settings : Settings
    source : dict or None
        `OwnData.source`; None for toy images.

    Raises
    ------
    ValueError
        If there is no run, or its config.json is damaged or has another layout.
    """
    path = Path(out) / CONFIG
    try:
        config = json.loads(path.read_text())
        values = dict(config["settings"])
        values["stages"] = tuple(_made(Stage, stage) for stage in values.get("stages", ()))
        return _made(Settings, values), config.get("data")
    except FileNotFoundError:
        raise ValueError(f"{out} holds no run: there is no {CONFIG} in it") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no {CONFIG} of a run: {error}") from error


def read_run(out: str | os.PathLike) -> tuple[Settings, OwnData | None]:
    """Read what a run was started with, and find its images.

    Parameters
    ----------
    out : path-like
        Folder of the run.

    Returns
    -------
    settings : Settings
    data : OwnData or None
        None for toy images.

    Raises
    ------
    ValueError
        As `read_config`, or if images are missing.
    """
    settings, source = read_config(out)
    if source is None:
        return settings, None
    return settings, OwnData.found_again(source, read_classes_of(out))


def _made(kind: type, values: dict[str, Any]) -> Any:
    """Make a dataclass from its fields in JSON, which turns tuples into lists."""
    fields = [field.name for field in dataclasses.fields(kind)]
    unknown = [name for name in values if name not in fields]
    if unknown:
        raise ValueError(
            f"it has another layout, expected {kind.__name__} with {', '.join(fields)}, got "
            f"{', '.join(unknown)}"
        )
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def read_settings(out: str | os.PathLike) -> Settings:
    """Return the settings of the run in a folder, or raise ValueError."""
    return read_config(out)[0]


def read_classes_of(out: str | os.PathLike) -> Classes:
    """Return the classes of the run in a folder, or raise ValueError."""
    path = Path(out) / CLASSES_FILE
    if not path.is_file():
        raise ValueError(f"{out} holds no complete run: there is no {CLASSES_FILE} in it")
    return read_classes(path)[0]


def write_history(out: Path, rows: Iterable[tuple[str, int, float, float]]) -> None:
    """Write history.csv: stage, step, learning rate and loss of each step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("stage", "step", "learning_rate", "loss"))
    for stage, step, lr, loss in rows:
        writer.writerow((stage, step, repr(lr), repr(loss)))
    write_text(out / HISTORY, text.getvalue())


def read_history(out: str | os.PathLike) -> list[tuple[str, int, float]]:
    """Return (stage, step, loss) of each step that a run has done."""
    with open(Path(out) / HISTORY, newline="") as file:
        return [
            (row["stage"], int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)
        ]


def write_scores(out: Path, scores: Mapping[str, Scores]) -> None:
    """Write scores.json, with which a run is finished."""
    text = {name: {**s._asdict(), "iu": s.iu.tolist()} for name, s in scores.items()}
    write_text(out / SCORES, json.dumps(text, indent=2) + "\n")


def read_scores(out: str | os.PathLike) -> dict[str, Scores]:
    """Return the scores of a finished run, or raise ValueError."""
    path = Path(out) / SCORES
    try:
        values = json.loads(path.read_text())
        return {
            name: Scores(**{**v, "iu": np.array(v["iu"], np.float64)}) for name, v in values.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no scores of a run: {error}") from error
