"""Grades 06.py."""

import numpy as np
from grading import same

X = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 8, 7])


def network(x, kernel=(1, 10)):
    """The network of the page, with any kernel."""
    pooled = np.maximum(x[: len(x) // 2 * 2 : 2], x[1::2])
    return np.correlate(pooled, kernel, "valid")


def stitched(x, kernel):
    result = np.zeros(len(x) - 1 - 2 * (len(kernel) - 1))
    for a in range(2):
        result[a::2] = network(x[a:], kernel)
    return result


def test_stitch_two_shifts(mine):
    same(mine.shift_and_stitch(network, X[:9], 2), [43, 54, 94, 95, 69, 89],
         "The results of the two runs should take turns: first run, second run, first run, ...")


def test_stitch_three_shifts(mine):
    same(mine.shift_and_stitch(lambda x: x[::3], np.arange(9.0), 3), np.arange(9),
         "With a stride of f there are f shifts, from 0 to f - 1, and shift a fills the positions "
         "a, a + f, a + 2 f, ...")


def test_stitch_runs_of_different_lengths(mine):
    same(mine.shift_and_stitch(lambda x: x[::3], np.arange(8.0), 3), np.arange(8),
         "The last runs may be one result shorter. How many results do all runs have together?")


def test_rarefied(mine):
    same(mine.rarefied(np.array([1.0, 10]), 2), [1, 0, 10],
         "Between two weights there are factor - 1 zeros.")
    same(mine.rarefied(np.array([1.0, 2, 3]), 4), [1, 0, 0, 0, 2, 0, 0, 0, 3],
         "There are zeros between the weights only, none after the last one.")
    same(mine.rarefied(np.array([1.0, 2, 3]), 1), [1, 2, 3], "A factor of 1 changes nothing.")


def test_dense_with_one_weight(mine):
    same(mine.dense(X, np.array([1.0])), [3, 4, 4, 5, 9, 9, 6, 8, 8],
         "With the kernel (1,) only the pooling layer is left. In the dense version it moves by "
         "one cell at a time.")


def test_dense_is_shift_and_stitch(mine):
    for kernel in ((1.0, 10.0), (1.0, -2.0, 5.0)):
        same(mine.dense(X, np.array(kernel)), stitched(X, kernel),
             "After the pooling layer, values of the same shift are two cells apart. Does the "
             "convolution skip the values of the other shift, without turning the kernel around?")
