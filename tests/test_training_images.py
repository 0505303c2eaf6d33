"""The images of a step: toy images, and those of a folder."""

import dataclasses

import numpy as np
import pytest
from labeled_folder import write_folder

from fcn_numpy.models import TINY, FCN8s
from fcn_numpy.training import OwnData, Settings
from fcn_numpy.training.gradients import PARTS
from fcn_numpy.training.images import FolderImages, ToyImages
from fcn_numpy.training.part import Part


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("own"), listed=True)


def test_mirroring_keeps_images_and_labels_together():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    labels = images[:, 0].astype(np.uint8)
    toy_images = ToyImages(Settings(), Part())
    toy_images.whole = images, labels
    x, y = toy_images.batch(64, np.random.default_rng(0), None)
    np.testing.assert_array_equal(x[:, 0].astype(np.uint8), y)
    assert 10 < (x[:, 0, 0, 0] > x[:, 0, 0, 1]).sum() < 54
    np.testing.assert_array_equal(images, np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4))


def test_held_out_images_are_never_trained_on():
    settings = dataclasses.replace(Settings(), n_train=8)
    held_out = [x for x, _ in ToyImages(settings, Part()).held_out(4, 0)]
    assert len(held_out) == 4
    for number in range(PARTS):
        trained, _ = ToyImages(settings, Part(number, PARTS)).whole
        for image in held_out:
            assert not (trained == image).all(axis=(1, 2, 3)).any()


def images_of(folder, settings):
    data = OwnData.open(folder)
    return FolderImages(settings, data, Part()), data


def test_whole_images_are_extended_to_one_size(folder):
    images, data = images_of(folder, dataclasses.replace(Settings(), size=None, flip=False))
    model = FCN8s(4, TINY, rng=np.random.default_rng(0))
    x, y = images.batch(5, np.random.default_rng(0), model)
    assert x.dtype == np.float32 and y.dtype == np.uint8
    assert x.shape[2:] == y.shape[1:] and model.takes(x.shape[2:])
    for image, labels in zip(x, y):
        originals = [
            i for i in range(len(data.train))
            if data.train[i][0].shape[1] <= image.shape[1]
            and data.train[i][0].shape[2] <= image.shape[2]
            and np.array_equal(
                data.train[i][0],
                image[:, : data.train[i][0].shape[1], : data.train[i][0].shape[2]],
            )
        ]
        assert len(originals) == 1
        truth = data.train[originals[0]][1]
        np.testing.assert_array_equal(labels[: truth.shape[0], : truth.shape[1]], truth)
        assert (labels[truth.shape[0] :] == 255).all()
        assert (labels[:, truth.shape[1] :] == 255).all()


def test_flips_take_the_labels_along(folder):
    model = FCN8s(4, TINY, rng=np.random.default_rng(0))
    plain, data = images_of(folder, dataclasses.replace(Settings(), size=None, flip=False))
    flipping, _ = images_of(folder, dataclasses.replace(Settings(), size=None, flip=True))
    seen = set()
    for seed in range(20):
        x, y = flipping.batch(1, np.random.default_rng(seed), model)
        h, w = y.shape[1:]
        index = int(np.random.default_rng(seed).integers(len(data.train), size=1)[0])
        image, labels = data.train[index]
        for mirrored in (False, True):
            step = -1 if mirrored else 1
            if np.array_equal(x[0, :, : image.shape[1], : image.shape[2]], image[..., ::step]):
                np.testing.assert_array_equal(
                    y[0, : labels.shape[0], : labels.shape[1]], labels[:, ::step]
                )
                seen.add(mirrored)
    assert seen == {False, True}
    assert plain.batch(1, np.random.default_rng(0), model)[0].shape[0] == 1


def test_crops_have_the_size_asked_for(folder):
    images, _ = images_of(folder, dataclasses.replace(Settings(), size=50))
    model = FCN8s(4, TINY, rng=np.random.default_rng(0))
    x, y = images.batch(3, np.random.default_rng(0), model)
    assert model.takes(50)
    assert x.shape == (3, 3, 50, 50) and y.shape == (3, 50, 50)


def test_windows_for_the_classifier(folder):
    images, _ = images_of(folder, Settings())
    x, y = images.windows(40, np.random.default_rng(0))
    assert x.shape == (40, 3, 72, 72) and y.shape == (40,)
    assert set(y.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", [0, 1, 10**9, 2 * 10**9, 2**32])
@pytest.mark.parametrize("count", [1, 2])
def test_no_held_out_toy_image_is_trained_on(seed, count):
    """Whichever seeds are given for the two: sums of a seed and an offset would meet."""
    settings = dataclasses.replace(Settings(), seed=seed, n_train=4)
    trained = {
        image.tobytes() for number in range(count)
        for image in ToyImages(settings, Part(number, count)).whole[0]
    }
    for other in (0, 1, 10**9, 2 * 10**9, 2**32):
        held_out = ToyImages(settings, Part()).held_out(4, other)
        assert not trained & {image.tobytes() for image, _ in held_out}
