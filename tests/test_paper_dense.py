"""Section 3.1: a classifier's layers as convolutions, held to the classifier itself."""

import numpy as np
import pytest
from references import assert_close

from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models import TINY, Classifier, convolutionalize
from fcn_numpy.nn import Conv2d, Dropout2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fcn_numpy.paper import classify_windows, convolutionalize_layers, dense_classifier

pytestmark = pytest.mark.usefixtures("both_algorithms")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def randomised(net):
    """Return the network with all its parameters drawn, biases and fc8 too."""
    rng = np.random.default_rng(3)
    for parameter in net.parameters():
        shape = parameter.data.shape
        parameter.data[...] = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:], initial=1))
    return net


def unpadded(bias=True):
    """Return a classifier without padding, of stride 4x6, and the height and width it takes."""
    options = {"dtype": np.float64, "rng": np.random.default_rng(1)}
    layers = Sequential(
        Conv2d(3, 4, (3, 2), **options), ReLU(), MaxPool2d(2),
        Conv2d(4, 5, 3, stride=(1, 3), **options), ReLU(), MaxPool2d((3, 2), (2, 1)),
        Flatten(), Linear(5 * 3 * 2, 7, bias, **options), ReLU(), Dropout2d(),
        Linear(7, 6, bias, **options), ReLU(), Linear(6, 4, bias, **options),
    )
    return randomised(layers).eval(), (20, 19)


MAP_SIZE = 3, 2


def test_the_classifier_of_these_tests_is_of_its_size():
    """Its size is its receptive field: each pixel counts, and none is missing."""
    layers, size = unpadded()
    out = layers(FeatureMap(3, size))
    assert out.grid.field == size
    assert convolutionalize_layers(layers, MAP_SIZE)(FeatureMap(3, size)).grid.scale == (4, 6)


@pytest.mark.parametrize("bias", [True, False])
def test_at_the_classifiers_size_the_map_is_its_scores(bias):
    layers, size = unpadded(bias)
    dense = convolutionalize_layers(layers, MAP_SIZE)
    image = normal(2, 3, *size)
    y = dense(image)
    assert y.shape == (2, 4, 1, 1)
    assert_close(y[:, :, 0, 0], layers(image), 1e-10)


