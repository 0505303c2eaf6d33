"""Names of other projects become ours; ours stay."""

import time

import numpy as np
import pytest

from fcn_numpy import weights
from fcn_numpy.models import TINY, VGG16, Classifier, FCN8s


def named(*names):
    return {name: np.array(number) for number, name in enumerate(names)}


def renamed(*names):
    """Return the new names, once it is clear that each array stayed with its own."""
    state = named(*names)
    got = weights.our_names(state)
    assert [value is state[name] for name, value in zip(names, got.values())] == [True] * len(names)
    assert list(state) == list(names)
    return list(got)


# The convolutions of VGG16 among the numbered layers of torchvision's network.
VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def torchvision_names():
    layers = [f"features.{n}" for n in VGG16_PLACES] + [f"classifier.{n}" for n in (0, 3, 6)]
    return both(layers)


def both(layers):
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def test_our_own_names_stay():
    for model in (FCN8s(3, TINY), Classifier(3, TINY)):
        names = list(model.state_dict())
        assert renamed(*names) == names


def test_no_names_stay_none():
    assert weights.our_names({}) == {}


def test_the_prefix_of_dataparallel_goes():
    assert renamed("module.fc6.weight", "module.module.bias") == ["fc6.weight", "module.bias"]


def test_a_prefix_that_not_all_have_stays():
    names = ["module.fc6.weight", "fc7.weight"]
    assert renamed(*names) == names


@pytest.mark.parametrize("prefix", [
    "module.", "model.", "_orig_mod.", "net.", "network.", "_orig_mod.module.", "module._orig_mod.",
    "model.module.net.network._orig_mod.", "module.module.",
])
def test_what_wrappers_put_before_all_names_goes(prefix):
    assert renamed(prefix + "fc6.weight", prefix + "a.bias") == ["fc6.weight", "a.bias"]
    names = [prefix + name for name in torchvision_names()]
    assert renamed(*names)[0] == "conv1_1.weight"
    assert renamed(prefix + "a/W", prefix + "a/b") == ["a.weight", "a.bias"]


@pytest.mark.parametrize("names", [
    ("model.a", "net.a"), ("model.a", "optimizer.a"), ("models.a", "models.b"),
    ("encoder.a", "encoder.b"), ("net", "net.a"), ("modelx", "modely"),
])
def test_first_parts_that_are_no_such_prefix_stay(names):
    assert renamed(*names) == list(names)


def test_a_prefix_that_all_have_goes_and_one_that_some_have_stays():
    assert renamed("module.net.a", "module.model.a") == ["net.a", "model.a"]


def test_a_name_of_a_million_prefixes_takes_no_time():
    name = "net." * 1_000_000 + "a"
    start = time.perf_counter()
    (got,) = renamed(name)
    assert time.perf_counter() - start < 1
    assert name.endswith(got) and len(got) < len(name)


def test_names_of_chainer():
    assert renamed("conv1_1/W", "conv1_1/b", "upscore2/W", "a/b/W") == [
        "conv1_1.weight", "conv1_1.bias", "upscore2.weight", "a/b.weight"
    ]


@pytest.mark.parametrize(
    "names", [("a/b", "other"), ("a/W", "a/w"), ("a/W", "b/gamma"), ("W", "b")]
)
def test_endings_of_chainer_that_not_all_have_stay(names):
    assert renamed(*names) == list(names)


def test_vgg16_of_torchvision_becomes_the_classifier():
    expected = both("""
        conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3
        conv5_1 conv5_2 conv5_3 fc6 fc7 fc8
    """.split())
    assert renamed(*torchvision_names()) == expected
    # These are the names, in their order, of the model that takes the weights. TINY has as many
    # layers.
    assert TINY.convs == VGG16.convs
    assert list(Classifier(2, TINY).state_dict()) == expected


def test_vgg16_of_torchvision_under_dataparallel_without_its_classifier():
    names = [f"module.{name}" for name in torchvision_names()[:26]]
    assert renamed(*names)[0] == "conv1_1.weight"
    assert renamed(*names)[-1] == "conv5_3.bias"


@pytest.mark.parametrize(
    "places", [(0, 3, 6, 8, 11, 13, 16, 18), (0, 1, 3, 4), (*VGG16_PLACES, 30, 32, 34)],
    ids=["VGG11", "VGG16 with batch normalization", "VGG19"],
)
def test_other_networks_of_torchvision_keep_their_names(places):
    names = [f"features.{n}.weight" for n in places]
    assert renamed(*names) == names


def test_two_names_that_become_one_are_an_error():
    with pytest.raises(ValueError, match=r"one array for conv1_1\.weight, got two"):
        weights.our_names(named("features.0.weight", "conv1_1.weight"))


def test_names_are_turned_on_loading(tmp_path):
    value = np.arange(3.0)
    for name in ("w.npz", "w.pth", "w.safetensors"):
        weights.save(tmp_path / name, {"module.fc6/W": value, "module.fc6/b": value + 1})
        got = weights.load(tmp_path / name)
        assert list(got) == ["fc6.weight", "fc6.bias"]
        np.testing.assert_array_equal(got["fc6.bias"], value + 1)


def test_loading_names_the_file_whose_names_collide(tmp_path):
    weights.save(tmp_path / "w.npz", named("features.0.weight", "conv1_1.weight"))
    with pytest.raises(ValueError, match=r"w\.npz.*conv1_1\.weight"):
        weights.load(tmp_path / "w.npz")
