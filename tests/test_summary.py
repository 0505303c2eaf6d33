"""The table of a model's layers, and how many multiplications each of them makes."""

import numpy as np
import pytest

from fcn_numpy.geometry import trace
from fcn_numpy.models import TINY, VGG16, Classifier, FCN8s, FCN32s, LateFusion
from fcn_numpy.nn import (
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    ReLU,
    Sequential,
    skip_init,
)
from fcn_numpy.summary import multiply_adds, summary


def work(layer, size, channels):
    return multiply_adds(trace(Sequential(layer), size, channels)[0])


@pytest.mark.parametrize(("layer", "size", "cells"), [
    (Conv2d(2, 3, 3, padding=1), (5, 6), 5 * 6),
    (Conv2d(2, 3, (3, 2), 2, 1), (7, 6), 4 * 4),
    (Conv2d(2, 3, 3, dilation=2), (9, 8), 5 * 4),
    (Conv2d(2, 4, 3, groups=2), (5, 6), 3 * 4),
    # A transposed convolution spreads each cell of its input over the whole kernel.
    (ConvTranspose2d(2, 3, 4, 2), (5, 6), 5 * 6),
    (ConvTranspose2d(2, 3, 4, 3, 1, 2), (5, 6), 5 * 6),
])
def test_a_weight_is_used_once_for_each_cell(layer, size, cells):
    assert work(layer, size, 2) == layer.weight.data.size * cells


@pytest.mark.parametrize(("layer", "size", "count"), [
    # 5 channels of 3 x 2 taps to 7 channels, at 4 x 10 places.
    (Conv2d(5, 7, (3, 2)), (6, 11), 5 * 7 * 3 * 2 * 4 * 10),
    # In two groups, each of 10 channels is made of 3 of the 6.
    (Conv2d(6, 10, (3, 2), groups=2), (6, 11), 3 * 10 * 3 * 2 * 4 * 10),
    # Strides of 2 and 3 leave 3 x 4 places.
    (Conv2d(5, 7, (3, 2), (2, 3)), (7, 12), 5 * 7 * 3 * 2 * 3 * 4),
    # Of the 11 x 13 cells that it makes, each of the 5 x 4 that it is given fills a window.
    (ConvTranspose2d(3, 2, (3, 4), (2, 3)), (5, 4), 3 * 2 * 3 * 4 * 5 * 4),
])
def test_multiply_adds_by_hand_where_no_two_sizes_are_equal(layer, size, count):
    assert work(layer, size, layer.in_channels) == count


def test_other_layers_multiply_once_or_not_at_all():
    layers = Sequential(LocalResponseNorm(5), Flatten(), Linear(24, 5), ReLU())
    assert [multiply_adds(step) for step in trace(layers, (3, 4), 2)] == [0, 0, 24 * 5, 0]


def test_the_totals_are_the_sums_of_the_lines():
    model = FCN8s(4, TINY, rng=np.random.default_rng(0))
    text = summary(model, (64, 64))
    rows = [line.split() for line in text.splitlines()]
    steps = trace(model, 64)
    assert [row[0] for row in rows[1 : 1 + len(steps)]] == [step.name for step in steps]
    total = sum(multiply_adds(step) for step in steps)
    assert f"multiply-adds    {total:,} " in text
    parameters = sum(p.data.size for p in model.parameters())
    assert f"parameters       {parameters:,} " in text
    assert "crop offsets     crop_pool4 1, crop_pool3 1, crop 12" in text


def test_networks_of_several_heads_and_images_have_a_table():
    rng = np.random.default_rng(0)
    heads = FCN32s(heads={"sem": 4, "geo": 3}, backbone=TINY, in_channels=4, rng=rng)
    late = LateFusion(FCN32s(4, TINY, rng=rng), FCN32s(4, TINY, in_channels=1, rng=rng))
    for model, crops in ((heads, "crop_sem 0, crop_geo 0"), (late, "crop 0")):
        lines = summary(model, (64, 64)).splitlines()
        layers = [name for name, m in model.named_modules() if not list(m.children())]
        assert sorted(line.split()[0] for line in lines[1 : 1 + len(layers)]) == sorted(layers)
        assert f"parameters       {sum(p.data.size for p in model.parameters()):,} (" in lines[-5]
        assert lines[-1] == f"crop offsets     {crops}"


def test_vgg16_as_a_classifier_has_the_multiply_adds_that_are_published():
    """15.47 G for an image of 224 x 224, as it is counted everywhere, with 1,000 classes."""
    with skip_init():
        model = Classifier(1000, VGG16)
    total = sum(multiply_adds(step) for step in trace(model, 224))
    assert total == 15_470_264_320
