"""The FCN and its classifier: sizes, names, starting values, gradients, how weights move on."""

import copy
import gc
import weakref

import numpy as np
import pytest
from backbones import OverShort, Short, ThinAlexNet, fcn, vgg

from fcn_numpy.geometry import Grid, trace
from fcn_numpy.models import (
    ALEXNET,
    FCN,
    TINY,
    VGG16,
    Classifier,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    LateFusion,
    PyramidPooling,
    SkipNames,
    convolutionalize,
    fcn_for,
)
from fcn_numpy.nn import Dropout2d, SoftmaxCrossEntropy, bilinear_kernel, skip_init
from fcn_numpy.optim import SGD

pytestmark = pytest.mark.usefixtures("both_algorithms")

# VGG16's stages and padding, but as narrow as can be.
NARROW = vgg("NARROW", (2, 3, 3, 4, 4), (2, 2, 3, 3, 3), 5, 7, 100)
# TINY's geometry, with one channel.
THIN = vgg("THIN", (1, 1, 1, 1, 1), (2, 2, 3, 3, 3), 1, 3, 17)
MODELS = [FCN32s, FCN16s, FCN8s, FCN8sAtOnce]
# Narrow as well, but wide enough that no layer is asleep: gradients reach everything.
AWAKE = vgg("AWAKE", (4, 6, 8, 8, 8), (1, 1, 1, 1, 1), 16, 7, 100)
# The same with a window of 65 to 96 pixels and little padding.
SEEN_WHOLE = vgg("SEEN_WHOLE", (4, 6, 8, 8, 8), (1, 1, 1, 1, 1), 16, 3, 17)


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0, dtype=np.float32):
    return rng(seed).standard_normal(shape).astype(dtype)


def randomized(model, seed=9):
    """Give the parameters that start at zero, scores and biases, other values."""
    draw = rng(seed)
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            p.data[...] = 0.1 + 0.1 * draw.random(p.data.shape)
        elif not p.data.any():
            p.data[...] = 0.5 * draw.standard_normal(p.data.shape)
    return model


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("both_algorithms", ["fast"], indirect=True)  # sizes alone matter
@pytest.mark.parametrize("model_class", [FCN32s, FCN16s, FCN8s])
def test_padded_by_100_every_size_comes_out_as_it_went_in(model_class):
    model = model_class(2, NARROW, rng=rng()).eval()
    sizes = [(n, n) for n in range(1, 41)] + [(1, 40), (33, 2), (64, 31), (7, 65), (20, 97)]
    got = [model(np.zeros((1, 3, *size), np.float32)).shape for size in sizes]
    assert got == [(1, 2, *size) for size in sizes]


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("size", [64, 128])
def test_tiny_takes_64_and_128(model_class, size):
    x = np.zeros((1, 3, size, size), np.float32)
    assert model_class(4, TINY, rng=rng()).eval()(x).shape == (1, 4, size, size)


def listed_sizes(message):
    """Read '1 to 3, 7' out of the message, as a set of sizes."""
    text = message.split("width of ")[1].split(" and so on")[0]
    sizes = set()
    for part in text.split(", "):
        first, *last = (int(n) for n in part.split(" to "))
        sizes.update(range(first, (last[0] if last else first) + 1))
    return sizes


@pytest.mark.parametrize("both_algorithms", ["fast"], indirect=True)  # sizes alone matter
@pytest.mark.parametrize("model_class", [FCN32s, FCN16s, FCN8s])
def test_other_sizes_are_an_error_that_lists_the_right_ones(model_class):
    model = model_class(2, THIN, rng=rng()).eval()
    with pytest.raises(ValueError, match=rf"{model_class.__name__}.*got \(32, 32\)") as info:
        model(np.zeros((1, 3, 32, 32), np.float32))
    listed = listed_sizes(str(info.value))
    assert {64, 128} <= listed
    for n in range(1, 141):
        if n in listed:
            x = np.zeros((1, 3, n, n), np.float32)
            assert model(x).shape == (1, 2, n, n)
        else:
            # The layers themselves cannot do it: the list leaves no size out.
            with pytest.raises(ValueError):
                trace(model, n)


def test_fcn8s_on_tiny_leaves_sizes_out_between_those_it_takes():
    model = FCN8s(2, THIN, rng=rng()).eval()
    with pytest.raises(ValueError, match="49 to 64, 81 to 96, 113 to 128"):
        model(np.zeros((1, 3, 65, 65), np.float32))


@pytest.mark.parametrize("size", [(64, 49), (128, 64), (50, 90)])
def test_height_and_width_may_differ(size):
    model = FCN8s(2, THIN, rng=rng()).eval()
    assert model(np.zeros((2, 3, *size), np.float32)).shape == (2, 2, *size)
    for wrong in [(size[0], 65), (65, size[1])]:
        with pytest.raises(ValueError, match="takes images"):
            model(np.zeros((2, 3, *wrong), np.float32))


@pytest.mark.parametrize("model_class", MODELS)
def test_images_of_a_batch_do_not_mix(model_class):
    model = randomized(model_class(2, AWAKE, dtype=np.float64, rng=rng())).eval()
    x = normal(3, 3, 9, 7, dtype=np.float64)
    together = model(x)
    for i in range(3):
        np.testing.assert_allclose(together[i], model(x[i : i + 1])[0], rtol=1e-10, atol=1e-12)
    assert (together[0] != together[1]).any()


# ---------------------------------------------------------------- names and shapes


def named(*layers):
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


VGG_NAMES = named(
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3",
    "conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7",
)
NAMES = {
    FCN32s: [*VGG_NAMES, *named("score_fr"), "upscore.weight"],
    FCN16s: [
        *VGG_NAMES, *named("score_fr", "score_pool4"), "upscore2.weight", "upscore16.weight",
    ],
    FCN8s: [
        *VGG_NAMES, *named("score_fr", "score_pool3", "score_pool4"),
        "upscore2.weight", "upscore8.weight", "upscore_pool4.weight",
    ],
}
NAMES[FCN8sAtOnce] = NAMES[FCN8s]


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("backbone", [NARROW, TINY])
def test_names_are_those_of_pytorch_fcn(model_class, backbone):
    state = model_class(3, backbone, rng=rng()).state_dict()
    assert sorted(state) == sorted(NAMES[model_class])


@pytest.fixture(scope="module")
def vgg16():
    """The real one: 134 million parameters, so it is built once."""
    return FCN8s(rng=rng())


def test_the_real_fcn8s_has_the_published_shapes(vgg16):
    shapes = {name: value.data.shape for name, value in vgg16.named_parameters()}
    expected, channels = {}, 3
    for stage, (width, convs) in enumerate(
        zip((64, 128, 256, 512, 512), (2, 2, 3, 3, 3)), 1
    ):
        for i in range(1, convs + 1):
            expected[f"conv{stage}_{i}.weight"] = (width, channels, 3, 3)
            expected[f"conv{stage}_{i}.bias"] = (width,)
            channels = width
    expected |= {
        "fc6.weight": (4096, 512, 7, 7), "fc6.bias": (4096,),
        "fc7.weight": (4096, 4096, 1, 1), "fc7.bias": (4096,),
        "score_fr.weight": (21, 4096, 1, 1), "score_fr.bias": (21,),
        "score_pool3.weight": (21, 256, 1, 1), "score_pool3.bias": (21,),
        "score_pool4.weight": (21, 512, 1, 1), "score_pool4.bias": (21,),
        "upscore2.weight": (21, 21, 4, 4), "upscore_pool4.weight": (21, 21, 4, 4),
        "upscore8.weight": (21, 21, 16, 16),
    }
    assert shapes == expected
    # 14,714,688 in the thirteen convolutions, 102,764,544 in fc6, 16,781,312 in fc7, 86,037 +
    # 10,773 + 5,397 in the scores, 2 * 7,056 + 112,896 in the upsampling.
    assert sum(p.data.size for p in vgg16.parameters()) == 134_489_759


