"""The fifteen networks of the paper's authors, and their layers as .prototxt files have them.

The authors' files are at https://github.com/shelhamer/fcn.berkeleyvision.org. The networks are made
over any two backbones, the full ones or thin ones of the same geometry.
"""

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from fcn_numpy import nn
from fcn_numpy.geometry import trace, trace_all
from fcn_numpy.models import FCN8s, FCN8sAtOnce, FCN16s, FCN32s, LateFusion

SIFTFLOW = {"sem": 33, "geo": 3}

# From the two backbones to the network.
NETWORKS = {
    "voc-fcn32s": lambda vgg, alexnet: FCN32s(21, vgg),
    "voc-fcn16s": lambda vgg, alexnet: FCN16s(21, vgg),
    "voc-fcn8s": lambda vgg, alexnet: FCN8s(21, vgg),
    "voc-fcn8s-atonce": lambda vgg, alexnet: FCN8sAtOnce(21, vgg),
    "voc-fcn-alexnet": lambda vgg, alexnet: FCN32s(21, alexnet),
    "pascalcontext-fcn32s": lambda vgg, alexnet: FCN32s(60, vgg),
    "pascalcontext-fcn16s": lambda vgg, alexnet: FCN16s(60, vgg),
    "pascalcontext-fcn8s": lambda vgg, alexnet: FCN8s(60, vgg),
    "siftflow-fcn32s": lambda vgg, alexnet: FCN32s(backbone=vgg, heads=SIFTFLOW),
    "siftflow-fcn16s": lambda vgg, alexnet: FCN16s(backbone=vgg, heads=SIFTFLOW),
    "siftflow-fcn8s": lambda vgg, alexnet: FCN8s(backbone=vgg, heads=SIFTFLOW),
    "nyud-fcn32s-color": lambda vgg, alexnet: FCN32s(40, vgg),
    "nyud-fcn32s-hha": lambda vgg, alexnet: FCN32s(40, vgg),
    "nyud-fcn32s-color-d": lambda vgg, alexnet: FCN32s(40, vgg, in_channels=4),
    "nyud-fcn32s-color-hha": lambda vgg, alexnet: LateFusion(FCN32s(40, vgg), FCN32s(40, vgg)),
}


def build(name, vgg, alexnet):
    """Make a network in eval mode whose weights are all zero, which takes no memory."""
    with nn.skip_init():
        return NETWORKS[name](vgg, alexnet).eval()


def fill(model, rng):
    """Give all layers random weights, in a range that keeps values of about one size."""
    factors = {}
    for step in trace(model, model.sizes.smallest):
        layer = step.layer
        if isinstance(layer, nn.Scale):
            factors[id(step.output)] = layer.factor
        if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            continue
        # The numbers that one number of the output is a sum of; ReLU lets half of them through.
        terms = math.prod(layer.weight.data.shape[1:]) / 2
        if isinstance(layer, nn.ConvTranspose2d):
            # Random kernels, unlike bilinear ones, differ from their mirror images.
            terms *= 2 / math.prod(layer.stride)
        # A pool that is scaled by 0.0001 is scored by weights so much larger: else an error in
        # this skip could not be seen in the scores.
        std = 1 / math.sqrt(terms) / factors.get(id(step.inputs[0]), 1.0)
        _draw(layer.weight.data, std, rng)
        if layer.bias is not None:
            _draw(layer.bias.data, 1.0, rng)
    return model


def _draw(array, std, rng):
    """Fill an array with random numbers, which begin again after 100,003, no multiple of an axis.

    To draw the 100 million weights of fc6 would take longer than to use them.
    """
    numbers = np.float32(std) * rng.standard_normal(min(array.size, 100_003), dtype=np.float32)
    flat = array.reshape(-1)
    for start in range(0, flat.size, numbers.size):
        part = flat[start : start + numbers.size]
        part[...] = numbers[: part.size]


