"""Networks out of files: what fits is loaded, what does not is said with its name."""

import tracemalloc

import numpy as np
import pytest

from fcn_numpy import weights
from fcn_numpy.models import (
    TINY,
    Classifier,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    convolutionalize,
    fcn_for,
    from_file,
    start_from,
)
from fcn_numpy.models.finite import check_finite
from fcn_numpy.models.registry import backbone_of
from fcn_numpy.models.surgery import for_caffe_images
from fcn_numpy.nn import skip_init

KINDS = [FCN32s, FCN16s, FCN8s, FCN8sAtOnce]


def filled(model, seed=0):
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.data[...] = rng.standard_normal(p.data.shape) / 10
    return model


def of_torchvision(path):
    return FCN8s.from_file(path, trained_on="torchvision")


def saved(folder, state, name="w.npz"):
    weights.save(folder / name, state)
    return folder / name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["w.npz", "w.pth", "w.safetensors"])
def test_a_network_comes_back(tmp_path, kind, name):
    old = filled(kind(5, TINY))
    new = kind.from_file(saved(tmp_path, old.state_dict(), name))
    assert type(new) is kind and new.backbone == TINY and new.n_class == 5
    for (n, a), b in zip(new.named_parameters(), old.parameters()):
        np.testing.assert_array_equal(a.data, b.data, err_msg=n)
        assert (a.lr_mult, a.decay_mult) == (b.lr_mult, b.decay_mult)
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    np.testing.assert_array_equal(new.eval()(image), old.eval()(image))


def test_a_network_out_of_a_file_can_be_trained(tmp_path):
    old = filled(FCN8s(3, TINY))
    path = saved(tmp_path, old.state_dict())
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, 64, 64)).astype(np.float32)
    grad = rng.standard_normal((1, 3, 64, 64)).astype(np.float32)
    new = FCN8s.from_file(path)
    for model in (old, new):
        model.drop6.rng = np.random.default_rng(4)
        model.drop7.rng = np.random.default_rng(5)
        model(image)
        model.backward(grad)
    for (n, a), b in zip(new.named_parameters(), old.parameters()):
        np.testing.assert_array_equal(a.grad, b.grad, err_msg=n)
    # And what it drops out is drawn.
    kept = [FCN8s.from_file(path).drop6.forward(np.ones((1, 64, 1, 1))) for _ in range(2)]
    assert 0 < np.count_nonzero(kept[0]) < 64
    assert not np.array_equal(*kept)


def test_other_dtypes_become_float32(tmp_path):
    old = filled(FCN32s(2, TINY))
    state = {name: value.astype(np.float16) for name, value in old.state_dict().items()}
    new = FCN32s.from_file(saved(tmp_path, state))
    for name, p in new.named_parameters():
        assert p.data.dtype == np.float32
        np.testing.assert_array_equal(p.data, state[name], err_msg=name)


def test_a_classifier_becomes_an_fcn_as_the_paper_starts(tmp_path):
    classifier = filled(Classifier(10, TINY))
    path = saved(tmp_path, classifier.state_dict())
    for kind, n_class in ((FCN32s, None), (FCN8s, 4)):
        model = kind.from_file(path, n_class)
        assert model.n_class == (n_class or 21)
        for name, value in convolutionalize(classifier).items():
            np.testing.assert_array_equal(model.state_dict()[name], value, err_msg=name)
        fresh = kind(model.n_class, TINY).state_dict()
        for name, value in model.state_dict().items():
            if name.startswith("score"):
                assert (value == 0).all(), name
            if name.startswith("upscore"):
                np.testing.assert_array_equal(value, fresh[name])
    with pytest.raises(ValueError, match=r"w\.npz: .* a classifier.*trained first"):
        from_file(path)


def test_names_of_torchvision_and_chainer_become_a_network(tmp_path):
    """The same numbers under foreign names give the same network."""
    classifier = filled(Classifier(10, TINY)).state_dict()
    stages = [f"conv{i}_{j}" for i, n in enumerate((2, 2, 3, 3, 3), 1) for j in range(1, n + 1)]
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    theirs = dict(zip(stages, (f"features.{n}" for n in places)))
    theirs |= {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
    state = {}
    for name, value in classifier.items():
        layer, kind = name.split(".")
        state[f"{theirs[layer]}.{kind}"] = value
    model = FCN8s.from_file(saved(tmp_path, state, "vgg16.pth"), 3)
    for name, value in convolutionalize(classifier).items():
        np.testing.assert_array_equal(model.state_dict()[name], value, err_msg=name)
    state = {
        name.replace(".weight", "/W").replace(".bias", "/b"): value
        for name, value in filled(model).state_dict().items()
    }
    again = FCN8s.from_file(saved(tmp_path, state, "chainer.npz"))
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name], err_msg=name)


