"""The paper's four scores, from one confusion matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import check_array, whole_number


class Scores(NamedTuple):
    """The scores of section 5, as fractions from 0 to 1.

    Attributes
    ----------
    pixel_accuracy : float
        Correct pixels / all pixels.
    mean_accuracy : float
        Mean over classes of correct pixels / pixels labelled so.
    mean_iu : float
        Mean over classes of `iu`.
    frequency_weighted_iu : float
        Mean of `iu` weighted with how many pixels are labelled so.
    iu : ndarray, shape (n_class,)
        Intersection over union of each class; NaN for a class that neither the labels nor the
        predictions have, and such a class does not count in the means.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    frequency_weighted_iu: float
    iu: np.ndarray


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, n_class: int, ignore_index: int = 255
) -> np.ndarray:
    """Count how many pixels of each label were predicted as each class.

    Parameters
    ----------
    labels : ndarray, integer
        From 0 to n_class - 1, or `ignore_index` for pixels that do not count.
    predictions : ndarray, integer, shape of labels
    n_class : int
    ignore_index : int

    Returns
    -------
    ndarray, shape (n_class, n_class), int64
        Rows are labels, columns predictions. Matrices of several pictures may be added.

    Raises
    ------
    ValueError
        If shapes differ, or a value is no class.
    """
    n_class = whole_number(n_class, "n_class", 1)
    check_array(labels, "labels", (...,), kinds="iu")
    check_array(predictions, "predictions", labels.shape, kinds="iu")
    counted = labels != ignore_index
    rows, columns = labels[counted].astype(np.int64), predictions[counted].astype(np.int64)
    for name, values in (("labels", rows), ("predictions", columns)):
        if values.size and not 0 <= values.min() <= values.max() < n_class:
            wrong = values[(values < 0) | (values >= n_class)][0]
            raise ValueError(f"expected {name} from 0 to {n_class - 1}, got {wrong}")
    counts = np.bincount(rows * n_class + columns, minlength=n_class**2)
    return counts.reshape(n_class, n_class)


def segmentation_scores(hist: np.ndarray) -> Scores:
    """Return the four scores of section 5, and the IU of each class.

    With n[i, j] pixels of class i predicted as j, and t[i] the sum of row i::

        pixel accuracy          sum n[i, i] / sum t[i]
        mean accuracy           mean over i of n[i, i] / t[i]
        mean IU                 mean over i of n[i, i] / (t[i] + sum over j of n[j, i] - n[i, i])
        frequency weighted IU   sum over i of t[i] IU[i] / sum t[i]

    Parameters
    ----------
    hist : ndarray, shape (n_class, n_class)
        As `confusion_matrix` gives it.

    Returns
    -------
    Scores
        NaN where nothing is labelled at all. A class without labels has no accuracy and does
        not count in the mean accuracy.
    """
    check_array(hist, "hist", ("n_class", "n_class"), kinds="iuf")
    if hist.shape[0] != hist.shape[1]:
        raise ValueError(f"expected hist of shape (n_class, n_class), got {hist.shape}")
    hist = hist.astype(np.float64)
    correct, labelled, predicted = np.diag(hist), hist.sum(axis=1), hist.sum(axis=0)
    union = labelled + predicted - correct
    total = labelled.sum()
    with np.errstate(invalid="ignore"):
        iu = correct / union
        accuracy = correct / labelled
    seen, present = union > 0, labelled > 0
    if not total:
        return Scores(np.nan, np.nan, np.nan, np.nan, iu)
    return Scores(
        float(correct.sum() / total),
        float(accuracy[present].mean()),
        float(iu[seen].mean()),
        float((labelled[present] * iu[present]).sum() / total),
        iu,
    )
