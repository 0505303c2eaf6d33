"""From an image of any size to scores of that size, and the classes that they are for."""


import numpy as np
import pytest
from backbones import vgg

from fcn_numpy.data import (
    VOC_CLASSES,
    Classes,
    normalise,
    subtract_mean,
    write_classes,
)
from fcn_numpy.models import TINY, VGG16, FCN8s, FCN32s
from fcn_numpy.nn import skip_init
from fcn_numpy.prediction import classes_of, fitting_size, prepare, score_image


def model_with_scores(seed=1):
    rng = np.random.default_rng(seed)
    model = FCN8s(4, TINY, rng=rng)
    w = rng.standard_normal((4, 32, 1, 1))
    model.score_pool3.weight.data[...] = w - w.mean(axis=1, keepdims=True)
    return model.eval()


def test_scores_are_those_of_the_network():
    model = model_with_scores()
    image = np.random.default_rng(1).random((3, 64, 128), dtype=np.float32)
    means = image.mean(axis=(1, 2), keepdims=True)
    scores = score_image(model, image)
    np.testing.assert_array_equal(scores, model((image - means)[None] * np.float32(4))[0])
    assert len(np.unique(scores.argmax(axis=0))) > 1


@pytest.mark.parametrize("size", [(1, 1), (20, 70), (64, 49), (100, 131)])
def test_any_size_is_extended_and_cropped(size):
    model = model_with_scores()
    image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    scores = score_image(model, image)
    assert scores.shape == (4, *size)
    h, w = fitting_size(model, size)
    rows = np.minimum(np.arange(h), size[0] - 1)[:, None]
    columns = np.minimum(np.arange(w), size[1] - 1)
    extended = np.ascontiguousarray(image[:, rows, columns])[None]
    whole = model(normalise(extended))[0]
    np.testing.assert_array_equal(scores, whole[:, : size[0], : size[1]])


@pytest.mark.parametrize(("size", "expected"), [
    ((64, 128), (64, 128)), ((129, 144), (145, 145)), ((113, 161), (113, 177)),
])
def test_fitting_size_is_the_next_that_the_network_takes(size, expected):
    model = FCN8s(2, TINY, rng=np.random.default_rng(0))
    assert fitting_size(model, size) == expected


def test_a_network_is_left_in_eval_mode():
    model = FCN32s(2, TINY, rng=np.random.default_rng(0)).train()
    score_image(model, np.zeros((3, 64, 64), np.float32))
    assert not any(module.training for module in model.modules())


def test_each_backbone_sees_what_it_was_trained_on():
    images = np.random.default_rng(0).random((2, 3, 5, 4), dtype=np.float32)
    np.testing.assert_array_equal(prepare(images, VGG16), subtract_mean(images))
    np.testing.assert_array_equal(prepare(images, TINY), normalise(images))
    other = vgg("MINE", (4,), (1,), 8, 3, 1)
    np.testing.assert_array_equal(prepare(images, other), normalise(images))


def test_an_image_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"image.*\(3, H, W\), got float32 \(1, 3, 8, 8\)"):
        score_image(model_with_scores(), np.zeros((1, 3, 8, 8), np.float32))


class PAPERS(VGG16):
    """VGG16 with fewer weights."""

    widths, fc_width = (2, 2, 2, 2, 2), 2


def network(n_class, backbone=TINY):
    with skip_init():
        return FCN32s(n_class, backbone)


def test_given_classes_are_those_of_the_network(tmp_path):
    classes = Classes.named(["a", "b", "c"])
    write_classes(tmp_path / "classes.csv", Classes.named(["x", "y", "z"]))
    assert classes_of(network(3), tmp_path / "w.npz", classes) is classes


def test_given_classes_must_be_as_many_as_the_network_has(tmp_path):
    words = r"expected .*w\.npz to hold weights for 2 classes, got score_fr\.weight for 3"
    with pytest.raises(ValueError, match=words):
        classes_of(network(3), tmp_path / "w.npz", Classes.named(["a", "b"]))


def test_classes_are_listed_beside_the_weights(tmp_path):
    classes = Classes(("a", "b", "c"), ((0, 0, 0), (9, 8, 7), (1, 1, 1)))
    write_classes(tmp_path / "classes.csv", classes)
    assert classes_of(network(3), tmp_path / "w.npz") == classes
    assert classes_of(network(3), str(tmp_path / "w.npz")) == classes
    # A list of another length belongs to other weights.
    assert classes_of(network(2), tmp_path / "w.npz").names == ("class 0", "class 1")


@pytest.mark.parametrize(("n_class", "backbone", "expected"), [
    (21, PAPERS, VOC_CLASSES), (21, TINY, Classes.named([f"class {n}" for n in range(21)])),
    (3, PAPERS, Classes.named(["class 0", "class 1", "class 2"])),
    (3, TINY, Classes.named(["class 0", "class 1", "class 2"])),
])
def test_only_published_networks_have_names_for_classes(tmp_path, n_class, backbone, expected):
    assert classes_of(network(n_class, backbone), tmp_path / "w.npz") == expected


def test_a_damaged_list_of_classes_is_an_error(tmp_path):
    (tmp_path / "classes.csv").write_text("color\n")
    with pytest.raises(ValueError, match=r"classes\.csv is no list of classes"):
        classes_of(network(3), tmp_path / "w.npz")
