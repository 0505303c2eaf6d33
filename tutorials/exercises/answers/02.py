"""Model answers to 02.py, and what graders say to common mistakes."""

import numpy as np


def matrix(w, size, stride):
    (H, W), (kh, kw) = size, w.shape
    Ho, Wo = (H - kh) // stride + 1, (W - kw) // stride + 1
    M = np.zeros((Ho * Wo, H * W))
    for i, j in np.ndindex(Ho, Wo):
        for a, b in np.ndindex(kh, kw):
            M[i * Wo + j, (i * stride + a) * W + j * stride + b] = w[a, b]
    return M


def columns(x, k, stride, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    Ho, Wo = ((n - k) // stride + 1 for n in x.shape[1:])
    cols = np.zeros((len(x) * k * k, Ho * Wo))
    for i, j in np.ndindex(Ho, Wo):
        top, left = i * stride, j * stride
        cols[:, i * Wo + j] = x[:, top : top + k, left : left + k].ravel()
    return cols


def _no_stride_in_the_start(w, size, stride):
    M = matrix(w, size, 1)
    rows = (size[0] - w.shape[0]) // stride + 1, (size[1] - w.shape[1]) // stride + 1
    return M[: rows[0] * rows[1]]


def _channels_last(x, k, stride, padding):
    cols = columns(x, k, stride, padding)
    return cols.reshape(len(x), k * k, -1).swapaxes(0, 1).reshape(cols.shape)


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("matrix", lambda w, size, stride: matrix(w, size, stride).T, "a row for every cell of y"),
    ("matrix", lambda w, size, stride: matrix(w[::-1, ::-1], size, stride), "Is the kernel turned"),
    ("matrix", _no_stride_in_the_start, "i * stride"),
    ("columns", _channels_last, "in another order"),
    ("columns", lambda x, k, stride, padding: columns(x, k, stride, 0), "pad both axes"),
    ("columns", lambda x, k, stride, padding: columns(x, k, 1, padding), "every `stride` cells"),
]
