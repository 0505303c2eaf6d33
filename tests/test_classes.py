"""Lists of classes: names, numbers, colors."""

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


def test_colors_of_voc():
    """As they stand in PASCAL VOC's development kit."""
    palette = voc_palette()
    assert palette.shape == (256, 3)
    for number, color in {
        0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0),
        15: (192, 128, 128), 16: (0, 64, 0), 20: (0, 64, 128), 255: (224, 224, 192),
    }.items():
        assert tuple(palette[number]) == color
    assert len(np.unique(palette, axis=0)) == 256


def test_classes_of_voc():
    assert len(VOC_CLASSES) == 21
    assert VOC_CLASSES.names[0] == "background"
    assert VOC_CLASSES.names[15] == "person"
    assert VOC_CLASSES.names[-1] == "tvmonitor"
    assert VOC_CLASSES.colors[15] == (192, 128, 128)
    np.testing.assert_array_equal(VOC_CLASSES.palette(), voc_palette())


def test_names_and_colors_are_read(tmp_path):
    classes, colored = read(
        tmp_path, "name,red,green,blue\nsky, 0,0 ,255\n\"a, b\",1,2,3\nignore,255,255,255\n"
    )
    assert colored
    assert classes == Classes(("sky", "a, b"), ((0, 0, 255), (1, 2, 3)), (255, 255, 255))


def test_names_alone_get_the_colors_of_voc(tmp_path):
    classes, colored = read(tmp_path, "\ufeffName\r\nground\r\n\r\nbär\r\n")
    assert not colored
    assert classes == Classes.named(("ground", "bär"))
    assert classes.colors == ((0, 0, 0), (128, 0, 0))


@pytest.mark.parametrize("classes", [TOY_CLASSES, VOC_CLASSES])
def test_what_is_written_comes_back(tmp_path, classes):
    write_classes(tmp_path / "c.csv", classes)
    assert read_classes(tmp_path / "c.csv") == (classes, True)
    assert os.listdir(tmp_path) == ["c.csv"]


@pytest.mark.parametrize(("text", "words"), [
    ("", "first line"), ("a,b\n", "first line"), ("name\n", "2 to 255 classes, got 0"),
    ("name\none\n", "2 to 255 classes, got 1"), ("name\na\na\n", "got 1"),
    ("name\n" + "\n".join(f"c{i}" for i in range(256)), "2 to 255 classes, got 256"),
    ("name\na,1,2,3\nb\n", "line 2: expected name; a name with a comma needs quotes"),
    ("name,red,green,blue\na,1,2\nb,1,2,3\n", "line 2: expected name,red,green,blue"),
    ("name,red,green,blue\na,1,2,3\nb,1,2,256\n", "line 3: .*from 0 to 255, got '256'"),
    ("name,red,green,blue\na,1,2,-3\n", "line 2: .*got '-3'"),
    ("name,red,green,blue\na,1,2,3\nb,1,2,3\n", r"line 3: the color \(1, 2, 3\)"),
    ("name,red,green,blue\na,1,2,3\nignore,1,2,3\n", "line 3: the color"),
    ("name,red,green,blue\nignore,0,0,3\nignore,0,0,4\n", "got 0"),
    ("name,number\na,1\nb,1\n", "line 3: the number 1"),
    ("name,number\na,1\nb,65536\n", "line 3: expected a number from 0 to 65535"),
    ("name,number,number\n", "first line"), ("name,red\na,1\n", "first line"),
    ("name,id\na,1\n", "first line"), ("number\n1\n", "first line"),
    ("name,red,green,blue\na,1,2,3\n,4,5,6\n", "printable name, got ''"),
    ("name\na\n\"b\tc\"\n", "printable"),
    (b"name\na\n\xff\xfe\n", "line 3: .*UTF-8"), ("name;red;green\n", "got 'name,red,green'"),
    ("name\na\n\"b\n", "classes.csv"),
    ("name\n" + "x" * 200_000, "at most 100,000 bytes"),
    (b"name\n\0\n", "classes.csv"), ("name\na\n\"" + "b\t" * 9000 + "\"\n", "printable"),
    ("name\n" + "a\n" + "b" * 9000 + "\n", "at most 100 characters"),
])
def test_a_list_that_is_none(tmp_path, text, words):
    with pytest.raises(ValueError, match=r"classes\.csv is not a list of classes") as caught:
        read(tmp_path, text)
    assert caught.match(words)
    message = str(caught.value).removeprefix(str(tmp_path))
    assert "\n" not in message and len(message) < 300


def test_a_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_classes(tmp_path / "no.csv")


def test_numbers_of_colors():
    classes = Classes(("a", "b"), ((0, 0, 1), (255, 255, 255)), (0, 1, 0))
    pixels = np.array([[(0, 0, 1), (255, 255, 255)], [(0, 1, 0), (0, 0, 2)]], np.uint8)
    np.testing.assert_array_equal(classes.numbers(pixels), [[0, 1], [255, -1]])


def test_a_color_for_each_class():
    with pytest.raises(ValueError, match="a color for each of 2 classes, got 1"):
        Classes(("a", "b"), ((0, 0, 0),))


# ---------------------------------------------------------------- several codes for a class


