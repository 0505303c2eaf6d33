"""Grades 09.py."""

import numpy as np
from grading import same


def up(x):
    """Upsample by 2: each cell becomes a square, without interpolation."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def cut(x, offset, like):
    return x[:, offset : offset + like.shape[1], offset : offset + like.shape[2]]


def maps():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, *size)) for size in ((3, 2), (8, 7), (15, 13))]


def test_stream_of_the_coarse_map(mine):
    coarse, middle, fine = maps()
    got = mine.streams(coarse, middle, fine, up, 1, 2)
    same(len(got), 3, "There are three streams, one for each map.")
    same(got[0], up(up(coarse)), "The coarse map is upsampled twice on its way to the scores.")


def test_stream_of_the_middle_map(mine):
    coarse, middle, fine = maps()
    got = mine.streams(coarse, middle, fine, up, 0, 0)[1]
    same(got, up(cut(middle, 0, up(coarse))),
         "The middle map is cut to the size of the upsampled coarse map, and after the sum it is "
         "upsampled once more. Give what this map contributes alone, not the running sum.")


def test_stream_of_the_fine_map(mine):
    coarse, middle, fine = maps()
    got = mine.streams(coarse, middle, fine, up, 1, 2)
    same(got[2], cut(fine, 2, up(up(coarse))), "Is the fine map cut at the right place? It is not "
         "upsampled.")
    same(got[1], up(cut(middle, 1, up(coarse))), "Is the middle map cut at the right place? The "
         "crop comes before the upsampling.")


def test_streams_add_up(mine):
    coarse, middle, fine = maps()
    scores = up(coarse) + cut(middle, 1, up(coarse))
    scores = up(scores) + cut(fine, 2, up(scores))
    got = mine.streams(coarse, middle, fine, up, 1, 2)
    for stream in got:
        same(np.shape(stream), scores.shape, "Every stream has the shape of the scores.")
    same(sum(got), scores, "The streams do not add up to the scores.")


def test_both_uses_count(mine):
    grad, pool, weight = np.full((1, 1, 1), 2.0), np.full((1, 1, 1), 5.0), np.full((1, 1), 3.0)
    got, _ = mine.skip_backward(grad, pool, weight, 0, lambda g: 10 * g)
    same(got, [[[20 + 6]]],
         "The map is used twice, so its gradient is a sum of two: later_backward gives 20, and the "
         "skip gives weight * grad = 6. Both get the gradient of the scores unchanged.")


def test_gradient_of_the_weight(mine):
    grad, pool, weight = np.full((1, 2, 2), 1.0), np.arange(4.0).reshape(1, 2, 2), np.ones((1, 1))
    _, got = mine.skip_backward(grad, pool, weight, 0, lambda g: 0 * g)
    same(got, [[6]], "The weight is used at every cell. Its gradient is the sum of grad times "
         "pool, and grad arrives at the score layer unchanged.")


def test_crop_backward(mine):
    grad, pool, weight = np.ones((1, 2, 2)), np.arange(16.0).reshape(1, 4, 4), np.ones((1, 1))
    got, got_weight = mine.skip_backward(grad, pool, weight, 1, lambda g: np.zeros((1, 4, 4)))
    hint = ("Backward, the crop puts the gradient into zeros, from row and column `offset` on. "
            "Cells that were cut off get none.")
    same(got, np.pad(grad, ((0, 0), (1, 1), (1, 1))), hint)
    same(got_weight, [[5 + 6 + 9 + 10]], hint)


def test_skip_backward_by_finite_differences(mine):
    rng = np.random.default_rng(0)
    grad, pool = rng.standard_normal((3, 3, 4)), rng.standard_normal((2, 6, 7))
    weight, mix = rng.standard_normal((3, 2)), rng.standard_normal((3, 2))

    def loss(pool, weight):
        later = np.einsum("kc,cij->kij", mix, pool[:, :3, :4] ** 2)
        return (grad * (later + cut(np.einsum("kc,cij->kij", weight, pool), 2, grad))).sum()

    def later_backward(g):
        found = np.zeros_like(pool)
        found[:, :3, :4] = 2 * pool[:, :3, :4] * np.einsum("kc,kij->cij", mix, g)
        return found

    got, got_weight = mine.skip_backward(grad, pool, weight, 2, later_backward)
    a, b = rng.standard_normal(pool.shape), rng.standard_normal(weight.shape)
    h = 1e-5
    same((got * a).sum(), (loss(pool + h * a, weight) - loss(pool - h * a, weight)) / (2 * h),
         "The gradient of pool differs from finite differences. With several channels, channel c "
         "gets the sum over classes k of weight[k, c] * grad[k].")
    same((got_weight * b).sum(),
         (loss(pool, weight + h * b) - loss(pool, weight - h * b)) / (2 * h),
         "The gradient of weight differs from finite differences: weight[k, c] gets the sum over "
         "cells of grad[k] * pool[c].")


def test_coarsen_keeps_the_size(mine):
    same(mine.coarsen(np.full((4, 8), 3), 4), np.full((4, 8), 3),
         "The result has the size of the labels: every pixel of a square gets its label.")


def test_coarsen_takes_the_middle(mine):
    labels = np.arange(32).reshape(4, 8)
    same(mine.coarsen(labels, 4), np.repeat([[18, 22]], 4, axis=1).repeat(4, axis=0),
         "A square takes the label of the pixel in its middle, at row and column stride // 2 of "
         "the square.")
    same(mine.coarsen(labels, 1), labels, "With a stride of 1, nothing changes.")
