"""The networks of the paper's authors, as OpenCV makes them of .prototxt and .caffemodel files.

OpenCV's importer of Caffe's files and its layers were written by others, from Caffe.
"""

import contextlib

import numpy as np
import pytest
from backbones import ThinAlexNet, ThinVGG16
from caffe_networks import NETWORKS, build, caffe_layers, fill

from fcn_numpy import weights
from fcn_numpy.convolution import algorithm
from fcn_numpy.models import ALEXNET, VGG16, Frozen

# Where the authors crop, from the coarsest skip to the image.
OFFSETS = {"fcn32s": [19], "fcn16s": [5, 27], "fcn8s": [5, 9, 31], "alexnet": [18]}

# The authors' numbers of FCN-AlexNet, in the order of their files.
FCN_ALEXNET = {
    "conv1": {"num_output": 96, "pad": 100, "kernel_size": 11, "group": 1, "stride": 4},
    "pool1": {"pool": "MAX", "kernel_size": 3, "stride": 2},
    "norm1": {"local_size": 5, "alpha": 0.0001, "beta": 0.75, "k": 1},
    "conv2": {"num_output": 256, "pad": 2, "kernel_size": 5, "group": 2, "stride": 1},
    "pool2": {"pool": "MAX", "kernel_size": 3, "stride": 2},
    "norm2": {"local_size": 5, "alpha": 0.0001, "beta": 0.75, "k": 1},
    "conv3": {"num_output": 384, "pad": 1, "kernel_size": 3, "group": 1, "stride": 1},
    "conv4": {"num_output": 384, "pad": 1, "kernel_size": 3, "group": 2, "stride": 1},
    "conv5": {"num_output": 256, "pad": 1, "kernel_size": 3, "group": 2, "stride": 1},
    "pool5": {"pool": "MAX", "kernel_size": 3, "stride": 2},
    "fc6": {"num_output": 4096, "pad": 0, "kernel_size": 6, "group": 1, "stride": 1},
    "fc7": {"num_output": 4096, "pad": 0, "kernel_size": 1, "group": 1, "stride": 1},
    "score_fr": {"num_output": 21, "pad": 0, "kernel_size": 1},
    "upscore": {"num_output": 21, "bias_term": False, "kernel_size": 63, "stride": 32},
}


@pytest.fixture(scope="module")
def cv2():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if int(cv2.__version__.split(".")[0]) >= 5:
        pytest.skip("OpenCV 5 has no importer of Caffe's files: install opencv-python-headless<5")
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield cv2
    cv2.setNumThreads(before)


@contextlib.contextmanager
def saved(name, backbones, folder):
    """Make a network with random weights, and a .caffemodel file of it for as long as it is used.

    Such a file has up to a gigabyte, and pytest would keep it.
    """
    model = fill(build(name, *backbones), np.random.default_rng(0))
    path = folder / "weights.caffemodel"
    weights.save(path, {name: p.data for name, p in model.named_parameters()})
    try:
        yield model, path
    finally:
        path.unlink()


@pytest.fixture(scope="module", params=NETWORKS)
def thin(request, tmp_path_factory):
    """Return a network of few channels, and its file."""
    folder = tmp_path_factory.mktemp(request.param)
    with saved(request.param, (ThinVGG16, ThinAlexNet), folder) as model_and_path:
        yield model_and_path


def imported(cv2, model, path, size, n=1):
    """Return a network as OpenCV reads it, and a dict: for each output, the layer it is of."""
    layers, tops = caffe_layers(model, size, n)
    description = path.with_suffix(".prototxt")
    description.write_text("".join(map(str, layers)))
    net = cv2.dnn.readNetFromCaffe(str(description), str(path))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    return net, tops


def images(model, size, n=1):
    """Draw n images, or n pairs, in the range of pixels minus their mean."""
    rng = np.random.default_rng(1)
    shapes = [(n, channels, *size) for channels in model.inputs.values()]
    return [rng.uniform(-120, 120, shape).astype(np.float32) for shape in shapes]


def scores_of(net, tops, inputs, xs):
    """Return a dict of the scores that OpenCV computes."""
    for name, x in zip(inputs, xs):
        net.setInput(x, name)
    return dict(zip(tops, net.forward(list(tops.values()))))


def assert_same_scores(actual, expected):
    actual = actual if isinstance(actual, dict) else {"scores": actual}
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].shape == value.shape and actual[name].dtype == np.float32
        largest = np.abs(value).max()
        # Neither vanished nor exploded on the way through the layers.
        assert 1 < value.std() < largest < 1e5
        assert np.abs(actual[name] - value).max() <= 1e-4 * largest


# Pixels, in two images of an odd size; small numbers, among which biases count, and whole strides.
@pytest.mark.parametrize(("size", "n", "scale"), [((50, 33), 2, 1), ((64, 96), 1, 0.01)])
def test_opencv_computes_the_same_scores(cv2, thin, size, n, scale):
    model, path = thin
    xs = [np.float32(scale) * x for x in images(model, size, n)]
    expected = scores_of(*imported(cv2, model, path, size, n), model.inputs, xs)
    for name in ("auto", "plain"):
        with algorithm(name):
            assert_same_scores(model(*xs), expected)
    with Frozen(model) as network:
        assert_same_scores(network(*xs), expected)


def test_opencv_holds_the_weights_that_were_saved(cv2, thin):
    model, path = thin
    net, _ = imported(cv2, model, path, (64, 64))
    for name, value in model.state_dict().items():
        layer, _, kind = name.rpartition(".")
        blob = net.getParam(layer, ["weight", "bias"].index(kind))
        # Biases are a matrix there, of one row or of one column, as OpenCV's version has it.
        assert blob.shape == value.shape if kind == "weight" else blob.size == value.size, name
        assert np.array_equal(blob.reshape(value.shape), value), name


def test_a_saved_network_is_read_back_unchanged(thin):
    model, path = thin
    state, loaded = model.state_dict(), weights.load(path)
    assert list(loaded) == list(state)
    for name, value in state.items():
        assert loaded[name].dtype == value.dtype and np.array_equal(loaded[name], value), name


@pytest.mark.parametrize("name", NETWORKS)
def test_crops_begin_where_the_authors_crop(name):
    layers, tops = caffe_layers(build(name, VGG16, ALEXNET), (500, 375))
    got = [layer.parameters["offset"] for layer in layers if layer.kind == "Crop"]
    expected = next(offsets for part, offsets in OFFSETS.items() if part in name)
    assert got == [(offset, offset) for offset in expected] * len(tops)


def test_fcn_alexnet_has_the_numbers_of_the_authors():
    layers, _ = caffe_layers(build("voc-fcn-alexnet", VGG16, ALEXNET), (500, 375))
    got = {layer.name: layer.parameters for layer in layers}
    assert [name for name in got if name in FCN_ALEXNET] == list(FCN_ALEXNET)
    for name, numbers in FCN_ALEXNET.items():
        assert got[name].items() >= numbers.items(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_opencv_computes_the_same_scores_at_full_width(cv2, tmp_path, name):
    with saved(name, (VGG16, ALEXNET), tmp_path) as (model, path):
        net, tops = imported(cv2, model, path, (97, 130))
        # To read that much once more would take a while; OpenCV makes do with another size.
        for size in [(97, 130), (33, 48)]:
            xs = images(model, size)
            expected = scores_of(net, tops, model.inputs, xs)
            assert_same_scores(model(*xs), expected)
            with Frozen(model) as network:
                assert_same_scores(network(*xs), expected)
