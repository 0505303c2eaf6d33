"""The gradient check: it passes what is right and finds what is wrong, also near kinks.

A checker that passes everything would pass all tests of the layers, so most tests here hand it a
backward with one small mistake and look whether it is found, and under which name.
"""

import copy

import numpy as np
import pytest
from backbones import OverShort, Short, vgg

from fcn_numpy.gradcheck import GradientError, gradcheck, smooth_piece
from fcn_numpy.models import (
    TINY,
    Classifier,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    LateFusion,
)
from fcn_numpy.nn import (
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Scale,
    Sequential,
    SoftmaxCrossEntropy,
    Sum,
)

# Where the gradients of the package are checked; what is left checks gradcheck, whatever computes.
BOTH = pytest.mark.usefixtures("both_algorithms")

# With three classes an FCN8s on it has more than 5,000 elements: random directions are checked.
NARROW = vgg("NARROW", (3, 4, 5, 6, 6), (1, 1, 2, 1, 1), 8, 7, 100)
# The same with the little padding of TINY, which is faster; takes 49 to 64.
SMALL = vgg("SMALL", (3, 4, 5, 6, 6), (1, 1, 2, 1, 1), 8, 3, 17)


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape)


def awake(model):
    """Give a model's zero parameters values for which every gradient is other than zero.

    A network this narrow easily has a layer in which no ReLU is positive; then all gradients
    below it are zero, and a check of them proves nothing.
    """
    draw = rng(9)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data[...] = 0.1
        elif not parameter.data.any():
            parameter.data[...] = draw.standard_normal(parameter.data.shape)
    return model


def assert_awake(model, x):
    """Assert that no parameter's gradient is zero throughout: there is something to check."""
    model = copy.deepcopy(model)
    model.backward(np.ones_like(model(x.astype(np.float32))))
    assert [name for name, p in model.named_parameters() if not p.grad.any()] == []


# ---------------------------------------------------------------- what is right passes


@BOTH
@pytest.mark.parametrize(
    "layer, shapes",
    [
        (Conv2d(2, 3, 3, rng=rng()), [(2, 2, 5, 4)]),
        (Conv2d(2, 3, (3, 2), (2, 1), (1, 2), (1, 2), rng=rng()), [(1, 2, 6, 7)]),
        (Conv2d(2, 3, 1, bias=False, rng=rng()), [(1, 2, 3, 3)]),
        (Conv2d(4, 6, 3, 2, 1, groups=2, rng=rng()), [(2, 4, 4, 5)]),
        (LocalResponseNorm(4, 3.0), [(1, 6, 2, 3)]),
        (ConvTranspose2d(2, 3, 4, 2, 1, 1, bias=True, rng=rng()), [(2, 2, 3, 4)]),
        (ConvTranspose2d(3, 2, (3, 2), (1, 3), dilation=(2, 1), rng=rng()), [(1, 3, 3, 2)]),
        (MaxPool2d(2, ceil_mode=True), [(2, 2, 5, 7)]),
        (MaxPool2d(3, 1, 1), [(1, 2, 5, 4)]),
        (MaxPool2d(3, 2, ceil_mode=True), [(1, 2, 6, 5)]),
        (ReLU(), [(2, 3, 4, 5)]),
        (Dropout2d(0.5, rng=rng()), [(4, 6, 2, 3)]),
        (Scale(0.01), [(2, 3, 4, 4)]),
        (Sum(), [(2, 3, 4, 4), (2, 3, 4, 4)]),
        (Crop((1, 2)), [(2, 2, 6, 7), (1, 5, 3, 4)]),
        (Flatten(), [(2, 3, 2, 2)]),
        (Linear(5, 3, rng=rng()), [(4, 5)]),
        (
            Sequential(
                Conv2d(2, 3, 3, padding=1, rng=rng()), ReLU(), MaxPool2d(2),
                Dropout2d(0.5, rng=rng(1)), ConvTranspose2d(3, 2, 4, 2, rng=rng(2)),
            ),
            [(2, 2, 6, 6)],
        ),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Module) else str(v),
)
def test_right_layers_pass(layer, shapes):
    inputs = [normal(*shape, seed=i + 5) for i, shape in enumerate(shapes)]
    report = gradcheck(layer, *inputs, rng=rng())
    assert report.max_error <= 1e-6
    assert report.left_out == 0
    sizes = [x.size for x in inputs] + [p.data.size for p in layer.parameters()]
    assert report.checked == sum(sizes)


