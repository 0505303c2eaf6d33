"""Model answers to 07.py, and what graders say to common mistakes."""

import numpy as np


def paint(x, kernel, stride):
    y = np.zeros((len(x) - 1) * stride + len(kernel))
    for i, value in enumerate(x):
        y[i * stride : i * stride + len(kernel)] += value * kernel
    return y


def by_zeros(x, kernel, stride):
    k, n = len(kernel), (len(x) - 1) * stride + 1
    row = np.zeros(n + 2 * (k - 1))
    row[k - 1 : k - 1 + n : stride] = x
    return np.array([row[i : i + k] @ kernel[::-1] for i in range(n + k - 1)])


def tent(factor):
    k = 2 * factor - factor % 2
    return 1 - abs(np.arange(k) - (k - 1) / 2) / factor


def _replaces(x, kernel, stride):
    y = np.zeros((len(x) - 1) * stride + len(kernel))
    for i, value in enumerate(x):
        y[i * stride : i * stride + len(kernel)] = value * kernel
    return y


def _no_rim(x, kernel, stride):
    return by_zeros(x, kernel, stride)[len(kernel) - 1 : 1 - len(kernel)]


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("paint", _replaces, "they add up"),
    ("paint", lambda x, kernel, stride: paint(x, kernel[::-1], stride), "the value"),
    ("by_zeros", lambda x, kernel, stride: by_zeros(x, kernel[::-1], stride), "last weight first"),
    ("by_zeros", lambda x, kernel, stride: by_zeros(x, kernel, stride + 1), "stride - 1 zeros"),
    ("by_zeros", _no_rim, "k - 1 zeros at each end"),
    ("tent", lambda factor: 1 - abs(np.arange(2 * factor) - factor) / factor, "between two cells"),
    ("tent", lambda factor: 1 - abs(np.arange(2 * factor) - factor + 0.5) / factor,
     "its middle is a cell"),
]
