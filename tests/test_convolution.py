"""The matrix M in three functions, checked against loops, scipy, M itself and each other."""

import re

import numpy as np
import pytest
import scipy.signal
import scipy.sparse
from configurations import CONFIGURATIONS, GEOMETRY, GROUPED, arrays
from references import (
    assert_close,
    loop_conv2d,
    loop_conv2d_input,
    loop_conv2d_weight,
    loop_im2col,
)

from fcn_numpy import col2im, conv2d, conv2d_input, conv2d_weight, conv_matrix, im2col

pytestmark = pytest.mark.usefixtures("both_algorithms")

LAYOUTS = {
    "rows-reversed": lambda a: np.ascontiguousarray(a[:, :, ::-1])[:, :, ::-1],
    "channels-last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "every-second-column": lambda a: np.repeat(a, 2, axis=3)[..., ::2],
    "fortran": np.asfortranarray,
}
def table(function):
    """Run a test on each row of the table."""
    names = ("counts", "size", "kernel_size", *GEOMETRY)
    return pytest.mark.parametrize(names, CONFIGURATIONS)(function)


def grouped(function):
    """Run a test on each row of the table with groups."""
    names = ("counts", "size", "kernel_size", *GEOMETRY, "groups")
    return pytest.mark.parametrize(names, GROUPED)(function)


@table
def test_conv2d_is_the_sum_in_its_docstring(counts, size, kernel_size, stride, padding, dilation):
    x, w, _ = arrays(counts, size, kernel_size, stride, padding, dilation)
    expected = loop_conv2d(x, w, stride, padding, dilation)
    assert_close(conv2d(x, w, stride, padding, dilation), expected, 1e-12)


@table
def test_conv2d_input_is_the_gradient_by_x(counts, size, kernel_size, stride, padding, dilation):
    _, w, grad_y = arrays(counts, size, kernel_size, stride, padding, dilation)
    expected = loop_conv2d_input(grad_y, w, size, stride, padding, dilation)
    assert_close(conv2d_input(grad_y, w, size, stride, padding, dilation), expected, 1e-12)


@table
def test_conv2d_weight_is_the_gradient_by_w(
    counts, size, kernel_size, stride, padding, dilation
):
    x, _, grad_y = arrays(counts, size, kernel_size, stride, padding, dilation)
    expected = loop_conv2d_weight(x, grad_y, kernel_size, stride, padding, dilation)
    actual = conv2d_weight(x, grad_y, kernel_size, stride, padding, dilation)
    assert_close(actual, expected, 1e-12)


@table
def test_im2col_copies_each_window(counts, size, kernel_size, stride, padding, dilation):
    x, _, _ = arrays(counts, size, kernel_size, stride, padding, dilation)
    expected = loop_im2col(x, kernel_size, stride, padding, dilation)
    assert np.array_equal(im2col(x, kernel_size, stride, padding, dilation), expected)


@table
def test_im2col_and_the_weight_matrix_make_conv2d(
    counts, size, kernel_size, stride, padding, dilation
):
    x, w, grad_y = arrays(counts, size, kernel_size, stride, padding, dilation)
    cols = im2col(x, w.shape[2:], stride, padding, dilation)
    y = (w.reshape(len(w), -1) @ cols).reshape(grad_y.shape)
    assert_close(conv2d(x, w, stride, padding, dilation), y, 1e-12)


@table
def test_col2im_is_the_adjoint_of_im2col(counts, size, kernel_size, stride, padding, dilation):
    x, _, _ = arrays(counts, size, kernel_size, stride, padding, dilation)
    geometry = (kernel_size, stride, padding, dilation)
    cols = im2col(x, *geometry)
    other = np.random.default_rng(1).standard_normal(cols.shape)
    back = col2im(other, size, *geometry)
    assert back.shape == x.shape
    assert np.vdot(cols, other) == pytest.approx(np.vdot(x, back), rel=1e-11, abs=1e-11)


