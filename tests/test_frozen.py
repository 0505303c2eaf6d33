"""A frozen network: the scores of its model, and never those of weights that have changed."""

import contextlib
import copy
import functools
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from backbones import OverShort, Short, ThinAlexNet
from references import assert_close
from test_backbone import OverResidual, Residual

from fcn_numpy import nn
from fcn_numpy.convolution import algorithm
from fcn_numpy.fast import FrozenConv, memory
from fcn_numpy.models import (
    TINY,
    Backbone,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    Frozen,
    LateFusion,
    PyramidPooling,
    Segmenter,
)
from fcn_numpy.optim import SGD

IMAGE = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)


def make(kind=FCN8s, backbone=TINY, dtype=np.float32, seed=1, **options):
    rng = np.random.default_rng(seed)
    classes = {} if "heads" in options else {"n_class": 4}
    model = kind(backbone=backbone, dtype=dtype, rng=rng, **classes, **options)
    for parameter in model.parameters():
        if not parameter.data.any():
            parameter.data[...] = 0.1 * rng.standard_normal(parameter.data.shape)
    return model


class Grouped(Backbone):
    """Convolutions with groups, large ones and small ones, and pools of both kinds after them."""

    name, fc_width, fc_kernel, pad = "Grouped", 16, 3, 17

    def __init__(self, *, dtype, rng):
        conv = functools.partial(nn.Conv2d, dtype=dtype, rng=rng)
        layers = [
            conv(3, 128, 3, 2, self.pad), nn.ReLU(),
            conv(128, 136, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            # All channels of it would be enough for Winograd's algorithm, those of a group are not.
            conv(136, 132, 3, padding=1, groups=4), nn.ReLU(),
            conv(132, 20, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(2),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, image):
        return {"last": self.layers(image)}

    def backward(self, grads):
        return self.layers.backward(grads["last"])


def late_fusion(backbone=Short, dtype=np.float32):
    color, hha = make(FCN32s, backbone, dtype), make(FCN32s, backbone, dtype, 2, in_channels=1)
    return LateFusion(color, hha)


HEADS = {"sem": 4, "geo": 3}
NETWORKS = {
    "fcn32s": lambda: make(FCN32s),
    "fcn16s": lambda: make(FCN16s),
    "fcn8s": lambda: make(FCN8s),
    "at once": lambda: make(FCN8sAtOnce),
    "another backbone": lambda: make(OverResidual, Residual),
    "context": lambda: make(context=PyramidPooling(128, rng=np.random.default_rng(2))),
    "groups": lambda: make(FCN32s, Grouped),
    "alexnet": lambda: make(FCN32s, ThinAlexNet),
    "heads": lambda: make(FCN8sAtOnce, heads=HEADS),
    "early fusion": lambda: make(FCN32s, Short, in_channels=4),
    "late fusion": late_fusion,
}


def draw(model, n, *size, rng):
    """Draw images, one for each input of a model, as bright as its backbone has them."""
    scale = 50 if model.backbone.preprocessing == "subtract_mean" else 1
    shapes = [(n, channels, *size) for channels in model.inputs.values()]
    return [scale * rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def by_head(scores):
    return scores if isinstance(scores, dict) else {"scores": scores}


@pytest.mark.parametrize("name", NETWORKS)
def test_its_scores_are_the_models_at_any_size_and_in_any_order(name):
    model = NETWORKS[name]()
    rng = np.random.default_rng(3)
    images = []
    for n, *size in [(1, 64, 64), (2, 128, 65), (3, 64, 64), (1, 65, 200), (1, 64, 64)]:
        h, w = (next(k for k in itertools.count(m) if model.takes(k)) for m in size)
        images.append(draw(model, n, h, w, rng=rng))
    copies = copy.deepcopy(images)
    expected = [by_head(model.eval()(*each)) for each in images]
    with Frozen(model) as network:
        # All at the end: a later call must not write into the scores of an earlier one.
        scores = [by_head(network(*each)) for each in images]
    for one, other, each, before in zip(scores, expected, images, copies):
        for image, untouched in zip(each, before):
            np.testing.assert_array_equal(image, untouched)
        assert list(one) == list(other) == list(model.heads or ["scores"])
        for name in one:
            assert np.ptp(other[name]) > 0.1
            assert_close(one[name], other[name], 1e-5)


def test_groups_are_frozen_each_in_its_own_way():
    with Frozen(make(FCN32s, Grouped)) as network:
        convs = [op.function for op in network._operations if type(op.function) is FrozenConv]
        ways = [(conv.by_winograd, len(conv.groups), conv.pool) for conv in convs[:4]]
    assert ways == [(False, 1, False), (True, 2, True), (False, 4, False), (False, 2, True)]


def test_it_is_in_eval_mode_and_says_what_it_takes():
    model = make()
    with Frozen(model) as network:
        assert not model.training
        assert (network.n_class, network.backbone, network.takes(64)) == (4, TINY, True)
        with pytest.raises(ValueError, match=r"FCN8s: image to be .* shape \(N, 3, H, W\)"):
            network(IMAGE[0])
        with pytest.raises(ValueError, match="float32, the dtype of the parameters, got float64"):
            network(IMAGE.astype(np.float64))
        with pytest.raises(ValueError, match="takes"):
            network(IMAGE[:, :, :1])
        assert (network.heads, network.inputs) == ({}, {"image": 3})


def test_it_says_which_images_and_heads_it_has():
    with Frozen(make(FCN32s, Short, heads=HEADS)) as network:
        assert (network.heads, network.n_class) == (HEADS, 7)
    with Frozen(late_fusion()) as network:
        assert network.inputs == {"color": 3, "hha": 1}
        color, hha = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 1, 8, 8), np.float32)
        assert network(color, hha).shape == (1, 4, 8, 8)
        with pytest.raises(TypeError, match="LateFusion takes color and hha, got 1 arrays"):
            network(color)
        for wrong in (hha[:, :, :7], np.concatenate([hha, hha]), color):
            with pytest.raises(ValueError, match=r"LateFusion: hha .* shape \(1, 1, 8, 8\), got"):
                network(color, wrong)
        for wrong in ((color.astype(np.float64), hha), (color, hha.astype(np.float64))):
            with pytest.raises(ValueError, match="expected images of float32.* got float64"):
                network(*wrong)


@pytest.mark.parametrize("name", ["plain", "im2col"])
def test_an_algorithm_is_respected(name):
    model = make().eval()
    with algorithm(name):
        expected = model(IMAGE)
        with Frozen(model) as network:
            np.testing.assert_array_equal(network(IMAGE), expected)
    with Frozen(model) as network, algorithm(name):
        np.testing.assert_array_equal(network(IMAGE), expected)


def test_float64_is_the_models():
    model = make(dtype=np.float64).eval()
    image = IMAGE.astype(np.float64)
    with Frozen(model) as network:
        np.testing.assert_array_equal(network(image), model(image))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "build",
    [functools.partial(make, OverShort, heads=HEADS), late_fusion],
    ids=["heads", "late fusion"],
)
def test_the_model_computes_heads_and_two_images_where_it_computes(build, dtype):
    model = build(backbone=Short, dtype=dtype).eval()
    images = [x.astype(dtype) for x in draw(model, 2, 8, 12, rng=np.random.default_rng(0))]
    with algorithm("plain" if dtype == np.float32 else "auto"):
        expected = by_head(model(*images))
        with Frozen(model) as network:
            scores = by_head(network(*images))
    assert list(scores) == list(expected)
    for name in scores:
        np.testing.assert_array_equal(scores[name], expected[name])


