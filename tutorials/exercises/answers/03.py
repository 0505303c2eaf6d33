"""Model answers to 03.py, and what graders say to common mistakes."""

import numpy as np

from fcn_numpy.nn import Module, Parameter


def conv_backward(g, x, w, stride):
    gx, gw = np.zeros_like(x), np.zeros_like(w)
    for i, j in np.ndindex(g.shape):
        for a, b in np.ndindex(w.shape):
            gx[i * stride + a, j * stride + b] += w[a, b] * g[i, j]
            gw[a, b] += x[i * stride + a, j * stride + b] * g[i, j]
    return gx, gw, g.sum()


class ChannelAffine(Module):
    def __init__(self, channels):
        self.scale = Parameter(np.ones(channels, np.float32))
        self.shift = Parameter(np.zeros(channels, np.float32))

    def forward(self, x):
        self.x = x
        return self.scale.data[:, None, None] * x + self.shift.data[:, None, None]

    def backward(self, grad):
        self.scale.grad += (grad * self.x).sum(axis=(0, 2, 3))
        self.shift.grad += grad.sum(axis=(0, 2, 3))
        return self.scale.data[:, None, None] * grad


def _replaces(g, x, w, stride):
    gx, gw, gbias = conv_backward(g, x, w, stride)
    for i, j in np.ndindex(g.shape):
        for a, b in np.ndindex(w.shape):
            gx[i * stride + a, j * stride + b] = w[a, b] * g[i, j]
    return gx, gw, gbias


def _mean_of_g(g, x, w, stride):
    return *conv_backward(g, x, w, stride)[:2], g.mean()


class _MeanOverImages(ChannelAffine):
    def backward(self, grad):
        self.scale.grad += (grad * self.x).sum(axis=(2, 3)).mean(axis=0)
        self.shift.grad += grad.sum(axis=(0, 2, 3))
        return self.scale.data[:, None, None] * grad


class _ForgetsScale(ChannelAffine):
    def backward(self, grad):
        super().backward(grad)
        return grad


class _Replaces(ChannelAffine):
    def backward(self, grad):
        self.scale.grad = (grad * self.x).sum(axis=(0, 2, 3))
        self.shift.grad = grad.sum(axis=(0, 2, 3))
        return self.scale.data[:, None, None] * grad


class _Arrays(ChannelAffine):
    def __init__(self, channels):
        self.scale, self.shift = np.ones(channels), np.zeros(channels)


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("conv_backward", _replaces, "use += and not ="),
    ("conv_backward", _mean_of_g, "not the mean"),
    ("conv_backward", lambda g, x, w, stride: conv_backward(g, x, w, 1), "i * stride"),
    ("ChannelAffine", _Arrays, "that are Parameters"),
    ("ChannelAffine", _MeanOverImages, "dL/dscale[c] sums"),
    ("ChannelAffine", _ForgetsScale, "scale times grad"),
    ("ChannelAffine", _Replaces, "it accumulates"),
]
