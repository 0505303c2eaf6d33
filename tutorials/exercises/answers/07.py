"""Model answers to 07.py, and what graders say to common mistakes."""

import numpy as np


def paint(x, kernel, stride):
    y = np.zeros((len(x) - 1) * stride + len(kernel))
    for i, value in enumerate(x):
        y[i * stride : i * stride + len(kernel)] += value * kernel
    return y


def tent(factor):
    cells = np.arange(2 * factor)
    return 1 - abs(cells - (2 * factor - 1) / 2) / factor


def _replaces(x, kernel, stride):
    y = np.zeros((len(x) - 1) * stride + len(kernel))
    for i, value in enumerate(x):
        y[i * stride : i * stride + len(kernel)] = value * kernel
    return y


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("paint", _replaces, "they add up"),
    ("paint", lambda x, kernel, stride: paint(x, kernel[::-1], stride), "the value"),
    ("tent", lambda factor: 1 - abs(np.arange(2 * factor) - factor) / factor, "between two cells"),
]
