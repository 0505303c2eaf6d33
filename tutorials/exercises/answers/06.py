"""Model answers to 06.py, and what graders say to common mistakes."""

import numpy as np


def shift_and_stitch(network, x, stride):
    runs = [network(x[a:]) for a in range(stride)]
    result = np.zeros(sum(len(run) for run in runs))
    for a, run in enumerate(runs):
        result[a::stride] = run
    return result


def rarefied(kernel, factor):
    result = np.zeros(factor * (len(kernel) - 1) + 1)
    result[::factor] = kernel
    return result


def dense(x, kernel):
    pooled = np.maximum(x[:-1], x[1:])
    holes = rarefied(kernel, 2)
    n = len(pooled) - len(holes) + 1
    return np.array([holes @ pooled[i : i + len(holes)] for i in range(n)])


def _one_after_the_other(network, x, stride):
    return np.concatenate([network(x[a:]) for a in range(stride)])


def _reversed(network, x, stride):
    result = shift_and_stitch(network, x, stride)
    groups = result[: len(result) // stride * stride].reshape(-1, stride)
    groups[:] = groups[:, ::-1].copy()
    return result


def _as_long_as_the_shortest(network, x, stride):
    runs = [network(x[a:]) for a in range(stride)]
    return np.array([run[i] for i in range(len(runs[-1])) for run in runs])


def _zeros_after_the_last(kernel, factor):
    result = np.zeros(factor * len(kernel))
    result[::factor] = kernel
    return result


def _without_holes(x, kernel):
    return np.correlate(np.maximum(x[:-1], x[1:]), kernel, "valid")


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("shift_and_stitch", _one_after_the_other, "take turns"),
    ("shift_and_stitch", _reversed, "shift a fills the positions"),
    ("shift_and_stitch", _as_long_as_the_shortest, "one result shorter"),
    ("rarefied", _zeros_after_the_last, "factor - 1 zeros"),
    ("rarefied", lambda kernel, factor: rarefied(kernel, factor + 1), "factor - 1 zeros"),
    ("dense", _without_holes, "two cells apart"),
    ("dense", lambda x, kernel: dense(x, kernel)[::2], "one cell at a time"),
    ("dense", lambda x, kernel: dense(x, kernel[::-1]), "turning the kernel around"),
]
