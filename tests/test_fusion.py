"""Two inputs and two heads, trained: depth tells apart what colors cannot."""

import numpy as np
import pytest

from fcn_numpy.data.depths import DEPTHS, DISTANCES, SHADES, toy_depths
from fcn_numpy.models import FCN32s, LateFusion
from fcn_numpy.paper import train_with_depth


def test_a_toy_image_shows_shades_and_its_depth_distances():
    images, depths, labels = toy_depths(5, size=40, seed=3)
    assert images.shape == (5, 3, 40, 40) and depths.shape == (5, 1, 40, 40)
    assert images.dtype == depths.dtype == np.float32
    assert 0 <= images.min() and images.max() <= 1
    assert len(SHADES) == len(DISTANCES) == 3
    for image, depth, shade, distance in zip(images, depths, labels["shade"], labels["distance"]):
        np.testing.assert_array_equal(shade > 0, distance > 0)
        # In meters, with noise of 5 percent.
        np.testing.assert_allclose(depth[0], np.array(DEPTHS)[distance], rtol=0.051)
        background = image[:, shade == 0].mean()
        for kind, sign in ((1, 1), (2, -1)):
            if (shade == kind).any():
                assert sign * (image[:, shade == kind].mean() - background) > 0.15
    # Nothing of the distance is in the shade: both are drawn by themselves.
    _, _, many = toy_depths(300, size=16)
    near = many["distance"] == 1
    assert abs((many["shade"][near] == 1).mean() - 0.5) < 0.1


def test_a_toy_depends_on_seed_and_number_alone():
    few, many = toy_depths(2, size=20, seed=1), toy_depths(4, size=20, seed=1)
    np.testing.assert_array_equal(few[0], many[0][:2])
    np.testing.assert_array_equal(few[2]["distance"], many[2]["distance"][:2])
    assert not np.array_equal(few[0], toy_depths(2, size=20, seed=2)[0])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="expected fusion 'color', 'early' or 'late', got 'depth'"):
        train_with_depth("depth")
    with pytest.raises(ValueError, match="two_heads with fusion 'color' or 'early', got 'late'"):
        train_with_depth("late", two_heads=True)


@pytest.mark.slow
def test_depth_tells_apart_what_colors_cannot():
    few = {"steps": 60, "n_train": 200, "n_test": 40}
    model, shares = train_with_depth("color", **few)
    assert type(model) is FCN32s and shares["distance"] < 0.65
    for fusion, kind in (("early", FCN32s), ("late", LateFusion)):
        model, shares = train_with_depth(fusion, **few)
        assert type(model) is kind and shares["distance"] > 0.75
    model, shares = train_with_depth("early", two_heads=True, **few)
    assert model.heads == {"shade": 3, "distance": 3}
    assert min(shares.values()) > 0.7
    # Colors alone show the shade, and not the distance.
    _, shares = train_with_depth("color", two_heads=True, **few)
    assert shares["shade"] > 0.75 > 0.65 > shares["distance"]
