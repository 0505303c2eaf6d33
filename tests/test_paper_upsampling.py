"""Section 3.3: three ways to upsample, what they do not invert, and where kernels overlap."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from references import assert_close, loop_conv_transpose2d

from fcn_numpy import conv2d
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn import ConvTranspose2d, bilinear_kernel
from fcn_numpy.paper import by_layer, by_matrix, by_zeros, inversion_error, overlap

pytestmark = pytest.mark.usefixtures("both_algorithms")


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def cases():
    """Kernels, strides, paddings and output paddings whose result is not empty."""
    kernels = [1, 2, 3, 4, 5, (2, 5), (4, 1)]
    strides, paddings = [1, 2, 3, (1, 3)], [0, 1, 2, (0, 3)]
    for kernel, stride, padding in itertools.product(kernels, strides, paddings):
        kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        sh, sw = stride if isinstance(stride, tuple) else (stride, stride)
        ph, pw = padding if isinstance(padding, tuple) else (padding, padding)
        for extra in sorted({(0, 0), (sh - 1, 0), (sh - 1, sw - 1)}):
            height, width = 3 * sh + kh + extra[0] - 2 * ph, 2 * sw + kw + extra[1] - 2 * pw
            if height > 0 and width > 0:
                yield (kh, kw), (sh, sw), (ph, pw), extra


CASES = list(cases())


@pytest.mark.parametrize(("kernel", "stride", "padding", "extra"), CASES)
def test_three_ways_to_the_same_numbers(kernel, stride, padding, extra):
    x, w = normal(2, 3, 4, 3), normal(3, 2, *kernel, seed=1)
    expected = loop_conv_transpose2d(x, w, stride, padding, extra)
    for way in (by_layer, by_matrix, by_zeros):
        assert_close(way(x, w, stride, padding, extra), expected, 1e-12)


def test_there_are_many_cases():
    assert len(CASES) > 150
    assert any(p > k - 1 for kernel, _, padding, _ in CASES for k, p in zip(kernel, padding))


@pytest.mark.parametrize("way", [by_layer, by_matrix, by_zeros])
def test_dtype_and_arguments_of_the_three_ways(way):
    x, w = normal(1, 2, 3, 3, dtype=np.float32), normal(2, 1, 4, 4, dtype=np.float32)
    before = x.copy(), w.copy()
    y = way(x, w, 2, 1)
    assert y.dtype == np.float32 and y.shape == (1, 1, 6, 6)
    assert np.array_equal(x, before[0]) and np.array_equal(w, before[1])
    with pytest.raises(ValueError, match="expected x of float32.*got float64"):
        way(x.astype(np.float64), w)
    with pytest.raises(ValueError, match=r"x.*\(N, 2, H, W\).*got.*\(1, 3, 3, 3\)"):
        way(np.zeros((1, 3, 3, 3), np.float32), w)
    with pytest.raises(ValueError, match="expected w.*got"):
        way(x, w[0])
    with pytest.raises(ValueError, match=r"output_padding below.*got \(2, 2\)"):
        way(x, w, 2, 0, 2)
    with pytest.raises(ValueError, match="empty"):
        way(x, w, 1, 3)


# --- It is not an inverse -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("shape", "stride", "padding"),
    [((1, 1, 3, 3), 1, 1), ((4, 2, 3, 3), 1, 1), ((1, 1, 4, 4), 2, 1), ((8, 1, 4, 4), 2, 1)],
)
def test_the_transpose_is_no_inverse(shape, stride, padding, seed):
    error = inversion_error(normal(*shape, seed=seed), 8, stride, padding)
    assert 0.2 < error <= 1


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_what_is_left_out_does_not_come_back(stride):
    """One cell for stride ** 2 pixels: C has so few rows."""
    lower = np.sqrt(1 - 1 / stride**2)
    error = inversion_error(normal(1, 1, stride, stride), 12, stride)
    assert error >= lower - 1e-12
    # Windows that do not overlap and one output: C's rows are orthogonal, the bound is reached.
    assert error == pytest.approx(lower, abs=1e-12)


def test_the_error_is_that_of_images():
    """By its definition, on many random x, with the factor that suits these best."""
    w = normal(2, 1, 3, 3, seed=3)
    x = normal(4000, 1, 6, 6, seed=4)
    y = by_matrix(conv2d(x, w, padding=1), w, padding=1)
    factor = (x * y).sum() / (y * y).sum()
    found = np.sqrt(((factor * y - x) ** 2).sum() / (x**2).sum())
    assert found == pytest.approx(inversion_error(w, 6, 1, 1), rel=0.02)


def orthogonal(n):
    return np.linalg.qr(normal(n, n, seed=7))[0]


@pytest.mark.parametrize("factor", [1, -3, 0.01])
def test_an_orthogonal_convolution_is_inverted(factor):
    """Of 2x2 pixels four numbers, turned; of each pixel's channels as many, turned."""
    space_to_depth = orthogonal(4).reshape(4, 1, 2, 2)
    assert inversion_error(factor * space_to_depth, 6, 2) < 1e-12
    turned_channels = orthogonal(3).reshape(3, 3, 1, 1)
    assert inversion_error(factor * turned_channels, 5) < 1e-12
    assert inversion_error(factor * space_to_depth, 7, 2) > 0.3  # the last row is left out


