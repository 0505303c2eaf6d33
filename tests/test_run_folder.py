"""The folder of a run: claimed by one process, read with suspicion, and whole after any end."""

import contextlib
import csv
import dataclasses
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from failing_command import failed

from fcn_numpy import training, weights
from fcn_numpy.cli import main
from fcn_numpy.training import SEGMENTERS, Settings, loop, run_folder, train
from fcn_numpy.training.run_folder import claimed

QUICK = Settings().quick().with_stages(*SEGMENTERS, dropout=0.5)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
# The quick run of this file, started or resumed.
PROGRAM = """
import sys
from fcn_numpy.training import SEGMENTERS, Settings, train
out, resume = sys.argv[1], len(sys.argv) > 2
settings = None if resume else Settings().quick().with_stages(*SEGMENTERS, dropout=0.5)
train(out, settings, resume=resume)
"""


def start(out, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out), *arguments], env=ENVIRONMENT,
        stderr=subprocess.PIPE, text=True, **options,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing has disturbed."""
    out = tmp_path_factory.mktemp("finished") / "run"
    train(out, QUICK)
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    out = tmp_path / "run"
    out.mkdir()
    for path in finished.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped after step 3 of FCN-16s."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    steps = []
    with pytest.raises(training.TrainingStopped):
        train(out, QUICK, report=steps.append, should_stop=lambda: len(steps) >= 21)
    return out


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------- one process at a time


def test_a_folder_is_claimed_once(tmp_path):
    out = tmp_path / "deep" / "run"
    with claimed(out):
        with pytest.raises(ValueError, match="another process is training in .*run"):
            with claimed(out):
                pass
        (out / "kept").write_text("")
    assert [path.name for path in out.iterdir()] == ["kept"]


def test_a_claim_that_wrote_nothing_leaves_nothing(tmp_path):
    with contextlib.suppress(KeyError), claimed(tmp_path / "deep" / "run"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_folder_of_a_dead_process_is_free(tmp_path):
    code = (
        "import os, sys; from fcn_numpy.training.run_folder import claimed\n"
        "with claimed(sys.argv[1]): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=ENVIRONMENT)
    assert (tmp_path / "run.lock").exists()
    with claimed(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def begun_together(out):
    """Start the same run twice at the same moment; return the exit statuses and messages."""
    both = [start(out), start(out)]
    errors = [process.communicate(timeout=200)[1] for process in both]
    return [process.returncode for process in both], errors


def expect_one_of_two(finished, out):
    statuses, errors = begun_together(out)
    assert sorted(statuses) == [0, 1], errors
    words = errors[statuses.index(1)]
    assert "another process is training in" in words or "holds a run already" in words
    assert files_of(out) == files_of(finished)


def test_of_two_runs_begun_together_one_goes_on(finished, tmp_path):
    expect_one_of_two(finished, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(int(os.environ.get("FCN_NUMPY_PAIRS", 4))))
def test_of_two_runs_begun_together_one_goes_on_each_time(finished, tmp_path, number):
    expect_one_of_two(finished, tmp_path / "run")


def test_a_run_that_goes_on_is_not_resumed(stopped, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for name, data in files_of(stopped).items():
        (out / name).write_bytes(data)
    with claimed(out), pytest.raises(ValueError, match="another process is training in"):
        train(out, resume=True)
    assert files_of(out) == files_of(stopped)


def test_files_that_a_run_would_replace_stay(tmp_path, capsys):
    """Such as classes.csv of the images, where --out is the folder of --data."""
    (tmp_path / "classes.csv").write_text("mine")
    words = failed(capsys, "train", "--quick", "--out", tmp_path)
    assert "holds a file classes.csv, which a run would replace" in words
    assert files_of(tmp_path) == {"classes.csv": b"mine"}


# ---------------------------------------------------------------- killed


def expect_the_same_after_a_kill(finished, out, moment):
    process = start(out)
    time.sleep(moment)
    process.kill()
    process.communicate()
    again = start(out, "resume") if (out / "config.json").exists() else start(out)
    _, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    assert files_of(out) == files_of(finished)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(int(os.environ.get("FCN_NUMPY_KILLS", 5))))
def test_killed_at_any_moment_and_resumed_is_the_same(finished, tmp_path, number):
    """For more than these few moments set FCN_NUMPY_KILLS."""
    # From before the first file to after the last.
    seconds = random.Random(number).uniform(0.2, 4.5)
    expect_the_same_after_a_kill(finished, tmp_path / "run", seconds)


class Killed(BaseException):
    """Stands for the end of the process, wherever it is."""


def expect_the_same(finished, out):
    train(out, resume=True)
    assert files_of(out) == files_of(finished)


@pytest.mark.slow
@pytest.mark.parametrize("which", [1, 5, 9])  # at the opening, within, and after the last
def test_killed_between_a_checkpoint_and_what_follows_from_it(
    finished, tmp_path, monkeypatch, which
):
    """history.csv would lack rows for good after the last checkpoint."""
    calls = []

    def write(*arguments):
        calls.append(arguments)
        if len(calls) == which:
            raise Killed
        run_folder.write_history(*arguments)

    monkeypatch.setattr(loop, "write_history", write)
    with pytest.raises(Killed):
        train(tmp_path / "run", QUICK)
    monkeypatch.undo()
    expect_the_same(finished, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["write_classes", "write_config", "write_scores", "read_scores"])
def test_killed_before_any_other_file(finished, tmp_path, monkeypatch, name):
    def write(*arguments):
        raise Killed

    monkeypatch.setattr(loop, name, write)
    with pytest.raises(Killed):
        train(tmp_path / "run", QUICK)
    monkeypatch.undo()
    if name == "write_config":  # there is no run yet, and nothing of one
        assert not (tmp_path / "run").exists()
        train(tmp_path / "run", QUICK)
    else:
        train(tmp_path / "run", resume=True)
    assert files_of(tmp_path / "run") == files_of(finished)


def test_classes_follow_from_the_config(stopped, finished, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for name, data in files_of(stopped).items():
        (out / name).write_bytes(data)
    (out / "classes.csv").unlink()
    (out / ".fcn8s.npz.abcd1234.fcn_numpy-part").write_text("half")
    expect_the_same(finished, out)


# ---------------------------------------------------------------- disks and workers


def checkpoint_then(action):
    """Return a report that acts once a checkpoint is there."""
    done = []

    def report(progress):
        done.append(progress)
        if len(done) == 6:
            action()

    return report


def test_a_disk_that_is_full_interrupts(finished, tmp_path, monkeypatch):
    out = tmp_path / "run"

    def full(*arguments):
        raise OSError(28, "No space left on device", str(out / "checkpoint.npz"))

    report = checkpoint_then(lambda: monkeypatch.setattr(loop, "write_checkpoint", full))
    with pytest.raises(training.TrainingInterrupted, match=r"No space left .*checkpoint\.npz$"):
        train(out, QUICK, report=report)
    monkeypatch.undo()
    expect_the_same(finished, out)


def test_a_worker_that_dies_interrupts(finished, tmp_path):
    out = tmp_path / "run"

    def kill():
        own = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True)
        workers = [
            pid for pid in own.stdout.split()
            if b"workers.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert len(workers) == 2
        os.kill(int(workers[0]), 9)

    with pytest.raises(training.TrainingInterrupted, match="worker process was killed by SIGKILL"):
        train(out, QUICK, report=checkpoint_then(kill))
    expect_the_same(finished, out)


def test_the_command_line_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    out = tmp_path / "my run"

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "write_checkpoint", full)
    words = failed(capsys, "train", "--quick", "--out", out, status=1)
    assert words == (
        "fcn-numpy train: error: No space left on device. What was trained is saved; continue "
        f"with: fcn-numpy train --resume --out '{out}'\n"
    )
    monkeypatch.undo()
    assert main(["train", "--resume", "--out", str(out)]) == 0


# ---------------------------------------------------------------- files that are not what they were


def change_json(path, *keys, value):
    """Set, or with KeyError as value delete, what lies under some keys."""
    everything = data = json.loads(path.read_text())
    for key in keys[:-1]:
        data = data[key]
    if value is KeyError:
        del data[keys[-1]]
    else:
        data[keys[-1]] = value
    path.write_text(json.dumps(everything))


@pytest.mark.parametrize(("keys", "value", "words"), [
    (["settings"], 3, "settings: expected an object with seed, "),
    (["settings"], KeyError, "expected a field settings, got none"),
    (["settings", "seed"], "x", "settings: expected seed to be an int of at least 0, got 'x'"),
    (["settings", "seed"], True, "settings: expected seed to be an int"),
    (["settings", "stages"], 12, "settings: stages: expected a list, got 12"),
    (["settings", "stages", 0, "steps"], "12", "stage 0: expected steps to be an int"),
    (["settings", "stages", 0, "steps"], 10**12, "stage 0: expected steps of at most 1,000,"),
    (["settings", "stages", 1, "warmup"], -20, "stage 1: expected warmup to be an int of at least"),
    (["settings", "stages", 1, "momentum"], "0.9", "stage 1: expected momentum of at least 0"),
    (["settings", "stages", 1, "lr"], float("inf"), "stage 1: expected lr of at least 0 and fi"),
    (["settings", "stages", 3, "name"], 99, "stage 3: expected a stage named classifier, "),
    (["settings", "stages", 2], KeyError, "settings: expected the stages classifier, "),
    (["settings", "stages", 3, "dropout"], None, "stage 3: expected dropout"),
    (["settings", "stages", 3, "class_weights"], [1, 2], "expected 4 class weights"),
    (["settings", "stages", 3, "class_weights"], 5, "stage 3: expected class_weights to be a"),
    (["settings", "checkpoint_every"], 0, "expected checkpoint_every to be an int of at least 1"),
    (["settings", "size"], 10**6, "expected size of at most 7,071, got 1000000"),
    (["settings", "rim"], "yes", "expected rim True or False, got 'yes'"),
    (["settings", "pretrained"], 5, "expected pretrained to be a path, got 5"),
    (["settings", "backbone"], ["tiny"], "expected backbone 'tiny' or 'vgg16' or 'alexnet', got"),
    (["data"], 5, "data: expected an object with folder, colored, checksum, train, held_out, "),
    (["data"], {"folder": "x", "colored": 1, "train": [], "held_out": []}, "data: colored: expe"),
    (["data"], {"folder": "x", "colored": True, "checksum": "5"}, "data: checksum: expected a w"),
    (["data"], {"folder": "x", "colored": True, "checksum": 5, "train": [["a"]],
               "held_out": [["a", "b"]]},
     "data: train: expected an image and a mask, got"),
    (["classes"], 5, "classes: expected a string, got 5"),
    (["classes"], "name\na\n", "classes: expected 2 to 255 classes, got 1"),
    (["extra"], 1, "expected no field extra"),
])
def test_a_config_that_was_changed(run, capsys, keys, value, words):
    change_json(run / "config.json", *keys, value=value)
    (run / "scores.json").unlink()
    said = failed(capsys, "train", "--resume", "--out", run)
    assert words in said and (str(run / "config.json") in said or "class weights" in said)
    if keys[-1] != "class_weights":  # their number matters when training alone
        assert words in failed(capsys, "evaluate", run)


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", "3", '"x"', "\udcff", "[" * 100_000, '{"settings": 1, "settings": 2}',
    "\0" * 99,
])
@pytest.mark.parametrize("name", ["config.json", "scores.json"])
def test_json_that_is_none(run, capsys, name, text):
    (run / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    said = failed(capsys, "train", "--resume", "--out", run)
    assert str(run / name) in said and len(said) < 500


@pytest.mark.parametrize(("keys", "value", "words"), [
    (["fcn8s"], KeyError, "expected a field fcn8s, got none"),
    (["fcn8s", "mean_iu"], "0.9", "fcn8s: mean_iu: expected a number from 0 to 1, got '0.9'"),
    (["fcn8s", "mean_iu"], 1.5, "fcn8s: mean_iu: expected a number from 0 to 1, got 1.5"),
    (["fcn8s", "mean_iu"], True, "fcn8s: mean_iu: expected a number"),
    (["fcn16s", "iu"], [0.5], "fcn16s: iu: expected a list of 4 numbers, got [0.5]"),
    (["fcn16s", "iu", 2], {}, "fcn16s: iu[2]: expected a number from 0 to 1"),
    (["fcn16s", "iu"], KeyError, "fcn16s: expected a field iu, got none"),
    (["fcn4s"], {}, "expected no field fcn4s"),
])
def test_scores_that_were_changed(run, capsys, keys, value, words):
    change_json(run / "scores.json", *keys, value=value)
    said = failed(capsys, "train", "--resume", "--out", run)
    assert f"{run / 'scores.json'}: " in said and words in said


def test_classes_that_no_pixel_has_have_scores_that_come_back(run):
    """NaN is no JSON."""
    change_json(run / "scores.json", "fcn8s", "iu", 2, value=None)
    scores = training.read_scores(run)["fcn8s"]
    assert np.isnan(scores.iu).tolist() == [False, False, True, False]
    run_folder.write_scores(run, training.read_scores(run))
    assert "NaN" not in (run / "scores.json").read_text()


@pytest.mark.parametrize(("change", "words"), [
    (lambda c: c.pop("history"), "history is missing"),
    (lambda c: c.update(run=c["run"] + 1), "it does not belong to the same run as config.json"),
    (lambda c: c.update(run=np.zeros(2)), "it does not belong to the same run as config.json"),
    (lambda c: c.pop("finished"), "finished is missing"),
    (lambda c: c.update(more=np.zeros(2)), "more is unexpected"),
    (lambda c: c.update(finished=np.array(99)), "finished: expected a whole number from 0 to 4"),
    (lambda c: c.update(finished=np.array(-1)), "finished: expected a whole number from 0 to 4"),
    (lambda c: c.update(finished=np.array(2.0)), "finished: expected a whole number"),
    (lambda c: c.update(finished=np.array([2])), "finished: expected a whole number"),
    (lambda c: c.update(step=np.array(4)), "step: expected a whole number from 0 to 3, got 4"),
    (lambda c: c.update(step=np.array(0)), "step: expected weights and velocities for step 0"),
    (lambda c: c.update(step=np.array(2)), "history: expected float64 of shape (20, 4)"),
    (lambda c: c.update(history=c["history"][:-1]), "history: expected float64 of shape (21, 4)"),
    (lambda c: c.update(history=c["history"] * np.nan), "history: expected finite numbers for"),
    (lambda c: c["history"].__setitem__((3, 1), 9), "classifier, step 4, in row 3, got [0.0, 9.0,"),
    (lambda c: c.pop("velocity.3"), "velocity.3 is missing"),
    (lambda c: c.update({"velocity.3": np.zeros(2, np.float32)}), "velocity: expected"),
    (lambda c: c.pop("weight.fc6.bias"), "missing fc6.bias"),
    (lambda c: c.update({"weight.fc6.bias": np.zeros(3)}), "expected fc6.bias of shape (128,)"),
    (lambda c: c["weight.fc6.bias"].__setitem__(0, np.nan), "fc6.bias holds NaN or infinity"),
    (lambda c: c["velocity.0"].__setitem__(0, np.inf), "velocity.0 holds NaN or infinity"),
])
def test_a_checkpoint_that_was_changed(stopped, tmp_path, capsys, change, words):
    out = tmp_path / "run"
    out.mkdir()
    for name, data in files_of(stopped).items():
        (out / name).write_bytes(data)
    arrays = weights.load(out / "checkpoint.npz")
    change(arrays)
    weights.save(out / "checkpoint.npz", arrays)
    said = failed(capsys, "train", "--resume", "--out", out)
    assert f"{out / 'checkpoint.npz'}: " in said and words in said


@pytest.mark.parametrize(("line", "words"), [
    ("stage,step,loss", "expected the first line stage,step,learning_rate,loss"),
    ("fcn8s,1,0.1", "line 2: expected stage,step,learning_rate,loss, got"),
    ("fcn8s,one,0.1,0.5", "line 2: expected"), ("fcn8s,0,0.1,0.5", "line 2: expected"),
    ("fcn4s,1,0.1,0.5", "line 2: expected"), ("fcn8s,1,0.1,nan", "line 2: expected"),
    ('"fcn8s,1,0.1,0.5', "line 2: "), ("fcn8s,1,0.1,0.5,9", "line 2: expected"),
])
def test_a_history_that_was_changed(run, line, words):
    rows = (run / "history.csv").read_text().splitlines(keepends=True)
    rows[0 if line.startswith("stage") else 1] = line + "\n"
    (run / "history.csv").write_text("".join(rows[: 2 if '"' in line else None]))
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        training.read_history(run)
    assert str(caught.value).startswith(f"{run / 'history.csv'}: ")


def test_a_history_has_a_row_for_each_step(finished):
    with open(finished / "history.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == sum(stage.steps for stage in QUICK.stages)


@pytest.mark.parametrize("name", ["config.json", "scores.json", "fcn8s.npz"])
def test_a_file_that_is_none_is_refused_without_waiting(run, capsys, name):
    (run / name).unlink()
    os.mkfifo(run / name)
    said = failed(capsys, "evaluate" if name == "fcn8s.npz" else "train", *(
        [run] if name == "fcn8s.npz" else ["--resume", "--out", run]
    ))
    assert name in said and "expected a file, got a named pipe" in said


# ---------------------------------------------------------------- files of other runs


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A run with another seed."""
    out = tmp_path_factory.mktemp("other") / "run"
    train(out, dataclasses.replace(QUICK, seed=7))
    return out


