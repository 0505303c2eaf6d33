"""Folders of images and masks: what is in them, and everything that is wrong with them."""

import numpy as np
import pytest
from PIL import Image

from fcn_numpy.data import (
    VOC_CLASSES,
    Classes,
    DataFaults,
    open_folder,
    own_folder,
    voc_folder,
    write_labels,
)
from fcn_numpy.data.framing import extend, extend_labels, random_crop, random_window

RNG = np.random.default_rng(0)
TWO = Classes.named(("ground", "thing"))


def write_pair(picture, mask, size=(6, 8), numbers=(0, 1, 255), ending=".png"):
    for path in (picture, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture.with_suffix(ending))
    labels = RNG.choice(numbers, size).astype(np.uint8)
    write_labels(mask, labels, TWO)
    return pixels, labels


def own(folder, names=("a", "b", "c"), **options):
    return {
        name: write_pair(folder / "images" / name, folder / "masks" / f"{name}.png", **options)
        for name in names
    }


def voc(folder, splits, **options):
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    written = {}
    for split, names in splits.items():
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            mask = folder / "SegmentationClass" / f"{name}.png"
            written[name] = write_pair(
                folder / "JPEGImages" / name, mask, ending=".jpg", **options
            )
    return written


def faults_of(folder):
    with pytest.raises(DataFaults) as caught:
        folder.check()
    assert len(str(caught.value).splitlines()) == len(caught.value.faults) + 1
    return caught.value.faults


# ---------------------------------------------------------------- your own


def test_images_and_masks_belong_together_by_name(tmp_path):
    written = own(tmp_path)
    folder = own_folder(tmp_path, TWO)
    assert folder.names == ["a", "b", "c"]
    assert len(folder) == 3
    for index, name in enumerate(folder.names):
        image, labels = folder[index]
        pixels, numbers = written[name]
        np.testing.assert_array_equal(np.rint(image * 255), pixels.transpose(2, 0, 1))
        np.testing.assert_array_equal(labels, numbers)
    counts, ignored = folder.check()
    together = np.concatenate([numbers.ravel() for _, numbers in written.values()])
    assert counts.tolist() == [(together == 0).sum(), (together == 1).sum()]
    assert ignored == (together == 255).sum()


def test_classes_csv_says_names_and_colors(tmp_path):
    own(tmp_path, "a", numbers=(0, 1))
    (tmp_path / "classes.csv").write_text("name\nground\nthing\n")
    folder = own_folder(tmp_path)
    assert folder.classes == TWO and not folder.colored
    # The same mask by its colors.
    (tmp_path / "classes.csv").write_text("name,red,green,blue\nthing,128,0,0\nground,0,0,0\n")
    colored = own_folder(tmp_path)
    assert colored.colored
    np.testing.assert_array_equal(colored[0][1], 1 - folder[0][1])


def test_what_file_managers_leave_behind_is_left_alone(tmp_path):
    own(tmp_path, "a")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.png"):
        (tmp_path / "images" / name).write_bytes(b"")
    assert own_folder(tmp_path, TWO).check()[0].sum() > 0


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    own(tmp_path, "abcdefg")
    images, masks = tmp_path / "images", tmp_path / "masks"
    (masks / "a.png").unlink()
    (images / "b.png").unlink()
    Image.new("L", (8, 7)).save(masks / "c.png")  # one row more than its image
    pixels = np.zeros((6, 8), np.uint8)
    pixels[4, 3] = 2
    Image.fromarray(pixels).save(masks / "d.png")
    (images / "e.png").write_bytes((images / "e.png").read_bytes()[:60])
    Image.fromarray(pixels).save(masks / "e.png")
    (images / "g").mkdir()
    Image.new("RGB", (8, 6)).save(images / "f.jpg")
    (masks / "notes.txt").write_text("words")
    faults = faults_of(own_folder(tmp_path, TWO))
    expected = (
        "f.png and f.jpg have the same name", "notes.txt: expected a file with the extension .png",
        "a.png has no mask", "b.png has no image", f"expected {masks / 'c.png'} to have the "
        "size of its image, 8 x 6, got 8 x 7",
        "d.png: expected class numbers from 0 to 1 or 255 (ignored), got 2 in row 4, column 3",
        f"cannot read {images / 'e.png'}", f"{masks / 'e.png'}: expected class numbers",
        f"{images / 'g'} is a folder",
    )
    assert len(faults) == len(expected)
    for words in expected:
        assert sum(words in fault for fault in faults) == 1, words


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="there is no images"):
        own_folder(tmp_path, TWO)
    own(tmp_path, "a")
    with pytest.raises(ValueError, match=r"there is no .*classes\.csv"):
        own_folder(tmp_path)
    (tmp_path / "images" / "a.png").unlink()
    (tmp_path / "masks" / "a.png").unlink()
    assert "is empty" in faults_of(own_folder(tmp_path, TWO))[0]


