"""Each layer: forward held to loops, backward to loops and finite differences, and its promises."""

import pickle
import warnings
from fractions import Fraction

import numpy as np
import pytest
from references import (
    as_pair,
    assert_close,
    loop_conv2d,
    loop_conv2d_input,
    loop_conv2d_weight,
    loop_conv_transpose2d,
    loop_local_response_norm,
    loop_max_pool2d,
    loop_max_pool2d_input,
    loop_softmax_cross_entropy,
)

from fcn_numpy.geometry import FeatureMap
from fcn_numpy.gradcheck import gradcheck
from fcn_numpy.nn import (
    AdaptiveAvgPool2d,
    BilinearResize,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Scale,
    Sequential,
    SoftmaxCrossEntropy,
    Sum,
    bilinear_kernel,
)

pytestmark = pytest.mark.usefixtures("both_algorithms")

FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def rng():
    return np.random.default_rng(0)


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check_gradients(layer, *inputs):
    """Finite differences, each element, with an error that shows that something was compared."""
    report = gradcheck(layer, *inputs, rng=rng())
    assert report.checked > 0
    assert report.max_error <= 1e-6


# --- Conv2d and ConvTranspose2d -------------------------------------------------------------

# (N, C, F), (H, W), kernel_size, stride, padding, dilation, bias, groups
CONVOLUTIONS = [
    ((1, 1, 1), (1, 1), 1, 1, 0, 1, True, 1),
    ((2, 2, 3), (4, 5), 1, 1, 0, 1, True, 1),
    ((1, 2, 2), (5, 4), 3, 1, 1, 1, True, 1),
    ((2, 1, 2), (4, 5), 3, 1, 0, 1, False, 1),
    ((1, 2, 1), (3, 4), 2, 1, 4, 1, True, 1),
    ((1, 2, 2), (6, 7), (3, 2), (2, 3), (1, 0), 1, True, 1),
    ((2, 1, 2), (6, 7), 2, 3, 0, 1, True, 1),
    ((1, 2, 2), (7, 6), (2, 3), (2, 1), (0, 3), (3, 2), True, 1),
    ((1, 4, 6), (4, 5), 3, 1, 1, 1, True, 2),
    ((1, 3, 3), (5, 4), 3, 2, 0, 1, False, 3),
    ((1, 2, 4), (7, 6), (2, 3), (2, 1), (0, 3), (3, 2), True, 2),
]


def conv_layer(counts, kernel_size, stride, padding, dilation, bias, groups):
    _, c, f = counts
    layer = Conv2d(
        c, f, kernel_size, stride, padding, dilation, bias, groups, dtype=np.float64, rng=rng()
    )
    if bias:
        layer.bias.data[...] = np.arange(1, f + 1)
    return layer


@pytest.mark.parametrize(
    ("counts", "size", "kernel_size", "stride", "padding", "dilation", "bias", "groups"),
    CONVOLUTIONS,
)
def test_conv2d(counts, size, kernel_size, stride, padding, dilation, bias, groups):
    geometry = (stride, padding, dilation, groups)
    layer = conv_layer(counts, kernel_size, *geometry[:3], bias, groups)
    x = normal(*counts[:2], *size)
    w = layer.weight.data
    assert layer.groups == groups
    assert w.shape[:2] == (counts[2], counts[1] // groups)
    expected = loop_conv2d(x, w, *geometry)
    if bias:
        expected += np.arange(1, counts[2] + 1)[None, :, None, None]
    y = layer(x)
    assert_close(y, expected, 1e-12)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    assert_close(layer.backward(grad), loop_conv2d_input(grad, w, size, *geometry), 1e-12)
    grad_w = loop_conv2d_weight(x, grad, kernel_size, *geometry)
    assert_close(layer.weight.grad, grad_w, 1e-12)
    if bias:
        assert_close(layer.bias.grad, [grad[:, f].sum() for f in range(counts[2])], 1e-12)
    else:
        assert layer.bias is None
    check_gradients(layer, x)


# (N, C, F), (H, W), kernel_size, stride, padding, output_padding, dilation, bias
TRANSPOSED = [
    ((1, 1, 1), (1, 1), 1, 1, 0, 0, 1, False),
    ((2, 2, 3), (3, 2), 2, 2, 0, 0, 1, False),
    ((1, 2, 2), (3, 4), 4, 2, 0, 0, 1, True),
    ((1, 2, 2), (3, 4), 4, 2, 1, 0, 1, False),
    ((2, 1, 2), (4, 3), 3, 1, 1, 0, 1, True),
    ((1, 2, 2), (3, 2), 3, 2, 1, 1, 1, False),
    ((1, 1, 2), (2, 3), (3, 2), (3, 2), (0, 1), (2, 1), 1, True),
    ((1, 2, 1), (3, 3), 2, 3, 0, 0, 1, False),
    ((1, 2, 2), (3, 2), (2, 3), (2, 1), (1, 0), (1, 0), (3, 2), True),
]


@pytest.mark.parametrize(
    ("counts", "size", "kernel_size", "stride", "padding", "extra", "dilation", "bias"), TRANSPOSED
)
def test_conv_transpose2d(counts, size, kernel_size, stride, padding, extra, dilation, bias):
    n, c, f = counts
    layer = ConvTranspose2d(
        c, f, kernel_size, stride, padding, extra, dilation, bias, dtype=np.float64, rng=rng()
    )
    w = layer.weight.data
    assert w.shape[:2] == (c, f)
    x = normal(n, c, *size)
    expected = loop_conv_transpose2d(x, w, stride, padding, extra, dilation)
    if bias:
        layer.bias.data[...] = np.arange(1, f + 1)
        expected += np.arange(1, f + 1)[None, :, None, None]
    y = layer(x)
    assert_close(y, expected, 1e-12)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    # Backwards it is the convolution of which it is the transpose.
    assert_close(layer.backward(grad), loop_conv2d(grad, w, stride, padding, dilation), 1e-12)
    grad_w = loop_conv2d_weight(grad, x, kernel_size, stride, padding, dilation)
    assert_close(layer.weight.grad, grad_w, 1e-12)
    if bias:
        assert_close(layer.bias.grad, grad.sum(axis=(0, 2, 3)), 1e-12)
    check_gradients(layer, x)


def test_kernel_size_and_the_like_are_an_int_or_a_pair():
    layer = Conv2d(1, 1, 3, (2, 1), [0, 4], np.int64(2), rng=rng())
    assert (layer.kernel_size, layer.stride) == ((3, 3), (2, 1))
    assert (layer.padding, layer.dilation) == ((0, 4), (2, 2))
    assert ConvTranspose2d(1, 1, 4, 2, 0, (1, 0)).output_padding == (1, 0)
    assert Crop(3).offset == (3, 3)
    pool = MaxPool2d((3, 2))
    assert (pool.kernel_size, pool.stride, pool.padding) == ((3, 2), (3, 2), (0, 0))


def test_first_weights_come_from_the_generator_that_is_handed_in():
    for make in (
        lambda **options: Conv2d(8, 50, 5, **options),
        lambda **options: Linear(200, 50, **options),
        # Of 16 channels, each filter of two groups sees 8: as many weights as before.
        lambda **options: Conv2d(16, 50, 5, groups=2, **options),
    ):
        first, second = make(rng=rng()), make(rng=rng())
        assert np.array_equal(first.weight.data, second.weight.data)
        assert not np.array_equal(first.weight.data, make().weight.data)
        assert first.weight.data.dtype == np.float32
        # He: 10,000 draws with standard deviation sqrt(2 / 200); 5 standard errors.
        assert first.weight.data.std() == pytest.approx(0.1, abs=5 * 0.1 / np.sqrt(2 * 10000))
        assert abs(first.weight.data.mean()) < 5 * 0.1 / np.sqrt(10000)
        assert not first.bias.data.any()
        assert (first.weight.lr_mult, first.weight.decay_mult) == (1, 1)
        assert (first.bias.lr_mult, first.bias.decay_mult) == (2, 0)
    assert ConvTranspose2d(2, 3, 4).bias is None


def test_first_weights_of_a_transposed_convolution_suit_the_cells_that_it_sums_over():
    # With stride (4, 1), a cell of the output sums over 3 x 5 of 12 x 5 taps, of 6 channels.
    weight = ConvTranspose2d(6, 30, (12, 5), (4, 1), rng=rng()).weight.data
    deviation = np.sqrt(2 / (6 * 3 * 5))
    assert weight.std() == pytest.approx(deviation, rel=5 / np.sqrt(2 * weight.size))


@pytest.mark.parametrize(
    ("kernel_size", "expected"),
    [
        (1, [[1]]),
        (2, [[0.25, 0.25], [0.25, 0.25]]),
        (3, [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]),
        (4, np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])),
        (5, np.outer([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3], [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])),
        ((2, 3), [[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]),
    ],
)
@FLOATS
def test_bilinear_kernel(kernel_size, expected, dtype):
    kernel = bilinear_kernel(kernel_size, dtype)
    assert kernel.dtype == dtype
    assert_close(kernel, expected, np.finfo(dtype).eps)
    assert bilinear_kernel(4).dtype == np.float32


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_bilinear_upsampling_keeps_a_plane(factor):
    """Away from the border a linear function of the place stays the same linear function."""
    size = 2 * factor - factor % 2
    layer = ConvTranspose2d(1, 1, size, stride=factor, dtype=np.float64)
    layer.weight.data[0, 0] = bilinear_kernel(size, np.float64)
    rows, columns = np.mgrid[:5.0, :6.0]
    y = layer((3 * rows - 2 * columns + 1)[None, None])[0, 0]
    # Output cell i lies at (i - (size - 1) / 2) / factor of the input; inside, all is known.
    i, j = ((np.arange(n) - (size - 1) / 2) / factor for n in y.shape)
    inside = np.ix_((i >= 0) & (i <= 4), (j >= 0) & (j <= 5))
    plane = 3 * i[:, None] - 2 * j + 1
    assert y[inside].size > 20
    assert_close(y[inside], plane[inside], 1e-12)


