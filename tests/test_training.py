"""Training: repeatable to the bit, resumable after any kill, and clear when it cannot go on."""

import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from fcn_numpy import training, weights
from fcn_numpy.models import TINY, Classifier, FCN8s
from fcn_numpy.optim import SGD
from fcn_numpy.training import (
    SEGMENTERS,
    STAGES,
    Settings,
    TrainingDiverged,
    TrainingStopped,
    loop,
    train,
)

RESULTS = (
    "history.csv", "classifier.npz", "fcn32s.npz", "fcn16s.npz", "fcn8s.npz", "scores.json",
)
QUICK = Settings().quick().with_stages(*SEGMENTERS, dropout=0.5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing has disturbed, and the scores that it returned."""
    out = tmp_path_factory.mktemp("finished")
    return out, train(out, QUICK)


def assert_same_results(a, b):
    for name in RESULTS:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def test_a_run_leaves_what_it_says(finished):
    out, scores = finished
    assert sorted(p.name for p in out.iterdir()) == sorted([*RESULTS, "config.json", "classes.csv"])
    assert list(scores) == ["fcn32s", "fcn16s", "fcn8s"]
    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == [
        stage.name for stage in QUICK.stages for _ in range(stage.steps)
    ]
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    config = json.loads((out / "config.json").read_text())
    assert training.read_settings(out) == QUICK
    assert config["settings"]["seed"] == 0
    for name in SEGMENTERS:
        assert scores[name].iu.shape == (4,)
    FCN8s(4, TINY).load_state_dict(weights.load(out / "fcn8s.npz"))


def test_each_network_starts_from_the_one_before(tmp_path):
    """With learning rates of zero nothing moves, so shared weights stay those of the start."""
    train(tmp_path, QUICK.with_stages(lr=0.0, steps=1))
    states = [weights.load(tmp_path / f"{name}.npz") for name in STAGES]
    np.testing.assert_array_equal(states[1]["fc6.weight"].reshape(128, -1), states[0]["fc6.weight"])
    for state in states[1:]:
        np.testing.assert_array_equal(state["conv3_2.weight"], states[0]["conv3_2.weight"])
        np.testing.assert_array_equal(state["score_fr.weight"], 0)


def test_upsampling_stays_bilinear(finished):
    out, _ = finished
    trained = weights.load(out / "fcn8s.npz")
    fresh = FCN8s(4, TINY).state_dict()
    for name in ("upscore2.weight", "upscore_pool4.weight", "upscore8.weight"):
        np.testing.assert_array_equal(trained[name], fresh[name])
    assert not np.array_equal(trained["score_pool3.weight"], fresh["score_pool3.weight"])


def test_the_same_seed_gives_the_same_bits(finished, tmp_path):
    train(tmp_path, QUICK)
    assert_same_results(finished[0], tmp_path)


def test_another_seed_gives_another_run(finished, tmp_path):
    settings = dataclasses.replace(QUICK, seed=1).with_stages(steps=1)
    train(tmp_path, settings)
    assert weights.load(tmp_path / "classifier.npz")["fc6.weight"][0, 0] != (
        weights.load(finished[0] / "classifier.npz")["fc6.weight"][0, 0]
    )


@pytest.mark.parametrize("stop_after", [5, 12, 21])
def test_stopped_and_resumed_is_the_same(finished, tmp_path, stop_after):
    steps = []
    with pytest.raises(TrainingStopped, match="stopped in .* after step"):
        train(
            tmp_path, QUICK, report=steps.append, should_stop=lambda: len(steps) >= stop_after
        )
    assert len(steps) == stop_after
    train(tmp_path, resume=True)
    assert_same_results(finished[0], tmp_path)


class Killed(BaseException):
    """Stands for the end of the process, wherever it is."""


@pytest.mark.slow
@pytest.mark.parametrize("kill_after", [2, 6, 27])
def test_an_exception_between_checkpoints_loses_nothing(finished, tmp_path, kill_after):
    """Unlike a stop, this saves nothing: the run goes on from the last checkpoint."""
    steps = []

    def report(progress):
        steps.append(progress)
        if len(steps) == kill_after:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path, QUICK, report=report)
    train(tmp_path, resume=True)
    assert_same_results(finished[0], tmp_path)


def test_kill_minus_9_and_resume(finished, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = tmp_path / "killed"
    program = (
        "import sys; from fcn_numpy.training import SEGMENTERS, Settings, train;"
        "train(sys.argv[1], Settings().quick().with_stages(*SEGMENTERS, dropout=0.5))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(killed)], env=environment)
    deadline = time.monotonic() + 200
    # In the middle of a later stage, so that finished stages and a checkpoint are there.
    while not (killed / "fcn32s.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    process.wait(timeout=60)
    assert not (killed / "scores.json").exists()
    train(killed, resume=True)
    assert_same_results(finished[0], killed)


def test_a_finished_run_is_resumed_at_no_cost(finished):
    out, scores = finished
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    again = train(out, resume=True)
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before
    assert again["fcn8s"].mean_iu == scores["fcn8s"].mean_iu


def test_a_run_is_not_overwritten(finished):
    with pytest.raises(ValueError, match="holds a run already"):
        train(finished[0], QUICK)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        train(tmp_path / "nowhere", resume=True)


def test_damaged_config(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json"):
        train(tmp_path, resume=True)


def test_divergence_says_what_to_try(tmp_path):
    settings = QUICK.with_stages("classifier", lr=1e30)
    with pytest.raises(TrainingDiverged, match="loss became .* in classifier.*lower learning"):
        train(tmp_path, settings)


def test_progress_counts_up_to_the_whole(tmp_path):
    reports = []
    settings = QUICK.with_stages(steps=1).with_stages("classifier", "fcn8s", steps=2)
    train(tmp_path, settings, report=reports.append)
    work = [r.work_done for r in reports]
    assert work == sorted(work)
    assert work[0] == reports[0].step_work
    assert work[-1] == reports[-1].work
    assert [(r.stage, r.step, r.steps) for r in reports] == [
        ("classifier", 1, 2), ("classifier", 2, 2), ("fcn32s", 1, 1), ("fcn16s", 1, 1),
        ("fcn8s", 1, 2), ("fcn8s", 2, 2),
    ]


def test_a_heavy_run_is_repeatable_and_its_losses_are_means(tmp_path):
    settings = QUICK.heavy_learning().with_stages(*SEGMENTERS, loss_sampling=0.5)
    assert [stage.steps for stage in settings.stages] == [12, 12, 8, 12]
    train(tmp_path / "a", settings)
    assert training.read_settings(tmp_path / "a") == settings
    rows = training.read_history(tmp_path / "a")
    # Of 4 classes at first, whatever the number of pixels.
    assert all(0.05 < loss < 4 for _, _, loss in rows)
    steps = []
    with pytest.raises(TrainingStopped):
        train(
            tmp_path / "b", settings, report=steps.append, should_stop=lambda: len(steps) >= 17
        )
    train(tmp_path / "b", resume=True)
    assert_same_results(tmp_path / "a", tmp_path / "b")


def test_each_stage_has_its_momentum_and_its_clipping(tmp_path, monkeypatch):
    made = []

    class Noting(SGD):
        def __init__(self, *arguments):
            made.append(arguments[2:])
            super().__init__(*arguments)

    monkeypatch.setattr(loop, "SGD", Noting)
    train(tmp_path, QUICK.heavy_learning().with_stages(steps=1))
    assert made == [(0.9, 5e-4, 0.5)] + [(0.99, 5e-4, None)] * 3


def test_evaluate_needs_all_three(finished, tmp_path):
    (tmp_path / "config.json").write_bytes((finished[0] / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"no fcn32s\.npz"):
        training.evaluate(tmp_path)


def test_the_classifier_is_the_backbone_of_the_run(finished):
    state = weights.load(finished[0] / "classifier.npz")
    assert state.keys() == Classifier(4, TINY).state_dict().keys()
    assert pathlib.Path(finished[0]).exists()
