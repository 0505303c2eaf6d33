"""Model answers to 09.py, and what graders say to common mistakes."""

import numpy as np


def _cut(x, offset, like):
    return x[:, offset : offset + like.shape[1], offset : offset + like.shape[2]]


def streams(coarse, middle, fine, up, crop_middle, crop_fine):
    first = up(coarse)
    second = _cut(middle, crop_middle, first)
    first, second = up(first), up(second)
    return [first, second, _cut(fine, crop_fine, first)]


def skip_backward(grad, pool, weight, offset, later_backward):
    uncut = np.zeros((len(weight), *pool.shape[1:]))
    uncut[:, offset : offset + grad.shape[1], offset : offset + grad.shape[2]] = grad
    grad_weight = np.einsum("kij,cij->kc", uncut, pool)
    return later_backward(grad) + np.einsum("kc,kij->cij", weight, uncut), grad_weight


def coarsen(labels, stride):
    middles = labels[stride // 2 :: stride, stride // 2 :: stride]
    return middles.repeat(stride, axis=0).repeat(stride, axis=1)


def _one_up(coarse, middle, fine, up, crop_middle, crop_fine):
    first, second, third = streams(coarse, middle, fine, up, crop_middle, crop_fine)
    return [first, _cut(middle, crop_middle, up(coarse)), third]


def _from_the_corner(coarse, middle, fine, up, crop_middle, crop_fine):
    return streams(coarse, middle, fine, up, 0, 0)


def _running(*arguments):
    first, second, third = streams(*arguments)
    return [first, first + second, first + second + third]


def _forgets(grad, pool, weight, offset, later_backward):
    grad_pool, grad_weight = skip_backward(grad, pool, weight, offset, later_backward)
    return later_backward(grad), grad_weight


def _forgets_later(grad, pool, weight, offset, later_backward):
    grad_pool, grad_weight = skip_backward(grad, pool, weight, offset, later_backward)
    return grad_pool - later_backward(grad), grad_weight


def _halves(grad, pool, weight, offset, later_backward):
    grad_pool, grad_weight = skip_backward(grad, pool, weight, offset, later_backward)
    return grad_pool / 2, grad_weight / 2


def _uncropped(grad, pool, weight, offset, later_backward):
    return skip_backward(grad, pool, weight, 0, later_backward)


def _corner(labels, stride):
    return labels[::stride, ::stride].repeat(stride, axis=0).repeat(stride, axis=1)


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("streams", _one_up, "upsampled once more"),
    ("streams", _from_the_corner, "cut at the right place"),
    ("streams", _running, "not the running sum"),
    ("skip_backward", _forgets, "used twice"),
    ("skip_backward", _forgets_later, "used twice"),
    ("skip_backward", _halves, "unchanged"),
    ("skip_backward", _uncropped, "into zeros"),
    ("coarsen", _corner, "in its middle"),
    ("coarsen", lambda labels, stride: labels[stride // 2 :: stride, stride // 2 :: stride],
     "the size of the labels"),
]