# --- MaxPool2d ------------------------------------------------------------------------------

# (N, C, H, W), kernel_size, stride, padding, ceil_mode
POOLS = [
    ((1, 1, 1, 1), 1, None, 0, False),
    ((2, 3, 4, 6), 2, None, 0, False),
    ((1, 2, 5, 7), 2, 2, 0, False),
    ((1, 2, 5, 7), 2, 2, 0, True),
    ((1, 1, 1, 1), 2, 2, 0, True),
    ((2, 1, 6, 5), 3, 2, 1, False),
    ((2, 1, 6, 5), 3, 2, 1, True),
    # AlexNet's: windows overlap by a cell, and the last ones may stick out by one or two.
    ((1, 2, 7, 5), 3, 2, 0, True),
    ((2, 1, 6, 4), 3, 2, 0, True),
    ((1, 2, 2, 3), 3, 2, 0, True),
    ((1, 2, 7, 8), (3, 2), (2, 1), (1, 0), True),
    ((1, 2, 5, 6), 2, 3, 1, True),
    ((1, 2, 7, 7), 2, 3, 0, True),
    ((1, 1, 6, 5), 3, 1, 0, False),
    ((1, 1, 2, 3), 4, 3, 2, True),
    ((1, 1, 9, 8), (2, 4), (3, 2), (1, 2), True),
    ((1, 2, 5, 6), 2, 7, 1, False),
]
# The same, and dilation.
DILATED_POOLS = [
    ((1, 1, 3, 3), 2, 1, 0, False, 2),
    ((2, 2, 6, 7), 2, 1, 0, False, 2),
    ((2, 1, 7, 8), 3, 2, 1, False, 2),
    ((2, 1, 8, 7), 3, 2, 1, True, 2),
    ((1, 2, 7, 8), (3, 2), (2, 1), (1, 0), True, (1, 3)),
    ((1, 2, 9, 8), 2, 3, 0, True, (2, 3)),
    ((1, 1, 9, 8), 2, 4, 1, True, 3),
]


@pytest.mark.parametrize("values", ["different", "ties", "all-equal", "negative"])
@pytest.mark.parametrize("arguments", POOLS + DILATED_POOLS)
def test_max_pool2d(arguments, values):
    shape, *window = arguments
    x = {
        "different": normal(*shape),
        "ties": rng().integers(0, 2, shape).astype(np.float64),
        "all-equal": np.full(shape, 3.0),
        # The padding is no zero that could win.
        "negative": -1 - np.abs(normal(*shape)),
    }[values]
    layer = MaxPool2d(*window)
    expected, winners = loop_max_pool2d(x, *window)
    y = layer(x)
    assert np.array_equal(y, expected)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    assert_close(layer.backward(grad), loop_max_pool2d_input(shape, winners, grad), 1e-12)
    if values in ("different", "negative"):
        check_gradients(layer, x)


def test_dilation_is_the_last_argument_of_a_pool_and_1_at_first():
    assert MaxPool2d(2).dilation == (1, 1)
    assert MaxPool2d(2, 2, 0, False, (2, 3)).dilation == (2, 3)


def test_a_dilated_pool_whose_window_is_all_padding_says_so_with_minus_infinity():
    """Taps -1 and 1 of an axis of one cell; there is no cell that a gradient could go to."""
    layer = MaxPool2d(2, 1, 1, dilation=2)
    assert layer(np.ones((1, 1, 1, 1))).tolist() == [[[[-np.inf]]]]
    assert layer.backward(np.ones((1, 1, 1, 1))).tolist() == [[[[0]]]]


@pytest.mark.parametrize("arguments", DILATED_POOLS)
def test_a_dilated_pool_is_traced_as_it_computes(arguments):
    shape, *window = arguments
    layer = MaxPool2d(*window)
    described = layer(FeatureMap(shape[1], shape[2:]))
    assert described.shape[1:] == layer(np.zeros(shape)).shape[1:]
    kernel, dilation = as_pair(window[0]), as_pair(window[4])
    assert described.grid.field == tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation))
    assert described.grid.scale == as_pair(window[1])
    assert described.grid.shift == tuple(
        Fraction(d * (k - 1), 2) - p for k, d, p in zip(kernel, dilation, as_pair(window[2]))
    )


def test_max_pool2d_ties_go_to_the_first_cell_in_reading_order():
    layer = MaxPool2d(3)
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 2] = x[0, 0, 2, 0] = 5
    layer(x)
    grad_x = layer.backward(np.ones((1, 1, 1, 1)))
    assert grad_x[0, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("taps", [256, 257])
def test_the_last_of_many_cells_may_win(taps):
    """A byte can count 256 of them."""
    layer, x = MaxPool2d((1, taps)), np.zeros((1, 1, 1, taps))
    x[..., -1] = 1
    layer(x)
    assert np.array_equal(layer.backward(np.ones((1, 1, 1, 1))), x)


def test_max_pool2d_padding_never_wins():
    """Not even against minus infinity: the gradient goes to a cell of the map."""
    layer = MaxPool2d(2, padding=1)
    x = np.full((1, 1, 2, 2), -np.inf)
    layer(x)
    assert layer.backward(np.ones((1, 1, 2, 2)))[0, 0].tolist() == [[1, 1], [1, 1]]


def test_max_pool2d_adds_up_where_windows_overlap():
    layer = MaxPool2d(2, stride=1)
    x = np.array([[0.0, 0, 0], [0, 9, 0], [0, 0, 0]])[None, None]
    layer(x)
    assert layer.backward(np.array([[[[1.0, 2], [4, 8]]]]))[0, 0, 1, 1] == 15


# --- Layers without a window ----------------------------------------------------------------


@FLOATS
def test_relu(dtype):
    layer = ReLU()
    x = np.array([[-1.5, -0.0, 0.0, 1e-30, 2.5]], dtype)
    assert layer(x).tolist() == [[0, 0, 0, x[0, 3], 2.5]]
    assert layer.backward(np.full_like(x, 3)).tolist() == [[0, 0, 0, 3, 3]]
    check_gradients(layer, normal(2, 3, 4, 5))
    check_gradients(layer, normal(7))


def test_dropout_drops_whole_channels():
    layer = Dropout2d(0.3, rng=rng())
    x = 1 + np.abs(normal(40, 50, 2, 3))
    y = layer(x)
    factor = (y / x).round(12)
    assert (factor == factor[:, :, :1, :1]).all()
    factor = factor[:, :, 0, 0]
    assert set(np.unique(factor)) == {0, np.round(1 / 0.7, 12)}
    # 2,000 channels; 5 standard errors.
    assert (factor == 0).mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / 2000))
    grad = normal(*x.shape)
    assert_close(layer.backward(grad), grad * factor[:, :, None, None], 1e-11)


def test_dropout_in_eval_mode_and_with_p_0_changes_nothing():
    x = normal(3, 4, 5, 5)
    assert np.array_equal(Dropout2d(0.5, rng=rng()).eval()(x), x)
    layer = Dropout2d(0, rng=rng())
    assert np.array_equal(layer(x), x)
    assert np.array_equal(layer.backward(2 * x), 2 * x)


