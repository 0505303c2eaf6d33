"""The paper's four scores, from one confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        Mean over classes of the class's correct pixels / its labeled pixels.
    mean_iu : float
        Mean over classes of `iu`.
    frequency_weighted_iu : float
        Mean of `iu`, each class weighted by its number of labeled pixels.
    iu : ndarray, shape (n_class,)
        Intersection over union of each class. It is NaN for a class that occurs neither in the
        labels nor in the predictions; the means leave such a class out.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    frequency_weighted_iu: float
    iu: np.ndarray


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, n_class: int, ignore_index: int = 255
) -> np.ndarray:
    """Count the pixels of each label that were predicted as each class.

    Parameters
    ----------
    labels : ndarray of int
        Classes from 0 to n_class - 1, or `ignore_index` for pixels that do not count.
    predictions : ndarray of int, shape of labels
    n_class : int
    ignore_index : int

    Returns
    -------
    ndarray, shape (n_class, n_class), int64
        Rows are labels, columns are predictions. The matrices of several images can be added.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is not a class.

    Examples
    --------
    >>> labels, predictions = np.array([0, 0, 1, 1, 255]), np.array([0, 1, 1, 1, 0])
    >>> confusion_matrix(labels, predictions, n_class=2)
    array([[1, 1],
           [0, 2]])
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
        The result of `confusion_matrix`.

    Returns
    -------
    Scores
        All scores are NaN if no pixel is labeled. A class without labels has no accuracy, and the
        mean accuracy leaves it out.

    Raises
    ------
    ValueError
        If `hist` is not a square matrix of numbers of at least 0.

    Examples
    --------
    >>> scores = segmentation_scores(np.array([[6, 2], [1, 3]]))
    >>> round(scores.mean_iu, 3)
    0.583
    >>> scores.iu.round(3)
    array([0.667, 0.5  ])
    """
    check_array(hist, "hist", ("n_class", "n_class"), kinds="iuf")
    if hist.shape[0] != hist.shape[1]:
        raise ValueError(f"expected hist of shape (n_class, n_class), got {hist.shape}")
    hist = hist.astype(np.float64)
    if not (hist >= 0).all():
        raise ValueError("expected hist to hold counts of at least 0")
    correct, labeled, predicted = np.diag(hist), hist.sum(axis=1), hist.sum(axis=0)
    union = labeled + predicted - correct
    total = labeled.sum()
    with np.errstate(invalid="ignore"):
        iu = correct / union
        accuracy = correct / labeled
    seen, present = union > 0, labeled > 0
    if not total:
        return Scores(np.nan, np.nan, np.nan, np.nan, iu)
    return Scores(
        float(correct.sum() / total),
        float(accuracy[present].mean()),
        float(iu[seen].mean()),
        float((labeled[present] * iu[present]).sum() / total),
        iu,
    )


def score_table(scores: Mapping[str, Scores], class_names: Sequence[str]) -> str:
    """Format the scores of several networks, and the IU of each class, as a table.

    Parameters
    ----------
    scores : mapping of str to Scores
        The scores of each network, by its name.
    class_names : sequence of str
        The name of each class, in the order of `Scores.iu`.

    Returns
    -------
    str
        One row for each network, with the four scores of section 5. The IUs of a few classes with
        short names follow in the same row. The IUs of more classes are in a second table below,
        with one row for each class. NaN is printed as "nan".

    Raises
    ------
    ValueError
        If a network does not have as many IUs as there are class names.

    Examples
    --------
    >>> coarse = segmentation_scores(np.array([[6, 2], [1, 3]]))
    >>> fine = segmentation_scores(np.array([[7, 1], [0, 4]]))
    >>> print(score_table({"fcn32s": coarse, "fcn8s": fine}, ["ground", "cat"]))
            pixel acc.  mean acc.  mean IU  f.w. IU  IU ground  IU cat
    fcn32s       0.750      0.750    0.583    0.611      0.667   0.500
    fcn8s        0.917      0.938    0.838    0.850      0.875   0.800
    """
    for network, values in scores.items():
        if len(values.iu) != len(class_names):
            raise ValueError(
                f"expected {network} to have {len(class_names)} IUs, one for each class name, "
                f"got {len(values.iu)}"
            )
    columns = ["pixel acc.", "mean acc.", "mean IU", "f.w. IU"]
    if len(class_names) <= 6 and all(len(name) <= 12 for name in class_names):
        columns += [f"IU {name}" for name in class_names]
        rows = {network: [*values[:4], *values.iu] for network, values in scores.items()}
        return _table("", columns, rows)
    of_networks = {network: values[:4] for network, values in scores.items()}
    of_classes = {
        name: [values.iu[number] for values in scores.values()]
        for number, name in enumerate(class_names)
    }
    return f"{_table('', columns, of_networks)}\n\n{_table('IU', list(scores), of_classes)}"


def _table(corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> str:
    first = max(map(len, [corner, *rows]))
    widths = [max(len(column), len("0.000")) for column in columns]
    lines = ["  ".join([f"{corner:{first}}", *(f"{c:>{w}}" for c, w in zip(columns, widths))])]
    for name, values in rows.items():
        cells = (f"{value:{width}.3f}" for value, width in zip(values, widths))
        lines.append("  ".join([f"{name:{first}}", *cells]))
    return "\n".join(lines)