def test_weights_are_there_once(tmp_path):
    """Large arrays of a file become the parameters themselves."""
    path = saved(tmp_path, filled(FCN8s(2, TINY)).state_dict())
    state = weights.load(path)
    model = fcn_for(state, assign=True)
    for name, p in model.named_parameters():
        assert p.data is state[name]
    for p in fcn_for(state).parameters():
        assert not any(np.shares_memory(p.data, value) for value in state.values())


def test_a_network_to_be_filled_draws_nothing():
    with skip_init():
        model = FCN8s(2, TINY)
    for name, p in model.named_parameters():
        if name.startswith(("conv", "fc", "score")):
            assert (p.data == 0).all(), name


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(("change", "words"), [
    (lambda s: s.pop("conv2_1.bias"), "missing conv2_1.bias, unexpected none"),
    (lambda s: s.update(extra=np.zeros(2)), "missing none, unexpected extra"),
    (lambda s: s.update({"fc7.bias": np.zeros(9)}), r"expected fc7\.bias of shape \(128,\), got"),
    (lambda s: s.update({"fc6.weight": np.zeros((9, 9, 1, 1))}), r"expected fc6\.weight of shape"),
    (lambda s: s.update({"conv1_1.weight": np.zeros((8, 4, 3, 3))}), r"conv1_1\.weight of shape"),
    (lambda s: s.update({"upscore8.weight": np.zeros((3, 3, 4, 4))}), r"upscore8\.weight of sh"),
    (lambda s: s.update({"score_fr.weight": np.float32(3)}), r"expected score_\w+\.weight of sh"),
    (lambda s: s.clear(), "fc6.weight among the names, got none"),
])
def test_what_does_not_fit_is_named(tmp_path, change, words):
    state = filled(FCN8s(3, TINY)).state_dict()
    change(state)
    with pytest.raises(ValueError, match=rf"w\.npz: .*{words}") as caught:
        FCN8s.from_file(saved(tmp_path, state))
    assert "\n" not in str(caught.value)


def test_another_number_of_classes_than_expected(tmp_path):
    path = saved(tmp_path, FCN16s(21, TINY).state_dict())
    with pytest.raises(ValueError, match=(
        r"w\.npz: expected score_fr\.weight of shape \(4, 128, 1, 1\), got \(21, 128, 1, 1\)"
    )):
        FCN16s.from_file(path, 4)


@pytest.mark.parametrize(("kind", "other"), [
    (FCN32s, FCN8s), (FCN8s, FCN16s), (FCN8sAtOnce, FCN32s),
])
def test_the_weights_of_another_network(tmp_path, kind, other):
    path = saved(tmp_path, other(3, TINY).state_dict())
    words = f"expected the weights of an {kind.__name__}, got those of an {other.__name__}"
    with pytest.raises(ValueError, match=words):
        kind.from_file(path)


def test_a_classifier_without_a_layer(tmp_path):
    state = Classifier(3, TINY).state_dict()
    del state["conv4_2.weight"]
    with pytest.raises(ValueError, match=r"w\.npz: expected conv4_2\.weight among the names"):
        FCN8s.from_file(saved(tmp_path, state))
    state = Classifier(3, TINY).state_dict()
    state["fc7.weight"] = state["fc7.weight"][:5]
    with pytest.raises(ValueError, match=r"expected fc7\.weight of shape \(128, 128\), got \(5, "):
        FCN8s.from_file(saved(tmp_path, state))


def test_a_wrong_preprocessing(tmp_path):
    path = saved(tmp_path, FCN8s(3, TINY).state_dict())
    with pytest.raises(ValueError, match="'caffe' or 'torchvision', got 'imagenet'"):
        FCN8s.from_file(path, trained_on="imagenet")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        FCN8s.from_file(tmp_path / "no.npz")


@pytest.mark.parametrize(("name", "kind", "expected"), [
    ("fcn8s.npz", FCN8s, FCN8s), ("fcn8s.npz", FCN8sAtOnce, FCN8s),
    ("fcn8s-AtOnce.npz", FCN8s, FCN8sAtOnce), ("fcn8s-at-once.npz", FCN8sAtOnce, FCN8sAtOnce),
    ("atonce.npz", FCN16s, FCN16s),
])
def test_the_name_of_a_file_tells_what_its_weights_cannot(tmp_path, name, kind, expected):
    assert type(from_file(saved(tmp_path, kind(3, TINY).state_dict(), name))) is expected


