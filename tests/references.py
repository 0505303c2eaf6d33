"""Slow references in plain loops, written from the mathematics, to hold the fast code to."""

import itertools
import math

import numpy as np


def as_pair(value):
    """Return an int as (int, int), a pair as it is."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def assert_close(actual, expected, tolerance):
    """Fail unless shapes are equal and values differ by at most tolerance * (1 + largest)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert np.isfinite(actual).all(), "not finite"
    difference = np.abs(actual.astype(np.float64) - expected)
    limit = tolerance * (1 + np.abs(expected).max())
    assert difference.max() <= limit, f"differs by {difference.max()}, allowed {limit}"


def window_starts(size, kernel, stride, padding, dilation=1, ceil_mode=False):
    """List where the windows along one axis start, found by moving a window step by step.

    A window fits if it ends inside the padded axis. With ceil_mode one more is kept that
    overhangs, if the one before has not reached the end, and if it starts inside the input or
    the padding before it.
    """
    extent = dilation * (kernel - 1) + 1
    end = size + padding
    starts = []
    start = -padding
    while start + extent <= end:
        starts.append(start)
        start += stride
    if ceil_mode and start - stride + extent < end and start < size:
        starts.append(start)
    return starts


def taps(x_size, kernel_size, stride, padding, dilation):
    """Yield (i, j, a, b, row, column): which pixel output (i, j) sees through tap (a, b)."""
    (h, w), (kh, kw) = x_size, as_pair(kernel_size)
    (sh, sw), (ph, pw), (dh, dw) = as_pair(stride), as_pair(padding), as_pair(dilation)
    rows = list(enumerate(window_starts(h, kh, sh, ph, dh)))
    columns = list(enumerate(window_starts(w, kw, sw, pw, dw)))
    for (i, top), (j, left) in itertools.product(rows, columns):
        for a, b in itertools.product(range(kh), range(kw)):
            row, column = top + a * dh, left + b * dw
            if 0 <= row < h and 0 <= column < w:
                yield i, j, a, b, row, column


def conv_size(x_size, kernel_size, stride, padding, dilation):
    """Return the output's (height, width), by counting windows."""
    arguments = zip(
        x_size, as_pair(kernel_size), as_pair(stride), as_pair(padding), as_pair(dilation)
    )
    return tuple(len(window_starts(*a)) for a in arguments)