def test_the_real_fcn8s_crops_at_5_9_and_31(vgg16):
    offsets = {name: m.offset for name, m in vgg16.named_modules() if hasattr(m, "offset")}
    assert offsets == {"crop_pool4": (5, 5), "crop_pool3": (9, 9), "crop": (31, 31)}
    assert vgg16.conv1_1.padding == (100, 100) and vgg16.fc6.padding == (0, 0)
    assert VGG16.pad == 100
    assert vgg16.drop6.p == vgg16.drop7.p == 0.5
    assert all(vgg16_pool.ceil_mode for vgg16_pool in (vgg16.pool1, vgg16.pool5))


def test_the_real_fcn8s_starts_as_he_has_it(vgg16):
    for name, p in vgg16.named_parameters():
        if name.startswith(("conv", "fc")) and name.endswith("weight"):
            fan_in = np.prod(p.data.shape[1:])
            sample = p.data.reshape(-1)[:200_000].astype(np.float64)
            # Four standard errors of a mean, and of a standard deviation.
            n = sample.size
            assert abs(sample.mean()) < 4 * np.sqrt(2 / fan_in / n), name
            assert sample.std() == pytest.approx(np.sqrt(2 / fan_in), rel=4 / np.sqrt(2 * n)), name


def test_the_real_fcn8s_traces_to_the_size_of_the_image(vgg16):
    for size in [(1, 1), (224, 224), (375, 500), (500, 334)]:
        assert trace(vgg16, size)[-1].output.shape == (1, 21, *size)


# ---------------------------------------------------------------- AlexNet


@pytest.fixture(scope="module")
def alexnet():
    """FCN-AlexNet in full: 59 million parameters, without values."""
    with skip_init():
        return FCN32s(21, ALEXNET)


def test_alexnet_has_the_names_and_shapes_of_the_authors(alexnet):
    shapes = {name: p.data.shape for name, p in alexnet.named_parameters()}
    weights = {
        "conv1": (96, 3, 11, 11), "conv2": (256, 48, 5, 5), "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3), "conv5": (256, 192, 3, 3), "fc6": (4096, 256, 6, 6),
        "fc7": (4096, 4096, 1, 1), "score_fr": (21, 4096, 1, 1),
    }
    expected = {}
    for name, shape in weights.items():
        expected |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    assert shapes == {**expected, "upscore.weight": (21, 21, 63, 63)}
    assert sum(p.data.size for p in alexnet.parameters()) == 58_704_590
    layers = [name for name, m in alexnet.named_modules() if not list(m.parameters())]
    assert layers == [
        "relu1", "pool1", "norm1", "relu2", "pool2", "norm2", "relu3", "relu4", "relu5", "pool5",
        "relu6", "drop6", "relu7", "drop7", "crop",
    ]


def test_alexnet_s_layers_have_the_numbers_of_the_authors(alexnet):
    assert alexnet.conv1.padding == (100, 100) and alexnet.conv1.stride == (4, 4)
    assert [getattr(alexnet, f"conv{n}").padding[0] for n in (2, 3, 4, 5)] == [2, 1, 1, 1]
    assert [getattr(alexnet, f"conv{n}").groups for n in range(1, 6)] == [1, 2, 1, 2, 2]
    for pool in (alexnet.pool1, alexnet.pool2, alexnet.pool5):
        assert (pool.kernel_size, pool.stride, pool.ceil_mode) == ((3, 3), (2, 2), True)
    for norm in (alexnet.norm1, alexnet.norm2):
        assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 1)


def test_alexnet_s_cells_lie_at_32_i_plus_13_so_the_kernel_is_63_and_the_crop_18(alexnet):
    grids = {step.name: step.output.grid for step in trace(alexnet, (227, 300))}
    fc7 = grids["fc7"]
    assert (fc7.scale, fc7.shift) == ((32, 32), (13, 13))
    # Table 1 of the paper: receptive field 355, stride 32.
    assert grids["score_fr"].field == (355, 355)
    assert alexnet.upscore.kernel_size == (63, 63) and alexnet.upscore.stride == (32, 32)
    assert alexnet.crop.offset == (18, 18)
    assert (grids["crop"].scale, grids["crop"].shift) == ((1, 1), (0, 0))
    # A kernel of 64 would put the cells between pixels.
    upsampled = {k: fc7.transpose_convolved((k, k), (32, 32)) for k in (63, 64)}
    assert upsampled[63].offset_of(Grid()) == (18, 18)
    with pytest.raises(ValueError, match=r"whole cells from 0, got \(37/2, 37/2\)"):
        upsampled[64].offset_of(Grid())


def test_alexnet_takes_all_sizes():
    model = FCN32s(2, ThinAlexNet, rng=rng()).eval()
    sizes = [(1, 2), (15, 16), (17, 18), (31, 32), (33, 34), (7, 129)]
    got = [model(np.zeros((1, 3, *size), np.float32)).shape for size in sizes]
    assert got == [(1, 2, *size) for size in sizes]
    assert all(model.takes(n) for n in (*range(1, 34), 227, 500))


def test_alexnet_offers_pool2_at_stride_16_and_has_no_pool4():
    steps = {s.name: s.output for s in trace(FCN32s(2, ThinAlexNet, rng=rng()), 64)}
    strides = {name: steps[name].grid.scale for name in ("pool1", "pool2", "pool5")}
    assert strides == {"pool1": (8, 8), "pool2": (16, 16), "pool5": (32, 32)}
    with pytest.raises(ValueError, match="from pool1 or pool2 or pool5, got pool4"):
        FCN16s(2, ThinAlexNet, rng=rng())
    fused = type("Fused", (FCN,), {
        "skips": (SkipNames("pool2", "score_pool2", "upscore2"),), "upscore_name": "upscore16",
    })
    model = randomized(fused(2, ThinAlexNet, rng=rng()))
    assert model(normal(1, 3, 40, 50)).shape == (1, 2, 40, 50)


# ---------------------------------------------------------------- several heads

HEADS = {"sem": 2, "geo": 3}


def single(state, name):
    """Return the parameters of one head and of what all heads share, without suffixes."""
    own = {}
    for key, value in state.items():
        layer, kind = key.rsplit(".", 1)
        if layer.endswith(f"_{name}"):
            own[f"{layer.removesuffix(f'_{name}')}.{kind}"] = value
        elif not layer.startswith(("score", "upscore")):
            own[key] = value
    return own


def with_heads(model_class, backbone=AWAKE, **options):
    options = {"dtype": np.float64, "dropout": 0.0, "rng": rng(), **options}
    return randomized(model_class(heads=HEADS, backbone=backbone, **options))


