"""Grades 14.py."""

import tracemalloc

import numpy as np
import pytest
from grading import same

from fcn_numpy import conv2d

RNG = np.random.default_rng(0)


class Cell:
    """A number of d, or a weight, that counts its products with the other kind."""

    products = 0

    def __init__(self, value, kind):
        self.value, self.kind = value, kind

    def __add__(self, other):
        other = other if isinstance(other, Cell) else Cell(other, self.kind)
        return Cell(self.value + other.value, self.kind)

    def __radd__(self, other):
        return self + other

    def __neg__(self):
        return Cell(-self.value, self.kind)

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        if not isinstance(other, Cell):
            return Cell(self.value * other, self.kind)
        Cell.products += 1
        return Cell(self.value * other.value, "product")

    __rmul__ = __mul__

    def __truediv__(self, number):
        return Cell(self.value / number, self.kind)


def row(values, kind):
    return np.array([Cell(value, kind) for value in values], object)


def test_windows_at_stride_1(mine):
    x = np.arange(12.0).reshape(1, 3, 4)
    got, hint = mine.windows(x, 2, 1), "Axes 1 and 2 are the tap, axes 3 and 4 the output cell."
    same(np.shape(got), (1, 2, 2, 2, 3), hint)
    same(got[0, :, :, 1, 2], [[6, 7], [10, 11]],
         f"The window of output cell (1, 2) begins at row 1, column 2 of x. {hint}")


def test_windows_at_stride_2(mine):
    x = RNG.standard_normal((2, 8, 9))
    hint = "At stride 2, output cells are two rows and two columns of x apart; taps are neighbors."
    same(np.shape(mine.windows(x, 3, 2)), (2, 3, 3, 3, 4), f"Ho is (H - k) // stride + 1. {hint}")
    same(mine.windows(x, 3, 2)[:, :, :, 1, 3], x[:, 2:5, 6:9], hint)


def test_windows_copies_nothing(mine):
    x = RNG.standard_normal((2, 6, 6))
    if not np.shares_memory(x, mine.windows(x, 3, 1)):
        pytest.fail("The result is a copy. A view has the memory of x and other strides.",
                    pytrace=False)


def test_windows_of_an_array_that_is_not_contiguous(mine):
    x = RNG.standard_normal((2, 6, 12))[:, :, ::2]
    same(mine.windows(x, 3, 1)[:, :, :, 2, 1], x[:, 2:5, 1:4],
         "Every second column of a wider array has strides of its own. Take them from x.strides.")


def test_convolve_in_one_band(mine):
    x, w, bias = RNG.standard_normal((3, 9, 8)), RNG.standard_normal((4, 3, 3, 3)), np.zeros(4)
    same(mine.convolve(x, w, bias, 10**9), np.maximum(conv2d(x[None], w)[0], 0),
         "With all columns in one band and no bias, this is the rectified convolution.")


def test_convolve_adds_the_bias_first(mine):
    x, w = RNG.standard_normal((3, 9, 8)), RNG.standard_normal((4, 3, 3, 3))
    bias = np.array([-3.0, -1.0, 1.0, 3.0])
    same(mine.convolve(x, w, bias, 10**9), np.maximum(conv2d(x[None], w, bias=bias)[0], 0),
         "The bias of filter f is added to all cells of map f, and before the ReLU.")


def test_convolve_in_bands_that_do_not_divide(mine):
    x, w, bias = RNG.standard_normal((3, 9, 8)), RNG.standard_normal((4, 3, 3, 3)), np.ones(4)
    expected = np.maximum(conv2d(x[None], w, bias=bias)[0], 0)
    same(mine.convolve(x, w, bias, 3 * 27 * 6 * 8), expected,
         "7 output rows in bands of 3 leave a last band of 1 row.")
    same(mine.convolve(x, w, bias, 1), expected,
         "If not even one row of columns fits, a band still has one row.")


def test_convolve_keeps_to_the_limit(mine):
    x, w = RNG.standard_normal((8, 102, 102)), RNG.standard_normal((2, 8, 3, 3))
    limit, y = 400_000, 2 * 100 * 100 * 8
    tracemalloc.start()
    mine.convolve(x, w, np.zeros(2), limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if peak > 3 * limit + 2 * y:  # the columns of the band before may still be there
        pytest.fail(f"Up to {peak:,} bytes were in use, and a band's columns may take {limit:,}. "
                    "Make the columns of one band at a time: 8 bytes for each of C * k * k taps "
                    "and each cell of its rows.", pytrace=False)


def test_slide_two_outputs(mine):
    d, g = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 10.0, 100.0])
    same(mine.slide(d, g), [321, 432],
         "Output 0 is d0 g0 + d1 g1 + d2 g2, output 1 the same one cell farther.")


def test_slide_a_row(mine):
    d, g = RNG.standard_normal(12), RNG.standard_normal(3)
    same(mine.slide(d, g), np.correlate(d, g),
         "For a row, take pieces of four cells. Two outputs farther, the next piece begins two "
         "cells farther.")


def test_slide_counts_its_products(mine):
    d, g = RNG.standard_normal(12), RNG.standard_normal(3)
    Cell.products = 0
    got = [y.value for y in mine.slide(row(d, "cell"), row(g, "weight"))]
    same(got, np.correlate(d, g), "The result is wrong for numbers of another type.")
    if Cell.products > 20:
        pytest.fail(f"{Cell.products} products for 10 outputs. Four products give two outputs: "
                    "the page has them as m1 to m4.", pytrace=False)
