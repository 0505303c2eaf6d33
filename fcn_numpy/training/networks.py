"""The network and the loss of each stage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fcn_numpy import weights
from fcn_numpy.data import IGNORE
from fcn_numpy.models import FCN, Backbone, Classifier
from fcn_numpy.nn import Dropout2d, LossSampling, SoftmaxCrossEntropy
from fcn_numpy.nn.conv import NotDrawn
from fcn_numpy.training.settings import BACKBONES, Settings
from fcn_numpy.training.stages import SEGMENTERS, Stage

Network = Classifier | FCN


def make_model(
    stage: Stage, backbone: Backbone, n_class: int, rng: np.random.Generator
) -> Network:
    """Return a new network for a stage."""
    if not stage.is_classifier:
        return make_fcn(stage, backbone, n_class, rng)
    model = Classifier(n_class, backbone, rng=rng)
    _set_dropout(model, stage.dropout)
    return model


def make_fcn(stage: Stage, backbone: Backbone, n_class: int, rng: np.random.Generator) -> FCN:
    """Return a new FCN for a stage."""
    model = SEGMENTERS[stage.name](n_class, backbone, rng=rng)
    _set_dropout(model, stage.dropout)
    return model


def _set_dropout(model: Network, p: float) -> None:
    for module in model.modules():
        if isinstance(module, Dropout2d):
            module.p = p


def make_loss(stage: Stage) -> SoftmaxCrossEntropy:
    """Return the loss of a stage, summed over labelled pixels.

    `fcn_numpy.training.gradients` divides the sum where the stage wants the mean.
    """
    sampling = LossSampling(stage.loss_sampling)
    return SoftmaxCrossEntropy(IGNORE, "sum", stage.class_weights, sampling=sampling)


def load_fcn(out: str | os.PathLike, name: str, settings: Settings, n_class: int) -> FCN:
    """Return the trained FCN of a stage of a run."""
    model = make_fcn(settings.stage(name), BACKBONES[settings.backbone], n_class, NotDrawn())
    model.load_state_dict(weights.load(Path(out) / f"{name}.npz"), assign=True)
    return model