@pytest.mark.parametrize("model_class", MODELS)
def test_heads_compute_what_networks_of_their_own_do(model_class):
    model = with_heads(model_class)
    assert (model.heads, model.n_class) == (HEADS, 5)
    x = normal(1, 3, 9, 7, dtype=np.float64)
    scores = model(x)
    assert list(scores) == list(HEADS)
    grads = {name: normal(*y.shape, seed=1, dtype=np.float64) for name, y in scores.items()}
    grad_x = model.backward(dict(reversed(grads.items())))
    assert (grads["sem"] == normal(*scores["sem"].shape, seed=1, dtype=np.float64)).all()
    of_singles = []
    expected = dict.fromkeys(single(model.state_dict(), "sem"), 0.0)
    for name, n_class in HEADS.items():
        alone = model_class(n_class, AWAKE, dtype=np.float64, dropout=0.0, rng=rng())
        alone.load_state_dict(single(model.state_dict(), name))
        np.testing.assert_array_equal(alone(x), scores[name])
        of_singles.append(alone.backward(grads[name]))
        of_head = single({n: p.grad for n, p in model.named_parameters()}, name)
        for key, p in alone.named_parameters():
            assert p.grad.any(), key
            if key.startswith(("score", "upscore")):
                np.testing.assert_array_equal(of_head[key], p.grad, err_msg=key)
            else:
                expected[key] = expected[key] + p.grad
    np.testing.assert_allclose(grad_x, sum(of_singles), rtol=1e-9, atol=1e-12)
    for name, p in model.named_parameters():
        if name in expected:
            np.testing.assert_allclose(p.grad, expected[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("model_class, layers", [
    (FCN32s, ["score_fr_sem", "upscore_sem", "crop_sem"]),
    (FCN16s, [
        "score_fr_sem", "upscore2_sem", "score_pool4_sem", "crop_pool4_sem", "fuse_pool4_sem",
        "upscore16_sem", "crop_sem",
    ]),
    (FCN8s, [
        "score_fr_sem", "upscore2_sem", "score_pool4_sem", "crop_pool4_sem", "fuse_pool4_sem",
        "upscore_pool4_sem", "score_pool3_sem", "crop_pool3_sem", "fuse_pool3_sem",
        "upscore8_sem", "crop_sem",
    ]),
    (FCN8sAtOnce, [
        "score_fr_sem", "upscore2_sem", "scale_pool4_sem", "score_pool4_sem", "crop_pool4_sem",
        "fuse_pool4_sem", "upscore_pool4_sem", "scale_pool3_sem", "score_pool3_sem",
        "crop_pool3_sem", "fuse_pool3_sem", "upscore8_sem", "crop_sem",
    ]),
])
def test_names_of_heads_are_those_of_the_authors(model_class, layers):
    model = model_class(heads=HEADS, backbone=THIN, rng=rng())
    names = [name for name, _ in model.children()]
    assert [name for name in names if name.endswith("_sem")] == layers
    others = [name.replace("_sem", "_geo") for name in layers]
    assert [name for name in names if name.endswith("_geo")] == others
    shared = [name for name in names if not name.endswith(("_sem", "_geo"))]
    plain = [name for name, _ in model_class(2, THIN, rng=rng()).children()]
    assert shared == [name for name in plain if f"{name}_sem" not in layers]
    assert sorted(step.name for step in trace(model, 64)) == sorted(names)


@pytest.mark.parametrize("learn", [False, True])
def test_heads_start_as_ever(learn):
    model = FCN16s(heads=HEADS, backbone=NARROW, learn_upsampling=learn, rng=rng())
    parameters = dict(model.named_parameters())
    for name, n in HEADS.items():
        for layer in ("score_fr", "score_pool4"):
            weight, bias = (parameters[f"{layer}_{name}.{kind}"] for kind in ("weight", "bias"))
            assert weight.data.shape[0] == n and not weight.data.any() and not bias.data.any()
            assert (bias.lr_mult, bias.decay_mult) == (2, 0)
        for layer, kernel in (("upscore2", 4), ("upscore16", 32)):
            weight = parameters[f"{layer}_{name}.weight"]
            expected = np.eye(n)[:, :, None, None] * bilinear_kernel(kernel)
            np.testing.assert_array_equal(weight.data, expected)
            assert weight.lr_mult == learn


def test_heads_see_the_context():
    model = with_heads(OverShort, Short, context=PyramidPooling(3, (1, 2), rng=rng(1)))
    assert model.score_fr_geo.weight.data.shape == (3, 5, 1, 1)
    x = normal(1, 3, 12, 8, dtype=np.float64)
    scores = model(x)
    alone = OverShort(
        3, Short, context=PyramidPooling(3, (1, 2)), dtype=np.float64, dropout=0.0, rng=rng()
    )
    alone.load_state_dict(single(model.state_dict(), "geo"))
    np.testing.assert_array_equal(alone(x), scores["geo"])
    model.backward(scores)
    assert all(p.grad.any() for p in model.context.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda grads: {"sem": grads["sem"]},
        lambda grads: {**grads, "more": grads["sem"]},
        lambda grads: {"sem": grads["sem"], "geometric": grads["geo"]},
        lambda grads: {},
        lambda grads: grads["sem"],
        lambda grads: list(grads.values()),
        lambda grads: None,
    ],
    ids=["one", "three", "another", "none", "array", "list", "None"],
)
def test_backward_takes_a_gradient_for_each_head(wrong):
    model = with_heads(FCN32s, Short)
    grads = model(normal(1, 3, 12, 8, dtype=np.float64))
    with pytest.raises(ValueError, match="expected gradients of sem, geo, got"):
        model.backward(wrong(grads))
    assert not any(p.grad.any() for p in model.parameters())
    # And nothing of what forward kept is lost.
    assert model.backward(grads).shape == (1, 3, 12, 8)


def test_a_gradient_for_a_head_must_have_the_shape_of_its_scores():
    model = with_heads(FCN32s, Short)
    scores = model(normal(1, 3, 12, 8, dtype=np.float64))
    with pytest.raises(ValueError, match=r"grad .* \(1, 2, 12, 8\).*got.*\(1, 3, 12, 8\)"):
        model.backward({"sem": scores["geo"], "geo": scores["sem"]})


def test_a_network_without_heads_takes_no_dict():
    model = FCN32s(2, Short, rng=rng())
    for name in ("", "scores"):
        scores = model(normal(1, 3, 12, 8))
        with pytest.raises(ValueError, match="expected"):
            model.backward({name: scores})


@pytest.mark.parametrize(
    "heads",
    [
        {}, {"sem": 2}, {"": 2, "geo": 3}, {"a b": 2, "geo": 3}, {"1st": 2, "geo": 3},
        {"a.b": 2, "geo": 3}, {3: 2, "geo": 3},
    ],
    ids=str,
)
def test_heads_are_two_or_more_with_names(heads):
    with pytest.raises(ValueError, match="at least two heads, each with a Python identifier as"):
        FCN32s(heads=heads, backbone=THIN, rng=rng())


@pytest.mark.parametrize("number", [0, -1, 2.0, True, None, "2"])
def test_a_head_has_a_number_of_classes(number):
    with pytest.raises(ValueError, match="expected heads: geo to be an int of at least 1, got"):
        FCN32s(heads={"sem": 2, "geo": number}, backbone=THIN, rng=rng())


def test_heads_belong_to_the_network():
    given = dict(HEADS)
    model = FCN32s(heads=given, backbone=THIN, rng=rng())
    given["more"] = 2
    assert model.heads == HEADS
    assert FCN32s(2, THIN, rng=rng()).heads == {}


def test_with_heads_nothing_is_kept_in_eval_mode_and_float32_stays():
    model = FCN8sAtOnce(heads=HEADS, backbone=NARROW, rng=rng())
    model(normal(1, 3, 5, 5))
    scores = model.eval()(normal(1, 3, 5, 5))
    assert {y.dtype for y in scores.values()} == {np.dtype(np.float32)}
    assert [name for name, m in model.named_modules() if m._saved is not None] == []


# ---------------------------------------------------------------- more channels: early fusion


@pytest.mark.parametrize("backbone, in_channels, first, kernel", [
    (NARROW, 4, "conv1_1_bgrd", 3), (TINY, 4, "conv1_1_bgrd", 3), (NARROW, 3, "conv1_1", 3),
    (NARROW, 1, "conv1_1", 3), (NARROW, 5, "conv1_1", 3), (ThinAlexNet, 4, "conv1_bgrd", 11),
    (ThinAlexNet, 2, "conv1", 11),
])
def test_the_first_layer_of_an_image_with_depth_is_called_bgrd(
    backbone, in_channels, first, kernel
):
    model = FCN32s(3, backbone, in_channels=in_channels, rng=rng())
    names = list(model.state_dict())
    assert names[:2] == [f"{first}.weight", f"{first}.bias"]
    assert names[2:] == list(FCN32s(3, backbone, rng=rng()).state_dict())[2:]
    weight = getattr(model, first).weight.data
    assert weight.shape == (backbone.widths[0], in_channels, kernel, kernel)
    assert model.inputs == {"image": in_channels}
    assert trace(model, 64)[0].inputs[0].channels == in_channels


def test_a_channel_without_weights_changes_nothing():
    color = randomized(FCN8s(2, AWAKE, dtype=np.float64, dropout=0.0, rng=rng()))
    depth = FCN8s(2, AWAKE, in_channels=4, dtype=np.float64, dropout=0.0, rng=rng())
    state = color.state_dict()
    weight = state.pop("conv1_1.weight")
    state["conv1_1_bgrd.weight"] = np.concatenate([weight, 0 * weight[:, :1]], axis=1)
    state["conv1_1_bgrd.bias"] = state.pop("conv1_1.bias")
    depth.load_state_dict(state)
    x = normal(2, 4, 9, 7, dtype=np.float64)
    scores, expected = depth(x), color(x[:, :3])
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-12)
    grad_x, grad = depth.backward(scores), color.backward(expected)
    np.testing.assert_allclose(grad_x[:, :3], grad, rtol=1e-8, atol=1e-12)
    assert not grad_x[:, 3].any()
    # But it learns: its weights have a gradient.
    grad_w = depth.conv1_1_bgrd.weight.grad
    np.testing.assert_allclose(grad_w[:, :3], color.conv1_1.weight.grad, rtol=1e-8, atol=1e-10)
    assert grad_w[:, 3].any()


