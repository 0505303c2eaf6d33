"""The network and the loss of each stage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fcn_numpy import weights
from fcn_numpy.data import IGNORE
from fcn_numpy.files import errors_name, shown
from fcn_numpy.models import BACKBONES, FCN, VGG, Backbone, Classifier
from fcn_numpy.models.finite import check_finite
from fcn_numpy.nn import LossSampling, SoftmaxCrossEntropy, skip_init
from fcn_numpy.training.settings import Settings
from fcn_numpy.training.stages import SEGMENTERS, Stage

Network = Classifier | FCN


def make_model(
    stage: Stage, backbone: type[Backbone], n_class: int, rng: np.random.Generator
) -> Network:
    """Return a new network for a stage: a classifier, or an FCN without initial weights."""
    if stage.is_classifier:
        assert issubclass(backbone, VGG)  # the others start from weights
        return Classifier(n_class, backbone, dropout=stage.dropout, rng=rng)
    return make_fcn(stage, backbone, n_class)


def make_fcn(stage: Stage, backbone: type[Backbone], n_class: int) -> FCN:
    """Return a new FCN for a stage, without initial weights: they come from another network."""
    with skip_init():
        return SEGMENTERS[stage.name](n_class, backbone, dropout=stage.dropout)


def make_loss(stage: Stage) -> SoftmaxCrossEntropy:
    """Return the loss of a stage, summed over labeled pixels.

    `fcn_numpy.training.gradients` divides the sum if the stage uses the mean.

    Parameters
    ----------
    stage : Stage

    Returns
    -------
    SoftmaxCrossEntropy
    """
    sampling = LossSampling(stage.loss_sampling)
    return SoftmaxCrossEntropy(IGNORE, "sum", stage.class_weights, sampling=sampling)


def load_fcn(out: str | os.PathLike, name: str, settings: Settings, n_class: int) -> FCN:
    """Return the trained FCN of a stage of a run, or raise ValueError."""
    path = Path(out) / f"{name}.npz"
    if not path.exists():
        raise ValueError(f"{shown(out)} has no {path.name}: the run is not finished; resume it")
    state = weights.load(path)
    with errors_name(path):
        check_finite(state)
        model = make_fcn(settings.stage(name), BACKBONES[settings.backbone], n_class)
        model.load_state_dict(state, assign=True)
    return model
