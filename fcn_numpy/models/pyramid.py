"""PyramidPooling: the look at the whole image that PSPNet adds to an FCN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcn_numpy import nn
from fcn_numpy.checks import whole_number


class PyramidPooling(nn.Module):
    """Concatenate features and their averages over larger and smaller parts of the map.

    For each number of bins b, average the map over b x b bins, reduce the channels with a 1x1
    convolution, apply ReLU, and interpolate bilinearly back to the size of the map. Concatenate
    the results to the features. With b = 1, every cell knows what is in the whole image.

    Parameters
    ----------
    in_channels : int
        Channels of the features.
    bins : sequence of int
        Numbers of bins along each axis, all different.
    channels : int, optional
        Channels of each level. By default `in_channels` divided by the number of levels, so that
        the pyramid has as many channels as the features.
    align_corners : bool
        See `fcn_numpy.nn.BilinearResize`.
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights (He).

    Attributes
    ----------
    out_channels : int
        Channels of the output.

    Notes
    -----
    Zhao et al., "Pyramid Scene Parsing Network" (2016), section 3.2. There, batch normalization
    follows the convolutions; this package does not implement it.
    """

    def __init__(
        self,
        in_channels: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        channels: int | None = None,
        align_corners: bool = False,
        *,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        self.in_channels = whole_number(in_channels, "in_channels", 1)
        bins = tuple(whole_number(b, "each of bins", 1) for b in bins)
        if not bins:
            raise ValueError("expected at least one number of bins, got none")
        if len(set(bins)) < len(bins):
            raise ValueError(f"expected bins that differ, got {bins}")
        if channels is None:
            channels = max(1, in_channels // len(bins))
        rng = np.random.default_rng() if rng is None else rng
        self.out_channels = in_channels + len(bins) * whole_number(channels, "channels", 1)
        self._levels = []
        for b in bins:
            conv = nn.Conv2d(in_channels, channels, 1, dtype=dtype, rng=rng)
            level = nn.Sequential(nn.AdaptiveAvgPool2d(b), conv, nn.ReLU(inplace=True))
            resize = nn.BilinearResize(align_corners)
            names = (f"pool{b}", f"conv{b}", f"relu{b}", f"resize{b}")
            self._adopt(zip(names, (*(layer for _, layer in level.children()), resize)))
            self._levels.append((level, resize))
        self.concat = nn.Concat()

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return features (N, out_channels, H, W) for x of shape (N, in_channels, H, W)."""
        return self.concat(x, *(resize(level(x), x) for level, resize in self._levels))

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x."""
        grad_x, *grads = self.concat.backward(grad)
        for (level, resize), part in zip(self._levels, grads):
            grad_x = grad_x + level.backward(resize.backward(part))
        return grad_x
