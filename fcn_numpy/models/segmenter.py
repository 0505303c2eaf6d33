"""Segmenter: the base class of all networks that score each pixel of an image."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from fcn_numpy import nn
from fcn_numpy.checks import IntOrPair, Pair, check_array, whole_number
from fcn_numpy.geometry import FeatureMap, feature_maps
from fcn_numpy.models.backbone import Backbone
from fcn_numpy.models.sizes import Sizes


class Segmenter(nn.Module):
    """A network that scores each pixel of one or more images, for one or more sets of classes.

    Attributes
    ----------
    inputs : dict of str to int
        The images that forward takes, in order: their names and numbers of channels.
    heads : dict of str to int
        The number of classes of each head, by name. Empty if there is only one head.
    n_class : int
        The number of classes in all heads together.
    backbone : type of Backbone
    sizes : Sizes
    """

    inputs: dict[str, int]
    heads: dict[str, int] = {}
    n_class: int
    backbone: type[Backbone]

    def forward(self, *images: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
        """Return scores of shape (N, n_class, H, W) for images of shape (N, C, H, W).

        With several heads, return a dict of the scores of each.
        """
        self.check(*images)
        return self._segment(*images)

    def check(self, *images: np.ndarray) -> None:
        """Raise an error unless the network takes these images."""
        kind = type(self).__name__
        if len(images) != len(self.inputs):
            raise TypeError(
                f"{kind} takes {' and '.join(self.inputs)}, got {len(images)} arrays"
            )
        if not isinstance(images[0], FeatureMap):
            n, *size = "N", "H", "W"
            for x, (name, channels) in zip(images, self.inputs.items()):
                check_array(x, f"{kind}: {name}", (n, channels, *size))
                n, _, *size = x.shape
        self.sizes.check(images[0].shape[2:])

    def _segment(self, *images):
        raise TypeError(f"{type(self).__name__} defines no _segment")

    @property
    def sizes(self) -> Sizes:
        """The sizes of images that the network takes."""
        # Made each time: a stored one would refer back to the network, and Python would free the
        # network's memory only when it looks for reference cycles.
        name = f"{type(self).__name__} on {self.backbone.name}"
        return Sizes(name, self._trace_at, self._stride, self._taken)

    def _find_sizes(self, stride: tuple[Fraction, Fraction]) -> None:
        self._stride = stride
        self._taken: dict[Pair, bool] = {}

    def _trace_at(self, size):
        self._segment(*feature_maps(tuple(self.inputs.values()), size))

    def takes(self, size: IntOrPair) -> bool:
        """Return whether the scores would cover an image of this height and width."""
        return self.sizes.take(size)


def check_heads(heads: Mapping[str, int]) -> dict[str, int]:
    """Return heads as a dict of names to numbers of classes, or raise ValueError."""
    names = all(isinstance(name, str) and name.isidentifier() for name in heads)
    if not names or len(heads) < 2:
        raise ValueError(
            f"expected at least two heads, each with a Python identifier as its name, got {heads}"
        )
    return {name: whole_number(n, f"heads: {name}", 1) for name, n in heads.items()}