def test_dropout_follows_its_generator_and_p():
    x = np.ones((1, 200, 1, 1))
    first, second = Dropout2d(rng=rng()), Dropout2d(rng=rng())
    assert first.p == 0.5
    y = first(x)
    assert np.array_equal(y, second(x))
    assert not np.array_equal(y, first(x))
    first.p = 0
    assert np.array_equal(first(x), x)
    check_gradients(second, normal(2, 5, 2, 2))
    check_gradients(second, normal(3, 6))


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan"), None, "half", False])
def test_dropouts_p_must_be_a_probability(p):
    with pytest.raises(ValueError, match=f"expected p .*got '?{p}"):
        Dropout2d(p)


@pytest.mark.parametrize(
    ("offset", "size", "like"),
    [(0, (4, 5), (4, 5)), (1, (4, 5), (3, 2)), ((2, 0), (4, 5), (1, 5)), ((0, 3), (4, 5), (2, 2))],
)
def test_crop(offset, size, like):
    layer = Crop(offset)
    x, other = normal(2, 3, *size), normal(1, 4, *like)
    top, left = (offset, offset) if isinstance(offset, int) else offset
    y = layer(x, other)
    assert y.shape == (2, 3, *like)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    expected = np.zeros_like(x)
    for i in range(like[0]):
        for j in range(like[1]):
            assert np.array_equal(y[:, :, i, j], x[:, :, top + i, left + j])
            expected[:, :, top + i, left + j] = grad[:, :, i, j]
    grad_x = layer.backward(grad)
    # Of x alone: `like` only gives a size.
    assert isinstance(grad_x, np.ndarray)
    assert np.array_equal(grad_x, expected)
    check_gradients(layer, x, other)


def test_crop_says_when_x_is_too_small():
    x, like = np.zeros((1, 1, 4, 5)), np.zeros((1, 1, 3, 3))
    with pytest.raises(ValueError, match=r"Crop expected.*\(2, 1\).*\(3, 3\).*got.*\(4, 5\)"):
        Crop((2, 1))(x, like)
    with pytest.raises(ValueError, match=r"Crop expected.*\(0, 3\).*\(3, 3\).*got.*\(4, 5\)"):
        Crop((0, 3))(x, like)


def test_sum():
    layer = Sum()
    a, b = normal(2, 3, 4), np.random.default_rng(1).standard_normal((2, 3, 4))
    assert np.array_equal(layer(a, b), a + b)
    grad = normal(2, 3, 4)
    grads = layer.backward(grad)
    assert isinstance(grads, tuple) and len(grads) == 2
    assert all(np.array_equal(g, grad) for g in grads)
    check_gradients(layer, a, b)


@FLOATS
def test_scale(dtype):
    layer, x = Scale(0.01), normal(2, 3, 4, dtype=dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert_close(y, [[[0.01 * v for v in row] for row in m] for m in x.tolist()], 1e-7)
    assert_close(layer.backward(np.ones_like(x)), np.full(x.shape, 0.01), 1e-7)
    check_gradients(layer, x)


# (N, C, H, W), size, alpha, beta, k
RESPONSE_NORMS = [
    ((2, 7, 3, 2), 5, 1e-4, 0.75, 1.0),
    ((2, 7, 3, 2), 5, 2.0, 0.75, 1.0),
    ((1, 6, 2, 3), 4, 3.0, 0.5, 2.0),
    ((1, 5, 2, 2), 2, 0.5, 1.5, 0.1),
    ((1, 4, 1, 3), 1, 4.0, 0.75, 1.0),
    ((2, 3, 2, 2), 9, 5.0, 0.75, 1.0),
    ((1, 3, 2, 2), 8, 5.0, 2.0, 0.5),
    ((1, 1, 3, 2), 3, 1.0, -0.5, 1.0),
    ((1, 4, 2, 2), 3, 0.0, 0.75, 4.0),
]


@pytest.mark.parametrize(("shape", "size", "alpha", "beta", "k"), RESPONSE_NORMS)
def test_local_response_norm(shape, size, alpha, beta, k):
    layer = LocalResponseNorm(size, alpha, beta, k)
    x, grad = normal(*shape), np.random.default_rng(1).standard_normal(shape)
    y, grad_x = loop_local_response_norm(x, grad, size, alpha, beta, k)
    assert_close(layer(x), y, 1e-13)
    assert_close(layer.backward(grad), grad_x, 1e-13)
    assert_close(layer.eval()(x), y, 1e-13)
    check_gradients(layer, x)


def test_an_even_local_response_norm_has_the_channel_more_before():
    x = np.array([1.0, 2, 4]).reshape(1, 3, 1, 1)
    # Sums of squares of (0, 1), (1, 2), (2, 4), and of (0, 0, 1, 2), (0, 1, 2, 4), (1, 2, 4, 0).
    y = LocalResponseNorm(2, alpha=2.0, beta=1.0)(x).ravel()
    assert_close(y, [1 / 2, 2 / 6, 4 / 21], 1e-15)
    y = LocalResponseNorm(4, alpha=4.0, beta=1.0)(x).ravel()
    assert_close(y, [1 / 6, 2 / 22, 4 / 22], 1e-15)


def test_local_response_norm_starts_as_in_alexnet():
    layer = LocalResponseNorm(5)
    assert (layer.size, layer.alpha, layer.beta, layer.k) == (5, 1e-4, 0.75, 1.0)
    # 100 squared in each of five channels, times 1e-4 / 5, is 1.
    y = LocalResponseNorm(5)(np.full((1, 5, 1, 1), 100.0))
    assert y[0, 2, 0, 0] == pytest.approx(100 / 2**0.75, rel=1e-14)


@pytest.mark.parametrize(("n", "d", "f", "bias"), [(1, 1, 1, True), (3, 4, 2, True), (2, 3, 5, 0)])
def test_linear(n, d, f, bias):
    layer = Linear(d, f, bool(bias), dtype=np.float64, rng=rng())
    x, w = normal(n, d), layer.weight.data
    b = np.arange(1.0, f + 1) if bias else np.zeros(f)
    if bias:
        layer.bias.data[...] = b
    y = layer(x)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    grad_x = layer.backward(grad)
    cells = range(n), range(f), range(d)
    assert_close(
        y, [[sum(w[j, k] * x[i, k] for k in cells[2]) + b[j] for j in cells[1]] for i in cells[0]],
        1e-12,
    )
    assert_close(
        grad_x,
        [[sum(grad[i, j] * w[j, k] for j in cells[1]) for k in cells[2]] for i in cells[0]], 1e-12,
    )
    assert_close(
        layer.weight.grad,
        [[sum(grad[i, j] * x[i, k] for i in cells[0]) for k in cells[2]] for j in cells[1]], 1e-12,
    )
    if bias:
        assert_close(layer.bias.grad, [sum(grad[:, j]) for j in cells[1]], 1e-12)
    check_gradients(layer, x)


def test_flatten():
    layer, x = Flatten(), normal(2, 3, 4, 5)
    y = layer(x)
    assert y.shape == (2, 60)
    assert y[1, (2 * 4 + 3) * 5 + 4] == x[1, 2, 3, 4]
    assert np.array_equal(layer.backward(2 * y), 2 * x)
    check_gradients(layer, x)


# --- SoftmaxCrossEntropy --------------------------------------------------------------------

# scores' shape, ignore_index, reduction, class weights
LOSSES = [
    ((2, 3, 4, 5), 255, "mean", None),
    ((2, 3, 4, 5), 255, "sum", None),
    ((2, 3, 4, 5), 255, "mean", [0.5, 2, 3]),
    ((2, 3, 4, 5), 255, "sum", [0.5, 2, 3]),
    ((2, 3, 4, 5), 255, "mean", [0, 1, 0]),
    ((1, 4, 3, 3), -1, "mean", None),
    ((1, 4, 3, 3), 0, "mean", [5, 1, 2, 3]),
    ((5, 3), 255, "mean", None),
    ((1, 1, 2, 2), 255, "mean", None),
    ((2, 2, 6), 255, "sum", None),
]


@pytest.mark.parametrize(("shape", "ignore_index", "reduction", "weight"), LOSSES)
def test_softmax_cross_entropy(shape, ignore_index, reduction, weight):
    scores = 3 * normal(*shape)
    labels = rng().integers(0, shape[1], (shape[0], *shape[2:]))
    labels.flat[1::4] = ignore_index
    layer = SoftmaxCrossEntropy(ignore_index, reduction, weight)
    loss = layer(scores, labels)
    expected, grad = loop_softmax_cross_entropy(scores, labels, ignore_index, reduction, weight)
    assert type(loss) is float
    assert loss == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert_close(layer.backward(), grad, 1e-13)
    layer(scores, labels)
    assert_close(layer.backward(-2.5), -2.5 * grad, 1e-13)
    check_gradients(layer, scores, labels)


def test_loss_of_known_scores():
    """Two classes, scores 0 and log 3: probabilities 1/4 and 3/4."""
    scores = np.array([0, np.log(3)]).reshape(1, 2, 1, 1)
    layer = SoftmaxCrossEntropy()
    assert layer(scores, np.array([[[1]]])) == pytest.approx(np.log(4 / 3))
    assert_close(layer.backward().ravel(), [0.25, -0.25], 1e-15)
    assert layer(scores, np.array([[[0]]])) == pytest.approx(np.log(4))
    assert_close(layer.backward().ravel(), [-0.75, 0.75], 1e-15)


def test_mean_divides_by_the_labeled_pixels():
    scores = np.zeros((1, 4, 1, 3))
    labels = np.array([[[2, 255, 0]]], np.uint8)
    assert SoftmaxCrossEntropy()(scores, labels) == pytest.approx(np.log(4))
    assert SoftmaxCrossEntropy(reduction="sum")(scores, labels) == pytest.approx(2 * np.log(4))
    # With weights by the sum of the weights of the labeled pixels.
    weighted = SoftmaxCrossEntropy(weight=[1, 1, 3, 1])
    scores[0, 2] = np.log(2)
    # Probabilities 1/5, 1/5, 2/5, 1/5.
    expected = (3 * np.log(5 / 2) + 1 * np.log(5)) / (3 + 1)
    assert weighted(scores, labels) == pytest.approx(expected)


@FLOATS
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_scores_do_no_harm(size, dtype):
    scores = np.array([[size, -size, 0], [0, size, size]], dtype).T[None, :, None, :]
    layer = SoftmaxCrossEntropy(reduction="sum")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = layer(scores, np.array([[[0, 1]]]))
        grad = layer.backward()
        assert loss == pytest.approx(np.log(2), rel=1e-6)
        assert_close(grad[0, :, 0].T, [[0, 0, 0], [0, -0.5, 0.5]], 1e-6)
        # As wrong as can be: the loss is how far the label's score is below the largest.
        loss = layer(scores, np.array([[[1, 0]]]))
        assert loss == pytest.approx(2 * size + (size + np.log(2)), rel=1e-6)
        assert_close(layer.backward()[0, :, 0].T, [[1, -1, 0], [-1, 0.5, 0.5]], 1e-6)


@FLOATS
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, [1, 2, 3]])
def test_nothing_labeled_is_loss_0_and_gradient_0(reduction, weight, dtype):
    layer = SoftmaxCrossEntropy(reduction=reduction, weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert layer(normal(2, 3, 4, 4, dtype=dtype), np.full((2, 4, 4), 255, np.uint8)) == 0.0
        grad = layer.backward()
    assert grad.shape == (2, 3, 4, 4) and grad.dtype == dtype
    assert not grad.any()


def test_only_weightless_classes_labeled_is_loss_0_and_gradient_0():
    layer = SoftmaxCrossEntropy(weight=[0, 1])
    assert layer(normal(1, 2, 3, 3), np.zeros((1, 3, 3), int)) == 0.0
    assert not layer.backward().any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int64, np.uint64])
