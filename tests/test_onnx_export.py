"""ONNX files: what onnxruntime makes of them is what the model makes; what they say; errors."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from backbones import OverShort, Short, ThinAlexNet, fcn, vgg

from fcn_numpy import nn, onnx_export
from fcn_numpy.geometry import trace_all
from fcn_numpy.models import (
    FCN,
    TINY,
    VGG16,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    LateFusion,
    PyramidPooling,
)
from fcn_numpy.nn import (
    Conv2d,
    ConvTranspose2d,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Scale,
    Sequential,
)
from fcn_numpy.onnx_export import export_onnx

KINDS = pytest.mark.parametrize("kind", [FCN32s, FCN16s, FCN8s, FCN8sAtOnce])
THIN = vgg("THIN", (2, 2, 2, 3, 3), (1, 1, 1, 1, 1), 3, 3, 17)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def filled(model):
    """Give the parameters that start at zero, score layers and biases, other values."""
    rng = np.random.default_rng(9)
    for parameter in model.parameters():
        if not parameter.data.any():
            parameter.data[...] = 0.3 * rng.standard_normal(parameter.data.shape)
    return model


def build(kind, backbone=TINY, seed=0, **options):
    if "heads" not in options:
        options.setdefault("n_class", 4)
    return filled(kind(backbone=backbone, rng=np.random.default_rng(seed), **options))


@pytest.fixture
def path(tmp_path):
    """Return where to write; without onnx nothing can be written, and the test is skipped."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    return tmp_path / "model.onnx"


def read(path):
    """Return the file as onnx has it, checked."""
    import onnx

    onnx.checker.check_model(str(path), full_check=True)
    return onnx.load(path)