@BOTH
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, (1.0, 0.5, 0.0, 2.0)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_loss_takes_integer_labels(reduction, weight, dtype):
    labels = rng(1).integers(0, 4, (2, 3, 5)).astype(dtype)
    labels[0, 0, :2] = 255
    before = labels.copy()
    loss = SoftmaxCrossEntropy(255, reduction, weight)
    report = gradcheck(loss, normal(2, 4, 3, 5), labels, rng=rng())
    # Labels have no gradient: only the scores are in the report.
    assert list(report.errors) == ["input 0"]
    assert report.checked == 2 * 4 * 3 * 5
    np.testing.assert_array_equal(labels, before)
    assert labels.dtype == dtype


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(
    "model_class, n_class", [(FCN32s, 2), (FCN16s, 2), (FCN8s, 3), (FCN8sAtOnce, 3)]
)
def test_whole_fcn_passes(model_class, n_class):
    model, x = awake(model_class(n_class, NARROW, rng=rng(2))), normal(1, 3, 9, 7)
    assert_awake(model, x)
    report = gradcheck(model, x, rng=rng())
    assert report.max_error <= 1e-6
    assert list(report.errors) == ["input 0", *model.state_dict()]
    assert all(tensor.checked > 0 for tensor in report.tensors.values())


@BOTH
@pytest.mark.parametrize(
    "build, channels",
    [
        (lambda: OverShort(backbone=Short, heads={"sem": 2, "geo": 3}, rng=rng()), [3]),
        (lambda: FCN32s(2, Short, in_channels=4, rng=rng()), [4]),
        (
            lambda: LateFusion(
                FCN32s(2, Short, rng=rng(1)), FCN32s(2, Short, in_channels=2, rng=rng(2))
            ),
            [3, 2],
        ),
    ],
    ids=["heads", "early fusion", "late fusion"],
)
def test_heads_and_fusion_pass(build, channels):
    model = build()
    # Large enough for random directions, which take less time.
    images = [normal(1, c, 44, 41, seed=c) for c in channels]
    report = gradcheck(model, *images, rng=rng())
    assert report.max_error <= 1e-6
    inputs = [f"input {i}" for i in range(len(images))]
    assert list(report.errors) == [*inputs, *model.state_dict()]
    assert all(tensor.checked > 0 for tensor in report.tensors.values())


class Heads(Module):
    """Two heads of different sizes."""

    def __init__(self):
        self.a, self.b = Conv2d(2, 3, 2, rng=rng()), Conv2d(2, 2, 3, rng=rng(1))

    def forward(self, x):
        return {"a": self.a(x), "b": self.b(x)}

    def backward(self, grads):
        return self.a.backward(grads["a"]) + self.b.backward(grads["b"])


def test_a_dict_of_outputs_is_checked():
    report = gradcheck(Heads(), normal(2, 2, 4, 5), rng=rng())
    assert report.max_error <= 1e-6
    assert list(report.errors) == ["input 0", "a.weight", "a.bias", "b.weight", "b.bias"]


@pytest.mark.parametrize("head", ["a", "b"])
def test_a_wrong_gradient_of_one_head_is_found(head):
    class Forgetful(Heads):
        def backward(self, grads):
            grad_x = super().backward(grads)
            getattr(self, head).bias.grad[0] = 0
            return grad_x

    class Half(Heads):
        def backward(self, grads):
            return super().backward({**grads, head: grads[head] / 2})

    class Lost(Heads):
        def backward(self, grads):
            grad_a, grad_b = self.a.backward(grads["a"]), self.b.backward(grads["b"])
            return grad_b if head == "a" else grad_a

    x = normal(1, 2, 3, 4)
    with pytest.raises(GradientError) as info:
        gradcheck(Forgetful(), x, rng=rng())
    assert (info.value.tensor, info.value.index) == (f"{head}.bias", (0,))
    for wrong in (Half, Lost):
        with pytest.raises(GradientError, match="the gradient of input 0 at"):
            gradcheck(wrong(), x, rng=rng())