def test_labels_may_have_any_integer_dtype(dtype):
    scores, labels = normal(1, 3, 2, 2), np.array([[[0, 1], [2, 100]]])
    expected, _ = loop_softmax_cross_entropy(scores, labels, 100)
    loss = SoftmaxCrossEntropy(100)(scores, labels.astype(dtype))
    assert loss == pytest.approx(expected, rel=1e-12)


def test_an_ignored_label_has_no_gradient():
    layer, scores = SoftmaxCrossEntropy(), normal(1, 3, 2, 2)
    layer(scores, np.array([[[0, 255], [1, 2]]]))
    grad = layer.backward()
    assert not grad[0, :, 0, 1].any()
    assert np.abs(grad).sum(axis=1)[0, [0, 1, 1], [0, 0, 1]].all()


def test_an_ignored_pixel_may_have_any_score():
    layer, scores = SoftmaxCrossEntropy(), np.zeros((1, 2, 1, 2), np.float32)
    scores[0, 0, 0, 1] = -np.inf
    assert layer(scores, np.array([[[1, 255]]])) == pytest.approx(np.log(2))
    assert_close(layer.backward()[0, :, 0], [[0.5, 0], [-0.5, 0]], 1e-7)


def test_the_losses_of_pixels_are_summed_in_float64():
    scores, labels = np.zeros((1, 2, 7, 15), np.float32), np.zeros((1, 7, 15), int)
    one = SoftmaxCrossEntropy(reduction="sum")(scores[..., :1, :1], labels[..., :1, :1])
    many = SoftmaxCrossEntropy(reduction="sum")(scores, labels)
    assert many == pytest.approx(105 * one, rel=1e-14)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[[0, 3]]]), r"labels from 0 to 2 or 255.*got 3 at \(0, 0, 1\)"),
        (np.array([[[-1, 0]]]), r"labels from 0 to 2 or 255.*got -1 at \(0, 0, 0\)"),
        (np.array([[[0, 254]]], np.uint8), r"labels from 0 to 2.*got 254 at \(0, 0, 1\)"),
        (np.array([[[0.0, 1.0]]]), "expected labels.*integer.*got float64"),
        (np.array([[[True, False]]]), "expected labels.*integer.*got bool"),
        (np.array([[0, 1]]), r"expected labels.*\(1, 1, 2\).*got.*\(1, 2\)"),
        (np.array([[[0], [1]]]), r"expected labels.*\(1, 1, 2\).*got.*\(1, 2, 1\)"),
        ([[[0, 1]]], "expected labels.*got list"),
    ],
)
def test_bad_labels_are_errors(labels, message):
    with pytest.raises(ValueError, match=message):
        SoftmaxCrossEntropy()(normal(1, 3, 1, 2), labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SoftmaxCrossEntropy(reduction="none"), "'mean' or 'sum', got 'none'"),
        (lambda: SoftmaxCrossEntropy(weight=[1, -1]), "expected weight.*at least 0"),
        (lambda: SoftmaxCrossEntropy(weight=[[1, 1]]), "expected weight"),
        (lambda: SoftmaxCrossEntropy(weight=[1, float("nan")]), "expected weight.*finite"),
        (lambda: SoftmaxCrossEntropy(weight=[1, float("inf")]), "expected weight.*finite"),
        (lambda: SoftmaxCrossEntropy(weight=1), "expected weight.*a list"),
        (lambda: SoftmaxCrossEntropy(weight=[]), "expected weight.*a list"),
        (
            lambda: SoftmaxCrossEntropy(weight=[1, 1])(np.zeros((1, 3)), np.array([0])),
            "expected 3 class weights.*got 2",
        ),
        (
            lambda: SoftmaxCrossEntropy()(np.zeros((1, 3), int), np.array([0])),
            "expected scores.*floating.*got int64",
        ),
        (lambda: SoftmaxCrossEntropy()(np.zeros(3), np.array(0)), r"expected scores.*got.*\(3,\)"),
    ],
)
def test_bad_losses_are_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("weight", [None, [0.5, 2, 3]])
def test_the_mean_of_many_pixels_in_float16(weight):
    """The number of pixels is beyond float16, whose largest number is 65,504."""
    scores = 3 * normal(1, 3, 300, 240, dtype=np.float16)
    labels = rng().integers(0, 3, (1, 300, 240))
    layer, exact = SoftmaxCrossEntropy(weight=weight), SoftmaxCrossEntropy(weight=weight)
    expected = exact(scores.astype(np.float64), labels)
    assert layer(scores, labels) == pytest.approx(expected, rel=1e-6)
    assert layer.total == exact.total > 65504
    grad, exact_grad = layer.backward(2.0**14), exact.backward(2.0**14)
    assert grad.dtype == np.float16
    assert_close(grad, exact_grad, 2.0**-11)


def test_a_float16_loss_overflows_no_earlier_than_a_float32_one():
    layer = SoftmaxCrossEntropy(reduction="sum", weight=[1e5, 1])
    assert layer(np.zeros((1, 2), np.float16), np.array([0])) == pytest.approx(1e5 * np.log(2))
    assert_close(layer.backward(1e-3), [[-50, 50]], 1e-3)


@FLOATS
@pytest.mark.parametrize("unit", [1e-44, 1e-30, 1e30, 1e38])
def test_the_unit_of_the_weights_does_not_matter_to_the_mean(unit, dtype):
    scores, labels = normal(1, 3, 4, 5, dtype=dtype), rng().integers(0, 3, (1, 4, 5))
    layer = SoftmaxCrossEntropy(weight=[unit, 2 * unit, 3 * unit])
    expected = SoftmaxCrossEntropy(weight=[1, 2, 3])
    tolerance = float(4 * np.finfo(dtype).eps)
    assert layer(scores, labels) == pytest.approx(expected(scores, labels), rel=tolerance)
    assert_close(layer.backward(), expected.backward(), tolerance)


