"""SGD against Caffe's update, worked out by hand and by a plain loop over numbers."""

import numpy as np
import pytest

from fcn_numpy import optim
from fcn_numpy.nn import Conv2d, Linear, Parameter
from fcn_numpy.optim import SGD


def parameter(data, grad=0.0, dtype=np.float64, **multipliers):
    result = Parameter(np.array(data, dtype), **multipliers)
    result.grad[...] = grad
    return result


def test_three_steps_worked_out_by_hand():
    w = parameter([1.0, -2.0])
    optimizer = SGD([w], lr=0.1, momentum=0.5, weight_decay=0.01)
    w.grad[...] = [1.0, 2.0]
    optimizer.step()
    # v = 0.1 * (1 + 0.01 * 1) = 0.101 and 0.1 * (2 - 0.02) = 0.198
    np.testing.assert_allclose(w.data, [0.899, -2.198], rtol=1e-12)
    w.grad[...] = 0
    optimizer.step()
    # v = 0.0505 + 0.001 * 0.899 = 0.051399 and 0.099 - 0.001 * 2.198 = 0.096802
    np.testing.assert_allclose(w.data, [0.847601, -2.294802], rtol=1e-12)
    w.grad[...] = [-1.0, 0.5]
    optimizer.step()
    # v = 0.0256995 - 0.1 + 0.000847601 and 0.048401 + 0.05 - 0.002294802
    np.testing.assert_allclose(w.data, [0.921053899, -2.390908198], rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("weight_decay", [0.0, 5e-4, 0.1])
@pytest.mark.parametrize("lr_mult, decay_mult", [(1.0, 1.0), (2.0, 0.0), (0.5, 3.0)])
def test_steps_as_a_loop_over_numbers(momentum, weight_decay, lr_mult, decay_mult):
    rng = np.random.default_rng(0)
    w = parameter(rng.standard_normal(4), lr_mult=lr_mult, decay_mult=decay_mult)
    expected, v = w.data.tolist(), [0.0] * 4
    optimizer = SGD([w], lr=0.3, momentum=momentum, weight_decay=weight_decay)
    for step in range(6):
        optimizer.lr = lr = 0.3 / (step + 1)  # the learning rate falls, as Caffe's policies do
        w.grad[...] = rng.standard_normal(4)
        optimizer.step()
        for i, g in enumerate(w.grad.tolist()):
            v[i] = momentum * v[i] + lr * lr_mult * (g + weight_decay * decay_mult * expected[i])
            expected[i] -= v[i]
        np.testing.assert_allclose(w.data, expected, rtol=1e-12)
    np.testing.assert_allclose(optimizer.velocities[0], v, rtol=1e-12)


def test_a_new_learning_rate_does_not_rescale_the_steps_on_their_way():
    w = parameter([0.0], grad=1.0)
    optimizer = SGD([w], lr=1.0, momentum=0.5)
    optimizer.step()
    optimizer.lr, w.grad[...] = 0.001, 0.0
    optimizer.step()
    # Half of the first step of 1, whatever the rate is now; PyTorch would move by 0.0005.
    np.testing.assert_allclose(w.data, [-1.5], rtol=1e-12)


def test_an_lr_mult_of_zero_leaves_a_parameter_untouched():
    w = parameter([1.5, -0.5], grad=[7.0, np.inf], lr_mult=0.0, decay_mult=1.0)
    other = parameter([1.0], grad=1.0)
    optimizer = SGD([w, other], lr=0.1, momentum=0.9, weight_decay=0.5)
    for _ in range(3):
        optimizer.step()
    np.testing.assert_array_equal(w.data, [1.5, -0.5])
    np.testing.assert_array_equal(w.grad, [7.0, np.inf])
    assert other.data[0] < 1.0


def test_a_decay_mult_of_zero_decays_nothing():
    w, b = parameter([2.0]), parameter([2.0], decay_mult=0.0)
    SGD([w, b], lr=0.1, weight_decay=0.1).step()
    np.testing.assert_allclose(w.data, [2.0 - 0.1 * 0.1 * 2.0], rtol=1e-12)
    np.testing.assert_array_equal(b.data, [2.0])


def test_each_parameter_has_a_velocity_of_its_own():
    a, b = parameter([0.0], grad=1.0), parameter([0.0, 0.0], grad=-2.0)
    optimizer = SGD(iter([a, b]), lr=1.0, momentum=0.5)
    optimizer.step()
    optimizer.step()
    np.testing.assert_allclose(a.data, [-2.5])
    np.testing.assert_allclose(b.data, [5.0, 5.0])
    assert [v.shape for v in optimizer.velocities] == [(1,), (2,)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_keep_their_dtype_and_their_array(dtype):
    w = parameter([1.0, 2.0], grad=0.25, dtype=dtype)
    array = w.data
    optimizer = SGD([w], lr=np.float64(0.1), momentum=0.9, weight_decay=np.float64(0.01))
    optimizer.step()
    assert w.data is array and array.dtype == dtype
    assert optimizer.velocities[0].dtype == dtype
    np.testing.assert_allclose(array, [1 - 0.026, 2 - 0.027], rtol=1e-6)


def test_a_step_leaves_the_gradient_and_zero_grad_clears_it():
    layer = Conv2d(2, 3, 3, rng=np.random.default_rng(0))
    optimizer = SGD(layer.parameters(), lr=0.1)
    for p in layer.parameters():
        p.grad[...] = 2
    optimizer.step()
    assert all((p.grad == 2).all() for p in layer.parameters())
    optimizer.zero_grad()
    assert all((p.grad == 0).all() for p in layer.parameters())


def test_biases_learn_twice_as_fast_as_weights():
    layer = Conv2d(1, 1, 1, rng=np.random.default_rng(0))
    weight = layer.weight.data.item()
    layer.weight.grad[...] = layer.bias.grad[...] = 1
    SGD(layer.parameters(), lr=0.1).step()
    assert layer.bias.data.item() == pytest.approx(-0.2, rel=1e-6)
    assert layer.weight.data.item() == pytest.approx(weight - 0.1, rel=1e-6)


@pytest.mark.parametrize("clip, scale", [(None, 1), (13.5, 1), (13.0, 1), (6.5, 0.5), (0.13, 0.01)])
def test_gradients_are_clipped_by_the_norm_of_all_together(clip, scale):
    # 3, 4 and 12 have the norm 13; a fixed parameter's gradient does not count.
    a, b = parameter([0.0, 0.0], grad=[3.0, 4.0]), parameter([[0.0]], grad=12.0, lr_mult=2.0)
    fixed = parameter([5.0], grad=1e6, lr_mult=0.0)
    SGD([a, fixed, b], lr=0.1, momentum=0.0, clip_gradients=clip).step()
    np.testing.assert_allclose(a.data, [-0.3 * scale, -0.4 * scale], rtol=1e-12)
    np.testing.assert_allclose(b.data, [[-2.4 * scale]], rtol=1e-12)
    np.testing.assert_array_equal(fixed.data, [5.0])
    np.testing.assert_array_equal(a.grad, [3.0, 4.0])


def test_clipping_leaves_weight_decay_and_momentum_alone():
    w = parameter([2.0], grad=10.0)
    optimizer = SGD([w], lr=0.1, momentum=0.5, weight_decay=0.1, clip_gradients=1.0)
    optimizer.step()
    np.testing.assert_allclose(w.data, [2 - 0.1 * (1 + 0.1 * 2)], rtol=1e-12)
    w.grad[...] = 0
    optimizer.step()
    np.testing.assert_allclose(w.data, [1.88 - (0.06 + 0.1 * 0.1 * 1.88)], rtol=1e-12)


def test_the_norm_of_a_gradient_is_that_of_all_its_pieces(monkeypatch):
    monkeypatch.setattr(optim, "PIECE", 4)
    w = Parameter(np.zeros((3, 3)))
    w.grad[...] = np.arange(9).reshape(3, 3)
    SGD([w], lr=1.0, momentum=0.0, clip_gradients=1.0).step()
    np.testing.assert_allclose(w.data, -w.grad / np.sqrt(204))


def test_very_large_gradients_are_clipped_too():
    # The square of 1e20 is beyond float32, and clipping is there for just such gradients.
    w = parameter([0.0, 0.0], grad=[3e20, -4e20], dtype=np.float32)
    SGD([w], lr=1.0, momentum=0.0, clip_gradients=1.0).step()
    np.testing.assert_allclose(w.data, [-0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("clip, moves", [(None, 2.0), (1.0, 1.0)])
def test_a_parameter_that_two_layers_share_moves_once_in_a_step(clip, moves):
    first, second = (Linear(1, 1, bias=False, dtype=np.float64) for _ in range(2))
    second.weight = first.weight
    optimizer = SGD([*first.parameters(), *second.parameters()], 0.1, 0.5, clip_gradients=clip)
    assert len(optimizer.velocities) == 1
    first.weight.data[...] = 1
    for layer in (first, second):
        layer(np.ones((1, 1)))
        layer.backward(np.ones((1, 1)))
    optimizer.step()  # by the sum of both gradients, whose norm counts once
    assert first.weight.data.item() == pytest.approx(1 - 0.1 * moves)
    assert second.weight.data.item() == first.weight.data.item()


def test_a_learning_rate_of_zero_moves_nothing():
    w = parameter([1.0, -2.0], grad=3.0)
    optimizer = SGD([w], lr=0, momentum=0, weight_decay=0)
    for _ in range(2):
        optimizer.step()
    assert w.data.tolist() == [1, -2]
    optimizer.lr = 0.5
    optimizer.step()
    assert w.data.tolist() == [-0.5, -3.5]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"lr": 0.1, "clip_gradients": 0.0}, "clip_gradients"),
        ({"lr": 0.1, "clip_gradients": -1.0}, "clip_gradients"),
        ({"lr": -0.1}, "lr"),
        ({"lr": 0.1, "momentum": 1.0}, "momentum"),
        ({"lr": 0.1, "momentum": -0.1}, "momentum"),
        ({"lr": 0.1, "momentum": float("nan")}, "momentum"),
        ({"lr": 0.1, "weight_decay": -1e-4}, "weight_decay"),
    ],
)
def test_bad_arguments_are_an_error(arguments, words):
    with pytest.raises(ValueError, match=words):
        SGD([parameter([1.0])], **arguments)


@pytest.mark.parametrize("arguments", [{"lr": np.nan}, {"lr": 0.1, "weight_decay": np.nan}])
def test_a_rate_that_is_no_number_is_an_error(arguments):
    with pytest.raises(ValueError, match="lr and weight_decay"):
        SGD([parameter([1.0])], **arguments)


@pytest.mark.parametrize("empty", [[], (), iter([])])
def test_no_parameters_are_an_error(empty):
    with pytest.raises(ValueError, match="parameter"):
        SGD(empty, lr=0.1)
