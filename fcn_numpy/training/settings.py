"""All that a run of training depends on."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_numpy import __version__
from fcn_numpy.checks import whole_number
from fcn_numpy.files import write_text
from fcn_numpy.models import TINY, VGG16, FCN8s, FCN16s, FCN32s
from fcn_numpy.nn import LossSampling, SoftmaxCrossEntropy

SEGMENTERS = {"fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s}
STAGES = ("classifier", *SEGMENTERS)
BACKBONES = {"tiny": TINY, "vgg16": VGG16}
CONFIG = "config.json"


@dataclass(frozen=True)
class Settings:
    """All that a run depends on. Tuples have one entry for each of `STAGES`.

    Attributes
    ----------
    seed : int
    steps, batch, lr : tuple
        Steps, pictures a step, and the learning rate at the start of each stage. The rate falls
        to 0 as ``lr * (1 - step / steps) ** 0.9``, after `warmup` steps in which it rises.
    momentum, weight_decay, clip_gradients, dropout : float
        As of `fcn_numpy.optim.SGD`; without clipping, the large learning rates that a few hundred
        steps need would destroy what a network has learnt before. Dropout is that of the FCNs;
        the classifier has none, it is small enough. Momentum and clip_gradients may be tuples
        too; None does not clip.
    warmup : int
    n_train, n_single, n_test : int
        Toy pictures to train the FCNs and the classifier on, and held-out ones.
    size, single_size : int
        Height and width of the pictures for the FCNs and for the classifier. Own pictures are cut
        to them at random places; a size of None leaves them whole.
    rim : bool
        Whether the rims of toy shapes, a pixel wide, count neither in the loss nor in the scores,
        as those of objects in PASCAL VOC.
    checkpoint_every : int
        Steps.
    reduction : {"mean", "sum"}
        Of the FCNs' loss, over the labelled pixels of a batch. "sum" multiplies its gradient with
        their number, so a learning rate and a clip_gradients for one are none for the other;
        `regime` converts. The losses that are told are means in any case. The classifier's
        reduction is the mean.
    loss_sampling : float
        Probability with which a pixel's loss counts in a step of an FCN
        (`fcn_numpy.nn.LossSampling`); 1 is whole-image training.
    backbone : {"tiny", "vgg16"}
    flip : bool
        Whether half of the pictures, drawn anew each time, are mirrored.
    class_weights : tuple of float, optional
        What the loss of each class's pixels is multiplied with, in the FCNs.
    start : str, optional
        File of weights that FCN-32s starts from; no classifier is trained then.
    start_trained_on : {"caffe", "torchvision"}
        The pictures that those weights know (`fcn_numpy.models.FCN8s.from_file`).
    """

    seed: int = 0
    steps: tuple[int, ...] = (180, 200, 100, 260)
    batch: tuple[int, ...] = (32, 8, 8, 8)
    lr: tuple[float, ...] = (0.1, 0.2, 0.2, 0.2)
    momentum: float | tuple[float, ...] = 0.9
    weight_decay: float = 5e-4
    clip_gradients: float | None | tuple[float | None, ...] = 0.5
    dropout: float = 0.0
    warmup: int = 20
    n_train: int = 800
    n_single: int = 4000
    n_test: int = 200
    size: int | None = 128
    single_size: int = 72
    rim: bool = True
    checkpoint_every: int = 50
    reduction: str = "mean"
    loss_sampling: float = 1.0
    backbone: str = "tiny"
    flip: bool = True
    class_weights: tuple[float, ...] | None = None
    start: str | None = None
    start_trained_on: str = "caffe"

    def __post_init__(self):
        # They know what is wrong with these, and say so before anything is computed.
        SoftmaxCrossEntropy(
            reduction=self.reduction, sampling=LossSampling(self.loss_sampling),
            weight=self.class_weights,
        )
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"expected backbone {' or '.join(map(repr, BACKBONES))}, got {self.backbone!r}"
            )
        if self.class_weights is not None and not any(self.class_weights):
            raise ValueError("expected a class weight above 0, got none")

    @classmethod
    def vgg16(cls) -> Settings:
        """Return the settings of the paper's own networks, on whole pictures.

        One picture a step, momentum 0.99, the loss summed over pixels, learning rates of 1e-10,
        1e-12 and 1e-14, dropout: the PAMI version's "Image-to-Image Learning" and the reference
        implementation. They have to start from pre-trained weights (`start`). The steps are what a
        day on a few cores can do, a twentieth of the paper's.
        """
        return cls(
            backbone="vgg16", steps=(0, 5000, 2500, 2500), batch=(1, 1, 1, 1),
            lr=(0.0, 1e-10, 1e-12, 1e-14), momentum=0.99, reduction="sum", clip_gradients=None,
            dropout=0.5, warmup=0, size=None, checkpoint_every=200,
        )

    def quick(self) -> Settings:
        """Return the same run with few steps and pictures: it shows that all works, no more."""
        steps, batch = (12, 6, 4, 6), (8, 2, 2, 2)
        return dataclasses.replace(
            self, steps=tuple(map(min, self.steps, steps)),
            batch=tuple(map(min, self.batch, batch)), n_train=24, n_single=48, n_test=8,
            checkpoint_every=4,
        )

    def regime(
        self,
        batch: int | None = None,
        momentum: float | None = None,
        reduction: str | None = None,
        pixels: int | None = None,
    ) -> Settings:
        """Return the same run with the FCNs' pictures gathered otherwise into steps.

        Each FCN is shown as many pictures as before (but for rounding), and each picture counts
        as much: the number of steps and the learning rates follow, by `effective_learning_rate`.
        With the sum no gradient is clipped: its norm grows with the picture, and the small
        threshold of the mean would leave nothing of it but a direction.

        Parameters
        ----------
        batch : int, optional
            Pictures a step; what is not given stays as it is.
        momentum : float, optional
        reduction : {"mean", "sum"}, optional
        pixels : int, optional
            Labelled pixels of a picture, if its size does not say it.
        """
        if pixels is None:
            pixels = whole_number(self.size, "size", 1) ** 2
        own = [of_stage(self.momentum, index) for index in range(len(STAGES))]
        new_reduction = self.reduction if reduction is None else reduction
        stages = [(self.steps[0], self.batch[0], self.lr[0], own[0])]
        for index in range(1, len(STAGES)):
            new_batch = self.batch[index] if batch is None else batch
            new_momentum = own[index] if momentum is None else momentum
            each = effective_learning_rate(
                self.lr[index], own[index], self.batch[index], self.reduction, pixels
            )
            unit = effective_learning_rate(1.0, new_momentum, new_batch, new_reduction, pixels)
            steps = max(1, round(self.steps[index] * self.batch[index] / new_batch))
            stages.append((steps, new_batch, each / unit, new_momentum))
        steps, batches, lr, momenta = zip(*stages)
        clip = tuple(of_stage(self.clip_gradients, index) for index in range(len(STAGES)))
        if new_reduction == "sum":
            clip = (clip[0], *[None] * len(SEGMENTERS))
        return dataclasses.replace(
            self, steps=steps, batch=batches, lr=lr, momentum=momenta, reduction=new_reduction,
            clip_gradients=clip,
        )

    def heavy(self) -> Settings:
        """Return the same run with the paper's "heavy learning", as a `regime`.

        One picture a step, momentum 0.99, the loss summed over pixels, no clipping.
        """
        return self.regime(batch=1, momentum=0.99, reduction="sum")


def effective_learning_rate(
    lr: float, momentum: float, batch: int, reduction: str = "mean", pixels: int = 1
) -> float:
    """Return what the gradient of one picture moves the weights by, in all.

    Let g be the gradient of a picture's loss, a mean over its pixels. It enters the velocity once
    and fades by the momentum with each step, so together it moves the weights by
    ``lr * c * g * (1 + momentum + momentum**2 + ...)``, or::

        "mean"   c = 1 / batch    lr / (batch * (1 - momentum)) * g
        "sum"    c = pixels       lr * pixels / (1 - momentum) * g

    The mean divides by the pictures of a batch; to the sum each adds the same, whatever the
    others. So batch 1, momentum 0.99 and the sum do as much with a picture as batch 20, momentum
    0.9 and the mean if ``lr_sum * pixels / 0.01 = lr_mean / (20 * 0.1)``: the learning rate is
    200 * pixels times smaller. A step of k pictures moves the weights by k times this.

    That is exact as far as g stays the same while it fades. How long it takes to fade, counted in
    pictures, is the same where ``momentum ** (1 / batch)`` is: 0.9 with batch 20 is
    0.9 ** (1 / 20) = 0.995 with batch 1.

    Parameters
    ----------
    lr : float
    momentum : float
        At least 0 and below 1.
    batch : int
        Pictures a step.
    reduction : {"mean", "sum"}
    pixels : int
        Labelled pixels of a picture, the same for all pictures.

    Notes
    -----
    Shelhamer et al. (PAMI), "Image-to-Image Learning"; Long et al., section 4.3. Clipped
    gradients do not follow it.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"expected momentum of at least 0 and below 1, got {momentum}")
    whole_number(batch, "batch", 1)
    whole_number(pixels, "pixels", 1)
    if reduction not in ("mean", "sum"):
        raise ValueError(f"expected reduction 'mean' or 'sum', got {reduction!r}")
    return lr / (1 - momentum) * (pixels if reduction == "sum" else 1 / batch)


def of_stage(value, index: int):
    """Return the value of a setting that may have one for each stage."""
    return value[index] if isinstance(value, tuple) else value


def read_config(out: str | os.PathLike) -> tuple[Settings, dict | None]:
    """Return the settings of the run in a folder and what it says of its pictures.

    Raises
    ------
    ValueError
        If there is no run, or its config.json is damaged.
    """
    path = Path(out) / CONFIG
    try:
        config = json.loads(path.read_text())
        values = config["settings"]
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return Settings(**values), config.get("data")
    except FileNotFoundError:
        raise ValueError(f"{out} holds no run: there is no {CONFIG} in it") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no {CONFIG} of a run: {error}") from error


def read_settings(out: str | os.PathLike) -> Settings:
    """Return the settings of the run in a folder, or raise ValueError."""
    return read_config(out)[0]


def write_config(out: Path, settings: Settings, data: dict | None) -> None:
    """Write config.json, from which a run is resumed."""
    config = {
        "fcn_numpy": __version__,
        "numpy": np.__version__,
        "settings": dataclasses.asdict(settings),
        "data": data,
    }
    write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")