@FLOATS
def test_without_weights_each_factor_is_one_over_the_number_of_pixels(dtype):
    """To the bit: a gradient in two classes with equal scores is half of it."""
    layer = SoftmaxCrossEntropy()
    layer(np.zeros((1, 2, 7, 7), dtype), np.zeros((1, 7, 7), int))
    assert (layer.backward()[:, 1] == dtype(0.5) * (dtype(1) / dtype(49))).all()


@pytest.mark.parametrize(("dtype", "size"), [
    (np.float16, 3.5e38), (np.float32, 3.5e38), (np.float64, 1.7e308),
])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_beyond_the_dtype_are_refused(dtype, size, reduction):
    layer = SoftmaxCrossEntropy(reduction=reduction, weight=[size, 1])
    message = r"class weights .* float\d\d .*got (3.5e\+38|1.7e\+308)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            layer(np.zeros((2, 2), dtype), np.array([0, 0]))


# --- What all layers promise ----------------------------------------------------------------

# name: (make, shapes of the inputs). All are large enough that what is kept shows.
LAYERS = {
    "Conv2d": (lambda dtype: Conv2d(3, 4, 3, padding=1, dtype=dtype, rng=rng()), [(2, 3, 14, 15)]),
    "Conv2d-1x1": (lambda dtype: Conv2d(3, 4, 1, dtype=dtype, rng=rng()), [(2, 3, 14, 15)]),
    "Conv2d-stride": (
        lambda dtype: Conv2d(3, 4, 3, 2, 1, bias=False, dtype=dtype, rng=rng()), [(2, 3, 14, 15)]
    ),
    "Conv2d-groups": (
        lambda dtype: Conv2d(4, 6, 3, padding=1, groups=2, dtype=dtype, rng=rng()), [(2, 4, 12, 13)]
    ),
    "ConvTranspose2d": (
        lambda dtype: ConvTranspose2d(3, 2, 4, 2, bias=True, dtype=dtype, rng=rng()),
        [(2, 3, 14, 15)],
    ),
    "MaxPool2d": (lambda dtype: MaxPool2d(2), [(2, 3, 28, 30)]),
    "MaxPool2d-padding": (
        lambda dtype: MaxPool2d(3, 2, 1, ceil_mode=True), [(2, 3, 28, 29)]
    ),
    "MaxPool2d-overlap": (lambda dtype: MaxPool2d(3, 2, ceil_mode=True), [(2, 3, 28, 29)]),
    "MaxPool2d-dilated": (lambda dtype: MaxPool2d(3, 2, 1, dilation=2), [(2, 3, 28, 29)]),
    "ReLU": (lambda dtype: ReLU(), [(2, 3, 14, 15)]),
    "Dropout2d": (lambda dtype: Dropout2d(rng=rng()), [(20, 30, 2, 2)]),
    "Crop": (lambda dtype: Crop((1, 2)), [(2, 3, 14, 15), (1, 1, 9, 8)]),
    "Sum": (lambda dtype: Sum(), [(2, 3, 14, 15)] * 2),
    "Concat": (lambda dtype: Concat(), [(2, 3, 14, 15)] * 2),
    "Scale": (lambda dtype: Scale(0.3), [(2, 3, 14, 15)]),
    "LocalResponseNorm": (lambda dtype: LocalResponseNorm(5, 2.0), [(2, 7, 9, 8)]),
    "AdaptiveAvgPool2d": (lambda dtype: AdaptiveAvgPool2d((3, 4)), [(2, 3, 14, 15)]),
    "BilinearResize": (lambda dtype: BilinearResize(), [(2, 3, 14, 15), (1, 1, 9, 20)]),
    "Linear": (lambda dtype: Linear(30, 4, dtype=dtype, rng=rng()), [(20, 30)]),
    "Flatten": (lambda dtype: Flatten(), [(2, 3, 14, 15)]),
    "Sequential": (
        lambda dtype: Sequential(
            Conv2d(3, 4, 3, padding=1, dtype=dtype, rng=rng()),
            ReLU(),
            MaxPool2d(2, ceil_mode=True),
            Dropout2d(rng=rng()),
            ConvTranspose2d(4, 2, 4, 2, dtype=dtype, rng=rng()),
        ),
        [(2, 3, 14, 15)],
    ),
}
# These keep no array, only shapes.
KEEP_NO_ARRAY = {"Crop", "Sum", "Concat", "Scale", "Flatten"}
WITH_PARAMETERS = [
    "Conv2d", "Conv2d-1x1", "Conv2d-stride", "Conv2d-groups", "ConvTranspose2d", "Linear",
    "Sequential",
]
each_layer = pytest.mark.parametrize("name", LAYERS)


def build(name, dtype=np.float64):
    """Return a layer of the table and inputs for it."""
    make, shapes = LAYERS[name]
    draw = np.random.default_rng(2)
    return make(dtype), [draw.standard_normal(shape).astype(dtype) for shape in shapes]


def gradient_like(y):
    return np.random.default_rng(3).standard_normal(y.shape).astype(y.dtype)


@each_layer
def test_calling_is_forward(name):
    (layer, inputs), (other, _) = build(name), build(name)
    assert np.array_equal(layer(*inputs), other.forward(*inputs))


@each_layer
def test_backward_before_forward_says_so(name):
    layer, inputs = build(name)
    grad = gradient_like(layer(*inputs))
    fresh, _ = build(name)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        fresh.backward(grad)


@each_layer
def test_a_second_backward_says_so(name):
    layer, inputs = build(name)
    grad = gradient_like(layer(*inputs))
    layer.backward(grad)
    with pytest.raises(RuntimeError, match="after a backward"):
        layer.backward(grad)


@each_layer
def test_backward_in_eval_mode_says_so(name):
    layer, inputs = build(name)
    grad = gradient_like(layer(*inputs))
    # What was kept in train mode is dropped as well.
    layer.eval()
    with pytest.raises(RuntimeError, match="eval mode"):
        layer.backward(grad)
    layer(*inputs)
    with pytest.raises(RuntimeError, match="eval mode"):
        layer.backward(grad)
    layer.train()
    layer(*inputs)
    assert layer.backward(grad) is not None


@each_layer
def test_nothing_is_kept_after_backward_and_in_eval_mode(name):
    """The pickle of a layer holds all that it keeps."""
    layer, inputs = build(name)

    def size():
        return len(pickle.dumps(layer))

    layer(*inputs)
    layer.backward(gradient_like(layer(*inputs)))
    empty = size()
    assert empty <= len(pickle.dumps(build(name)[0])) + 100
    grad = gradient_like(layer(*inputs))
    if name not in KEEP_NO_ARRAY:
        assert size() > empty + 200
    layer.backward(grad)
    assert size() <= empty + 100
    layer(*inputs)
    layer.eval()
    assert size() <= empty + 100
    layer(*inputs)
    assert size() <= empty + 100


def test_the_loss_keeps_nothing_after_backward_and_in_eval_mode():
    layer, scores, labels = SoftmaxCrossEntropy(), normal(1, 3, 9, 9), np.zeros((1, 9, 9), int)
    empty = len(pickle.dumps(layer))
    with pytest.raises(RuntimeError, match="SoftmaxCrossEntropy.backward needs a forward"):
        layer.backward()
    layer(scores, labels)
    assert len(pickle.dumps(layer)) > empty + 200
    layer.backward()
    assert len(pickle.dumps(layer)) <= empty + 100
    with pytest.raises(RuntimeError, match="after a backward"):
        layer.backward()
    layer.eval()
    layer(scores, labels)
    assert len(pickle.dumps(layer)) <= empty + 100
    with pytest.raises(RuntimeError, match="eval mode"):
        layer.backward()


@FLOATS
def test_the_loss_keeps_dtype_and_arrays(dtype):
    layer, scores = SoftmaxCrossEntropy(), normal(1, 3, 4, 4, dtype=dtype)
    labels = rng().integers(0, 3, (1, 4, 4), dtype=np.uint8)
    labels[0, 0] = 255
    before = scores.copy(), labels.copy()
    scores.flags.writeable = labels.flags.writeable = False
    layer(scores, labels)
    assert layer.backward().dtype == dtype
    assert np.array_equal(scores, before[0]) and np.array_equal(labels, before[1])


@each_layer
@FLOATS
def test_dtype_stays(name, dtype):
    layer, inputs = build(name, dtype)
    y = layer(*inputs)
    assert y.dtype == dtype
    grads = layer.backward(gradient_like(y))
    for grad in grads if isinstance(grads, tuple) else (grads,):
        assert grad.dtype == dtype
    for parameter in layer.parameters():
        assert parameter.data.dtype == parameter.grad.dtype == dtype
    assert layer.eval()(*inputs).dtype == dtype


