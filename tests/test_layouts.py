"""Where images and masks are found: layouts and lists, as people and programs write them."""

import os
import unicodedata
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from fcn_numpy.data import Classes, DataFaults, DataWarning, open_folder, voc_palette
from fcn_numpy.training import OwnData

TWO = Classes.named(("ground", "thing"))
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Übung_é") for form in ("NFC", "NFD"))
VOC, OWN = "JPEGImages SegmentationClass ImageSets/Segmentation".split(), ["images", "masks", "."]


class Layout:
    """A folder to fill."""

    def __init__(self, root, parts):
        self.root = root
        self.images, self.masks, self.lists = (root / part for part in parts)
        for part in (self.images, self.masks, self.lists):
            part.mkdir(parents=True, exist_ok=True)

    def pair(self, image, mask=None):
        """Write an image and a mask of both classes; return the mask's labels."""
        image = self.images / image
        mask = self.masks / (mask or f"{image.stem}.png")
        for path in (image, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        # Each image is another one.
        shade = zlib.crc32(str(image).encode()) % 2**24
        Image.new("RGB", (4, 3), (shade >> 16, shade >> 8 & 255, shade & 255)).save(image)
        Image.fromarray(np.array([[0, 1, 1, 0]] * 3, np.uint8)).save(mask)

    def list(self, name, text):
        data = text if isinstance(text, bytes) else text.encode()
        (self.lists / f"{name}.txt").write_bytes(data)

    def open(self, split=None, **options):
        return open_folder(self.root, split, TWO, **options)

    def own(self, **options):
        return OwnData.open(self.root, classes=TWO, **options)


@pytest.fixture(params=[VOC, OWN], ids=["voc", "own"])
def layout(request, tmp_path):
    """Both layouts have the same rules."""
    return Layout(tmp_path / "data", request.param)


def found(folder):
    """Return what images and masks are called, after reading all of them."""
    folder.check()
    return [(image.name, mask.name) for image, mask in folder.pairs]


# ---------------------------------------------------------------- lists


LINES = {
    "names": "{a}\n{b}\n", "endings": "{a}.jpg\n{b}.jpg\n", "other endings": "{a}.png\n{b}.JPG\n",
    "folders": "/{images}/{a}.jpg\n{images}/{b}.jpg\n", "foreign folders": "/x y/{a}.jpg\nz/{b}\n",
    "two paths": "/{images}/{a}.jpg /{masks}/{a}.png\n{images}/{b}.jpg {masks}/{b}.png\n",
    "commas": "{images}/{a}.jpg,{masks}/{a}.png\n{images}/{b}.jpg, {masks}/{b}.png\n",
    "tabs": "{images}/{a}.jpg\t{masks}/{a}.png\n{images}/{b}.jpg;{masks}/{b}.png\n",
    "absolute": "{root}/{images}/{a}.jpg {root}/{masks}/{a}.png\n{root}/{images}/{b}.jpg\n",
    "backslashes": "{images}\\{a}.jpg {masks}\\{a}.png\n{images}\\{b}.jpg\n",
    "numbers": "{a} 1\n{b}  -1\n", "CRLF": "{a}\r\n{b}\r\n", "BOM": "\ufeff{a}\n{b}",
    "empty lines": "\n\n{a}  \n \t\n  {b}\n\n", "duplicates": "{a}\n{b}\n{a}\n{b}.jpg\n",
    "quotes": '"{a}"\n"{b}.jpg"\n',
    "names in pairs": "{a}.jpg {a}.png\n{b}.jpg,{b}.png\n",
}


@pytest.mark.parametrize("names", [
    ("p1", "p2"), ("my photo 1", "my photo 2"), ("a, b", "a,b"), ("v1.2", "v1.3"), ("ä ö", "漢字"),
], ids=["plain", "blanks", "commas", "dots", "letters"])
@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_a_list_as_programs_write_it(layout, names, lines):
    a, b = names
    for name in names:
        layout.pair(f"{name}.jpg")
    layout.pair("not listed.jpg")
    layout.list("train", lines.format(
        a=a, b=b, root=layout.root, images=layout.images.name, masks=layout.masks.name,
    ))
    layout.list("val", "not listed\n")
    wanted = [(f"{name}.jpg", f"{name}.png") for name in names]
    assert found(layout.open("train")) == wanted
    data = layout.own()
    assert (found(data.train), found(data.test)) == (wanted, [("not listed.jpg", "not listed.png")])
    again = OwnData.found_again(data.source, data.classes)
    assert (again.train.names, again.test.names) == (data.train.names, data.test.names)


@pytest.mark.parametrize("blank", [" ", "   ", "\t", ",", ", ", ";", " ; "])
def test_two_paths_mean_these_two_files(layout, tmp_path, blank):
    """Whatever their names, and also outside the folder."""
    layout.pair("a.jpg", "quite another.png")
    layout.pair("b.jpg")
    elsewhere = Layout(tmp_path / "else where", OWN)
    elsewhere.pair("c.jpg", "labels of c.png")
    layout.list("train", (
        f"{layout.images.name}/a.jpg{blank}{layout.masks.name}/quite another.png\n"
        f"{elsewhere.images}/c.jpg{blank}{elsewhere.masks}/labels of c.png\n"
    ))
    assert found(layout.open("train")) == [
        ("a.jpg", "quite another.png"), ("c.jpg", "labels of c.png"),
    ]


def test_files_of_the_folder_come_before_those_of_the_current_one(layout, tmp_path, monkeypatch):
    """Another data set of the same layout may be there."""
    for place in (layout, other := Layout(tmp_path / "other", VOC)):
        place.pair("a.jpg")
    other.images.rename(other.root / layout.images.name)
    monkeypatch.chdir(other.root)
    layout.list("train", f"{layout.images.name}/a.jpg\n")
    assert layout.open("train").pairs == ((layout.images / "a.jpg", layout.masks / "a.png"),)


def test_a_name_that_ends_in_a_number_is_not_cut(layout):
    for name in ("a", "a 1"):
        layout.pair(f"{name}.jpg")
    layout.list("train", "a 1\na 0\n")
    assert found(layout.open("train")) == [("a 1.jpg", "a 1.png"), ("a.jpg", "a.png")]


@pytest.mark.parametrize("ending", ["jpg", "JPG", "jpeg", "png", "PNG", "tif", "webp", "bmp"])
def test_images_with_any_ending(layout, ending):
    layout.pair(f"a.{ending}", "a.PNG")
    layout.list("train", "a\n")
    assert found(layout.open("train")) == found(layout.open()) == [(f"a.{ending}", "a.PNG")]


@pytest.mark.parametrize(("written", "listed"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
@pytest.mark.parametrize("line", ["{name}", "{images}/{name}.jpg", "{images}/{name}.jpg {mask}"])
def test_letters_in_another_form(layout, written, listed, line):
    """A Mac writes them decomposed, most others composed."""
    assert written != listed
    layout.pair(f"{written}.jpg")
    mask = f"{layout.masks.name}/{listed}.png"
    layout.list("train", line.format(name=listed, images=layout.images.name, mask=mask) + "\n")
    assert found(layout.open("train")) == [(f"{written}.jpg", f"{written}.png")]


def test_image_and_mask_in_another_form(tmp_path):
    layout = Layout(tmp_path, OWN)
    layout.pair(f"{DECOMPOSED}.jpg", f"{COMPOSED}.png")
    layout.pair(f"{COMPOSED}2.jpg", f"{DECOMPOSED}2.png")
    assert len(found(layout.open())) == 2


def test_what_is_missing_is_named_with_its_line(layout):
    for name in "ab":
        layout.pair(f"{name}.jpg")
    (layout.images / "a.jpg").unlink()
    (layout.masks / "b.png").unlink()
    layout.list("train", "\na\n\nb.jpg\nx/c.jpg y/c.png\n")
    with pytest.raises(DataFaults) as caught:
        layout.open("train").check()
    place = layout.lists / "train.txt"
    assert caught.value.faults == [
        f"{place}: line 2: {layout.images / 'a.jpg'} is missing",
        f"{place}: line 4: {layout.masks / 'b.png'} is missing",
        f"{place}: line 5: {layout.root / 'x/c.jpg'} is missing",
        f"{place}: line 5: {layout.root / 'y/c.png'} is missing",
    ]
    with pytest.raises(DataFaults, match=r"4 faults"):
        layout.own(validation=0.5)


@pytest.mark.parametrize(("data", "words"), [
    (b"", "expected names of images, got an empty list"), (b"\n \n", ".*an empty list"),
    (b"a\nb\xff\n", "line 2: expected UTF-8 text"),
])
def test_a_list_that_is_none_is_named(layout, data, words):
    layout.pair("a.jpg")
    layout.list("train", data)
    with pytest.raises(ValueError, match=f"train.txt: {words}"):
        layout.open("train")


# ---------------------------------------------------------------- splits


def test_the_path_of_a_list_is_a_split(layout, tmp_path, monkeypatch):
    for name in "abc":
        layout.pair(f"{name}.jpg")
    (tmp_path / "mine.txt").write_text("c\na\n")
    monkeypatch.chdir(tmp_path)
    for split in (tmp_path / "mine.txt", "mine.txt"):
        assert layout.open(str(split)).names == ["c", "a"]
        data = layout.own(split=str(split), validation=0.5)
        assert sorted(data.train.names + data.test.names) == ["a", "c"]
    with pytest.raises(ValueError, match=r"expected a list of images .*no\.txt"):
        layout.open("no")
    with pytest.raises(ValueError, match=r"expected a list of images gone\.txt"):
        layout.open("gone.txt")


def test_held_out_images_are_drawn_if_a_share_is_given(layout):
    for name in "abcd":
        layout.pair(f"{name}.jpg")
    layout.list("train", "a\nb\nc\n")
    layout.list("val", "d\n")
    fixed = layout.own()
    assert (fixed.train.names, fixed.test.names) == (["a", "b", "c"], ["d"])
    drawn = layout.own(validation=0.4)
    assert sorted(drawn.train.names + drawn.test.names) == ["a", "b", "c"]
    assert len(drawn.test) == 1
    drawn = layout.own(split="train")
    assert sorted(drawn.train.names + drawn.test.names) == ["a", "b", "c"]


def test_images_in_both_lists_are_counted(layout):
    for name in "abcd":
        layout.pair(f"{name}.jpg")
    layout.list("train", "a\nb\nc\n")
    layout.list("val", "b\nc.jpg\nd\n")
    with pytest.warns(DataWarning, match=r"^2 of 3 images to score on are also .* \(b\.jpg and c"):
        layout.own().check()
    layout.list("val", "d\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layout.own().check()
    assert not caught


def test_images_of_two_names_that_are_the_same_are_counted(tmp_path):
    """Folders of a split may have copies."""
    layout = Layout(tmp_path, OWN)
    for name in ("train/a", "train/b", "val/c"):
        layout.pair(f"{name}.png", f"{name}.png")
    (layout.images / "val" / "c.png").write_bytes((layout.images / "train" / "b.png").read_bytes())
    with pytest.warns(DataWarning, match=r"^1 of 1 images to score on are also .* \(c\.png\)"):
        layout.own().check()


@pytest.mark.parametrize("train", ["train", "training"])
@pytest.mark.parametrize("val", ["val", "validation"])
def test_splits_in_folders(layout, train, val):
    """The same names in both, as where each folder numbers its images."""
    for split in (train, val):
        for name in ("1.jpg", "2.png"):
            layout.pair(f"{split}/{name}", f"{split}/{name[0]}.png")
    (layout.images / ".ipynb_checkpoints").mkdir()
    (layout.images / "._1.jpg").write_bytes(b"of a Mac")
    for folder, split in ((layout.open(), train), (layout.own().train, train),
                          (layout.open(val), val), (layout.own().test, val)):
        assert folder.pairs == tuple(
            (layout.images / split / name, layout.masks / split / f"{name[0]}.png")
            for name in ("1.jpg", "2.png")
        )
        folder.check()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layout.own()
    drawn = layout.own(validation=0.5)
    assert {image.parent.name for image, _ in drawn.train.pairs + drawn.test.pairs} == {train}


def test_a_list_of_images_in_folders(layout):
    for split in ("x", "y"):
        layout.pair(f"{split}/1.jpg", f"{split}/1_L.png")
    layout.list("mine", f"{layout.images.name}/y/1.jpg\n/{layout.images.name}/x/1.jpg\n")
    folder = layout.open("mine", mask_suffix="_L")
    assert folder.pairs == tuple(
        (layout.images / split / "1.jpg", layout.masks / split / "1_L.png") for split in "yx"
    )


def test_other_texts_are_no_lists(tmp_path):
    layout = Layout(tmp_path, OWN)
    layout.pair("a.jpg")
    for name in ("readme", "class_names", "train-old"):
        layout.list(name, "words\n")
    assert found(layout.open()) == [("a.jpg", "a.png")]


def test_a_split_that_is_not_there(layout):
    layout.pair("test/a.jpg", "test/a.png")
    with pytest.raises(ValueError, match="no list train or training, but test: name one with --"):
        layout.open()
    assert found(layout.open("test")) == [("a.jpg", "a.png")]


def test_a_mistyped_folder(layout):
    root = layout.root
    with pytest.raises(ValueError, match=r"^there is no folder .*dota$"):
        open_folder(root.with_name("dota"), classes=TWO)
    with pytest.raises(ValueError, match=r"^there is no folder .*dota$"):
        OwnData.open(root.with_name("dota"), classes=TWO)
    layout.pair("train/a.jpg", "trian/a.png")
    with pytest.raises(ValueError, match=rf"^there is no folder .*{layout.masks.name}/train$"):
        layout.open()
    (layout.masks / "trian" / "a.png").unlink()
    (layout.masks / "trian").rmdir()
    layout.masks.rmdir()
    with pytest.raises(ValueError, match=f"images and masks .*; there is no {layout.masks.name},"):
        layout.open()


def test_a_folder_beside_images_is_no_split(layout):
    layout.pair("a.jpg")
    layout.pair("b.jpg")
    (layout.images / "backup").mkdir()
    with pytest.raises(DataFaults, match=r"backup is a folder, expected only files"):
        layout.open().check()
    layout.list("train", "b\n")
    layout.list("val", "a\n")
    assert layout.own().test.names == ["a"]


# ---------------------------------------------------------------- layouts of other programs


def test_labelme(tmp_path):
    """Its older versions have arrays in SegmentationClass, and write no lists."""
    layout = Layout(tmp_path, ["JPEGImages", "SegmentationClassPNG", "SegmentationClass"])
    labels = np.array([[0, 1, 2, 255]], np.uint8)
    for i in range(4):
        Image.new("RGB", (4, 1)).save(layout.images / f"{i}.jpg")
        np.save(layout.lists / f"{i}.npy", labels)
        mask = Image.fromarray(labels)
        mask.putpalette(voc_palette().tobytes())
        mask.save(layout.masks / f"{i}.png")
    (tmp_path / "class_names.txt").write_text("_background_\ncat\ndog")
    folder = open_folder(tmp_path)
    assert folder.classes.names == ("_background_", "cat", "dog") and not folder.colored
    assert len(folder) == 4 and folder[2][1].tolist() == labels.tolist()
    data = OwnData.open(tmp_path)
    assert (len(data.train), len(data.test)) == (3, 1)
    # Ours goes before theirs, and newer versions have the masks where PASCAL VOC has them.
    (tmp_path / "classes.csv").write_text("name\nground\ncat\ndog\n")
    assert open_folder(tmp_path).classes.names == ("ground", "cat", "dog")
    for path in layout.masks.iterdir():
        path.rename(layout.lists / path.name)
    with pytest.raises(DataFaults, match=r"0\.npy: expected a file with the extension \.png"):
        open_folder(tmp_path).check()
    for path in layout.lists.glob("*.npy"):
        path.unlink()
    assert open_folder(tmp_path)[2][1].tolist() == labels.tolist()


def test_cvat(tmp_path):
    layout = Layout(tmp_path, VOC)
    colors = np.array([(48, 112, 32), (0, 0, 0), (176, 112, 32)], np.uint8)
    names = [f"frame_{i:06}" for i in range(4)]
    for name in names:
        Image.new("RGB", (3, 1)).save(layout.images / f"{name}.png")
        Image.fromarray(colors[None]).save(layout.masks / f"{name}.png")
    layout.list("default", "\n".join(names) + "\n")
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nCat:48,112,32::\nbackground:0,0,0::\nDog:176,112,32::\n"
    )
    folder = open_folder(tmp_path)
    assert folder == open_folder(tmp_path, "default")
    assert folder.classes.names == ("Cat", "background", "Dog") and folder.colored
    assert folder.names == names and folder[0][1].tolist() == [[0, 1, 2]]
    data = OwnData.open(tmp_path, split="default")
    assert [len(data.train), len(data.test)] == [3, 1]
    np.testing.assert_array_equal(data.counts[0], [3, 3, 3])


def test_ade20k(tmp_path):
    layout = Layout(tmp_path, ["images", "annotations", "."])
    for split, n in (("training", 3), ("validation", 2)):
        for i in range(n):
            for part in (layout.images, layout.masks):
                (part / split).mkdir(exist_ok=True)
            name = f"ADE_{split[:3]}_{i}"
            Image.new("RGB", (4, 1)).save(layout.images / split / f"{name}.jpg")
            mask = Image.fromarray(np.array([[0, 1, 2, 1]], np.uint8))
            mask.save(layout.masks / split / f"{name}.png")
    (tmp_path / "classes.csv").write_text("name,number\nignore,0\nwall,1\nbuilding,2\n")
    data = OwnData.open(tmp_path)
    assert (len(data.train), len(data.test)) == (3, 2)
    assert data.test.names == ["ADE_val_0", "ADE_val_1"]
    assert open_folder(tmp_path, "validation").names == data.test.names
    assert data.train[0][1].tolist() == [[255, 0, 1, 0]]
    assert [counts.tolist() for counts in data.counts] == [[6, 3], [4, 2]]


@pytest.mark.parametrize("name", ["masks", "annotations", "labels"])
def test_what_the_folder_of_masks_may_be_called(tmp_path, name):
    layout = Layout(tmp_path, ["images", name, "."])
    layout.pair("a.jpg")
    assert found(layout.open()) == [("a.jpg", "a.png")]


# ---------------------------------------------------------------- suffixes of masks


@pytest.mark.parametrize("listed", [False, True])
def test_a_suffix_of_masks(layout, listed):
    for name in ("a", "ab", "a b"):
        layout.pair(f"{name}.jpg", f"{name}_L.png")
    if listed:
        layout.list("train", "a\nab.jpg\na b\n")
    folder = layout.open(mask_suffix="_L")
    assert sorted(found(folder)) == [
        ("a b.jpg", "a b_L.png"), ("a.jpg", "a_L.png"), ("ab.jpg", "ab_L.png"),
    ]
    data = layout.own(mask_suffix="_L", validation=0.4)
    assert len(found(data.train) + found(data.test)) == 3


@pytest.mark.parametrize("suffix", ["_L", "-mask", " copy", "_segmentation.v2"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_common_suffix_is_named_once(layout, suffix, listed):
    """Also where the name of one image is how another's begins."""
    names = ["a", "ab", "abc", *(f"img{i}" for i in range(60))]
    for name in names:
        layout.pair(f"{name}.jpg", f"{name}{suffix}.png")
    layout.pair("without a mask.jpg")
    (layout.masks / "without a mask.png").unlink()
    if listed:
        layout.list("train", "\n".join(names) + "\n")
    folder = layout.open()
    assert folder.faults == (
        f"no image has a mask with the same name, but all masks in {layout.masks} are named like "
        f"an image followed by {suffix!r}: use --mask-suffix={suffix}",
    )
    found_with = layout.open("train" if listed else None, mask_suffix=suffix)
    assert len(found_with) == len(names)


def test_names_without_anything_in_common_are_one_fault(tmp_path):
    """Cityscapes has a suffix in images and another one in masks."""
    layout = Layout(tmp_path, OWN)
    for number in range(6):
        layout.pair(f"{number}_leftImg8bit.jpg", f"{number}_gtFine_labelIds.png")
    (fault,) = layout.open().faults
    assert "the first image is 0_leftImg8bit, the first mask 0_gtFine_labelIds. Rename" in fault


def test_without_a_common_suffix_each_is_named(tmp_path):
    layout = Layout(tmp_path, OWN)
    for name, mask in (("a", "a_L"), ("b", "b_M"), ("c", "x")):
        layout.pair(f"{name}.jpg", f"{mask}.png")
    faults = layout.open().faults
    assert len(faults) == 6
    assert f"{layout.images / 'b.jpg'} has no mask {layout.masks / 'b.png'}" in faults
    assert f"{layout.masks / 'x.png'} has no image in {layout.images}" in faults
    assert f"{layout.images / 'b.jpg'} has no mask {layout.masks / 'b_L.png'}" in (
        layout.open(mask_suffix="_L").faults
    )


@pytest.mark.parametrize(("written", "given"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_letters_of_a_suffix_in_another_form(layout, written, given):
    layout.pair("a.jpg", f"a{written}.png")
    layout.list("train", "a\n")
    assert len(found(layout.open(mask_suffix=given))) == 1
    (layout.lists / "train.txt").unlink()
    assert len(found(layout.open(mask_suffix=given))) == 1


def test_paths_are_those_of_the_files(layout):
    """Whatever the working directory is later: they are joined to the folder that was given."""
    layout.pair("a.jpg")
    image, mask = layout.open().pairs[0]
    assert os.fspath(image) == os.path.join(layout.images, "a.jpg")
    assert os.fspath(mask) == os.path.join(layout.masks, "a.png")


# ---------------------------------------------------------------- what lists do not say exactly


def test_an_ending_in_a_list_means_the_file(layout):
    for name in ("a.png", "a.jpg", "b.png"):
        layout.pair(name, f"{name[0]}.png")
    layout.list("train", "a.png\nb.jpg\n")
    assert found(layout.open("train")) == [("a.png", "a.png"), ("b.png", "b.png")]


@pytest.mark.parametrize(("lines", "words"), [
    ("photo\nphoto 1\nb\n", "line 2: .*photo 1.jpg is missing"),
    ("cam1/b.jpg\ncam2/b.jpg\n", "line 2: .*b.jpg is already on line 1"),
    ("photo 1\nphoto 0\n", "line 2: .*photo.jpg is already on line 1"),
])
def test_two_lines_do_not_mean_one_image(layout, lines, words):
    for name in ("photo", "b"):
        layout.pair(f"{name}.jpg")
    layout.list("train", lines)
    with pytest.raises(DataFaults, match=words):
        layout.open("train").check()


def test_what_other_programs_leave_beside_images_is_passed_over(tmp_path):
    layout = Layout(tmp_path, OWN)
    layout.pair("a.tif")
    for name in ("a.tif.aux.xml", "a.tfw", "Thumbs.db", ".DS_Store"):
        (layout.images / name).write_text("x")
    (layout.images / "@eaDir").mkdir()
    assert found(layout.open()) == [("a.tif", "a.png")]


def test_labels_of_yolo_are_no_masks(tmp_path):
    layout = Layout(tmp_path, ("images", "labels", "."))
    layout.pair("a.jpg", "a.png")
    (layout.masks / "a.png").rename(layout.masks / "a.txt")
    with pytest.raises(ValueError, match="there is no masks, there are images, labels"):
        layout.open()


def test_folders_of_a_split_that_is_not_used_are_named(tmp_path):
    layout = Layout(tmp_path, OWN)
    for split in ("train", "valid", "test", "more"):
        for number in range(2):
            layout.pair(f"{split}/{number}.png", f"{split}/{number}.png")
    with pytest.warns(DataWarning, match="^not used: the images in more$"):
        data = layout.own()
    assert (len(data.train), len(data.test)) == (2, 2)
    assert data.test.pairs[0][0].parent.name == "valid"


def test_a_list_as_powershell_writes_it(layout):
    layout.pair("a.jpg")
    layout.list("train", "a\r\n".encode("utf-16"))
    assert layout.open("train").names == ["a"]
