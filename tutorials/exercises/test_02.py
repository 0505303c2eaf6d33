"""Grades 02.py."""

import numpy as np
from grading import same

from fcn_numpy import conv2d, conv_matrix, im2col

W23 = np.arange(1.0, 7).reshape(2, 3)


def test_matrix_of_a_kernel_as_large_as_x(mine):
    same(mine.matrix(W23, (2, 3), 1), W23.reshape(1, 6),
         "This kernel fits in one place only. M has a row for every cell of y (here 1) and a "
         "column for every cell of x (here 6).")


def test_matrix_row_by_row(mine):
    same(mine.matrix(W23, (2, 4), 1), [[1, 2, 3, 0, 4, 5, 6, 0], [0, 1, 2, 3, 0, 4, 5, 6]],
         "Each row is the kernel in the place of its window. Cell (r, q) of x is column r * W + q: "
         "W is the width of x, not of the kernel. Is the kernel turned?")


def test_matrix_with_a_stride(mine):
    for size in ((6, 5), (7, 8)):
        same(mine.matrix(W23, size, 2), conv_matrix(W23[None, None], size, 2).toarray(),
             "Window (i, j) starts at cell (i * stride, j * stride) of x, and there are "
             "(H - kh) // stride + 1 rows of windows.")


def test_columns_of_one_channel(mine):
    x = np.arange(12.0).reshape(1, 3, 4)
    same(mine.columns(x, 2, 1, 0)[:, 1], [1, 2, 5, 6],
         "Column 1 is the second window of the first row of y. Its cells are in reading order.")


def test_columns_of_channels(mine):
    x = np.arange(24.0).reshape(2, 3, 4)
    same(mine.columns(x, 2, 1, 0), im2col(x[None], 2)[0],
         "The rows are in another order: all cells of the window in channel 0 come first, then "
         "those in channel 1.")


def test_columns_with_stride_and_padding(mine):
    x = np.random.default_rng(0).random((2, 6, 5))
    for stride, padding in ((2, 0), (1, 1), (2, 1), (3, 2)):
        same(mine.columns(x, 3, stride, padding), im2col(x[None], 3, stride, padding)[0],
             f"At stride {stride} and padding {padding}: pad both axes of the map on both sides, "
             "and let the windows start every `stride` cells of the padded map.")


def test_the_two_agree(mine):
    rng = np.random.default_rng(1)
    x, w = rng.random((1, 6, 7)), rng.random((3, 3))
    y = conv2d(x[None], w[None, None], 2).ravel()
    M = np.asarray(mine.matrix(w, (6, 7), 2))
    same(M.shape, (6, 42), "y is 2 x 3 and x is 6 x 7.")
    same(M @ x.ravel(), y, "M x is not the convolution of x.")
    same(w.ravel() @ mine.columns(x, 3, 2, 0), y, "The kernel, as a row, times the columns is not.")
