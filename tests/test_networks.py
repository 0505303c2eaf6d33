"""Networks as objects: copied, pickled, made of what does not fit, with names of any kind."""

import copy
import gc
import pickle
import weakref
from fractions import Fraction

import numpy as np
import pytest
from backbones import Short

from fcn_numpy.gradcheck import gradcheck
from fcn_numpy.models import FCN, TINY, FCN8s, FCN32s, Frozen, LateFusion, Segmenter, SkipNames
from fcn_numpy.nn import Conv2d, LocalResponseNorm, ReLU
from fcn_numpy.onnx_export import export_onnx


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_network_can_be_pickled():
    model = FCN32s(2, Short, rng=rng())
    twin = pickle.loads(pickle.dumps(model))
    x = rng().standard_normal((1, 3, 8, 8), dtype=np.float32)
    np.testing.assert_array_equal(twin(x), model(x))


def test_a_copy_does_not_hold_on_to_the_network():
    model = FCN32s(2, Short, rng=rng())
    twin, weight = copy.deepcopy(model), weakref.ref(model.fc6.weight)
    del model
    gc.collect()
    assert weight() is None and twin.takes(8)


class Named(Short):
    """A map may have any name."""

    def forward(self, image):
        maps = super().forward(image)
        return {"fc7": maps["a"], "b": maps["b"]}

    def backward(self, grads):
        return super().backward({"a": grads["fc7"], "b": grads["b"]})


class OverNamed(FCN):
    skips, upscore_name = (SkipNames("fc7", "score_a", "upscore2"),), "upscore_a"


def test_a_map_may_be_called_fc7():
    model = OverNamed(2, Named, rng=rng())
    assert gradcheck(model, rng(1).standard_normal((1, 3, 4, 4)), rng=rng()).max_error <= 1e-6


@pytest.mark.parametrize("name", ["image", "fc6"])
def test_onnx_has_one_value_of_a_name(name, tmp_path):
    pytest.importorskip("onnx")
    model = FCN32s(heads={name: 2, "geo": 3}, backbone=Short, rng=rng())
    with pytest.raises(ValueError, match=f"no head with the name of a layer, {name}"):
        export_onnx(tmp_path / "m.onnx", model)


def test_scores_that_another_layer_takes_are_an_output_too():
    class Both(Segmenter):
        def __init__(self):
            self.heads, self.n_class = {"a": 2, "b": 2}, 4
            self.inputs, self.backbone = {"image": 3}, TINY
            self.conv, self.relu = Conv2d(3, 2, 1, rng=rng()), ReLU()
            self._find_sizes((Fraction(1), Fraction(1)))

        def _segment(self, image):
            a = self.conv(image)
            return {"a": a, "b": self.relu(a)}

    x = rng().standard_normal((1, 3, 4, 4), dtype=np.float32)
    model = Both()
    with Frozen(model) as network:
        assert list(network(x)) == ["a", "b"]


def test_classes_and_heads_are_not_both_given():
    with pytest.raises(ValueError, match="expected n_class or heads, got 4 and"):
        FCN32s(4, Short, heads={"a": 2, "b": 3}, rng=rng())


def test_fusion_of_two_dtypes_is_an_error_at_once():
    with pytest.raises(ValueError, match="two networks of one dtype, got float32 and float64"):
        LateFusion(FCN32s(2, Short), FCN32s(2, Short, dtype=np.float64))


def test_fusion_does_not_drop_skips():
    class Finer(FCN32s):
        skips = FCN8s.skips

    with pytest.raises(ValueError, match="expected color to be an FCN32s with one head and no ski"):
        LateFusion(Finer(2, TINY), FCN32s(2, TINY))


def test_fusion_is_in_the_mode_of_its_networks():
    color, hha = FCN32s(2, Short).eval(), FCN32s(2, Short)
    model = LateFusion(color, hha)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("numbers", [{"beta": float("nan")}, {"k": float("inf")}])
def test_numbers_of_a_norm_are_finite(numbers):
    with pytest.raises(ValueError, match="expected finite numbers alpha"):
        LocalResponseNorm(5, **numbers)