# ---------------------------------------------------------------- PASCAL VOC


def test_a_list_of_voc_is_read_in_its_order(tmp_path):
    written = voc(tmp_path, {"train": ["2007_2", "2007_1"], "val": ["2007_3"]}, numbers=(0, 20))
    train = voc_folder(tmp_path, "train")
    assert train.names == ["2007_2", "2007_1"]
    assert train.classes == VOC_CLASSES
    np.testing.assert_array_equal(train[0][1], written["2007_2"][1])
    assert open_folder(tmp_path, "val").names == ["2007_3"]
    assert open_folder(tmp_path).names == train.names
    assert set(np.flatnonzero(train.check()[0])) == {0, 20}


def test_what_voc_lacks_is_told_at_once(tmp_path):
    voc(tmp_path, {"train": ["a", "b", "c"]})
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    (tmp_path / "SegmentationClass" / "b.png").unlink()
    Image.new("L", (8, 6), 77).save(tmp_path / "SegmentationClass" / "c.png")
    faults = faults_of(voc_folder(tmp_path, "train"))
    assert len(faults) == 3
    assert "a.jpg is missing" in faults[0] and "b.png is missing" in faults[1]
    assert "from 0 to 20 or 255 (ignored), got 77 in row 0, column 0, and 47 more" in faults[2]


def test_a_list_of_voc_with_names_that_no_file_can_have(tmp_path):
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("a" * 5000 + "\nb\0c\n")
    folder = voc_folder(tmp_path, "train")
    assert len(folder) == 0 and len(folder.faults) == 4
    assert all(fault.endswith("is missing") for fault in folder.faults)


def test_a_list_of_voc_that_is_not_there(tmp_path):
    voc(tmp_path, {"train": ["a"], "val": []})
    with pytest.raises(ValueError, match=r"test\.txt; there are train, val"):
        voc_folder(tmp_path, "test")
    with pytest.raises(ValueError, match=r"val\.txt: expected names of images, got an empty list"):
        voc_folder(tmp_path, "val")
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match=r"val\.txt: line 1: expected UTF-8 text"):
        voc_folder(tmp_path, "val")


# ---------------------------------------------------------------- held-out images


@pytest.mark.parametrize(("n", "share", "held_out"), [
    (10, 0.2, 2), (10, 0.01, 1), (3, 0.99, 2), (2, 0.5, 1),
])
def test_a_share_is_held_out(tmp_path, n, share, held_out):
    own(tmp_path, [f"{i:02}" for i in range(n)], size=(1, 1))
    folder = own_folder(tmp_path, TWO)
    train, test = folder.split(share, 0)
    assert len(test) == held_out
    assert sorted(train.names + test.names) == folder.names
    assert train.names == sorted(train.names)
    assert folder.split(share, 0) == (train, test)
    if n == 10 and held_out == 2:
        assert any(folder.split(share, seed) != (train, test) for seed in range(1, 4))


