"""Grades 05.py."""

import numpy as np
from grading import same

RNG = np.random.default_rng(0)


def test_as_kernels_one_channel(mine):
    same(mine.as_kernels(np.arange(6.0)[None], 1, 2, 3), [[[[0, 1, 2], [3, 4, 5]]]],
         "Within a channel, the weights come row by row: three for row 0, then three for row 1.")


def test_as_kernels_one_row_per_output(mine):
    same(mine.as_kernels(np.array([[1.0, 2], [3, 4], [5, 6]]), 1, 1, 2),
         [[[[1, 2]]], [[[3, 4]]], [[[5, 6]]]],
         "Every row of the weight belongs to one output, and becomes one kernel.")


def test_as_kernels_several_channels(mine):
    kernels = mine.as_kernels(np.arange(24.0).reshape(2, 12), 2, 2, 3)
    same(kernels, [[[[12 * f + 6 * c + 3 * a + b for b in range(3)] for a in range(2)]
                    for c in range(2)] for f in range(2)],
         "The map was flattened one channel after another. Did you put the channels last?")


def test_score_map_of_one_window(mine):
    x, weight = RNG.random((2, 3, 2)), RNG.random((4, 12))
    same(mine.score_map(x, weight, np.zeros(4), 3, 2), (weight @ x.reshape(-1))[:, None, None],
         "A map of exactly the layer's size gives one cell, which holds the layer's own scores.")


def test_score_map_adds_the_bias(mine):
    same(mine.score_map(np.zeros((1, 2, 2)), np.ones((2, 1)), np.array([3.0, -1]), 1, 1),
         [[[3, 3], [3, 3]], [[-1, -1], [-1, -1]]],
         "A map of zeros should give every cell the bias of its output. Where is the bias added?")


def test_score_map_slides(mine):
    x = np.arange(20.0).reshape(1, 4, 5)
    same(mine.score_map(x, np.ones((1, 6)), np.zeros(1), 2, 3),
         [[[sum(x[0, i + a, j + b] for a in range(2) for b in range(3)) for j in range(3)]
           for i in range(3)]],
         "Cell (i, j) should read the window of height rows and width columns that starts there.")


def test_cells_fit_exactly(mine):
    for size, window, stride, count in ((26, 26, 4, 1), (30, 26, 4, 2), (106, 26, 4, 21),
                                        (512, 224, 32, 10)):
        same(mine.cells(size, window, stride), count,
             f"A window of {window} in {size} pixels: it has room to move by {size - window}, "
             "and its first position counts too.")


def test_cells_with_pixels_left_over(mine):
    same(mine.cells(109, 26, 4), 21,
         "The last 3 of 109 pixels are too few for one more step of 4. They make no cell.")