@BOTH
def test_whole_classifier_passes():
    backbone = vgg("ONE", (3, 4, 5, 6, 6), (1, 1, 1, 1, 1), 72, 1, 100)
    model, x = awake(Classifier(3, backbone, rng=rng())), normal(2, 3, 9, 7)
    assert_awake(model, x)
    report = gradcheck(model, x, rng=rng())
    assert report.max_error <= 1e-6
    assert list(report.errors) == ["input 0", *model.state_dict()]


@BOTH
def test_whole_tiny_fcn8s_passes():
    model, x = awake(FCN8s(4, TINY, rng=rng())), normal(1, 3, 64, 64)
    assert_awake(model, x)
    report = gradcheck(model, x, rng=rng())
    assert report.max_error <= 1e-6
    assert set(report.errors) == {"input 0", *model.state_dict()}
    assert not any(tensor.by_element for tensor in report.tensors.values())


@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (3, 2, 1, 0)])
def test_any_memory_order_is_taken(axes):
    # An image file has its channels last; its transpose is a view that is not contiguous.
    x = normal(3, 4, 5, 3).transpose(axes)
    assert not x.flags["C_CONTIGUOUS"]
    layer = Conv2d(x.shape[1], 2, 3, padding=1, rng=rng())
    assert gradcheck(layer, x, rng=rng()).max_error <= 1e-6


def test_any_memory_order_of_a_parameter_is_taken():
    layer = Linear(4, 3, rng=rng())
    layer.weight = Parameter(normal(4, 3).T)
    assert gradcheck(layer, normal(2, 4), rng=rng()).max_error <= 1e-6


def test_one_array_may_be_two_inputs():
    x = normal(2, 3)
    assert gradcheck(Sum(), x, x, rng=rng()).max_error <= 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_any_floating_dtype_is_checked_in_float64(dtype):
    x = normal(2, 2, 4, 4).astype(dtype)
    # In the arrays' own dtype, differences would be right to three digits at most.
    assert gradcheck(Conv2d(2, 2, 3, rng=rng()), x, rng=rng()).max_error <= 1e-8


# ---------------------------------------------------------------- what is wrong is found


class WrongConv(Conv2d):
    """A convolution with a mistake of a factor in one element of one gradient."""

    tensor, index, factor = "input", (0, 0, 0, 0), 1.01

    def backward(self, grad):
        before = {name: p.grad.copy() for name, p in self.named_parameters()}
        grad_x = super().backward(grad)
        if self.tensor == "input":
            grad_x[self.index] *= self.factor
        else:
            parameter = getattr(self, self.tensor)
            added = parameter.grad - before[self.tensor]
            parameter.grad[self.index] += (self.factor - 1) * added[self.index]
        return grad_x


def make_wrong(layer, tensor, index, factor=1.01):
    """Turn a convolution into a wrong one, in place: a copy of it is wrong as well."""
    layer.__class__ = WrongConv
    layer.tensor, layer.index, layer.factor = tensor, index, factor


WRONG_PLACES = [
    ("input", (1, 1, 2, 3)), ("input", (0, 0, 0, 0)), ("weight", (2, 0, 1, 2)),
    ("weight", (0, 1, 2, 0)), ("bias", (0,)), ("bias", (2,)),
]


@pytest.mark.parametrize("factor", [1.01, 0.99, -1.0, 0.0])
@pytest.mark.parametrize("tensor, index", WRONG_PLACES)
def test_one_wrong_element_of_a_small_layer_is_named(tensor, index, factor):
    layer = Conv2d(2, 3, 3, padding=1, rng=rng())
    make_wrong(layer, tensor, index, factor)
    with pytest.raises(GradientError) as info:
        gradcheck(layer, normal(2, 2, 4, 5), rng=rng())
    name = "input 0" if tensor == "input" else tensor
    assert info.value.tensor == name
    assert info.value.index == index
    assert name in str(info.value) and str(index) in str(info.value)


