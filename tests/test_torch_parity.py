"""Layers, their gradients and whole networks, held to PyTorch."""

import itertools

import numpy as np
import pytest
from backbones import ThinAlexNet, vgg
from references import assert_close

torch = pytest.importorskip("torch", reason="PyTorch is not installed: parity tests skipped")

from fcn_numpy import col2im, conv2d, conv2d_input, conv2d_weight, im2col  # noqa: E402
from fcn_numpy.models import (  # noqa: E402
    TINY,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
    LateFusion,
    PyramidPooling,
)
from fcn_numpy.nn import (  # noqa: E402
    AdaptiveAvgPool2d,
    BilinearResize,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
    Sum,
    bilinear_kernel,
)

pytestmark = pytest.mark.usefixtures("both_algorithms")

F = torch.nn.functional
# Relative to the largest value.
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}
FLOATS = pytest.mark.parametrize("dtype", TOLERANCE)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaf(x):
    """Return x as a tensor that gets a gradient."""
    return torch.from_numpy(np.array(x)).requires_grad_()


def check_layer(layer, torch_layer, *inputs):
    """Compare the output and the gradients of all inputs and parameters."""
    dtype = inputs[0].dtype.type
    tensors = [leaf(x) for x in inputs]
    weights = {name: leaf(p.data) for name, p in layer.named_parameters()}
    y = layer(*inputs)
    expected = torch_layer(*tensors, **weights)
    assert y.dtype == dtype
    assert_close(y, expected.detach().numpy(), TOLERANCE[dtype])
    grad = normal(*y.shape, dtype=dtype, seed=1)
    grads = layer.backward(grad)
    expected.backward(torch.from_numpy(grad))
    for g, t in zip(grads if isinstance(grads, tuple) else (grads,), tensors):
        assert g.dtype == dtype
        assert_close(g, t.grad.numpy(), TOLERANCE[dtype])
    for name, parameter in layer.named_parameters():
        assert_close(parameter.grad, weights[name].grad.numpy(), TOLERANCE[dtype])


# (N, C, F), (H, W), kernel_size, stride, padding, dilation, groups
CONVOLUTIONS = [
    ((1, 1, 1), (1, 1), (1, 1), 1, 0, 1, 1),
    ((2, 3, 4), (9, 8), (1, 1), 1, 0, 1, 1),
    ((2, 3, 4), (9, 8), (1, 1), 2, 1, 1, 1),
    ((2, 3, 5), (12, 11), (3, 3), 1, 1, 1, 1),
    ((1, 16, 24), (20, 21), (3, 3), 1, 1, 1, 1),
    ((1, 3, 4), (7, 9), (3, 3), 1, 100, 1, 1),
    ((3, 2, 3), (10, 7), (2, 3), 1, (4, 0), 1, 1),
    ((1, 4, 6), (7, 7), (7, 7), 1, 0, 1, 1),
    ((2, 3, 2), (11, 10), (3, 2), (2, 3), (1, 0), 1, 1),
    ((1, 2, 3), (9, 10), (2, 2), 3, 0, 1, 1),
    ((1, 2, 3), (13, 11), (3, 3), 1, 2, 2, 1),
    ((2, 2, 3), (13, 12), (3, 2), (2, 1), (1, 3), (2, 3), 1),
    ((2, 4, 6), (9, 8), (3, 3), 1, 1, 1, 2),
    ((1, 6, 9), (12, 11), (5, 5), 1, 2, 1, 3),
    ((2, 4, 4), (9, 10), (3, 3), 1, 1, 1, 4),
    ((1, 3, 6), (11, 10), (3, 2), (2, 3), (1, 0), 1, 3),
    ((2, 4, 2), (13, 12), (3, 2), (2, 1), (1, 3), (2, 3), 2),
    ((1, 4, 6), (6, 6), (6, 6), 1, 0, 1, 2),
]


