"""Upper bounds on mean IU: how well coarse labels can agree with the true labels."""

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
    """Return the mean IU of the true labels themselves, downsampled and upsampled again.

    This is about the most that a network can reach if its scores have this stride. The bound is
    not strict: bilinear upsampling of scores, unlike upsampling of labels, can put an edge between
    two cells, and FCN-8s on toy shapes does exceed its bound.

    Both steps use the nearest neighbor: each square of factor * factor pixels takes the label of
    its middle pixel (index ``factor // 2`` along each axis; for an even factor, this is the pixel
    after the middle). Squares begin at the top left corner. If the middle of a square is outside
    the image, the last row or column replaces it.

    Ignored pixels do not count, as in every score. If the middle pixel of a square is ignored, it
    takes the label of the nearest labeled pixel, because a prediction must be some class there.

    Parameters
    ----------
    labels : sequence of ndarray of int, shape (H, W) each
        Class numbers, or `ignore_index`. The images may differ in size. An array of shape
        (N, H, W) also works.
    factor : int
    n_class : int
    ignore_index : int

    Returns
    -------
    float
        Mean IU over all images together; NaN if no pixel is labeled.

    Notes
    -----
    Long et al., appendix A; section 6, "Upper bounds on IU", in the PAMI version.
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
    """Return `upper_bound` for each factor, by default the factors of the paper's table."""
    return {factor: upper_bound(labels, factor, n_class, ignore_index) for factor in factors}


def _filled(image, ignore_index):
    """Give each ignored pixel the label of the nearest labeled pixel."""
    ignored = image == ignore_index
    if not ignored.any():
        return image
    if ignored.all():
        return np.zeros_like(image)  # none of its pixels count
    nearest = distance_transform_edt(ignored, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def _coarsened(image, factor):
    """Downsample and upsample labels with the nearest neighbor."""
    rows, columns = (
        np.minimum(np.arange(n) // factor * factor + factor // 2, n - 1) for n in image.shape
    )
    return image[rows[:, None], columns]