def test_the_message_gives_both_values():
    class Third(Scale):
        def backward(self, grad):
            return super().backward(grad) / 3

    with pytest.raises(GradientError) as info:
        gradcheck(Sequential(Third(3.0), Flatten()), np.ones((1, 1, 1, 1)), rng=rng())
    words = str(info.value).replace(",", "").split()
    ours, theirs = (
        float(words[i + 1]) for i, word in enumerate(words) if word in ("gives", "give")
    )
    assert theirs == pytest.approx(3 * ours, rel=1e-6)


@pytest.mark.parametrize(
    "layer, tensor, index, name",
    [
        ("conv1_1", "input", (0, 1, 30, 31), "input 0"),
        ("conv1_2", "weight", (5, 3, 1, 2), "conv1_2.weight"),
        ("conv1_2", "bias", (6,), "conv1_2.bias"),
    ],
)
def test_one_wrong_element_inside_a_tiny_fcn8s_is_named(layer, tensor, index, name):
    model = awake(FCN8s(4, TINY, rng=rng(1)))
    make_wrong(getattr(model, layer), tensor, index)
    with pytest.raises(GradientError) as info:
        gradcheck(model, normal(1, 3, 64, 64), rng=rng())
    assert (info.value.tensor, info.value.index) == (name, index)


@pytest.mark.parametrize(
    "layer, tensor, index",
    [
        ("conv4_1", "weight", (5, 3, 1, 2)),
        ("fc6", "weight", (4, 5, 2, 1)),
        ("score_fr", "bias", (2,)),
        ("score_pool3", "weight", (2, 1, 0, 0)),
    ],
)
def test_one_wrong_element_inside_a_small_fcn8s_is_named(layer, tensor, index):
    model, x = awake(FCN8s(3, SMALL, rng=rng(11))), normal(1, 3, 49, 50)
    assert_awake(model, x)
    make_wrong(getattr(model, layer), tensor, index)
    with pytest.raises(GradientError) as info:
        gradcheck(model, x, rng=rng())
    assert (info.value.tensor, info.value.index) == (f"{layer}.{tensor}", index)


@pytest.mark.parametrize("layer", ["conv3_2", "conv5_1", "fc7", "score_pool4"])
def test_a_wrong_gradient_between_two_layers_of_an_fcn_is_found(layer):
    # All cells by 1 %, so that some of them matter to the layers below.
    model = awake(FCN8s(3, SMALL, rng=rng(1)))
    make_wrong(getattr(model, layer), "input", ...)
    with pytest.raises(GradientError):
        gradcheck(model, normal(1, 3, 49, 50), rng=rng())


@pytest.mark.parametrize("layer", ["conv4_1", "score_pool3", "conv5_1", "score_pool4"])
def test_a_missing_use_of_a_pool_is_found(layer):
    # pool3 feeds conv4_1 and score_pool3, pool4 feeds conv5_1 and score_pool4. A gradient of 0
    # from one of them is what a backward gives that forgets to add the two.
    model = awake(FCN8s(3, SMALL, rng=rng(1)))
    make_wrong(getattr(model, layer), "input", ..., 0.0)
    with pytest.raises(GradientError):
        gradcheck(model, normal(1, 3, 49, 50), rng=rng())


def test_a_wrong_sign_is_found():
    class Minus(ReLU):
        def backward(self, grad):
            return -super().backward(grad)

    with pytest.raises(GradientError, match="input 0"):
        gradcheck(Minus(), normal(2, 3), rng=rng())


def test_a_missing_return_value_is_found():
    class First(Sum):
        def backward(self, grad):
            return super().backward(grad)[0]

    class Nothing(ReLU):
        def backward(self, grad):
            super().backward(grad)

    with pytest.raises(GradientError) as info:
        gradcheck(First(), normal(2, 3), normal(2, 3, seed=1), rng=rng())
    assert info.value.tensor == "input 1"
    with pytest.raises(GradientError) as info:
        gradcheck(Nothing(), normal(2, 3), rng=rng())
    assert info.value.tensor == "input 0"