@pytest.mark.parametrize("more", [(0, 0), (4, 6), (3, 5), (9, 13), (17, 0)])
def test_each_cell_is_the_classifier_on_its_window(more):
    layers, size = unpadded()
    dense = convolutionalize_layers(layers, MAP_SIZE)
    image = normal(2, 3, size[0] + more[0], size[1] + more[1])
    y = dense(image)
    assert y.shape == (2, 4, more[0] // 4 + 1, more[1] // 6 + 1)
    for i, j in np.ndindex(y.shape[2:]):
        window = image[:, :, 4 * i : 4 * i + size[0], 6 * j : 6 * j + size[1]]
        assert_close(y[:, :, i, j], layers(window), 1e-10)
    assert_close(classify_windows(layers, image, size, (4, 6)), y, 1e-10)
    if y[0, 0].size > 1:
        # Cells differ: they were not all compared with the same.
        assert np.ptp(y, axis=(2, 3)).min() > 1e-3


def test_backward_is_the_sum_over_the_windows():
    """Section 3: the gradient of a sum over cells is the sum of the cells' gradients."""
    layers, size = unpadded()
    for _, layer in layers.children():
        if isinstance(layer, Dropout2d):
            layer.p = 0.0
    layers.train()
    dense = convolutionalize_layers(layers, MAP_SIZE).train()
    image = normal(1, 3, size[0] + 5, size[1] + 7)
    y = dense(image)
    grad = normal(*y.shape, seed=5)
    grad_image = dense.backward(grad)
    expected = np.zeros_like(image)
    for i, j in np.ndindex(y.shape[2:]):
        window = (..., slice(4 * i, 4 * i + size[0]), slice(6 * j, 6 * j + size[1]))
        layers(image[window])
        expected[window] += layers.backward(np.ascontiguousarray(grad[:, :, i, j]))
    assert_close(grad_image, expected, 1e-10)
    for ours, theirs in zip(dense.parameters(), layers.parameters()):
        assert_close(ours.grad.ravel(), theirs.grad.ravel(), 1e-10)


def test_numbers_are_reshaped_and_copied():
    layers, _ = unpadded()
    dense = convolutionalize_layers(layers, MAP_SIZE)
    assert not any(isinstance(m, (Flatten, Linear)) for m in dense.modules())
    pairs = list(zip(dense.parameters(), layers.parameters(), strict=True))
    for ours, theirs in pairs:
        assert np.array_equal(ours.data.ravel(), theirs.data.ravel())
        assert not np.shares_memory(ours.data, theirs.data)
    assert not dense.training and not any(m.training for m in dense.modules())


def tiny():
    return randomised(Classifier(4, TINY, dtype=np.float64)).eval()


# The smallest sizes make all last pool windows partly filled.
@pytest.mark.parametrize("size", [(96, 96), (65, 65), (70, 96)])
def test_a_vgg_like_classifier_at_its_own_size(size):
    classifier = tiny()
    assert classifier.input_size == 96
    image = normal(2, 3, *size)
    y = dense_classifier(classifier)(image)
    assert y.shape == (2, 4, 1, 1)
    assert np.abs(y).max() > 1e-3
    assert_close(y[:, :, 0, 0], classifier(image), 1e-10)


def test_a_vgg_like_classifier_on_a_larger_image():
    """The map is of stride 32. Its cells resemble the classifier on windows, and are not equal."""
    classifier = tiny()
    dense = dense_classifier(classifier)
    image = normal(1, 3, 96 + 64, 96 + 32)
    y, windows = dense(image), classify_windows(classifier, image, 96, 32)
    assert y.shape == windows.shape == (1, 4, 3, 2)
    assert dense(FeatureMap(3, (160, 128))).grid.scale == (32, 32)
    assert np.abs(y - windows).max() > 1e-3
    # Cells (0, 0): zeros above and to the left for both, but not below and to the right.
    assert np.abs(y - windows)[..., 0, 0].max() > 1e-6
    assert np.corrcoef(y.ravel(), windows.ravel())[0, 1] > 0.8


def test_dense_classifier_has_the_weights_that_an_fcn_gets():
    classifier = tiny()
    dense = dense_classifier(classifier)
    names = [name for name, _ in classifier.named_parameters()]
    state = dict(zip(names, (p.data for p in dense.parameters()), strict=True))
    for name, value in convolutionalize(classifier).items():
        assert np.array_equal(state[name], value)
    assert state["fc8.weight"].shape == (4, TINY.fc_width, 1, 1)
    padding = {layer.padding for layer in dense.modules() if isinstance(layer, Conv2d)}
    assert padding == {(1, 1), (0, 0)}


def test_windows_at_any_stride():
    layers, size = unpadded()
    image = normal(2, 3, size[0] + 3, size[1] + 4)
    y = classify_windows(layers, image, size, (3, 2))
    assert y.shape == (2, 4, 2, 3)
    for i, j in np.ndindex(2, 3):
        window = image[:, :, 3 * i : 3 * i + size[0], 2 * j : 2 * j + size[1]]
        assert np.array_equal(y[:, :, i, j], layers(window))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convolutionalize_layers(Sequential(ReLU()), 2), "expected a Flatten.*got ReLU"),
        (lambda: convolutionalize_layers(Sequential(Flatten()), 2), "expected a Flatten.*Flatten"),
        (lambda: convolutionalize_layers(Sequential(Linear(4, 2)), 2), "one Flatten.*got Linear"),
        (
            lambda: convolutionalize_layers(Sequential(Flatten(), Linear(4, 2), Flatten()), 2),
            "one Flatten.*got Flatten, Linear, Flatten",
        ),
        (
            lambda: convolutionalize_layers(Sequential(Flatten(), Linear(13, 2)), (2, 3)),
            "maps of 2x3 cells, got 13 features",
        ),
        (lambda: convolutionalize_layers(Sequential(Flatten()), 0), "expected map_size.*got 0"),
        (lambda: classify_windows(ReLU(), np.zeros((3, 8, 8)), 2, 1), r"image.*\(3, 8, 8\)"),
        (lambda: classify_windows(ReLU(), np.zeros((1, 3, 8, 8)), 9, 1), "too small"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
