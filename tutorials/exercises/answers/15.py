"""Model answers to 15.py, and what graders say to common mistakes."""

import numpy as np


def as_one_group(w, groups):
    f, c = len(w) // groups, w.shape[1]
    new = np.zeros((len(w), c * groups, *w.shape[2:]), w.dtype)
    for g in range(groups):
        new[g * f : (g + 1) * f, g * c : (g + 1) * c] = w[g * f : (g + 1) * f]
    return new


def upsampling(stride, shift):
    for kernel in (2 * stride, 2 * stride - 1):
        crop = (kernel - 1) / 2 - shift
        if crop == int(crop):
            return kernel, int(crop)
    raise ValueError(f"expected a shift that is a multiple of 0.5, got {shift}")


def _sum(values, n):
    return np.array([values[max(0, c - n // 2) : c + n // 2 + 1].sum() for c in range(len(values))])


def norm_gradient(x, grad, n, alpha, beta):
    s = 1 + alpha / n * _sum(x**2, n)
    y = x / s**beta
    return grad / s**beta - 2 * alpha * beta / n * x * _sum(grad * y / s, n)


def _interleaved(w, groups):
    new = np.zeros((len(w), w.shape[1] * groups, *w.shape[2:]))
    for g in range(groups):
        new[g::groups, g::groups] = w[g::groups]
    return new


def _rounded_down(stride, shift):
    return 2 * stride, int((2 * stride - 1) / 2 - shift)


def _direct_part(x, grad, n, alpha, beta):
    return grad / (1 + alpha / n * _sum(x**2, n)) ** beta


def _own_channel(x, grad, n, alpha, beta):
    s = 1 + alpha / n * _sum(x**2, n)
    return grad / s**beta - 2 * alpha * beta / n * x * grad * x / s ** (beta + 1)


def _around_the_ends(x, grad, n, alpha, beta):
    m, rest = n // 2, np.arange(len(x))
    wrapped = [np.take(a, np.arange(-m, len(x) + m), mode="wrap") for a in (x, grad)]
    return norm_gradient(*wrapped, n, alpha, beta)[rest + m]


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("as_one_group", _interleaved, "do not take turns"),
    ("as_one_group", lambda w, groups: np.tile(w, (1, groups, 1, 1)), "first half of the channels"),
    ("upsampling", _rounded_down, "need an odd kernel"),
    ("upsampling", lambda stride, shift: (upsampling(stride, shift)[0], 19), "minus the pixel"),
    ("norm_gradient", _direct_part, "in y[c] twice"),
    ("norm_gradient", _own_channel, "all d around c"),
    ("norm_gradient", _around_the_ends, "no neighbor of the first"),
]
