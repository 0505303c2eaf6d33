"""Upper bounds on mean IU: how well labels that are coarse can agree with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

from fcn_numpy.checks import check_array, whole_number
from fcn_numpy.metrics import confusion_matrix, segmentation_scores

FACTORS = (128, 64, 32, 16, 8, 4)


def upper_bound(
    labels: Iterable[np.ndarray], factor: int, n_class: int, ignore_index: int = 255
) -> float:
    """Return the mean IU of the truth itself, downsampled and upsampled again.

    It is about what a network could reach whose scores have this stride. Not strictly: bilinear
    upsampling of scores, unlike that of labels, can put an edge between two of their cells, and
    FCN-8s on toy shapes does come above its bound.

    Both ways by the nearest neighbor: each square of factor * factor pixels takes the label of
    the pixel in its middle (index ``factor // 2`` along each axis, which for even factors is the
    one after the middle). Squares begin at the top left corner; where the middle of a square lies
    outside of the image, the last row or column stands for it.

    Pixels to ignore do not count, as in every score. A middle that is one takes the label of the
    labeled pixel that is nearest to it: a prediction has to be some class there.

    Parameters
    ----------
    labels : sequence of ndarray of int, shape (H, W) each
        Class numbers, or `ignore_index`. The images may differ in size. An array of shape
        (N, H, W) will do.
    factor : int
    n_class : int
    ignore_index : int

    Returns
    -------
    float
        Of all images together; NaN if no pixel is labeled.

    Notes
    -----
    Long et al., appendix A; in the PAMI version section 6, "Upper bounds on IU".
    """
    factor = whole_number(factor, "factor", 1)
    n_class = whole_number(n_class, "n_class", 1)
    hist = np.zeros((n_class, n_class), np.int64)
    for image in labels:
        check_array(image, "labels of an image", ("H", "W"), kinds="iu")
        coarse = _coarsened(_filled(image, ignore_index), factor)
        hist += confusion_matrix(image, coarse, n_class, ignore_index)
    return segmentation_scores(hist).mean_iu


def upper_bounds(
    labels: Sequence[np.ndarray],
    factors: Sequence[int] = FACTORS,
    *,
    n_class: int,
    ignore_index: int = 255,
) -> dict[int, float]:
    """Return `upper_bound` for each factor; by default those of the paper's table."""
    return {factor: upper_bound(labels, factor, n_class, ignore_index) for factor in factors}


def _filled(image, ignore_index):
    """Give each pixel to ignore the label of the nearest labeled one."""
    ignored = image == ignore_index
    if not ignored.any():
        return image
    if ignored.all():
        return np.zeros_like(image)  # nothing of it counts
    nearest = distance_transform_edt(ignored, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def _coarsened(image, factor):
    """Downsample and upsample by the nearest neighbor."""
    rows, columns = (
        np.minimum(np.arange(n) // factor * factor + factor // 2, n - 1) for n in image.shape
    )
    return image[rows[:, None], columns]
