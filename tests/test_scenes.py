"""Toy scenes: the far end of the image, and nothing else, tells the class of the disc."""

import numpy as np
import pytest

from fcn_numpy.data import toy_scenes
from fcn_numpy.data.scenes import SCENE_SIZE
from fcn_numpy.geometry import trace
from fcn_numpy.models import TINY, FCN8s
from fcn_numpy.paper.scenes import train_on_scenes


@pytest.fixture(scope="module")
def scenes():
    return toy_scenes(200, seed=3)


def test_shapes_and_ranges(scenes):
    images, labels = scenes
    assert images.shape == (200, 3, *SCENE_SIZE) and images.dtype == np.float32
    assert labels.shape == (200, *SCENE_SIZE) and labels.dtype == np.uint8
    assert images.min() >= 0 and images.max() <= 1
    assert all(set(np.unique(label)) in ({0, 1}, {0, 2}) for label in labels)
    assert 70 < sum((label == 1).any() for label in labels) < 130


def test_the_same_on_each_call_and_for_any_number():
    images, labels = toy_scenes(5, seed=7)
    again, _ = toy_scenes(3, seed=7)
    assert np.array_equal(images[:3], again)
    assert not np.array_equal(images, toy_scenes(5, seed=8)[0])
    assert labels.any(axis=(1, 2)).all()


def upright(images, labels):
    """Mirror images so that the disc is at the left."""
    left = labels[:, :, : labels.shape[2] // 2].any(axis=(1, 2))
    images, labels = images.copy(), labels.copy()
    images[~left], labels[~left] = images[~left, ..., ::-1], labels[~left, :, ::-1]
    return images, labels, left


def test_the_stripes_tell_and_lie_out_of_sight(scenes):
    images, labels, left = upright(*scenes)
    assert 70 < left.sum() < 130
    ends = images[..., -64:].astype(float)
    across, along = (np.abs(np.diff(ends, axis=a)).mean(axis=(1, 2, 3)) for a in (2, 3))
    is_sun = (labels == 1).any(axis=(1, 2))
    assert np.array_equal(across > along, is_sun)
    last_disc = np.flatnonzero((labels > 0).any(axis=(0, 1))).max()
    first_stripe = SCENE_SIZE[1] - 64
    model = FCN8s(3, TINY, rng=np.random.default_rng(0))
    field = max(step.output.grid.columns.field for step in trace(model, SCENE_SIZE))
    assert first_stripe - last_disc > field / 2


def means(images, where):
    """Mean color of each image where a mask is set."""
    return (images * where).sum(axis=(2, 3)) / where.sum(axis=(2, 3))


def test_nothing_else_tells(scenes):
    """Means over what is not the far end differ between the classes by chance only."""
    images, labels, _ = upright(*scenes)
    is_sun = (labels == 1).any(axis=(1, 2))
    near = images[..., :-64].astype(float)
    disc = labels[:, None, :, :-64] > 0
    features = {
        "mean": near.mean(axis=(1, 2, 3)),
        "size of the disc": disc.mean(axis=(1, 2, 3)),
        "disc": means(near, disc).mean(axis=1),
        "contrast of the disc": np.abs(means(near, disc) - means(near, ~disc)).mean(axis=1),
        "mean of all": images.mean(axis=(1, 2, 3), dtype=float),
    }
    for name, values in features.items():
        sun, ball = values[is_sun], values[~is_sun]
        error = np.sqrt(sun.var() / len(sun) + ball.var() / len(ball))
        assert abs(sun.mean() - ball.mean()) < 4 * error, name


@pytest.mark.parametrize(
    ("size", "message"), [((64, 319), "5 times as wide as high, got"), (8, "expected size")]
)
def test_wrong_sizes_are_named(size, message):
    with pytest.raises(ValueError, match=message):
        toy_scenes(1, size)


@pytest.mark.parametrize("context", [False, True])
def test_training_runs_and_is_repeatable(context):
    losses, again = [], []
    model, scores = train_on_scenes(
        context, steps=3, n_train=4, n_test=2, report=lambda step, loss: losses.append(loss)
    )
    train_on_scenes(
        context, steps=3, n_train=4, n_test=2, report=lambda step, loss: again.append(loss)
    )
    assert losses == again and len(losses) == 3 and losses[-1] < losses[0]
    assert hasattr(model, "context") == context
    assert 0 < scores.mean_iu < 1


@pytest.mark.parametrize("distance", [0, 80, 208])
def test_stripes_at_a_distance(distance):
    images, labels, _ = upright(*toy_scenes(40, seed=3, distance=distance))
    first = 80 + distance  # the disc is in the first 80 columns
    assert np.flatnonzero((labels > 0).any(axis=(0, 1))).max() < 80
    # How much each column differs from image to image, less what its background does.
    rough = (images - images.mean(axis=(2, 3), keepdims=True)).std(axis=(0, 1, 2))
    striped = rough[80:] > 0.12
    np.testing.assert_array_equal(np.flatnonzero(striped) + 80, np.arange(first, first + 64))


def test_the_default_distance_is_the_largest():
    for one, other in zip(toy_scenes(3), toy_scenes(3, distance=208)):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="expected a distance of at most 208, got 209"):
        toy_scenes(1, distance=209)
    with pytest.raises(ValueError, match="distance"):
        toy_scenes(1, distance=-1)