def test_the_error_does_not_depend_on_the_weights_size_or_dtype():
    w = normal(2, 2, 3, 3)
    error = inversion_error(w, (6, 5), 1, 1)
    assert inversion_error(100 * w, (6, 5), 1, 1) == pytest.approx(error, rel=1e-12)
    assert inversion_error(w.astype(np.float32), (6, 5), 1, 1) == pytest.approx(error, rel=1e-6)
    assert inversion_error(np.zeros((1, 1, 2, 2)), 4) == 1


# --- Where kernels overlap ------------------------------------------------------------------


def inner(cells, kernel):
    """Return the cells that would be reached by no more input cells in an endless map."""
    return cells[kernel - 1 : len(cells) - (kernel - 1), kernel - 1 : cells.shape[1] - (kernel - 1)]


@pytest.mark.parametrize("stride", range(1, 6))
@pytest.mark.parametrize("kernel", range(1, 9))
def test_overlap_is_uneven_inside_unless_the_stride_divides_the_kernel(kernel, stride):
    cells = inner(overlap(kernel, stride, 12), kernel)
    assert min(cells.shape) >= stride
    assert (np.ptp(cells) == 0) == (kernel % stride == 0)
    if kernel % stride == 0:
        assert cells.flat[0] == (kernel // stride) ** 2


@pytest.mark.parametrize(
    ("kernel", "stride", "size"),
    [(3, 2, (4, 5)), ((4, 3), (2, 2), (3, 4)), ((1, 5), (1, 3), (1, 6)), (2, 3, 3)],
)
def test_overlap_counts(kernel, stride, size):
    """Put the kernel down once for each input cell and count."""
    kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    sh, sw = stride if isinstance(stride, tuple) else (stride, stride)
    h, w = size if isinstance(size, tuple) else (size, size)
    expected = np.zeros(((h - 1) * sh + kh, (w - 1) * sw + kw), int)
    for i, j in np.ndindex(h, w):
        expected[i * sh : i * sh + kh, j * sw : j * sw + kw] += 1
    counts = overlap(kernel, stride, size)
    assert counts.dtype.kind == "i"
    assert np.array_equal(counts, expected)


def test_overlap_along_one_axis():
    assert overlap((1, 3), (1, 2), (1, 5)).tolist() == [[1, 1, 2, 1, 2, 1, 2, 1, 2, 1, 1]]


# --- The bilinear kernel --------------------------------------------------------------------

FACTORS = [1, 2, 3, 4, 5, 8, 16]


def bilinear_upsampling(x, factor):
    """Return the upsampled map, where it is away from the border, and its grid."""
    size = 2 * factor - factor % 2
    w = bilinear_kernel(size, np.float64)[None, None]
    y = by_layer(x[None, None], w, factor)[0, 0]
    layer = ConvTranspose2d(1, 1, size, factor, dtype=np.float64)
    inside = slice(size - 1, -(size - 1) or None)
    return y, (inside, inside), layer(FeatureMap(1, x.shape)).grid


@pytest.mark.parametrize("factor", FACTORS)
def test_a_constant_map_stays_constant_inside(factor):
    """Though for odd factors kernels overlap unevenly: the weights make up for it."""
    y, inside, _ = bilinear_upsampling(np.full((6, 7), 2.5), factor)
    assert y[inside].size >= factor**2
    assert_close(y[inside], np.full(y[inside].shape, 2.5), 1e-12)
    size = 2 * factor - factor % 2
    cells = inner(overlap(size, factor, 7), size)
    assert (np.ptp(cells) > 0) == (factor % 2 == 1 and factor > 1)


@pytest.mark.parametrize("kernel", [(3, 2), (5, 2), (4, 3)])
def test_a_constant_kernel_makes_a_checkerboard(kernel):
    size, factor = kernel
    y = by_layer(np.ones((1, 1, 8, 8)), np.ones((1, 1, size, size)), factor)[0, 0]
    assert np.ptp(inner(y, size)) >= 1


@pytest.mark.parametrize("factor", FACTORS)
def test_the_bilinear_kernel_interpolates_a_ramp_exactly(factor):
    def ramp(row, column):
        return 0.5 + 2 * row - 3 * column

    x = ramp(*np.mgrid[:6, :7].astype(float))
    y, inside, grid = bilinear_upsampling(x, factor)
    assert grid.scale == (Fraction(1, factor),) * 2
    rows, columns = np.mgrid[: y.shape[0], : y.shape[1]]
    expected = ramp(
        *(float(grid.scale[0]) * n + float(s) for n, s in zip((rows, columns), grid.shift))
    )
    assert y[inside].size >= factor**2
    assert_close(y[inside], expected[inside], 1e-12)
    # At the border it fades to 0.
    assert factor == 1 or np.abs(y - expected).max() > 0.1
