"""Model answers to 04.py, and what graders say to common mistakes."""

import numpy as np


def leaky_relu_backward(g, x, slope):
    return np.where(x > 0, g, slope * g)


def leaky_relu_piece(x):
    return x > 0


def safe_difference(f, piece, x, index, steps):
    for h in steps:
        ends = []
        for step in (h, -h):
            moved = x.copy()
            moved[index] += step
            ends.append(moved)
        if all(np.array_equal(piece(end), piece(x)) for end in ends):
            return (f(ends[0]) - f(ends[1])) / (2 * h)
    return None


def _upper_end_alone(f, piece, x, index, steps):
    e = np.zeros_like(x)
    e[index] = 1
    for h in steps:
        if np.array_equal(piece(x - h * e), piece(x)):
            return (f(x + h * e) - f(x - h * e)) / (2 * h)
    return None


def _never_looks(f, piece, x, index, steps):
    return safe_difference(f, lambda x: 0, x, index, steps)


def _in_place(f, piece, x, index, steps):
    found = safe_difference(f, piece, x, index, steps)
    x[index] += steps[0]
    return found


def _smallest_first(f, piece, x, index, steps):
    return safe_difference(f, piece, x, index, sorted(steps))


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("leaky_relu_backward", lambda g, x, slope: g * (x > 0), "the gradient is slope * g"),
    ("leaky_relu_backward", lambda g, x, slope: np.where(g > 0, g, slope * g), "the sign of x"),
    ("leaky_relu_piece", lambda x: x, "not its value"),
    ("leaky_relu_piece", lambda x: np.zeros(x.shape), "must differ"),
    ("safe_difference", _never_looks, "Compare the pieces"),
    ("safe_difference", _upper_end_alone, "Compare both ends"),
    ("safe_difference", _smallest_first, "the first one in the list"),
    ("safe_difference", _in_place, "x has changed"),
]
