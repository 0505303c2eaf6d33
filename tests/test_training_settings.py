"""Settings and stages: what they convert, and what they refuse."""

import dataclasses
import json

import numpy as np
import pytest

from fcn_numpy import training
from fcn_numpy.data import TOY_CLASSES
from fcn_numpy.nn import Parameter, SoftmaxCrossEntropy
from fcn_numpy.optim import SGD
from fcn_numpy.training import (
    SEGMENTERS,
    Settings,
    Stage,
    balanced_class_weights,
    effective_learning_rate,
    train,
)
from fcn_numpy.training.run_folder import write_config

QUICK = Settings().quick().with_stages(*SEGMENTERS, dropout=0.5)


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


def test_a_control_sees_as_many_images_as_all_fcns():
    settings = Settings().with_stages("fcn32s", steps=10, batch=8)
    settings = settings.with_stages("fcn16s", steps=7, batch=4)
    settings = settings.with_stages("fcn8s", steps=5, batch=2)
    control = settings.control()
    assert control.segmenters == ("fcn32s",)
    assert control.stage("classifier") == settings.stage("classifier")
    assert control.stage("fcn32s").steps == 15  # 80 + 28 + 10 images, eight a step
    same = dataclasses.replace(control, stages=settings.stages)
    assert same == settings
    pretrained = settings.with_pretrained("weights.npz").control()
    assert [stage.name for stage in pretrained.stages] == ["fcn32s"]


@pytest.mark.parametrize("names", [
    ["classifier"], [], ["fcn16s"], ["classifier", "fcn16s"], ["fcn32s", "classifier"],
    ["classifier", "fcn32s", "fcn8s"], ["classifier", "fcn32s", "fcn32s"],
])
def test_stages_in_another_order_or_with_gaps_are_refused(names):
    stages = tuple(Settings().stage(name) for name in names)
    with pytest.raises(ValueError, match="expected the stages classifier, fcn32s, fcn16s, fcn8s"):
        dataclasses.replace(Settings(), stages=stages)


@pytest.mark.parametrize(("arguments", "words"), [
    ((1.0, 1.0, 1), "momentum of at least 0 and below 1, got 1.0"), ((1.0, 0.9, 0), "batch"),
    ((1.0, 0.9, 1, "max"), "reduction 'mean' or 'sum', got 'max'"),
    ((1.0, 0.9, 1, "sum", 0), "pixels"),
])
def test_effective_learning_rate_of_nonsense(arguments, words):
    with pytest.raises(ValueError, match=words):
        effective_learning_rate(*arguments)


def test_the_learning_rate_rises_and_falls():
    stage = Stage("fcn8s", steps=10, batch=1, lr=1.0, warmup=4)
    rates = [stage.learning_rate(step) for step in range(10)]
    assert rates[0] == 0.25
    assert max(rates) == rates[3] == pytest.approx(0.7**0.9)
    assert rates[9] == pytest.approx(0.1**0.9)


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
        assert after.batch == changes.get("batch", before.batch)
        assert after.momentum == changes.get("momentum", 0.9)
        assert after.clip_gradients == (None if reduction == "sum" else 0.5)
        assert abs(after.steps * after.batch - before.steps * before.batch) <= after.batch / 2
        rates = [
            effective_learning_rate(s.lr, s.momentum, s.batch, s.reduction, 128**2)
            for s in (before, after)
        ]
        share = 0.5 if reduction == "sum" else 1  # no longer clipped
        assert rates[1] == pytest.approx(share * rates[0], rel=1e-12)
    # And back again.
    back = other.regrouped(batch=4, momentum=0.9, reduction="mean")
    share = 0.5 if changes.get("reduction") == "sum" else 1
    assert [s.lr for s in back.stages[1:]] == pytest.approx(share * np.array([0.1, 0.2, 0.2]))


def test_heavy_learning_is_the_paper_s():
    heavy = Settings().heavy_learning()
    assert heavy == Settings().regrouped(batch=1, momentum=0.99, reduction="sum")
    # Half of 0.2 / (8 * 0.1) and 0.2 / (4 * 0.1) per image, as gradients are not clipped.
    assert [heavy.stage(name).lr for name in SEGMENTERS] == (
        pytest.approx(np.array([0.125, 0.25, 0.25]) * 0.01 / 128**2)
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
    assert [stage.steps for stage in settings.scaled(steps=0.5).stages] == [100, 600, 100, 280]
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


@pytest.mark.parametrize(("change", "words"), [
    (lambda s: s.update(steps=[180, 200, 100, 260]), r"config\.json: settings: expected no field "
     "steps: the layout is different$"),
    (lambda s: s["stages"][1].update(nesterov=True), "settings: stage 1: expected no field "
     "nesterov: the layout is different$"),
    (lambda s: s["stages"].pop(2), "expected the stages classifier, .*, got classifier, fcn32s, "),
    (lambda s: s.pop("stages"), "settings: expected a field stages, got none"),
    (lambda s: s["stages"][0].pop("name"), "stage 0: expected a field name, got none"),
    (lambda s: s.update(stages=3), "stages: expected a list, got 3"),
    (lambda s: s.update(stages=["fcn32s"]), "stage 0: expected an object with name, .*, got"),
])
def test_a_config_of_another_layout(tmp_path, change, words):
    write_config(tmp_path, QUICK, TOY_CLASSES, None)
    config = json.loads((tmp_path / "config.json").read_text())
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
    ({"lr": -0.1}, "expected lr of at least 0 and finite, got -0.1"),
    ({"lr": "fast"}, "expected lr of at least 0 and finite, got 'fast'"),
    ({"weight_decay": float("nan")}, "expected weight_decay of at least 0 and finite, got nan"),
    ({"momentum": 1}, "expected momentum of at least 0 and below 1, got 1"),
    ({"clip_gradients": 0}, "expected clip_gradients above 0 and finite, or None, got 0"),
    ({"dropout": 1.0}, "expected dropout of at least 0 and below 1, got 1.0"),
    ({"class_weights": (1.0, -1.0)}, "expected class_weights to be a tuple of numbers"),
    ({"class_weights": (0.0, 0.0)}, "expected a class weight above 0"),
    ({"name": "fcn4s"}, "expected a stage named classifier, .*, got 'fcn4s'"),
])
def test_stages_that_cannot_be(values, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        Stage(**{"name": "fcn8s", "steps": 1, "batch": 1, "lr": 0.1, **values})
    write_config(tmp_path, QUICK, TOY_CLASSES, None)
    config = json.loads((tmp_path / "config.json").read_text())
    config["settings"]["stages"][3].update(values)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        training.read_settings(tmp_path)


@pytest.mark.parametrize(("values", "words"), [
    ({"seed": -1}, "expected seed to be an int of at least 0"),
    ({"n_train": 0}, "expected n_train to be an int of at least 1"),
    ({"size": 0}, "expected size to be an int of at least 1"),
    ({"backbone": "resnet"}, "expected backbone 'tiny' or 'vgg16' or 'alexnet', got 'resnet'"),
    ({"pretrained_on": "x"}, "expected pretrained_on 'caffe' or 'torchvision', got 'x'"),
])
def test_settings_that_cannot_be(values, words):
    with pytest.raises(ValueError, match=words):
        Settings(**values)


@pytest.mark.parametrize(("settings", "words"), [
    (dataclasses.replace(QUICK, size=None), "expected a size for the toy images, got None"),
    (QUICK.with_stages("fcn16s", class_weights=(1.0, 2.0)),
     "expected 4 class weights, one for each class, got 2 in fcn16s"),
])
def test_settings_that_do_not_suit_the_images(settings, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        train(tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


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
