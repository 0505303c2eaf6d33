"""Maps drawn side by side, and animations: what stands in the files."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fcn_numpy.plotting import draw_map, draw_maps, save_animation


@pytest.fixture
def axis():
    return Figure().subplots()


def test_numbers_stand_in_their_cells(axis):
    draw_map(axis, [[1.25, np.nan], [-2.0, 0.0]], "a map", numbers=".1f")
    written = {text.get_position(): text.get_text() for text in axis.texts}
    assert written == {(0, 0): "1.2", (0, 1): "-2.0", (1, 1): "0.0"}  # (column, row)
    assert axis.get_title() == "a map"


def test_numbers_can_be_read_on_their_colors(axis):
    draw_map(axis, [[0.0, 1.0]], numbers=".0f")
    dark, bright = axis.texts
    assert (dark.get_color(), bright.get_color()) == ("white", "black")


@pytest.mark.parametrize(("limits", "expected"), [(None, (1, 3)), ((0, 10), (0, 10))])
def test_limits(axis, limits, expected):
    draw_map(axis, [[1.0, 3.0]], limits=limits)
    assert axis.images[0].get_clim() == expected


def test_a_image_keeps_its_colors(axis, caplog):
    image = np.zeros((3, 2, 4))
    image[1, 0, 3] = 1.5  # above 1: as bright as can be
    draw_map(axis, image)
    shown = axis.images[0].get_array()
    assert shown.shape == (2, 4, 3)
    assert shown[0, 3].tolist() == [0, 1, 0]
    assert not caplog.records  # matplotlib would say that it clips


def test_a_long_title_is_not_cut_off(tmp_path):
    widths = []
    for title in ("short", "a title that is longer than its map is wide"):
        draw_maps(tmp_path / "maps.png", {title: np.eye(3)}, size=1.5)
        with Image.open(tmp_path / "maps.png") as drawn:
            pixels = np.asarray(drawn.convert("L"))
        assert (pixels[:, [0, -1]] == 255).all(), title
        widths.append(pixels.shape[1])
    assert widths[1] > widths[0]


def test_the_frames_of_a_moving_image(tmp_path):
    def draw(figure, frame):
        draw_map(figure.subplots(), np.eye(4) == frame)

    save_animation(tmp_path / "moving.gif", draw, 3, size=(2, 1), milliseconds=100)
    with Image.open(tmp_path / "moving.gif") as moving:
        assert moving.n_frames == 3 and moving.size == (160, 80)
        durations = []
        for frame in range(3):
            moving.seek(frame)
            durations.append(moving.info["duration"])
    assert durations == [100, 100, 200]
