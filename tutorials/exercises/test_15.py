"""Grades 15.py."""

import numpy as np
from grading import same

from fcn_numpy import conv2d
from fcn_numpy.nn import LocalResponseNorm

RNG = np.random.default_rng(0)


def test_as_one_group_of_one_group(mine):
    w = RNG.standard_normal((4, 3, 2, 2))
    same(mine.as_one_group(w, 1), w, "With one group, nothing changes.")


def test_as_one_group_is_block_diagonal(mine):
    w = np.arange(1.0, 5).reshape(4, 1, 1, 1)
    same(np.asarray(mine.as_one_group(w, 2))[:, :, 0, 0], [[1, 0], [2, 0], [0, 3], [0, 4]],
         "With two groups, the first half of the filters look at the first half of the channels, "
         "and the second half at the second. Groups are neighbors, they do not take turns.")


def test_as_one_group_computes_the_same(mine):
    x, w = RNG.standard_normal((1, 6, 5, 5)), RNG.standard_normal((9, 2, 3, 3))
    same(conv2d(x, np.ascontiguousarray(mine.as_one_group(w, 3))), conv2d(x, w, groups=3),
         "With 9 filters, 6 channels and 3 groups, filters 3, 4 and 5 look at channels 2 and 3.")


def test_upsampling_of_vgg16(mine):
    same(mine.upsampling(32, 12.5), (64, 19),
         "Coarse cells between pixels need an even kernel: 12.5 - (64 - 1) / 2 is -19, so cell 19 "
         "lies on pixel 0.")


def test_upsampling_of_alexnet(mine):
    same(mine.upsampling(32, 13), (63, 18),
         "Coarse cells on pixels need an odd kernel, whose middle is a cell.")


def test_upsampling_of_other_maps(mine):
    for stride, shift, expected in ((8, -23.5, (16, 31)), (2, -4, (3, 5)), (4, 0, (7, 3))):
        same(mine.upsampling(stride, shift), expected,
             "Follow the shift and the stride that are given. The crop is minus the pixel of the "
             "first upsampled cell.")


def gradient(x, grad, *settings):
    norm = LocalResponseNorm(*settings)
    norm(x.reshape(1, -1, 1, 1))
    return norm.backward(grad.reshape(1, -1, 1, 1)).reshape(-1)


def test_norm_gradient_without_neighbors(mine):
    x, grad = np.array([1.0, -2.0]), np.array([1.0, 3.0])
    same(mine.norm_gradient(x, grad, 1, 0.0, 0.75), grad,
         "With alpha 0, s is 1 and y is x.")
    same(mine.norm_gradient(x, grad, 1, 0.5, 0.75), gradient(x, grad, 1, 0.5, 0.75),
         "With n = 1, x[c] is in y[c] twice: above the line, and in s[c] below it. The second part "
         "is -2 * alpha * beta / n * x[c] * grad[c] * y[c] / s[c].")


def test_norm_gradient_through_the_neighbors(mine):
    x, grad = RNG.standard_normal(7), np.zeros(7)
    grad[3] = 1
    got, expected = mine.norm_gradient(x, grad, 3, 0.5, 0.75), gradient(x, grad, 3, 0.5, 0.75)
    same(np.asarray(got)[[0, 1, 5, 6]], np.zeros(4),
         "With n = 3, y[3] depends on channels 2, 3 and 4 only.")
    same(got, expected,
         "x[2] and x[4] are in s[3], so the gradient of y[3] reaches them. Sum over "
         "all d around c.")


def test_norm_gradient_at_the_ends(mine):
    x, grad = RNG.standard_normal(6), RNG.standard_normal(6)
    same(mine.norm_gradient(x, grad, 5, 0.5, 0.75), gradient(x, grad, 5, 0.5, 0.75),
         "The first and the last channels have fewer neighbors. An index of -1 means the last "
         "channel to NumPy, which is no neighbor of the first.")
