"""Net surgery as the authors did it: a start for one network out of the weights of another."""

import numpy as np
import pytest
from backbones import ThinAlexNet, ThinVGG16
from labeled_folder import NAMES, write_folder

from fcn_numpy import weights
from fcn_numpy.cli import main
from fcn_numpy.models import (
    BACKBONES,
    TINY,
    FCN8s,
    FCN32s,
    LateFusion,
    add_depth,
    expand_scores,
    start_from,
)
from fcn_numpy.weights.protobuf import varint, whole_field


@pytest.fixture(autouse=True)
def thin(monkeypatch):
    monkeypatch.setitem(BACKBONES, "vgg16", ThinVGG16)
    monkeypatch.setitem(BACKBONES, "alexnet", ThinAlexNet)


def rng(seed=0):
    return np.random.default_rng(seed)


def filled(model, seed=9):
    for p in model.parameters():
        p.data[...] = rng(seed).standard_normal(p.data.shape)
    return model


def classifier(backbone):
    """Return the weights of a classifier as Caffe has them: three fully connected layers."""
    state = FCN32s(5, backbone, rng=rng()).state_dict()
    state = {n: v for n, v in state.items() if not n.startswith(("score", "upscore"))}
    state |= {n: state[n].reshape(len(state[n]), -1) for n in ("fc6.weight", "fc7.weight")}
    width = backbone.fc_width
    return state | {"fc8.weight": np.ones((10, width), np.float32),
                    "fc8.bias": np.zeros(10, np.float32)}


def old_caffemodel(state):
    """Return weights as a .caffemodel from before 2015, in which all blobs have four axes."""
    parts = []
    for name in dict.fromkeys(key.rpartition(".")[0] for key in state):
        layer = whole_field(4, name.encode())
        for kind in ("weight", "bias"):
            value = state[f"{name}.{kind}"]
            shape = (1,) * (4 - value.ndim) + value.shape
            sizes = [varint(n << 3) + varint(size) for n, size in enumerate(shape, 1)]
            layer += whole_field(6, *sizes, *whole_field(5, value.tobytes()))
        parts += whole_field(2, *layer)
    return b"".join(parts)


# --- Score layers -----------------------------------------------------------------------------


def test_score_layers_are_widened_and_the_first_classes_stay():
    model = filled(FCN8s(21, TINY))
    wide = FCN8s(60, TINY)
    start_from(wide, expand_scores(model.state_dict(), 60))
    image = rng().standard_normal((1, 3, 64, 64)).astype(np.float32)
    # The upsampling of the 21 classes was random, and is bilinear in a new network.
    bilinear = FCN8s(21, TINY)
    start_from(bilinear, model.state_dict())
    scores = wide.eval()(image)
    expected = bilinear.eval()(image)
    np.testing.assert_allclose(scores[:, :21], expected, rtol=0, atol=1e-5 * abs(expected).max())
    assert not scores[:, 21:].any()


@pytest.mark.parametrize(("state", "n_class", "words"), [
    ({"score_fr.bias": np.zeros(3)}, 2, r"expected score_fr\.bias for at most 2 classes"),
    ({"conv1_1.bias": np.zeros(3)}, 2, r"expected score layers among the weights, got conv1_1"),
    ({"score_fr.bias": np.float32(3)}, 2, r"score_fr\.bias for at most 2 classes, got shape \(\)"),
    ({"score_fr.bias": np.zeros(3)}, 0, "n_class to be an int of at least 1"),
])
def test_score_layers_that_cannot_be_widened(state, n_class, words):
    with pytest.raises(ValueError, match=words):
        expand_scores(state, n_class)


# --- Depth and two streams --------------------------------------------------------------------


@pytest.mark.parametrize(("backbone", "first"), [(ThinVGG16, "conv1_1"), (ThinAlexNet, "conv1")])
def test_depth_starts_as_the_mean_of_the_colors(backbone, first):
    state = filled(FCN32s(5, backbone)).state_dict()
    weight = state[f"{first}.weight"]
    for model in (FCN32s(5, backbone, in_channels=4), FCN32s(7, backbone, in_channels=4)):
        loaded = start_from(model, state)
        widened = getattr(model, f"{first}_bgrd").weight.data
        np.testing.assert_array_equal(widened[:, :3], weight)
        np.testing.assert_allclose(widened[:, 3], weight.mean(axis=1), rtol=1e-5)
        assert f"{first}_bgrd.bias" in loaded
        assert ("score_fr.weight" in loaded) == (model.n_class == 5)
    assert f"{first}.weight" in state  # the weights that were given stay


def test_depth_needs_a_first_layer_for_colors():
    with pytest.raises(ValueError, match=r"expected conv1_1\.weight among the names, got fc6"):
        add_depth({"fc6.weight": np.zeros((1, 1))})
    with pytest.raises(ValueError, match=r"conv1_1\.weight of shape \(F, 3, kh, kw\), got \(2, 5"):
        add_depth({"conv1_1.weight": np.zeros((2, 5, 3, 3))})


def test_two_trained_networks_start_a_late_fusion():
    color, hha = filled(FCN32s(4, ThinVGG16), 1), filled(FCN32s(4, ThinVGG16), 2)
    state = LateFusion(color, hha).state_dict()
    np.testing.assert_array_equal(state["conv3_2color.weight"], color.conv3_2.weight.data)
    np.testing.assert_array_equal(state["score_frhha.bias"], hha.score_fr.bias.data)


# --- Classifiers from Caffe -------------------------------------------------------------------


@pytest.mark.parametrize("backbone", [ThinVGG16, ThinAlexNet])
@pytest.mark.parametrize("old", [False, True])
def test_a_classifier_of_caffe_becomes_an_fcn(backbone, old, tmp_path):
    path, state = tmp_path / "classifier.caffemodel", classifier(backbone)
    if old:
        path.write_bytes(old_caffemodel(state))
    else:
        weights.save(path, state)
    model = FCN32s.from_file(path)
    assert (model.n_class, model.backbone) == (21, backbone)
    for name, p in model.named_parameters():
        if name.startswith(("conv", "fc")):
            np.testing.assert_array_equal(p.data.ravel(), state[name].ravel())
    assert not model.score_fr.weight.data.any()


@pytest.mark.parametrize(("option", "backbone"), [("vgg16", ThinVGG16), ("alexnet", ThinAlexNet)])
def test_training_starts_from_a_classifier_of_caffe(option, backbone, tmp_path, capsys):
    folder = write_folder(tmp_path / "data", n=3)
    path = tmp_path / "classifier.caffemodel"
    path.write_bytes(old_caffemodel(classifier(backbone)))
    assert main([
        "train", "--data", str(folder), "--classes", NAMES, "--backbone", option,
        "--pretrained", str(path), "--quick", "--out", str(tmp_path / "run"),
    ]) == 0
    said = capsys.readouterr().out
    trained = ["fcn32s"] if option == "alexnet" else ["fcn32s", "fcn16s", "fcn8s"]
    assert [p.stem for p in sorted((tmp_path / "run").glob("fcn*.npz"))] == sorted(trained)
    assert "fcn32s" in said
    state = weights.load(tmp_path / "run" / "fcn32s.npz")
    first = next(iter(state))
    start = classifier(backbone)[first]
    # A few small steps: it is still near where it started.
    assert not np.array_equal(state[first], start)
    assert abs(state[first] - start).max() < 0.1 * abs(start).max()