def test_swapped_return_values_are_found():
    class Weighted(Sum):
        def forward(self, a, b):
            return super().forward(a, 2 * b)

        def backward(self, grad):
            grad_a, grad_b = super().backward(grad)
            return 2 * grad_a, grad_b

    with pytest.raises(GradientError, match="input 0"):
        gradcheck(Weighted(), normal(2, 3), normal(2, 3, seed=1), rng=rng())


def test_a_wrong_shape_is_found():
    class Short(ReLU):
        def backward(self, grad):
            return super().backward(grad)[..., :-1]

    class FlatBias(Linear):
        def backward(self, grad):
            grad_x = super().backward(grad)
            self.bias.grad = self.bias.grad.sum()
            return grad_x

    with pytest.raises(GradientError, match=r"input 0 has shape \(2, 2\), expected \(2, 3\)"):
        gradcheck(Short(), normal(2, 3), rng=rng())
    with pytest.raises(GradientError) as info:
        gradcheck(FlatBias(3, 2, rng=rng()), normal(2, 3), rng=rng())
    assert info.value.tensor == "bias"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_is_found(value):
    layer = Conv2d(2, 3, 3, rng=rng())
    make_wrong(layer, "weight", (1, 0, 2, 2), value)
    with pytest.raises(GradientError) as info:
        gradcheck(layer, normal(1, 2, 4, 4), rng=rng())
    assert (info.value.tensor, info.value.index) == ("weight", (1, 0, 2, 2))
    assert str(info.value).endswith(f"is {value}")


def test_an_output_that_is_no_number_is_found():
    x = normal(2, 3)
    x[1, 2] = np.nan
    with pytest.raises(GradientError, match="input 0"):
        gradcheck(Scale(2), x, rng=rng())


def test_zero_score_layers_hide_nothing():
    # A new FCN has zero score layers: behind them all gradients are 0, right or wrong.
    model = FCN8s(3, SMALL, rng=rng(1))
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and not name.startswith("score"):
            parameter.data[...] = 0.1  # so that no layer is asleep for another reason
    assert not model.score_fr.weight.data.any() and not model.score_pool3.weight.data.any()
    make_wrong(model.conv2_1, "weight", (1, 0, 1, 1))
    with pytest.raises(GradientError) as info:
        gradcheck(model, normal(1, 3, 49, 50), rng=rng())
    assert (info.value.tensor, info.value.index) == ("conv2_1.weight", (1, 0, 1, 1))


def test_zero_parameters_of_a_small_layer_hide_nothing():
    first, last = Conv2d(2, 2, 1, rng=rng()), Conv2d(2, 2, 1, rng=rng())
    for layer in (first, last):
        layer.weight.data[...] = 0
    make_wrong(first, "weight", (0, 1, 0, 0))
    with pytest.raises(GradientError) as info:
        gradcheck(Sequential(first, last), normal(1, 2, 3, 3), rng=rng())
    assert (info.value.tensor, info.value.index) == ("0.weight", (0, 1, 0, 0))


def test_the_tolerance_is_the_one_given():
    layer = Conv2d(2, 3, 3, rng=rng())
    make_wrong(layer, "bias", (1,), 1.01)
    x = normal(1, 2, 4, 4)
    # A factor of 1.01 is a relative error of 0.01 / 1.01.
    report = gradcheck(layer, x, tol=0.0100, rng=rng())
    assert report.errors["bias"] == pytest.approx(0.01 / 1.01, rel=1e-5)
    with pytest.raises(GradientError):
        gradcheck(layer, x, tol=0.0098, rng=rng())