@each_layer
def test_the_gradient_has_the_inputs_shape(name):
    layer, inputs = build(name)
    grads = layer.backward(gradient_like(layer(*inputs)))
    grads = grads if isinstance(grads, tuple) else (grads,)
    assert [g.shape for g in grads] == [x.shape for x in inputs][: len(grads)]


@each_layer
def test_arrays_handed_in_are_not_changed(name):
    layer, inputs = build(name)
    y = layer(*inputs)
    grad = gradient_like(y)
    before = [a.copy() for a in (*inputs, grad)]
    parameters = layer.state_dict()
    for a in (*inputs, grad):
        a.flags.writeable = False
    for _ in range(2):
        layer(*inputs)
        layer.backward(grad)
    layer.eval()(*inputs)
    for a, b in zip((*inputs, grad), before):
        assert np.array_equal(a, b)
    for key, value in layer.state_dict().items():
        assert np.array_equal(value, parameters[key])


@each_layer
@pytest.mark.parametrize(
    "layout", [lambda a: np.ascontiguousarray(a[::-1])[::-1], np.asfortranarray]
)
def test_memory_layout_does_not_matter(name, layout):
    (layer, inputs), (other, _) = build(name), build(name)
    y = layer(*inputs)
    grad = gradient_like(y)
    odd = [layout(x) for x in inputs]
    assert_close(other(*odd), y, 1e-13)
    grads, odd_grads = layer.backward(grad), other.backward(layout(grad))
    for a, b in zip(np.atleast_1d(odd_grads), np.atleast_1d(grads)):
        assert_close(a, b, 1e-13)
    for a, b in zip(other.parameters(), layer.parameters()):
        assert_close(a.grad, b.grad, 1e-12)


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_gradients_add_up_until_zero_grad(name):
    layer, inputs = build(name)
    for module in layer.modules():
        if isinstance(module, Dropout2d):
            module.p = 0
    grad = gradient_like(layer(*inputs))
    layer.backward(grad)
    once = [p.grad.copy() for p in layer.parameters()]
    assert all(g.any() for g in once)
    layer(*inputs)
    layer.backward(grad)
    for parameter, g in zip(layer.parameters(), once):
        assert_close(parameter.grad, 2 * g, 1e-12)
    layer.zero_grad()
    for parameter, g in zip(layer.parameters(), once):
        assert parameter.grad.shape == g.shape and not parameter.grad.any()
    layer(*inputs)
    layer.backward(grad)
    for parameter, g in zip(layer.parameters(), once):
        assert_close(parameter.grad, g, 1e-12)
        parameter.zero_grad()
        assert parameter.grad.shape == g.shape and not parameter.grad.any()


@each_layer
def test_a_gradient_of_another_shape_is_named(name):
    layer, inputs = build(name)
    grad = gradient_like(layer(*inputs))
    for wrong in (grad[:1], grad[..., :-1], grad[None], grad.sum()):
        layer(*inputs)
        with pytest.raises(ValueError, match="expected.*grad.*got"):
            layer.backward(wrong)
    layer(*inputs)
    with pytest.raises(ValueError, match="grad.*got list"):
        layer.backward(grad.tolist())


@each_layer
def test_a_gradient_of_another_dtype_is_named(name):
    """Dtypes are not mixed in silence, and the message does not swap the two."""
    layer, inputs = build(name, np.float32)
    grad = gradient_like(layer(*inputs))
    for wrong in (np.float64, np.int64):
        layer(*inputs)
        with pytest.raises(ValueError, match=f"expected.*grad.*got {np.dtype(wrong)}"):
            layer.backward(grad.astype(wrong))
    assert not any(p.grad.any() for p in layer.parameters())


@each_layer
def test_inputs_that_are_no_floating_arrays_are_named(name):
    layer, inputs = build(name)
    for wrong, message in [
        ([x.astype(np.int64) for x in inputs], "expected.*floating.*got int64"),
        ([x.tolist() for x in inputs], "expected.*array.*got list"),
        ([x[:0] for x in inputs], r"expected.*empty.*got \(0, "),
    ]:
        with pytest.raises(ValueError, match=message):
            layer(*wrong)


@each_layer
def test_masked_arrays_and_matrices_are_refused(name):
    """Layers would compute with the values under a mask; for a matrix, * is another product."""
    layer, inputs = build(name)
    with pytest.raises(ValueError, match="expected .*plain.*got a MaskedArray: fill it first"):
        layer(*map(np.ma.masked_array, inputs))
    grad = gradient_like(layer(*inputs))
    with pytest.raises(ValueError, match="expected.*plain array, got a MaskedArray"):
        layer.backward(np.ma.masked_array(grad))


def test_the_loss_refuses_masks():
    """A mask is not `ignore_index`: the values under it would count."""
    scores, labels = normal(1, 3, 2, 2), np.zeros((1, 2, 2), int)
    with pytest.raises(ValueError, match="expected labels to be a plain array, got a MaskedArray"):
        SoftmaxCrossEntropy()(scores, np.ma.masked_array(labels, True))
    with pytest.raises(ValueError, match="expected weight to be a plain array, got a MaskedArray"):
        SoftmaxCrossEntropy(weight=np.ma.masked_array([1.0, 2, 3], [0, 0, 1]))


def test_a_matrix_is_refused_and_a_file_in_memory_is_not(tmp_path):
    layer = Linear(3, 2, rng=rng())
    with pytest.raises(ValueError, match="x to be a plain array, got a matrix: convert it with np"):
        layer(np.ones((4, 3), np.float32).view(np.matrix))
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(4, 3))
    mapped[...] = normal(4, 3)
    assert np.array_equal(layer(mapped), layer(np.array(mapped)))


