"""Training: repeatable to the bit, resumable after any kill, and clear when it cannot go on."""

import csv
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fcn_numpy import training, weights
from fcn_numpy.models import TINY, Classifier, FCN8s
from fcn_numpy.training import Settings, TrainingDiverged, TrainingStopped, train

RESULTS = (
    "history.csv", "classifier.npz", "fcn32s.npz", "fcn16s.npz", "fcn8s.npz", "scores.json",
)
QUICK = dataclasses.replace(Settings(), dropout=0.5).quick()


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
    assert sorted(p.name for p in out.iterdir()) == sorted([*RESULTS, "config.json"])
    assert list(scores) == ["fcn32s", "fcn16s", "fcn8s"]
    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == [
        name for name, steps in zip(training.STAGES, QUICK.steps) for _ in range(steps)
    ]
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    config = json.loads((out / "config.json").read_text())
    assert training.read_settings(out) == QUICK
    assert config["settings"]["seed"] == 0
    for name in training.SEGMENTERS:
        assert scores[name].iu.shape == (4,)
    FCN8s(4, TINY).load_state_dict(weights.load(out / "fcn8s.npz"))


def test_each_network_starts_from_the_one_before(tmp_path):
    """With learning rates of zero nothing moves, so shared weights stay those of the start."""
    train(tmp_path, dataclasses.replace(QUICK, lr=(0.0,) * 4, steps=(1, 1, 1, 1)))
    states = [weights.load(tmp_path / f"{name}.npz") for name in training.STAGES]
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
    settings = dataclasses.replace(QUICK, seed=1, steps=(2, 1, 1, 1))
    train(tmp_path, settings)
    assert weights.load(tmp_path / "classifier.npz")["fc6.weight"][0, 0] != (
        weights.load(finished[0] / "classifier.npz")["fc6.weight"][0, 0]
    )


@pytest.mark.parametrize("stop_after", [1, 5, 12, 13, 21])
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


