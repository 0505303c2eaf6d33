"""Model answers to 13.py, and what graders say to common mistakes."""

import numpy as np


def effective_side(influence, pixel, share):
    (row, column), r = pixel, 0
    while True:
        box = influence[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1]
        if box.sum() >= share * influence.sum():
            return 2 * r + 1
        r += 1


def average_backward(grad, size):
    (h, w), b = size, len(grad)
    result = np.zeros(size)
    for i in range(b):
        for j in range(b):
            rows = slice(i * h // b, -(-(i + 1) * h // b))
            columns = slice(j * w // b, -(-(j + 1) * w // b))
            result[rows, columns] += grad[i, j] / result[rows, columns].size
    return result


def whole_image(x, weight, bias):
    level = np.maximum(weight @ x.mean(axis=(1, 2)) + bias, 0)
    everywhere = np.broadcast_to(level[:, None, None], (len(level), *x.shape[1:]))
    return np.concatenate([x, everywhere])


def _negative_start(influence, pixel, share):
    (row, column), r = pixel, 0
    while r < max(influence.shape):
        box = influence[row - r : row + r + 1, column - r : column + r + 1]
        if box.sum() >= share * influence.sum():
            break
        r += 1
    return 2 * r + 1


def _bins(grad, size, divide=True, replace=False, floor=False):
    (h, w), b = size, len(grad)
    result = np.zeros(size)
    for i in range(b):
        for j in range(b):
            ends = [(k + 1) * n // b if floor else -(-(k + 1) * n // b)
                    for k, n in ((i, h), (j, w))]
            part = result[i * h // b : ends[0], j * w // b : ends[1]]
            value = grad[i, j] / (part.size if divide else 1)
            part[...] = value if replace else part + value
    return result


def _relu_first(x, weight, bias):
    y = whole_image(x, weight, bias)
    level = np.maximum(weight @ x.mean(axis=(1, 2)), 0) + bias
    y[len(x) :] = level[:, None, None]
    return y


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("effective_side", lambda influence, pixel, share: effective_side(
        influence, pixel, min(1, share / influence.sum())), "31%"),
    ("effective_side", lambda influence, pixel, share: effective_side(
        influence, pixel, share) // 2, "not how far it reaches"),
    ("effective_side", lambda influence, pixel, share: effective_side(
        influence, pixel, share + 1e-3), "exactly `share` is enough"),
    ("effective_side", _negative_start, "start it at 0"),
    ("average_backward", lambda grad, size: _bins(grad, size, divide=False), "divided by"),
    ("average_backward", lambda grad, size: _bins(grad, size, replace=True), "add up"),
    ("average_backward", lambda grad, size: _bins(grad, size, floor=True), "rounded up"),
    ("whole_image", _relu_first, "ReLU comes last"),
    ("whole_image", lambda x, weight, bias: whole_image(x, weight, bias)[::-1], "unchanged"),
    ("whole_image", lambda x, weight, bias: np.concatenate(
        [x, np.maximum(np.einsum("fc,cij->fij", weight, x) + bias[:, None, None], 0)]),
     "every cell"),
]
