"""The layers and models that `fcn-numpy gradcheck` checks, by name, each with its inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fcn_numpy.models import (
    ALEXNET,
    TINY,
    Classifier,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    LateFusion,
    PyramidPooling,
)
from fcn_numpy.nn import (
    AdaptiveAvgPool2d,
    BilinearResize,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    LossSampling,
    MaxPool2d,
    Module,
    ReLU,
    Scale,
    Sequential,
    SoftmaxCrossEntropy,
    Sum,
)

Case = Callable[[np.random.Generator], tuple[Module, tuple[np.ndarray, ...]]]


def _loss(rng, **options):
    labels = rng.integers(0, 4, (2, 3, 4))
    labels[0, 0, :2] = 255
    return SoftmaxCrossEntropy(**options), (rng.standard_normal((2, 4, 3, 4)), labels)


def _on_normal(make: Callable[[np.random.Generator], Module], *shapes: tuple[int, ...]) -> Case:
    return lambda rng: (make(rng), tuple(rng.standard_normal(shape) for shape in shapes))


LAYERS: dict[str, Case] = {
    "conv2d": _on_normal(lambda r: Conv2d(2, 3, (3, 2), 2, 1, rng=r), (2, 2, 7, 6)),
    "conv2d-dilated": _on_normal(lambda r: Conv2d(2, 3, 3, 1, 2, 2, rng=r), (2, 2, 5, 6)),
    "conv2d-groups": _on_normal(lambda r: Conv2d(4, 6, 3, 2, 1, groups=2, rng=r), (2, 4, 7, 6)),
    "convtranspose2d": _on_normal(
        lambda r: ConvTranspose2d(2, 3, 4, 2, 1, 1, bias=True, rng=r), (2, 2, 3, 4)
    ),
    "maxpool2d": _on_normal(lambda r: MaxPool2d(3, 2, 1, ceil_mode=True), (2, 3, 6, 7)),
    "maxpool2d-overlap": _on_normal(lambda r: MaxPool2d(3, 2, ceil_mode=True), (2, 3, 6, 7)),
    "maxpool2d-dilated": _on_normal(lambda r: MaxPool2d((3, 2), 1, 1, dilation=2), (2, 3, 6, 7)),
    "relu": _on_normal(lambda r: ReLU(), (2, 3, 4, 5)),
    "dropout2d": _on_normal(lambda r: Dropout2d(0.5, rng=r), (3, 4, 2, 3)),
    "crop": _on_normal(lambda r: Crop((1, 2)), (1, 2, 6, 7), (1, 2, 4, 3)),
    "sum": _on_normal(lambda r: Sum(), (2, 2, 3, 4), (2, 2, 3, 4)),
    "concat": _on_normal(lambda r: Concat(), (2, 2, 3, 4), (2, 1, 3, 4), (2, 3, 3, 4)),
    "adaptiveavgpool2d": _on_normal(lambda r: AdaptiveAvgPool2d((3, 6)), (2, 2, 5, 4)),
    "bilinearresize": _on_normal(lambda r: BilinearResize(), (2, 2, 5, 4), (1, 1, 7, 3)),
    "pyramidpooling": _on_normal(lambda r: PyramidPooling(8, rng=r), (2, 8, 5, 4)),
    "scale": _on_normal(lambda r: Scale(0.01), (2, 2, 3, 4)),
    "localresponsenorm": _on_normal(lambda r: LocalResponseNorm(5, 2.0), (2, 7, 3, 4)),
    "linear": _on_normal(lambda r: Linear(6, 4, rng=r), (3, 6)),
    "flatten": _on_normal(lambda r: Flatten(), (2, 3, 2, 2)),
    "softmaxcrossentropy": _loss,
    "loss-sampling": lambda r: _loss(r, sampling=LossSampling(0.5, r)),
    "sequential": _on_normal(
        lambda r: Sequential(Conv2d(3, 4, 3, padding=1, rng=r), ReLU(), MaxPool2d(2)),
        (2, 3, 6, 6),
    ),
}


class Thin(TINY):
    """The layers of TINY with few channels and one convolution per stage."""

    name, widths, convs, fc_width = "Thin", (4, 4, 6, 6, 8), (1, 1, 1, 1, 1), 16


class ThinAlexNet(ALEXNET):
    """The layers of AlexNet with few channels."""

    name, widths, fc_width = "ThinAlexNet", (8, 12, 16, 16, 12), 16


MODELS: dict[str, Case] = {
    "fcn32s": _on_normal(lambda r: FCN32s(4, TINY, rng=r), (1, 3, 64, 64)),
    "fcn16s": _on_normal(lambda r: FCN16s(4, TINY, rng=r), (1, 3, 64, 64)),
    "fcn8s": _on_normal(lambda r: FCN8s(4, TINY, rng=r), (1, 3, 64, 64)),
    "fcn8satonce": _on_normal(lambda r: FCN8sAtOnce(4, TINY, rng=r), (1, 3, 64, 64)),
    "fcn8s-context": _on_normal(
        lambda r: FCN8s(4, TINY, context=PyramidPooling(128, rng=r), rng=r), (1, 3, 64, 64)
    ),
    "fcn32s-alexnet": _on_normal(lambda r: FCN32s(4, ThinAlexNet, rng=r), (1, 3, 64, 64)),
    "fcn8s-heads": _on_normal(
        lambda r: FCN8s(heads={"sem": 4, "geo": 3}, backbone=Thin, rng=r), (1, 3, 64, 64)
    ),
    "fcn32s-early": _on_normal(lambda r: FCN32s(4, Thin, in_channels=4, rng=r), (1, 4, 64, 64)),
    "fcn32s-late": _on_normal(
        lambda r: LateFusion(FCN32s(4, Thin, rng=r), FCN32s(4, Thin, rng=r)),
        (1, 3, 64, 64), (1, 3, 64, 64),
    ),
    "classifier": _on_normal(lambda r: Classifier(4, TINY, rng=r), (1, 3, 72, 72)),
}
CASES = LAYERS | MODELS
