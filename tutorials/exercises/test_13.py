"""Grades 13.py."""

import numpy as np
from grading import same

from fcn_numpy.models import PyramidPooling
from fcn_numpy.nn import AdaptiveAvgPool2d


def test_effective_side_of_a_single_pixel(mine):
    influence = np.zeros((5, 7))
    influence[2, 4] = 3
    same(mine.effective_side(influence, (2, 4), 0.95), 1,
         "All of the influence is at the pixel itself, so a box of side 1 holds it. Is the share "
         "relative to the sum of all influence?")


def test_effective_side_of_even_influence(mine):
    same(mine.effective_side(np.ones((9, 9)), (4, 4), 0.3), 5,
         "A box of side 5 holds 25 of 81 pixels, which is 31%. Return the side of the box, not how "
         "far it reaches from the pixel.")
    same(mine.effective_side(np.ones((5, 5)), (2, 2), 9 / 25), 3,
         "At least `share` is asked for: exactly `share` is enough.")


def test_effective_side_at_the_border(mine):
    same(mine.effective_side(np.ones((4, 6)), (0, 1), 0.4), 5,
         "Near the border, the box is cut off. A slice that starts at a negative number counts "
         "from the end of the axis; start it at 0.")


def test_average_backward_without_shared_cells(mine):
    grad = np.array([[4.0, 8.0], [0.0, 12.0]])
    same(mine.average_backward(grad, (4, 4)), np.kron(grad / 4, np.ones((2, 2))),
         "A mean of 4 cells changes by a quarter of what a cell changes by. So each cell gets the "
         "bin's gradient divided by the number of cells in the bin.")


def test_average_backward_where_bins_share_cells(mine):
    same(mine.average_backward(np.ones((2, 2)), (3, 3)),
         np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]),
         "The middle row is in both bins of rows. A cell gets a part from every bin that holds it, "
         "and the parts add up. Is the end of each bin rounded up?")


def test_average_backward_is_the_transpose_of_averaging(mine):
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((7, 11)), rng.standard_normal((3, 3))
    means = AdaptiveAvgPool2d(3)(x[None, None])[0, 0]
    same((mine.average_backward(grad, (7, 11)) * x).sum(), (grad * means).sum(),
         "The sum of grad * means should equal the sum of your result * x. Rows and columns have "
         "different numbers of cells here.")


def test_whole_image_keeps_the_features(mine):
    x = np.random.default_rng(1).standard_normal((3, 4, 5))
    same(mine.whole_image(x, np.ones((2, 3)), np.zeros(2))[:3], x,
         "The first C channels are the features, unchanged. Does the concat stack channels?")


def test_whole_image_asks_every_cell(mine):
    x = np.zeros((1, 4, 5))
    x[0, 0, 0] = 20
    same(mine.whole_image(x, np.array([[2.0]]), np.array([1.0]))[1], np.full((4, 5), 3.0),
         "The mean over all 20 cells is 1, and 2 * 1 + 1 = 3 belongs in every cell.")
    same(mine.whole_image(x, np.array([[-2.0]]), np.array([1.0]))[1], np.zeros((4, 5)),
         "ReLU comes last, after the weight and the bias.")


def test_whole_image_is_the_library_s_pyramid(mine):
    rng = np.random.default_rng(2)
    pyramid = PyramidPooling(3, bins=(1,), channels=4, dtype=np.float64, rng=rng)
    pyramid.conv1.bias.data[...] = rng.standard_normal(4)
    x = rng.standard_normal((3, 5, 6))
    weight, bias = pyramid.conv1.weight.data[:, :, 0, 0], pyramid.conv1.bias.data
    same(mine.whole_image(x, weight, bias), pyramid(x[None])[0],
         "The library's PyramidPooling with bins=(1,) gives something else.")
