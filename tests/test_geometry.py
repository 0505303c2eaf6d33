"""Sizes, grids, receptive fields and crop offsets, held to counting and to perturbation."""

import io
import itertools
import pathlib
import re
import tokenize
from fractions import Fraction

import numpy as np
import pytest
from backbones import vgg
from references import as_pair, window_starts

import fcn_numpy.models
from fcn_numpy.geometry import Axis, FeatureMap, Grid, trace
from fcn_numpy.models import TINY, FCN8s, FCN8sAtOnce, FCN16s, FCN32s
from fcn_numpy.nn import Conv2d, ConvTranspose2d, Crop, MaxPool2d, ReLU, Sequential, Sum
from fcn_numpy.window import Window

pytestmark = pytest.mark.usefixtures("both_algorithms")

# VGG16's kernels and padding, a few channels wide.
NARROW = vgg("NARROW", (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), 4, 7, 100)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_output_size_counts_windows(kernel, padding, dilation, ceil_mode):
    if ceil_mode and 2 * padding > kernel:
        padding = kernel // 2  # no pool has more
    for size, stride in itertools.product(range(1, 14), range(1, 6)):
        count = len(window_starts(size, kernel, stride, padding, dilation, ceil_mode))
        window = Window.of((kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
        if count:
            assert window.output_size((size, 60), ceil_mode) == (count, 60)
        else:
            message = rf"size \({size}, 60\).*kernel_size \({kernel}, 1\)"
            with pytest.raises(ValueError, match=message):
                window.output_size((size, 60), ceil_mode)


# What torch.nn.functional.conv2d gives: size, kernel_size, stride, padding, dilation, result.
@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding", "dilation", "expected"),
    [
        ((7, 8), 3, 1, 0, 1, (5, 6)),
        ((7, 8), 3, 1, 1, 1, (7, 8)),
        ((224, 224), 3, 1, 100, 1, (422, 422)),
        ((9, 10), (3, 2), (2, 3), (1, 0), 1, (5, 3)),
        ((13, 11), 3, 2, (2, 0), (2, 3), (7, 3)),
        ((5, 5), 5, 1, 0, 1, (1, 1)),
        ((1, 1), 1, 1, 0, 1, (1, 1)),
        ((10, 10), 4, 3, 5, 2, (5, 5)),
    ],
)
def test_output_size_of_a_convolution(size, kernel_size, stride, padding, dilation, expected):
    assert Window.of(kernel_size, stride, padding, dilation).output_size(size) == expected


# What torch.nn.functional.max_pool2d gives: size, kernel_size, stride, padding, floor, ceil.
@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding", "floor", "ceil"),
    [
        ((7, 8), 2, 2, 0, (3, 4), (4, 4)),
        ((7, 8), 3, 2, 1, (4, 4), (4, 5)),
        ((1, 1), 2, 2, 0, None, (1, 1)),
        ((5, 6), 2, 3, 1, (2, 3), (2, 3)),
        ((6, 5), 3, 3, 0, (2, 1), (2, 2)),
        ((9, 11), (2, 3), (2, 3), (1, 1), (5, 4), (5, 4)),
        ((10, 7), 3, 4, 1, (3, 2), (3, 2)),
        ((3, 4), 2, 4, 1, (1, 2), (1, 2)),
        ((2, 2), 3, 2, 1, (1, 1), (2, 2)),
        ((423, 211), 2, 2, 0, (211, 105), (212, 106)),
        ((4, 4), 2, 3, 1, (2, 2), (2, 2)),
        ((5, 5), 1, 3, 0, (2, 2), (2, 2)),
        ((2, 3), 4, 3, 2, (1, 2), (2, 2)),
    ],
)
def test_output_size_of_a_pool(size, kernel_size, stride, padding, floor, ceil):
    window = Window.of(kernel_size, stride, padding)
    assert window.output_size(size, ceil_mode=True) == ceil
    if floor is None:
        with pytest.raises(ValueError, match="too small"):
            window.output_size(size)
    else:
        assert window.output_size(size) == floor


