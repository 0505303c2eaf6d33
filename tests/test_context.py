"""Resizing by matrices, and the pyramid that lets an FCN see the whole image."""

import numpy as np
import pytest
from references import assert_close

from fcn_numpy.geometry import FeatureMap, trace
from fcn_numpy.gradcheck import gradcheck
from fcn_numpy.models import TINY, FCN8s, PyramidPooling
from fcn_numpy.nn import AdaptiveAvgPool2d, BilinearResize, Concat, Conv2d
from fcn_numpy.nn.resize import averaging_matrix, interpolation_matrix

pytestmark = pytest.mark.usefixtures("both_algorithms")


def rng(seed=0):
    return np.random.default_rng(seed)


# --- Resizing ---------------------------------------------------------------------------------


def test_bins_by_hand():
    """Five cells in three bins share their borders; three bins of two cells are repeated."""
    x = np.array([1.0, 2, 3, 4, 5])
    assert (averaging_matrix(5, 3) @ x).tolist() == [1.5, 3, 4.5]
    assert (averaging_matrix(6, 3) @ [1, 2, 3, 4, 5, 6]).tolist() == [1.5, 3.5, 5.5]
    assert (averaging_matrix(2, 3) @ [1, 3]).tolist() == [1, 2, 3]
    assert (averaging_matrix(4, 1) @ [1, 2, 3, 6]).tolist() == [3]


def test_interpolation_by_hand():
    row = np.array([0.0, 4])
    assert (interpolation_matrix(2, 4, False) @ row).tolist() == [0, 1, 3, 4]
    assert (interpolation_matrix(2, 5, True) @ row).tolist() == [0, 1, 2, 3, 4]
    assert (interpolation_matrix(2, 1, True) @ row).tolist() == [0]
    assert (interpolation_matrix(3, 2, True) @ [1, 5, 7]).tolist() == [1, 7]
    assert (interpolation_matrix(2, 1, False) @ row).tolist() == [2]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("new_size", [1, 2, 5, 12, 13])
def test_matrices_are_averages(size, new_size):
    for matrix in (
        averaging_matrix(size, new_size),
        interpolation_matrix(size, new_size, False),
        interpolation_matrix(size, new_size, True),
    ):
        assert matrix.shape == (new_size, size) and (matrix >= 0).all()
        assert_close(matrix.sum(axis=1), np.ones(new_size), 1e-14)


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_same_size_is_the_same_map(align_corners):
    x = rng().standard_normal((2, 3, 5, 4))
    assert_close(BilinearResize(align_corners)(x, x), x, 1e-14)
    assert_close(AdaptiveAvgPool2d((5, 4))(x), x, 1e-14)


def test_one_bin_is_the_mean():
    x = rng().standard_normal((2, 3, 5, 4))
    assert_close(AdaptiveAvgPool2d(1)(x)[..., 0, 0], x.mean(axis=(2, 3)), 1e-14)


def test_axes_are_not_exchanged():
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    assert AdaptiveAvgPool2d((3, 1))(x)[0, 0].tolist() == [[1.5], [5.5], [9.5]]
    assert AdaptiveAvgPool2d((1, 4))(x)[0, 0].tolist() == [[4, 5, 6, 7]]
    like = np.zeros((1, 1, 1, 7))
    expected = np.arange(0, 3.5, 0.5)
    assert_close(BilinearResize(True)(x, like)[0, 0], expected[None], 1e-14)


@pytest.mark.parametrize(
    "layer",
    [AdaptiveAvgPool2d(1), AdaptiveAvgPool2d((2, 7)), BilinearResize(), BilinearResize(True)],
    ids=["mean", "bins", "resize", "resize-corners"],
)
def test_gradients_of_resizing(layer):
    inputs = [rng().standard_normal((2, 2, 4, 5))]
    if isinstance(layer, BilinearResize):
        inputs.append(np.zeros((1, 1, 7, 3)))
    gradcheck(layer, *inputs, tol=1e-8)


