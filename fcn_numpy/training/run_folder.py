"""The folder of a run: who may write to it, and its files other than weights."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy import __version__
from fcn_numpy.checks import is_number
from fcn_numpy.data import Classes
from fcn_numpy.data.class_files import classes_text, parse_classes
from fcn_numpy.files import (
    errors_name,
    lock,
    read_json,
    read_text,
    remove_leftovers,
    shown,
    write_text,
)
from fcn_numpy.metrics import Scores
from fcn_numpy.training.checkpoint import CHECKPOINT
from fcn_numpy.training.own_data import OwnData
from fcn_numpy.training.settings import Settings
from fcn_numpy.training.stages import STAGES, Stage

CONFIG = "config.json"
CLASSES_FILE = "classes.csv"
HISTORY = "history.csv"
SCORES = "scores.json"
LOCK = "run.lock"
# The files that a run writes, and the figures that the command line draws.
FILES = (
    CONFIG, CLASSES_FILE, HISTORY, SCORES, CHECKPOINT, "predictions.png", "curves.png",
    *(f"{stage}.npz" for stage in STAGES),
)
# The names of a million images take 100 MB.
LARGEST_FILE = 200_000_000
HISTORY_COLUMNS = ("stage", "step", "learning_rate", "loss")


# ---------------------------------------------------------------- who may write


@contextlib.contextmanager
def claimed(out: str | os.PathLike) -> Iterator[None]:
    """Keep other processes from writing to the folder of a run while the block runs.

    Make the folder if it is missing, and remove it afterward if it is still empty. Remove the
    half-written files of killed processes from it. The claim ends when the process does, even if
    the process is killed.

    Parameters
    ----------
    out : path-like

    Raises
    ------
    ValueError
        If another process has claimed the folder.
    """
    out = Path(out)
    if (out / LOCK).exists() and (out / LOCK).stat().st_size:
        raise ValueError(f"expected no file {shown(out / LOCK)}: it does not belong to a run")
    if out.exists() and not out.is_dir():
        raise ValueError(f"expected a folder for the run, got the file {shown(out)}")
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(out / LOCK):
            remove_leftovers(out)
            yield
    finally:
        with contextlib.suppress(OSError):  # a folder is not empty
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def _locked(path):
    while True:
        file = open(path, "a+b")
        if not lock(file):
            file.close()
            raise ValueError(f"another process is training in {shown(path.parent)}")
        # Another process may have removed this file just after it was opened.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            break
        file.close()
    try:
        yield
    finally:
        if os.name != "nt":  # remove it while locked: later openers see that it is gone
            path.unlink(missing_ok=True)
        file.close()
        if os.name == "nt":
            with contextlib.suppress(OSError):
                path.unlink()


def check_new(out: str | os.PathLike) -> None:
    """Raise ValueError if a folder contains a run, or files that a run would replace."""
    if (Path(out) / LOCK).exists() and not _is_free(Path(out) / LOCK):
        raise ValueError(f"another process is training in {shown(out)}")
    refuse_files(out)


def _is_free(path):
    with contextlib.suppress(OSError), open(path, "r+b") as file:
        return lock(file)
    return True


def refuse_files(out: str | os.PathLike) -> None:
    """Do the same as `check_new`, but do not look for another process."""
    if (Path(out) / CONFIG).exists():
        raise ValueError(f"{shown(out)} holds a run already: resume it, or choose another folder")
    for name in FILES:
        if (Path(out) / name).exists():
            raise ValueError(
                f"{shown(out)} holds a file {name}, which a run would replace: choose another "
                "folder"
            )


# ---------------------------------------------------------------- config.json


def write_config(
    out: Path, settings: Settings, classes: Classes, source: dict | None
) -> None:
    """Write config.json, which a resumed run reads.

    Parameters
    ----------
    out : path
    settings : Settings
    classes : Classes
    source : dict, optional
        `OwnData.source`; None for toy images.
    """
    config = {
        "fcn_numpy": __version__,
        "numpy": np.__version__,
        "settings": dataclasses.asdict(settings),
        "classes": classes_text(classes),
        "data": source,
    }
    write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")


def read_config(out: str | os.PathLike) -> tuple[Settings, Classes, Any]:
    """Read config.json.

    Parameters
    ----------
    out : path-like
        Folder of the run.

    Returns
    -------
    settings : Settings
    classes : Classes
    source : dict or None
        Argument of `OwnData.found_again`, which checks it; None for toy images.

    Raises
    ------
    ValueError
        If there is no run, or if config.json is damaged or has a different layout. The message
        names the field.
    """
    path = Path(out) / CONFIG
    if not path.exists():
        raise ValueError(f"{shown(out)} holds no run: there is no {CONFIG} in it")
    with errors_name(path):
        config = _fields(
            read_json(path, LARGEST_FILE), ("fcn_numpy", "numpy", "settings", "classes", "data")
        )
        with errors_name("settings"):
            settings = _settings(config["settings"])
        with errors_name("classes"):
            if not isinstance(config["classes"], str):
                raise ValueError(f"expected a string, got {_quoted(config['classes'])}")
            classes, _ = parse_classes(config["classes"])
    return settings, classes, config["data"]


def read_run(out: str | os.PathLike) -> tuple[Settings, Classes, OwnData | None]:
    """Read the settings and classes of a run, and find its images.

    Parameters
    ----------
    out : path-like
        Folder of the run.

    Returns
    -------
    settings : Settings
    classes : Classes
    data : OwnData or None
        None for toy images.

    Raises
    ------
    ValueError
        If `read_config` raises it, or images are missing.
    """
    settings, classes, source = read_config(out)
    if source is None:
        return settings, classes, None
    with errors_name(Path(out) / CONFIG), errors_name("data"):
        return settings, classes, OwnData.found_again(source, classes)


def run_identity(settings: Settings, classes: Classes, data: OwnData | None) -> int:
    """Return a number that identifies the files of a run.

    Parameters
    ----------
    settings : Settings
    classes : Classes
    data : OwnData or None
        None for toy images.

    Returns
    -------
    int
        The number does not depend on where the images are: they may move.
    """
    checksum = None
    if data is not None:
        checksum = data.source["checksum"] if data.checksum is None else data.checksum
    what = [dataclasses.asdict(settings), classes_text(classes), checksum]
    return zlib.crc32(json.dumps(what).encode())


def _settings(values):
    names = [field.name for field in dataclasses.fields(Settings)]
    values = dict(_fields(values, names))
    if not isinstance(values["stages"], list):
        raise ValueError(f"stages: expected a list, got {_quoted(values['stages'])}")
    names = [field.name for field in dataclasses.fields(Stage)]
    stages = []
    for number, stage in enumerate(values["stages"]):
        with errors_name(f"stage {number}"):
            stage = dict(_fields(stage, names))
            if isinstance(stage["class_weights"], list):
                stage["class_weights"] = tuple(stage["class_weights"])
            stages.append(Stage(**stage))
    return Settings(**{**values, "stages": tuple(stages)})


def _fields(values, names):
    """Return a JSON object, or raise ValueError unless it has exactly these fields."""
    if not isinstance(values, dict):
        raise ValueError(f"expected an object with {', '.join(names)}, got {_quoted(values)}")
    for name in (*names, *values):
        if name not in values:
            raise ValueError(f"expected a field {name}, got none: the layout is different")
        if name not in names:
            raise ValueError(f"expected no field {shown(name, 80)}: the layout is different")
    return values


def _quoted(value):
    return shown(repr(value), 80)


def read_settings(out: str | os.PathLike) -> Settings:
    """Return the settings of the run in a folder, or raise ValueError."""
    return read_config(out)[0]


def read_classes_of(out: str | os.PathLike) -> Classes:
    """Return the classes of the run in a folder, or raise ValueError."""
    return read_config(out)[1]


# ---------------------------------------------------------------- history.csv


def write_history(out: Path, rows: Iterable[tuple[str, int, float, float]]) -> None:
    """Write history.csv: stage, step, learning rate and loss of each step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HISTORY_COLUMNS)
    for stage, step, lr, loss in rows:
        writer.writerow((stage, step, repr(lr), repr(loss)))
    write_text(out / HISTORY, text.getvalue())


