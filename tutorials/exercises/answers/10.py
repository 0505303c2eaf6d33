"""Model answers to 10.py, and what graders say to common mistakes."""

import numpy as np


def patches(image, cells, field, stride):
    return np.array([
        image[:, stride * i : stride * i + field, stride * j : stride * j + field] for i, j in cells
    ])


def sampled_gradient(scores, labels, keep, p):
    labeled = labels != 255
    e = np.exp(scores - scores.max(axis=0))
    gradient = e / e.sum(axis=0)
    for i, j in np.argwhere(labeled):
        gradient[labels[i, j], i, j] -= 1
    return gradient * (labeled & keep) / p / labeled.sum()


def noise(each, p):
    return (1 - p) / p * (each**2).sum()


def _no_factor(scores, labels, keep, p):
    return sampled_gradient(scores, labels, keep, 1)


def _divided_by_kept(scores, labels, keep, p):
    with np.errstate(all="ignore"):
        return sampled_gradient(scores, labels, keep, p) * p * labels.size / keep.sum()


def _overflows(scores, labels, keep, p):
    with np.errstate(all="ignore"):
        e = np.exp(scores)
        return sampled_gradient(np.log(e / e.sum(axis=0)), labels, keep, p)


def _counts_all(scores, labels, keep, p):
    return sampled_gradient(scores, labels, keep, p) * (labels != 255).mean()


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("patches", lambda image, cells, field, stride: patches(image, cells, field, 1), "stride * i"),
    ("sampled_gradient", _no_factor, "multiplied by"),
    ("sampled_gradient", _divided_by_kept, "not 0 / 0"),
    ("sampled_gradient", _counts_all, "labeled cell either"),
    ("sampled_gradient", _overflows, "too large"),
    ("noise", lambda each, p: (1 - p) * (each**2).sum(), "(1 - p) / p"),
    ("noise", lambda each, p: (1 - p) / p * (each.sum(axis=0) ** 2).sum(), "own gradient"),
]