class CaffeLayer(NamedTuple):
    """A layer of a .prototxt file. It has one top, of its own name."""

    name: str
    kind: str
    bottoms: list[str]
    parameters: dict[str, Any]

    def __str__(self):
        bottoms = "".join(f' bottom: "{bottom}"' for bottom in self.bottoms)
        text = f'name: "{self.name}" type: "{self.kind}"{bottoms} top: "{self.name}"'
        if self.parameters:
            text += f" {_MESSAGES[self.kind]} {{{_text(self.parameters)} }}"
        return f"layer {{ {text} }}\n"


def _text(parameters):
    text = ""
    for name, value in parameters.items():
        for each in value if isinstance(value, tuple) else (value,):
            text += f" {name}: {str(each).lower() if isinstance(each, bool) else each}"
    return text


def caffe_layers(model, size, n=1):
    """Describe a network for n images of a size to Caffe, from its layers as they are traced.

    Returns the list of layers, and a dict: for each output of the network, the layer it is of.
    """
    traced = trace_all(model, size)
    tops = {id(image): name for image, name in zip(traced.inputs, model.inputs)}
    layers = [
        CaffeLayer(name, "Input", [], {"shape": f"{{{_text({'dim': (n, *image.shape[1:])})} }}"})
        for image, name in zip(traced.inputs, model.inputs)
    ]
    # What is scaled only to be summed: Caffe's sum has coefficients, which the authors use for the
    # mean of two networks.
    takers = Counter(id(x) for step in traced.steps for x in step.inputs)
    summed = {id(x) for step in traced.steps if type(step.layer) is nn.Sum for x in step.inputs}
    factors = {}
    for step in traced.steps:
        output = id(step.output)
        if type(step.layer) is nn.Scale and output in summed and takers[output] == 1:
            tops[output], factors[output] = tops[id(step.inputs[0])], step.layer.factor
            continue
        kind, parameters = _KINDS[type(step.layer)](step.layer)
        if any(id(x) in factors for x in step.inputs):
            parameters["coeff"] = tuple(factors.get(id(x), 1.0) for x in step.inputs)
        layers.append(CaffeLayer(step.name, kind, [tops[id(x)] for x in step.inputs], parameters))
        tops[output] = step.name
    return layers, {name: tops[id(x)] for name, x in traced.outputs.items()}


# ---------------------------------------------------------------- layers


def _window(layer):
    """Return the numbers of a window; those of the authors are as high as wide."""
    pairs = {"kernel_size": layer.kernel_size, "stride": layer.stride, "pad": layer.padding}
    assert all(h == w for h, w in pairs.values()), pairs
    return {name: h for name, (h, _) in pairs.items()}


def _convolution(layer):
    assert layer.dilation == (1, 1)
    more = {"group": layer.groups, "bias_term": layer.bias is not None}
    return "Convolution", {"num_output": layer.out_channels, **_window(layer), **more}


def _deconvolution(layer):
    assert layer.dilation == (1, 1) and layer.output_padding == (0, 0)
    more = {"bias_term": layer.bias is not None}
    return "Deconvolution", {"num_output": layer.out_channels, **_window(layer), **more}


def _pooling(layer):
    # Caffe always keeps windows that lie only partly in the map.
    assert layer.dilation == (1, 1) and layer.ceil_mode
    return "Pooling", {"pool": "MAX", **_window(layer)}


def _response_norm(layer):
    numbers = {"alpha": layer.alpha, "beta": layer.beta, "k": layer.k}
    return "LRN", {"local_size": layer.size, **numbers}


_KINDS = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _deconvolution,
    nn.MaxPool2d: _pooling,
    nn.LocalResponseNorm: _response_norm,
    nn.ReLU: lambda layer: ("ReLU", {}),
    nn.Dropout2d: lambda layer: ("Dropout", {"dropout_ratio": layer.p}),
    nn.Scale: lambda layer: ("Power", {"scale": layer.factor}),
    nn.Crop: lambda layer: ("Crop", {"axis": 2, "offset": layer.offset}),
    nn.Sum: lambda layer: ("Eltwise", {"operation": "SUM"}),
}
_MESSAGES = {
    "Input": "input_param", "Convolution": "convolution_param", "Pooling": "pooling_param",
    "Deconvolution": "convolution_param", "LRN": "lrn_param", "Dropout": "dropout_param",
    "Power": "power_param", "Crop": "crop_param", "Eltwise": "eltwise_param",
}
