"""An FCN over a backbone that the package does not know, and what it asks of one."""

import numpy as np
import pytest
from backbones import OverResidual, Residual

from fcn_numpy.geometry import trace
from fcn_numpy.gradcheck import gradcheck
from fcn_numpy.models import FCN32s
from fcn_numpy.nn import Conv2d, Parameter, ReLU

pytestmark = pytest.mark.usefixtures("both_algorithms")


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape):
    return rng().standard_normal(shape, dtype=np.float32)


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