@pytest.mark.parametrize("name", WITH_PARAMETERS)
@pytest.mark.parametrize(("own", "other"), [(np.float32, np.float64), (np.float64, np.float32)])
def test_another_dtype_than_the_parameters_is_named(name, own, other):
    layer, inputs = build(name, own)
    message = f"expected.*x of {np.dtype(own)}, the dtype of.*got {np.dtype(other)}"
    with pytest.raises(ValueError, match=message):
        layer(*[x.astype(other) for x in inputs])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Conv2d(3, 2, 3)(np.zeros((3, 8, 8))), r"expected x.*\(N, 3, H, W\).*\(3, 8, 8\)"),
        (
            lambda: Conv2d(3, 2, 3)(np.zeros((1, 2, 8, 8))),
            r"expected x.*\(N, 3, H, W\).*\(1, 2, 8, 8\)",
        ),
        (
            lambda: Conv2d(3, 2, 3)(np.zeros((1, 3, 2, 8), np.float32)),
            r"size \(2, 8\).*kernel_size \(3, 3\)",
        ),
        (
            lambda: ConvTranspose2d(3, 2, 3)(np.zeros((1, 2, 8, 8))),
            r"ConvTranspose2d: x.*\(N, 3, H, W\).*\(1, 2, 8, 8\)",
        ),
        (
            lambda: ConvTranspose2d(1, 1, 2, padding=1)(np.zeros((1, 1, 1, 1), np.float32)),
            r"empty.*\(1, 1\).*\(0, 0\)",
        ),
        (lambda: MaxPool2d(2)(np.zeros((3, 8, 8))), r"MaxPool2d: x.*\(N, C, H, W\).*\(3, 8, 8\)"),
        (lambda: MaxPool2d(3)(np.zeros((1, 1, 2, 8))), r"size \(2, 8\).*kernel_size \(3, 3\)"),
        (lambda: Dropout2d()(np.zeros(3)), r"Dropout2d: x.*\(N, C, \.\.\.\).*\(3,\)"),
        (lambda: Crop(0)(np.zeros((8, 8)), np.zeros((1, 1, 2, 2))), r"Crop: x.*\(8, 8\)"),
        (lambda: Crop(0)(np.zeros((1, 1, 8, 8)), np.zeros((2, 2))), r"Crop: like.*\(2, 2\)"),
        (lambda: Sum()(np.zeros((2, 3)), np.zeros((2, 1))), r"Sum: b.*\(2, 3\).*got.*\(2, 1\)"),
        (lambda: Sum()(np.zeros(2), np.zeros(2, "f4")), "Sum: b.*float64.*got float32"),
        (lambda: Linear(3, 2)(np.zeros((4, 2))), r"Linear: x.*\(N, 3\).*\(4, 2\)"),
        (lambda: Linear(3, 2)(np.zeros(3)), r"Linear: x.*\(N, 3\).*\(3,\)"),
        (lambda: Conv2d(0, 2, 3), "expected in_channels.*at least 1, got 0"),
        (lambda: Conv2d(3, 2.0, 3), "expected out_channels.*got 2.0"),
        (lambda: Conv2d(3, 2, 0), "expected kernel_size.*got 0"),
        (lambda: Conv2d(3, 2, 3, 0), "expected stride.*got 0"),
        (lambda: Conv2d(3, 2, 3, padding=-1), "expected padding.*got -1"),
        (lambda: Conv2d(3, 2, 3, dilation=(1, 0)), r"expected dilation.*got \(1, 0\)"),
        (lambda: Conv2d(4, 6, 3, groups=0), "expected groups.*at least 1, got 0"),
        (lambda: Conv2d(4, 6, 3, groups=2.0), "expected groups.*got 2.0"),
        (lambda: Conv2d(4, 6, 3, groups=True), "expected groups.*got True"),
        (lambda: Conv2d(4, 6, 3, groups=3), "groups to divide in_channels, got 3 groups for 4"),
        (lambda: Conv2d(4, 6, 3, groups=4), "groups to divide out_channels, got 4 groups for 6"),
        (
            lambda: Conv2d(4, 6, 3, groups=2)(np.zeros((1, 2, 8, 8), np.float32)),
            r"expected x.*\(N, 4, H, W\).*\(1, 2, 8, 8\)",
        ),
        (
            lambda: Conv2d(4, 6, 3, groups=2).load_state_dict(
                {"weight": np.zeros((6, 4, 3, 3)), "bias": np.zeros(6)}
            ),
            r"weight.*\(6, 2, 3, 3\), got \(6, 4, 3, 3\)",
        ),
        (lambda: LocalResponseNorm(0), "expected size.*at least 1, got 0"),
        (lambda: LocalResponseNorm(2.5), "expected size.*got 2.5"),
        (lambda: LocalResponseNorm(5, -1e-4), "alpha of at least 0.*got -0.0001, 0.75 and 1.0"),
        (lambda: LocalResponseNorm(5, k=0), "k above 0, got 0.0001, 0.75 and 0"),
        (lambda: LocalResponseNorm(5, 1, None), "finite numbers alpha.*got 1, None and 1.0"),
        (lambda: LocalResponseNorm(5, True), "finite numbers alpha.*got True, 0.75 and 1.0"),
        (
            lambda: LocalResponseNorm(5)(np.zeros((3, 8, 8))),
            r"LocalResponseNorm: x.*\(N, C, H, W\).*\(3, 8, 8\)",
        ),
        (lambda: Conv2d(3, 2, 3, dtype=int), "expected a floating dtype, got int64"),
        (lambda: ConvTranspose2d(3, 2, 3, output_padding=-1), "expected output_padding.*got -1"),
        (lambda: ConvTranspose2d(3, 2, 3, 2, 0, 2), r"output_padding below.*\(2, 2\), got \(2, 2"),
        (lambda: ConvTranspose2d(3, 2, 3, (3, 1), 0, (2, 1)), r"below.*\(3, 1\), got \(2, 1\)"),
        (lambda: ConvTranspose2d(3, 2, 3, 1, 0, 1, 2), r"below the stride.*got \(1, 1\)"),
        (lambda: MaxPool2d(0), "expected kernel_size.*got 0"),
        (lambda: MaxPool2d(2, 0), "expected stride.*got 0"),
        (lambda: MaxPool2d(2, dilation=0), "expected dilation.*got 0"),
        (lambda: MaxPool2d(3, 1, 2, dilation=2), r"padding of at most half.*got \(2, 2\)"),
        (lambda: MaxPool2d(3, dilation=2)(np.zeros((1, 1, 4, 8))), r"size \(4, 8\).*\(2, 2\)"),
        (lambda: MaxPool2d(3, 1, 2), r"padding of at most half.*\(3, 3\), got \(2, 2\)"),
        (lambda: MaxPool2d((4, 1), 1, (2, 1)), r"padding of at most half.*got \(2, 1\)"),
        (lambda: Crop(-1), "expected offset.*got -1"),
        (lambda: Crop((1, 2, 3)), r"expected offset.*got \(1, 2, 3\)"),
        (lambda: Linear(0, 1), "expected in_features.*got 0"),
        (lambda: Sequential(), "at least one layer"),
        (lambda: bilinear_kernel(0), "expected kernel_size.*got 0"),
        (lambda: bilinear_kernel(4, int), "expected a floating dtype, got int64"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- Module, Parameter, Sequential ----------------------------------------------------------


class Net(Module):
    """A network whose attributes are in an order of their own."""

    def __init__(self):
        self.second = Conv2d(1, 2, 1, dtype=np.float64, rng=rng())
        self.inner = Sequential(
            Linear(2, 3, bias=False, dtype=np.float64, rng=rng()), ReLU(),
            Linear(3, 1, dtype=np.float64, rng=rng()),
        )
        self.first = Conv2d(2, 1, 1, bias=False, dtype=np.float64, rng=rng())
        self.offset = Parameter(np.arange(3.0))
        self._again = [self.first]
        self._hidden = self.first
        self.not_a_layer = np.zeros(3)


NAMES = [
    "offset", "second.weight", "second.bias", "inner.0.weight", "inner.2.weight", "inner.2.bias",
    "first.weight",
]


def test_names_follow_the_attributes():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert list(net.state_dict()) == NAMES
    modules = ["", "second", "inner", "inner.0", "inner.1", "inner.2", "first"]
    assert [name for name, _ in net.named_modules()] == modules
    assert list(net.modules())[0] is net
    parameters = list(net.parameters())
    assert parameters[0] is net.offset and parameters[1] is net.second.weight
    assert [name for name, _ in net.children()] == ["second", "inner", "first"]


def test_train_and_eval_reach_all_modules():
    net = Net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert all(module.training for module in net.modules())


def test_state_dict_is_a_copy():
    net = Net()
    state = net.state_dict()
    state["offset"][...] = 7
    assert net.offset.data.tolist() == [0, 1, 2]
    net.offset.data[...] = 8
    assert state["offset"].tolist() == [7, 7, 7]


def test_load_state_dict_takes_what_state_dict_gives():
    net, other = Net(), Net()
    for value in net.parameters():
        value.data[...] = np.random.default_rng(5).standard_normal(value.data.shape)
    state = net.state_dict()
    arrays = {name: p.data for name, p in other.named_parameters()}
    report = other.load_state_dict(state)
    assert (report.missing, report.unexpected) == ([], [])
    for name, parameter in other.named_parameters():
        assert np.array_equal(parameter.data, state[name])
        # The values are copied into the arrays that the layers have, not put in their place.
        assert parameter.data is arrays[name]
        assert not np.shares_memory(parameter.data, state[name])


def test_load_state_dict_casts():
    net = Linear(2, 2, dtype=np.float32, rng=rng())
    net.load_state_dict({"weight": np.array([[1, 2], [3, 4]]), "bias": np.array([0.1, 0.2])})
    assert net.weight.data.dtype == net.bias.data.dtype == np.float32
    assert net.weight.data.tolist() == [[1, 2], [3, 4]]
    assert np.array_equal(net.bias.data, np.array([0.1, 0.2], np.float32))
    state = {"weight": np.full((2, 2), 200, np.uint8), "bias": np.array([0.5, 0.25])}
    net.load_state_dict(state, assign=True)
    assert net.weight.data.dtype == net.bias.data.dtype == np.float32
    assert net.weight.data.tolist() == [[200, 200]] * 2 and net.bias.data.tolist() == [0.5, 0.25]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first.weight": np.zeros((1, 2))}, r"first.weight.*\(1, 2, 1, 1\), got \(1, 2\)"),
        ({"first.weight": np.zeros((1, 1, 1, 1))}, r"first.weight.*got \(1, 1, 1, 1\)"),
        ({"first.weight": np.full((1, 2, 1, 1), "a")}, "numbers for first.weight, got dtype <U1"),
        ({"first.weight": np.full((1, 2, 1, 1), 1j)}, "numbers for first.weight.*complex"),
        (
            {"first.weight": np.ma.masked_array(np.ones((1, 2, 1, 1)), True)},
            "expected first.weight to be a plain array, got a MaskedArray",
        ),
    ],
)
def test_load_state_dict_is_all_or_nothing(strict, change, message):
    """The wrong value comes last; what stands before it is not loaded either."""
    net = Net()
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    with pytest.raises(ValueError, match=message):
        net.load_state_dict({**state, **change}, strict=strict)
    for name, value in net.state_dict().items():
        assert np.array_equal(value, before[name])


def test_load_state_dict_strict_names_what_does_not_match():
    net = Net()
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    del state["offset"]
    with pytest.raises(ValueError, match="missing offset, unexpected none"):
        net.load_state_dict(state)
    state["stranger"] = np.zeros(3)
    with pytest.raises(ValueError, match="missing offset, unexpected stranger"):
        net.load_state_dict(state)
    state["offset"] = np.zeros(3)
    with pytest.raises(ValueError, match="missing none, unexpected stranger"):
        net.load_state_dict(state)
    for name, value in net.state_dict().items():
        assert np.array_equal(value, before[name])


