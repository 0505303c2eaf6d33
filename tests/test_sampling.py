"""Loss sampling: right on average, and the same thing as training on patches (section 3.4)."""

import numpy as np
import pytest

from fcn_numpy.geometry import trace
from fcn_numpy.gradcheck import gradcheck
from fcn_numpy.nn import Conv2d, LossSampling, ReLU, Sequential, SoftmaxCrossEntropy

pytestmark = pytest.mark.usefixtures("both_algorithms")


def generator(seed=0):
    return np.random.default_rng(seed)


def scores_and_labels(shape=(2, 3, 6, 5), dtype=np.float64):
    rng = generator(1)
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    labels.flat[::7] = 255
    return rng.standard_normal(shape).astype(dtype), labels


def loss_and_grad(layer, scores, labels):
    return layer(scores, labels), layer.backward()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("p", [0.25, 0.5, 0.9])
def test_the_mean_over_masks_is_the_whole_image(p, reduction):
    """Within 4 standard errors, which without the 1/p the numbers are far from."""
    scores, labels = scores_and_labels()
    layer = SoftmaxCrossEntropy(reduction=reduction, sampling=LossSampling(p, generator()))
    draws = [loss_and_grad(layer, scores, labels) for _ in range(1000)]
    whole = loss_and_grad(SoftmaxCrossEntropy(reduction=reduction), scores, labels)
    losses, grads = (np.array(values) for values in zip(*draws))

    def standard_errors(values, expected):
        return (values.mean(axis=0) - expected) / (values.std(axis=0, ddof=1) / np.sqrt(1000))

    assert abs(standard_errors(losses, whole[0])) < 4
    # Pixels are drawn each by itself: their distances are like so many normal numbers.
    counted = np.broadcast_to((labels != 255)[:, None], scores.shape)
    distances = standard_errors(grads[:, counted], whole[1][counted])
    assert np.abs(distances).max() < 4
    assert np.sqrt(np.mean(distances**2)) < 1.5
    np.testing.assert_array_equal(grads[:, ~counted], 0)
    # As a sum over pixels the error is smaller, so that a wrong factor shows even more.
    along = whole[1].ravel()
    assert abs(standard_errors(grads.reshape(1000, -1) @ along, along @ along)) < 4


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_each_pixel_is_kept_by_itself(reduction):
    """A pixel's gradient is 1/p times its own, or 0; a share p of them is kept."""
    scores, labels = scores_and_labels((2, 3, 60, 50))
    layer = SoftmaxCrossEntropy(reduction=reduction, sampling=LossSampling(0.25, generator()))
    _, grad = loss_and_grad(layer, scores, labels)
    _, whole = loss_and_grad(SoftmaxCrossEntropy(reduction=reduction), scores, labels)
    kept = (grad != 0).any(axis=1)
    np.testing.assert_allclose(grad, 4 * whole * kept[:, None], rtol=1e-12)
    n = (labels != 255).sum()
    assert abs(kept[labels != 255].sum() - n / 4) < 4 * np.sqrt(n * 0.25 * 0.75)
    # Neighbors are no likelier to be kept together, nor are the two images.
    both = labels[:, :, 1:] != 255
    both &= labels[:, :, :-1] != 255
    pairs = (kept[:, :, 1:] & kept[:, :, :-1])[both]
    assert abs(pairs.mean() - 1 / 16) < 4 * np.sqrt(1 / 16 / len(pairs))
    assert not np.array_equal(kept[0], kept[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [None, [0.5, 2, 1]])
def test_p_of_1_is_without(dtype, weight):
    scores, labels = scores_and_labels(dtype=dtype)
    rng = generator()
    before = rng.bit_generator.state
    sampled = SoftmaxCrossEntropy(weight=weight, sampling=LossSampling(1, rng))
    loss, grad = loss_and_grad(sampled, scores, labels)
    expected = loss_and_grad(SoftmaxCrossEntropy(weight=weight), scores, labels)
    assert loss == expected[0]
    assert grad.dtype == dtype
    np.testing.assert_array_equal(grad, expected[1])
    assert rng.bit_generator.state == before


def test_in_eval_mode_nothing_is_drawn():
    scores, labels = scores_and_labels()
    rng = generator()
    before = rng.bit_generator.state
    layer = SoftmaxCrossEntropy(sampling=LossSampling(0.5, rng)).eval()
    assert layer(scores, labels) == SoftmaxCrossEntropy()(scores, labels)
    assert rng.bit_generator.state == before
    assert layer.train()(scores, labels) != SoftmaxCrossEntropy()(scores, labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_generator_gives_the_same_masks(dtype):
    scores, labels = scores_and_labels(dtype=dtype)
    one, two = (
        SoftmaxCrossEntropy(sampling=LossSampling(0.5, generator(seed=7))) for _ in range(2)
    )
    first, second = (loss_and_grad(one, scores, labels)[1] for _ in range(2))
    assert first.dtype == dtype
    np.testing.assert_array_equal(first, loss_and_grad(two, scores, labels)[1])
    np.testing.assert_array_equal(second, loss_and_grad(two, scores, labels)[1])
    assert not np.array_equal(first, second)


def test_nothing_labeled():
    layer = SoftmaxCrossEntropy(sampling=LossSampling(0.5, generator()))
    loss, grad = loss_and_grad(layer, np.ones((1, 3, 2, 2)), np.full((1, 2, 2), 255))
    assert loss == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradcheck(reduction):
    scores, labels = scores_and_labels((1, 3, 4, 3))
    layer = SoftmaxCrossEntropy(
        reduction=reduction, weight=[1, 2, 0.5], sampling=LossSampling(0.5, generator())
    )
    report = gradcheck(layer, scores, labels, rng=generator())
    assert report.checked == scores.size


# ------------------------------------------------------------------------------------ patches


def small_net():
    """Unpadded convolutions, so that an output cell sees its receptive field and no border."""
    rng, options = generator(2), {"dtype": np.float64}
    return Sequential(
        Conv2d(3, 5, 3, stride=2, rng=rng, **options), ReLU(),
        Conv2d(5, 4, 3, rng=rng, **options), ReLU(),
        Conv2d(4, 3, 1, rng=rng, **options),
    )


def gradients(net, loss_of, images, labels):
    net.zero_grad()
    loss = loss_of(net(images), labels)
    net.backward(loss_of.backward())
    return loss, [p.grad.copy() for p in net.parameters()]


def patches(net, images, labels, cells):
    """Cut out the receptive field of each cell: an image of its own, with the cell's label."""
    grid = trace(net, images.shape[2:])[-1].output.grid
    (size, _), (stride, _) = grid.field, (int(s) for s in grid.scale)
    xs = [images[n, :, i * stride : i * stride + size, j * stride : j * stride + size]
          for n, i, j in cells]
    return np.array(xs), np.array([labels[tuple(cell)] for cell in cells]).reshape(-1, 1, 1)


def case():
    net, images = small_net(), generator(3).standard_normal((2, 3, 19, 17))
    scores = net(images)
    labels = generator(4).integers(0, 3, (2, *scores.shape[2:]))
    labels[0, 2, 1:4] = 255
    return net, images, labels


def assert_same_gradients(got, expected):
    assert got[0] == pytest.approx(expected[0], rel=1e-10)
    for a, b in zip(got[1], expected[1]):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_patches_are_a_masked_image(reduction):
    net, images, labels = case()
    chosen = generator(5).random(labels.shape) < 0.3
    masked = np.where(chosen, labels, 255)
    cells = np.argwhere(masked != 255)
    assert 10 < len(cells) < labels.size / 2
    xs, ys = patches(net, images, labels, cells)
    assert net(xs).shape == (len(cells), 3, 1, 1)
    loss_of = SoftmaxCrossEntropy(reduction=reduction)
    assert_same_gradients(
        gradients(net, loss_of, xs, ys), gradients(net, loss_of, images, masked)
    )


def test_sampled_losses_are_patches_drawn_at_random():
    """The gradient with LossSampling is 1/p times that of the patches that it has kept."""
    net, images, labels = case()
    kept = LossSampling(0.3, generator(6))(np.ones(labels.shape)) > 0
    loss_of = SoftmaxCrossEntropy(reduction="sum", sampling=LossSampling(0.3, generator(6)))
    sampled = gradients(net, loss_of, images, labels)
    cells = np.argwhere(kept & (labels != 255))
    loss, grads = gradients(
        net, SoftmaxCrossEntropy(reduction="sum"), *patches(net, images, labels, cells)
    )
    assert_same_gradients(sampled, (loss / 0.3, [g / 0.3 for g in grads]))


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("p", [0, -0.5, 1.01, float("nan"), "half", None])
def test_p_must_be_a_probability(p):
    with pytest.raises(ValueError, match=r"expected p above 0 and of at most 1, got"):
        LossSampling(p)


def test_sampling_must_be_a_loss_sampling():
    with pytest.raises(ValueError, match=r"expected sampling to be a LossSampling, got 0\.5"):
        SoftmaxCrossEntropy(sampling=0.5)