@pytest.mark.parametrize("own, other", [(3, 4), (4, 3), (1, 3), (5, 1)])
def test_images_with_other_channels_are_an_error(own, other):
    model = FCN32s(2, THIN, in_channels=own, rng=rng())
    message = rf"FCN32s: image .* \(N, {own}, H, W\), got float32 \(1, {other}, 64, 64\)"
    with pytest.raises(ValueError, match=message):
        model(normal(1, other, 64, 64))


@pytest.mark.parametrize("in_channels", [0, -1, 2.0, True, None])
def test_a_bad_number_of_channels_is_an_error(in_channels):
    with pytest.raises(ValueError, match="expected in_channels to be an int of at least 1, got"):
        FCN32s(2, THIN, in_channels=in_channels, rng=rng())


# ---------------------------------------------------------------- two images: late fusion


def streams(backbone=AWAKE, hha_channels=3, n_class=2, **options):
    """Return a network for each image."""
    options = {"dtype": np.float64, "dropout": 0.0, **options}
    color = FCN32s(n_class, backbone, rng=rng(1), **options)
    hha = FCN32s(n_class, backbone, in_channels=hha_channels, rng=rng(2), **options)
    return randomized(color, 3), randomized(hha, 4)


def image_pair(*size, hha_channels=3, dtype=np.float64):
    channels = 3, hha_channels
    return tuple(normal(1, c, *size, seed=c, dtype=dtype) for c in channels)


def test_late_fusion_has_the_names_of_the_authors_and_no_others():
    layers = [*VGG_NAMES, *named("score_fr")]
    expected = [name.replace(".", f"{stream}.") for stream in ("color", "hha") for name in layers]
    model = LateFusion(*streams(NARROW))
    assert expected[0] == "conv1_1color.weight" and expected[-1] == "score_frhha.bias"
    assert sorted(model.state_dict()) == sorted([*expected, "upscore.weight"])
    assert list(model.state_dict()) == [
        *(n for n in model.state_dict() if "color." in n),
        *(n for n in model.state_dict() if "hha." in n), "upscore.weight",
    ]
    assert model.inputs == {"color": 3, "hha": 3} and model.heads == {}
    assert (model.n_class, model.backbone) == (2, NARROW)
    with_depth = LateFusion(*streams(NARROW, hha_channels=4))
    assert "conv1_1_bgrdhha.weight" in with_depth.state_dict()
    assert with_depth.inputs == {"color": 3, "hha": 4}


@pytest.mark.parametrize("backbone", [AWAKE, ThinAlexNet])
def test_late_fusion_scores_by_the_mean_and_has_half_of_each_gradient(backbone):
    """Upsampling is linear: the mean of the scores, upsampled, is that of the upsampled scores."""
    color, hha = streams(backbone, hha_channels=1)
    model, images = LateFusion(color, hha), image_pair(33, 7, hha_channels=1)
    scores, own = model(*images), [net(x) for net, x in zip((color, hha), images)]
    assert (own[0] != own[1]).any()
    np.testing.assert_allclose(scores, (own[0] + own[1]) / 2, rtol=1e-10, atol=1e-13)
    grad = normal(*scores.shape, seed=7, dtype=np.float64)
    # The parameters are shared, so what one network adds to them must be taken off again.
    expected, parameters = [], {}
    for net, x, stream in zip((color, hha), images, ("color", "hha")):
        net(x)
        expected.append(net.backward(grad) / 2)
        for name, p in net.named_parameters():
            parameters[name.replace(".", f"{stream}.")] = p.grad / 2
            p.zero_grad()
    model(*images)
    for actual, one in zip(model.backward(grad), expected):
        np.testing.assert_allclose(actual, one, rtol=1e-9, atol=1e-13)
    for name, p in model.named_parameters():
        if name != "upscore.weight":
            np.testing.assert_allclose(p.grad, parameters[name], rtol=1e-9, atol=1e-12)
            assert p.grad.any(), name
    assert model.upscore.weight.grad.any()