@table
def test_conv_matrix_is_c(counts, size, kernel_size, stride, padding, dilation):
    x, w, grad_y = arrays(counts, size, kernel_size, stride, padding, dilation)
    geometry = (stride, padding, dilation)
    matrix = conv_matrix(w, size, *geometry)
    assert scipy.sparse.issparse(matrix)
    assert matrix.shape == (grad_y[0].size, x[0].size)
    assert matrix.dtype == w.dtype
    y = (matrix @ x.reshape(len(x), -1).T).T.reshape(grad_y.shape)
    assert_close(y, loop_conv2d(x, w, *geometry), 1e-12)
    assert_close(conv2d(x, w, *geometry), y, 1e-12)
    back = (matrix.T @ grad_y.reshape(len(x), -1).T).T.reshape(x.shape)
    assert_close(conv2d_input(grad_y, w, size, *geometry), back, 1e-12)


@table
def test_inner_products_agree(counts, size, kernel_size, stride, padding, dilation):
    """<C x, y> = <x, Cᵀ y>, and both are <w, dL/dw> since C is linear in w."""
    x, w, grad_y = arrays(counts, size, kernel_size, stride, padding, dilation)
    geometry = (stride, padding, dilation)
    forward = np.vdot(conv2d(x, w, *geometry), grad_y)
    by_input = np.vdot(x, conv2d_input(grad_y, w, size, *geometry))
    by_weight = np.vdot(w, conv2d_weight(x, grad_y, kernel_size, *geometry))
    assert by_input == pytest.approx(forward, rel=1e-11, abs=1e-11)
    assert by_weight == pytest.approx(forward, rel=1e-11, abs=1e-11)


@table
def test_float32_stays_and_is_right(counts, size, kernel_size, stride, padding, dilation):
    x, w, grad_y = arrays(counts, size, kernel_size, stride, padding, dilation, np.float32)
    geometry = (stride, padding, dilation)
    results = [
        (conv2d(x, w, *geometry), loop_conv2d(x, w, *geometry)),
        (
            conv2d_input(grad_y, w, size, *geometry),
            loop_conv2d_input(grad_y, w, size, *geometry),
        ),
        (
            conv2d_weight(x, grad_y, kernel_size, *geometry),
            loop_conv2d_weight(x, grad_y, kernel_size, *geometry),
        ),
    ]
    for actual, expected in results:
        assert actual.dtype == np.float32
        assert_close(actual, expected, 1e-5)


@grouped
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_a_group_sees_its_own_channels_alone(
    counts, size, kernel_size, stride, padding, dilation, groups, dtype, tolerance
):
    geometry = (stride, padding, dilation)
    x, w, grad_y = arrays(counts, size, kernel_size, *geometry, dtype, groups)
    results = [
        (conv2d(x, w, *geometry, groups), loop_conv2d(x, w, *geometry, groups)),
        (
            conv2d_input(grad_y, w, size, *geometry, groups),
            loop_conv2d_input(grad_y, w, size, *geometry, groups),
        ),
        (
            conv2d_weight(x, grad_y, kernel_size, *geometry, groups),
            loop_conv2d_weight(x, grad_y, kernel_size, *geometry, groups),
        ),
    ]
    for actual, expected in results:
        assert actual.dtype == dtype
        assert_close(actual, expected, tolerance)