@FLOATS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("counts", "size", "kernel_size", "stride", "padding", "dilation", "groups"), CONVOLUTIONS
)
def test_conv2d(counts, size, kernel_size, stride, padding, dilation, groups, bias, dtype):
    n, c, f = counts
    rng = np.random.default_rng(2)
    geometry = (stride, padding, dilation)
    layer = Conv2d(c, f, kernel_size, *geometry, bias, groups, dtype=dtype, rng=rng)
    if bias:
        layer.bias.data[...] = normal(f)
    check_layer(
        layer,
        lambda x, weight, bias=None: F.conv2d(x, weight, bias, *geometry, groups),
        normal(n, c, *size, dtype=dtype),
    )


@FLOATS
@pytest.mark.parametrize(
    ("counts", "size", "kernel_size", "stride", "padding", "dilation", "groups"), CONVOLUTIONS
)
def test_the_functions_of_torch_nn_grad(
    counts, size, kernel_size, stride, padding, dilation, groups, dtype
):
    n, c, f = counts
    geometry = (stride, padding, dilation, groups)
    x = normal(n, c, *size, dtype=dtype)
    w = normal(f, c // groups, *kernel_size, dtype=dtype, seed=1)
    y = conv2d(x, w, *geometry)
    grad_y = normal(*y.shape, dtype=dtype, seed=2)
    tx, tw, ty = (torch.from_numpy(a) for a in (x, w, grad_y))
    tolerance = TOLERANCE[dtype]
    assert_close(y, F.conv2d(tx, tw, None, *geometry).numpy(), tolerance)
    expected = torch.nn.grad.conv2d_input(x.shape, tw, ty, *geometry).numpy()
    assert_close(conv2d_input(grad_y, w, size, *geometry), expected, tolerance)
    expected = torch.nn.grad.conv2d_weight(tx, w.shape, ty, *geometry).numpy()
    assert_close(conv2d_weight(x, grad_y, kernel_size, *geometry), expected, tolerance)
    unfold = {
        "kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation
    }
    cols = im2col(x, kernel_size, *geometry[:3])
    assert np.array_equal(cols, F.unfold(tx, **unfold).numpy())
    other = normal(*cols.shape, dtype=dtype, seed=3)
    expected = F.fold(torch.from_numpy(other), size, **unfold).numpy()
    assert_close(col2im(other, size, kernel_size, *geometry[:3]), expected, tolerance)


# (N, C, F), (H, W), kernel_size, stride, padding, output_padding, dilation
TRANSPOSED = [
    ((1, 1, 1), (1, 1), 1, 1, 0, 0, 1),
    ((2, 3, 4), (5, 6), 3, 1, 1, 0, 1),
    ((2, 3, 3), (5, 6), 4, 2, 0, 0, 1),
    ((1, 3, 3), (4, 3), 16, 8, 0, 0, 1),
    ((1, 2, 3), (5, 4), 4, 2, 1, 1, 1),
    ((2, 2, 2), (4, 5), (3, 2), (3, 2), (0, 1), (2, 1), 1),
    ((1, 3, 2), (4, 5), 2, 3, 0, (0, 2), 1),
    ((1, 2, 3), (5, 4), (2, 3), (2, 1), (1, 0), 0, (3, 2)),
]


@FLOATS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("counts", "size", "kernel_size", "stride", "padding", "extra", "dilation"), TRANSPOSED
)
def test_conv_transpose2d(counts, size, kernel_size, stride, padding, extra, dilation, bias, dtype):
    n, c, f = counts
    layer = ConvTranspose2d(
        c, f, kernel_size, stride, padding, extra, dilation, bias, dtype=dtype,
        rng=np.random.default_rng(2),
    )
    if bias:
        layer.bias.data[...] = normal(f)
    check_layer(
        layer,
        lambda x, weight, bias=None: F.conv_transpose2d(
            x, weight, bias, stride, padding, extra, 1, dilation
        ),
        normal(n, c, *size, dtype=dtype),
    )