def test_training_late_fusion_trains_the_two_networks():
    color, hha = streams(SEEN_WHOLE, dtype=np.float32)
    before = [net.state_dict() for net in (color, hha)]
    model = LateFusion(color, hha)
    assert model.conv1_1color is color.conv1_1 and model.score_frhha is hha.score_fr
    images = image_pair(64, 64, dtype=np.float32)
    labels = np.zeros((1, 64, 64), np.uint8)
    labels[:, :, :32] = 1
    criterion, optimizer = SoftmaxCrossEntropy(), SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        losses.append(criterion(model(*images), labels))
        optimizer.zero_grad()
        model.backward(criterion.backward())
        optimizer.step()
    assert losses[2] < losses[0]
    for net, old in zip((color, hha), before):
        for name, value in net.state_dict().items():
            assert np.array_equal(value, old[name]) == (name == "upscore.weight"), name
    # Each mode is that of all layers.
    model.eval()
    assert not any(m.training for m in color.fc7.modules()) and not model.scale_hha.training
    scores, expected = model(*images), (color(images[0]) + hha(images[1])) / 2
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("learn", [False, True])
def test_late_fusion_upsamples_bilinearly(learn):
    model = LateFusion(*streams(THIN, learn_upsampling=learn))
    expected = np.eye(2)[:, :, None, None] * bilinear_kernel(64, np.float64)
    np.testing.assert_array_equal(model.upscore.weight.data, expected)
    assert model.upscore.weight.lr_mult == model.upscore.weight.decay_mult == learn


def test_late_fusion_takes_the_sizes_of_its_networks():
    color, hha = streams(Short)
    model = LateFusion(color, hha)
    taken = {n for n in range(1, 33) if color.takes(n)}
    assert 8 in taken and 11 not in taken
    assert {n for n in range(1, 33) if model.takes(n)} == taken
    assert model.sizes.smallest == color.sizes.smallest == min(taken)
    assert model(*image_pair(8, 12)).shape == trace(model, (8, 12))[-1].output.shape
    message = r"LateFusion on Short takes images with .*, got \(8, 11\)"
    with pytest.raises(ValueError, match=message) as info:
        model(*image_pair(8, 11))
    assert listed_sizes(str(info.value)) == taken


PADDED = type("Padded", (Short,), {"pad": 5})


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a, b: (a, a), "expected two networks with .*, got one"),
        (lambda a, b: (a, streams(Short, n_class=3)[1]), "same number of classes, got 2 and 3"),
        (
            lambda a, b: (a, FCN32s(heads=HEADS, backbone=Short, rng=rng())),
            "expected hha to be an FCN32s with one head and no skips, got FCN32s",
        ),
        (lambda a, b: (FCN8s(2, THIN, rng=rng()), b), "expected color to be an FCN32s.*got FCN8s"),
        (lambda a, b: (a, LateFusion(a, b)), "expected hha to be an FCN32s.*got LateFusion"),
        (lambda a, b: (a, None), "expected hha to be an FCN32s .*, got NoneType"),
        (
            lambda a, b: (a, FCN32s(2, PADDED, dtype=float, rng=rng())),
            "expected two maps of one shape on one grid",
        ),
    ],
    ids=["the same", "classes", "heads", "8s", "fused already", "None", "another grid"],
)
def test_what_cannot_be_fused(change, message):
    with pytest.raises(ValueError, match=message):
        LateFusion(*change(*streams(Short)))


@pytest.mark.parametrize(
    "images, kind, message",
    [
        (lambda a, b: (a,), TypeError, "LateFusion takes color and hha, got 1 arrays"),
        (lambda a, b: (), TypeError, "LateFusion takes color and hha, got 0 arrays"),
        (lambda a, b: (a, b, a), TypeError, "LateFusion takes color and hha, got 3 arrays"),
        (
            lambda a, b: (a, b[..., :9]), ValueError,
            r"LateFusion: hha .* \(1, 3, 8, 12\), got float64 \(1, 3, 8, 9\)",
        ),
        (
            lambda a, b: (a, np.concatenate([b, b])), ValueError,
            r"LateFusion: hha .* \(1, 3, 8, 12\), got float64 \(2, 3, 8, 12\)",
        ),
        (
            lambda a, b: (a[:, :1], b), ValueError,
            r"LateFusion: color .* \(N, 3, H, W\), got float64 \(1, 1, 8, 12\)",
        ),
        (
            lambda a, b: (a, b[:, :2]), ValueError,
            r"LateFusion: hha .* \(1, 3, 8, 12\), got float64 \(1, 2, 8, 12\)",
        ),
        (lambda a, b: (a, b.astype(np.float32)), ValueError, "float64.*got float32"),
        (lambda a, b: (a.tolist(), b), ValueError, "LateFusion: color .* got list"),
    ],
    ids=["one", "none", "three", "sizes", "batches", "color", "hha", "dtype", "list"],
)
def test_late_fusion_takes_two_images_that_fit(images, kind, message):
    model = LateFusion(*streams(Short))
    with pytest.raises(kind, match=message):
        model(*images(*image_pair(8, 12)))


def test_a_copy_of_late_fusion_is_on_its_own():
    model, images = LateFusion(*streams(Short)), image_pair(12, 8)
    expected = model(*images)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin(*images), expected)
    for name, p in twin.named_parameters():
        p.data[...] = 0.5
        assert not np.shares_memory(p.data, dict(model.named_parameters())[name].data)
    assert (twin(*images) != expected).any()
    np.testing.assert_array_equal(model(*images), expected)
    grads = twin.backward(expected)
    assert [g.shape for g in grads] == [x.shape for x in images]
    assert not any(p.grad.any() for p in model.parameters())


# ---------------------------------------------------------------- starting values


@pytest.mark.parametrize("model_class", MODELS)
def test_scores_and_biases_start_at_zero(model_class):
    for name, p in model_class(3, NARROW, rng=rng()).named_parameters():
        if name.startswith("score") or name.endswith("bias"):
            assert not p.data.any(), name
        else:
            assert p.data.any(), name


def test_a_classifier_s_last_layer_and_biases_start_at_zero():
    for name, p in Classifier(3, NARROW, rng=rng()).named_parameters():
        assert p.data.any() != (name.startswith("fc8") or name.endswith("bias")), name


@pytest.mark.parametrize("model_class", MODELS)
def test_upsampling_starts_bilinear_for_each_class_by_itself(model_class):
    model = model_class(3, NARROW, rng=rng())
    names = [name for name, _ in model.named_parameters() if name.startswith("upscore")]
    assert names
    for name in names:
        weight = dict(model.named_parameters())[name].data
        kernel = bilinear_kernel(weight.shape[2])
        for a in range(3):
            for b in range(3):
                expected = kernel if a == b else np.zeros_like(kernel)
                np.testing.assert_array_equal(weight[a, b], expected)


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("learn", [False, True])
def test_multipliers(model_class, learn):
    model = model_class(3, NARROW, learn_upsampling=learn, rng=rng())
    for name, p in model.named_parameters():
        if name.startswith("upscore"):
            assert p.lr_mult == (1 if learn else 0), name
        elif name.endswith("bias"):
            assert (p.lr_mult, p.decay_mult) == (2, 0), name
        else:
            assert (p.lr_mult, p.decay_mult) == (1, 1), name