def test_several_colors_are_one_class_and_several_are_ignored(tmp_path):
    """CamVid's 32 colors become 11 classes; Kaggle's list names the columns r, g, b."""
    classes, colored = read(tmp_path, (
        "name,r,g,b\nRoad,128,64,128\nCar,64,0,128\nCar,64,128,192\nignore,0,0,0\n"
        "Ignore,64,128,64\n"
    ))
    assert colored and classes.names == ("Road", "Car")
    pixels = np.array([[
        (128, 64, 128), (64, 0, 128), (64, 128, 192), (0, 0, 0), (64, 128, 64), (1, 1, 1),
    ]], np.uint8)
    assert classes.numbers(pixels).tolist() == [[0, 1, 1, 255, 255, -1]]
    write_classes(tmp_path / "again.csv", classes)
    assert read_classes(tmp_path / "again.csv") == (classes, True)


@pytest.mark.parametrize("text", [
    "name,number\nroad,7\nsidewalk,8\nperson,24\nignore,1\nperson,25\nignore,4\n",
    "number,name,green,blue,red\n7,road,1,2,3\n8,sidewalk,,,\n24,person,,,\n1,ignore,,,\n25,person,,,"
    "\n4,ignore,9,9,9\n",
    "\ufeffname;number;;\r\nroad;7;;\r\nsidewalk;8\r\n;;\r\nperson;24\r\nignore;1\r\nperson;25\r\n"
    "ignore;4\r\n",
])
def test_numbers_in_masks_need_not_be_those_of_the_classes(tmp_path, text):
    """Cityscapes' labelIds."""
    classes, colored = read(tmp_path, text)
    assert not colored and classes.names == ("road", "sidewalk", "person")
    values = np.array([[7, 8, 24, 25, 1, 4, 255, 0, 65535]])
    assert classes.numbers(values).tolist() == [[0, 1, 2, 2, 255, 255, 255, -1, -1]]
    write_classes(tmp_path / "again.csv", classes)
    assert read_classes(tmp_path / "again.csv") == (classes, False)


def test_the_row_is_the_number_where_there_is_nothing_else(tmp_path):
    """ADE20K: 0 is ignored, 1 to 150 are classes."""
    classes, colored = read(tmp_path, "name\nignore\nwall\nbuilding\nwall\n")
    assert not colored and classes.names == ("wall", "building")
    assert classes.numbers(np.array([[0, 1, 2, 3, 4]])).tolist() == [[255, 0, 1, 0, -1]]


def test_objects_of_255_are_a_class_if_the_list_says_so(tmp_path):
    classes, _ = read(tmp_path, "name,number\nground,0\nthing,255\n")
    assert classes.numbers(np.array([[0, 255]])).tolist() == [[0, 1]]


def test_lists_of_labeling_tools(tmp_path):
    path = tmp_path / "labelmap.txt"  # CVAT
    path.write_text("# label:color_rgb:parts:actions\nCat:48,112,32::\nbackground:0,0,0::\n")
    assert read_classes(path) == (
        Classes(("Cat", "background"), ((48, 112, 32), (0, 0, 0))), True
    )
    path = tmp_path / "class_names.txt"  # labelme
    path.write_text("__ignore__\n_background_\ncat\n")
    assert read_classes(path) == (Classes.named(("_background_", "cat")), False)
    path.write_text("_background_\ncat\ncat\n")
    with pytest.raises(ValueError, match="line 3: 'cat' is listed twice"):
        read_classes(path)


def test_rows_of_nothing_but_commas(tmp_path):
    classes, _ = read(tmp_path, "name,red,green,blue,,\na,1,2,3,,\n,,,,,\nb,4,5,6\n,,,\n")
    assert classes == Classes(("a", "b"), ((1, 2, 3), (4, 5, 6)))


def test_names_are_compared_in_one_form():
    """A Mac writes an umlaut as two code points."""
    composed, decomposed = "\u00dcbung", "U\u0308bung"
    assert composed != decomposed
    with pytest.raises(ValueError, match="twice"):
        Classes.named([composed, decomposed])
    other = Classes.named(["ground", decomposed])
    assert Classes.named([composed, "ground"]).numbers_in(other).tolist() == [1, 0]


@pytest.mark.parametrize("others", [["a", "b"], ["a", "b", "c", "d"], ["a", "b", "d"]])
def test_other_names_have_no_numbers(others):
    with pytest.raises(ValueError, match="expected the same 3 classes, a, b, c; got"):
        Classes.named(["a", "b", "c"]).numbers_in(Classes.named(others))


def test_colors_that_classes_share_are_for_display(tmp_path):
    """Black for what is ignored and for the background: with numbers, that is no matter."""
    shared = Classes(("a", "b"), ((0, 0, 0), (9, 9, 9)), (0, 0, 0))
    write_classes(tmp_path / "c.csv", shared)
    classes, colored = read_classes(tmp_path / "c.csv")
    assert not colored and classes.names == shared.names and classes.colors == shared.colors


@pytest.mark.parametrize("color", [(0, 0), (0.5, 0, 0), (0, 0, 256), (True, 0, 0)])
def test_colors_that_are_none(color):
    with pytest.raises(ValueError, match="expected colors of 3 ints from 0 to 255"):
        Classes(("a", "b"), ((1, 2, 3), color))


def test_lines_end_as_on_any_system(tmp_path):
    assert read(tmp_path, "name\ra\rb\r")[0].names == ("a", "b")