def copied(folder, out):
    out.mkdir()
    for name, data in files_of(folder).items():
        (out / name).write_bytes(data)
    return out


def test_scores_of_another_run_do_not_end_this_one(finished, stopped, other, tmp_path):
    out = copied(stopped, tmp_path / "run")
    (out / "scores.json").write_bytes((other / "scores.json").read_bytes())
    expect_the_same(finished, out)


def test_weights_of_another_run_are_refused(stopped, other, tmp_path, capsys):
    out = copied(stopped, tmp_path / "run")
    arrays = weights.load(out / "checkpoint.npz")
    rows = arrays["history"][arrays["history"][:, 0] < 2]
    kept = {"run": arrays["run"], "finished": np.array(2), "history": rows, "step": np.array(0)}
    weights.save(out / "checkpoint.npz", kept)
    (out / "fcn32s.npz").write_bytes((other / "fcn32s.npz").read_bytes())
    words = failed(capsys, "train", "--resume", "--out", out)
    assert f"{out / 'fcn32s.npz'}: it does not belong to the same run as config.json" in words


def test_a_lock_that_is_none_stays(tmp_path, capsys):
    (tmp_path / "run.lock").write_text("precious")
    words = failed(capsys, "train", "--quick", "--out", tmp_path)
    assert "expected no file" in words and "run.lock: it does not belong to a run" in words
    assert files_of(tmp_path) == {"run.lock": b"precious"}


def test_a_finished_run_without_a_history_is_drawn_as_far_as_it_goes(run, capsys):
    (run / "history.csv").unlink()
    assert main(["train", "--resume", "--out", str(run)]) == 0
    out, errors = capsys.readouterr()
    assert "mean IU" in out and "curves.png is not drawn: " in errors
    assert (run / "predictions.png").exists() and not (run / "curves.png").exists()