class Shift(Module):
    """``y = max(x + shift, 0)``, with a gradient of the shift that is wrong by a factor."""

    def __init__(self, shift, factor):
        self.shift = Parameter(np.asarray(shift, np.float64))
        self.factor = factor

    def forward(self, x):
        y = np.maximum(x + self.shift.data[:, None, None], 0)
        self._save(y)
        return y

    def backward(self, grad):
        (y,) = self._take()
        grad = grad * (y > 0)
        self.shift.grad += self.factor * grad.sum(axis=(0, 2, 3))
        return grad


@smooth_piece.register
def _(layer: Shift, x):
    return x + layer.shift.data[:, None, None] > 0


def test_a_direction_without_any_element_proves_nothing():
    # Every step of either shift crosses a kink, so no direction can be used. Going back to an
    # ever smaller part of two elements must not end at a part of none, which always agrees.
    x = normal(1, 2, 60, 60)
    assert x.size > 5000
    module = Shift([0.5, -0.5], factor=5.0)
    x[0, 0, 3, 3], x[0, 1, 4, 4] = -0.5, 0.5
    with pytest.raises(GradientError) as info:
        gradcheck(module, x, rng=rng())
    assert info.value.tensor == "shift"


def test_the_same_directions_are_usable_without_the_kink():
    x = normal(1, 2, 60, 60)
    assert gradcheck(Shift([0.5, -0.5], factor=1.0), x, rng=rng()).left_out == 0
    with pytest.raises(GradientError, match="shift"):
        gradcheck(Shift([0.5, -0.5], factor=1.01), x, rng=rng())


# ---------------------------------------------------------------- kinks


NEAR = [1e-4, 1e-5, 1e-6, 1e-7, -1e-4, -1e-5, -1e-6, -1e-7]


def test_relu_inputs_near_the_kink_are_checked():
    x = np.concatenate([NEAR, normal(8)]).reshape(2, 8)
    report = gradcheck(ReLU(), x, rng=rng())
    assert report.max_error <= 1e-6
    assert (report.checked, report.left_out) == (16, 0)


@pytest.mark.parametrize("n_zeros", [1, 3, 15])
def test_relu_inputs_at_the_kink_are_left_out_and_counted(n_zeros):
    x = np.concatenate([np.zeros(n_zeros), NEAR, [0.7]])
    x[0] = -0.0
    report = gradcheck(ReLU(), x, rng=rng())
    assert report.max_error <= 1e-6
    assert (report.checked, report.left_out) == (9, n_zeros)


@pytest.mark.parametrize("value", [1e-9, -1e-9, 1e-12])
def test_relu_inputs_nearer_than_the_smallest_step_are_left_out(value):
    report = gradcheck(ReLU(), np.array([value, 0.3, -0.4]), rng=rng())
    assert report.max_error <= 1e-6
    assert (report.checked, report.left_out) == (2, 1)


@pytest.mark.parametrize("value", NEAR)
def test_a_wrong_relu_is_found_near_its_kink(value):
    class Wrong(ReLU):
        # The mistake is only there for small values, where a loose tolerance would hide it.
        def backward(self, grad):
            (y,) = self._saved
            return super().backward(grad) + 0.01 * grad * (abs(self.x) < 1e-3)

        def forward(self, x):
            self.x = x.copy()
            return super().forward(x)

    with pytest.raises(GradientError) as info:
        gradcheck(Wrong(), np.array([0.3, value, -0.4]), rng=rng())
    assert info.value.index == (1,)


@pytest.mark.parametrize("gap", [1e-4, 1e-5, 1e-6, 1e-7])
def test_pool_cells_that_are_nearly_equal_are_checked(gap):
    x = np.array([[0.5, 0.5 + gap, 1.0, -1.0], [0.1, 0.5 - gap, 1.0 - gap, 0.9]])
    report = gradcheck(MaxPool2d(2), x[None, None], rng=rng())
    assert report.max_error <= 1e-6
    assert (report.checked, report.left_out) == (8, 0)


