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
    Stage,
    TrainingDiverged,
    TrainingStopped,
    balanced_class_weights,
    effective_learning_rate,
    loop,
    train,
)
from fcn_numpy.training.gradients import PARTS, ParallelGradients, gradient_divisor
from fcn_numpy.training.images import ToyImages
from fcn_numpy.training.networks import make_loss, make_model
from fcn_numpy.training.part import Part
from fcn_numpy.training.workers import WorkerPool

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


def gradient_in_one_piece(settings, model, step):
    """Loss and gradients of an FCN-8s step, from a sum over the images of the parts in turn."""
    stage = settings.stage("fcn8s")
    losses, pixels, sizes = 0.0, 0, []
    model.zero_grad()
    for number in range(PARTS):
        rng = np.random.default_rng((settings.seed, 3, step, number))
        size = sum((i + step) % PARTS == number for i in range(stage.batch))
        sizes.append(size)
        if not size:
            continue
        x, y = ToyImages(settings, Part(number, PARTS)).batch(size, rng, model)
        for module in model.modules():
            if isinstance(module, Dropout2d):
                module.rng = rng
        loss_of = SoftmaxCrossEntropy(
            reduction="sum", sampling=LossSampling(stage.loss_sampling, rng)
        )
        losses += loss_of(model(normalise(x)), y)
        pixels += np.count_nonzero(y != 255)
        model.backward(loss_of.backward(), need_input_grad=False)
    assert sum(sizes) == stage.batch
    divisor = 1 if stage.reduction == "sum" else pixels
    total = {name: p.grad / divisor for name, p in model.named_parameters()}
    return losses / pixels, total, sizes


