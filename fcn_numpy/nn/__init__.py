"""The layers, one file each: forward above, its backward by hand below."""

from fcn_numpy.nn.activation import ReLU
from fcn_numpy.nn.conv import Conv2d, ConvTranspose2d, bilinear_kernel
from fcn_numpy.nn.dropout import Dropout2d
from fcn_numpy.nn.fusion import Concat, Crop, Scale, Sum
from fcn_numpy.nn.linear import Flatten, Linear
from fcn_numpy.nn.loss import SoftmaxCrossEntropy
from fcn_numpy.nn.module import Module, Parameter, Sequential
from fcn_numpy.nn.pooling import MaxPool2d
from fcn_numpy.nn.resize import AdaptiveAvgPool2d, BilinearResize
from fcn_numpy.nn.sampling import LossSampling

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
]