@pytest.mark.parametrize(
    "window, at_kink",
    [
        ([1.0, 1.0, 0.0, 0.5], 2),  # two that win: a step of either changes the winner
        ([0.0, 1.0, 0.5, 1.0], 2),
        ([1.0, 1.0, 1.0, 0.0], 3),
        ([0.0, 0.0, 0.0, 0.0], 4),
        ([0.5, 0.5, 1.0, 0.0], 0),  # equal, but not the largest: no kink
        ([1.0, 1.0 - 1e-9, 0.0, 0.5], 2),
    ],
)
def test_equal_pool_cells_are_left_out_and_counted(window, at_kink):
    x = np.concatenate([np.reshape(window, (2, 2)), [[3.0, 1.0], [2.0, 0.0]]], axis=1)
    report = gradcheck(MaxPool2d(2), x[None, None], rng=rng())
    assert report.max_error <= 1e-6
    assert (report.checked, report.left_out) == (8 - at_kink, at_kink)


def test_a_network_with_images_at_the_kink_passes():
    # Black areas, equal cells and a convolution without a bias: kinks wherever one looks.
    x = normal(1, 2, 8, 8)
    x[:, :, 2:6, 2:6] = 0
    x[:, :, :, 7] = x[:, :, :, 6]
    network = Sequential(
        Conv2d(2, 2, 3, padding=1, bias=False, rng=rng()), ReLU(), MaxPool2d(2),
        Conv2d(2, 2, 3, padding=1, rng=rng(1)), ReLU(),
    )
    report = gradcheck(network, x, rng=rng())
    assert report.max_error <= 1e-6
    assert 0 < report.left_out < report.checked


@pytest.mark.parametrize("module", [ReLU(), MaxPool2d(2)])
def test_nothing_that_can_be_checked_is_an_error(module):
    with pytest.raises(GradientError) as info:
        gradcheck(module, np.zeros((1, 1, 4, 4)), rng=rng())
    assert (info.value.tensor, info.value.index) == ("input 0", None)
    assert "input 0" in str(info.value)


# ---------------------------------------------------------------- dropout


def test_dropout_is_frozen_while_it_steps():
    # Two layers with one generator, as an FCN has them; a new mask would be a huge error.
    shared = rng(3)
    network = Sequential(
        Dropout2d(0.5, rng=shared), Conv2d(6, 4, 1, rng=rng()), Dropout2d(0.5, rng=shared)
    )
    x = normal(2, 6, 2, 2)
    assert gradcheck(network, x, rng=rng()).max_error <= 1e-6
    # The same without any dropped channel is another function: something was really dropped.
    assert (Dropout2d(0.5, rng=rng(3)).forward(x) == 0).any()


def test_a_backward_with_another_mask_is_found():
    class NewMask(Dropout2d):
        def backward(self, grad):
            factor, shape = self._saved
            self._saved = (np.roll(factor, 1, axis=1), shape)
            return super().backward(grad)

    with pytest.raises(GradientError, match="input 0"):
        gradcheck(NewMask(0.5, rng=rng()), normal(3, 5, 2, 2), rng=rng())


# ---------------------------------------------------------------- the caller's things stay


@pytest.mark.parametrize("training", [True, False])
def test_the_module_and_the_inputs_stay_as_they_are(training):
    model = FCN8s(3, SMALL, rng=rng(4))
    model.train() if training else model.eval()
    model.relu7.training = not training  # each layer's own mode stays, not only the model's
    for parameter in model.parameters():
        parameter.grad[...] = 3
    x = normal(1, 3, 49, 50).astype(np.float32)

    def snapshot():
        return (
            [(n, id(p), id(p.data), p.data.dtype, p.data.tobytes(), p.grad.dtype,
              p.grad.tobytes(), p.lr_mult, p.decay_mult) for n, p in model.named_parameters()],
            [m.training for m in model.modules()],
            [str(m.rng.bit_generator.state) for m in model.modules() if hasattr(m, "rng")],
            (x.dtype, x.tobytes(), x.flags.writeable),
        )

    before = snapshot()
    gradcheck(model, x, rng=rng())
    assert snapshot() == before


def test_a_backward_that_is_pending_still_runs():
    layer, x = Conv2d(2, 2, 3, rng=rng()), normal(1, 2, 4, 4).astype(np.float32)
    grad = np.ones_like(layer(x))
    expected = copy.deepcopy(layer).backward(grad)
    gradcheck(layer, x, rng=rng())
    np.testing.assert_array_equal(layer.backward(grad), expected)


