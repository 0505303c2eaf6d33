"""Grades 11.py."""

import numpy as np
from grading import same


def test_clipped_leaves_short_gradients(mine):
    got = mine.clipped([np.array([0.3, 0.0]), np.array([[0.4]])], 1.0)
    same(len(got), 2, "Return a list with as many gradients.")
    for g, expected in zip(got, ([0.3, 0.0], [[0.4]])):
        same(g, expected, "Together they are 0.5 long, not above 1, so they stay as they are.")


def test_clipped_shortens_one_gradient(mine):
    got = mine.clipped([np.array([3.0, 4.0])], 0.5)[0]
    same(got, [0.3, 0.4],
         "The gradient (3, 4) is 5 long, and becomes 0.5 long. All elements are scaled alike, so "
         "that its direction stays the same.")


def test_clipped_takes_all_together(mine):
    gradients = [np.array([2.0]), np.array([[1.0, 2.0]])]
    for g, expected in zip(mine.clipped(gradients, 1.5), ([1.0], [[0.5, 1.0]])):
        same(g, expected,
             "Together, (2) and (1, 2) are 3 long. There is one factor for all gradients: 0.5.")
    same(gradients[0], [2.0], "The given arrays must not change.")


def test_clipped_takes_zeros(mine):
    with np.errstate(all="ignore"):
        got = mine.clipped([np.zeros(2)], 0.5)[0]
    same(got, [0, 0], "Gradients of zero must stay zero.")


def step(mine, *arguments, **factors):
    w, v, g = (np.array([x]) for x in arguments[:3])
    return mine.sgd_step(w, v, g, *arguments[3:], **factors)


def test_first_step(mine):
    w, v = step(mine, 1.0, 0.0, 2.0, 0.1, 0.9, 0.0)
    same(v, [0.2], "From a velocity of zero and a gradient of 2, the velocity becomes lr * 2. The "
         "learning rate is inside the velocity.")
    same(w, [0.8], "The weight moves by the new velocity, against the gradient.")


def test_momentum(mine):
    w, v = step(mine, 1.0, 0.5, 2.0, 0.1, 0.9, 0.0)
    same(v, [0.45 + 0.2], "Of the old velocity, 0.9 * 0.5 is left; lr * 2 is added.")
    same(w, [0.35], "The weight moves by the new velocity, not by the old one.")


def test_decay(mine):
    w, v = step(mine, 10.0, 0.0, 2.0, 0.1, 0.9, 0.5)
    same(v, [0.7], "The decay adds decay * w to the gradient: 2 + 0.5 * 10 = 7, times lr.")
    same(w, [9.3], "The weight moves by the new velocity.")


def test_factors(mine):
    _, v = step(mine, 10.0, 0.5, 2.0, 0.1, 0.9, 0.5, lr_mult=2, decay_mult=0)
    same(v, [0.45 + 0.4], "With an lr_mult of 2 the rate is 0.2. With a decay_mult of 0 nothing "
         "decays.")
    _, v = step(mine, 10.0, 0.0, 2.0, 0.1, 0.9, 0.5, lr_mult=3)
    same(v, [2.1], "lr_mult multiplies the whole rate, so it acts on the decay too.")


def test_step_changes_no_array(mine):
    w, v, g = np.ones(2), np.ones(2), np.ones(2)
    mine.sgd_step(w, v, g, 0.1, 0.9, 0.1)
    same([w, v, g], np.ones((3, 2)), "The given arrays must not change.")


def test_heavy_rate_of_a_similar_training(mine):
    same(mine.heavy_rate(0.01, 0.99, 1, 1), 0.01,
         "With one image, one pixel and a momentum of 0.99, nothing differs: the rate is the same.")
    same(mine.heavy_rate(0.01, 0.99, 1, 1000), 1e-5,
         "The gradient of a sum is pixels times that of the mean, so the rate is that many times "
         "smaller.")


def test_heavy_rate_of_a_batch(mine):
    same(mine.heavy_rate(0.01, 0.99, 8, 1), 0.01 / 8,
         "In a batch with the mean, an image has a share of 1 / batch of the gradient.")


def test_heavy_rate_of_another_momentum(mine):
    same(mine.heavy_rate(0.01, 0.9, 1, 1), 0.001,
         "A gradient moves the weights by lr / (1 - momentum) in total. The momentum and the batch "
         "of the old training both count.")


def test_heavy_rate_of_the_paper(mine):
    same(mine.heavy_rate(0.00375, 0.9, 20, 375 * 500) * 1e10, 1,
         "For 20 images of 375 x 500, a momentum of 0.9 and 0.00375, the rate should be 1e-10.")
    same(mine.heavy_rate(0.01, 0.9, 8, 256 ** 2) * 1e9, 1.9073486328125,
         "In total, an image must move the weights as far as before.")