def test_the_same_generator_gives_the_same_network_and_another_another():
    a, b, c = (FCN8s(2, NARROW, rng=rng(seed)).state_dict() for seed in (1, 1, 2))
    assert all((a[name] == b[name]).all() for name in a)
    assert (a["fc6.weight"] != c["fc6.weight"]).any()
    assert (a["conv5_1.weight"] != a["conv5_2.weight"]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_dtype_throughout(dtype):
    model = FCN8s(2, NARROW, dtype=dtype, rng=rng())
    scores = model(normal(1, 3, 9, 7, dtype=dtype))
    assert scores.dtype == dtype
    assert model.backward(np.ones_like(scores)).dtype == dtype
    assert {p.data.dtype for p in model.parameters()} == {np.dtype(dtype)}
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(dtype)}


# ---------------------------------------------------------------- learning and gradients


@pytest.mark.parametrize("model_class, size", [(FCN32s, 128), (FCN8s, 64)])
def test_a_new_network_learns(model_class, size):
    model = model_class(2, SEEN_WHOLE, rng=rng())
    model.drop6.p = model.drop7.p = 0.0
    image, labels = normal(1, 3, size, size), np.zeros((1, size, size), np.uint8)
    labels[:, :, : size // 4] = 1
    image[:, :, :, : size // 4] += 2
    criterion = SoftmaxCrossEntropy()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    below = {n: p for n, p in model.named_parameters() if n.startswith(("conv", "fc"))}
    losses, moved = [], []
    for _ in range(16):
        losses.append(criterion(model(image), labels))
        optimizer.zero_grad()
        model.backward(criterion.backward())
        moved.append([name for name, p in below.items() if p.grad.any()])
        optimizer.step()
    # Zero scores: at first all classes are equally likely, and nothing passes the score layers.
    assert losses[0] == pytest.approx(np.log(2), rel=1e-6)
    assert moved[0] == []
    assert moved[1] == list(below)
    # Who only knows how frequent each class is gets to 0.562.
    frequency = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert losses[-1] < frequency - 0.1


def test_the_image_gradient_has_the_image_s_shape():
    model = randomized(FCN8s(2, AWAKE, rng=rng()))
    x = normal(2, 3, 9, 7)
    grad = model.backward(np.ones_like(model(x)))
    assert grad.shape == x.shape and grad.any()


def test_gradients_add_up_until_they_are_cleared():
    model = randomized(FCN8s(2, AWAKE, rng=rng())).train()
    model.drop6.p = model.drop7.p = 0.0
    x = normal(1, 3, 9, 7)
    once = None
    for times in (1, 2):
        model.backward(np.ones_like(model(x)))
        if times == 1:
            once = {name: p.grad.copy() for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.grad, 2 * once[name], err_msg=name)
    model.zero_grad()
    assert not any(p.grad.any() for p in model.parameters())


def listen(layer, heard):
    """Note the gradient that a layer is handed, and the one that it returns."""
    backward = layer.backward

    def noting(grad, *rest):
        result = backward(grad, *rest)
        heard[layer] = (np.array(grad), np.array(result))
        return result

    layer.backward = noting


@pytest.mark.parametrize("model_class", [FCN16s, FCN8s, FCN8sAtOnce])
def test_the_two_gradients_of_a_pool_are_added(model_class):
    model = randomized(model_class(2, AWAKE, dtype=np.float64, rng=rng()))
    fused = [4] if model_class is FCN16s else [4, 3]
    heard = {}
    for stage in fused:
        pool = getattr(model, f"pool{stage}")
        onward = getattr(model, f"conv{stage + 1}_1")
        aside = getattr(model, f"scale_pool{stage}", None) or getattr(model, f"score_pool{stage}")
        for layer in (pool, onward, aside):
            listen(layer, heard)
    scores = model(normal(1, 3, 9, 7, dtype=np.float64))
    model.backward(normal(*scores.shape, dtype=np.float64))
    for stage in fused:
        pool = getattr(model, f"pool{stage}")
        onward = getattr(model, f"conv{stage + 1}_1")
        aside = getattr(model, f"scale_pool{stage}", None) or getattr(model, f"score_pool{stage}")
        assert heard[onward][1].any() and heard[aside][1].any()
        np.testing.assert_allclose(
            heard[pool][0], heard[onward][1] + heard[aside][1], rtol=1e-12, atol=1e-15
        )


def test_no_array_of_the_caller_is_changed():
    model = randomized(FCN8s(2, AWAKE, rng=rng()))
    x = normal(1, 3, 9, 7)
    before = x.copy()
    scores = model(x)
    grad = np.ones_like(scores)
    model.backward(grad)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(grad, np.ones_like(grad))


@pytest.mark.parametrize("prepare", ["new", "eval", "twice"])
def test_backward_needs_a_forward_in_train_mode(prepare):
    model = FCN8s(2, NARROW, rng=rng())
    grad = np.zeros((1, 2, 5, 5), np.float32)
    if prepare == "eval":
        model.eval()
    if prepare != "new":
        model(normal(1, 3, 5, 5))
    if prepare == "twice":
        model.backward(grad)
    with pytest.raises(RuntimeError, match="forward in train mode"):
        model.backward(grad)


def test_in_eval_mode_nothing_is_kept():
    model = FCN8s(2, NARROW, rng=rng())
    model(normal(1, 3, 5, 5))
    model.eval()
    model(normal(1, 3, 5, 5))
    kept = [name for name, m in model.named_modules() if m._saved is not None]
    assert kept == []


# ---------------------------------------------------------------- at once, and stage by stage


def test_at_once_is_fcn8s_with_smaller_pools():
    # Scaling a pool's activations is scaling the weights of its 1 x 1 scores.
    at_once = randomized(FCN8sAtOnce(2, AWAKE, dtype=np.float64, rng=rng())).eval()
    plain = FCN8s(2, AWAKE, dtype=np.float64, rng=rng()).eval()
    plain.load_state_dict(at_once.state_dict())
    x = normal(1, 3, 9, 7, dtype=np.float64)
    assert not np.allclose(at_once(x), plain(x))
    plain.score_pool4.weight.data *= 0.01
    plain.score_pool3.weight.data *= 0.0001
    np.testing.assert_allclose(at_once(x), plain(x), rtol=1e-10)


def test_the_factors_of_at_once_reach_the_gradients():
    nets = []
    for model_class in (FCN8sAtOnce, FCN8s):
        model = randomized(model_class(2, AWAKE, dtype=np.float64, rng=rng()))
        model.drop6.p = model.drop7.p = 0.0
        nets.append(model)
    at_once, plain = nets
    x = normal(1, 3, 9, 7, dtype=np.float64)
    for model in nets:
        model.backward(np.ones_like(model(x)))
    for stage, factor in ((4, 0.01), (3, 0.0001)):
        name = f"score_pool{stage}"
        np.testing.assert_allclose(
            getattr(at_once, name).weight.grad, factor * getattr(plain, name).weight.grad,
            rtol=1e-9,
        )
        np.testing.assert_allclose(
            getattr(at_once, name).bias.grad, getattr(plain, name).bias.grad, rtol=1e-9
        )


@pytest.mark.parametrize(
    "coarse, fine, missing, unexpected",
    [
        (
            FCN32s, FCN16s,
            ["score_pool4.bias", "score_pool4.weight", "upscore16.weight", "upscore2.weight"],
            ["upscore.weight"],
        ),
        (
            FCN16s, FCN8s,
            ["score_pool3.bias", "score_pool3.weight", "upscore8.weight", "upscore_pool4.weight"],
            ["upscore16.weight"],
        ),
        (FCN8s, FCN8sAtOnce, [], []),
    ],
)
def test_the_next_stage_takes_the_weights_of_the_last(coarse, fine, missing, unexpected):
    old = randomized(coarse(2, NARROW, rng=rng(1)))
    new = fine(2, NARROW, rng=rng(2))
    before, given = new.state_dict(), old.state_dict()
    if missing:
        with pytest.raises(ValueError, match="missing"):
            new.load_state_dict(given)
    report = new.load_state_dict(given, strict=False)
    assert sorted(report.missing) == missing
    assert sorted(report.unexpected) == unexpected
    after = new.state_dict()
    for name in after:
        source = before if name in missing else given
        np.testing.assert_array_equal(after[name], source[name], err_msg=name)


@pytest.mark.parametrize("coarse, fine, stride", [(FCN32s, FCN16s, 32), (FCN16s, FCN8s, 16)])
def test_a_new_stage_starts_from_the_image_of_the_last(coarse, fine, stride):
    old = randomized(coarse(3, AWAKE, dtype=np.float64, rng=rng(1))).eval()
    new = fine(3, AWAKE, dtype=np.float64, rng=rng(2)).eval()
    new.load_state_dict(old.state_dict(), strict=False)
    # The coarse scores, and where their cells lie by the trace of the network.
    layer, heard = "score_fr" if stride == 32 else "fuse_pool4", []
    forward = getattr(old, layer).forward
    getattr(old, layer).forward = lambda *inputs: heard.append(forward(*inputs)) or heard[-1]
    x = 3 * normal(1, 3, 96, 128, dtype=np.float64)
    a, b = old(x), new(x)
    del getattr(old, layer).forward
    (grid,) = (s.output.grid for s in trace(old, (96, 128)) if s.name == layer)
    assert grid.scale == (stride, stride)
    # Upsampling by 2 and then by s/2 cuts the corners of the tent at the cells themselves. In
    # the middle half between two cells both ways draw the same straight line.
    between = [
        np.abs(((np.arange(n) - float(shift)) / stride) % 1 - 0.5) <= 0.25
        for n, shift in zip((96, 128), grid.shift)
    ]
    same = between[0][:, None] & between[1]
    assert 0.2 < same.mean() < 0.35
    np.testing.assert_allclose(b[..., same], a[..., same], rtol=1e-9, atol=1e-12)
    # Elsewhere a corner is cut by an eighth of the change of slope, on each axis.
    (cells,) = heard
    cells = np.pad(cells, ((0, 0), (0, 0), (2, 2), (2, 2)))  # there are zeros around the map
    bend = sum(np.abs(np.diff(cells, 2, axis=axis)).max() for axis in (2, 3))
    assert 0 < np.abs(a - b).max() <= bend / 8
    assert (a.argmax(axis=1) == b.argmax(axis=1)).mean() > 0.95


# ---------------------------------------------------------------- dropout and traces


@pytest.mark.parametrize("model_class", [FCN8s, Classifier])
def test_eval_mode_draws_nothing_and_train_mode_does(model_class):
    x = normal(1, 3, 80, 80)
    models = [randomized(model_class(3, SEEN_WHOLE, rng=rng(5))) for _ in range(2)]
    if model_class is FCN8s:
        x = x[:, :, :64, :64]
    first, second = ([model(x) for _ in range(3)] for model in models)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != first[1]).any() and (first[1] != first[2]).any()
    states = [str(m.rng.bit_generator.state) for m in models[0].modules() if hasattr(m, "rng")]
    models[0].eval()
    quiet = [models[0](x) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert states == [
        str(m.rng.bit_generator.state) for m in models[0].modules() if hasattr(m, "rng")
    ]
    for layer in models[1].modules():
        if isinstance(layer, Dropout2d):
            layer.p = 0.0
    np.testing.assert_allclose(models[1](x), quiet[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "model, size",
    [(model_class(2, NARROW, rng=rng()), (9, 38)) for model_class in MODELS]
    + [(FCN8s(2, TINY, rng=rng()), (64, 49)), (Classifier(3, TINY, rng=rng()), (65, 96))],
    ids=lambda v: type(v).__name__ if not isinstance(v, tuple) else str(v),
)
def test_a_trace_tells_the_real_shapes(model, size):
    steps = trace(model, size)
    real = []

    def wrap(name, layer):
        forward = layer.forward

        def noting(*inputs, **options):
            output = forward(*inputs, **options)
            real.append((name, [x.shape for x in inputs], output.shape))
            return output

        layer.forward = noting

    layers = [(name, m) for name, m in model.named_modules() if not list(m.children())]
    for name, layer in layers:
        wrap(name, layer)
    model(np.zeros((1, 3, *size), np.float32))
    for _, layer in layers:
        del layer.forward

    def array_shape(feature_map, name):
        # A fully connected layer's map of one cell is a row of numbers.
        shape = feature_map.shape
        return shape[:2] if name in rows and shape[2:] == (1, 1) else shape

    rows = {"flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"}
    rows = rows if isinstance(model, Classifier) else set()
    traced = [
        (s.name, [array_shape(x, s.name if s.name != "flatten" else "") for x in s.inputs],
         array_shape(s.output, s.name))
        for s in steps
    ]
    assert traced == real
    assert sorted(name for name, *_ in traced) == sorted(name for name, _ in layers)


# ---------------------------------------------------------------- the classifier


@pytest.mark.parametrize("backbone, smallest, largest", [(TINY, 65, 96), (NARROW, 193, 224)])
def test_a_classifier_takes_the_sizes_it_was_made_for(backbone, smallest, largest):
    model = Classifier(3, backbone, rng=rng()).eval()
    assert model.input_size == largest
    for size in [(smallest, smallest), (largest, largest), (smallest, largest)]:
        assert model(np.zeros((2, 3, *size), np.float32)).shape == (2, 3)
    for size in [(smallest - 1, largest), (largest, largest + 1), (1, 1)]:
        with pytest.raises(ValueError, match=f"{smallest} to {largest}, got"):
            model(np.zeros((2, 3, *size), np.float32))


def test_a_classifier_s_first_convolution_keeps_the_size():
    assert Classifier(3, NARROW, rng=rng()).conv1_1.padding == (1, 1)


def test_a_classifier_s_backward_returns_the_gradient_of_the_images():
    x = normal(2, 3, 80, 80)
    model = randomized(Classifier(3, SEEN_WHOLE, rng=rng()))
    grad = model.backward(np.ones_like(model(x)))
    assert grad.shape == x.shape and grad.any()


@pytest.mark.parametrize("size", [(96, 96), (65, 80)])
def test_the_convolutional_network_computes_what_the_classifier_did(size):
    classifier = randomized(Classifier(3, TINY, dtype=np.float64, rng=rng(1))).eval()
    fcn = FCN32s(2, TINY, dtype=np.float64, rng=rng(2)).eval()
    report = fcn.load_state_dict(convolutionalize(classifier), strict=False)
    assert sorted(report.missing) == ["score_fr.bias", "score_fr.weight", "upscore.weight"]
    assert report.unexpected == []
    # With the classifier's own padding, the whole image is one position of fc6's kernel.
    fcn.conv1_1.padding = (1, 1)
    x = normal(2, 3, *size, dtype=np.float64)
    maps, rows = x, x
    for name in [n for n, m in fcn.named_modules() if not list(m.children())]:
        if name == "score_fr":
            break
        if name == "fc6":
            rows = classifier.flatten(rows)
        maps, rows = getattr(fcn, name)(maps), getattr(classifier, name)(rows)
    assert name == "score_fr"
    assert maps.shape == (2, TINY.fc_width, 1, 1) and maps.any()
    np.testing.assert_allclose(maps[..., 0, 0], rows, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(classifier.fc8(rows), classifier(x), rtol=1e-12)


def test_convolutionalizing_only_reshapes():
    classifier = randomized(Classifier(3, NARROW, rng=rng()))
    old, new = classifier.state_dict(), convolutionalize(classifier)
    assert set(old) - set(new) == {"fc8.weight", "fc8.bias"}
    assert new["fc6.weight"].shape == (5, 4, 7, 7)
    assert new["fc7.weight"].shape == (5, 5, 1, 1)
    for name in new:
        assert new[name].dtype == old[name].dtype
        np.testing.assert_array_equal(new[name].ravel(), old[name].ravel(), err_msg=name)
        new[name][...] = 0  # and they are copies
    for name, value in classifier.state_dict().items():
        np.testing.assert_array_equal(value, old[name], err_msg=name)


# ---------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("stages", [(3, 4), (5,), (4, 4)], ids=str)
def test_skips_that_do_not_go_from_coarse_to_fine_are_an_error(stages):
    class Wrong(FCN):
        skips = [
            SkipNames(f"pool{stage}", f"score_{i}", f"upscore_{i}")
            for i, stage in enumerate(stages)
        ]

    with pytest.raises(ValueError, match="expected skips from coarse to fine"):
        Wrong(2, THIN, rng=rng())


def test_a_skip_from_a_map_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="from pool1 or .* or pool5, got pool6"):
        fcn({6: 1.0})(2, THIN, rng=rng())


def test_two_layers_of_one_name_are_an_error():
    class Wrong(FCN):
        skips = [SkipNames("pool4", "score_pool4", "upscore")]

    with pytest.raises(ValueError, match="Head has a layer upscore, and would go on"):
        Wrong(2, THIN, rng=rng())


@pytest.mark.parametrize("stages", [(4, 3, 2), (3,), (4, 2)], ids=str)
def test_other_skips_than_published_work(stages):
    model = randomized(fcn(dict.fromkeys(stages, 1.0))(2, TINY, rng=rng())).eval()
    size = next(n for n in range(100, 200) if taken(model, n))
    scores = model(normal(1, 3, size, size))
    assert scores.shape == (1, 2, size, size)
    assert f"upscore{2 ** stages[-1]}.weight" in model.state_dict()
    assert {f"score_pool{stage}.weight" for stage in stages} <= set(model.state_dict())


def taken(model, size):
    try:
        trace(model, size)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 3, 9, 9), np.float64),
        np.zeros((1, 3, 9, 9), np.uint8),
        np.zeros((3, 9, 9), np.float32),
        np.zeros((1, 4, 9, 9), np.float32),
        np.zeros((0, 3, 9, 9), np.float32),
        np.zeros((1, 3, 0, 9), np.float32),
        [[1.0]],
    ],
    ids=["float64", "uint8", "no batch", "4 channels", "no image", "no rows", "list"],
)
@pytest.mark.parametrize("model_class", [FCN8s, Classifier])
def test_bad_images_are_an_error(model_class, x):
    with pytest.raises(ValueError, match="expected|takes"):
        model_class(2, NARROW, rng=rng())(x)