def test_a_network_without_scores_is_an_error():
    state = FCN8s(3, TINY).state_dict()
    del state["score_fr.weight"]
    with pytest.raises(ValueError, match=r"FCN-32s, FCN-16s or FCN-8s, with score_fr\.weight and"):
        fcn_for(state, n_class=3)


# ---------------------------------------------------------------- other networks of torchvision

VGGS = {
    "vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def torchvision_vgg(name):
    """Return a small state_dict in the names of torchvision's network, and its convolutions."""
    stages, place, state = VGGS[name.removesuffix("_bn")], 0, {}
    for stage in stages:
        for _ in range(stage):
            state[f"features.{place}.weight"] = np.zeros((2, 3, 3, 3), np.float32)
            state[f"features.{place}.bias"] = np.zeros(2, np.float32)
            place += 1
            if name.endswith("_bn"):
                for kind in ("weight", "bias", "running_mean", "running_var"):
                    state[f"features.{place}.{kind}"] = np.zeros(2, np.float32)
                state[f"features.{place}.num_batches_tracked"] = np.array(3)
                place += 1
            place += 1
        place += 1
    for place in (0, 3, 6):
        state[f"classifier.{place}.weight"] = np.zeros((4, 4), np.float32)
        state[f"classifier.{place}.bias"] = np.zeros(4, np.float32)
    return state, sum(stages)


def test_the_places_of_torchvisions_layers():
    state, _ = torchvision_vgg("vgg16")
    assert list(weights.our_names(state))[-8:-6] == ["conv5_3.weight", "conv5_3.bias"]
    assert "features.40.weight" in torchvision_vgg("vgg16_bn")[0]


@pytest.mark.parametrize("name", [
    "vgg11", "vgg13", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn",
])
def test_other_vggs_of_torchvision_are_called_by_their_name(tmp_path, name):
    state, count = torchvision_vgg(name)
    words = (
        rf"these look like the weights of torchvision's {name} \({count} convolutions\); expected "
        "VGG16 without batch normalization$"
    )
    path = saved(tmp_path, state, "w.pth")
    for read in (from_file, FCN8s.from_file, of_torchvision):
        with pytest.raises(ValueError, match=rf"w\.pth: {words}"):
            read(path)
    state = weights.load(path)
    for take in (
        backbone_of, convolutionalize, fcn_for, lambda s: for_caffe_images(s, "torchvision"),
        lambda s: start_from(FCN8s(3, TINY), s),
    ):
        with pytest.raises(ValueError, match=f"^{words}"):
            take(state)


@pytest.mark.parametrize("state", [
    {f"features.{n}.weight": np.zeros((1, 1, 1, 1)) for n in range(5)},  # AlexNet has 5
    {f"layers.{n}.weight": np.zeros((1, 1, 1, 1)) for n in range(16)},
    {f"features.{n}.weight": np.zeros(3) for n in range(16)},
    {"features.0.running_mean": np.zeros(3)},
    torchvision_vgg("vgg16")[0],
])
def test_other_networks_are_not_taken_for_a_vgg(state):
    with pytest.raises(ValueError, match=r"fc6\.weight among the names, got"):
        fcn_for(state)
    with pytest.raises(ValueError, match=r"expected conv1_1\.weight among the names, got"):
        for_caffe_images(state, "torchvision")
    with pytest.raises(ValueError, match=r"expected conv1_1\.weight among the names, got"):
        start_from(FCN8s(3, TINY), state)


@pytest.mark.parametrize(("shape", "bias"), [
    ((2, 3, 3), (2,)), ((2, 4, 3, 3), (2,)), ((2, 3, 3, 3), (3,)), ((2, 3, 3, 3), (2, 1)),
])
def test_a_first_layer_that_takes_no_images_is_an_error(shape, bias):
    state = {"conv1_1.weight": np.zeros(shape), "conv1_1.bias": np.zeros(bias)}
    with pytest.raises(ValueError, match=r"of shape \(F, 3, kh, kw\) and conv1_1\.bias of shape"):
        for_caffe_images(state, "torchvision")


# ---------------------------------------------------------------- names that are shown

EVIL = "\x1b[31m\x07\u202e\n" + "x" * 5000


def test_names_of_other_networks_are_shown_escaped(tmp_path):
    tiny = FCN8s(3, TINY).state_dict()
    unknown = {f"{EVIL}{n}": np.zeros(1) for n in range(50)}
    fcn_of_another_kind = {n: v for n, v in tiny.items() if "upscore8" not in n} | unknown
    for state, words in (
        (unknown, "fc6.weight among the names, got \\x1b[31m\\x07"),
        (fcn_of_another_kind, "and one of upscore.weight"),
    ):
        for take in (fcn_for, lambda s: from_file(saved(tmp_path, s))):
            with pytest.raises(ValueError) as caught:
                take(state)
            message = str(caught.value)
            assert message.isprintable() and len(message) < 500
            assert "\\x1b[31m" in message and (words in message or "w.npz" in message)
    with pytest.raises(ValueError, match=r"among the names, got \\x1b\[31m") as caught:
        start_from(FCN8s(3, TINY), unknown)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


# ---------------------------------------------------------------- weights that are not finite

WORDS = r"holds NaN or infinity: are these the weights of a training that diverged\?$"


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("place", [0, 3, -1])
def test_each_number_that_is_not_finite_is_found(number, dtype, place):
    value = np.zeros((2, 3), dtype)
    check_finite({"a": value, "none": np.zeros((0, 3)), "scalar": np.float32(1)})
    value.flat[place] = number
    with pytest.raises(ValueError, match=f"^b {WORDS}"):
        check_finite({"a": np.zeros(2), "b": value})


def test_quantized_weights_are_refused():
    """They mean nothing without their scale."""
    with pytest.raises(ValueError, match="expected floating weights for fc7.bias, got int8"):
        check_finite({"fc7.bias": np.zeros(3, np.int8)})


def test_what_is_no_floating_point_is_finite():
    largest = np.finfo(np.float32).max
    check_finite({"b": np.array([True]), "t": np.array(["nan"]),
                  "f": np.array([largest, -largest], np.float32), "scalar": 3.0, "list": [1.0]})


def test_a_hostile_name_is_shown_escaped():
    with pytest.raises(ValueError, match=rf"^\\x1b\[31m.* {WORDS}") as caught:
        check_finite({EVIL: np.array([np.nan])})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_the_search_takes_no_memory():
    value = np.zeros(4_000_000, np.float32)
    tracemalloc.start()
    check_finite({"w": value})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize("name", ["conv1_1.weight", "fc7.bias", "score_pool4.weight"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_network_is_not_made_of_weights_that_are_not_finite(tmp_path, name, number):
    state = filled(FCN8s(3, TINY)).state_dict()
    state[name].flat[1] = number
    path = saved(tmp_path, state)
    weights.load(path)  # may read them
    for read in (from_file, FCN8s.from_file, of_torchvision):
        with pytest.raises(ValueError, match=rf"w\.npz: {name} {WORDS}"):
            read(path)
    for assign in (False, True):
        with pytest.raises(ValueError, match=rf"^{name} {WORDS}"):
            fcn_for(state, assign=assign)
    model = filled(FCN8s(3, TINY), seed=1)
    before = {n: value.copy() for n, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"^{name} {WORDS}"):
        start_from(model, state)
    for n, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[n], err_msg=n)


def test_a_classifier_whose_weights_are_not_finite(tmp_path):
    state = filled(Classifier(10, TINY)).state_dict()
    state["fc7.weight"][3, 3] = np.nan
    with pytest.raises(ValueError, match=rf"w\.npz: fc7\.weight {WORDS}"):
        FCN8s.from_file(saved(tmp_path, state))
    state["fc7.weight"][3, 3] = 0
    state["conv1_1.bias"][:2] = np.inf, -np.inf
    for trained_on in ("caffe", "torchvision"):
        with pytest.raises(ValueError, match=rf"w\.npz: conv1_1\.bias {WORDS}"):
            FCN8s.from_file(saved(tmp_path, state), 3, trained_on=trained_on)


def test_a_weight_that_is_not_taken_may_be_anything(tmp_path):
    state = filled(Classifier(10, TINY)).state_dict()
    state["fc8.weight"][0, 0] = np.nan
    assert FCN8s.from_file(saved(tmp_path, state), 3).n_class == 3
    state = filled(FCN8s(5, TINY)).state_dict()
    state["score_fr.weight"][...] = np.nan  # of another number of classes
    assert "score_fr.weight" not in start_from(FCN8s(3, TINY), state)
    state = filled(FCN8s(3, TINY)).state_dict()
    state["upscore8.weight"][...] = np.nan  # upsampling stays bilinear
    taken = start_from(FCN8s(3, TINY), state)
    assert "score_fr.weight" in taken and "upscore8.weight" not in taken
