"""Class weights for the loss, which make rare classes count as much as frequent ones."""

from __future__ import annotations

import numpy as np


def balanced_class_weights(counts: np.ndarray) -> tuple[float, ...]:
    """Compute class weights by median frequency balancing.

    For a class k with n[k] pixels::

        weight[k] = median(n) / n[k]

    where the median is taken over the classes that occur. All these classes then have the same
    total weight, n[k] * weight[k]. A class that does not occur has weight 1.

    Parameters
    ----------
    counts : array_like, shape (n_class,)
        Number of pixels of each class, such as ``OwnData.counts[0]``.

    Returns
    -------
    tuple of float
        Weights for `Stage.class_weights` or `fcn_numpy.nn.SoftmaxCrossEntropy`.

    Raises
    ------
    ValueError
        If a count is negative or not a number, or all counts are 0.

    Notes
    -----
    The method is from Eigen and Fergus (2015), section 4.3. They define the frequency of a class as
    its share of the pixels in the images where it occurs. Long et al. found balancing unnecessary
    (section 4.3).

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