@pytest.mark.parametrize("missing", [True, False])
def test_names_from_a_file_cannot_make_a_message_long_or_write_to_a_terminal(missing):
    net = Net()
    strangers = {f"\x1b[31m{'very_long_' * 100}{i}": np.zeros(3) for i in range(9)}
    state = strangers if missing else {**net.state_dict(), **strangers}
    with pytest.raises(ValueError, match="the names do not match this Net") as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500
    assert r"unexpected \x1b[31mvery_long" in message and message.endswith(" and 3 more")


@pytest.mark.parametrize(("n", "end"), [(6, "n5"), (7, "n5 and 1 more")])
def test_six_names_are_listed(n, end):
    with pytest.raises(ValueError, match=f"unexpected n0, n1, n2, n3, n4, {end}$"):
        Net().load_state_dict({f"n{i}": np.zeros(1) for i in range(n)})


def test_load_state_dict_not_strict_returns_what_it_skipped():
    net = Net()
    state = {
        "stranger": np.zeros(3), "second.bias": np.array([5.0, 6.0]), "another": np.array("text"),
    }
    report = net.load_state_dict(state, strict=False)
    assert report.missing == [name for name in NAMES if name != "second.bias"]
    assert report.unexpected == ["stranger", "another"]
    assert net.second.bias.data.tolist() == [5, 6]
    assert net.offset.data.tolist() == [0, 1, 2]


def test_a_parameter_starts_with_a_gradient_of_zeros():
    parameter = Parameter(np.ones((2, 3), np.float32))
    assert parameter.grad.shape == (2, 3) and parameter.grad.dtype == np.float32
    assert not parameter.grad.any()
    assert (parameter.lr_mult, parameter.decay_mult) == (1, 1)


def test_gradients_are_written_or_added():
    parameter = Parameter(np.ones(3))
    array = parameter.grad
    assert parameter.grad is array
    parameter.zero_grad()
    parameter.add_grad(np.array([0.0, 2, 4]))
    parameter.add_grad(np.array([1.0, 2, 3]))
    assert parameter.grad is array and parameter.grad.tolist() == [1, 4, 7]
    parameter.zero_grad()
    assert parameter.grad.tolist() == [0, 0, 0]
    parameter.grad += 5
    parameter.add_grad(np.full(3, 2.0))
    assert parameter.grad.tolist() == [7, 7, 7]
    parameter.zero_grad()
    parameter.grad = np.full(3, 4.0)
    parameter.add_grad(np.full(3, 2.0))
    assert parameter.grad.tolist() == [6, 6, 6]


def test_a_gradient_may_be_computed_into_the_buffer_while_it_is_zero():
    parameter = Parameter(np.ones(3))
    array = parameter.grad
    assert parameter.buffer is None  # somebody has looked, and may have written
    parameter.zero_grad()
    assert parameter.buffer is array
    parameter.add_grad(np.multiply(np.arange(3.0), 2, out=parameter.buffer))
    assert parameter.grad is array and parameter.grad.tolist() == [0, 2, 4]
    assert parameter.buffer is None
    parameter.add_grad(np.multiply(np.arange(3.0), 2, out=parameter.buffer))
    assert parameter.grad.tolist() == [0, 4, 8]


def test_the_first_gradient_is_not_the_array_that_was_handed_in():
    parameter, value = Parameter(np.ones(3)), np.ones(3)
    parameter.zero_grad()
    parameter.add_grad(value)
    assert parameter.grad is not value
    parameter.add_grad(value)
    assert value.tolist() == [1, 1, 1]


def test_a_gradient_that_could_not_be_computed_is_zero():
    parameter = Parameter(np.ones(3))
    parameter.zero_grad()
    parameter.buffer[0] = 1  # and then nothing comes of it
    assert not parameter.grad.any()


def test_astype_turns_all_parameters():
    net = Net()
    assert net.astype(np.float32) is net
    for parameter in net.parameters():
        assert parameter.data.dtype == parameter.grad.dtype == np.float32
    assert net.second(normal(1, 1, 2, 2, dtype=np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match="floating dtype, got int64"):
        net.astype(int)


def test_sequential_is_its_layers_one_after_the_other():
    layers = [
        Conv2d(2, 3, 3, dtype=np.float64, rng=rng()), ReLU(), MaxPool2d(2),
        Conv2d(3, 2, 1, dtype=np.float64, rng=rng()),
    ]
    model, x = Sequential(*layers), normal(1, 2, 6, 6)
    y = x
    for layer in layers:
        y = layer(y)
    assert np.array_equal(model(x), y)
    grad = normal(*y.shape)
    grad_x = model.backward(grad)
    from_model = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    model(x)
    for layer in reversed(layers):
        grad = layer.backward(grad)
    assert np.array_equal(grad_x, grad)
    for parameter, g in zip(model.parameters(), from_model):
        assert np.array_equal(parameter.grad, g)
    assert list(model.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "before, after",
    [
        (lambda: Conv2d(2, 2, 1, dtype=np.float64, rng=rng()), lambda: MaxPool2d(2)),
        (lambda: Scale(-1), lambda: Dropout2d(0.0)),
        (lambda: Conv2d(2, 2, 1, dtype=np.float64, rng=rng()), lambda: Scale(2)),
        (lambda: Sequential(Scale(-1)), lambda: Sequential(Scale(-1))),
    ],
)
def test_working_in_place_changes_no_result_and_no_array_of_others(before, after, training):
    results = []
    for inplace in (False, True):
        model, x = Sequential(before(), ReLU(inplace), after()), normal(2, 2, 6, 6)
        (model.train if training else model.eval)()
        y = model(x)
        grad = normal(*y.shape, seed=1)
        results.append([y, model.backward(grad)] if training else [y])
        assert np.array_equal(x, normal(2, 2, 6, 6))
        assert np.array_equal(grad, normal(*y.shape, seed=1))
    for plain, in_place in zip(*results):
        assert np.array_equal(plain, in_place)


def test_relu_works_in_place_if_asked_to():
    x, grad = normal(2, 2, 3, 3), normal(2, 2, 3, 3, seed=1)
    relu, inplace = ReLU(), ReLU(inplace=True)
    y, grad_x = relu(x), relu.backward(grad)
    assert inplace(x) is x
    assert np.array_equal(x, y)
    assert inplace.backward(grad) is grad
    assert np.array_equal(grad, grad_x)


def test_sequential_agrees_with_finite_differences():
    model = Sequential(
        Conv2d(2, 3, 3, padding=2, dtype=np.float64, rng=rng()), ReLU(),
        MaxPool2d(2, ceil_mode=True), Dropout2d(rng=rng()),
        ConvTranspose2d(3, 2, 4, 2, dtype=np.float64, rng=rng()),
    )
    check_gradients(model, normal(2, 2, 5, 4))


def test_a_module_without_forward_says_so():
    with pytest.raises(TypeError, match="Net defines no forward"):
        Net()(np.zeros((1, 1)))


def test_a_pool_sends_the_gradient_of_nan_to_one_cell_of_the_map():
    """Which one does not matter, but it is the same with the engine room and without it."""
    x = np.array([[[[np.nan, 1.0], [2.0, 3.0]]]])
    pool = MaxPool2d(2, 2, padding=1)
    pool(x)
    grad = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert pool.backward(grad).tolist() == [[[[1.0, 2.0], [3.0, 4.0]]]]


def test_a_gradient_that_is_set_is_copied():
    parameter, mine = Parameter(np.ones((2, 2), np.float32)), np.asfortranarray(np.eye(2))
    parameter.grad = mine
    assert parameter.grad.dtype == np.float32 and parameter.grad.flags.c_contiguous
    parameter.zero_grad()
    parameter.add_grad(np.full((2, 2), 7.0, np.float32))
    assert mine.tolist() == [[1, 0], [0, 1]]
    parameter.add_grad(parameter.grad)
    assert (parameter.grad == 14).all()


def test_read_only_arrays_are_copied_and_not_assigned():
    layer = Linear(2, 1, rng=rng())
    weight = np.ones((1, 2), np.float32)
    weight.flags.writeable = False
    layer.load_state_dict({"weight": weight}, strict=False, assign=True)
    assert layer.weight.data is not weight
    layer.weight.data += 1


def test_a_gradient_that_is_changed_in_place_is_not_copied():
    parameter = Parameter(np.ones(3))
    array = parameter.grad
    parameter.grad += 6
    parameter.grad /= 2
    assert parameter.grad is array and array.tolist() == [3, 3, 3]
