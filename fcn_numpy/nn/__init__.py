"""The layers: each has a forward method, followed by a backward method written by hand."""

from fcn_numpy.nn.activation import ReLU
from fcn_numpy.nn.concat import Concat
from fcn_numpy.nn.conv import Conv2d, ConvTranspose2d
from fcn_numpy.nn.dropout import Dropout2d
from fcn_numpy.nn.fusion import Crop, Sum
from fcn_numpy.nn.initial import bilinear_kernel, skip_init
from fcn_numpy.nn.linear import Flatten, Linear
from fcn_numpy.nn.loss import SoftmaxCrossEntropy
from fcn_numpy.nn.module import Module
from fcn_numpy.nn.normalization import LocalResponseNorm
from fcn_numpy.nn.parameter import Parameter
from fcn_numpy.nn.pooling import MaxPool2d
from fcn_numpy.nn.resize import AdaptiveAvgPool2d, BilinearResize
from fcn_numpy.nn.sampling import LossSampling
from fcn_numpy.nn.scale import Scale
from fcn_numpy.nn.sequential import Sequential

__all__ = [
    "AdaptiveAvgPool2d",
    "BilinearResize",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Crop",
    "Dropout2d",
    "Flatten",
    "Linear",
    "LocalResponseNorm",
    "LossSampling",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Scale",
    "Sequential",
    "SoftmaxCrossEntropy",
    "Sum",
    "bilinear_kernel",
    "skip_init",
]
