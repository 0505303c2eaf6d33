"""Everything that a training run depends on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from fcn_numpy.checks import whole_number
from fcn_numpy.models import BACKBONES
from fcn_numpy.training.stages import (
    CLASSIFIER,
    MOST,
    SEGMENTERS,
    STAGES,
    Stage,
    bounded,
    effective_learning_rate,
)

PRETRAINED_ON = ("caffe", "torchvision")
# A larger square has more pixels than any image that can be read.
LARGEST_SIZE = 7071

# Factor of a learning rate whose gradients are no longer clipped.
UNCLIPPED = 0.5
# Maximum number of steps and images per step of each stage in `Settings.quick`.
QUICK = {"classifier": (12, 8), "fcn32s": (6, 2), "fcn16s": (4, 2), "fcn8s": (6, 2)}


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on.

    Attributes
    ----------
    seed : int
    stages : tuple of Stage
        Stages in the order of `STAGES`, without the classifier if FCN-32s starts from pretrained
        weights. A run may end after FCN-32s or FCN-16s.
    backbone : {"tiny", "vgg16", "alexnet"}
    pretrained : str, optional
        File with weights. FCN-32s starts from these instead of from a classifier.
    pretrained_on : {"caffe", "torchvision"}
        Preprocessing that these weights expect (`fcn_numpy.models.FCN8s.from_file`).
    n_train, n_single, n_test : int
        Number of toy images for the FCNs, for the classifier, and held out.
    size, single_size : int
        Height and width of the images for the FCNs and for the classifier. Images of a folder are
        cropped to these sizes at random places; if size is None, the FCNs see whole images.
    rim : bool
        Whether the one-pixel-wide rims of toy shapes are excluded from the loss and the scores,
        like the rims of objects in PASCAL VOC.
    flip : bool
        Whether an image is mirrored with probability 1/2 each time it is used.
    checkpoint_every : int
        Number of steps between checkpoints.
    """

    seed: int = 0
    stages: tuple[Stage, ...] = (
        # FCN-32s has the most to learn. The skips add detail and learn faster in small batches.
        Stage("classifier", steps=200, batch=32, lr=0.1),
        Stage("fcn32s", steps=1200, batch=8, lr=0.2),
        Stage("fcn16s", steps=200, batch=4, lr=0.2),
        Stage("fcn8s", steps=560, batch=4, lr=0.2),
    )
    backbone: str = "tiny"
    pretrained: str | None = None
    pretrained_on: str = "caffe"
    n_train: int = 800
    n_single: int = 4000
    n_test: int = 200
    size: int | None = 128
    single_size: int = 72
    rim: bool = True
    flip: bool = True
    checkpoint_every: int = 50

    def __post_init__(self):
        whole_number(self.seed, "seed", 0)
        for name in ("n_train", "n_single", "n_test", "checkpoint_every"):
            bounded(getattr(self, name), name, 1, MOST)
        for name in ("single_size", "size"):
            if name != "size" or self.size is not None:
                bounded(getattr(self, name), name, 1, LARGEST_SIZE)
        for name in ("rim", "flip"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"expected {name} True or False, got {getattr(self, name)!r:.80}")
        if not isinstance(self.pretrained, (str, type(None))):
            raise ValueError(f"expected pretrained to be a path, got {self.pretrained!r:.80}")
        for name, choices in (("backbone", BACKBONES), ("pretrained_on", PRETRAINED_ON)):
            value = getattr(self, name)
            if value not in tuple(choices):
                expected = " or ".join(map(repr, choices))
                raise ValueError(f"expected {name} {expected}, got {value!r:.80}")
        self._check_stages()

    def _check_stages(self):
        names = tuple(stage.name for stage in self.stages)
        first = names[: CLASSIFIER in names]
        if not self.segmenters or names != (*first, *SEGMENTERS)[: len(names)]:
            raise ValueError(
                f"expected the stages {', '.join(STAGES)}, the first and the last two optional, "
                f"got {', '.join(names) or 'none'}"
            )
        if self.pretrained is None and CLASSIFIER not in names:
            raise ValueError("expected pretrained weights or a stage that trains a classifier")
        if self.pretrained is not None and CLASSIFIER in names:
            raise ValueError(
                f"expected no stage {CLASSIFIER} with pretrained weights: with_pretrained omits it"
            )

    @classmethod
    def vgg16(cls, pretrained: str, pretrained_on: str = "caffe") -> Settings:
        """Return the settings for the paper's VGG16 networks, on whole images.

        Training uses one image per step, momentum 0.99, the loss summed over pixels, learning rates
        of 1e-10, 1e-12 and 1e-14, and dropout, as in the PAMI version ("Image-to-Image Learning")
        and the reference implementation. The number of steps is a twentieth of the paper's; they
        take about a day on a few cores.

        Parameters
        ----------
        pretrained : str
            File with the weights that FCN-32s starts from.
        pretrained_on : {"caffe", "torchvision"}

        Returns
        -------
        Settings
        """
        stages = tuple(
            Stage(
                name, steps, batch=1, lr=lr, warmup=0, momentum=0.99, clip_gradients=None,
                dropout=0.5, reduction="sum",
            )
            for name, steps, lr in zip(SEGMENTERS, (5000, 2500, 2500), (1e-10, 1e-12, 1e-14))
        )
        return cls(
            stages=stages, backbone="vgg16", pretrained=pretrained, pretrained_on=pretrained_on,
            size=None, checkpoint_every=200,
        )

    @classmethod
    def alexnet(cls, pretrained: str) -> Settings:
        """Return the settings for the authors' FCN-AlexNet: FCN-32s alone, on whole images.

        Training uses 20 images per step, momentum 0.9, the mean of the loss over pixels, a learning
        rate of 1e-4, and dropout, as in the reference implementation, but a twentieth of its steps.

        Parameters
        ----------
        pretrained : str
            File with the weights that FCN-32s starts from. They must expect Caffe's preprocessing.

        Returns
        -------
        Settings
        """
        stage = Stage(
            "fcn32s", 5000, batch=20, lr=1e-4, warmup=0, clip_gradients=None, dropout=0.5
        )
        return cls(stages=(stage,), backbone="alexnet", pretrained=pretrained, size=None)

    @property
    def fixed_size(self) -> int:
        """The size, or a ValueError if it is None (whole images)."""
        if self.size is None:
            raise ValueError("expected size to be an int of at least 1, got None (whole images)")
        return self.size

    @property
    def segmenters(self) -> tuple[str, ...]:
        """The names of the stages that train FCNs."""
        return tuple(stage.name for stage in self.stages if not stage.is_classifier)

    def stage(self, name: str) -> Stage:
        """Return the stage with this name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = ", ".join(stage.name for stage in self.stages)
        raise ValueError(f"expected a stage of the run ({names}), got {name!r}")

    def with_stages(self, *names: str, **changes: Any) -> Settings:
        """Return the same settings with changes to the named stages, or to all stages.

        Parameters
        ----------
        *names : str
            Names of the stages to change; all stages if no name is given.
        **changes
            Fields of `Stage` and their new values.

        Returns
        -------
        Settings

        Examples
        --------
        >>> Settings().with_stages("fcn8s", steps=500).stage("fcn8s").steps
        500
        """
        chosen = [self.stage(name) for name in names] or list(self.stages)
        return self._replace_stages(
            dataclasses.replace(stage, **changes) if stage in chosen else stage
            for stage in self.stages
        )

    def scaled(self, *, steps: float = 1.0, lr: float = 1.0) -> Settings:
        """Return the same settings with the steps and learning rate of every stage multiplied."""
        return self._replace_stages(
            dataclasses.replace(stage, steps=_scaled(stage.steps, steps), lr=lr * stage.lr)
            for stage in self.stages
        )

    def with_pretrained(self, pretrained: str, pretrained_on: str = "caffe") -> Settings:
        """Return the same settings, but start from a file of weights instead of a classifier."""
        return dataclasses.replace(
            self, pretrained=pretrained, pretrained_on=pretrained_on,
            stages=tuple(stage for stage in self.stages if not stage.is_classifier),
        )

    def control(self) -> Settings:
        """Return settings that train FCN-32s alone, on as many images as all FCNs of this run.

        The score of this longer training is a control: whatever FCN-8s gains beyond it is due to
        the skips.

        Returns
        -------
        Settings
        """
        fcns = [self.stage(name) for name in self.segmenters]
        images = sum(stage.steps * stage.batch for stage in fcns)
        longer = dataclasses.replace(fcns[0], steps=-(-images // fcns[0].batch))
        return self._replace_stages(
            [*(stage for stage in self.stages if stage.is_classifier), longer]
        )

    def quick(self) -> Settings:
        """Return the same settings with few steps and images, to test that everything works."""
        short = self._replace_stages(
            dataclasses.replace(
                stage, steps=min(stage.steps, QUICK[stage.name][0]),
                batch=min(stage.batch, QUICK[stage.name][1]),
            )
            for stage in self.stages
        )
        return dataclasses.replace(short, n_train=24, n_single=48, n_test=8, checkpoint_every=4)

    def regrouped(
        self,
        batch: int | None = None,
        momentum: float | None = None,
        reduction: str | None = None,
        pixels: int | None = None,
    ) -> Settings:
        """Return the same settings with the images of the FCNs grouped differently into steps.

        Each FCN sees as many images as before (up to rounding), and each image has the same
        effect: the number of steps and the learning rate follow from `effective_learning_rate`.

        With the sum, gradients are not clipped. The norm of a summed gradient grows with the size
        of the image, so the small threshold for the mean would leave only its direction. If the
        gradients were clipped before, the learning rate is also halved; otherwise training
        diverges.

        Parameters
        ----------
        batch : int, optional
            Images per step. Any of the first three parameters that is omitted keeps its value.
        momentum : float, optional
        reduction : {"mean", "sum"}, optional
        pixels : int, optional
            Labeled pixels per image. By default, the number of pixels of an image of `size`.

        Returns
        -------
        Settings
        """
        if pixels is None:
            pixels = self.fixed_size**2
        return self._replace_stages(
            stage if stage.is_classifier else _regrouped(stage, batch, momentum, reduction, pixels)
            for stage in self.stages
        )

    def heavy_learning(self, pixels: int | None = None) -> Settings:
        """Return the same settings, `regrouped` for the paper's "heavy learning".

        That is one image per step, momentum 0.99, the loss summed over pixels, and no clipping.

        Parameters
        ----------
        pixels : int, optional
            See `regrouped`.

        Returns
        -------
        Settings
        """
        return self.regrouped(batch=1, momentum=0.99, reduction="sum", pixels=pixels)

    def _replace_stages(self, stages):
        return dataclasses.replace(self, stages=tuple(stages))


def _scaled(steps, factor):
    # A stage rejects more than MOST steps, and round() rejects infinity.
    return max(1, round(min(steps * factor, MOST + 1)))


def _regrouped(stage, batch, momentum, reduction, pixels):
    batch = stage.batch if batch is None else batch
    momentum = stage.momentum if momentum is None else momentum
    reduction = stage.reduction if reduction is None else reduction
    rate = effective_learning_rate(
        stage.lr, stage.momentum, stage.batch, stage.reduction, pixels
    )
    unit = effective_learning_rate(1.0, momentum, batch, reduction, pixels)
    clip = None if reduction == "sum" else stage.clip_gradients
    share = UNCLIPPED if clip is None and stage.clip_gradients is not None else 1.0
    return dataclasses.replace(
        stage, steps=_scaled(stage.steps, stage.batch / batch), batch=batch,
        lr=share * rate / unit, momentum=momentum, reduction=reduction, clip_gradients=clip,
    )
