"""Model answers to 05.py, and what graders say to common mistakes."""

import numpy as np


def as_kernels(weight, channels, height, width):
    return weight.reshape(len(weight), channels, height, width)


def score_map(x, weight, bias, height, width):
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    y = np.zeros((len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            y[:, i, j] = weight @ x[:, i : i + height, j : j + width].reshape(-1) + bias
    return y


def cells(size, window, stride):
    return (size - window) // stride + 1


def _channels_last(weight, channels, height, width):
    return weight.reshape(len(weight), height, width, channels).transpose(0, 3, 1, 2)


def _columns_first(weight, channels, height, width):
    return weight.reshape(len(weight), channels, width, height).swapaxes(2, 3)


def _no_bias(x, weight, bias, height, width):
    return score_map(x, weight, 0 * bias, height, width)


def _sides_swapped(x, weight, bias, height, width):
    y = score_map(x.swapaxes(1, 2), weight, bias, height, width)
    return y.swapaxes(1, 2)


def _flattened_in_another_order(x, weight, bias, height, width):
    kernels = _channels_last(weight, len(x), height, width)
    return score_map(x, kernels.reshape(len(weight), -1), bias, height, width)


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("as_kernels", _channels_last, "channels last"),
    ("as_kernels", _columns_first, "row by row"),
    ("score_map", _no_bias, "the bias"),
    ("score_map", _sides_swapped, "height rows and width columns"),
    ("score_map", _flattened_in_another_order, "the layer's own scores"),
    ("cells", lambda size, window, stride: (size - window) // stride, "first position counts"),
    ("cells", lambda size, window, stride: -(-(size - window) // stride) + 1, "too few"),
    ("cells", lambda size, window, stride: size // stride, "room to move"),
]
