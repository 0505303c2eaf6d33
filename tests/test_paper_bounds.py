"""Upper bounds on mean IU, for images whose bound can be worked out by hand."""

import numpy as np
import pytest

from fcn_numpy.data import toy_shapes
from fcn_numpy.paper.bounds import FACTORS, upper_bound, upper_bounds


def half_plane(n, first):
    """Class 1 from column `first` on."""
    return np.broadcast_to(np.arange(n) >= first, (n, n)).astype(np.uint8)


def checkerboard(n, cell):
    rows, columns = np.indices((n, n)) // cell
    return ((rows + columns) % 2).astype(np.uint8)


def test_factor_1_loses_nothing():
    _, labels = toy_shapes(3, 64, rim=True)
    assert (labels == 255).any()
    assert upper_bound(labels, 1, 4) == 1


@pytest.mark.parametrize(("first", "iu_left", "iu_right"), [
    (8, 1, 1),  # where two squares meet
    # From column 8 on a square of 4, whose middle is column 10: left or right as a whole.
    (9, 8 / 9, 7 / 8), (10, 8 / 10, 6 / 8), (11, 11 / 12, 4 / 5), (12, 1, 1),
])
def test_half_plane(first, iu_left, iu_right):
    expected = (iu_left + iu_right) / 2
    plane = half_plane(16, first)
    assert upper_bound([plane], 4, 2) == pytest.approx(expected, rel=1e-12)
    assert upper_bound([plane.T], 4, 2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("cell", [1, 2, 4])
def test_a_checkerboard_finer_than_the_factor_is_lost(cell):
    """All middles lie on the same color: one class takes half of the image, the other none."""
    board = checkerboard(32, cell)
    assert upper_bound([board], 8, 2) == pytest.approx((0.5 + 0) / 2, rel=1e-12)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_checkerboard_of_squares_of_the_factor_stays(factor):
    assert upper_bound([checkerboard(32, 8)], factor, 2) == 1


def test_the_middle_of_an_odd_factor():
    labels = np.zeros((3, 3), np.uint8)
    labels[1, 1] = 1
    assert upper_bound([labels], 3, 2) == pytest.approx((0 + 1 / 9) / 2, rel=1e-12)


def test_sizes_that_the_factor_does_not_divide():
    """The last square has no middle in the image: the last row and column stand for it."""
    labels = np.zeros((5, 5), np.uint8)
    labels[4] = 1
    assert upper_bound([labels], 4, 2) == 1
    # Of squares of 6 there is one, with its middle at 3.
    assert upper_bound([labels], 6, 2) == pytest.approx(20 / 25 / 2, rel=1e-12)
    # The middle of a square of 16 would be at 8; row 4 stands for it.
    assert upper_bound([labels], 16, 2) == pytest.approx(5 / 25 / 2, rel=1e-12)


def test_a_image_that_is_not_square():
    """Height 4, width 8: two squares of 4, with their middles at row 2, columns 2 and 6."""
    labels = np.zeros((4, 8), np.uint8)
    labels[2, 6] = 1
    left, right = 16 / 31, 1 / 16
    assert upper_bound([labels], 4, 2) == pytest.approx((left + right) / 2, rel=1e-12)


def test_ignored_pixels_do_not_count_and_take_the_nearest_label():
    labels = np.zeros((4, 4), np.uint8)
    labels[:, 3] = 1
    labels[2, 2] = 255  # the middle; its nearest labeled neighbor on the left is class 0
    labels[1:, 3] = labels[1, 2] = labels[3, 2] = 255
    # 0 everywhere: of 12 labeled pixels, one at the top right is wrong.
    counted = (labels != 255).sum()
    assert upper_bound([labels], 4, 2) == pytest.approx((counted - 1) / counted / 2, rel=1e-12)
    # With the classes exchanged, 1 everywhere.
    exchanged = np.where(labels == 255, labels, 1 - labels).astype(np.uint8)
    assert upper_bound([exchanged], 4, 2) == upper_bound([labels], 4, 2)
    nothing = np.full((4, 4), 255, np.uint8)
    assert upper_bound([labels, nothing], 4, 2) == upper_bound([labels], 4, 2)
    assert np.isnan(upper_bound([nothing], 4, 2))
    assert upper_bound([np.where(labels == 255, -1, labels.astype(int))], 4, 2, -1) == (
        upper_bound([labels], 4, 2)
    )


def test_images_of_several_sizes_are_one_set():
    """IU is of all pixels together, not a mean over images."""
    small, large = half_plane(4, 3), half_plane(16, 9)
    # Of the small one all becomes class 0; of the large one column 8 becomes class 1.
    left = (3 * 4 + 8 * 16) / (4 * 4 + 9 * 16)
    right = (7 * 16) / (8 * 16 + 4)
    assert upper_bound([small, large], 4, 2) == pytest.approx((left + right) / 2, rel=1e-12)


def test_a_table_of_factors():
    _, labels = toy_shapes(20, 128)
    bounds = upper_bounds(labels, n_class=4)
    assert tuple(bounds) == FACTORS == (128, 64, 32, 16, 8, 4)
    assert list(bounds.values()) == sorted(bounds.values())
    assert 0 < bounds[128] < 0.4 < 0.9 < bounds[4] < 1
    assert upper_bounds(labels, (8, 1), n_class=4) == {8: bounds[8], 1: 1.0}


def test_errors():
    labels = np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="expected factor to be an int of at least 1, got 0"):
        upper_bound(labels, 0, 2)
    with pytest.raises(ValueError, match=r"labels of an image.*\(H, W\).*got"):
        upper_bound(labels[0], 2, 2)
    with pytest.raises(ValueError, match="expected labels from 0 to 1, got 3"):
        upper_bound(labels + np.uint8(3), 2, 2)