def session(path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # tests make it fail, and it would tell so on standard error
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def assert_same_scores(running, model, *images):
    given = {name: image.astype(np.float32) for name, image in zip(model.inputs, images)}
    expected = model(*images)
    expected = expected if model.heads else {"scores": expected}
    for scores, name in zip(running.run(list(expected), given), expected):
        assert scores.dtype == np.float32
        assert scores.shape == expected[name].shape
        assert np.ptp(expected[name]) > 0.01
        assert np.abs(scores - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max()


@KINDS
def test_scores_at_many_sizes_in_one_session(kind, path):
    model = build(kind)
    export_onnx(path, model)
    running = session(path)
    model.eval()
    for n, h, w in [(1, 128, 128), (3, 49, 64), (2, 150, 113), (1, 241, 85)]:
        assert_same_scores(running, model, normal(n, 3, h, w))


def channels(values):
    """Return how many channels each of a graph's inputs or outputs has; the rest is free."""
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in values
    }
    assert all([n, *size] == ["N", "H", "W"] for n, _, *size in shapes.values())
    return {name: shape[1] for name, shape in shapes.items()}


@KINDS
def test_the_file_passes_the_checker(kind, path):
    model = build(kind)
    export_onnx(path, model)
    graph = read(path).graph
    assert (channels(graph.input), channels(graph.output)) == ({"image": 3}, {"scores": 4})
    assert "Dropout" not in {node.op_type for node in graph.node}


HEADS = {"sem": 4, "geo": 3}
# A network, its inputs and its outputs.
OTHERS = {
    "heads": (lambda: build(OverShort, Short, heads=HEADS), {"image": 3}, HEADS),
    "early fusion": (lambda: build(FCN32s, Short, in_channels=4), {"image": 4}, {"scores": 4}),
    "late fusion": (
        lambda: LateFusion(build(FCN32s, Short), build(FCN32s, Short, seed=1, in_channels=1)),
        {"color": 3, "hha": 1}, {"scores": 4},
    ),
    "alexnet": (lambda: build(FCN32s, ThinAlexNet), {"image": 3}, {"scores": 4}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_heads_fusion_and_alexnet(name, path):
    make, inputs, outputs = OTHERS[name]
    model = make().eval()
    export_onnx(path, model)
    graph = read(path).graph
    assert list(channels(graph.input).items()) == list(inputs.items())
    assert list(channels(graph.output).items()) == list(outputs.items())
    running = session(path)
    # AlexNet's images go from 0 to 255; where they are dark, its norms change nothing.
    scale = 50 if name == "alexnet" else 1
    for n, h, w in [(1, 64, 64), (2, 113, 150)]:
        assert model.takes((h, w))
        images = [scale * normal(n, c, h, w, seed=c) for c in inputs.values()]
        assert_same_scores(running, model, *images)


def test_initializers_are_the_parameters_under_their_names(path):
    model = build(FCN8s)
    export_onnx(path, model)
    graph = read(path).graph
    from onnx import numpy_helper

    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    state = model.state_dict()
    assert set(state) <= set(values)
    assert all(np.array_equal(values[name], value) for name, value in state.items())
    others = {name for name in values if name not in state}
    assert all(name.startswith("crop") for name in others)


def test_the_full_fcn8s(path):
    model = build(FCN8s, VGG16, n_class=21)
    export_onnx(path, model)
    running = session(path)
    metadata = running.get_modelmeta().custom_metadata_map
    assert metadata["input"].startswith("BGR from 0 to 255, minus 104.00699, 116.66877, 122.67892")
    assert metadata["sizes"] == "height and width of 1 to 256 and so on"
    assert_same_scores(running, model.eval(), 30 * normal(1, 3, 65, 90))


def test_the_file_says_what_it_wants(path):
    export_onnx(path, build(FCN8s))
    model = read(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["input"].startswith("RGB from 0 to 1, minus the mean of each color")
    assert metadata["sizes"].startswith("height and width of 49 to 64, 81 to 96, 113 to 128, 145")
    assert "FCN8s on TINY, 4 classes" in model.doc_string
    assert metadata["input"] in model.doc_string and metadata["sizes"] in model.doc_string


def test_any_backbone_skips_and_learned_upsampling(path):
    kind = fcn({4: 0.5, 3: 2.0, 2: 1.0})
    model = filled(kind(2, THIN, learn_upsampling=True, rng=np.random.default_rng(0)))
    export_onnx(path, model)
    size = next(n for n in range(50, 300) if model.takes(n))
    assert_same_scores(session(path), model.eval(), normal(2, 3, size, size))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training, path):
    model = build(FCN8sAtOnce)
    model.train() if training else model.eval()
    before = model.state_dict()
    export_onnx(path, model)
    assert all(module.training == training for module in model.modules())
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_are_written_as_float32(dtype, path):
    model = build(FCN16s, dtype=dtype)
    export_onnx(path, model)
    running = session(path)
    # The parameters of either dtype are computed with in float64: only the file has float32.
    assert_same_scores(running, model.astype(np.float64).eval(), normal(1, 3, 64, 70, dtype=float))


class Layers(FCN):
    """An FCN of a few layers only, so that each setting of a layer can be written."""

    def __init__(self, *layers, n_class):
        self.backbone, self.n_class, self.inputs = THIN, n_class, {"image": 3}
        self.layers = Sequential(*layers)
        self._find_sizes((Fraction(1), Fraction(1)))

    def _segment(self, image):
        return self.layers(image)


LAYERS = {
    "strides": Conv2d(3, 2, (3, 2), stride=(2, 3), padding=(1, 0), dilation=(1, 2)),
    "pads": Conv2d(3, 2, 3, padding=(4, 2), bias=False),
    "groups": Sequential(Conv2d(3, 6, 1, groups=3), Conv2d(6, 2, 3, groups=2)),
    "response norm": LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0),
    "transposed": ConvTranspose2d(3, 2, (5, 4), stride=(3, 2), padding=(1, 2), bias=True),
    "output padding": ConvTranspose2d(3, 2, 3, 3, 0, (2, 1), (1, 2)),
    "floor": MaxPool2d(3, 2, 1),
    "ceil": MaxPool2d(2, ceil_mode=True),
    "ceil with padding": MaxPool2d((3, 2), (2, 3), (1, 0), ceil_mode=True),
    "dilated": MaxPool2d((3, 2), 2, 1, dilation=(2, 3)),
    "scale": Scale(0.0001),
    "relu": ReLU(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_settings_of_layers(name, path):
    layer = LAYERS[name]
    n_class = 2 if list(layer.parameters()) else 3
    model = filled(Layers(layer, n_class=n_class))
    export_onnx(path, model)
    running = session(path)
    # All remainders of a stride, so that the last windows lie in each way.
    for h, w in [(12, 13), (13, 14), (14, 17), (15, 12)]:
        x = 100 * normal(2, 3, h, w)
        assert_same_scores(running, model.eval(), x)


def test_an_image_of_a_size_that_is_not_taken_is_an_error_there_too(path):
    model = build(FCN8s)
    export_onnx(path, model)
    running = session(path)
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

    for size in [(100, 128), (128, 129), (20, 128)]:
        assert not model.takes(size)
        with pytest.raises((Fail, InvalidArgument, RuntimeException)):
            running.run(None, {"image": normal(1, 3, *size)})


# --- Errors -----------------------------------------------------------------------------------


def test_layers_that_cannot_be_written_are_named(path):
    model = FCN8s(4, TINY, context=PyramidPooling(128))
    with pytest.raises(ValueError, match=r"context\.pool1 is a AdaptiveAvgPool2d, which cannot"):
        export_onnx(path, model)

    class Square(ReLU):
        def forward(self, x):
            return x * x

    with pytest.raises(ValueError, match=r"layers\.1 is a Square, .* expected Conv2d, "):
        export_onnx(path, Layers(ReLU(), Square(), n_class=3))
    with pytest.raises(ValueError, match=r"expected layers\.1 of an odd size, got 4"):
        export_onnx(path, Layers(ReLU(), LocalResponseNorm(4), n_class=3))
    assert not list(path.parent.iterdir())


def test_a_model_that_is_no_fcn(tmp_path):
    with pytest.raises(ValueError, match="export_onnx: expected an FCN, got Sequential"):
        export_onnx(tmp_path / "model.onnx", Sequential(ReLU()))


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"needs the package onnx: pip install 'fcn_numpy\[onnx"):
        export_onnx(tmp_path / "model.onnx", FCN32s(2, THIN))
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_what_was_there(path, monkeypatch):
    path.write_bytes(b"before")
    monkeypatch.setattr(onnx_export, "MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match="expected a file of at most 10000 bytes, got"):
        export_onnx(path, build(FCN8s))
    assert path.read_bytes() == b"before"
    assert list(path.parent.iterdir()) == [path]


class Rectified(nn.Module):
    """A map that is rectified, and also used as it was."""

    def __init__(self):
        self.conv, self.relu, self.sum = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sum()

    def forward(self, x):
        y = self.conv(x)
        return self.sum(self.relu(y), y)


def test_a_map_and_what_a_layer_makes_of_it_are_two():
    nodes = onnx_export._Graph(trace_all(Rectified(), 8), ("image",)).nodes
    assert [inputs for _, inputs, *_ in nodes][-1] == ["relu", "conv"]
