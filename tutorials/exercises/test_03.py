"""Grades 03.py."""

import numpy as np
import pytest
from grading import same

from fcn_numpy import conv2d_input, conv2d_weight
from fcn_numpy.gradcheck import GradientError, gradcheck

W = np.array([[1.0, 2], [3, 4]])


def test_conv_backward_of_one_window(mine):
    gx, gw, gbias = mine.conv_backward(np.array([[2.0]]), W + 4, W, 1)
    same(gx, 2 * W, "With a single window, gx is the kernel times g.")
    same(gw, 2 * (W + 4), "With a single window, gw is the window of x times g.")
    same(gbias, 2, "The bias enters every cell of y once, so gbias is the sum of g.")


def test_conv_backward_adds_up(mine):
    g, x = np.array([[1.0, 10]]), np.arange(6.0).reshape(2, 3)
    gx, gw, gbias = mine.conv_backward(g, x, W, 1)
    same(gx, [[1, 12, 20], [3, 34, 40]],
         "x[0, 1] is in two windows and gets a part from each: use += and not =.")
    same(gw, [[10, 21], [43, 54]], "Every window adds its part to gw.")
    same(gbias, 11, "gbias is the sum of g, not the mean.")


def test_conv_backward_with_a_stride(mine):
    rng = np.random.default_rng(0)
    x, w, g = rng.random((7, 6)), rng.random((3, 2)), rng.random((3, 3))
    gx, gw, _ = mine.conv_backward(g, x, w, 2)
    same(gx, conv2d_input(g[None, None], w[None, None], (7, 6), 2)[0, 0],
         "gx with stride 2: the window of cell (i, j) starts at (i * stride, j * stride).")
    same(gw, conv2d_weight(x[None, None], g[None, None], (3, 2), 2)[0, 0],
         "gw with stride 2: the window of cell (i, j) starts at (i * stride, j * stride).")


def test_conv_backward_of_cells_in_no_window(mine):
    gx, _, _ = mine.conv_backward(np.ones((2, 2)), np.ones((6, 6)), np.ones((3, 3)), 2)
    same(gx[-1], np.zeros(6),
         "The last row of x is in no window, so its gradient is 0. gx has the shape of x.")


def layer(mine):
    """A layer whose parameters are neither ones nor zeros."""
    made = mine.ChannelAffine(3)
    names = [name for name, _ in made.named_parameters()]
    same(sorted(names) == ["scale", "shift"], True,
         "The layer must have two attributes, scale and shift, that are Parameters.")
    same(made.scale.data, np.ones(3), "scale starts at ones, one for each channel.")
    same(made.shift.data, np.zeros(3), "shift starts at zeros, one for each channel.")
    made = made.astype(np.float64)
    made.scale.data[...], made.shift.data[...] = (2, 3, -1), (5, 0, 1)
    return made


def test_channel_affine_forward(mine):
    x = np.random.default_rng(0).random((2, 3, 4, 5))
    y = np.stack([2 * x[:, 0] + 5, 3 * x[:, 1], 1 - x[:, 2]], axis=1)
    same(layer(mine)(x), y, "Channels are axis 1 of x: scale.data[:, None, None] broadcasts there.")


def test_channel_affine_gradients(mine):
    x = np.random.default_rng(0).random((2, 3, 4, 5))
    try:
        gradcheck(layer(mine), x, rng=np.random.default_rng(0))
    except GradientError as error:
        hint = {"input 0": "dL/dx is scale times grad.",
                "scale": "dL/dscale[c] sums grad * x over images, rows, and columns.",
                "shift": "dL/dshift[c] sums grad over images, rows, and columns."}
        pytest.fail(f"gradcheck: {error}. {hint[error.tensor]}", pytrace=False)


def test_channel_affine_accumulates(mine):
    made, x = layer(mine), np.random.default_rng(0).random((2, 3, 4, 5))
    sums = []
    for _ in range(2):
        made(x)
        made.backward(np.ones_like(x))
        sums.append(made.shift.grad.copy())
    same(sums[1], 2 * sums[0],
         "After a second backward the gradient must be twice as large: it accumulates, so add to "
         ".grad instead of replacing it.")
