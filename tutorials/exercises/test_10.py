"""Grades 10.py."""

import itertools

import numpy as np
from grading import same

from fcn_numpy.nn import Conv2d, MaxPool2d, Sequential, SoftmaxCrossEntropy

MASKS = [np.array(mask).reshape(1, 3) for mask in itertools.product([False, True], repeat=3)]


def chance(mask, p):
    return p ** mask.sum() * (1 - p) ** (~mask).sum()


def cells():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 1, 3)), np.array([[2, 0, 3]])


def test_patches(mine):
    image = np.arange(2 * 6 * 8.0).reshape(2, 6, 8)
    same(mine.patches(image, [(0, 0), (1, 2)], 3, 2), [image[:, :3, :3], image[:, 2:5, 4:7]],
         "Cell (i, j) sees `field` rows from stride * i on, and `field` columns from stride * j "
         "on. All channels are kept.")


def test_patches_give_the_cells_of_the_map(mine):
    rng = np.random.default_rng(0)
    net = Sequential(Conv2d(3, 4, 3, dtype=np.float64, rng=rng), MaxPool2d(2, stride=2),
                     Conv2d(4, 2, 2, dtype=np.float64, rng=rng))
    image = rng.standard_normal((3, 12, 12))
    some = [(0, 3), (2, 1), (3, 3)]
    got = net(np.ascontiguousarray(mine.patches(image, some, 6, 2)))
    in_map = net(image[None])[0]
    same(got[:, :, 0, 0], [in_map[:, i, j] for i, j in some],
         "A network without padding has to give one cell for each patch, the same as in the map.")


def test_gradient_without_sampling(mine):
    scores, labels = cells()
    loss_of = SoftmaxCrossEntropy()
    loss_of(scores[None], labels[None])
    same(mine.sampled_gradient(scores, labels, np.ones((1, 3), bool), 1.0), loss_of.backward()[0],
         "With p = 1 all cells are kept: softmax(scores), minus 1 at the label, over the number of "
         "cells.")


def test_gradient_of_cells_without_a_label(mine):
    scores, labels = cells()
    labels[0, 1] = 255
    loss_of = SoftmaxCrossEntropy()
    loss_of(scores[None], labels[None])
    same(mine.sampled_gradient(scores, labels, np.ones((1, 3), bool), 1.0), loss_of.backward()[0],
         "A cell with label 255 has no gradient, and does not count as a labeled cell either.")


def test_gradient_of_large_scores(mine):
    with np.errstate(all="ignore"):
        got = mine.sampled_gradient(np.array([1000.0, 0]).reshape(2, 1, 1), np.array([[1]]),
                                    np.array([[True]]), 1.0)
    same(got.ravel(), [1, -1],
         "exp(1000) is too large for a float: subtract the largest score of each cell first.")


def test_gradient_of_no_cell(mine):
    scores, labels = cells()
    with np.errstate(all="ignore"):
        got = mine.sampled_gradient(scores, labels, np.zeros((1, 3), bool), 0.5)
    same(got, np.zeros((4, 1, 3)),
         "With an empty mask the gradient is 0, not 0 / 0: divide by all labeled cells, not by "
         "those that are kept.")


def test_gradient_is_right_on_average(mine):
    scores, labels = cells()
    whole = mine.sampled_gradient(scores, labels, np.ones((1, 3), bool), 1.0)
    with np.errstate(all="ignore"):
        mean = sum(chance(m, 0.25) * mine.sampled_gradient(scores, labels, m, 0.25) for m in MASKS)
    same(mean, whole,
         "Averaged over all masks, the gradient has to be the whole one. A cell is kept with "
         "probability p, so what must it be multiplied by?")


def test_noise(mine):
    each = np.random.default_rng(1).standard_normal((3, 5))
    for p in (0.25, 0.6):
        sampled = [mask.ravel() / p @ each for mask in MASKS]
        expected = sum(chance(mask, p) * ((gradient - each.sum(axis=0)) ** 2).sum()
                       for mask, gradient in zip(MASKS, sampled))
        same(mine.noise(each, p), expected,
             "The variance of m / p is (1 - p) / p for each cell. It multiplies the squared length "
             "of that cell's own gradient, and these add up.")