@grouped
def test_the_matrix_of_groups_is_block_diagonal(
    counts, size, kernel_size, stride, padding, dilation, groups
):
    geometry = (stride, padding, dilation)
    x, w, grad_y = arrays(counts, size, kernel_size, *geometry, groups=groups)
    matrix = conv_matrix(w, size, *geometry, groups)
    assert scipy.sparse.issparse(matrix)
    assert matrix.shape == (grad_y[0].size, x[0].size)
    rows, columns = (n // groups for n in matrix.shape)
    rest = matrix.toarray()
    for g, part in enumerate(np.split(w, groups)):
        block = np.s_[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns]
        assert np.array_equal(rest[block], conv_matrix(part, size, *geometry).toarray())
        rest[block] = 0
    assert not rest.any()
    y = (matrix @ x.reshape(len(x), -1).T).T.reshape(grad_y.shape)
    assert_close(conv2d(x, w, *geometry, groups), y, 1e-12)
    back = (matrix.T @ grad_y.reshape(len(x), -1).T).T.reshape(x.shape)
    assert_close(conv2d_input(grad_y, w, size, *geometry, groups), back, 1e-12)


@grouped
def test_inner_products_of_groups_agree(
    counts, size, kernel_size, stride, padding, dilation, groups
):
    geometry = (stride, padding, dilation)
    x, w, grad_y = arrays(counts, size, kernel_size, *geometry, groups=groups)
    forward = np.vdot(conv2d(x, w, *geometry, groups), grad_y)
    by_input = np.vdot(x, conv2d_input(grad_y, w, size, *geometry, groups))
    by_weight = np.vdot(w, conv2d_weight(x, grad_y, kernel_size, *geometry, groups))
    assert by_input == pytest.approx(forward, rel=1e-11, abs=1e-11)
    assert by_weight == pytest.approx(forward, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_group_is_a_convolution_as_ever(dtype):
    """To the bit; groups come after the dilation, so calls by position mean what they meant."""
    x, w, grad_y = arrays((2, 3, 4), (8, 7), 3, 1, 1, 1, dtype)
    one, size = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1}, (8, 7)
    assert np.array_equal(conv2d(x, w, 1, 1, 1), conv2d(x, w, **one))
    grad_x = conv2d_input(grad_y, w, size, 1, 1, 1)
    assert np.array_equal(grad_x, conv2d_input(grad_y, w, size, **one))
    grad_w = conv2d_weight(x, grad_y, 3, 1, 1, 1)
    assert np.array_equal(grad_w, conv2d_weight(x, grad_y, 3, **one))
    matrix = conv_matrix(w, size, 1, 1, 1).toarray()
    assert np.array_equal(matrix, conv_matrix(w, size, **one).toarray())


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays(dtype, groups):
    x, w, grad_y = arrays((1, 2, 4), (5, 6), 3, 2, 1, 1, dtype, groups)
    cols = im2col(x, 3, 2, 1)
    assert cols.dtype == dtype
    assert col2im(cols, (5, 6), 3, 2, 1).dtype == dtype
    assert conv2d(x, w, 2, 1, 1, groups).dtype == dtype
    assert conv2d_input(grad_y, w, (5, 6), 2, 1, 1, groups).dtype == dtype
    assert conv2d_weight(x, grad_y, 3, 2, 1, 1, groups).dtype == dtype
    assert conv_matrix(w, (5, 6), 2, 1, 1, groups).dtype == dtype


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 5), (5, 3)])
def test_conv2d_is_scipys_correlation(mode, kernel):
    """The kernel is not turned: a correlation, as in all deep learning."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((9, 8)), rng.standard_normal(kernel)
    padding = {
        "valid": (0, 0),
        "same": (kernel[0] // 2, kernel[1] // 2),
        "full": (kernel[0] - 1, kernel[1] - 1),
    }[mode]
    y = conv2d(x[None, None], w[None, None], padding=padding)
    expected = scipy.signal.correlate(x, w, mode=mode, method="direct")
    assert_close(y[0, 0], expected, 1e-12)
    # The transpose, where the padded convolution keeps everything, is a true convolution.
    expected = scipy.signal.convolve(x, w, mode="full", method="direct")
    back = conv2d_input(x[None, None], w[None, None], expected.shape)
    assert_close(back[0, 0], expected, 1e-12)


def test_a_larger_map_is_scipys_correlation():
    """Large enough for whatever is done only to large maps."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 12, 41, 38)), rng.standard_normal((10, 12, 3, 3))
    y = conv2d(x, w, padding=1)
    for n, f in [(0, 0), (0, 7), (1, 9)]:
        expected = sum(
            scipy.signal.correlate(x[n, c], w[f, c], mode="same", method="direct")
            for c in range(12)
        )
        assert_close(y[n, f], expected, 1e-12)
    grad_y = rng.standard_normal(y.shape)
    forward = np.vdot(y, grad_y)
    grad_x = conv2d_input(grad_y, w, (41, 38), padding=1)
    assert np.vdot(grad_x, x) == pytest.approx(forward, rel=1e-10)
    assert np.vdot(conv2d_weight(x, grad_y, 3, padding=1), w) == pytest.approx(forward, rel=1e-10)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("kernel_size", *GEOMETRY, "groups"),
    [
        (1, 1, 0, 1, 1), (1, 2, 0, 1, 1), (3, 1, 1, 1, 1), (3, 1, 0, 1, 1), (2, 1, 3, 1, 1),
        ((3, 2), 2, 1, 2, 1), (3, 1, 1, 1, 2), ((3, 2), 2, 1, 2, 2),
    ],
)
def test_memory_layout_does_not_matter(layout, kernel_size, stride, padding, dilation, groups):
    window = (stride, padding, dilation)
    geometry = (*window, groups)
    x, w, grad_y = arrays((2, 4, 6), (8, 7), kernel_size, *window, groups=groups)
    other = LAYOUTS[layout]
    odd_x, odd_w, odd_y = other(x), other(w), other(grad_y)
    assert np.array_equal(odd_x, x) and not odd_x.flags.c_contiguous
    for a, b in [(x, odd_w), (odd_x, w), (odd_x, odd_w)]:
        assert_close(conv2d(a, b, *geometry), loop_conv2d(x, w, *geometry), 1e-12)
    for a, b in [(grad_y, odd_w), (odd_y, w), (odd_y, odd_w)]:
        expected = loop_conv2d_input(grad_y, w, (8, 7), *geometry)
        assert_close(conv2d_input(a, b, (8, 7), *geometry), expected, 1e-12)
    for a, b in [(x, odd_y), (odd_x, grad_y), (odd_x, odd_y)]:
        expected = loop_conv2d_weight(x, grad_y, kernel_size, *geometry)
        assert_close(conv2d_weight(a, b, kernel_size, *geometry), expected, 1e-12)
    cols = im2col(x, kernel_size, *window)
    assert np.array_equal(im2col(odd_x, kernel_size, *window), cols)
    back = col2im(cols, (8, 7), kernel_size, *window)
    odd_cols = np.asfortranarray(cols)
    assert np.array_equal(col2im(odd_cols, (8, 7), kernel_size, *window), back)
    matrix = conv_matrix(w, (8, 7), *geometry)
    assert np.array_equal(conv_matrix(odd_w, (8, 7), *geometry).toarray(), matrix.toarray())