def loop_im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Copy pixel by pixel into columns."""
    n, c, h, w = x.shape
    kh, kw = as_pair(kernel_size)
    ho, wo = conv_size((h, w), (kh, kw), stride, padding, dilation)
    cols = np.zeros((n, c, kh, kw, ho, wo), x.dtype)
    for i, j, a, b, row, column in taps((h, w), (kh, kw), stride, padding, dilation):
        cols[:, :, a, b, i, j] = x[:, :, row, column]
    return cols.reshape(n, c * kh * kw, ho * wo)


def channel_of(f, c, w_shape, groups):
    """Return which channel of x the weight w[f, c] is for: groups have their own, in order."""
    filters, channels = w_shape[0] // groups, w_shape[1]
    return f // filters * channels + c


def loop_conv2d(x, w, stride=1, padding=0, dilation=1, groups=1):
    """y[n, f, i, j] = sum over c, a, b of w[f, c, a, b] * x[n, c, row, column]."""
    size = conv_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = np.zeros((x.shape[0], w.shape[0], *size))
    where = list(taps(x.shape[2:], w.shape[2:], stride, padding, dilation))
    for n, f, c in itertools.product(range(x.shape[0]), *map(range, w.shape[:2])):
        channel = channel_of(f, c, w.shape, groups)
        xs, ws, ys = x[n, channel].tolist(), w[f, c].tolist(), y[n, f]
        for i, j, a, b, row, column in where:
            ys[i, j] += ws[a][b] * xs[row][column]
    return y


def loop_conv2d_input(grad_y, w, input_size, stride=1, padding=0, dilation=1, groups=1):
    """dL/dx: each tap that read a pixel gives it w * grad_y back."""
    grad_x = np.zeros((grad_y.shape[0], groups * w.shape[1], *input_size))
    where = list(taps(input_size, w.shape[2:], stride, padding, dilation))
    for n, f, c in itertools.product(range(grad_y.shape[0]), *map(range, w.shape[:2])):
        channel = channel_of(f, c, w.shape, groups)
        ys, ws, xs = grad_y[n, f].tolist(), w[f, c].tolist(), grad_x[n, channel]
        for i, j, a, b, row, column in where:
            xs[row, column] += ws[a][b] * ys[i][j]
    return grad_x


def loop_conv2d_weight(x, grad_y, kernel_size, stride=1, padding=0, dilation=1, groups=1):
    """dL/dw: each tap gathers x * grad_y from all places where it was used."""
    grad_w = np.zeros((grad_y.shape[1], x.shape[1] // groups, *as_pair(kernel_size)))
    where = list(taps(x.shape[2:], kernel_size, stride, padding, dilation))
    for n, f, c in itertools.product(range(x.shape[0]), *map(range, grad_w.shape[:2])):
        channel = channel_of(f, c, grad_w.shape, groups)
        xs, ys, ws = x[n, channel].tolist(), grad_y[n, f].tolist(), grad_w[f, c]
        for i, j, a, b, row, column in where:
            ws[a, b] += xs[row][column] * ys[i][j]
    return grad_w


def loop_conv_transpose2d(x, w, stride=1, padding=0, output_padding=0, dilation=1):
    """Stamp the kernel onto a canvas once for each input cell, then cut the padding off.

    w is (C, F, kh, kw). The canvas is as large as the stamps reach, and output_padding more.
    """
    n, c, h, wd = x.shape
    f, (kh, kw) = w.shape[1], w.shape[2:]
    (sh, sw), (ph, pw), (dh, dw) = as_pair(stride), as_pair(padding), as_pair(dilation)
    eh, ew = as_pair(output_padding)
    last_row, last_column = (h - 1) * sh + (kh - 1) * dh, (wd - 1) * sw + (kw - 1) * dw
    canvas = np.zeros((n, f, last_row + 1 + eh, last_column + 1 + ew))
    for image, ci, fi in itertools.product(range(n), range(c), range(f)):
        for i, j, a, b in itertools.product(range(h), range(wd), range(kh), range(kw)):
            value = float(x[image, ci, i, j]) * float(w[ci, fi, a, b])
            canvas[image, fi, i * sh + a * dh, j * sw + b * dw] += value
    return canvas[:, :, ph : canvas.shape[2] - ph, pw : canvas.shape[3] - pw]


def loop_max_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, dilation=1):
    """Return y and, for each cell of it, the (row, column) that won: the first of the largest."""
    kernel = as_pair(kernel_size)
    strides = kernel if stride is None else as_pair(stride)
    dh, dw = dilations = as_pair(dilation)
    tops, lefts = (
        window_starts(*a, ceil_mode)
        for a in zip(x.shape[2:], kernel, strides, as_pair(padding), dilations)
    )
    y = np.zeros((*x.shape[:2], len(tops), len(lefts)), x.dtype)
    winners = {}
    for n, c, (i, top), (j, left) in itertools.product(
        range(x.shape[0]), range(x.shape[1]), enumerate(tops), enumerate(lefts)
    ):
        cells = [
            (row, column)
            for row in range(top, top + kernel[0] * dh, dh)
            for column in range(left, left + kernel[1] * dw, dw)
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
        ]
        best = max(x[n, c, row, column] for row, column in cells)
        winners[n, c, i, j] = next(cell for cell in cells if x[n, c][cell] == best)
        y[n, c, i, j] = best
    return y, winners


def loop_max_pool2d_input(x_shape, winners, grad_y):
    """Give each window's gradient to the cell that won."""
    grad_x = np.zeros(x_shape)
    for (n, c, i, j), (row, column) in winners.items():
        grad_x[n, c, row, column] += grad_y[n, c, i, j]
    return grad_x


def loop_local_response_norm(x, grad, size, alpha, beta, k):
    """Return y and the gradient of x, where grad is that of y, number by number.

    Of `size` channels, size // 2 come before the one that they are around.
    """
    y, grad_x = np.zeros(x.shape), np.zeros(x.shape)
    n_channels = x.shape[1]
    for n, i, j in itertools.product(range(x.shape[0]), *map(range, x.shape[2:])):
        values, grads = x[n, :, i, j].tolist(), grad[n, :, i, j].tolist()
        for c, value in enumerate(values):
            first = c - size // 2
            around = [d for d in range(first, first + size) if 0 <= d < n_channels]
            s = k + alpha / size * math.fsum(values[d] ** 2 for d in around)
            y[n, c, i, j] = value / s**beta
            # y[c] = x[c] s**-beta depends on x[c] directly, and through s on each x[d] around it.
            grad_x[n, c, i, j] += grads[c] / s**beta
            for d in around:
                slope = -beta * value * s ** (-beta - 1) * 2 * alpha / size * values[d]
                grad_x[n, d, i, j] += grads[c] * slope
    return y, grad_x


def loop_softmax_cross_entropy(scores, labels, ignore_index=255, reduction="mean", weight=None):
    """Return the loss and its gradient by the scores, pixel by pixel."""
    n_class = scores.shape[1]
    weight = [1.0] * n_class if weight is None else [float(v) for v in weight]
    losses, total, grad = [], [], np.zeros(scores.shape)
    for index in np.ndindex(*labels.shape):
        label = int(labels[index])
        if label == ignore_index:
            continue
        pixel = (index[0], slice(None), *index[1:])
        s = [float(v) for v in scores[pixel]]
        largest = max(s)
        exps = [math.exp(v - largest) for v in s]
        losses.append(weight[label] * (math.log(math.fsum(exps)) + largest - s[label]))
        total.append(weight[label])
        softmax = [e / math.fsum(exps) for e in exps]
        grad[pixel] = [weight[label] * (p - (k == label)) for k, p in enumerate(softmax)]
    count = math.fsum(total) if reduction == "mean" else 1.0
    if not losses or count == 0:
        return 0.0, np.zeros(scores.shape)
    return math.fsum(losses) / count, grad / count
