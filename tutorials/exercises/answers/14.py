"""Model answers to 14.py, and what graders say to common mistakes."""

import numpy as np


def windows(x, k, stride):
    c, h, w = x.shape
    channel, row, column = x.strides
    shape = c, k, k, (h - k) // stride + 1, (w - k) // stride + 1
    strides = channel, row, column, stride * row, stride * column
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def convolve(x, w, bias, limit):
    f, c, k, _ = w.shape
    view = windows(x, k, 1)
    ho, wo = view.shape[3:]
    rows = max(1, limit // (c * k * k * wo * x.itemsize))
    y = np.empty((f, ho, wo), x.dtype)
    for top in range(0, ho, rows):
        columns = view[:, :, :, top : top + rows].reshape(c * k * k, -1)
        piece = w.reshape(f, -1) @ columns + bias[:, None]
        y[:, top : top + rows] = np.maximum(piece, 0).reshape(f, -1, wo)
    return y


def slide(d, g):
    total, alternating = (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2
    y = np.empty(len(d) - 2, d.dtype)
    for i in range(0, len(y), 2):
        d0, d1, d2, d3 = d[i : i + 4]
        m1, m4 = (d0 - d2) * g[0], (d1 - d3) * g[2]
        m2, m3 = (d1 + d2) * total, (d2 - d1) * alternating
        y[i], y[i + 1] = m1 + m2 + m3, m2 - m3 - m4
    return y


def _swapped(x, k, stride):
    return windows(x, k, stride).transpose(0, 3, 4, 1, 2)


def _strides_of_a_fresh_array(x, k, stride):
    fresh = windows(np.empty(x.shape, x.dtype), k, stride)
    return np.lib.stride_tricks.as_strided(x, fresh.shape, fresh.strides)


def _without_the_last_band(x, w, bias, limit):
    y = convolve(x, w, bias, limit)
    rows = max(1, limit // (w[0].size * y.shape[2] * x.itemsize))
    y[:, y.shape[1] // rows * rows :] = 0
    return y


def _relu_first(x, w, bias, limit):
    return convolve(x, w, np.zeros_like(bias), limit) + bias[:, None, None]


def _six_products(d, g):
    return np.array([d[i] * g[0] + d[i + 1] * g[1] + d[i + 2] * g[2] for i in range(len(d) - 2)])


def _neighboring_pieces(d, g):
    return np.concatenate([slide(d[i : i + 4], g) for i in range(0, len(d) - 3, 4)])


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("windows", _swapped, "Axes 1 and 2 are the tap"),
    ("windows", lambda x, k, stride: windows(x, k, 1), "two rows and two columns of x apart"),
    ("windows", lambda *arguments: windows(*arguments).copy(), "is a copy"),
    ("windows", _strides_of_a_fresh_array, "x.strides"),
    ("convolve", _without_the_last_band, "a last band of 1 row"),
    ("convolve", _relu_first, "before the ReLU"),
    ("convolve", lambda x, w, bias, limit: convolve(x, w, bias, 10**9), "one band at a time"),
    ("slide", _six_products, "m1 to m4"),
    ("slide", lambda d, g: slide(d, g[::-1]), "one cell farther"),
    ("slide", _neighboring_pieces, "two cells farther"),
]