@FLOATS
@pytest.mark.parametrize("factor", [2, 3, 4, 8, 32])
def test_bilinear_upsampling_is_torchs_interpolation(factor, dtype):
    """Equal inside; at the border torch repeats the outermost cells, Caffe's way fades to 0."""
    size = 2 * factor - factor % 2
    layer = ConvTranspose2d(
        1, 1, size, stride=factor, padding=(size - factor) // 2, dtype=dtype
    )
    layer.weight.data[0, 0] = bilinear_kernel(size, dtype)
    x = normal(2, 1, 4, 5, dtype=dtype)
    y = layer(x)
    expected = F.interpolate(
        torch.from_numpy(x), scale_factor=factor, mode="bilinear", align_corners=False
    ).numpy()
    assert y.shape == expected.shape
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    assert_close(y[inside], expected[inside], TOLERANCE[dtype])


# (N, C, H, W), kernel_size, stride, padding, dilation
POOLS = [
    ((1, 1, 1, 1), 1, 1, 0, 1),
    ((2, 3, 8, 10), 2, 2, 0, 1),
    ((2, 3, 7, 9), 2, 2, 0, 1),
    ((2, 2, 9, 8), 3, 2, 1, 1),
    ((2, 2, 9, 10), 3, 1, 1, 1),
    ((2, 2, 9, 10), 3, 2, 0, 1),
    ((1, 3, 8, 7), 3, 2, 0, 1),
    ((1, 2, 4, 3), 3, 2, 0, 1),
    ((1, 2, 10, 7), 3, 4, 1, 1),
    ((1, 2, 9, 11), (2, 3), (2, 3), (1, 1), 1),
    ((1, 2, 9, 11), (4, 1), (1, 2), (2, 0), 1),
    ((1, 2, 7, 7), 2, 3, 0, 1),
    ((1, 1, 2, 3), 4, 3, 2, 1),
    ((2, 2, 9, 8), 2, 1, 0, 2),
    ((2, 3, 12, 11), 3, 2, 1, 2),
    ((1, 2, 10, 13), 2, 3, 0, (3, 2)),
    ((1, 2, 11, 10), (3, 2), (1, 4), (1, 0), (2, 3)),
    ((1, 1, 7, 8), 2, 5, 1, 3),
]


@FLOATS
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("values", ["different", "ties", "all-equal"])
@pytest.mark.parametrize(("shape", "kernel_size", "stride", "padding", "dilation"), POOLS)
def test_max_pool2d(shape, kernel_size, stride, padding, dilation, values, ceil_mode, dtype):
    x = normal(*shape, dtype=dtype)
    if values == "ties":
        x = np.round(x)
    elif values == "all-equal":
        x[...] = -2
    compare_pools(x, (kernel_size, stride, padding, ceil_mode, dilation))


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pool2d_of_minus_infinity(ceil_mode):
    """Padding does not win: the gradient goes to the first cell of the map in each window."""
    compare_pools(np.full((2, 2, 9, 8), -np.inf), (3, 2, 1, ceil_mode, 1))
    compare_pools(np.full((2, 2, 9, 8), -np.inf), (3, 2, 1, ceil_mode, 2))