def test_one_image_is_not_enough(tmp_path):
    own(tmp_path, "a")
    with pytest.raises(ValueError, match="at least 2 images"):
        own_folder(tmp_path, TWO).split(0.5, 0)
    with pytest.raises(ValueError, match="share above 0 and below 1, got 1"):
        own_folder(tmp_path, TWO).split(1, 0)


def test_all_or_nothing_cannot_be_held_out(tmp_path):
    own(tmp_path, "ab", size=(1, 1))
    folder = own_folder(tmp_path, TWO)
    for share in (0, 1, -0.5, 1.5, np.nan):
        with pytest.raises(ValueError, match="expected a share above 0 and below 1"):
            folder.split(share, 0)
    assert [len(part) for part in folder.split(0.5, 0)] == [1, 1]


# ---------------------------------------------------------------- cut and continued


def picture(h, w):
    image = np.arange(3 * h * w, dtype=np.float32).reshape(3, h, w)
    return image, image[0].astype(np.uint8)


def test_images_are_continued_with_their_rim():
    image, labels = picture(2, 3)
    np.testing.assert_array_equal(extend(image, (4, 5))[0], [
        [0, 1, 2, 2, 2], [3, 4, 5, 5, 5], [3, 4, 5, 5, 5], [3, 4, 5, 5, 5],
    ])
    assert extend_labels(labels, (3, 4)).tolist() == [
        [0, 1, 2, 255], [3, 4, 5, 255], [255, 255, 255, 255],
    ]


def test_a_crop_lies_in_the_image_anywhere():
    image, labels = picture(10, 14)
    seen = set()
    for seed in range(300):
        x, y = random_crop(image, labels, 9, np.random.default_rng(seed))
        assert x.shape == (3, 9, 9)
        np.testing.assert_array_equal(x[0].astype(np.uint8), y)
        top, left = divmod(int(y[0, 0]), 14)
        np.testing.assert_array_equal(x, image[:, top : top + 9, left : left + 9])
        seen.add((top, left))
    assert seen == {(top, left) for top in range(2) for left in range(6)}


def test_a_crop_larger_than_the_image_is_continued():
    image, labels = picture(3, 5)
    x, y = random_crop(image, labels, 4, np.random.default_rng(0))
    assert x.shape == (3, 4, 4) and (y[3] == 255).all()
    np.testing.assert_array_equal(x[:, 3], x[:, 2])


def test_a_window_has_its_class_in_the_middle():
    image, labels = picture(6, 7)
    labels = np.where(labels % 4 == 0, 3, 0).astype(np.uint8)
    labels[0, :] = 255
    seen = set()
    for seed in range(200):
        window, label = random_window(image, labels, 5, np.random.default_rng(seed))
        assert window.shape == (3, 5, 5)
        row, column = divmod(int(window[0, 2, 2]), 7)
        assert labels[row, column] == label
        rows = np.clip(np.arange(row - 2, row + 3), 0, 5)[:, None]
        columns = np.clip(np.arange(column - 2, column + 3), 0, 6)
        np.testing.assert_array_equal(window, image[:, rows, columns])
        seen.add((row, column, label))
    assert {label for _, _, label in seen} == {0, 3}
    assert len(seen) > 30  # of 35 pixels that have a class


def test_classes_of_a_window_are_balanced():
    image, labels = picture(20, 20)
    labels = np.zeros((20, 20), np.uint8)
    labels[3, 4] = 1
    drawn = [random_window(image, labels, 4, np.random.default_rng(s))[1] for s in range(400)]
    assert 150 < sum(drawn) < 250


def test_a_window_where_nothing_has_a_class():
    image, labels = picture(4, 4)
    window, label = random_window(image, np.full_like(labels, 255), 3, np.random.default_rng(0))
    assert window.shape == (3, 3, 3) and label == 255