@pytest.mark.parametrize(
    ("kernel_size", *GEOMETRY, "groups"),
    [
        (1, 1, 0, 1, 1), (1, 2, 0, 1, 1), (3, 1, 1, 1, 1), (3, 2, 1, 1, 1), (2, 1, 3, 1, 1),
        ((3, 2), 2, 1, 2, 1), (1, 1, 0, 1, 4), (3, 1, 1, 1, 2), ((3, 2), 2, 1, 2, 2),
    ],
)
def test_arrays_handed_in_are_not_changed(kernel_size, stride, padding, dilation, groups):
    """Read-only arrays are taken, and hold the same numbers afterward."""
    window = (stride, padding, dilation)
    geometry = (*window, groups)
    x, w, grad_y = arrays((2, 4, 4), (8, 7), kernel_size, *window, groups=groups)
    cols = im2col(x, kernel_size, *window).copy()
    before = [a.copy() for a in (x, w, grad_y, cols)]
    for a in (x, w, grad_y, cols):
        a.flags.writeable = False
    y = conv2d(x, w, *geometry)
    grad_x = conv2d_input(grad_y, w, (8, 7), *geometry)
    grad_w = conv2d_weight(x, grad_y, kernel_size, *geometry)
    im2col(x, kernel_size, *window)
    back = col2im(cols, (8, 7), kernel_size, *window)
    conv_matrix(w, (8, 7), *geometry)
    for a, b in zip((x, w, grad_y, cols), before):
        assert np.array_equal(a, b)
    # The results may be written to without touching what was handed in.
    for result in (y, grad_x, grad_w, back):
        assert result.flags.writeable
        assert not any(np.shares_memory(result, a) for a in (x, w, grad_y, cols))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_bias_is_added_to_each_map(kernel_size, groups):
    x, w, _ = arrays((2, 4, 4), (6, 5), kernel_size, 1, 1, 1, groups=groups)
    bias = np.array([1.0, -2, 0, 0.5])
    expected = conv2d(x, w, padding=1, groups=groups) + bias[:, None, None]
    assert_close(conv2d(x, w, padding=1, groups=groups, bias=bias), expected, 1e-14)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [(3, 3), (40, 30)])