def compare_pools(x, arguments):
    layer = MaxPool2d(*arguments)
    tensor = leaf(x)
    y = layer(x)
    *window, ceil_mode, dilation = arguments
    expected = F.max_pool2d(tensor, *window, dilation=dilation, ceil_mode=ceil_mode)
    assert np.array_equal(y, expected.detach().numpy())
    grad = normal(*y.shape, dtype=x.dtype, seed=1)
    expected.backward(torch.from_numpy(grad))
    assert_close(layer.backward(grad), tensor.grad.numpy(), TOLERANCE[x.dtype.type])


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_pool_sizes_are_torchs(dilation):
    """Where torch finds an output, ours has its size; where torch finds none, it is an error."""
    sizes, kernels, strides = range(1, 9), (1, 2, 3, 5), (1, 2, 3, 4)
    for size, kernel, stride in itertools.product(sizes, kernels, strides):
        for padding, ceil_mode in itertools.product(range(kernel // 2 + 1), (False, True)):
            x = np.zeros((1, 1, size, size))
            layer = MaxPool2d(kernel, stride, padding, ceil_mode, dilation)
            try:
                expected = F.max_pool2d(
                    torch.from_numpy(x), kernel, stride, padding, dilation, ceil_mode
                )
            except RuntimeError:
                with pytest.raises(ValueError, match="too small"):
                    layer(x)
            else:
                # Where a window is nothing but padding both say -inf.
                assert np.array_equal(layer(x), expected.numpy())


@FLOATS
def test_layers_without_a_window(dtype):
    x = np.round(normal(3, 4, 5, 6, dtype=dtype))
    assert (x == 0).any()
    check_layer(ReLU(), torch.relu, x)
    check_layer(Sum(), torch.add, x, normal(*x.shape, dtype=dtype, seed=4))
    check_layer(Flatten(), lambda t: torch.flatten(t, 1), x)
    like = np.zeros((1, 1, 2, 3), dtype)
    crop = Crop((2, 1))
    tensor = leaf(x)
    assert_close(crop(x, like), tensor[:, :, 2:4, 1:4].detach().numpy(), 0)
    grad = normal(3, 4, 2, 3, dtype=dtype)
    tensor[:, :, 2:4, 1:4].backward(torch.from_numpy(grad))
    assert_close(crop.backward(grad), tensor.grad.numpy(), 0)
    check_layer(Dropout2d(0, rng=np.random.default_rng(0)), lambda t: F.dropout2d(t, 0), x)


@FLOATS
@pytest.mark.parametrize("channels", [1, 4, 7])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_local_response_norm(size, channels, dtype):
    x = normal(2, channels, 4, 5, dtype=dtype)
    for numbers in ((1e-4, 0.75, 1.0), (3.0, 0.75, 1.0), (0.5, 1.5, 2.0)):
        check_layer(
            LocalResponseNorm(size, *numbers),
            lambda t, numbers=numbers: F.local_response_norm(t, size, *numbers), x,
        )


@FLOATS
@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias, dtype):
    layer = Linear(30, 7, bias, dtype=dtype, rng=np.random.default_rng(0))
    if bias:
        layer.bias.data[...] = normal(7)
    check_layer(
        layer,
        lambda x, weight, bias=None: F.linear(x, weight, bias),
        normal(5, 30, dtype=dtype),
    )


@FLOATS
@pytest.mark.parametrize("size", [1, 1e4])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [255, -100, 2])
def test_cross_entropy(ignore_index, weighted, reduction, size, dtype):
    scores = (size * normal(2, 5, 6, 7)).astype(dtype)
    labels = np.random.default_rng(1).integers(0, 5, (2, 6, 7))
    labels[:, ::2, ::3] = ignore_index
    weight = [0.5, 1, 2, 0, 3] if weighted else None
    layer = SoftmaxCrossEntropy(ignore_index, reduction, weight)
    tensor = leaf(scores)
    expected = torch.nn.CrossEntropyLoss(
        None if weight is None else torch.tensor(weight, dtype=tensor.dtype),
        ignore_index=ignore_index,
        reduction=reduction,
    )(tensor, torch.from_numpy(labels))
    expected.backward()
    loss = layer(scores, labels)
    assert loss == pytest.approx(expected.item(), rel=TOLERANCE[dtype])
    assert_close(layer.backward(), tensor.grad.numpy(), TOLERANCE[dtype])


@FLOATS
def test_sequential(dtype):
    rng = np.random.default_rng(0)
    model = Sequential(
        Conv2d(3, 8, 3, padding=5, dtype=dtype, rng=rng),
        ReLU(),
        MaxPool2d(2, ceil_mode=True),
        Conv2d(8, 6, 3, padding=1, dilation=2, dtype=dtype, rng=rng),
        ReLU(),
        ConvTranspose2d(6, 2, 4, 2, bias=True, dtype=dtype, rng=rng),
    )
    reference = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=5),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2, ceil_mode=True),
        torch.nn.Conv2d(8, 6, 3, padding=1, dilation=2),
        torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(6, 2, 4, 2),
    ).to(getattr(torch, np.dtype(dtype).name))
    # The names and the layout of the weights are torch's.
    state = {name: torch.from_numpy(value) for name, value in model.state_dict().items()}
    reference.load_state_dict(state)
    x = normal(2, 3, 11, 14, dtype=dtype)
    tensor = leaf(x)
    y, expected = model(x), reference(tensor)
    assert_close(y, expected.detach().numpy(), TOLERANCE[dtype])
    grad = normal(*y.shape, dtype=dtype, seed=1)
    expected.backward(torch.from_numpy(grad))
    assert_close(model.backward(grad), tensor.grad.numpy(), TOLERANCE[dtype])
    for name, parameter in reference.named_parameters():
        ours = dict(model.named_parameters())[name]
        assert_close(ours.grad, parameter.grad.numpy(), TOLERANCE[dtype])