@pytest.mark.parametrize("model_class", [*MODELS, Classifier])
@pytest.mark.parametrize("n_class", [0, -1, 2.0, None])
def test_a_bad_number_of_classes_is_an_error(model_class, n_class):
    with pytest.raises(ValueError, match="n_class"):
        model_class(n_class, THIN, rng=rng())


@pytest.mark.parametrize(
    "widths, convs", [((), ()), ((1, 2), (1,)), ((1,) * 5, (1,) * 4), ((1,) * 5, (3, 1, 1, 1, 1))]
)
def test_a_backbone_needs_a_number_of_convolutions_for_each_width(widths, convs):
    with pytest.raises(ValueError, match="expected five widths, and five convs of at least 1"):
        vgg("BAD", widths, convs, 1, 1, 1)()


# ---------------------------------------------------------------- the network that weights need


@pytest.mark.parametrize("model_class", [FCN32s, FCN16s, FCN8s])
def test_weights_tell_which_network_they_belong_to(model_class):
    old = randomized(model_class(5, TINY, rng=rng())).eval()
    new = fcn_for(old.state_dict()).eval()
    assert type(new) is model_class
    x = normal(1, 3, 64, 64)
    np.testing.assert_array_equal(new(x), old(x))


@pytest.mark.parametrize(
    "lost", ["score_fr.weight", "fc6.weight", "upscore8.weight", "conv1_1.bias"]
)
def test_weights_without_a_part_are_an_error(lost):
    state = FCN8s(2, TINY, rng=rng()).state_dict()
    del state[lost]
    with pytest.raises(ValueError):
        fcn_for(state)


