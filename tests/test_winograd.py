"""Winograd's algorithm, held to im2col; and when it is taken."""

import numpy as np
import pytest
from references import assert_close

from fcn_numpy import conv2d, conv2d_input, conv2d_weight
from fcn_numpy.convolution import algorithm
from fcn_numpy.fast import blas, winograd
from fcn_numpy.fast.finish import Finish
from fcn_numpy.nn import MaxPool2d

# (N, C, F), (H, W), padding
CONFIGURATIONS = [
    pytest.param((1, 1, 1), (3, 3), (0, 0), id="one-cell"),
    pytest.param((1, 2, 3), (1, 1), (1, 1), id="one-pixel"),
    pytest.param((2, 3, 2), (6, 6), (0, 0), id="one-tile"),
    pytest.param((1, 3, 4), (7, 10), (1, 1), id="tiles-cut-off"),
    pytest.param((3, 2, 5), (9, 8), (1, 1), id="batch"),
    pytest.param((1, 2, 2), (5, 6), (2, 2), id="full"),
    pytest.param((2, 2, 3), (3, 2), (7, 9), id="padding-above-a-tile"),
    pytest.param((1, 2, 3), (17, 5), (0, 2), id="padding-pair"),
    pytest.param((1, 40, 33), (30, 21), (1, 1), id="many-channels"),
]
# The most tiles of a block: more than there are, a few, one.
BLOCKS = {"one-block": 10**9, "few-tiles": 5, "one-tile": 1}


def arrays(counts, size, padding, dtype=np.float32):
    rng = np.random.default_rng(0)
    (n, c, f), (h, w), (ph, pw) = counts, size, padding
    out = (n, f, h + 2 * ph - 2, w + 2 * pw - 2)
    # Weights as of a network: outputs of about the size of the inputs.
    scale = 1 / np.sqrt(9 * c)
    x, weight, grad_y = (
        rng.standard_normal(s).astype(dtype) for s in ((n, c, h, w), (f, c, 3, 3), out)
    )
    return x, (weight * scale).astype(dtype), grad_y


@pytest.fixture(params=BLOCKS.values(), ids=BLOCKS)
def blocks(request, monkeypatch):
    monkeypatch.setattr(winograd, "MAX_TILES", request.param)


@pytest.fixture(params=[1, 3], ids=["one-thread", "three-threads"])
def threads(request, monkeypatch):
    monkeypatch.setattr(blas, "thread_count", lambda: request.param)
    monkeypatch.setattr(winograd, "LARGE_PRODUCT", 0)