def test_concat_cuts_where_it_joined():
    maps = [rng(i).standard_normal((2, c, 3, 4)) for i, c in enumerate((2, 1, 3))]
    layer = Concat()
    y = layer(*maps)
    assert y.shape == (2, 6, 3, 4)
    for part, x in zip(layer.backward(y), maps):
        assert np.array_equal(part, x)


def test_a_cell_of_concatenated_maps_sees_what_either_sees():
    image = FeatureMap(3, (6, 7))
    small, large = (Conv2d(3, 2, (k, 3), padding=(k // 2, 1))(image) for k in (1, 5))
    for maps in ((small, large), (large, small), (large, small, image)):
        assert Concat()(*maps).grid.field == (5, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: Concat().forward(), "Concat expected at least one map"),
        (lambda x: Concat()(x, x[:, :, 1:]), r"Concat: map 1.*\(1, C, 4, 4\).*got.*\(1, 2, 3, 4\)"),
        (lambda x: Concat()(x, x.astype(np.float32)), "Concat: map 1 of float64.*got float32"),
        (
            lambda x: Concat()(FeatureMap(1, (4, 4)), FeatureMap(2, (4, 3))),
            r"Concat expected maps of the same size, got \[\(4, 4\), \(4, 3\)\]",
        ),
        (lambda x: AdaptiveAvgPool2d(0), "expected output_size.*got 0"),
        (lambda x: AdaptiveAvgPool2d(2)(x[0]), r"AdaptiveAvgPool2d: x.*got.*\(2, 4, 4\)"),
        (lambda x: BilinearResize()(x, x[0]), r"BilinearResize: like.*got.*\(2, 4, 4\)"),
        (lambda x: PyramidPooling(0), "expected in_channels.*got 0"),
        (lambda x: PyramidPooling(4, (1,), 0), "expected channels to be .* at least 1, got 0"),
        (lambda x: PyramidPooling(4, ()), "expected at least one number of bins"),
        (lambda x: PyramidPooling(4, (1, 0)), "expected each of bins.*at least 1, got 0"),
        (lambda x: PyramidPooling(4, (1, (2, 2))), r"expected each of bins.*got \(2, 2\)"),
        (lambda x: PyramidPooling(8, (2, 2)), r"expected bins that differ, got \(2, 2\)"),
        (lambda x: PyramidPooling(8, [1, 3, np.int64(1)]), r"bins that differ, got \(1, 3, 1\)"),
        (
            lambda x: FCN8s(3, TINY, context=PyramidPooling(64)),
            "expected a context for 128 channels.*got one for 64",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((1, 2, 4, 4)))


# --- The pyramid ------------------------------------------------------------------------------


@pytest.mark.parametrize("align_corners", [False, True])
def test_pyramid_by_its_definition(align_corners):
    pyramid = PyramidPooling(6, (1, 2), 5, align_corners, dtype=np.float64, rng=rng())
    x = rng(1).standard_normal((2, 6, 5, 4))
    expected = [x]
    for b, conv in ((1, pyramid.conv1), (2, pyramid.conv2)):
        w, bias = conv.weight.data[:, :, 0, 0], conv.bias.data
        pooled = averaging_matrix(5, b) @ x @ averaging_matrix(4, b).T
        level = np.maximum(np.einsum("fc,ncij->nfij", w, pooled) + bias[:, None, None], 0)
        rows, columns = (interpolation_matrix(b, n, align_corners) for n in (5, 4))
        expected.append(rows @ level @ columns.T)
    y = pyramid(x)
    assert y.shape[1] == pyramid.out_channels == 16
    assert_close(y, np.concatenate(expected, axis=1), 1e-12)


def test_a_pyramid_may_have_more_levels_than_channels():
    pyramid = PyramidPooling(2, (1, 2, 3), rng=rng())
    assert pyramid.out_channels == 2 + 3
    assert PyramidPooling(7, (1, 2), rng=rng()).out_channels == 7 + 2 * 3


def test_pyramid_has_as_many_channels_as_its_features():
    pyramid = PyramidPooling(8, rng=rng())
    assert pyramid.out_channels == 16
    assert list(pyramid.state_dict()) == [
        f"conv{b}.{name}" for b in (1, 2, 3, 6) for name in ("weight", "bias")
    ]


@pytest.mark.parametrize("align_corners", [False, True])
def test_gradients_of_the_pyramid(align_corners):
    pyramid = PyramidPooling(4, (1, 3), align_corners=align_corners, rng=rng())
    gradcheck(pyramid, rng(1).standard_normal((2, 4, 5, 4)))


def test_fcn_with_context():
    plain = FCN8s(3, TINY, rng=rng())
    model = FCN8s(3, TINY, context=PyramidPooling(128, rng=rng(1)), rng=rng())
    extra = set(model.state_dict()) - set(plain.state_dict())
    assert extra == {f"context.conv{b}.{n}" for b in (1, 2, 3, 6) for n in ("weight", "bias")}
    assert model.score_fr.weight.data.shape == (3, 256, 1, 1)
    for name in ("crop", "crop_pool3", "crop_pool4"):
        assert getattr(model, name).offset == getattr(plain, name).offset
    for size in ((64, 64), (128, 128), (64, 352)):
        assert trace(model, size)[-1].output.size == size
    x = rng().standard_normal((1, 3, 64, 128)).astype(np.float32)
    assert model(x).shape == (1, 3, 64, 128)


def test_context_takes_the_networks_dtype():
    model = FCN8s(3, TINY, context=PyramidPooling(128), dtype=np.float64)
    assert {p.data.dtype for p in model.parameters()} == {np.dtype(np.float64)}


def far_end_matters(model):
    """Whether the scores at the left end depend on pixels at the right end of a wide image."""
    for name in ("score_fr", "score_pool4", "score_pool3"):
        weight = getattr(model, name).weight.data
        weight[...] = rng(5).standard_normal(weight.shape)
    x = rng().standard_normal((1, 3, 64, 352))
    other = x.copy()
    other[..., 300:] += 1
    return bool(np.abs(model.eval()(x) - model(other))[..., :60].max() > 1e-9)


def test_only_with_context_the_far_end_of_a_wide_image_matters():
    make = {"dtype": np.float64, "rng": rng()}
    assert not far_end_matters(FCN8s(3, TINY, **make))
    assert far_end_matters(FCN8s(3, TINY, context=PyramidPooling(128, rng=rng(2)), **make))


def test_the_traced_field_says_so_too():
    model = FCN8s(3, TINY, context=PyramidPooling(128), rng=rng())
    grids = {step.name: step.output.grid for step in trace(model, (64, 352))}
    assert grids["fc7"].field == (276, 276)
    assert grids["context.pool1"].columns.field >= 352
    concat, fc7 = grids["context.concat"], grids["fc7"]
    assert (concat.scale, concat.shift) == (fc7.scale, fc7.shift)


def test_bins_are_traced_to_their_middles():
    """Two bins of 8 rows lie at 3.5 and 11.5, one of 6 columns at 2.5; and back again at 0."""
    image = FeatureMap(3, (16, 6))
    bins = AdaptiveAvgPool2d((2, 1))(image)
    assert (bins.grid.scale, bins.grid.shift) == ((8, 6), (3.5, 2.5))
    assert bins.grid.rows.spans == ((0, 7), (8, 15)) and bins.grid.columns.spans == ((0, 5),)
    back = BilinearResize()(bins, image)
    assert (back.size, back.grid.scale, back.grid.shift) == ((16, 6), (1, 1), (0, 0))


def test_a_pyramid_is_traced_as_it_computes():
    pyramid = PyramidPooling(3, (1, 2), rng=rng())
    x = rng().standard_normal((1, 3, 7, 5)).astype(np.float32)
    step = trace(pyramid, (7, 5))[-1]
    assert step.output.shape == pyramid(x).shape
