"""SoftmaxCrossEntropy: the loss of each labeled pixel, averaged or summed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fcn_numpy.checks import check_array, check_plain
from fcn_numpy.nn.module import Module
from fcn_numpy.nn.sampling import LossSampling


class SoftmaxCrossEntropy(Module):
    """Negative log-probability of the label under the softmax of the scores.

    For a pixel with scores s and label k::

        loss = weight[k] * (log(sum over j of exp(s[j])) - s[k])
        gradient by s[j] = weight[k] * (softmax(s)[j] - (j == k))

    for all pixels whose label is not `ignore_index`. The largest score is subtracted first, so
    scores of 1e4 do not overflow. The computation uses at least float32, even for float16 scores.

    Parameters
    ----------
    ignore_index : int
        Label of pixels that do not count.
    reduction : {"mean", "sum"}
        "mean" divides by the number of labeled pixels or, with class weights, by the sum of their
        weights. "sum" is the unnormalized loss that the paper's "heavy learning" uses.
    weight : array_like, shape (K,), optional
        Factor for the pixels of each class.
    sampling : LossSampling, optional
        Draws the pixels that count, in each forward in train mode. "mean" still divides by the
        number of all labeled pixels, so the loss and the gradient are correct on average.

    Attributes
    ----------
    total : float
        Divisor of "mean" in the last forward: the number of labeled pixels or, with class weights,
        the sum of their weights.

    Notes
    -----
    A batch without labeled pixels has loss 0 and gradient 0. See Long et al., section 4.

    Examples
    --------
    >>> loss = SoftmaxCrossEntropy()
    >>> round(loss(np.zeros((1, 4)), np.array([3])), 4)  # four classes, equally likely: log(4)
    1.3863
    >>> loss.backward()
    array([[ 0.25,  0.25,  0.25, -0.75]])
    """

    def __init__(
        self,
        ignore_index: int = 255,
        reduction: str = "mean",
        weight: ArrayLike | None = None,
        sampling: LossSampling | None = None,
    ):
        if reduction not in ("mean", "sum"):
            raise ValueError(f"expected reduction 'mean' or 'sum', got {reduction!r}")
        self.ignore_index = ignore_index
        self.reduction = reduction
        check_plain(weight, "weight")
        self.weight = None if weight is None else np.asarray(weight, np.float64)
        if self.weight is not None and not (
            self.weight.ndim == 1 and self.weight.size
            and np.isfinite(self.weight).all() and (self.weight >= 0).all()
        ):
            raise ValueError(
                f"expected weight to be a list of finite numbers of at least 0, got {weight!r}"
            )
        if sampling is not None and not isinstance(sampling, LossSampling):
            raise ValueError(f"expected sampling to be a LossSampling, got {sampling!r}")
        self.sampling = sampling
        self.total = 0.0

    def _check(self, scores, labels):
        check_array(scores, "scores", ("N", "K", ...))
        check_array(labels, "labels", scores.shape[:1] + scores.shape[2:], kinds="iu")
        n_class = scores.shape[1]
        if self.weight is not None and self.weight.shape != (n_class,):
            raise ValueError(
                f"expected {n_class} class weights, one for each class, got {self.weight.size}"
            )
        if self.weight is not None:
            dtype, largest = self._dtype(scores), float(self.weight.max())
            if largest > float(np.finfo(dtype).max) or largest * labels.size == np.inf:
                raise ValueError(
                    f"expected class weights whose values fit {dtype} and whose sum over all "
                    f"pixels fits float64, got {largest}"
                )
        counted = labels != self.ignore_index
        wrong = counted & ((labels < 0) | (labels >= n_class))
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"expected labels from 0 to {n_class - 1} or {self.ignore_index} (ignored), got "
                f"{labels[index]} at {index}"
            )
        return counted

    def forward(self, scores: np.ndarray, labels: np.ndarray) -> float:
        """Return the loss.

        Parameters
        ----------
        scores : ndarray, shape (N, K, ...), floating
        labels : ndarray, shape (N, ...), integer
            Classes from 0 to K - 1, or `ignore_index`.
        """
        counted = self._check(scores, labels)
        # An ignored label may be outside 0..K-1. Any class will do, because its factor is 0.
        index = np.where(counted, labels, 0).astype(np.intp)[:, None]
        factor = counted.astype(np.float64)
        if self.weight is not None:
            factor *= self.weight[index[:, 0]]
        self.total = float(factor.sum())
        if self.reduction == "mean" and self.total > 0:
            factor /= self.total
        # float16 could not hold these factors, nor the sums below.
        dtype = self._dtype(scores)
        factor = factor.astype(dtype)
        if self.sampling is not None:
            factor = self.sampling(factor)
        shifted = np.subtract(scores, scores.max(axis=1, keepdims=True), dtype=dtype)
        of_label = np.take_along_axis(shifted, index, axis=1)[:, 0]
        exps = np.exp(shifted, out=shifted)
        sums = exps.sum(axis=1)
        losses = factor * np.where(factor > 0, np.log(sums) - of_label, 0)  # no 0 * infinity
        exps /= sums[:, None]
        self._save(exps, index, factor, scores.dtype)
        return float(losses.sum(dtype=np.float64))

    @staticmethod
    def _dtype(scores):
        """Return the dtype that the loss of these scores is computed in."""
        return np.result_type(scores.dtype, np.float32)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        """Return the gradient of the scores, times the gradient of the loss if one is given."""
        softmax, index, factor, dtype = self._take()
        classes = np.arange(softmax.shape[1]).reshape(-1, *(1,) * (softmax.ndim - 2))
        softmax -= index == classes
        softmax *= (factor * softmax.dtype.type(grad))[:, None]
        return softmax.astype(dtype, copy=False)