def test_conv2d_weight_writes_where_it_is_told(size, groups):
    x, w, grad_y = arrays((1, 2, 4), size, 3, 1, 1, 1, groups=groups)
    out = np.full(w.shape, np.nan)
    assert conv2d_weight(x, grad_y, 3, padding=1, groups=groups, out=out) is out
    assert_close(out, loop_conv2d_weight(x, grad_y, (3, 3), 1, 1, 1, groups), 1e-12)


@pytest.mark.parametrize("larger", [0, 1, 2])
def test_input_size_says_which_of_the_sizes_that_fit(larger):
    """With stride 3 the sizes 7, 8 and 9 all give 3 cells; the rest is never read."""
    rng = np.random.default_rng(0)
    w, grad_y = rng.standard_normal((2, 3, 1, 1)), rng.standard_normal((1, 2, 3, 3))
    size = (7 + larger, 7)
    grad_x = conv2d_input(grad_y, w, size, stride=3)
    assert grad_x.shape == (1, 3, *size)
    assert_close(grad_x, loop_conv2d_input(grad_y, w, size, 3), 1e-12)


def test_ints_and_pairs_mean_the_same():
    x, w, grad_y = arrays((1, 2, 3), (9, 9), 3, 2, 1, 2)
    by_int, by_pair = (2, 1, 2), ((2, 2), [1, 1], (np.int64(2), 2))
    assert np.array_equal(conv2d(x, w, *by_int), conv2d(x, w, *by_pair))
    assert np.array_equal(im2col(x, 3, *by_int), im2col(x, (3, 3), *by_pair))
    assert np.array_equal(
        conv2d_input(grad_y, w, (9, 9), *by_int), conv2d_input(grad_y, w, (9, 9), *by_pair)
    )
    assert np.array_equal(
        conv2d_weight(x, grad_y, 3, *by_int), conv2d_weight(x, grad_y, (3, 3), *by_pair)
    )
    dense = conv_matrix(w, (9, 9), *by_int).toarray()
    assert np.array_equal(dense, conv_matrix(w, (9, 9), *by_pair).toarray())


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_im2col_takes_whole_numbers(dtype):
    x = np.arange(24, dtype=dtype).reshape(1, 2, 3, 4)
    cols = im2col(x, 2)
    assert cols.dtype == dtype
    assert np.array_equal(cols, loop_im2col(x, 2))


def test_col2im_counts_how_often_a_pixel_was_copied():
    x = np.ones((1, 1, 3, 4))
    counts = col2im(im2col(x, 2), (3, 4), 2)[0, 0]
    assert counts.tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]]