# --- Whole networks -------------------------------------------------------------------------

# VGG16's kernels and padding, a few channels wide.
NARROW = vgg("NARROW", (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), 4, 7, 100)
# And with TINY's padding and fc6.
NARROW_TINY = vgg("NARROW_TINY", (2, 3, 3, 4, 4), (2, 2, 3, 3, 3), 6, 3, 17)


def stage(p, x, number, n_convs, pad=1):
    """Convolutions with ReLU, then the pool."""
    for index in range(1, n_convs + 1):
        name = f"conv{number}_{index}"
        first_pad = pad if index == 1 else 1
        x = F.relu(F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=first_pad))
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def scores_and_pools(p, image, pad):
    x = stage(p, image, 1, 2, pad)
    x = stage(p, x, 2, 2)
    pool3 = stage(p, x, 3, 3)
    pool4 = stage(p, pool3, 4, 3)
    x = stage(p, pool4, 5, 3)
    x = F.relu(F.conv2d(x, p["fc6.weight"], p["fc6.bias"]))
    x = F.relu(F.conv2d(x, p["fc7.weight"], p["fc7.bias"]))
    return F.conv2d(x, p["score_fr.weight"], p["score_fr.bias"]), pool4, pool3


def cut(x, like, offset):
    height, width = like.shape[2:]
    return x[:, :, offset : offset + height, offset : offset + width]


def torch_fcn32s(p, image, pad, crops):
    score, _, _ = scores_and_pools(p, image, pad)
    return cut(F.conv_transpose2d(score, p["upscore.weight"], stride=32), image, crops[0])


def torch_fcn16s(p, image, pad, crops):
    score, pool4, _ = scores_and_pools(p, image, pad)
    upscore2 = F.conv_transpose2d(score, p["upscore2.weight"], stride=2)
    score_pool4 = F.conv2d(pool4, p["score_pool4.weight"], p["score_pool4.bias"])
    fused = upscore2 + cut(score_pool4, upscore2, crops[0])
    return cut(F.conv_transpose2d(fused, p["upscore16.weight"], stride=16), image, crops[1])


def torch_fcn8s(p, image, pad, crops, scale4=1.0, scale3=1.0):
    score, pool4, pool3 = scores_and_pools(p, image, pad)
    upscore2 = F.conv_transpose2d(score, p["upscore2.weight"], stride=2)
    score_pool4 = F.conv2d(scale4 * pool4, p["score_pool4.weight"], p["score_pool4.bias"])
    fused = upscore2 + cut(score_pool4, upscore2, crops[0])
    upscore_pool4 = F.conv_transpose2d(fused, p["upscore_pool4.weight"], stride=2)
    score_pool3 = F.conv2d(scale3 * pool3, p["score_pool3.weight"], p["score_pool3.bias"])
    fused = upscore_pool4 + cut(score_pool3, upscore_pool4, crops[1])
    return cut(F.conv_transpose2d(fused, p["upscore8.weight"], stride=8), image, crops[2])


def torch_fcn8s_at_once(p, image, pad, crops):
    return torch_fcn8s(p, image, pad, crops, 0.01, 0.0001)


