"""The lists of classes on docs/data.md are lists of classes, and mean what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

from fcn_numpy.data.class_files import parse_classes

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text("utf-8")
LISTS = re.findall(r"\*\*([\w-]+)\*\* \([^)]*\):\n\n```csv\n(.*?)```", PAGE, re.S)


def test_the_page_has_the_lists_it_promises():
    assert [name for name, _ in LISTS] == ["Cityscapes", "CamVid", "ADE20K", "PASCAL-Context"]


@pytest.mark.parametrize(("text", "n_class", "colored"), [
    (LISTS[0][1], 19, False), (LISTS[1][1], 11, True), (LISTS[2][1], 5, False),
    (LISTS[3][1], 6, False),
])
def test_each_list_is_one(text, n_class, colored):
    classes, by_color = parse_classes(text)
    assert len(classes) == n_class and by_color == colored


def test_every_number_of_cityscapes_has_a_meaning():
    classes, _ = parse_classes(LISTS[0][1])
    labels = classes.numbers(np.arange(34)[None])[0]
    assert (labels >= 0).all() and len(set(labels)) == 20
    assert [classes.names[labels[number]] for number in (7, 26, 33)] == ["road", "car", "bicycle"]
    assert labels[0] == labels[30] == 255


def test_every_color_of_camvid_has_a_meaning():
    assert LISTS[1][1].count("\n") == 33  # 32 colors and the first line
    classes, _ = parse_classes(LISTS[1][1])
    suv, void = np.array([[[64, 128, 192]]]), np.array([[[0, 0, 0]]])
    assert classes.names[classes.numbers(suv)[0, 0]] == "car"
    assert classes.numbers(void)[0, 0] == 255


def test_0_is_ignored_in_ade20k():
    classes, _ = parse_classes(LISTS[2][1])
    assert classes.numbers(np.array([[0, 1, 5]])).tolist() == [[255, 0, 4]]