# --- Weights -------------------------------------------------------------------------------


LAYERS = ["conv1_1", "conv4_2", "fc6", "fc7", "score_fr"]


def writes(model):
    yield lambda: model.conv3_2.weight.data.__setitem__(0, 1)
    yield lambda: model.conv3_2.bias.data.__iadd__(1)
    yield lambda: model.load_state_dict(model.state_dict())
    yield lambda: SGD(model.parameters(), 0.1).step()


@pytest.mark.parametrize("n", range(4))
def test_a_write_is_an_error(n):
    model = make()
    with Frozen(model), pytest.raises(ValueError, match="read-only"):
        list(writes(model))[n]()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("fails", [False, True])
def test_after_the_block_weights_can_be_written_and_count(layer, fails):
    model = make()
    frozen = Frozen(model)
    try:
        with frozen as network:
            before = network(IMAGE)
            if fails:
                raise KeyError
    except KeyError:
        pass
    getattr(model, layer).weight.data[...] *= 2
    with frozen as network:
        after = network(IMAGE)
    assert_close(after, model(IMAGE), 1e-5)
    assert np.abs(after - before).max() > 0.01 * np.abs(before).max()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_view_from_before_gives_no_old_answer(layer):
    model = make()
    view = getattr(model, layer).weight.data[:]
    with Frozen(model) as network:
        network(IMAGE)
        view[...] *= 3
        assert_close(network(IMAGE), model(IMAGE), 1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_replaced_weight_is_an_error(layer):
    model = make()
    parameter = getattr(model, layer).weight
    with Frozen(model) as network:
        parameter.data = np.zeros_like(parameter.data)
        with pytest.raises(RuntimeError, match=f"{layer}.weight was replaced or made writable"):
            network(IMAGE)


def test_a_weight_made_writable_is_an_error():
    model = make()
    with Frozen(model) as network:
        model.conv4_2.weight.data.flags.writeable = True
        with pytest.raises(RuntimeError, match="conv4_2.weight was replaced or made writable"):
            network(IMAGE)


def test_weights_that_were_read_only_stay_so():
    model = make()
    model.fc7.weight.data.flags.writeable = False
    with Frozen(model):
        pass
    assert not model.fc7.weight.data.flags.writeable
    assert model.fc6.weight.data.flags.writeable


def test_a_shared_parameter_and_a_shared_array():
    model = make()
    model.conv5_3.weight.data[...] = model.conv5_2.weight.data
    vars(model.conv5_3)["weight"] = model.conv5_2.weight
    model.conv5_2.bias.data = model.conv5_1.bias.data
    expected = model.eval()(IMAGE)
    with Frozen(model) as network:
        assert_close(network(IMAGE), expected, 1e-5)
    assert all(p.data.flags.writeable for p in model.parameters())


def test_what_fails_to_freeze_can_be_written(monkeypatch):
    def fail(*arguments):
        raise MemoryError

    model = make()
    monkeypatch.setattr("fcn_numpy.models.frozen.trace_all", fail)
    with pytest.raises(MemoryError), Frozen(model):
        pass
    assert all(p.data.flags.writeable for p in model.parameters())


def test_it_computes_in_its_block_alone():
    frozen = Frozen(make())
    with pytest.raises(RuntimeError, match="inside its with block"):
        frozen(IMAGE)
    with frozen, pytest.raises(RuntimeError, match="frozen already"), frozen:
        pass


def test_several_threads_can_use_it_at_once():
    model = make()
    images = np.random.default_rng(4).standard_normal((12, 1, 3, 64, 64), dtype=np.float32)
    with Frozen(model) as network:
        expected = [network(image) for image in images]
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                for one, other in zip(pool.map(network, images), expected):
                    np.testing.assert_array_equal(one, other)


def test_two_threads_never_get_the_same_memory(monkeypatch):
    maps = memory.Maps()
    maps.give_back(maps.take((1000,)))
    both = threading.Barrier(2)

    def choose(*choices, **options):
        best = min(*choices, **options)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # passes only if two threads choose at once
        return best

    monkeypatch.setattr(memory, "min", choose, raising=False)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(maps.take, [(1000,)] * 2)
    assert not np.shares_memory(one, other)


def test_memory_does_not_grow_with_the_number_of_sizes():
    """Ever larger images leave no more behind than the largest alone."""
    kept = []
    for sizes in ([256], range(64, 257, 32)):
        with Frozen(make()) as network:
            for size in sizes:
                network(np.zeros((1, 3, size, size), np.float32))
            kept.append(sum(memory.nbytes for memory in network._maps._free))
    assert kept[1] <= 1.5 * kept[0]


class Branches(FCN32s):
    """A network with a view that outlives its layer, and a map that is rectified and also used."""

    def _segment(self, image):
        scores = super()._segment(image)
        if not hasattr(self, "first"):  # while it is built
            return scores
        x = self.first(image)
        view = self.view(x, image)
        other = self.second(self.third(image))
        return self.add(scores, self.join(view, self.add_other(other, self.rectify(other))))


class Views(Segmenter):
    """Heads whose scores are a convolution's output, and a view of one."""

    def __init__(self):
        self.heads, self.n_class = {"a": 2, "b": 3}, 5
        self.inputs, self.backbone = {"image": 3}, TINY
        rng = np.random.default_rng(0)
        self.conv_a, self.conv_b = nn.Conv2d(3, 2, 3, padding=1, rng=rng), nn.Conv2d(3, 3, 1)
        self.crop = nn.Crop(0)
        self._find_sizes((Fraction(1), Fraction(1)))

    def _segment(self, image):
        return {"a": self.conv_a(image), "b": self.crop(self.conv_b(image), image)}


def test_no_call_writes_into_the_scores_of_an_earlier_one():
    model = Views()
    images = np.random.default_rng(1).standard_normal((3, 1, 3, 6, 7), dtype=np.float32)
    expected = [model.eval()(image) for image in images]
    with Frozen(model) as network:
        scores = [network(image) for image in images]
    for one, other in zip(scores, expected):
        for name in ("a", "b"):
            assert_close(one[name], other[name], 1e-6)


def test_views_and_branches():
    model = make(Branches)
    rng = np.random.default_rng(5)
    for name in ("first", "second", "third"):
        channels = 3 if name != "second" else 4
        setattr(model, name, nn.Conv2d(channels, 4, 3, padding=1, rng=rng))
    model.view, model.rectify = nn.Crop(0), nn.ReLU()
    model.add, model.add_other, model.join = nn.Sum(), nn.Sum(), nn.Sum()
    expected = model.eval()(IMAGE)
    with Frozen(model) as network:
        for _ in range(2):
            assert_close(network(IMAGE), expected, 1e-5)