# Crops of the finer scores, then of the image. VGG16's are those of the paper's own networks;
# TINY's follow from its padding of 17 and its 3 x 3 fc6.
NETWORKS = [
    pytest.param(FCN32s, torch_fcn32s, NARROW, 100, (19,), id="FCN32s-NARROW"),
    pytest.param(FCN16s, torch_fcn16s, NARROW, 100, (5, 27), id="FCN16s-NARROW"),
    pytest.param(FCN8s, torch_fcn8s, NARROW, 100, (5, 9, 31), id="FCN8s-NARROW"),
    pytest.param(FCN8sAtOnce, torch_fcn8s_at_once, NARROW, 100, (5, 9, 31), id="AtOnce-NARROW"),
    pytest.param(FCN32s, torch_fcn32s, TINY, 17, (0,), id="FCN32s-TINY"),
    pytest.param(FCN16s, torch_fcn16s, TINY, 17, (1, 8), id="FCN16s-TINY"),
    pytest.param(FCN8s, torch_fcn8s, TINY, 17, (1, 1, 12), id="FCN8s-TINY"),
    pytest.param(FCN8sAtOnce, torch_fcn8s_at_once, TINY, 17, (1, 1, 12), id="AtOnce-TINY"),
]


def build(network, backbone, dtype, n_class=4, seed=0, **options):
    """Return the network with no weight at 0, as score layers and biases are at first."""
    rng = np.random.default_rng(seed)
    if "heads" not in options:
        options["n_class"] = n_class
    net = network(backbone=backbone, dropout=0, dtype=dtype, rng=rng, **options)
    for name, parameter in net.named_parameters():
        shape = parameter.data.shape
        if name.endswith("bias"):
            # Above 0, so that of two channels not both are cut off by a ReLU.
            parameter.data[...] = rng.uniform(0.5, 1.5, shape)
        else:
            spread = (0.1 if parameter.data.any() else 1) / np.sqrt(np.prod(shape[1:]))
            parameter.data += spread * rng.standard_normal(shape)
    return net


def assert_same_gradient(actual, tensor):
    """Each is measured against its own size: some are small."""
    expected = tensor.grad.numpy()
    size = np.abs(expected).max()
    assert size > 0
    assert_close(actual / size, expected / size, 1e-10)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 3, 50, 61)])
@pytest.mark.parametrize(("network", "torch_network", "backbone", "pad", "crops"), NETWORKS)
def test_whole_networks_and_all_their_gradients(
    network, torch_network, backbone, pad, crops, shape
):
    net = build(network, backbone, np.float64)
    p = {name: leaf(value) for name, value in net.state_dict().items()}
    image = normal(*shape)
    tensor = leaf(image)
    scores, expected = net(image), torch_network(p, tensor, pad, crops)
    assert scores.shape == (shape[0], 4, *shape[2:])
    assert np.ptp(scores) > 0.1
    assert_close(scores, expected.detach().numpy(), 1e-10)
    grad = normal(*scores.shape, seed=1)
    expected.backward(torch.from_numpy(grad))
    grad_image = net.backward(grad)
    assert_same_gradient(grad_image, tensor)
    for name, parameter in net.named_parameters():
        assert_same_gradient(parameter.grad, p[name])


@pytest.mark.parametrize(("network", "torch_network", "backbone", "pad", "crops"), NETWORKS)
def test_whole_networks_in_float32(network, torch_network, backbone, pad, crops):
    net = build(network, backbone, np.float32).eval()
    p = {name: torch.from_numpy(value) for name, value in net.state_dict().items()}
    image = normal(1, 3, 64, 50, dtype=np.float32)
    scores = net(image)
    assert scores.dtype == np.float32
    expected = torch_network(p, torch.from_numpy(image), pad, crops).numpy()
    assert_close(scores, expected, 1e-5)


def test_training_step_has_torchs_loss_and_gradients():
    """Scores, loss and backward in one go, with labels that are ignored."""
    net = build(FCN8s, TINY, np.float64)
    p = {name: leaf(value) for name, value in net.state_dict().items()}
    image = normal(2, 3, 64, 64)
    labels = np.random.default_rng(1).integers(0, 4, (2, 64, 64))
    labels[:, :7] = 255
    loss = SoftmaxCrossEntropy()
    value = loss(net(image), labels)
    net.backward(loss.backward())
    scores = torch_fcn8s(p, torch.from_numpy(image), 17, (1, 1, 12))
    expected = F.cross_entropy(scores, torch.from_numpy(labels), ignore_index=255)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-10)
    for name, parameter in net.named_parameters():
        assert_same_gradient(parameter.grad, p[name])


