"""Section 3.2: shift-and-stitch and the filters with holes give the same dense map."""

import numpy as np
import pytest
from references import assert_close

from fcn_numpy import conv2d
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn import Conv2d, Dropout2d, MaxPool2d, ReLU, Sequential
from fcn_numpy.paper import rarefaction, rarefied_kernel, rarefy, shift_and_stitch

pytestmark = pytest.mark.usefixtures("both_algorithms")


def conv(*arguments, **options):
    """Convolution from 2 to 2 channels."""
    return lambda: Conv2d(
        2, 2, *arguments, **options, dtype=np.float64, rng=np.random.default_rng(0)
    )


def pool(*arguments, **options):
    return lambda: MaxPool2d(*arguments, **options)


def build(*makers, whole=False):
    """Return the layers with parameters drawn, as whole numbers if arithmetic is to be exact."""
    net, rng = Sequential(*(make() for make in makers)), np.random.default_rng(2)
    for parameter in net.parameters():
        shape = parameter.data.shape
        parameter.data[...] = (
            rng.integers(-2, 3, shape) if whole else rng.standard_normal(shape)
        )
    return net


# name: (layers, stride). Layer behind layer so that holes come from more than one stride.
NETS = {
    "pool-2": ([conv(3), ReLU, pool(2), conv(3)], (2, 2)),
    "pool-3": ([conv(2), ReLU, pool(3), conv(3), ReLU], (3, 3)),
    "overlapping-pool": ([pool(3, 2), conv(2)], (2, 2)),
    "two-pools": ([conv(3), ReLU, pool(2), conv(3), ReLU, pool(2), conv(2)], (4, 4)),
    "pool-2-and-3": ([pool(2), conv(2), ReLU, pool(2, 3), conv(2)], (6, 6)),
    "strided-conv": ([conv(3, stride=2), ReLU, conv(3)], (2, 2)),
    "strides-of-both": ([conv(3, stride=3), ReLU, pool(2), conv(2), conv(1)], (6, 6)),
    "stride-over-kernel": ([conv(1, stride=3), conv(2)], (3, 3)),
    "uneven-axes": ([conv((3, 2), stride=(2, 1)), pool((1, 3)), conv((2, 3))], (2, 3)),
    "own-dilation": ([pool(2), conv(3, dilation=2), pool(2, 1, dilation=(1, 2))], (2, 2)),
    "padding-behind": (
        [conv(3), pool(2), conv(3, padding=1), conv((3, 2), padding=(2, 3))], (2, 2)
    ),
    "ceil-mode-at-stride-1": ([conv(2, stride=2), pool(2, 1, ceil_mode=True)], (2, 2)),
    "one-axis-padded": ([conv(3, padding=(0, 1)), pool((2, 1)), conv(3)], (2, 1)),
    "no-stride": ([conv(3, padding=1), ReLU, conv(3, padding=2, dilation=2)], (1, 1)),
}
each_net = pytest.mark.parametrize("name", NETS)
SIZES = pytest.mark.parametrize("size", [(29, 30), (31, 27), (28, 33), (35, 32)])


@SIZES
@each_net
def test_both_give_the_same_dense_map(name, size):
    makers, _ = NETS[name]
    # Whole numbers: sums in any order are the same, so equal means equal.
    net = build(*makers, whole=True)
    x = np.random.default_rng(5).integers(-9, 10, (2, 2, *size)).astype(np.float64)
    stitched, rarefied = shift_and_stitch(net, x), rarefy(net)(x)
    assert np.array_equal(stitched, rarefied)
    assert len(np.unique(stitched)) > 10
    net = build(*makers)
    x = np.random.default_rng(6).standard_normal((2, 2, *size))
    assert_close(shift_and_stitch(net, x), rarefy(net)(x), 1e-12)


@each_net
def test_the_dense_map_holds_the_networks_own(name):
    makers, (fh, fw) = NETS[name]
    net = build(*makers, whole=True)
    x = np.random.default_rng(5).integers(-9, 10, (1, 2, 30, 29)).astype(np.float64)
    coarse = net(x)
    for dense in (shift_and_stitch(net, x), rarefy(net)(x)):
        assert np.array_equal(dense[:, :, ::fh, ::fw], coarse)


@each_net
def test_a_rarefied_network_has_stride_1_and_the_same_receptive_field(name):
    makers, stride = NETS[name]
    net = build(*makers)
    coarse = net(FeatureMap(2, (40, 41))).grid
    dense = rarefy(net)(FeatureMap(2, (40, 41))).grid
    assert coarse.scale == stride
    assert dense.scale == (1, 1)
    assert (dense.field, dense.shift) == (coarse.field, coarse.shift)