# What torch.nn.functional.conv_transpose2d gives.
@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding", "output_padding", "dilation", "expected"),
    [
        ((7, 5), 4, 2, 0, 0, 1, (16, 12)),
        ((7, 5), 4, 2, 1, 0, 1, (14, 10)),
        ((7, 5), 16, 8, 0, 0, 1, (64, 48)),
        ((3, 4), 3, 2, 1, 1, 1, (6, 8)),
        ((3, 4), (3, 2), (3, 2), (0, 1), (2, 1), 1, (11, 7)),
        ((4, 5), 3, 1, 2, 0, 2, (4, 5)),
        ((1, 1), 64, 32, 0, 0, 1, (64, 64)),
        ((2, 3), 2, 3, 0, (2, 0), (1, 3), (7, 10)),
    ],
)
def test_input_size(
    size, kernel_size, stride, padding, output_padding, dilation, expected
):
    window = Window.of(kernel_size, stride, padding, dilation)
    assert window.input_size(size, output_padding) == expected


def test_transposed_size_is_the_smallest_that_convolves_back():
    for n, k, s, d in itertools.product(range(1, 6), (1, 2, 4), (1, 2, 3), (1, 2)):
        for p in {0, d * (k - 1) // 2}:
            fits = [m for m in range(1, 40) if len(window_starts(m, k, s, p, d)) == n]
            assert len(fits) == s
            for extra, size in enumerate(fits):
                window = Window.of(k, s, p, d)
                assert window.input_size((n, n), extra) == (size, size)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Window.of(0), "expected kernel_size.*at least 1.*got 0"),
        (lambda: Window.of(2, 0), "expected stride.*at least 1.*got 0"),
        (lambda: Window.of(2, padding=-1), "expected padding.*at least 0.*got -1"),
        (lambda: Window.of(2, dilation=0), "expected dilation.*at least 1.*got 0"),
        (lambda: Window.of(2).output_size((4, 4, 4)), r"expected size.*got \(4, 4, 4\)"),
        (lambda: Window.of(2).input_size((0, 4)), r"expected size.*at least 1.*got \(0, 4\)"),
        (lambda: Window.of(2, 1, 1).input_size((1, 1)), r"empty.*size \(1, 1\).*\(0, 0\)"),
        (
            lambda: Window.of(2).input_size((1, 1), -1),
            "expected output_padding.*at least 0.*got -1",
        ),
        (lambda: trace(ReLU(), 0), "expected size.*at least 1.*got 0"),
    ],
)
def test_wrong_numbers_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def fractions(*values):
    return tuple(Fraction(v) for v in values)


def grid_at(scale, shift):
    return Grid(*(Axis(Fraction(c), Fraction(h)) for c, h in zip(scale, shift)))


def test_the_image_is_its_own_grid():
    grid = Grid()
    assert (grid.scale, grid.shift, grid.field) == ((1, 1), (0, 0), (1, 1))


def test_a_convolution_moves_the_grid():
    grid = Grid().convolved((3, 4), (2, 3), (1, 0), (1, 2))
    assert (grid.scale, grid.shift, grid.field) == ((2, 3), (0, 3), (3, 7))
    grid = grid.convolved((2, 2), (2, 2))
    assert (grid.scale, grid.shift) == ((4, 6), fractions(1, "9/2"))
    assert grid.field == (5, 10)


def test_a_transposed_convolution_takes_the_scale_and_shift_back():
    for kernel, stride, padding, dilation in itertools.product(
        (1, 2, 3, 4), (1, 2, 3), (0, 1, 4), (1, 2)
    ):
        arguments = [as_pair(v) for v in (kernel, stride, padding, dilation)]
        start = grid_at((2, 3), ("1/2", -5))
        there = start.convolved(*arguments).transpose_convolved(*arguments)
        assert (there.scale, there.shift) == (start.scale, start.shift)


def test_offsets_are_whole_and_not_negative():
    grid = grid_at((2, 4), ("-7/2", -8))
    target = grid_at((2, 4), ("1/2", 4))
    assert grid.offset_of(target) == (2, 3)
    assert grid.offset_of(grid) == (0, 0)
    with pytest.raises(ValueError, match=r"whole cells from 0.*\(-2, -3\)"):
        target.offset_of(grid)
    with pytest.raises(ValueError, match=r"whole cells from 0.*\(1/2, 0\)"):
        grid.offset_of(grid_at((2, 4), ("-5/2", -8)))
    with pytest.raises(ValueError, match=r"same scale.*\(2, 4\).*\(2, 2\)"):
        grid.offset_of(grid_at((2, 2), ("-7/2", -8)))


