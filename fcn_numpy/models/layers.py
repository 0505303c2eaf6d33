"""The layers that an FCN adds to a backbone, and what they start as (section 4)."""

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

    Each class is upsampled by itself: the bilinear kernel stands on the diagonal of the weight,
    zeros elsewhere.

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
        If the stride of `finer` is not a proper divisor of that of `scores`.
    """
    factors = [a / b for a, b in zip(scores.grid.scale, finer.grid.scale)]
    if any(f <= 1 or f.denominator != 1 for f in factors):
        raise ValueError("expected skips from coarse to fine, with strides that divide another")
    stride = int(factors[0]), int(factors[1])
    kernel = 2 * stride[0], 2 * stride[1]
    n_class = scores.channels
    with nn.skip_init():
        layer = nn.ConvTranspose2d(n_class, n_class, kernel, stride, dtype=dtype)
    layer.weight.data[...] = np.eye(n_class)[:, :, None, None] * nn.bilinear_kernel(kernel)
    if not learn:
        layer.weight.lr_mult = layer.weight.decay_mult = 0.0
    return layer
