"""The layers that an FCN adds to a backbone, and their initial weights (section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy import nn
from fcn_numpy.geometry import FeatureMap


def scoring(channels: int, n_class: int, dtype: DTypeLike) -> nn.Conv2d:
    """Make a layer that scores each cell of a map; it starts at zero.

    Parameters
    ----------
    channels, n_class : int
    dtype : dtype

    Returns
    -------
    Conv2d
    """
    with nn.skip_init():
        return nn.Conv2d(channels, n_class, 1, dtype=dtype)


def upsampling(
    scores: FeatureMap, finer: FeatureMap, learn: bool, dtype: DTypeLike
) -> nn.ConvTranspose2d:
    """Make a layer that upsamples scores to the stride of a finer map, bilinearly.

    Each class is upsampled separately: the weight holds the bilinear kernel on its diagonal and
    zeros elsewhere. For a factor f, a kernel of 2 f cells is centered between two cells, and a
    kernel of 2 f - 1 cells is centered on a cell. The layer has the kernel that puts its output on
    the cells of the finer map.

    Parameters
    ----------
    scores, finer : FeatureMap
    learn : bool
        Whether the weight is learned. If not, its lr_mult is 0.
    dtype : dtype

    Returns
    -------
    ConvTranspose2d

    Raises
    ------
    ValueError
        If the stride of `finer` is not a proper divisor of the stride of `scores`.
    """
    factors = [a / b for a, b in zip(scores.grid.scale, finer.grid.scale)]
    if any(f <= 1 or f.denominator != 1 for f in factors):
        strides = [" x ".join(map(str, m.grid.scale)) for m in (scores, finer)]
        raise ValueError(
            "expected skips from coarse to fine, each stride a multiple of the next, got stride "
            f"{strides[1]} after {strides[0]}"
        )
    stride = int(factors[0]), int(factors[1])
    distances = [
        (a - b) / c for a, b, c in zip(scores.grid.shift, finer.grid.shift, finer.grid.scale)
    ]
    on_cells = [distance.denominator == 1 for distance in distances]
    kernel = 2 * stride[0] - on_cells[0], 2 * stride[1] - on_cells[1]
    n_class = scores.channels
    with nn.skip_init():
        layer = nn.ConvTranspose2d(n_class, n_class, kernel, stride, dtype=dtype)
    layer.weight.data[...] = np.eye(n_class)[:, :, None, None] * nn.bilinear_kernel(kernel)
    if not learn:
        layer.weight.lr_mult = layer.weight.decay_mult = 0.0
    return layer