@pytest.mark.parametrize(("batch", "reduction", "loss_sampling"), [
    (4, "mean", 1.0), (4, "sum", 1.0), (4, "mean", 0.5), (1, "mean", 1.0), (1, "sum", 0.5),
    (3, "mean", 1.0), (3, "sum", 1.0),
])
def test_the_gradient_of_the_parts_is_that_of_the_batch(batch, reduction, loss_sampling):
    """Two workers give the mean or the sum over all images; one of them may have none."""
    settings = QUICK.with_stages(
        "fcn8s", batch=batch, dropout=0.0, reduction=reduction, loss_sampling=loss_sampling
    )
    stage = settings.stage("fcn8s")
    model = make_model(stage, TINY, 4, np.random.default_rng(1))
    dealt = []
    with ParallelGradients(settings) as gradients:
        gradients.begin(stage, model)
        for step in (4, 5):
            loss = gradients.compute(step)
            grads = {name: p.grad.copy() for name, p in model.named_parameters()}
            expected, total, sizes = gradient_in_one_piece(settings, model, step)
            assert loss == pytest.approx(expected, rel=1e-5)
            for name, grad in total.items():
                atol = 1e-4 * np.abs(grad).max()
                np.testing.assert_allclose(grads[name], grad, rtol=0, atol=atol, err_msg=name)
            dealt.append(sizes)
    # The odd image goes to each worker in turn: each has images that the other has not.
    assert dealt == [[-(-batch // 2), batch // 2], [batch // 2, -(-batch // 2)]]


def test_the_classifier_learns_from_the_mean_over_all_images():
    settings = Settings().heavy_learning().with_stages(
        *SEGMENTERS, loss_sampling=0.5, class_weights=(1.0, 2.0, 3.0, 4.0)
    )
    assert settings.stage("classifier") == Settings().stage("classifier")
    assert gradient_divisor(settings.stage("classifier"), 24.0) == 24.0
    plain = make_loss(settings.stage("classifier"))
    assert plain.sampling.p == 1 and plain.weight is None
    for name in SEGMENTERS:
        stage = settings.stage(name)
        assert gradient_divisor(stage, 24.0) == 1.0
        assert make_loss(stage).sampling.p == 0.5
        assert make_loss(stage).weight.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("momentum", "batch", "reduction", "pixels"), [
    (0.9, 20, "mean", 12), (0.99, 1, "sum", 12), (0.0, 3, "mean", 1), (0.5, 4, "sum", 6),
])
def test_effective_learning_rate_is_what_an_image_moves(momentum, batch, reduction, pixels):
    """One image with a gradient among many without: how far SGD moves in total."""
    scores = np.zeros((batch, 2, pixels))
    loss_of = SoftmaxCrossEntropy(reduction=reduction)
    loss_of(scores, np.zeros((batch, pixels), int))
    of_image = loss_of.backward()[0].sum(axis=1)  # as if the scores were a bias
    w = Parameter(np.zeros(2))
    optimizer = SGD([w], 0.03, momentum)
    w.grad = of_image
    optimizer.step()
    w.grad = np.zeros(2)
    for _ in range(4000):
        optimizer.step()
    rate = effective_learning_rate(0.03, momentum, batch, reduction, pixels)
    # The gradient of the mean over the image's own pixels is softmax - one-hot.
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


@pytest.mark.parametrize("changes", [
    {"batch": 1, "momentum": 0.99, "reduction": "sum"}, {"batch": 20}, {"momentum": 0.0},
    {"reduction": "sum"}, {},
])
def test_regrouped_images_keep_their_effect(changes):
    settings = Settings()
    other = settings.regrouped(**changes)
    reduction = changes.get("reduction", "mean")
    assert other.stage("classifier") == settings.stage("classifier")
    for name in SEGMENTERS:
        before, after = settings.stage(name), other.stage(name)
        assert after.reduction == reduction
        assert after.batch == changes.get("batch", 8)
        assert after.momentum == changes.get("momentum", 0.9)
        assert after.clip_gradients == (None if reduction == "sum" else 0.5)
        assert abs(after.steps * after.batch - before.steps * 8) <= after.batch / 2
        rates = [
            effective_learning_rate(s.lr, s.momentum, s.batch, s.reduction, 128**2)
            for s in (before, after)
        ]
        assert rates[1] == pytest.approx(rates[0], rel=1e-12)
    # And back again.
    back = other.regrouped(batch=8, momentum=0.9, reduction="mean")
    assert [s.lr for s in back.stages] == pytest.approx([s.lr for s in settings.stages])


def test_heavy_learning_is_the_paper_s():
    heavy = Settings().heavy_learning()
    assert heavy == Settings().regrouped(batch=1, momentum=0.99, reduction="sum")
    # 0.2 / (8 * 0.1) per image, as before.
    assert [heavy.stage(name).lr for name in SEGMENTERS] == (
        pytest.approx([0.25 * 0.01 / 128**2] * 3)
    )
    assert Settings().heavy_learning(pixels=100).stage("fcn8s").lr == pytest.approx(0.25 * 1e-4)


def test_whole_images_do_not_say_how_many_pixels_they_have():
    whole = dataclasses.replace(Settings(), size=None)
    with pytest.raises(ValueError, match="expected size to be an int of at least 1, got None"):
        whole.heavy_learning()
    assert whole.heavy_learning(pixels=50).stage("fcn8s").reduction == "sum"


def test_some_or_all_stages_are_changed():
    settings = Settings()
    changed = settings.with_stages("fcn8s", "fcn16s", lr=0.5)
    assert [stage.lr for stage in changed.stages] == [0.1, 0.2, 0.5, 0.5]
    assert [stage.steps for stage in settings.with_stages(steps=7).stages] == [7] * 4
    scaled = settings.scaled(steps=0.001, lr=3)
    assert [stage.steps for stage in scaled.stages] == [1] * 4
    assert [stage.lr for stage in scaled.stages] == pytest.approx([0.3, 0.6, 0.6, 0.6])
    assert [stage.steps for stage in settings.scaled(steps=0.5).stages] == [90, 100, 50, 130]
    with pytest.raises(ValueError, match=r"a stage of the run \(classifier, .*\), got 'fcn4s'"):
        settings.with_stages("fcn4s", lr=0.5)


def test_pretrained_weights_replace_the_classifier():
    settings = Settings().with_pretrained("w.npz", "torchvision")
    assert (settings.pretrained, settings.pretrained_on) == ("w.npz", "torchvision")
    assert settings.stages == Settings().stages[1:]
    with pytest.raises(ValueError, match="no stage classifier with pretrained weights"):
        Settings(pretrained="w.npz")
    with pytest.raises(ValueError, match="expected pretrained weights or a stage"):
        Settings(stages=Settings().stages[1:])


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


@pytest.mark.parametrize(("change", "words"), [
    (lambda s: s.update(steps=[180, 200, 100, 260]), "another layout, expected Settings with .*, "
     "got steps$"),
    (lambda s: s["stages"][1].update(nesterov=True), "another layout, expected Stage with .*, got "
     "nesterov$"),
    (lambda s: s["stages"].pop(2), "expected the stages classifier, .*, got classifier, fcn32s, "),
    (lambda s: s.pop("stages"), "expected the stages .* got none"),
    (lambda s: s["stages"][0].pop("name"), "name"),
    (lambda s: s.update(stages=3), r"config\.json"),
    (lambda s: s.update(stages=["fcn32s"]), r"config\.json"),
])
def test_a_config_of_another_layout(finished, tmp_path, change, words):
    config = json.loads((finished[0] / "config.json").read_text())
    change(config["settings"])
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words) as error:
        train(tmp_path, resume=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("values", "words"), [
    ({"reduction": "max"}, "expected reduction 'mean' or 'sum', got 'max'"),
    ({"loss_sampling": 0.0}, "expected loss_sampling above 0 .*, got 0.0"),
    ({"loss_sampling": 1.5}, "expected loss_sampling above 0 and of at most 1, got 1.5"),
    ({"steps": 0}, "expected steps to be an int of at least 1, got 0"),
    ({"batch": 1.5}, "expected batch to be an int of at least 1, got 1.5"),
    ({"warmup": -1}, "expected warmup to be an int of at least 0, got -1"),
    ({"lr": -0.1}, "expected lr of at least 0, got -0.1"),
    ({"lr": "fast"}, "expected lr of at least 0, got 'fast'"),
    ({"weight_decay": float("nan")}, "expected weight_decay of at least 0, got nan"),
    ({"momentum": 1}, "expected momentum of at least 0 and below 1, got 1"),
    ({"clip_gradients": 0}, "expected clip_gradients above 0 or None, got 0"),
    ({"dropout": 1.0}, "expected dropout of at least 0 and below 1, got 1.0"),
    ({"class_weights": (1.0, -1.0)}, "expected class_weights to be a tuple of numbers"),
    ({"class_weights": (0.0, 0.0)}, "expected a class weight above 0"),
    ({"name": "fcn4s"}, "expected a stage named classifier, .*, got 'fcn4s'"),
])
def test_stages_that_cannot_be(values, words, tmp_path, finished):
    with pytest.raises(ValueError, match=words):
        Stage(**{"name": "fcn8s", "steps": 1, "batch": 1, "lr": 0.1, **values})
    config = json.loads((finished[0] / "config.json").read_text())
    config["settings"]["stages"][3].update(values)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        training.read_settings(tmp_path)


@pytest.mark.parametrize(("values", "words"), [
    ({"seed": -1}, "expected seed to be an int of at least 0"),
    ({"n_train": 0}, "expected n_train to be an int of at least 1"),
    ({"size": 0}, "expected size to be an int of at least 1"),
    ({"backbone": "resnet"}, "expected backbone 'tiny' or 'vgg16', got 'resnet'"),
    ({"pretrained_on": "x"}, "expected pretrained_on 'caffe' or 'torchvision', got 'x'"),
])
def test_settings_that_cannot_be(values, words):
    with pytest.raises(ValueError, match=words):
        Settings(**values)


@pytest.mark.parametrize(("settings", "words"), [
    (dataclasses.replace(QUICK, size=None), "expected a size of the toy images, got None"),
    (QUICK.with_stages("fcn16s", class_weights=(1.0, 2.0)),
     "expected 4 class weights, one for each class, got 2 in fcn16s"),
])
def test_settings_that_do_not_suit_the_images(settings, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        train(tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_a_worker_that_ends_is_an_error():
    with WorkerPool([Broken()]) as pool, pytest.raises(RuntimeError, match="worker process ended"):
        pool.call(Broken.start)


class Broken:
    """A job whose worker ends as soon as it starts."""

    def start(self):
        os._exit(3)


def test_each_worker_answers_for_its_own_object():
    with WorkerPool([Counter(10), Counter(20)]) as pool:
        assert pool.call(Counter.add, 1) == [11, 21]
        assert pool.call(Counter.add, 2) == [13, 23]


class Counter:
    """A job that is also the object whose methods are called."""

    def __init__(self, value):
        self.value = value

    def start(self):
        return self

    def add(self, amount):
        print("printing does no harm")
        self.value += amount
        return self.value


def test_mirroring_keeps_images_and_labels_together():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    labels = images[:, 0].astype(np.uint8)
    toy_images = ToyImages(Settings(), Part())
    toy_images.whole = images, labels
    x, y = toy_images.batch(64, np.random.default_rng(0), None)
    np.testing.assert_array_equal(x[:, 0].astype(np.uint8), y)
    assert 10 < (x[:, 0, 0, 0] > x[:, 0, 0, 1]).sum() < 54
    np.testing.assert_array_equal(images, np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4))


def test_the_learning_rate_rises_and_falls():
    stage = Stage("fcn8s", steps=10, batch=1, lr=1.0, warmup=4)
    rates = [stage.learning_rate(step) for step in range(10)]
    assert rates[0] == 0.25
    assert max(rates) == rates[3] == pytest.approx(0.7**0.9)
    assert rates[9] == pytest.approx(0.1**0.9)


def test_held_out_images_are_never_trained_on():
    settings = dataclasses.replace(Settings(), n_train=8)
    held_out = [x for x, _ in ToyImages(settings, Part()).held_out(4, 0)]
    assert len(held_out) == 4
    for number in range(PARTS):
        trained, _ = ToyImages(settings, Part(number, PARTS)).whole
        for image in held_out:
            assert not (trained == image).all(axis=(1, 2, 3)).any()


def test_evaluate_needs_all_three(finished, tmp_path):
    (tmp_path / "config.json").write_bytes((finished[0] / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"no fcn32s\.npz"):
        training.evaluate(tmp_path)


def test_the_classifier_is_the_backbone_of_the_run(finished):
    state = weights.load(finished[0] / "classifier.npz")
    assert state.keys() == Classifier(4, TINY).state_dict().keys()
    assert pathlib.Path(finished[0]).exists()


def test_balanced_class_weights_give_each_class_the_same_weight():
    weights_of = balanced_class_weights([800, 100, 50, 0])
    assert weights_of == (0.125, 1.0, 2.0, 1.0)
    counts = np.array([3, 500, 70, 12])
    np.testing.assert_allclose(balanced_class_weights(counts) * counts, np.median(counts))
    Stage("fcn8s", 1, 1, 0.1, class_weights=weights_of)


@pytest.mark.parametrize(("counts", "words"), [
    ([1, -1], "expected a list of counts of at least 0"), ([[1, 2]], "expected a list of counts"),
    (["many"], "expected a list of counts"), ([0, 0], "expected a count above 0, got none"),
])
def test_class_weights_of_nonsense(counts, words):
    with pytest.raises(ValueError, match=words):
        balanced_class_weights(counts)
