"""Model answers to 01.py, and what graders say to common mistakes."""

import numpy as np


def confusion(labels, predictions, n_class):
    counted = labels != 255
    cells = n_class * labels[counted].astype(int) + predictions[counted]
    return np.bincount(cells, minlength=n_class**2).reshape(n_class, n_class)


def scores(n):
    right, labeled, predicted = np.diag(n), n.sum(axis=1), n.sum(axis=0)
    union = labeled + predicted - right
    there, seen = labeled > 0, union > 0
    iu = right[seen] / union[seen]
    return (
        right.sum() / n.sum(), np.mean(right[there] / labeled[there]), iu.mean(),
        (labeled[seen] * iu).sum() / n.sum(),
    )


def mean_iu(labels, predictions, n_class):
    return scores(sum(confusion(y, p, n_class) for y, p in zip(labels, predictions)))[2]


def _eight_bits(labels, predictions, n_class):
    counted = labels != 255
    cells = np.uint8(n_class) * labels[counted] + predictions[counted]
    return np.bincount(cells, minlength=n_class**2)[: n_class**2].reshape(n_class, n_class)


def _scores(n, union_of=lambda row, column, right: row + column - right, empty=np.nan):
    right, labeled, predicted = np.diag(n), n.sum(axis=1), n.sum(axis=0)
    union = union_of(labeled, predicted, right)
    with np.errstate(all="ignore"):
        iu = np.where(union > 0, right / union, empty)
        accuracy = np.where(labeled > 0, right / labeled, empty)
    return right.sum() / n.sum(), accuracy.mean(), iu.mean(), np.nansum(labeled * iu) / n.sum()


def _leaves_out_unlabeled(n):
    there = n.sum(axis=1) > 0
    iu = np.diag(n)[there] / (n.sum(axis=1) + n.sum(axis=0) - np.diag(n))[there]
    return (*scores(n)[:2], iu.mean(), scores(n)[3])


def _by_column(n):
    return scores(n)[0], scores(n.T)[1], *scores(n)[2:]


def _averages(labels, predictions, n_class):
    return np.mean([scores(confusion(y, p, n_class))[2] for y, p in zip(labels, predictions)])


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("confusion", lambda y, p, n_class: confusion(y, p, n_class).T, "Rows are labels"),
    ("confusion", lambda y, p, n_class: confusion(np.where(y == 255, 0, y), p, n_class), "255"),
    ("confusion", _eight_bits, "eight bits"),
    ("scores", _by_column, "sum of its row"),
    ("scores", lambda n: _scores(n, lambda row, column, right: row + column), "only once"),
    ("scores", lambda n: _scores(n), "leave it out"),
    ("scores", lambda n: _scores(n, empty=0), "leave it out"),
    ("scores", _leaves_out_unlabeled, "it has an IU"),
    ("mean_iu", _averages, "score the sum once"),
]
