"""LossSampling: keep the loss of a random subset of pixels."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import is_number
from fcn_numpy.nn.module import Module


class LossSampling(Module):
    """In train mode, keep the loss of each pixel with probability p, and divide it by p.

    ``y = x * keep / p``, where x is the factor of a pixel's loss. Averaged over all masks, the loss
    and the gradient are those of the whole image. In eval mode, and with p = 1 (whole-image
    training), y = x and nothing is drawn.

    Training on patches also samples the losses of an image. If each patch is the receptive field
    of one output cell, the gradient equals that of the whole image with all other cells masked.
    Patches only cost more, because overlapping patches compute the same inner cells again. Use the
    layer as ``SoftmaxCrossEntropy(sampling=LossSampling(0.5))``.

    Parameters
    ----------
    p : float
        Above 0, at most 1.
    rng : numpy.random.Generator, optional
        Draws the pixels to keep, with a new mask in each forward.

    Notes
    -----
    See Long et al., section 3.4, "Patchwise training is loss sampling", and figure 5. There,
    batches grow by 1 / p, so that as many pixels count in a step as without sampling. The layer has
    no backward, because it changes factors, not anything that is learned.
    """

    def __init__(self, p: float, rng: np.random.Generator | None = None):
        if not is_number(p) or not 0 < p <= 1:
            raise ValueError(f"expected p above 0 and of at most 1, got {p!r}")
        self.p = p
        self.rng = np.random.default_rng() if rng is None else rng

    def forward(self, factor: np.ndarray) -> np.ndarray:
        """Return the factors of the kept losses, divided by p; 0 for the others."""
        if not self.training or self.p == 1:
            return factor
        keep = self.rng.random(factor.shape) < self.p
        return factor * (keep / self.p).astype(factor.dtype)
