"""Networks: the FCNs, their backbones, and the classifiers that they start from."""

from fcn_numpy.models.alexnet import ALEXNET
from fcn_numpy.models.backbone import Backbone
from fcn_numpy.models.classifier import Classifier, convolutionalize
from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.files import fcn_for, from_file
from fcn_numpy.models.frozen import Frozen
from fcn_numpy.models.late_fusion import LateFusion
from fcn_numpy.models.pyramid import PyramidPooling
from fcn_numpy.models.registry import BACKBONES, MODELS
from fcn_numpy.models.segmenter import Segmenter
from fcn_numpy.models.skip import SkipNames
from fcn_numpy.models.surgery import add_depth, expand_scores, start_from
from fcn_numpy.models.variants import FCN8s, FCN8sAtOnce, FCN16s, FCN32s
from fcn_numpy.models.vgg import TINY, VGG, VGG16

__all__ = [
    "ALEXNET",
    "BACKBONES",
    "FCN",
    "MODELS",
    "TINY",
    "VGG",
    "VGG16",
    "Backbone",
    "Classifier",
    "FCN16s",
    "FCN32s",
    "FCN8s",
    "FCN8sAtOnce",
    "Frozen",
    "LateFusion",
    "PyramidPooling",
    "Segmenter",
    "SkipNames",
    "add_depth",
    "convolutionalize",
    "expand_scores",
    "fcn_for",
    "from_file",
    "start_from",
]
