"""Lists of classes: names, numbers, colours."""

import os

import numpy as np
import pytest

from fcn_numpy.data import (
    TOY_CLASSES,
    VOC_CLASSES,
    Classes,
    read_classes,
    voc_palette,
    write_classes,
)


def read(folder, text):
    path = folder / "classes.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_classes(path)


def test_colours_of_voc():
    """As they stand in PASCAL VOC's development kit."""
    palette = voc_palette()
    assert palette.shape == (256, 3)
    for number, colour in {
        0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0),
        15: (192, 128, 128), 16: (0, 64, 0), 20: (0, 64, 128), 255: (224, 224, 192),
    }.items():
        assert tuple(palette[number]) == colour
    assert len(np.unique(palette, axis=0)) == 256


def test_classes_of_voc():
    assert len(VOC_CLASSES) == 21
    assert VOC_CLASSES.names[0] == "background"
    assert VOC_CLASSES.names[15] == "person"
    assert VOC_CLASSES.names[-1] == "tvmonitor"
    assert VOC_CLASSES.colours[15] == (192, 128, 128)
    np.testing.assert_array_equal(VOC_CLASSES.palette(), voc_palette())


def test_names_and_colours_are_read(tmp_path):
    classes, coloured = read(
        tmp_path, "name,red,green,blue\nsky, 0,0 ,255\n\"a, b\",1,2,3\nignore,255,255,255\n"
    )
    assert coloured
    assert classes == Classes(("sky", "a, b"), ((0, 0, 255), (1, 2, 3)), (255, 255, 255))


def test_names_alone_get_the_colours_of_voc(tmp_path):
    classes, coloured = read(tmp_path, "\ufeffName\r\nground\r\n\r\nbär\r\n")
    assert not coloured
    assert classes == Classes.named(("ground", "bär"))
    assert classes.colours == ((0, 0, 0), (128, 0, 0))


@pytest.mark.parametrize("classes", [TOY_CLASSES, VOC_CLASSES])
def test_what_is_written_comes_back(tmp_path, classes):
    write_classes(tmp_path / "c.csv", classes)
    assert read_classes(tmp_path / "c.csv") == (classes, True)
    assert os.listdir(tmp_path) == ["c.csv"]


@pytest.mark.parametrize(("text", "words"), [
    ("", "first line"), ("a,b\n", "first line"), ("name\n", "2 to 255 classes, got 0"),
    ("name\none\n", "2 to 255 classes, got 1"), ("name\na\na\n", "'a' twice"),
    ("name\n" + "\n".join(f"c{i}" for i in range(256)), "2 to 255 classes, got 256"),
    ("name\na,1,2,3\nb\n", "line 2: expected name"),
    ("name,red,green,blue\na,1,2\nb,1,2,3\n", "line 2: expected name,red,green,blue"),
    ("name,red,green,blue\na,1,2,3\nb,1,2,256\n", "line 3: .*from 0 to 255, got '256'"),
    ("name,red,green,blue\na,1,2,-3\n", "line 2: .*got '-3'"),
    ("name,red,green,blue\na,1,2,3\nb,1,2,3\n", r"line 3: the colour \(1, 2, 3\)"),
    ("name,red,green,blue\na,1,2,3\nignore,1,2,3\n", r"line 3: the colour"),
    ("name,red,green,blue\nignore,0,0,3\nignore,0,0,4\n", "line 3: ignore is there already"),
    ("name\na\nignore\n", "line 3: expected ignore only where there are colours"),
    ("name\na\n\"\"\n", "printable name, got ''"), ("name\na\n\"b\tc\"\n", "printable"),
    (b"name\na\n\xff\xfe\n", "UTF-8"), ("name;red;green;blue\n", "got 'name;red;green;blue'"),
    ("name\na\n\"b\n", "classes.csv"),
    ("name\n" + "x" * 200_000, "at most 100000 bytes"),
    (b"name\n\0\n", "classes.csv"), ("name\na\n\"" + "b\t" * 9000 + "\"\n", "printable"),
    ("name\n" + 2 * ("b" * 9000 + "\n"), "twice"),
])
def test_a_list_that_is_none(tmp_path, text, words):
    with pytest.raises(ValueError, match=r"classes\.csv is no list of classes") as caught:
        read(tmp_path, text)
    assert caught.match(words)
    message = str(caught.value).removeprefix(str(tmp_path))
    assert "\n" not in message and len(message) < 300


def test_a_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_classes(tmp_path / "no.csv")


def test_numbers_of_colours():
    classes = Classes(("a", "b"), ((0, 0, 1), (255, 255, 255)), (0, 1, 0))
    pixels = np.array([[(0, 0, 1), (255, 255, 255)], [(0, 1, 0), (0, 0, 2)]], np.uint8)
    np.testing.assert_array_equal(classes.numbers(pixels), [[0, 1], [255, -1]])


def test_a_colour_for_each_class():
    with pytest.raises(ValueError, match="a colour for each of 2 classes, got 1"):
        Classes(("a", "b"), ((0, 0, 0),))