X = np.zeros((2, 3, 8, 7))
W = np.zeros((4, 3, 3, 2))
Y = np.zeros((2, 4, 6, 6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda: conv2d(X[0], W), r"expected x.*\(N, 3, H, W\).*got.*\(3, 8, 7\)", id="x-3d"
        ),
        pytest.param(
            lambda: conv2d(X[:, :2], W),
            r"expected x.*\(N, 3, H, W\).*got.*\(2, 2, 8, 7\)",
            id="x-channels",
        ),
        pytest.param(
            lambda: conv2d(X, W[0]), r"expected w.*\(F, C, kh, kw\).*got.*\(3, 3, 2\)", id="w-3d"
        ),
        pytest.param(
            lambda: conv2d(X.astype(np.float32), W), "expected x.*float64.*got float32", id="mixed"
        ),
        pytest.param(
            lambda: conv2d(X.astype(int), W), "expected x.*floating.*got int64", id="x-int"
        ),
        pytest.param(
            lambda: conv2d(X, W.astype(int)), "expected w.*floating.*got int64", id="w-int"
        ),
        pytest.param(lambda: conv2d(X.tolist(), W), "expected x.*array.*got list", id="x-list"),
        pytest.param(
            lambda: conv2d(X[:0], W), r"expected x.*empty.*got \(0, 3, 8, 7\)", id="x-empty"
        ),
        pytest.param(
            lambda: conv2d(X[:, :, :2], W),
            r"size \(2, 7\).*padding \(0, 0\).*kernel_size \(3, 2\)",
            id="kernel-above-image",
        ),
        pytest.param(
            lambda: conv2d(X, W, dilation=4),
            r"size \(8, 7\).*kernel_size \(3, 2\).*dilation \(4, 4\)",
            id="dilated-kernel-above-image",
        ),
        pytest.param(
            lambda: conv2d_input(Y[0], W, (8, 7)),
            r"expected grad_y.*\(N, 4, 6, 6\).*got.*\(4, 6, 6\)",
            id="input-grad-3d",
        ),
        pytest.param(
            lambda: conv2d_input(Y, W, (9, 7)),
            r"expected grad_y.*\(N, 4, 7, 6\).*got.*\(2, 4, 6, 6\)",
            id="input-grad-size",
        ),
        pytest.param(
            lambda: conv2d_input(Y[:, :3], W, (8, 7)),
            r"expected grad_y.*\(N, 4, 6, 6\).*got.*\(2, 3, 6, 6\)",
            id="input-grad-channels",
        ),
        pytest.param(
            lambda: conv2d_input(Y.astype(np.float32), W, (8, 7)),
            "expected grad_y.*float64.*got float32",
            id="input-mixed",
        ),
        pytest.param(
            lambda: conv2d_input(Y.astype(int), W, (8, 7)),
            "expected grad_y.*floating.*got int64",
            id="input-int",
        ),
        pytest.param(
            lambda: conv2d_input(Y, W, (2, 7)), r"size \(2, 7\).*kernel_size", id="input-too-small"
        ),
        pytest.param(
            lambda: conv2d_input(Y, W[0], (8, 7)), r"expected w.*got.*\(3, 3, 2\)", id="input-w-3d"
        ),
        pytest.param(
            lambda: conv2d_input(Y, W, (8, 7, 1)),
            r"expected input_size.*got \(8, 7, 1\)",
            id="input-size-triple",
        ),
        pytest.param(
            lambda: conv2d_input(Y, W, (0, 7)), r"expected input_size.*got \(0, 7\)", id="size-0"
        ),
        pytest.param(
            lambda: conv2d_weight(X[0], Y, (3, 2)),
            r"expected x.*\(N, C, H, W\).*got.*\(3, 8, 7\)",
            id="weight-x-3d",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y[:1], (3, 2)),
            r"expected grad_y.*\(2, F, 6, 6\).*got.*\(1, 4, 6, 6\)",
            id="weight-batch",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y, 3),
            r"expected grad_y.*\(2, F, 6, 5\).*got.*\(2, 4, 6, 6\)",
            id="weight-grad-size",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y.astype(np.float32), (3, 2)),
            "expected grad_y.*float64.*got float32",
            id="weight-mixed",
        ),
        pytest.param(
            lambda: conv2d_weight(X.astype(int), Y, (3, 2)),
            "expected x.*floating.*got int64",
            id="weight-int",
        ),
        pytest.param(
            lambda: conv2d(X, W, bias=np.zeros(3)),
            r"expected bias.*\(4,\).*got.*\(3,\)",
            id="bias-size",
        ),
        pytest.param(
            lambda: conv2d(X, W, bias=np.zeros(4, np.float32)),
            "expected bias of float64.*got float32",
            id="bias-dtype",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y, (3, 2), out=np.zeros((4, 3, 3, 3))),
            r"expected out.*\(4, 3, 3, 2\).*got.*\(4, 3, 3, 3\)",
            id="out-size",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y, (3, 2), out=np.zeros(W.shape, np.float32)),
            "expected out of float64.*got float32",
            id="out-dtype",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y, (3, 2), out=np.asfortranarray(W)),
            "expected out in C order",
            id="out-order",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y, 9), r"size \(8, 7\).*kernel_size \(9, 9\)", id="weight-big"
        ),
        pytest.param(
            lambda: conv2d(X, W, groups=3),
            "expected groups to divide the channels of y, got 3 groups for 4",
            id="groups-of-y",
        ),
        pytest.param(
            lambda: conv2d(X, W, groups=2),
            r"expected x.*\(N, 6, H, W\).*got.*\(2, 3, 8, 7\)",
            id="w-without-groups",
        ),
        pytest.param(
            lambda: conv2d(X, W[:, :1], groups=2),
            r"expected x.*\(N, 2, H, W\).*got.*\(2, 3, 8, 7\)",
            id="groups-of-x",
        ),
        pytest.param(
            lambda: conv2d_input(Y, W, (8, 7), groups=3),
            "expected groups to divide the channels of grad_y, got 3 groups for 4",
            id="input-groups",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y, (3, 2), groups=3),
            "expected groups to divide the channels of grad_y, got 3 groups for 4",
            id="weight-groups-of-grad",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y, (3, 2), groups=2),
            "expected groups to divide the channels of x, got 2 groups for 3",
            id="weight-groups-of-x",
        ),
        pytest.param(
            lambda: conv2d_weight(X, Y[:, :3], (3, 2), groups=3, out=np.zeros((3, 3, 3, 2))),
            r"expected out.*\(3, 1, 3, 2\).*got.*\(3, 3, 3, 2\)",
            id="out-without-groups",
        ),
        pytest.param(
            lambda: conv_matrix(W, (8, 7), groups=3),
            "expected groups to divide the channels of y, got 3 groups for 4",
            id="matrix-groups",
        ),
        pytest.param(
            lambda: conv_matrix(W[0], (8, 7)), r"expected w.*got.*\(3, 3, 2\)", id="matrix-w-3d"
        ),
        pytest.param(
            lambda: conv_matrix(W, (2, 7)), r"size \(2, 7\).*kernel_size", id="matrix-too-small"
        ),
        pytest.param(
            lambda: im2col(X[0], 3), r"expected x.*\(N, C, H, W\).*got.*\(3, 8, 7\)", id="im2col-3d"
        ),
        pytest.param(
            lambda: im2col(X, 9), r"size \(8, 7\).*kernel_size \(9, 9\)", id="im2col-too-small"
        ),
        pytest.param(
            lambda: col2im(np.zeros((2, 18, 41)), (8, 7), (3, 2)),
            r"expected cols.*36.*got.*\(2, 18, 41\)",
            id="col2im-cells",
        ),
        pytest.param(
            lambda: col2im(np.zeros((2, 20, 36)), (8, 7), (3, 2)),
            r"expected cols.*3\*2.*got.*\(2, 20, 36\)",
            id="col2im-rows",
        ),
        pytest.param(
            lambda: col2im(np.zeros((18, 36)), (8, 7), (3, 2)),
            r"expected cols.*got.*\(18, 36\)",
            id="col2im-2d",
        ),
    ],
)
def test_wrong_arrays_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


