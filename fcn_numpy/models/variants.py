"""The paper's networks: which feature maps each of them fuses."""

from __future__ import annotations

import os

from fcn_numpy.models.fcn import FCN, SkipNames

POOL4 = SkipNames("pool4", score="score_pool4", upscore="upscore2")
POOL3 = SkipNames("pool3", score="score_pool3", upscore="upscore_pool4")


class _Published(FCN):
    """A network whose weights were published."""

    @classmethod
    def from_file(
        cls, path: str | os.PathLike, n_class: int | None = None, *, trained_on: str = "caffe"
    ) -> FCN:
        """Make the network with the weights of a file (`fcn_numpy.models.files.load_as`)."""
        from fcn_numpy.models.files import load_as

        return load_as(cls, path, n_class, trained_on)


class FCN32s(_Published):
    """FCN-32s: scores at stride 32, upsampled in one step."""

    skips, upscore_name = (), "upscore"


class FCN16s(_Published):
    """FCN-16s: the scores of pool4 are fused at stride 16."""

    skips, upscore_name = (POOL4,), "upscore16"


class FCN8s(_Published):
    """FCN-8s: the scores of pool4 are fused at stride 16, then those of pool3 at stride 8.

    Examples
    --------
    >>> import numpy as np
    >>> from fcn_numpy.models import TINY
    >>> model = FCN8s(n_class=4, backbone=TINY)
    >>> model(np.zeros((1, 3, 64, 64), np.float32)).shape
    (1, 4, 64, 64)
    """

    skips, upscore_name = (POOL4, POOL3), "upscore8"


class FCN8sAtOnce(_Published):
    """FCN-8s trained in one stage: its pools are scaled down before they are scored.

    The activations of the finer pools are larger than those of the last one. With these factors
    all three score layers learn at a similar rate.
    """

    skips = (POOL4._replace(scale=0.01), POOL3._replace(scale=0.0001))
    upscore_name = "upscore8"


MODELS: dict[str, type[_Published]] = {
    "fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s, "fcn8satonce": FCN8sAtOnce
}
