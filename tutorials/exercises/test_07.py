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
         "paint is not the transpose of sliding the kernel. Is the kernel flipped?")


def test_tent(mine):
    for factor in (2, 8):
        same(mine.tent(factor), bilinear_kernel(2 * factor, np.float64)[0] /
             bilinear_kernel(2 * factor, np.float64)[0].max() * (1 - 0.5 / factor),
             "The weights are 1 - distance / factor, where the distance is measured from the middle "
             "of the kernel. With an even kernel the middle lies between two cells, so the "
             "smallest distance is 0.5.")