WRONG_NUMBERS = [0, -1, 1.5, True, (1, 2, 3), (1,), (1, -1), (2, 1.0), "2", None]
CALLS = {
    "im2col": lambda **given: im2col(X, **{"kernel_size": (3, 2), **given}),
    "col2im": lambda **given: col2im(
        np.zeros((2, 18, 36)), (8, 7), **{"kernel_size": (3, 2), **given}
    ),
    "conv2d_weight": lambda **given: conv2d_weight(X, Y, **{"kernel_size": (3, 2), **given}),
    "conv2d": lambda **given: conv2d(X, W, **given),
    "conv2d_input": lambda **given: conv2d_input(Y, W, (8, 7), **given),
    "conv_matrix": lambda **given: conv_matrix(W, (8, 7), **given),
}


@pytest.mark.parametrize("function", CALLS)
@pytest.mark.parametrize("value", WRONG_NUMBERS, ids=repr)
def test_wrong_numbers_are_named(function, value):
    # Half of the functions take the kernel's size from w.
    with_kernel = ("kernel_size",) * (function in ("im2col", "col2im", "conv2d_weight"))
    for name in GEOMETRY + with_kernel:
        if (name, value) == ("padding", 0):
            continue
        with pytest.raises(ValueError, match=f"expected {name}.*got {re.escape(repr(value))}"):
            CALLS[function](**{name: value})


@pytest.mark.parametrize("function", ["conv2d", "conv2d_input", "conv2d_weight", "conv_matrix"])
@pytest.mark.parametrize("value", WRONG_NUMBERS, ids=repr)
def test_groups_are_a_number_from_1(function, value):
    message = f"expected groups to be an int of at least 1, got {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=message):
        CALLS[function](groups=value)
