"""Model answers to 11.py, and what graders say to common mistakes."""

import numpy as np


def clipped(gradients, longest):
    length = np.sqrt(sum((g ** 2).sum() for g in gradients))
    scale = min(1, longest / length) if length else 1
    return [scale * g for g in gradients]


def sgd_step(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    v = momentum * v + lr * lr_mult * (g + decay * decay_mult * w)
    return w - v, v


def heavy_rate(lr, momentum, batch, pixels):
    moves = lr / (batch * (1 - momentum))
    return moves * (1 - 0.99) / pixels


def _each(gradients, longest):
    return [clipped([g], longest)[0] for g in gradients]


def _elements(gradients, longest):
    return [np.clip(g, -longest, longest) for g in gradients]


def _lengthens(gradients, longest):
    length = np.sqrt(sum((g ** 2).sum() for g in gradients))
    return [longest / length * g for g in gradients]


def _pytorch(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    v = momentum * v + g + decay * decay_mult * w
    return w - lr * lr_mult * v, v


def _old_velocity(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    return w - v, sgd_step(w, v, g, lr, momentum, decay, lr_mult, decay_mult)[1]


def _no_decay(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    return sgd_step(w, v, g, lr, momentum, 0, lr_mult)


def _one_rate(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    return sgd_step(w, v, g, lr, momentum, decay, 1, decay_mult)


def _one_decay(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    return sgd_step(w, v, g, lr, momentum, decay, lr_mult, 1)


def _in_place(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    v *= momentum
    v += lr * lr_mult * (g + decay * decay_mult * w)
    w -= v
    return w, v


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("clipped", _each, "one factor for all"),
    ("clipped", _elements, "direction"),
    ("clipped", _lengthens, "stay as they are"),
    ("sgd_step", _pytorch, "inside the velocity"),
    ("sgd_step", _old_velocity, "new velocity"),
    ("sgd_step", _no_decay, "decay * w"),
    ("sgd_step", _one_rate, "lr_mult"),
    ("sgd_step", _one_decay, "decay_mult"),
    ("sgd_step", _in_place, "must not change"),
    ("heavy_rate", lambda lr, momentum, batch, pixels: lr / pixels, "momentum and the batch"),
    ("heavy_rate", lambda lr, momentum, batch, pixels: heavy_rate(lr, momentum, 1, pixels),
     "a share of 1 / batch"),
    ("heavy_rate", lambda lr, momentum, batch, pixels: heavy_rate(lr, momentum, batch, 1),
     "pixels times"),
]
