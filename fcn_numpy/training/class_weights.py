"""Weights of classes in the loss, so that rare classes count as much as frequent ones."""

from __future__ import annotations

import numpy as np


def balanced_class_weights(counts: np.ndarray) -> tuple[float, ...]:
    """Return class weights by median frequency balancing.

    For a class k with n[k] pixels::

        weight[k] = median(n) / n[k]

    where the median is over the classes that occur. Each of these then has the same total weight,
    n[k] * weight[k]. A class that does not occur has weight 1.

    Parameters
    ----------
    counts : array_like, shape (n_class,)
        Number of pixels of each class, such as ``OwnData.counts[0]``.

    Returns
    -------
    tuple of float
        For `Stage.class_weights` or `fcn_numpy.nn.SoftmaxCrossEntropy`.

    Raises
    ------
    ValueError
        If counts are not numbers of at least 0, or all are 0.

    Notes
    -----
    Eigen and Fergus (2015), section 4.3; there the frequency of a class is its share of the pixels
    of the images in which it occurs. Long et al. found balancing unnecessary (section 4.3).

    Examples
    --------
    >>> balanced_class_weights([800, 100, 50, 0])
    (0.125, 1.0, 2.0, 1.0)
    """
    counts = np.asarray(counts)
    if counts.ndim != 1 or counts.dtype.kind not in "iuf" or not (counts >= 0).all():
        raise ValueError(f"expected a list of counts of at least 0, got {counts!r}")
    if not np.isfinite(counts).all():
        raise ValueError(f"expected a list of finite counts, got {counts!r:.200}")
    if not counts.any():
        raise ValueError("expected a count above 0, got none")
    weights = np.median(counts[counts > 0]) / np.where(counts > 0, counts, 1)
    return tuple(np.where(counts > 0, weights, 1.0).tolist())