@pytest.mark.parametrize("kill_after", [2, 6, 16, 27])
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


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_kill_minus_9_and_resume(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "fcn_numpy", "train", "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, str(whole), "--quick"], check=True, env=environment, timeout=300)
    process = subprocess.Popen([*command, str(killed), "--quick"], env=environment)
    deadline = time.monotonic() + 200
    # In the middle of a later stage, so that finished stages and a checkpoint are there.
    while not (killed / "fcn32s.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (killed / "scores.json").exists()
    subprocess.run([*command, str(killed), "--resume"], check=True, env=environment, timeout=300)
    assert_same_results(whole, killed)


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
    settings = dataclasses.replace(QUICK, lr=(1e30, 0.1, 0.1, 0.1))
    with pytest.raises(TrainingDiverged, match="loss became .* in classifier.*lower learning"):
        train(tmp_path, settings)


def test_progress_counts_up_to_the_whole(tmp_path):
    reports = []
    train(tmp_path, dataclasses.replace(QUICK, steps=(2, 1, 1, 2)), report=reports.append)
    work = [r.work_done for r in reports]
    assert work == sorted(work)
    assert work[0] == reports[0].step_work
    assert work[-1] == reports[-1].work
    assert [(r.stage, r.step, r.steps) for r in reports] == [
        ("classifier", 1, 2), ("classifier", 2, 2), ("fcn32s", 1, 1), ("fcn16s", 1, 1),
        ("fcn8s", 1, 2), ("fcn8s", 2, 2),
    ]


def test_the_gradient_of_the_shares_is_that_of_the_batch(tmp_path):
    """Two workers with two pictures each give the mean gradient of all four."""
    from fcn_numpy.data import normalise
    from fcn_numpy.nn import Dropout2d, SoftmaxCrossEntropy
    from fcn_numpy.workers import Workers

    settings = dataclasses.replace(QUICK, batch=(4, 4, 4, 4), rim=False, dropout=0.0)
    model = training._model("fcn8s", settings, np.random.default_rng(1))
    shares = [training._Share(settings, number) for number in range(training.SHARES)]
    with Workers(shares) as workers:
        workers.do(("begin", 3))
        loss = training._compute_gradients(model, workers, step=5)
    grads = {name: p.grad.copy() for name, p in model.named_parameters()}
    batches = []
    for share in shares:
        pictures = training._training_pictures(settings, 3, share.number)
        rng = np.random.default_rng((settings.seed, 3, 5, share.number))
        batches.append(training._batch(*pictures, 2, rng))
    x, y = (np.concatenate(parts) for parts in zip(*batches))
    assert all(m.p == 0 for m in model.modules() if isinstance(m, Dropout2d))
    model.zero_grad()
    loss_of = SoftmaxCrossEntropy()
    assert loss_of(model(normalise(x)), y) == pytest.approx(loss, rel=1e-5)
    model.backward(loss_of.backward(), need_input_grad=False)
    for name, p in model.named_parameters():
        scale = np.abs(p.grad).max()
        np.testing.assert_allclose(grads[name], p.grad, rtol=0, atol=1e-4 * scale, err_msg=name)


def test_a_worker_that_ends_is_an_error():
    from fcn_numpy.workers import Workers

    with Workers([Broken()]) as workers, pytest.raises(RuntimeError, match="worker process ended"):
        workers.do(None)


class Broken:
    """A share whose worker ends as soon as it starts."""

    def start(self):
        os._exit(3)


def test_mirroring_keeps_pictures_and_labels_together():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    labels = images[:, 0].astype(np.uint8)
    x, y = training._batch(images, labels, 64, np.random.default_rng(0))
    np.testing.assert_array_equal(x[:, 0].astype(np.uint8), y)
    assert 10 < (x[:, 0, 0, 0] > x[:, 0, 0, 1]).sum() < 54
    np.testing.assert_array_equal(images, np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4))


def test_the_learning_rate_rises_and_falls():
    settings = dataclasses.replace(Settings(), warmup=4, steps=(10,) * 4, lr=(1.0,) * 4)
    rates = [training._learning_rate(settings, 0, step) for step in range(10)]
    assert rates[0] == 0.25
    assert max(rates) == rates[3] == pytest.approx(0.7**0.9)
    assert rates[9] == pytest.approx(0.1**0.9)


def test_held_out_pictures_are_never_trained_on():
    from fcn_numpy.data import toy_shapes

    held_out, _ = toy_shapes(4, 128, training.TEST_SEED)
    for share in range(training.SHARES):
        settings = dataclasses.replace(Settings(), n_train=8)
        trained, _ = training._training_pictures(settings, 1, share)
        for picture in held_out:
            assert not (trained == picture).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("size", [(1, 1), (20, 70), (64, 49), (100, 131)])
def test_predict_any_size(size):
    model = FCN8s(4, TINY, rng=np.random.default_rng(0))
    image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    labels = training.predict_any_size(model, image)
    assert labels.shape == size
    assert labels.dtype == np.uint8


def test_predict_is_the_best_score():
    rng = np.random.default_rng(0)
    model = FCN8s(4, TINY, rng=rng).eval()
    w = rng.standard_normal((4, 32, 1, 1))
    model.score_pool3.weight.data[...] = w - w.mean(axis=1, keepdims=True)
    images = rng.random((3, 3, 64, 64), dtype=np.float32)
    means = images.mean(axis=(2, 3), keepdims=True)
    expected = model((images - means) * np.float32(4)).argmax(axis=1)
    np.testing.assert_array_equal(training.predict(model, images, batch=2), expected)
    assert len(np.unique(expected)) > 1


def test_evaluate_needs_all_three(finished, tmp_path):
    (tmp_path / "config.json").write_bytes((finished[0] / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"no fcn32s\.npz"):
        training.evaluate(tmp_path)


def test_the_classifier_is_the_backbone_of_the_run(finished):
    state = weights.load(finished[0] / "classifier.npz")
    assert state.keys() == Classifier(4, TINY).state_dict().keys()
    assert pathlib.Path(finished[0]).exists()
