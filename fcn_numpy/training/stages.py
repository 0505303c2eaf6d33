"""The stages of training, and how the network learns in each stage."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fcn_numpy.checks import is_number, whole_number
from fcn_numpy.files import shown
from fcn_numpy.models import FCN8s, FCN16s, FCN32s

CLASSIFIER = "classifier"
SEGMENTERS = {"fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s}
STAGES = (CLASSIFIER, *SEGMENTERS)
# Maximum number of steps in a stage, and of images in a step.
MOST = 1_000_000_000
# Largest float. JSON has whole numbers of any size, so values are checked against it.
LARGEST = sys.float_info.max
# The loss uses class weights in float32.
LARGEST_WEIGHT = 3.4e38


@dataclass(frozen=True)
class Stage:
    """One stage of training: which network learns, and how.

    Attributes
    ----------
    name : str
        One of `STAGES`.
    steps, batch : int
        Number of steps, and images per step.
    lr : float
        Base learning rate: ``lr`` in the formula of `learning_rate`.
    warmup : int
        Number of steps in which the learning rate rises.
    momentum, weight_decay, clip_gradients : float
        Arguments of `fcn_numpy.optim.SGD`. Training in a few hundred steps needs a large learning
        rate, which without clipping would destroy what the network has already learned. If
        clip_gradients is None, gradients are not clipped.
    dropout : float
        Probability of dropout after fc6 and fc7.
    reduction : {"mean", "sum"}
        How the loss combines the labeled pixels of a batch. "sum" multiplies the gradient by
        the number of pixels, so it needs a different learning rate and clipping threshold;
        `Settings.regrouped` converts both. Reported losses are always means.
    class_weights : tuple of float, optional
        Factor for the pixels of each class in the loss.
    loss_sampling : float
        Probability that the loss of a pixel counts in a step (`fcn_numpy.nn.LossSampling`); 1
        means whole-image training.
    """

    name: str
    steps: int
    batch: int
    lr: float
    warmup: int = 20
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_gradients: float | None = 0.5
    dropout: float = 0.0
    reduction: str = "mean"
    class_weights: tuple[float, ...] | None = None
    loss_sampling: float = 1.0

    def __post_init__(self):
        if self.name not in STAGES:
            raise ValueError(f"expected a stage named {', '.join(STAGES)}, got {self.name!r}")
        for name, minimum in (("steps", 1), ("batch", 1), ("warmup", 0)):
            bounded(getattr(self, name), name, minimum, MOST)
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            good = is_number(value) and 0 <= value <= LARGEST
            _expect(good, f"{name} of at least 0 and finite", value)
        check_momentum(self.momentum)
        check_reduction(self.reduction)
        clip, p, dropout = self.clip_gradients, self.loss_sampling, self.dropout
        _expect(
            clip is None or (is_number(clip) and 0 < clip <= LARGEST),
            "clip_gradients above 0 and finite, or None", clip,
        )
        _expect(
            is_number(dropout) and 0 <= dropout < 1, "dropout of at least 0 and below 1", dropout
        )
        _expect(is_number(p) and 0 < p <= 1, "loss_sampling above 0 and of at most 1", p)
        if self.class_weights is not None:
            check_class_weights(self.class_weights)

    @property
    def is_classifier(self) -> bool:
        """Whether the network classifies whole images; the networks of other stages are FCNs."""
        return self.name == CLASSIFIER

    @property
    def number(self) -> int:
        """Position in `STAGES`; the random numbers of a stage depend on it."""
        return STAGES.index(self.name)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        It rises for `warmup` steps, then falls to 0 as ``lr * (1 - step / steps) ** 0.9``.

        Parameters
        ----------
        step : int

        Returns
        -------
        float
        """
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.lr * rise * (1 - step / self.steps) ** 0.9


def effective_learning_rate(
    lr: float, momentum: float, batch: int, reduction: str = "mean", pixels: int = 1
) -> float:
    """Return the factor by which the gradient of one image moves the weights in total.

    Let g be the gradient of an image's mean loss. It enters the velocity once and is multiplied by
    the momentum in every step, so it moves the weights by
    ``lr * c * g * (1 + momentum + momentum**2 + ...)``::

        "mean"   c = 1 / batch    lr / (batch * (1 - momentum)) * g
        "sum"    c = pixels       lr * pixels / (1 - momentum) * g

    Batch 1, momentum 0.99 and the sum are therefore equivalent to batch 20, momentum 0.9 and the
    mean if ``lr_sum * pixels / 0.01 = lr_mean / (20 * 0.1)``: the learning rate for the sum is
    200 * pixels times smaller. This is exact while g stays constant. Per image, the velocities also
    decay at about the same rate: ``0.9 ** (1 / 20)`` is 0.995.

    Parameters
    ----------
    lr : float
    momentum : float
        At least 0 and below 1.
    batch : int
        Images per step.
    reduction : {"mean", "sum"}
    pixels : int
        Labeled pixels per image; all images have the same number.

    Returns
    -------
    float
        The factor of g.

    Notes
    -----
    See Shelhamer et al. (PAMI), "Image-to-Image Learning", and Long et al., section 4.3. The
    formula does not hold for clipped gradients.
    """
    check_momentum(momentum)
    whole_number(batch, "batch", 1)
    whole_number(pixels, "pixels", 1)
    check_reduction(reduction)
    return lr / (1 - momentum) * (pixels if reduction == "sum" else 1 / batch)


def bounded(value: int, name: str, minimum: int, maximum: int) -> int:
    """Return an int within limits, or raise ValueError."""
    number = whole_number(value, name, minimum)
    _expect(number <= maximum, f"{name} of at most {maximum:,}", value)
    return number


def check_momentum(momentum: float) -> None:
    """Raise ValueError unless momentum is at least 0 and below 1."""
    good = is_number(momentum) and 0 <= momentum < 1
    _expect(good, "momentum of at least 0 and below 1", momentum)


def check_reduction(reduction: str) -> None:
    """Raise ValueError unless reduction is 'mean' or 'sum'."""
    _expect(reduction in ("mean", "sum"), "reduction 'mean' or 'sum'", reduction)


def check_class_weights(class_weights: tuple[float, ...]) -> None:
    """Raise ValueError unless the weights are a tuple of numbers of at least 0, not all 0."""
    good = isinstance(class_weights, tuple) and all(
        is_number(weight) and 0 <= weight <= LARGEST_WEIGHT for weight in class_weights
    )
    _expect(
        good, f"class_weights to be a tuple of numbers from 0 to {LARGEST_WEIGHT:.1e}",
        class_weights,
    )
    _expect(any(class_weights), "a class weight above 0", class_weights)


def _expect(good, what, value):
    if not good:
        raise ValueError(f"expected {what}, got {shown(repr(value), 80)}")
