"""FCN over a backbone, and the classifier that it is made from."""

from fcn_numpy.models.classifier import Classifier, convolutionalize
from fcn_numpy.models.context import PyramidPooling
from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.published import (
    MODELS,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    fcn_for,
    fcn_from_file,
    start_from,
)
from fcn_numpy.models.vgg import TINY, VGG16, Backbone

__all__ = [
    "FCN",
    "MODELS",
    "TINY",
    "VGG16",
    "Backbone",
    "Classifier",
    "FCN16s",
    "FCN32s",
    "FCN8s",
    "FCN8sAtOnce",
    "PyramidPooling",
    "convolutionalize",
    "fcn_for",
    "fcn_from_file",
    "start_from",
]