def read_history(out: str | os.PathLike) -> list[tuple[str, int, float]]:
    """Return (stage, step, loss) of every step that a run has completed, or raise ValueError."""
    path = Path(out) / HISTORY
    with errors_name(path):
        if not path.exists():
            raise ValueError("there is no such file")
        reader = csv.reader(io.StringIO(read_text(path, LARGEST_FILE)), strict=True)
        try:
            rows = list(reader)
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from error
        if not rows or tuple(rows[0]) != HISTORY_COLUMNS:
            raise ValueError(f"expected the first line {','.join(HISTORY_COLUMNS)}")
        return [_step(line, row) for line, row in enumerate(rows[1:], 2)]


def _step(line, row):
    try:
        stage, step, _, loss = row[0], int(row[1]), float(row[2]), float(row[3])
    except (ValueError, IndexError):
        stage, step, loss = "", 0, np.nan
    if len(row) != 4 or stage not in STAGES or step < 1 or not np.isfinite(loss):
        raise ValueError(f"line {line}: expected {','.join(HISTORY_COLUMNS)}, got {_quoted(row)}")
    return stage, step, loss


# ---------------------------------------------------------------- scores.json


def write_scores(out: Path, scores: Mapping[str, Scores]) -> None:
    """Write scores.json, which finishes a run; null stands for NaN, which JSON does not have."""
    text = {
        name: {
            **{field: _or_null(value) for field, value in s._asdict().items() if field != "iu"},
            "iu": [_or_null(value) for value in s.iu.tolist()],
        }
        for name, s in scores.items()
    }
    write_text(out / SCORES, json.dumps(text, indent=2) + "\n")


def _or_null(value):
    return None if np.isnan(value) else value


def read_scores(out: str | os.PathLike) -> dict[str, Scores]:
    """Return the scores of a finished run, or raise ValueError."""
    path = Path(out) / SCORES
    n_class = len(read_classes_of(out))
    with errors_name(path):
        if not path.exists():
            raise ValueError("there is no such file: the run is not finished; resume it")
        values = _fields(read_json(path, LARGEST_FILE), read_settings(out).segmenters)
        scores = {}
        for name, fields in values.items():
            with errors_name(name):
                scores[name] = _scores(_fields(fields, Scores._fields), n_class)
    return scores


def _scores(fields: Mapping[str, Any], n_class: int) -> Scores:
    iu = fields["iu"]
    if not isinstance(iu, list) or len(iu) != n_class:
        raise ValueError(f"iu: expected a list of {n_class} numbers, got {_quoted(iu)}")
    numbers = {name: value for name, value in fields.items() if name != "iu"}
    numbers |= {f"iu[{n}]": value for n, value in enumerate(iu)}
    for name, value in numbers.items():
        if value is not None and not (is_number(value) and 0 <= value <= 1):
            raise ValueError(f"{name}: expected a number from 0 to 1, got {_quoted(value)}")
    four = {name: _number(value) for name, value in numbers.items() if "[" not in name}
    return Scores(**four, iu=np.array([_number(value) for value in iu]))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