# --- AlexNet, several heads, two images -------------------------------------------------------


class TorchAlexNet(torch.nn.Module):
    """FCN-AlexNet of PyTorch's own layers, by the numbers of the authors' prototxt."""

    def __init__(self, widths, fc_width, n_class, in_channels=3, first="conv1"):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.LocalResponseNorm
        a, b, c, d, e = widths
        layers = {
            first: conv(in_channels, a, 11, 4, 100), "relu1": torch.nn.ReLU(),
            "pool1": torch.nn.MaxPool2d(3, 2, ceil_mode=True), "norm1": norm(5, 1e-4, 0.75, 1.0),
            "conv2": conv(a, b, 5, padding=2, groups=2), "relu2": torch.nn.ReLU(),
            "pool2": torch.nn.MaxPool2d(3, 2, ceil_mode=True), "norm2": norm(5, 1e-4, 0.75, 1.0),
            "conv3": conv(b, c, 3, padding=1), "relu3": torch.nn.ReLU(),
            "conv4": conv(c, d, 3, padding=1, groups=2), "relu4": torch.nn.ReLU(),
            "conv5": conv(d, e, 3, padding=1, groups=2), "relu5": torch.nn.ReLU(),
            "pool5": torch.nn.MaxPool2d(3, 2, ceil_mode=True),
            "fc6": conv(e, fc_width, 6), "relu6": torch.nn.ReLU(),
            "fc7": conv(fc_width, fc_width, 1), "relu7": torch.nn.ReLU(),
            "score_fr": conv(fc_width, n_class, 1),
            "upscore": torch.nn.ConvTranspose2d(n_class, n_class, 63, 32, bias=False),
        }
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, image):
        x = image
        for layer in self.children():
            x = layer(x)
        return cut(x, image, 18)


@pytest.mark.parametrize("in_channels", [3, 4])
def test_alexnet_and_all_its_gradients(in_channels):
    net = build(FCN32s, ThinAlexNet, np.float64, in_channels=in_channels)
    numbers = ThinAlexNet.widths, ThinAlexNet.fc_width, 4, in_channels
    reference = TorchAlexNet(*numbers, first=next(iter(dict(net.children())))).double()
    reference.load_state_dict({n: torch.from_numpy(v) for n, v in net.state_dict().items()})
    # As bright as Caffe has images: less, and the norms would change next to nothing.
    image = 100 * normal(2, in_channels, 50, 61)
    tensor = leaf(image)
    scores, expected = net(image), reference(tensor)
    assert_close(scores, expected.detach().numpy(), 1e-10)
    for layer in (reference.norm1, reference.norm2):
        layer.alpha = 0.0
        assert np.abs(reference(tensor).detach().numpy() - scores).max() > 0.01 * np.ptp(scores)
        layer.alpha = 1e-4
    grad = normal(*scores.shape, seed=1)
    expected.backward(torch.from_numpy(grad))
    assert_same_gradient(net.backward(grad), tensor)
    parameters = dict(net.named_parameters())
    for name, parameter in reference.named_parameters():
        assert_same_gradient(parameters.pop(name).grad, parameter)
    assert not parameters