def convolve(x, w, padding, finish=None, pool=None):
    """winograd.conv2d into a new array; the pool, if any, is "floor" or "ceil"."""
    h, wd = (n + 2 * p - 2 for n, p in zip(x.shape[2:], padding))
    if pool:
        h, wd = ((n + (pool == "ceil")) // 2 for n in (h, wd))
    out = np.full((len(x), len(w), h, wd), np.nan, np.float32)
    kernel = winograd.transform_kernel(w)
    winograd.conv2d(x, kernel, padding, finish or Finish(), out, pool is not None)
    return out


@pytest.mark.usefixtures("blocks", "threads")
@pytest.mark.parametrize(("counts", "size", "padding"), CONFIGURATIONS)
def test_conv2d(counts, size, padding):
    x, w, _ = arrays(counts, size, padding)
    bias = np.random.default_rng(1).standard_normal(counts[2]).astype(np.float32)
    expected = conv2d(x.astype(np.float64), w.astype(np.float64), padding=padding)
    assert_close(convolve(x, w, padding), expected, 3e-5)
    expected += bias[:, None, None].astype(float)
    assert_close(convolve(x, w, padding, Finish(bias)), expected, 3e-5)
    rectified = convolve(x, w, padding, Finish(bias, relu=True))
    assert_close(rectified, np.maximum(expected, 0), 3e-5)
    for pool in ("floor", "ceil"):
        if pool == "floor" and min(expected.shape[2:]) < 2:
            continue
        pooled = MaxPool2d(2, ceil_mode=pool == "ceil")(rectified)
        fused = convolve(x, w, padding, Finish(bias, relu=True), pool)
        np.testing.assert_array_equal(fused, pooled)
        pooled = MaxPool2d(2, ceil_mode=pool == "ceil")(convolve(x, w, padding))
        np.testing.assert_array_equal(convolve(x, w, padding, pool=pool), pooled)


@pytest.mark.usefixtures("threads")
def test_transform_kernel():
    """Turned by 180 degrees, with its first axes exchanged, it is that of the transpose."""
    w = np.random.default_rng(0).standard_normal((5, 4, 3, 3)).astype(np.float32)
    turned = np.ascontiguousarray(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    expected = winograd.transform_kernel(turned).transpose(0, 2, 1)
    assert_close(winograd.transform_kernel(w, turned=True), expected, 1e-6)


@pytest.mark.usefixtures("blocks", "threads")
@pytest.mark.parametrize(("counts", "size", "padding"), CONFIGURATIONS)
def test_conv2d_weight(counts, size, padding):
    x, w, grad_y = arrays(counts, size, padding)
    expected = conv2d_weight(x.astype(float), grad_y.astype(float), 3, padding=padding)
    out = np.full(w.shape, np.nan, np.float32)
    assert winograd.conv2d_weight(x, grad_y, padding, out) is out
    assert_close(out, expected, 3e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_views_are_fine(transposed):
    """Arrays need not lie in C order; the turned kernel of a gradient does not."""
    x, w, grad_y = arrays((2, 3, 4), (9, 10), (1, 1))
    x, grad_y = (np.repeat(a, 2, axis=3)[..., ::2] for a in (x, grad_y))
    if transposed:
        w = np.ascontiguousarray(w.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    expected = conv2d(x.astype(float), w.astype(float), padding=1)
    assert_close(convolve(x, w, (1, 1)), expected, 3e-5)
    expected = conv2d_weight(x.astype(float), grad_y.astype(float), 3, padding=1)
    assert_close(winograd.conv2d_weight(x, grad_y, (1, 1), np.empty_like(w)), expected, 3e-5)


@pytest.mark.parametrize("points", [(0, 1, -1), winograd.POINTS, (0, 1, -1, 2, -2, 0.5)])
@pytest.mark.parametrize("kernel", [2, 3])
def test_transforms_are_a_correlation(points, kernel):
    rng = np.random.default_rng(0)
    a, g, b = winograd.transforms(points, kernel)
    weights, window = rng.standard_normal(kernel), rng.standard_normal(len(points) + 1)
    expected = np.correlate(window, weights, "valid")
    assert_close(a @ ((g @ weights) * (b @ window)), expected, 1e-12)


def rounding_error(computed, channels=64):
    x, w, _ = arrays((1, channels, 32), (34, 34), (1, 1))
    expected = conv2d(x.astype(float), w.astype(float), padding=1)
    return np.sqrt(np.mean((computed(x, w) - expected) ** 2))


def test_rounding_errors_are_what_is_said_of_them(monkeypatch):
    with algorithm("im2col"):
        plain = rounding_error(lambda x, w: conv2d(x, w, padding=1))
    ours = rounding_error(lambda x, w: convolve(x, w, (1, 1)))
    assert 2 * plain < ours < 20 * plain
    usual = [np.kron(m, m).astype(np.float32) for m in winograd.transforms((0, 1, -1, 2, -2))]
    for name, matrix in zip(("_A", "_G", "_B"), usual):
        monkeypatch.setattr(winograd, name, matrix)
    assert rounding_error(lambda x, w: convolve(x, w, (1, 1))) > 1.5 * ours


# --- When it is taken -----------------------------------------------------------------------


@pytest.fixture
def taken(monkeypatch):
    """Return the list of calls that went through Winograd's algorithm."""
    calls = []

    def note(name, function):
        def noting(*args):
            calls.append(name)
            return function(*args)

        monkeypatch.setattr(winograd, name, noting)

    for name in ("conv2d", "conv2d_weight"):
        note(name, getattr(winograd, name))
    return calls


def call_all(
    dtype=np.float32, channels=(64, 64), kernel=3, size=40, images=1, groups=1, **geometry
):
    rng = np.random.default_rng(0)
    f, c = channels
    x = rng.standard_normal((images, c, size, size)).astype(dtype)
    w = rng.standard_normal((f, c // groups, kernel, kernel)).astype(dtype)
    geometry = {**geometry, "groups": groups}
    y = conv2d(x, w, **geometry)
    return y, conv2d_input(y, w, (size, size), **geometry), conv2d_weight(x, y, kernel, **geometry)


def test_float32_and_3x3_take_it(taken):
    call_all(padding=1)
    assert taken == ["conv2d", "conv2d", "conv2d_weight"]


@pytest.mark.parametrize(
    "other",
    [
        {"dtype": np.float64}, {"dtype": np.float16}, {"channels": (63, 64)},
        {"channels": (64, 63)}, {"size": 9}, {"kernel": 1}, {"kernel": 5}, {"stride": 2},
        {"dilation": 2}, {"channels": (126, 128), "groups": 2},
        {"channels": (128, 126), "groups": 2}, {"channels": (64, 64), "groups": 64},
    ],
    ids=str,
)
def test_others_do_not(taken, other):
    call_all(**other)
    assert not taken


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("channels", [(128, 128), (192, 130)])
def test_each_group_takes_it(taken, images, channels):
    given = {"channels": channels, "size": 38, "images": images, "groups": 2, "padding": 1}
    exact = call_all(np.float64, **given)
    assert not taken
    results = call_all(**given)
    assert taken == ["conv2d"] * 4 + ["conv2d_weight"] * 2
    for value, expected in zip(results, exact):
        assert value.dtype == np.float32
        assert_close(value, expected, 3e-5)
    with algorithm("im2col"):
        for value, expected in zip(call_all(**given), exact):
            assert_close(value, expected, 3e-6)
    assert len(taken) == 6


def test_im2col_can_be_asked_for(taken):
    exact = call_all(np.float64)
    with algorithm("im2col"):
        for value, expected in zip(call_all(), exact):
            assert_close(value, expected, 3e-6)
        with algorithm("auto"):
            call_all()
        assert len(taken) == 3
        call_all()
    assert len(taken) == 3
    call_all()
    assert len(taken) == 6


def test_an_error_in_the_block_ends_it_too(taken):
    with pytest.raises(RuntimeError, match="in the block"), algorithm("im2col"):
        raise RuntimeError("in the block")
    call_all()
    assert taken


def test_unknown_algorithm():
    with pytest.raises(ValueError, match="expected algorithm 'auto' or 'im2col' or 'plain', got"):
        with algorithm("fft"):
            pass


# --- Repeatable -----------------------------------------------------------------------------


@pytest.mark.parametrize("images", [1, 2, 5])
def test_the_same_bits_each_time_and_forward_for_any_number_of_threads(monkeypatch, images):
    x, w, grad_y = arrays((images, 64, 64), (70, 70), (1, 1))
    outputs, weights = [], []
    for count in (3, 3, 2, 1):
        monkeypatch.setattr(blas, "thread_count", lambda count=count: count)
        outputs.append(convolve(x, w, (1, 1)))
        weights.append(winograd.conv2d_weight(x, grad_y, (1, 1), np.empty_like(w)))
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert_close(weights[2], weights[0], 1e-5)
