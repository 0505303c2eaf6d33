"""Bands and pieces: however an array is cut up, and on any threads, the result is the same."""

import numpy as np
import pytest
from configurations import CONFIGURATIONS, GEOMETRY, arrays
from references import assert_close, loop_conv2d, loop_conv2d_input, loop_conv2d_weight

from fcn_numpy import conv2d, conv2d_input, conv2d_weight
from fcn_numpy.fast import bands, blas, flat, threads, transposed
from fcn_numpy.nn import MaxPool2d, ReLU


def share_everything(monkeypatch):
    """Let three threads share every product, however small."""
    monkeypatch.setattr(blas, "thread_count", lambda: 3)
    for module in (bands, flat, transposed):
        monkeypatch.setattr(module, "LARGE_PRODUCT", 0)


@pytest.fixture(params=[False, True], ids=["bands", "line"])
def as_line(request, monkeypatch):
    """im2col in bands of rows, or along a line where the stride is 1, whatever is faster."""
    monkeypatch.setattr(flat, "MAX_WASTE", 10**9 if request.param else 0)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("few_filters", [3, 4])
@pytest.mark.parametrize("band_bytes", [1, 500, 3000])
@pytest.mark.parametrize(
    ("kernel_size", *GEOMETRY), [(3, 1, 1, 1), (1, 1, 0, 1), (3, 2, 1, 1), ((2, 3), 1, 3, 2)]
)
def test_bands_do_not_change_the_result(
    monkeypatch, as_line, shared, few_filters, band_bytes, kernel_size, stride, padding, dilation
):
    geometry = (stride, padding, dilation)
    x, w, grad_y = arrays((2, 3, 4), (11, 9), kernel_size, *geometry)

    def results():
        return (
            conv2d(x, w, *geometry),
            conv2d_input(grad_y, w, (11, 9), *geometry),
            conv2d_weight(x, grad_y, kernel_size, *geometry),
        )

    whole = results()
    for module in (bands, flat):
        monkeypatch.setattr(module, "BAND_BYTES", band_bytes)
    monkeypatch.setattr(bands, "MIN_CELLS", 1)
    monkeypatch.setattr(flat, "FEW_CELLS", 1)
    monkeypatch.setattr(flat, "SMALL_PRODUCT", 700)
    monkeypatch.setattr(flat, "LINE_BYTES", 8 * band_bytes)
    monkeypatch.setattr(flat, "FEW_FILTERS", few_filters)
    if shared:
        share_everything(monkeypatch)
    for banded, one in zip(results(), whole):
        assert_close(banded, one, 1e-13)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("limit", [0, 10**9], ids=["scatter", "collect"])
@pytest.mark.parametrize(
    ("kernel_size", *GEOMETRY), [(3, 1, 1, 1), (3, 2, 1, 1), ((2, 3), 1, 3, 2)]
)
def test_bands_of_groups(
    monkeypatch, as_line, limit, shared, kernel_size, stride, padding, dilation
):
    monkeypatch.setattr(transposed, "MAX_COLLECTING", limit)
    for module in (bands, flat):
        monkeypatch.setattr(module, "BAND_BYTES", 500)
    monkeypatch.setattr(bands, "MIN_CELLS", 1)
    monkeypatch.setattr(flat, "FEW_CELLS", 1)
    if shared:
        share_everything(monkeypatch)
    geometry, size = (stride, padding, dilation, 2), (7, 6)
    x, w, grad_y = arrays((2, 4, 8), size, kernel_size, *geometry[:3], groups=2)
    assert_close(conv2d(x, w, *geometry), loop_conv2d(x, w, *geometry), 1e-12)
    expected = loop_conv2d_input(grad_y, w, size, *geometry)
    assert_close(conv2d_input(grad_y, w, size, *geometry), expected, 1e-12)
    expected = loop_conv2d_weight(x, grad_y, kernel_size, *geometry)
    assert_close(conv2d_weight(x, grad_y, kernel_size, *geometry), expected, 1e-12)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("limit", [0, 10**9], ids=["scatter", "collect"])
@pytest.mark.parametrize(
    ("counts", "size", "kernel_size", "stride", "padding", "dilation"), CONFIGURATIONS
)
def test_conv2d_input_both_ways(
    monkeypatch, shared, limit, counts, size, kernel_size, stride, padding, dilation
):
    monkeypatch.setattr(transposed, "MAX_COLLECTING", limit)
    if shared:
        share_everything(monkeypatch)
    geometry = (stride, padding, dilation)
    _, w, grad_y = arrays(counts, size, kernel_size, *geometry)
    expected = loop_conv2d_input(grad_y, w, size, *geometry)
    assert_close(conv2d_input(grad_y, w, size, *geometry), expected, 1e-12)


@pytest.mark.parametrize("size", [(3, 3), (40, 30)], ids=["one-band", "bands"])
@pytest.mark.usefixtures("as_line")
def test_conv2d_weight_writes_where_it_is_told(monkeypatch, size):
    monkeypatch.setattr(bands, "BAND_BYTES", 1)
    monkeypatch.setattr(bands, "MIN_CELLS", 100)
    x, w, grad_y = arrays((1, 3, 4), size, 3, 1, 1, 1)
    out = np.full(w.shape, np.nan)
    assert conv2d_weight(x, grad_y, 3, padding=1, out=out) is out
    assert_close(out, loop_conv2d_weight(x, grad_y, (3, 3), 1, 1, 1), 1e-12)


@pytest.mark.parametrize("size", [(3, 3), (14, 13)], ids=["filters-shared", "rows-shared"])
@pytest.mark.usefixtures("as_line")
def test_threads_share_a_single_band(monkeypatch, size):
    """fc6, for example, has more filters than cells; each thread computes some of them."""
    share_everything(monkeypatch)
    geometry = (1, 1, 1)
    x, w, grad_y = arrays((1, 2, 50), size, 3, *geometry)
    out = np.full(w.shape, np.nan)
    assert_close(conv2d(x, w, *geometry), loop_conv2d(x, w, *geometry), 1e-12)
    expected = loop_conv2d_weight(x, grad_y, (3, 3), *geometry)
    assert_close(conv2d_weight(x, grad_y, 3, *geometry, out=out), expected, 1e-12)


@pytest.mark.parametrize(
    "make",
    [
        ReLU, lambda: MaxPool2d(2), lambda: MaxPool2d(3, 2, 1, ceil_mode=True),
        lambda: MaxPool2d(2, 2, dilation=2),
    ],
)
def test_pieces_and_threads_change_no_result(monkeypatch, make):
    x = np.round(np.random.default_rng(0).standard_normal((2, 5, 7, 9)), 1)
    layer = make()
    y = layer(x)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    grad_x = layer.backward(grad)
    monkeypatch.setattr(blas, "thread_count", lambda: 3)
    monkeypatch.setattr(threads, "PIECE_BYTES", 1000)
    monkeypatch.setattr(threads, "LARGE_BYTES", 0)
    assert np.array_equal(layer(x), y)
    assert np.array_equal(layer.backward(grad), grad_x)
    assert np.array_equal(layer.eval()(x), y)
