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
from fcn_numpy.data import normalise
from fcn_numpy.models import TINY, Classifier, FCN8s
from fcn_numpy.nn import Dropout2d, LossSampling, Parameter, SoftmaxCrossEntropy
from fcn_numpy.optim import SGD
from fcn_numpy.training import (
    SEGMENTERS,
    STAGES,
    Settings,
    TrainingDiverged,
    TrainingStopped,
    effective_learning_rate,
    loop,
    train,
)
from fcn_numpy.training.learner import SHARES, Together, gradient_divisor, make_loss, make_model
from fcn_numpy.training.pictures import ToyPictures
from fcn_numpy.workers import Workers

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
    assert sorted(p.name for p in out.iterdir()) == sorted([*RESULTS, "config.json", "classes.csv"])
    assert list(scores) == ["fcn32s", "fcn16s", "fcn8s"]
    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == [
        name for name, steps in zip(STAGES, QUICK.steps) for _ in range(steps)
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
    train(tmp_path, dataclasses.replace(QUICK, lr=(0.0,) * 4, steps=(1, 1, 1, 1)))
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
    settings = dataclasses.replace(QUICK, seed=1, steps=(2, 1, 1, 1))
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
        "import dataclasses, sys; from fcn_numpy.training import Settings, train;"
        "train(sys.argv[1], dataclasses.replace(Settings(), dropout=0.5).quick())"
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


def gradient_in_one_piece(settings, model, step):
    """Loss and gradients of a step, from a sum over the shares' pictures, one after the other."""
    losses, pixels, sizes = 0.0, 0, []
    model.zero_grad()
    for number in range(SHARES):
        rng = np.random.default_rng((settings.seed, 3, step, number))
        size = sum((i + step) % SHARES == number for i in range(settings.batch[3]))
        sizes.append(size)
        if not size:
            continue
        x, y = ToyPictures(settings, number, SHARES).batch(size, rng, model)
        for module in model.modules():
            if isinstance(module, Dropout2d):
                module.rng = rng
        loss_of = SoftmaxCrossEntropy(
            reduction="sum", sampling=LossSampling(settings.loss_sampling, rng)
        )
        losses += loss_of(model(normalise(x)), y)
        pixels += np.count_nonzero(y != 255)
        model.backward(loss_of.backward())
    assert sum(sizes) == settings.batch[3]
    divisor = 1 if settings.reduction == "sum" else pixels
    total = {name: p.grad / divisor for name, p in model.named_parameters()}
    return losses / pixels, total, sizes


@pytest.mark.parametrize(("batch", "reduction", "loss_sampling"), [
    (4, "mean", 1.0), (4, "sum", 1.0), (4, "mean", 0.5), (1, "mean", 1.0), (1, "sum", 0.5),
    (3, "mean", 1.0), (3, "sum", 1.0),
])
def test_the_gradient_of_the_shares_is_that_of_the_batch(batch, reduction, loss_sampling):
    """Two workers give the mean or the sum over all pictures, one of them may have none."""
    settings = dataclasses.replace(
        QUICK, batch=(4, batch, batch, batch), dropout=0.0, reduction=reduction,
        loss_sampling=loss_sampling,
    )
    model = make_model("fcn8s", settings, 4, np.random.default_rng(1))
    dealt = []
    with Together(settings) as learners:
        learners.begin(3, model)
        for step in (4, 5):
            loss = learners.learn(step)
            grads = {name: p.grad.copy() for name, p in model.named_parameters()}
            expected, total, sizes = gradient_in_one_piece(settings, model, step)
            assert loss == pytest.approx(expected, rel=1e-5)
            for name, grad in total.items():
                atol = 1e-4 * np.abs(grad).max()
                np.testing.assert_allclose(grads[name], grad, rtol=0, atol=atol, err_msg=name)
            dealt.append(sizes)
    # The odd picture goes to each worker in turn: each has pictures that the other has not.
    assert dealt == [[-(-batch // 2), batch // 2], [batch // 2, -(-batch // 2)]]


def test_the_classifier_learns_from_the_mean_over_all_pictures():
    settings = dataclasses.replace(
        Settings(), reduction="sum", loss_sampling=0.5, class_weights=(1.0, 2.0, 3.0, 4.0)
    )
    assert gradient_divisor(0, settings, 24.0) == 24.0
    plain = make_loss("classifier", settings)
    assert plain.sampling is None and plain.weight is None
    for index, name in enumerate(SEGMENTERS, 1):
        assert gradient_divisor(index, settings, 24.0) == 1.0
        assert make_loss(name, settings).sampling.p == 0.5


@pytest.mark.parametrize(("momentum", "batch", "reduction", "pixels"), [
    (0.9, 20, "mean", 12), (0.99, 1, "sum", 12), (0.0, 3, "mean", 1), (0.5, 4, "sum", 6),
])
def test_effective_learning_rate_is_what_a_picture_moves(momentum, batch, reduction, pixels):
    """One picture with a gradient among many without: how far SGD moves, in the end."""
    scores = np.zeros((batch, 2, pixels))
    loss_of = SoftmaxCrossEntropy(reduction=reduction)
    loss_of(scores, np.zeros((batch, pixels), int))
    of_picture = loss_of.backward()[0].sum(axis=1)  # as if the scores were a bias
    w = Parameter(np.zeros(2))
    optimiser = SGD([w], 0.03, momentum)
    w.grad = of_picture
    optimiser.step()
    w.grad = np.zeros(2)
    for _ in range(4000):
        optimiser.step()
    rate = effective_learning_rate(0.03, momentum, batch, reduction, pixels)
    # The gradient of the mean over the picture's own pixels is softmax - one-hot.
    np.testing.assert_allclose(w.data, -rate * np.array([-0.5, 0.5]), rtol=1e-12)


def test_heavy_learning_is_worth_batch_20():
    """The relation of the docstring: 200 * pixels times smaller."""
    light = effective_learning_rate(1.0, 0.9, 20)
    assert effective_learning_rate(1 / (200 * 50), 0.99, 1, "sum", 50) == pytest.approx(light)


@pytest.mark.parametrize(("arguments", "words"), [
    ((1.0, 1.0, 1), "momentum of at least 0 and below 1, got 1.0"), ((1.0, 0.9, 0), "batch"),
    ((1.0, 0.9, 1, "max"), "reduction 'mean' or 'sum', got 'max'"),
    ((1.0, 0.9, 1, "sum", 0), "pixels"),
])
def test_effective_learning_rate_of_nonsense(arguments, words):
    with pytest.raises(ValueError, match=words):
        effective_learning_rate(*arguments)


@pytest.mark.parametrize("regime", [
    {"batch": 1, "momentum": 0.99, "reduction": "sum"}, {"batch": 20}, {"momentum": 0.0},
    {"reduction": "sum"}, {},
])
def test_a_regime_keeps_what_a_picture_counts(regime):
    settings = Settings()
    other = settings.regime(**regime)
    reduction = regime.get("reduction", "mean")
    assert other.reduction == reduction
    for field in ("steps", "batch", "lr"):
        assert getattr(other, field)[0] == getattr(settings, field)[0]
    assert (other.momentum[0], other.clip_gradients[0]) == (0.9, 0.5)
    for i in range(1, 4):
        assert other.batch[i] == regime.get("batch", 8)
        assert other.momentum[i] == regime.get("momentum", 0.9)
        assert other.clip_gradients[i] == (None if reduction == "sum" else 0.5)
        assert abs(other.steps[i] * other.batch[i] - settings.steps[i] * 8) <= other.batch[i] / 2
        before, after = (
            effective_learning_rate(s.lr[i], m, s.batch[i], s.reduction, 128**2)
            for s, m in ((settings, 0.9), (other, other.momentum[i]))
        )
        assert after == pytest.approx(before, rel=1e-12)
    # And back again.
    back = other.regime(batch=8, momentum=0.9, reduction="mean")
    assert back.lr == pytest.approx(settings.lr)


def test_heavy_is_the_paper_s():
    heavy = Settings().heavy()
    assert heavy == Settings().regime(batch=1, momentum=0.99, reduction="sum")
    # 0.2 / (8 * 0.1) a picture, as before.
    assert heavy.lr[1:] == pytest.approx([0.25 * 0.01 / 128**2] * 3)


def test_a_heavy_run_is_repeatable_and_its_losses_are_means(tmp_path):
    settings = dataclasses.replace(QUICK.heavy(), loss_sampling=0.5)
    assert settings.steps == (12, 12, 8, 12)
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
    train(tmp_path, dataclasses.replace(QUICK.heavy(), steps=(1, 1, 1, 1)))
    assert made == [(0.9, 5e-4, 0.5)] + [(0.99, 5e-4, None)] * 3


def test_settings_of_before_the_regimes_are_read(finished, tmp_path):
    config = json.loads((finished[0] / "config.json").read_text())
    for name in ("reduction", "loss_sampling"):
        del config["settings"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert training.read_settings(tmp_path) == QUICK


@pytest.mark.parametrize(("values", "words"), [
    ({"reduction": "max"}, "expected reduction 'mean' or 'sum', got 'max'"),
    ({"loss_sampling": 0.0}, "expected p above 0"), ({"loss_sampling": 1.5}, "expected p above 0"),
])
def test_settings_that_cannot_be(values, words, tmp_path, finished):
    with pytest.raises(ValueError, match=words):
        Settings(**values)
    config = json.loads((finished[0] / "config.json").read_text())
    config["settings"].update(values)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        training.read_settings(tmp_path)


def test_a_worker_that_ends_is_an_error():
    with Workers([Broken()]) as workers, pytest.raises(RuntimeError, match="worker process ended"):
        workers.do(None)


class Broken:
    """A share whose worker ends as soon as it starts."""

    def start(self):
        os._exit(3)


def test_mirroring_keeps_pictures_and_labels_together():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    labels = images[:, 0].astype(np.uint8)
    pictures = ToyPictures(Settings(), 0, 1)
    pictures.whole = images, labels
    x, y = pictures.batch(64, np.random.default_rng(0), None)
    np.testing.assert_array_equal(x[:, 0].astype(np.uint8), y)
    assert 10 < (x[:, 0, 0, 0] > x[:, 0, 0, 1]).sum() < 54
    np.testing.assert_array_equal(images, np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4))


def test_the_learning_rate_rises_and_falls():
    settings = dataclasses.replace(Settings(), warmup=4, steps=(10,) * 4, lr=(1.0,) * 4)
    rates = [loop._learning_rate(settings, 0, step) for step in range(10)]
    assert rates[0] == 0.25
    assert max(rates) == rates[3] == pytest.approx(0.7**0.9)
    assert rates[9] == pytest.approx(0.1**0.9)


def test_held_out_pictures_are_never_trained_on():
    settings = dataclasses.replace(Settings(), n_train=8)
    held_out = [x for x, _ in ToyPictures(settings, 0, 1).held_out(4, 0)]
    assert len(held_out) == 4
    for share in range(SHARES):
        trained, _ = ToyPictures(settings, share, SHARES).whole
        for picture in held_out:
            assert not (trained == picture).all(axis=(1, 2, 3)).any()


def test_evaluate_needs_all_three(finished, tmp_path):
    (tmp_path / "config.json").write_bytes((finished[0] / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"no fcn32s\.npz"):
        training.evaluate(tmp_path)


def test_the_classifier_is_the_backbone_of_the_run(finished):
    state = weights.load(finished[0] / "classifier.npz")
    assert state.keys() == Classifier(4, TINY).state_dict().keys()
    assert pathlib.Path(finished[0]).exists()