def test_several_heads_and_all_their_gradients():
    heads = {"sem": 4, "geo": 3}
    net = build(FCN8s, TINY, np.float64, heads=heads)
    p = {name: leaf(value) for name, value in net.state_dict().items()}
    image = normal(1, 3, 50, 61)
    tensor = leaf(image)
    scores = net(image)
    assert list(scores) == list(heads)
    grads, total = {}, 0.0
    for seed, (name, n_class) in enumerate(heads.items()):
        own = {
            key.replace(f"_{name}.", "."): value for key, value in p.items()
            if f"_{name}." in key or not key.startswith(("score", "upscore"))
        }
        expected = torch_fcn8s(own, tensor, 17, (1, 1, 12))
        assert scores[name].shape == (1, n_class, 50, 61)
        assert_close(scores[name], expected.detach().numpy(), 1e-10)
        grads[name] = normal(*scores[name].shape, seed=seed)
        total = total + (expected * torch.from_numpy(grads[name])).sum()
    total.backward()
    assert_same_gradient(net.backward(grads), tensor)
    for name, parameter in net.named_parameters():
        assert_same_gradient(parameter.grad, p[name])


def test_late_fusion_and_all_its_gradients():
    streams = {
        "color": build(FCN32s, TINY, np.float64),
        "hha": build(FCN32s, NARROW_TINY, np.float64, seed=1, in_channels=2),
    }
    net = LateFusion(*streams.values())
    p = {name: leaf(value) for name, value in net.state_dict().items()}
    images = normal(1, 3, 50, 61), normal(1, 2, 50, 61, seed=1)
    tensors = [leaf(image) for image in images]
    coarse = []
    for name, tensor in zip(streams, tensors):
        own = {key.replace(f"{name}.", "."): value for key, value in p.items()}
        coarse.append(scores_and_pools(own, tensor, 17)[0])
    expected = F.conv_transpose2d(sum(coarse) / 2, p["upscore.weight"], stride=32)
    expected = cut(expected, tensors[0], 0)
    scores = net(*images)
    assert_close(scores, expected.detach().numpy(), 1e-10)
    grad = normal(*scores.shape, seed=2)
    expected.backward(torch.from_numpy(grad))
    for actual, tensor in zip(net.backward(grad), tensors):
        assert_same_gradient(actual, tensor)
    for name, parameter in net.named_parameters():
        assert_same_gradient(parameter.grad, p[name])


# --- Context ----------------------------------------------------------------------------------


@FLOATS
@pytest.mark.parametrize("size", [(6, 6), (5, 7), (3, 2)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6, (1, 4)])
def test_adaptive_avg_pool2d(bins, size, dtype):
    check_layer(
        AdaptiveAvgPool2d(bins), lambda x: F.adaptive_avg_pool2d(x, bins),
        normal(2, 3, *size, dtype=dtype),
    )


@FLOATS
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("new_size", [(1, 1), (5, 7), (12, 3), (4, 13)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (2, 6)])
def test_bilinear_resize(size, new_size, align_corners, dtype):
    like = np.zeros((1, 1, *new_size), dtype)
    check_layer(
        Sequential(_To(like, align_corners)),
        lambda x: F.interpolate(x, new_size, mode="bilinear", align_corners=align_corners),
        normal(2, 3, *size, dtype=dtype),
    )


class _To(BilinearResize):
    """To a fixed size, so that it has one input as PyTorch's."""

    def __init__(self, like, align_corners):
        super().__init__(align_corners)
        self._like = like

    def forward(self, x):
        return super().forward(x, self._like)


@FLOATS
@pytest.mark.parametrize("align_corners", [False, True])
def test_pyramid_pooling(align_corners, dtype):
    pyramid = PyramidPooling(
        8, align_corners=align_corners, dtype=dtype, rng=np.random.default_rng(0)
    )

    def torch_pyramid(x, **p):
        maps = [x]
        for b in (1, 2, 3, 6):
            level = F.adaptive_avg_pool2d(x, b)
            level = F.relu(F.conv2d(level, p[f"conv{b}.weight"], p[f"conv{b}.bias"]))
            maps.append(
                F.interpolate(level, x.shape[2:], mode="bilinear", align_corners=align_corners)
            )
        return torch.cat(maps, 1)

    check_layer(pyramid, torch_pyramid, normal(2, 8, 7, 5, dtype=dtype))


def test_concat():
    check_layer(
        Concat(), lambda *xs: torch.cat(xs, 1), normal(2, 3, 4, 5), normal(2, 1, 4, 5, seed=1)
    )
