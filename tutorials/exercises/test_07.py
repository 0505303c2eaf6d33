"""Grades 07.py."""

import numpy as np
from grading import same

from fcn_numpy.nn import bilinear_kernel


def test_paint_one_value(mine):
    kernel = np.array([1.0, 2.0, 3.0])
    same(mine.paint(np.array([2.0]), kernel, 5), 2 * kernel,
         "A single value paints a single copy: the kernel, times the value.")


def test_paint_where_stamps_overlap(mine):
    same(mine.paint(np.array([2.0, 1.0]), np.array([1.0, 2.0, 3.0]), 2), [2, 4, 7, 2, 3],
         "Where two copies overlap, they add up. Does the second replace the first?")


def test_paint_where_stamps_leave_gaps(mine):
    same(mine.paint(np.array([1.0, 1.0]), np.array([1.0, 1.0]), 3), [1, 1, 0, 1, 1],
         "Where the stride exceeds the kernel, the cells in between stay 0.")


def test_paint_is_the_transpose_of_sliding(mine):
    rng = np.random.default_rng(0)
    x, kernel, y = rng.random(5), rng.random(4), rng.random(12)
    slid = [y[2 * i : 2 * i + 4] @ kernel for i in range(5)]
    same(mine.paint(x, kernel, 2) @ y, x @ slid,
         "paint is not the transpose of sliding the kernel. Is the kernel flipped, or does a copy "
         "replace another where they overlap?")


def test_by_zeros_one_value(mine):
    same(mine.by_zeros(np.array([2.0]), np.array([1.0, 2.0, 3.0]), 2), [2, 4, 6],
         "For one value, the row is 0 0 2 0 0, with k - 1 zeros at each end. The kernel that "
         "slides over it has to read the last weight first.")


def test_by_zeros_between_values(mine):
    same(mine.by_zeros(np.array([2.0, 1.0]), np.array([1.0, 2.0, 3.0]), 2), [2, 4, 7, 2, 3],
         "With a stride of 2, the row is 0 0 2 0 1 0 0: stride - 1 zeros between two values. Is "
         "the kernel flipped before it slides?")
    same(mine.by_zeros(np.array([1.0, 1.0]), np.array([1.0, 1.0]), 3), [1, 1, 0, 1, 1],
         "With a stride of 3 and a kernel of 2, the row is 0 1 0 0 1 0.")


def test_tent_for_even_factors(mine):
    hint = ("The weights are 1 - distance / factor, where the distance is measured from the middle "
            "of the kernel. With an even kernel the middle lies between two cells, so the smallest "
            "distance is 0.5.")
    same(mine.tent(2), [0.25, 0.75, 0.75, 0.25], hint)
    cells = np.arange(16) - 7.5
    same(mine.tent(8), 1 - np.abs(cells) / 8, hint)


def test_tent_for_odd_factors(mine):
    same(mine.tent(3), np.array([1, 2, 3, 2, 1]) / 3,
         "For an odd factor the kernel has 2 * factor - 1 cells, and its middle is a cell, whose "
         "weight is 1.")


def test_tent_is_a_side_of_the_bilinear_kernel(mine):
    for factor in (4, 5):
        side = np.asarray(mine.tent(factor))
        same(np.outer(side, side), bilinear_kernel(2 * factor - factor % 2, np.float64),
             "The product of two tents should be the library's bilinear kernel.")