def positive(model):
    """Make all weights positive and all biases 0: nothing that is seen can cancel out."""
    rng = np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        weight = name.endswith("weight")
        parameter.data[...] = rng.uniform(0.5, 1.5, parameter.data.shape) if weight else 0
    return model.astype(np.float64).eval()


def seen(model, size, axis):
    """Return seen[i, r]: whether row (column) i of the output depends on that of the image.

    On an image of zeros the output is zero; any row of ones that a cell sees makes it positive.
    """
    n = size[axis]
    images = np.zeros((n, 1, *size))
    for r in range(n):
        np.moveaxis(images, 2 + axis, 1)[r, r] = 1
    y = np.moveaxis(model(images), 2 + axis, 1)
    return y.reshape(n, y.shape[1], -1).any(axis=2).T


def layers(*makers):
    return positive(Sequential(*(make() for make in makers)))


def conv(*arguments):
    return lambda: Conv2d(1, 1, *arguments, rng=np.random.default_rng(0))


def transposed(*arguments):
    return lambda: ConvTranspose2d(1, 1, *arguments, rng=np.random.default_rng(0))


DOWN = {
    "one-conv": [conv((3, 5), 1, (1, 0))],
    "conv-stride-dilation": [conv((2, 3), (2, 1), 1, (3, 2)), conv(3, 1, (0, 1))],
    "conv-pool": [conv(3, 1, 1), ReLU, conv(3, 1, 1), ReLU, lambda: MaxPool2d(2, 2)],
    "vgg-like": [
        conv(3, 1, 5), ReLU, lambda: MaxPool2d(2, ceil_mode=True),
        conv(3, 1, 1), ReLU, lambda: MaxPool2d(2, ceil_mode=True), conv((3, 2)),
    ],
    "overlapping-pool": [lambda: MaxPool2d((3, 2), (2, 1), (1, 0)), conv((2, 3), (2, 3))],
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", DOWN)
def test_a_cell_sees_its_field_and_nothing_else(name, axis):
    """Cell i sees exactly the pixels around scale * i + shift, as far as its field says."""
    model, size = layers(*DOWN[name]), (41, 43)
    grid = trace(model, size, channels=1)[-1].output.grid
    scale, shift, field = grid.scale[axis], grid.shift[axis], grid.field[axis]
    inner = 0
    for i, pixels in enumerate(seen(model, size, axis)):
        first = scale * i + shift - (field - 1) / 2
        if 0 <= first and first + field <= size[axis]:
            found = np.flatnonzero(pixels)
            assert (found[0], found[-1]) == (first, first + field - 1)
            inner += 1
    assert inner >= 3


UP = {
    "upsampling-alone": [transposed(4, 2)],
    "odd-kernel": [transposed((5, 3), 2, 1)],
    "dilated": [conv(2, 2), transposed(3, 2, 0, 0, (2, 3))],
    "kernel-below-stride": [conv(3, 3), transposed(2, 3)],
    "fcn-32s-like": [
        conv(3, 1, 9), ReLU, lambda: MaxPool2d(2, ceil_mode=True),
        conv(3, 1, 1), ReLU, lambda: MaxPool2d(2, ceil_mode=True), conv(2), transposed(8, 4),
    ],
    "upsampled-then-convolved": [lambda: MaxPool2d(2), transposed(4, 2), conv(2)],
    "upsampled-twice": [
        lambda: MaxPool2d(2), lambda: MaxPool2d(2), transposed(4, 2), transposed(4, 2)
    ],
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", UP)
def test_the_field_is_the_most_that_one_cell_sees(name, axis):
    model, size = layers(*UP[name]), (41, 43)
    grid = trace(model, size, channels=1)[-1].output.grid
    pixels = [np.flatnonzero(row) for row in seen(model, size, axis)]
    assert max(p[-1] - p[0] + 1 for p in pixels if len(p)) == grid.field[axis]


def test_fusing_takes_the_larger_field():
    narrow = FeatureMap(1, (4, 4), Grid().convolved((3, 9), padding=(1, 4)))
    wide = FeatureMap(1, (4, 4), Grid().convolved((5, 1), padding=(2, 0)))
    assert Sum()(narrow, wide).grid.field == (5, 9)
    shifted = FeatureMap(1, (4, 4), Grid().convolved((3, 9), padding=(2, 4)))
    with pytest.raises(ValueError, match="one grid"):
        Sum()(shifted, narrow)


def test_field_of_a_whole_fcn_32s():
    """A step edge moves over the image: where an inner cell starts to see it bounds its field."""
    rng = np.random.default_rng(0)
    height, width, row, column = 352, 33, 176, 16
    field = trace(FCN32s(1, TINY, rng=rng), (height, width))[-1].output.grid.field[0]
    # Fewer channels see the same pixels, and take less time.
    thin = vgg("THIN", (2, 2, 2, 2, 2), TINY.convs, 2, TINY.fc_kernel, TINY.pad)
    model = positive(FCN32s(1, thin, rng=rng))

    def sees(rows):
        image = np.zeros((1, 3, height, width))
        image[:, :, rows] = 1
        return bool(model(image)[0, 0, row, column] > 0)

    def first_true(low, high, test):
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if test(middle) else (middle + 1, high)
        return low

    first = first_true(0, height - 1, lambda r: sees(slice(0, r + 1)))
    last = height - 1 - first_true(0, height - 1, lambda r: sees(slice(height - 1 - r, height)))
    # Otherwise the image is too small to tell.
    assert 0 < first < last < height - 1
    assert last - first + 1 == field


@pytest.mark.parametrize(
    ("model", "offsets"),
    [(FCN8s, [5, 9, 31]), (FCN8sAtOnce, [5, 9, 31]), (FCN16s, [5, 27]), (FCN32s, [19])],
)
def test_crop_offsets_of_vgg16_follow_from_its_layers(model, offsets):
    net = model(2, NARROW, rng=np.random.default_rng(0))
    crops = [module.offset for module in net.modules() if isinstance(module, Crop)]
    assert crops == [(offset, offset) for offset in offsets]


@pytest.mark.parametrize("model", [FCN8s, FCN16s, FCN32s])
@pytest.mark.parametrize("backbone", [TINY, NARROW], ids=lambda b: b.name)
def test_scores_lie_on_the_image(model, backbone):
    """After the last crop, cell (0, 0) is pixel (0, 0), and the size is the image's."""
    net = model(2, backbone, rng=np.random.default_rng(0))
    output = trace(net, (64, 128))[-1].output
    assert output.size == (64, 128)
    assert (output.grid.scale, output.grid.shift) == ((1, 1), (0, 0))


def test_the_crops_stand_in_no_source_file():
    """They are derived: no model has one of these numbers in its code."""
    folder = pathlib.Path(fcn_numpy.models.__file__).parent
    files = sorted(folder.rglob("*.py"))
    assert {"fcn.py", "vgg.py"} <= {path.name for path in files}
    numbers = {
        (path.name, token.start[0], token.string)
        for path in files
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
        if token.type == tokenize.NUMBER
    }
    # The table of VGG16 is among them, so they were read.
    assert {"100", "4096"} <= {number for _, _, number in numbers}
    # In AlexNet, 5 is the kernel of conv2 and the size of its normalization.
    of_alexnet = [name for name, _, number in numbers if number == "5"]
    assert of_alexnet == ["alexnet.py"] * 2
    assert not [found for found in numbers if re.fullmatch("9|31|27|19|18|63", found[2])]


def test_steps_have_the_layers_names_and_sizes():
    net = FCN8s(2, TINY, rng=np.random.default_rng(0)).eval()
    steps = trace(net, (64, 128))
    assert [s.name for s in steps[:3]] == ["conv1_1", "relu1_1", "conv1_2"]
    assert steps[-1].name == "crop"
    assert all(step.layer is getattr(net, step.name) for step in steps)
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 128)).astype(np.float32)
    assert steps[-1].output.shape == net(image).shape


def test_a_trace_gives_the_sizes_of_the_real_maps():
    model = Sequential(
        Conv2d(3, 4, (3, 2), (2, 1), 1, rng=np.random.default_rng(0)),
        ReLU(),
        MaxPool2d(3, 2, 1, ceil_mode=True),
        ConvTranspose2d(4, 2, (5, 4), 3, (1, 0), (2, 1), rng=np.random.default_rng(0)),
    )
    x = np.random.default_rng(0).standard_normal((1, 3, 17, 14)).astype(np.float32)
    steps = trace(model, (17, 14))
    assert [step.name for step in steps] == ["0", "1", "2", "3"]
    for step in steps:
        x = step.layer(x)
        assert x.shape == step.output.shape
