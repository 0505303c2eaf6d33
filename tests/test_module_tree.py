"""The tree of a network: what cannot be lost or replaced in silence, copies, and print(model)."""

import copy
import pickle

import numpy as np
import pytest

from fcn_numpy.models import TINY, FCN8s, PyramidPooling
from fcn_numpy.nn import (
    Concat,
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout2d,
    MaxPool2d,
    Parameter,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
    Sum,
)
from fcn_numpy.optim import SGD


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_layer_cannot_be_replaced_in_silence():
    model = FCN8s(2, TINY, rng=rng())
    with pytest.raises(ValueError, match="has a layer score_fr, and would go on using it"):
        model.score_fr = Conv2d(128, 2, 1)
    with pytest.raises(ValueError, match="has a layer 0, and would"):
        setattr(Sequential(ReLU()), "0", ReLU())


def test_a_parameter_and_a_layer_do_not_take_each_others_names():
    """A layer goes on using what it was built with; a state_dict has one value for a name."""
    conv, net = Conv2d(1, 1, 1, rng=rng()), Sequential(ReLU())
    with pytest.raises(ValueError, match="Conv2d has a parameter weight, and would go on using it"):
        conv.weight = ReLU()
    with pytest.raises(ValueError, match="Sequential has a layer 0, and would go on using it"):
        setattr(net, "0", Parameter(np.zeros(1)))
    assert isinstance(conv.weight, Parameter) and isinstance(dict(net.children())["0"], ReLU)


def test_a_parameter_may_be_replaced_by_a_parameter():
    first, second = Conv2d(1, 1, 1, rng=rng()), Conv2d(1, 1, 1, rng=rng(1))
    second.weight = first.weight
    x = np.ones((1, 1, 1, 1), np.float32)
    assert second(x) == first(x)


@pytest.mark.parametrize("layer", [
    Conv2d(2, 2, 1, rng=rng()), ReLU(), MaxPool2d(1), Dropout2d(), Sequential(ReLU()),
])
def test_a_layer_that_runs_twice_has_no_wrong_gradient(layer):
    """Its second forward takes the place of the first: backward ends with an error."""
    net, x = Sequential(layer, layer), np.ones((1, 2, 3, 3), np.float32)
    y = net(x)
    with pytest.raises(RuntimeError, match="needs a forward in train mode before it"):
        net.backward(np.ones_like(y))


def test_backward_is_that_of_the_latest_forward():
    relu = ReLU()
    relu(np.array([1.0, -1.0]))
    relu(np.array([-1.0, 1.0]))
    assert relu.backward(np.array([3.0, 3.0])).tolist() == [0, 3]


def test_a_parameter_under_two_names_learns_once():
    conv = Conv2d(1, 1, 1, rng=rng())
    conv.weight.data[...] = 1
    net = Sequential(conv, conv)
    assert len(list(net.parameters())) == 2  # a weight and a bias
    optimizer = SGD([*net.parameters(), conv.weight], lr=0.1, momentum=0)
    conv.weight.grad = np.ones_like(conv.weight.data)
    optimizer.step()
    assert conv.weight.data.item() == pytest.approx(0.9)


def test_models_can_be_printed_copied_and_pickled():
    model = FCN8s(2, TINY, context=PyramidPooling(128, rng=rng()), rng=rng())
    model.score_fr.weight.data[...] = 1e-3
    text = str(model)
    assert text.startswith("FCN8s(\n  conv1_1: Conv2d(3, 8, 3, padding=17)\n  relu1_1: ReLU(inpl")
    for name, layer in model.children():
        assert f"  {name}: {type(layer).__name__}(" in text
    x = rng().standard_normal((1, 3, 49, 50), dtype=np.float32)
    expected = model.eval()(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin(x), expected)
        assert str(twin) == text


@pytest.mark.parametrize(("layer", "text"), [
    (Conv2d(3, 4, 3), "Conv2d(3, 4, 3)"),
    (Conv2d(3, 4, (3, 1), 2, (1, 0), bias=False),
     "Conv2d(3, 4, (3, 1), stride=2, padding=(1, 0), bias=False)"),
    (ConvTranspose2d(3, 4, 4, 2, bias=True), "ConvTranspose2d(3, 4, 4, stride=2, bias=True)"),
    (MaxPool2d(2), "MaxPool2d(2, stride=2)"), (ReLU(), "ReLU(inplace=False)"),
    (Dropout2d(), "Dropout2d(p=0.5)"), (Crop((1, 2)), "Crop((1, 2))"), (Sum(), "Sum()"),
    (SoftmaxCrossEntropy(weight=[1, 2]),
     "SoftmaxCrossEntropy(ignore_index=255, weight=array([1., 2.]))"),
    (Sequential(ReLU(True)), "Sequential(\n  0: ReLU(inplace=True)\n)"),
])
def test_layers_are_printed_with_their_arguments(layer, text):
    assert repr(layer) == text


def test_a_layer_that_is_given_nothing_says_so():
    with pytest.raises(ValueError, match="expected at least one map, got none"):
        Concat()()