def test_weights_of_other_networks_are_an_error():
    with pytest.raises(ValueError, match=r"fc6\.weight among the names, got none"):
        fcn_for({})
    with pytest.raises(ValueError, match="weights of a classifier.*trained first"):
        fcn_for(Classifier(3, TINY, rng=rng()).state_dict())
    message = r"fc6\.weight of shape .* for TINY, or .* for VGG16, or .* for AlexNet, got"
    with pytest.raises(ValueError, match=message):
        fcn_for(FCN8s(2, SEEN_WHOLE, rng=rng()).state_dict())


@pytest.mark.parametrize("both_algorithms", ["fast"], indirect=True)  # sizes alone matter
@pytest.mark.parametrize("fc_kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("pad", [60, 81, 100])
def test_crops_are_found_whatever_size_the_network_takes(fc_kernel, pad):
    """Where maps lie does not depend on the image, so networks that take few sizes can be made."""
    backbone = vgg("ODD", (1, 1, 1, 1, 1), (2, 2, 3, 3, 3), 1, fc_kernel, pad)
    try:
        model = FCN8s(2, backbone, rng=rng())
    except ValueError as error:
        assert "expected a crop offset of whole cells" in str(error)
        return
    taken = [n for n in range(1, 200) if model.takes(n)]
    for n in taken[:3]:
        assert trace(model, n)[-1].output.size == (n, n)


def test_a_network_that_is_not_used_any_more_is_freed_at_once():
    """Not only when the garbage collector comes by: the large one takes a gigabyte."""
    model = FCN8s(3, TINY)
    model.takes(64)
    freed = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert freed() is None
    finally:
        gc.enable()