def test_inputs_that_cannot_be_written_are_taken():
    x = normal(2, 3)
    x.flags.writeable = False
    assert gradcheck(Scale(2), x, rng=rng()).checked == 6


def test_eval_mode_is_checked_as_train_mode():
    layer = Conv2d(2, 2, 3, rng=rng()).eval()
    assert gradcheck(layer, normal(1, 2, 4, 4), rng=rng()).max_error <= 1e-6


# ---------------------------------------------------------------- the report, and bad input


def test_the_report_has_all_tensors_and_prints_as_a_table():
    network = Sequential(Conv2d(2, 3, 3, rng=rng()), ReLU(), Conv2d(3, 1, 1, rng=rng()))
    report = gradcheck(network, normal(1, 2, 4, 4), rng=rng())
    names = ["input 0", "0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(report.errors) == names
    assert report.max_error == max(report.errors.values())
    assert report.checked == sum(t.checked for t in report.tensors.values())
    head, *rows = str(report).splitlines()
    assert "relative error" in head
    assert len(rows) == len(names)
    for name, row in zip(names, rows):
        assert row.startswith(name + " ")
        assert f"{report.errors[name]:.1e}" in row
        assert f" {report.tensors[name].checked} " in row


def test_the_same_seed_gives_the_same_report():
    model, x = Linear(80, 70, rng=rng()), normal(2, 80)
    reports = [gradcheck(model, x, rng=rng(seed)) for seed in (1, 1, 2)]
    assert reports[0] == reports[1]
    assert reports[0] != reports[2]


def test_no_generator_is_needed():
    assert gradcheck(Linear(3, 2), normal(2, 3)).max_error <= 1e-6


@pytest.mark.parametrize("inputs", [(), (np.arange(4).reshape(2, 2),), ([0.5, 1.0],)])
def test_no_floating_array_is_an_error(inputs):
    with pytest.raises(ValueError, match="floating array"):
        gradcheck(Sum(), *inputs)


def test_rounding_is_not_taken_for_a_wrong_gradient():
    """A right network whose large steps all cross kinks, so that only small ones are left."""
    model = FCN8s(4, TINY, rng=np.random.default_rng(7))
    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    report = gradcheck(model, image, rng=np.random.default_rng(7))
    assert report.max_error < 1e-6
    assert report.left_out <= 3


def test_a_mask_is_refused_as_the_layer_would_refuse_it():
    x = np.ma.masked_array(np.ones((1, 2)), True)
    with pytest.raises(ValueError, match="each input to be a plain array, got a MaskedArray"):
        gradcheck(Linear(2, 1), x)


class Wave(Module):
    """``y = height * sin(100 x)``: so curved that only small steps tell its slope."""

    def __init__(self, height):
        self.height = height

    def forward(self, x):
        self._save(x)
        return self.height * np.sin(100 * x)

    def backward(self, grad):
        (x,) = self._take()
        return grad * 100 * self.height * np.cos(100 * x)


@pytest.mark.parametrize("height", [1e-8, 1.0, 1e8])
def test_the_best_step_counts_whatever_the_size_of_the_gradient(height):
    """A step of 1e-3 is off by 1e-3, relative to the gradient, and one of 1e-5 by 1e-7."""
    report = gradcheck(Wave(height), normal(2, 3), rng=rng())
    assert report.max_error <= 1e-7 and report.left_out == 0


def test_the_message_about_a_curved_function_gives_its_slope():
    class Twice(Wave):
        def backward(self, grad):
            return 2 * super().backward(grad)

    with pytest.raises(GradientError) as info:
        gradcheck(Twice(1.0), np.full((1, 1), 0.3), rng=rng())
    words = str(info.value).replace(",", "").split()
    ours, theirs = (
        float(words[i + 1]) for i, word in enumerate(words) if word in ("gives", "give")
    )
    assert ours == pytest.approx(2 * theirs, rel=1e-6)
