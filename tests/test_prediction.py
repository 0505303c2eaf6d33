"""From an image of any size to scores of that size."""


import numpy as np
import pytest
from backbones import vgg

from fcn_numpy.data import normalize, subtract_mean
from fcn_numpy.models import TINY, VGG16, FCN8s, FCN32s
from fcn_numpy.prediction import fitting_size, prepare, score_image


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
    whole = model(normalize(extended))[0]
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
    np.testing.assert_array_equal(prepare(images, TINY), normalize(images))
    other = vgg("MINE", (4,), (1,), 8, 3, 1)
    np.testing.assert_array_equal(prepare(images, other), normalize(images))


def test_an_image_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"image.*\(3, H, W\), got float32 \(1, 3, 8, 8\)"):
        score_image(model_with_scores(), np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize(("image", "words"), [
    (np.full((3, 64, 64), 128, np.float32), "from 0 to 1, got 128 to 128; divide 8-bit values by"),
    (np.full((3, 64, 64), -0.5, np.float32), "from 0 to 1, got -0.5 to -0.5$"),
    (np.full((3, 64, 64), np.nan, np.float32), "from 0 to 1, got nan to nan$"),
    (np.full((3, 64, 64), np.inf, np.float32), "from 0 to 1, got inf to inf"),
])
@pytest.mark.parametrize("backbone", [TINY, VGG16])
def test_values_out_of_range_are_an_error(image, words, backbone):
    with pytest.raises(ValueError, match=words):
        prepare(image[None], backbone)
    with pytest.raises(ValueError, match=words):
        score_image(model_with_scores(), image)


def test_a_value_that_rounding_took_over_the_edge_is_none():
    image = np.zeros((1, 3, 4, 4), np.float32)
    image[0, 0, 0] = 1.0002, -0.0002, 1, 0
    prepare(image, TINY)


def test_scores_that_are_not_finite_are_an_error():
    model = model_with_scores()
    model.score_fr.bias.data[1] = np.inf
    with pytest.raises(ValueError, match="the scores are not finite"):
        score_image(model, np.zeros((3, 64, 64), np.float32))
