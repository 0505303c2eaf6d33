"""Toy shapes: the same images everywhere, and labels that say what is drawn."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from fcn_numpy.data import CLASSES, IGNORE, single_shapes, toy_shapes

# sha256 of the bytes: a change of one bit of one pixel shows. To be renewed only where the
# images are meant to change.
TOY_IMAGES = "745eda6a3dbce6655f2fe1b670fad653bdfa4df32f8112a5fe45d76489daa030"
TOY_LABELS = "cbafe22197062b799f0d5b5c626e477a501f45c2eb69d74646ddaaaf94d26d79"
SINGLE_IMAGES = "e48ffd294067a1255d581d0ea7444ae458930f711f83c4ff16a78a9fe23ac182"
SINGLE_CLASSES = "3482f35776b3ef5e563ce66a048f530b2bbbf9fae03ec00aa3c9e3ad2531461c"


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def many():
    return toy_shapes(100, 64, seed=1)


@pytest.fixture(scope="module")
def rims():
    """Fifty images with and without a rim."""
    images, labels = toy_shapes(50, 64, seed=2)
    rim_images, rim_labels = toy_shapes(50, 64, seed=2, rim=True)
    return images, labels, rim_images, rim_labels


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("n, size", [(1, 16), (3, 17), (2, 64), (1, 128)])
def test_shapes_dtypes_and_ranges(n, size):
    images, labels = toy_shapes(n, size)
    assert images.shape == (n, 3, size, size) and images.dtype == np.float32
    assert labels.shape == (n, size, size) and labels.dtype == np.uint8
    assert images.min() >= 0 and images.max() <= 1
    assert labels.max() < len(CLASSES) == 4


def test_the_size_is_128_and_the_seed_0_unless_told_otherwise():
    for ours, expected in zip(toy_shapes(1), toy_shapes(1, 128, 0)):
        np.testing.assert_array_equal(ours, expected)
    for ours, expected in zip(single_shapes(1), single_shapes(1, 72, 0)):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("n, size", [(1, 16), (5, 40)])
def test_single_shapes_dtypes_and_ranges(n, size):
    images, classes = single_shapes(n, size)
    assert images.shape == (n, 3, size, size) and images.dtype == np.float32
    assert classes.shape == (n,) and classes.dtype == np.uint8
    assert images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize("draw", [toy_shapes, single_shapes])
def test_values_are_those_of_a_image_file(draw):
    images, _ = draw(4, 32)
    whole = np.rint(images * 255)
    np.testing.assert_array_equal(images, (whole / 255).astype(np.float32))
    assert len(np.unique(whole)) > 200  # and nearly all of the 256 values occur


@pytest.mark.parametrize("draw", [toy_shapes, single_shapes])
def test_the_same_seed_draws_the_same_images_and_another_others(draw):
    first, again, other = draw(5, 32, seed=3), draw(5, 32, seed=3), draw(5, 32, seed=4)
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    assert all((a != b).any() for a, b in zip(first[0], other[0]))
    # No image of one seed is another image of the other seed.
    assert len({image.tobytes() for images in (first[0], other[0]) for image in images}) == 10


@pytest.mark.parametrize("draw", [toy_shapes, single_shapes])
def test_fewer_images_are_the_first_of_more(draw):
    few, more = draw(3, 32, seed=5), draw(6, 32, seed=5)
    for a, b in zip(few, more):
        np.testing.assert_array_equal(a, b[:3])


def test_numpys_global_generator_is_neither_used_nor_moved():
    images = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        images.append(toy_shapes(1, 32)[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(*images)


def test_the_images_are_the_same_on_every_machine():
    images, labels = toy_shapes(3, 64, seed=7)
    assert (sha256(images), sha256(labels)) == (TOY_IMAGES, TOY_LABELS)
    images, classes = single_shapes(3, 72, seed=7)
    assert (sha256(images), sha256(classes)) == (SINGLE_IMAGES, SINGLE_CLASSES)


# ---------------------------------------------------------------- labels and images agree


def mean_colors(image, mask):
    return image[:, mask].mean(axis=1), image[:, ~mask].mean(axis=1)


def test_the_shape_has_another_color_than_the_background():
    images, labels = toy_shapes(40, 64, seed=3, shapes=(1, 1))
    distances, accuracies = [], []
    for image, label in zip(images, labels):
        inside, outside = mean_colors(image, label > 0)
        distances.append(np.linalg.norm(inside - outside))
        # Each pixel goes to the nearer of the two colors: that is what the labels say.
        nearer = np.linalg.norm(image - inside[:, None, None], axis=0) < np.linalg.norm(
            image - outside[:, None, None], axis=0
        )
        accuracies.append((nearer == (label > 0)).mean())
    # Colors are at least 0.4 apart; the background's slope and the clipping move the means.
    assert min(distances) > 0.3
    assert np.mean(distances) > 0.4
    assert np.mean(accuracies) > 0.97


def test_the_labels_fit_to_a_pixel():
    # If the labels are moved by two pixels, inside and outside are told apart less well.
    images, labels = toy_shapes(20, 64, seed=3, shapes=(1, 1))

    def spread(masks):
        """Variance that is left when each side has its mean color."""
        left = 0.0
        for image, mask in zip(images, masks):
            inside, outside = mean_colors(image, mask)
            mean = np.where(mask, inside[:, None, None], outside[:, None, None])
            left += ((image - mean) ** 2).mean()
        return left

    here = spread(labels > 0)
    for shift in [(1, 0), (-1, 0), (0, 1), (0, -1)]:
        assert here < spread(np.roll(labels, shift, axis=(1, 2)) > 0)


def test_neighbors_across_a_boundary_differ_more_than_those_within(many):
    images, labels = many
    step = np.linalg.norm(images[..., 1:] - images[..., :-1], axis=1)
    across = labels[..., 1:] != labels[..., :-1]
    assert across.any()
    assert step[across].mean() > 2 * step[~across].mean()


def test_the_images_are_noisy():
    images, labels = toy_shapes(5, 64, seed=3)
    # Even in the background no two neighboring pixels are quite alike.
    flat = (labels[:, :, 1:] == 0) & (labels[:, :, :-1] == 0)
    step = np.abs(images[..., 1:] - images[..., :-1]).max(axis=1)
    assert (step[flat] > 0).mean() > 0.95


def test_each_kind_has_its_own_form():
    # Of the same area a circle fills most of its bounding box, a triangle least of its own.
    images, labels = toy_shapes(150, 64, seed=4, shapes=(1, 1), radius=(0.2, 0.2))
    filled = {1: [], 2: [], 3: []}
    areas = []
    for label in labels:
        rows, columns = label.any(axis=1).nonzero()[0], label.any(axis=0).nonzero()[0]
        box = (rows[0], columns[0], rows[-1], columns[-1])
        if box[0] == 0 or box[1] == 0 or box[2] == 63 or box[3] == 63:
            continue  # it may leave the image
        area = (label > 0).sum()
        areas.append(area)
        filled[int(label.max())].append(area / ((box[2] - box[0] + 1) * (box[3] - box[1] + 1)))
    assert min(len(values) for values in filled.values()) > 10
    # A circle fills pi / 4 of its box, however it is turned.
    assert np.ptp(filled[1]) < 0.06
    assert np.mean(filled[1]) == pytest.approx(np.pi / 4, abs=0.03)
    assert min(filled[2]) > max(filled[3])
    # All have the area of a circle of the same radius.
    assert np.mean(areas) == pytest.approx(np.pi * (0.2 * 64) ** 2, rel=0.02)
    assert np.ptp(areas) < 0.1 * np.mean(areas)


def test_single_shapes_draws_all_classes_about_as_often():
    _, classes = single_shapes(300, 16, seed=0)
    counts = np.bincount(classes)
    assert len(counts) == len(CLASSES)
    assert counts.min() > 50 and counts.max() < 100


def test_single_shapes_draws_nothing_for_the_background_and_else_a_shape():
    images, classes = single_shapes(80, 48, seed=0)
    middle = images[:, :, 21:27, 21:27].mean(axis=(2, 3))
    ends = np.r_[0:4, 44:48]
    corners = images[:, :, ends[:, None], ends].mean(axis=(2, 3))
    distance = np.linalg.norm(middle - corners, axis=1)
    # A background alone has nearly the same color in the middle as in its corners on average.
    assert distance[classes == 0].max() < 0.2
    assert distance[classes > 0].mean() > 0.3


# ---------------------------------------------------------------- how many, how large


def test_all_classes_occur_in_sensible_parts(many):
    _, labels = many
    parts = np.bincount(labels.ravel(), minlength=4) / labels.size
    assert 0.4 < parts[0] < 0.8
    assert parts[1:].min() > 0.05 and parts[1:].max() < 0.3
    # Each image has background and a shape.
    assert all(0 < (label > 0).mean() < 1 for label in labels)


def count_components(rim_label):
    """Count pieces of shapes; a rim keeps even pieces that touch at a corner apart."""
    return ndimage.label((rim_label > 0) & (rim_label != IGNORE), np.ones((3, 3)))[1]


def test_images_have_several_shapes(rims):
    # With a rim around each shape, each is a component of its own.
    counts = [count_components(label) for label in rims[3]]
    assert 1 <= min(counts) and max(counts) <= 8
    assert 2 < np.mean(counts) < 5
    assert len(set(counts)) > 2


@pytest.mark.parametrize("n_shapes", [0, 1])
def test_a_given_number_of_shapes(n_shapes):
    _, labels = toy_shapes(10, 64, rim=True, shapes=(n_shapes, n_shapes))
    for label in labels:
        assert count_components(label) == n_shapes


def test_shapes_overlap(rims):
    # The rim of a shape that lies on another shape, in pixels of the shape below.
    _, labels, _, rim_labels = rims
    covered = ((rim_labels == IGNORE) & (labels > 0)).sum(axis=(1, 2))
    assert 0.2 < (covered > 5).mean() < 1


def test_larger_shapes_cover_more():
    parts = [
        (toy_shapes(20, 64, shapes=(1, 1), radius=(r, r))[1] > 0).mean() for r in (0.1, 0.2, 0.3)
    ]
    assert parts[0] < parts[1] < parts[2]
    assert parts[0] == pytest.approx(np.pi * 0.1**2, rel=0.15)


def test_most_of_each_shape_is_inside_the_image():
    area = np.pi * (0.2 * 64) ** 2
    _, labels = toy_shapes(60, 64, shapes=(1, 1), radius=(0.2, 0.2))
    assert (labels > 0).sum(axis=(1, 2)).min() > 0.5 * area


# ---------------------------------------------------------------- the rim


def test_the_rim_is_only_there_where_asked(rims):
    images, labels, rim_images, rim_labels = rims
    assert IGNORE == 255
    assert not (labels == IGNORE).any()
    assert all((label == IGNORE).any() for label in rim_labels)
    np.testing.assert_array_equal(images, rim_images)


def test_the_rim_changes_no_other_label(rims):
    _, labels, _, rim_labels = rims
    elsewhere = rim_labels != IGNORE
    np.testing.assert_array_equal(rim_labels[elsewhere], labels[elsewhere])


def test_the_rim_of_one_shape_is_one_pixel_wide_all_around():
    _, plain = toy_shapes(20, 48, seed=6, shapes=(1, 1))
    _, labels = toy_shapes(20, 48, seed=6, shapes=(1, 1), rim=True)
    for label, shape in zip(labels, plain > 0):
        grown = ndimage.binary_dilation(shape, np.ones((3, 3)))
        np.testing.assert_array_equal(label == IGNORE, grown & ~shape)


def test_the_rim_keeps_all_neighbors_of_two_labels_apart(rims):
    _, labels, _, rim_labels = rims
    for dy, dx in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        a = (slice(None), slice(0, 64 - dy), slice(max(0, -dx), 64 - max(0, dx)))
        b = (slice(None), slice(dy, 64), slice(max(0, dx), 64 + min(0, dx)))
        differ = labels[a] != labels[b]
        assert differ.any()
        assert ((rim_labels[a] == IGNORE) | (rim_labels[b] == IGNORE))[differ].all()


def test_each_pixel_of_the_rim_is_beside_a_shape(rims):
    _, labels, _, rim_labels = rims
    for label, rim_label in zip(labels, rim_labels):
        beside = ndimage.maximum_filter(label, 3, mode="constant") > 0
        assert beside[rim_label == IGNORE].all()


# ---------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("draw", [toy_shapes, single_shapes])
@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"n": 0}, "n "), ({"n": -1}, "n "), ({"n": 1.0}, "n "), ({"n": True}, "n "),
        ({"size": 15}, "size"), ({"size": 32.0}, "size"), ({"size": (32, 32)}, "size"),
        ({"seed": -1}, "seed"), ({"seed": 0.5}, "seed"), ({"seed": None}, "seed"),
    ],
)
def test_bad_arguments_are_an_error(draw, arguments, words):
    with pytest.raises(ValueError, match=f"expected {words}"):
        draw(**{"n": 1, "size": 16, "seed": 0, **arguments})


@pytest.mark.parametrize(
    "arguments",
    [
        {"shapes": (3, 2)}, {"shapes": (-1, 2)}, {"shapes": (0.5, 2)}, {"shapes": (1, 2, 3)},
        {"shapes": "three"}, {"shapes": (2,)},
        {"radius": (0.3, 0.2)}, {"radius": (0.0, 0.2)}, {"radius": (0.1, 0.6)},
        {"radius": (0.1, float("nan"))}, {"radius": 0.2}, {"radius": (0.1,)},
    ],
    ids=str,
)
def test_bad_ranges_are_an_error(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"expected {name}"):
        toy_shapes(1, 16, **arguments)
