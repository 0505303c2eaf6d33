"""An FCN over a backbone that the package does not know, and what it asks of one."""

import numpy as np
import pytest

from fcn_numpy.geometry import trace
from fcn_numpy.gradcheck import gradcheck
from fcn_numpy.models import FCN, Backbone, FCN32s, SkipNames
from fcn_numpy.nn import Conv2d, Parameter, ReLU, Sum

pytestmark = pytest.mark.usefixtures("both_algorithms")


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape):
    return rng().standard_normal(shape, dtype=np.float32)


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
    skips = (
        SkipNames("stage3", "score_stage3", "upscore2"),
        SkipNames("stage2", "score_stage2", "upscore_stage3"),
    )
    upscore_name = "upscore4"


def test_any_backbone_gets_crops_sizes_and_right_gradients():
    model = OverResidual(2, Residual, rng=rng(1))
    # Odd strided kernels put cells onto cells, so the upsampling kernels are odd too.
    kernels = {n: getattr(model, n).kernel_size for n in ("upscore2", "upscore_stage3", "upscore4")}
    assert set(kernels.values()) == {(3, 3), (7, 7)}
    assert all(model.takes(n) for n in range(1, 65))
    for size in [(1, 1), (24, 31), (40, 33)]:
        assert model.eval()(normal(1, 3, *size)).shape == (1, 2, *size)
    steps = {step.name: step.output.grid for step in trace(model, 40)}
    for crop, fuse in (("crop_stage3", "upscore2"), ("crop_stage2", "upscore_stage3")):
        assert (steps[crop].scale, steps[crop].shift) == (steps[fuse].scale, steps[fuse].shift)
    assert (steps["crop"].scale, steps["crop"].shift) == ((1, 1), (0, 0))
    report = gradcheck(model, normal(1, 3, 17, 20), rng=rng())
    assert report.max_error <= 1e-6
    assert set(report.errors) == {"input 0", *model.state_dict()}


class Hidden(Residual):
    """A layer in a list, and a parameter of its own, which no network would find."""

    def __init__(self, *, dtype, rng):
        super().__init__(dtype=dtype, rng=rng)
        self.more = [Conv2d(6, 6, 1, dtype=dtype, rng=rng)]
        self.factor = Parameter(np.ones(1, dtype))

    def forward(self, image):
        maps = super().forward(image)
        return {**maps, "stage5": self.more[0](maps["stage4"])}


def test_layers_and_parameters_that_would_be_lost_are_an_error():
    with pytest.raises(ValueError, match="all layers of Hidden to be attributes.*Conv2d, factor"):
        FCN32s(2, Hidden, rng=rng())


def test_names_of_a_backbone_must_not_be_those_of_the_fcn():
    class Clash(Residual):
        def __init__(self, *, dtype, rng):
            super().__init__(dtype=dtype, rng=rng)
            self.fc7 = ReLU()

    with pytest.raises(ValueError, match="has a layer fc7, and would go on using it"):
        FCN32s(2, Clash, rng=rng())