def test_without_padding_there_is_a_cell_for_each_place_of_the_receptive_field():
    net = build(*NETS["two-pools"][0])
    field = net(FeatureMap(2, (40, 40))).grid.field[0]
    for size in range(field + 3, field + 9):
        x = np.ones((1, 2, size, size))
        assert shift_and_stitch(net, x).shape[2:] == (size - field + 1,) * 2
    with pytest.raises(ValueError, match=r"shifts by up to \(3, 3\).*got \(1, 2, .*too small"):
        shift_and_stitch(net, np.ones((1, 2, field + 2, field + 3)))
    # Filters with holes need no shifts: down to the receptive field there is a cell.
    assert rarefy(net)(np.ones((1, 2, field, field))).shape[2:] == (1, 1)


def test_an_image_smaller_than_the_stride_is_an_error():
    with pytest.raises(ValueError, match=r"shifts by up to \(4, 4\).*got \(1, 2, 2, 3\)"):
        shift_and_stitch(build(conv(1, stride=5)), np.ones((1, 2, 2, 3)))


def test_padding_the_image_instead_is_exact():
    net = build(*NETS["two-pools"][0], whole=True)
    x = np.random.default_rng(5).integers(-9, 10, (1, 2, 24, 23)).astype(np.float64)
    x = np.pad(x, ((0, 0), (0, 0), (7, 7), (6, 6)))
    assert np.array_equal(shift_and_stitch(net, x), rarefy(net)(x))


@pytest.mark.parametrize(
    "makers",
    [
        [conv(3, padding=1), pool(2), conv(3)],
        [conv(3, stride=2, padding=1), conv(3)],
        [conv(3), pool(2, ceil_mode=True), conv(3)],
    ],
)
def test_what_is_refused_would_be_wrong(monkeypatch, makers):
    """Shifts see zeros where the dense map saw the image, or windows that it does not have."""
    x = np.random.default_rng(5).integers(1, 10, (1, 2, 24, 24)).astype(np.float64)
    net = build(*makers, whole=True)
    monkeypatch.setattr(rarefaction, "_check_layers", lambda net: None)
    stitched, rarefied = shift_and_stitch(net, x), rarefy(net)(x)
    assert stitched.shape != rarefied.shape or not np.array_equal(stitched, rarefied)


@pytest.mark.parametrize(
    "run", [rarefy, lambda net: shift_and_stitch(net, np.ones((1, 2, 30, 30)))]
)
@pytest.mark.parametrize(
    ("makers", "message"),
    [
        ([conv(3, padding=1), pool(2)], r"padding only after the last stride.*MaxPool2d \(1\)"),
        ([conv(3, 2, 1)], r"padding only after.*Conv2d \(0\) of stride \(2, 2\)"),
        ([conv(3, 2), conv(3, padding=(0, 1)), conv(1, (1, 2))], r"after.*Conv2d \(2\)"),
        ([pool(2, ceil_mode=True)], r"ceil_mode=False, got ceil_mode=True \(0\)"),
        ([ReLU, pool(3, 1, 1)], r"pools without padding, got \(1, 1\) \(1\)"),
        ([conv(3), Dropout2d], r"expected layers Conv2d.*got Dropout2d \(1\)"),
    ],
)
def test_what_cannot_be_exact_is_an_error(makers, message, run):
    with pytest.raises(ValueError, match=message):
        run(build(*makers))


def test_the_network_stays_as_it_is():
    net = build(*NETS["two-pools"][0])
    before, x = net.state_dict(), np.random.default_rng(0).standard_normal((1, 2, 30, 30))
    y = net(x)
    copy = rarefy(net)
    for parameter in copy.parameters():
        parameter.data[...] = 0
    assert all(np.array_equal(value, before[name]) for name, value in net.state_dict().items())
    assert np.array_equal(net(x), y)
    assert not any(module.training for module in copy.modules())


def test_the_filter_with_holes_written_out():
    w = np.random.default_rng(0).standard_normal((2, 3, 3, 2))
    x = np.random.default_rng(1).standard_normal((1, 3, 12, 11))
    for factor in (1, 2, (3, 4)):
        full = rarefied_kernel(w, factor)
        fh, fw = (factor, factor) if isinstance(factor, int) else factor
        assert full.shape == (2, 3, 2 * fh + 1, fw + 1)
        for i, j in np.ndindex(full.shape[2:]):
            a_tap = i % fh == j % fw == 0
            expected = w[:, :, i // fh, j // fw] if a_tap else np.zeros((2, 3))
            assert np.array_equal(full[:, :, i, j], expected)
        assert_close(conv2d(x, full), conv2d(x, w, dilation=factor), 1e-12)
