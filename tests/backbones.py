"""Backbones like VGG16 and AlexNet, with other numbers, and one that is as small as can be."""

from fcn_numpy.models import ALEXNET, FCN, VGG, VGG16, Backbone, SkipNames
from fcn_numpy.nn import Conv2d, ReLU, Sum


class ThinVGG16(VGG16):
    """VGG16 with few channels."""

    name, widths, fc_width = "ThinVGG16", (4, 4, 6, 6, 8), 12


class ThinAlexNet(ALEXNET):
    """AlexNet with few channels, and another number of them in each layer."""

    name, widths, fc_width = "ThinAlexNet", (6, 8, 10, 12, 14), 16


class Short(Backbone):
    """Two strided convolutions."""

    name, fc_width, fc_kernel, pad = "Short", 3, 3, 4

    def __init__(self, in_channels=3, *, dtype, rng):
        self.a = Conv2d(in_channels, 2, 2, 2, self.pad, dtype=dtype, rng=rng)
        self.relu = ReLU()
        self.b = Conv2d(2, 3, 2, 2, dtype=dtype, rng=rng)

    def forward(self, image):
        a = self.relu(self.a(image))
        return {"a": a, "b": self.b(a)}

    def backward(self, grads):
        grad = self.b.backward(grads["b"]) + grads.get("a", 0.0)
        return self.a.backward(self.relu.backward(grad))


class OverShort(FCN):
    """An FCN that fuses the finer map of `Short`."""

    skips, upscore_name = (SkipNames("a", "score_a", "upscore2"),), "upscore_a"


class Residual(Backbone):
    """Four stages: a strided convolution, and a residual block of two."""

    name, fc_width, fc_kernel, pad = "RESIDUAL", 48, 3, 17
    widths = (4, 5, 6, 6)

    def __init__(self, *, dtype, rng):
        channels, padding = 3, self.pad
        for stage, width in enumerate(self.widths, 1):
            layers = {
                "down": Conv2d(channels, width, 3, 2, padding, dtype=dtype, rng=rng),
                "a": Conv2d(width, width, 3, padding=1, dtype=dtype, rng=rng), "relu": ReLU(),
                "b": Conv2d(width, width, 3, padding=1, dtype=dtype, rng=rng), "sum": Sum(),
            }
            for name, layer in layers.items():
                setattr(self, f"{name}{stage}", layer)
            channels, padding = width, 1

    def forward(self, image):
        maps, x = {}, image
        for stage in range(1, 5):
            down, a, relu, b, add = self._stage(stage)
            x = down(x)
            x = maps[f"stage{stage}"] = add(x, b(relu(a(x))))
        return maps

    def backward(self, grads):
        grad = 0.0
        for stage in range(4, 0, -1):
            down, a, relu, b, add = self._stage(stage)
            straight, around = add.backward(grad + grads.get(f"stage{stage}", 0.0))
            around = a.backward(relu.backward(b.backward(around)))
            grad = down.backward(straight + around)
        return grad

    def _stage(self, stage):
        return [getattr(self, f"{name}{stage}") for name in ("down", "a", "relu", "b", "sum")]


class OverResidual(FCN):
    """FCN-4s over `Residual`."""

    skips = (
        SkipNames("stage3", "score_stage3", "upscore2"),
        SkipNames("stage2", "score_stage2", "upscore_stage3"),
    )
    upscore_name = "upscore4"


def vgg(name, widths, convs, fc_width, fc_kernel, pad):
    """Make a backbone of VGG's layers from its numbers."""
    numbers = {
        "name": name, "widths": widths, "convs": convs, "fc_width": fc_width,
        "fc_kernel": fc_kernel, "pad": pad,
    }
    return type(name, (VGG,), numbers)


def fcn(skips):
    """Make a kind of FCN that fuses the pools of some stages, given as {stage: factor}."""
    names, upscore = [], "upscore"
    for stage, scale in skips.items():
        upscore = "upscore2" if upscore == "upscore" else f"upscore_pool{stage + 1}"
        names.append(SkipNames(f"pool{stage}", f"score_pool{stage}", upscore, scale))
    last = f"upscore{2 ** min(skips)}" if skips else "upscore"
    return type("Fused", (FCN,), {"skips": tuple(names), "upscore_name": last})
