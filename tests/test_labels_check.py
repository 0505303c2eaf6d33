"""What is said of the labels of a folder before they are used: useless ones, and odd ones."""

import json
import pickle
import warnings

import numpy as np
import pytest
from failing_command import failed
from PIL import Image

from fcn_numpy import weights
from fcn_numpy.cli import main
from fcn_numpy.data import Classes, DataFaults, DataWarning, open_folder, voc_palette
from fcn_numpy.models import TINY, FCN8s
from fcn_numpy.training import OwnData, Settings, train

TWO, THREE = Classes.named(("ground", "thing")), Classes.named(("ground", "cat", "dog"))
BOTH = [[0, 1, 0], [0, 1, 1]]


def write(root, masks, images=None, palette=None, orientation=1):
    """Write a folder of masks, each with an image of its size unless images are given."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for i, labels in enumerate(masks):
        labels = np.array(labels, np.uint8)
        image = np.full((*labels.shape, 3), i, np.uint8) if images is None else images[i]
        Image.fromarray(image).save(root / "images" / f"{i}.png", exif=exif)
        mask = Image.fromarray(labels)
        if palette is not None:
            mask.putpalette(palette.tobytes())
        mask.save(root / "masks" / f"{i}.png")
    return root


def said(folder):
    """Return the warnings of a check, as text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder.check()
    assert all(warning.category is DataWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def absent(where, names):
    return (
        f"none of the {where} has a pixel of {names}: does this list of classes belong to these "
        "masks?"
    )


def faults_of(folder):
    with pytest.raises(DataFaults) as caught:
        folder.check()
    return caught.value.faults


# ---------------------------------------------------------------- 255 as a class


BLACK_WHITE = [[0, 255, 0], [0, 0, 255]]
ADVICE = (
    "if 255 is a class, list it in classes.csv (first line name,number, then ground,0 and "
    "thing,255); if it should be ignored, add a line ignore,255"
)


def test_masks_of_0_and_255_are_useless(tmp_path):
    write(tmp_path, [BLACK_WHITE] * 3)
    wanted = [f"all pixels of all masks are ground (0) or ignored (255): {ADVICE}"]
    assert faults_of(open_folder(tmp_path, classes=TWO)) == wanted
    assert faults_of(OwnData.open(tmp_path, classes=TWO)) == wanted


def test_evaluate_refuses_them_too(tmp_path, capsys):
    write(tmp_path / "data", [BLACK_WHITE] * 2)
    weights.save(tmp_path / "w.npz", FCN8s(2, TINY).state_dict())
    err = failed(
        capsys, "evaluate", "--weights", tmp_path / "w.npz", "--data", tmp_path / "data",
        "--classes", "ground,thing",
    )
    assert ADVICE in err


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_good_mask_among_them_does_not_hide_them(tmp_path, place):
    masks = [BLACK_WHITE] * 2
    masks.insert(place, BOTH)
    write(tmp_path, masks)
    names = [f"{i}.png" for i in range(3) if i != place]
    words = f": nothing but ground (0) and ignored (255): {ADVICE}"
    fault, = faults_of(open_folder(tmp_path, classes=TWO))
    assert fault == f"{names[0]} and {names[1]}{words}"
    fault, = faults_of(OwnData.open(tmp_path, classes=TWO))
    assert fault.endswith(words) and all(name in fault for name in names)


def test_many_of_them_are_counted(tmp_path):
    write(tmp_path, [BOTH, *[BLACK_WHITE] * 9])
    assert faults_of(open_folder(tmp_path, classes=TWO))[0].startswith("1.png and 8 more: nothing")


@pytest.mark.parametrize("masks", [[BLACK_WHITE] * 3, [BLACK_WHITE, BLACK_WHITE, [[0, 0], [0, 0]]]])
def test_255_is_a_class_if_the_list_says_so(tmp_path, masks):
    """The advice, followed."""
    write(tmp_path, masks)
    (tmp_path / "classes.csv").write_text("name,number\nground,0\nthing,255\n")
    folder = open_folder(tmp_path)
    assert said(folder) == []
    assert folder[0][1].tolist() == [[0, 1, 0], [0, 0, 1]]


def test_255_is_ignored_if_the_list_says_so(tmp_path):
    """The advice, followed: no fault, but a class without a pixel remains worth a word."""
    write(tmp_path, [BOTH, BLACK_WHITE, BLACK_WHITE])
    (tmp_path / "classes.csv").write_text("name,number\nground,0\nthing,1\nignore,255\n")
    assert said(open_folder(tmp_path)) == []
    (tmp_path / "masks" / "0.png").unlink()
    (tmp_path / "images" / "0.png").unlink()
    folder = open_folder(tmp_path)
    assert said(folder) == [absent("images", "thing")]
    numbers, ignored = folder.check()
    assert numbers.tolist() == [8, 0] and ignored == 4


def test_another_number_that_is_ignored_is_no_255(tmp_path):
    """ADE20K ignores 0: a mask of walls alone is no mask of two colors."""
    write(tmp_path, [[[0, 1, 1]], [[0, 1, 2]], [[1, 2, 2]]])
    (tmp_path / "classes.csv").write_text("name,number\nignore,0\nwall,1\nbuilding,2\n")
    assert said(open_folder(tmp_path)) == []
    write(tmp_path, [[[0, 1, 1]], [[0, 1, 1]], [[1, 2, 2]]])
    assert said(open_folder(tmp_path)) == []


def test_the_numbers_of_the_list_are_named(tmp_path):
    write(tmp_path, [[[7, 255]]] * 2)
    (tmp_path / "classes.csv").write_text("name,number\nroad,7\ncar,26\n")
    fault, = faults_of(open_folder(tmp_path))
    assert fault.startswith("all pixels of all masks are road (7) or ignored (255): if 255 is a")
    assert "then road,7 and car,255)" in fault


def test_borders_of_255_around_objects_are_usual(tmp_path):
    write(tmp_path, [[[0, 255, 1], [0, 255, 2]], [[0, 0, 0], [0, 0, 0]], [[1, 2, 255], [1, 2, 0]]])
    assert said(open_folder(tmp_path, classes=THREE)) == []


def test_a_mask_that_is_ignored_as_a_whole_is_no_mask_of_two_colors(tmp_path):
    write(tmp_path, [BOTH, [[255, 255]]])
    assert said(open_folder(tmp_path, classes=TWO)) == []


def test_a_mask_of_ground_and_255_among_those_is_worth_a_word(tmp_path):
    write(tmp_path, [[[0, 255, 1]], [[0, 255, 0]], [[0, 1, 255]]])
    assert said(open_folder(tmp_path, classes=TWO)) == [
        "1.png: nothing but ground (0) and ignored (255) in these masks"
    ]


def test_colors_of_ground_and_ignored_alone_are_what_the_list_says(tmp_path):
    write(tmp_path, [BLACK_WHITE] * 2)
    text = "name,red,green,blue\nground,0,0,0\nthing,9,9,9\nignore,255,255,255\n"
    (tmp_path / "classes.csv").write_text(text)
    assert said(open_folder(tmp_path)) == [absent("images", "thing")]
    write(tmp_path, [BLACK_WHITE, [[9, 9, 9]], BLACK_WHITE])
    assert said(open_folder(tmp_path)) == []


# ---------------------------------------------------------------- classes without a pixel


def test_a_class_without_a_pixel_is_named_for_each_part(tmp_path):
    write(tmp_path, [[[0, 1, 0]], [[0, 1, 1]], [[0, 0, 2]]])
    for name, lines in (("train", "0\n1\n"), ("val", "2\n")):
        (tmp_path / f"{name}.txt").write_text(lines)
    assert said(OwnData.open(tmp_path, classes=THREE)) == [
        absent("images to train on", "dog"),
        absent("images to score on", "cat"),
    ]
    four = Classes.named(("ground", "cat", "dog", "cow", "hen"))
    assert said(OwnData.open(tmp_path, classes=four)) == [
        absent("images to train on", "dog and 2 more"),
        absent("images to score on", "cat and 2 more"),
    ]
    assert said(open_folder(tmp_path, "val", THREE)) == [
        absent("images", "cat")
    ]


def test_nothing_is_labeled(tmp_path):
    write(tmp_path, [[[255, 255]]] * 2)
    assert faults_of(open_folder(tmp_path, classes=TWO)) == ["no pixel of the images has a class"]
    write(tmp_path, [[[255, 255]], [[0, 1]]])
    (tmp_path / "train.txt").write_text("0\n")
    (tmp_path / "val.txt").write_text("1\n")
    assert faults_of(OwnData.open(tmp_path, classes=TWO)) == [
        "no pixel of the images to train on has a class"
    ]


# ---------------------------------------------------------------- what images are like


@pytest.mark.parametrize("orientation", range(2, 9))
def test_images_that_were_turned_are_named(tmp_path, orientation):
    """Where the size stays the same, nothing else would tell of it."""
    square = [[0, 1], [1, 1]]
    write(tmp_path, [square] * 3, orientation=orientation)
    write(tmp_path, [square])
    assert said(open_folder(tmp_path, classes=TWO)) == [
        "turned upright by its EXIF orientation: 1.png and 2.png. A mask must be drawn on the "
        "upright image; predictions.png shows whether it was"
    ]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_the_image_before_it_was_turned(tmp_path, orientation):
    write(tmp_path, [BOTH], orientation=orientation)
    assert faults_of(open_folder(tmp_path, classes=TWO)) == [
        f"expected {tmp_path / 'masks' / '0.png'} to have the size of its image, 2 x 3, got 3 x 2"
        f"; the image was turned upright by its EXIF orientation {orientation}, but the mask was "
        "drawn on the unturned image: turn the mask too"
    ]


@pytest.mark.parametrize(("orientation", "size"), [(1, (3, 2)), (6, (4, 4)), (3, (3, 2))])
def test_a_mask_of_another_size_for_another_reason(tmp_path, orientation, size):
    image = np.zeros((*size, 3), np.uint8)
    write(tmp_path, [BOTH], [image], orientation=orientation)
    fault, = faults_of(open_folder(tmp_path, classes=TWO))
    assert fault.endswith(f"to have the size of its image, {size[1]} x {size[0]}, got 3 x 2")


def counts(low, high):
    return np.linspace(low, high, 2 * 3).reshape(2, 3).astype(np.uint16)


def test_images_of_16_bits_that_use_little_of_them_are_named(tmp_path):
    write(tmp_path, [BOTH] * 3, [counts(100, 600), counts(0, 65535), counts(30000, 36000)])
    assert said(open_folder(tmp_path, classes=TWO)) == [
        "less than a tenth of the 16-bit range is used by 0.png and 2.png: --stretch spreads the "
        "values of each image"
    ]
    stretched = open_folder(tmp_path, classes=TWO, percentiles=(0, 100))
    assert said(stretched) == []
    np.testing.assert_allclose(stretched[0][0][0].ravel(), np.linspace(0, 1, 6), atol=2e-3)


@pytest.mark.parametrize(("high", "dark"), [(6400, True), (6900, False)])
def test_little_is_less_than_a_tenth_of_the_range(tmp_path, high, dark):
    values = np.repeat([0, high], 100).reshape(10, 20).astype(np.uint16)
    write(tmp_path, [np.arange(200).reshape(10, 20) % 2], [values])
    assert bool(said(open_folder(tmp_path, classes=TWO))) == dark


def test_dark_images_of_8_bits_are_as_they_are(tmp_path):
    write(tmp_path, [BOTH], [np.full((2, 3, 3), 7, np.uint8)])
    assert said(open_folder(tmp_path, classes=TWO)) == []


def test_palettes_in_another_order_are_named(tmp_path):
    palette = voc_palette()[[0, 2, 1]]
    write(tmp_path, [[[0, 1, 2]]] * 2, palette=palette)
    write(tmp_path, [[[0, 1, 2]]])
    folder = open_folder(tmp_path, classes=THREE)
    assert said(folder) == [
        "read by color, because the palette is not in the order of the list of classes: 1.png"
    ]
    assert [folder[i][1].tolist() for i in range(2)] == [[[0, 1, 2]], [[0, 2, 1]]]


# ---------------------------------------------------------------- how it is told


def test_a_hundred_faults_are_shown(tmp_path):
    write(tmp_path, [[[9]]] * 101)
    for name in ("0.png", "1.png"):
        (tmp_path / "masks" / name).unlink()
    folder = open_folder(tmp_path, classes=TWO)
    for n, more in ((101, "and 1 more"), (100, None)):
        with pytest.raises(DataFaults) as caught:
            folder.check()
        lines = str(caught.value).splitlines()
        assert lines[0] == f"{n} faults in the images and masks:"
        assert lines[101:] == ([more] if more else [])
        assert lines[1:101] == caught.value.faults[:100] and len(caught.value.faults) == n
        folder = folder.subset(range(1, len(folder)))


def test_one_fault_is_one(tmp_path):
    assert str(DataFaults(["x.png"])) == "1 fault in the images and masks:\nx.png"
    assert len(str(DataFaults(["x" * 10_000])).splitlines()[1]) <= 500


def test_faults_travel_between_processes():
    faults = [f"{n}.png: wrong\x1b" for n in range(150)]
    error = pickle.loads(pickle.dumps(DataFaults(faults)))
    assert type(error) is DataFaults and error.faults == faults
    assert str(error) == str(DataFaults(faults)) and "\x1b" not in str(error)


def test_each_image_is_reported_also_those_with_faults(tmp_path):
    write(tmp_path, [BOTH] * 5)
    done = []
    open_folder(tmp_path, classes=TWO).check(done.append)
    assert done == [1, 2, 3, 4, 5]
    data = OwnData.open(tmp_path, classes=TWO, validation=0.4)
    done.clear()
    data.check(done.append)
    assert done == [1, 2, 3, 4, 5]
    data.check(done.append)  # known by now
    assert done == [1, 2, 3, 4, 5]
    (tmp_path / "images" / "1.png").write_bytes(b"")
    (tmp_path / "masks" / "3.png").write_bytes(b"")
    done.clear()
    with pytest.raises(DataFaults, match="2 faults"):
        open_folder(tmp_path, classes=TWO).check(done.append)
    assert done == [1, 2, 3, 4, 5]


def test_files_of_several_images_are_named(tmp_path):
    """A stack of a microscope: only its first slice is read."""
    root = write(tmp_path, [BOTH, BOTH])
    slices = [Image.new("L", (3, 2), value) for value in (10, 200)]
    (root / "images" / "0.png").unlink()
    slices[0].save(root / "images" / "0.tif", save_all=True, append_images=slices[1:])
    assert said(open_folder(root, None, TWO)) == [
        "several images in one file, of which only the first is read: 0.tif"
    ]


def test_a_class_with_the_name_of_what_is_ignored_is_named(tmp_path):
    root = write(tmp_path, [BOTH, BOTH])
    assert said(open_folder(root, None, Classes.named(("ground", "Void")))) == [
        "Void is learned as a class: if it should not count, name it ignore"
    ]


# ---------------------------------------------------------------- which images


def opened(root, **options):
    """Return what is said when a folder is opened to train on, and the folder."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = OwnData.open(root, classes=TWO, **options)
    return [str(warning.message) for warning in caught], data


def test_images_that_no_list_has_are_named(tmp_path):
    root = write(tmp_path, [BOTH] * 5)
    (root / "train.txt").write_text("0\n1\n")
    (root / "val.txt").write_text("3\n")
    words, data = opened(root)
    assert words == ["not used, because no list in use names them: 2.png and 4.png"]
    assert (data.train.names, data.test.names) == (["0", "1"], ["3"])
    words, data = opened(root, validation=0.5)
    assert "the images of val are not used: part of train is held out instead" in words
    (root / "val.txt").write_text("2\n3\n4\n")
    assert opened(root)[0] == []


def test_a_mask_of_two_images_is_named(tmp_path):
    root = write(tmp_path, [BOTH] * 3)
    (root / "train.txt").write_text("images/0.png masks/0.png\nimages/1.png masks/0.png\n2\n")
    assert opened(root)[0] == ["several images share a mask: 0.png"]


@pytest.mark.parametrize("where", [".", "images", "masks", "images/run", "masks/deep/run"])
def test_a_run_does_not_write_among_the_images(tmp_path, capsys, where):
    root = write(tmp_path / "data", [BOTH] * 3)
    words = failed(
        capsys, "train", "--quick", "--data", root, "--classes", "a,b", "--out", root / where
    )
    assert "expected a folder for the results that has no images or masks in it" in words
    opened(root)[1].check_apart(root / "runs")


def test_images_that_have_changed_since_a_run_began_are_named(tmp_path):
    root = write(tmp_path, [BOTH] * 3)
    data = opened(root)[1]
    again = OwnData.found_again(json.loads(json.dumps(data.source)), TWO)
    assert said(again) == []
    Image.fromarray(np.full((2, 3, 3), 9, np.uint8)).save(data.test.pairs[0][0])
    again = OwnData.found_again(json.loads(json.dumps(data.source)), TWO)
    (words,) = said(again)
    assert "have changed since the run began" in words


def test_a_run_is_evaluated_on_what_it_was_trained_with(tmp_path, capsys):
    """Even if its held-out images alone are of the first class and ignored."""
    root = write(tmp_path / "data", [[[0, 1, 255]] * 2, [[0, 255, 0]] * 2])
    (root / "train.txt").write_text("0\n")
    (root / "val.txt").write_text("1\n")
    (root / "classes.csv").write_text("name\nground\nthing\n")
    out = tmp_path / "run"
    assert main(["train", "--quick", "--data", str(root), "--out", str(out)]) == 0
    assert main(["evaluate", str(out)]) == 0


def test_a_folder_that_has_moved_from_behind_a_link(tmp_path):
    write(tmp_path / "real", [BOTH] * 3)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    source = json.loads(json.dumps(OwnData.open(tmp_path / "link", classes=TWO).source))
    (tmp_path / "real").rename(tmp_path / "moved")
    source["folder"] = str(tmp_path / "moved")
    assert len(OwnData.found_again(source, TWO).train) == 2


@pytest.mark.parametrize(("mask", "words"), [
    ([[0, 255]], "the numbers 0, 255"), ([[3, 0, 1]], "the numbers 0, 1, 3"),
    ([range(20)], "the numbers 0, 1, 2, 3, 4, 5, ..."),
])
def test_without_a_list_the_values_of_a_mask_are_named(tmp_path, mask, words):
    """They say what the list must have."""
    root = write(tmp_path, [mask, mask])
    with pytest.raises(ValueError, match=r"no .*classes\.csv; write it, or use --cl") as caught:
        open_folder(root)
    assert str(caught.value).endswith(f"{root / 'masks' / '0.png'} has {words}")
    Image.fromarray(np.array([[(9, 8, 7), (0, 0, 1)]], np.uint8)).save(root / "masks" / "0.png")
    with pytest.raises(ValueError, match=r"has the colors \(0, 0, 1\), \(9, 8, 7\)$"):
        open_folder(root)


def test_a_list_and_masks_that_are_missing_are_named_together(tmp_path):
    root = write(tmp_path, [BOTH] * 3)
    for path in (root / "masks").iterdir():
        path.rename(path.with_stem(f"{path.stem}_L"))
    with pytest.raises(DataFaults) as caught:
        open_folder(root)
    first, second = caught.value.faults
    assert "expected the names of the classes" in first and "use --mask-suffix=_L" in second


def test_a_stretched_image_of_one_value_is_not_told_to_be_stretched(tmp_path):
    root = write(tmp_path, [BOTH] * 2)
    Image.fromarray(np.full((2, 3), 500, np.uint16)).save(root / "images" / "0.png")
    assert "--stretch" in said(open_folder(root, None, TWO))[0]
    assert said(open_folder(root, None, TWO, percentiles=(1, 99))) == []


def test_checking_says_how_far_it_is_before_a_run_begins(tmp_path):
    root = write(tmp_path / "data", [BOTH] * 3)
    done = []

    def report(what, number):
        done.append((what, number))

    settings = Settings().quick().with_stages(steps=1)
    train(tmp_path / "run", settings, data=OwnData.open(root, classes=TWO), report_other=report)
    assert done[:3] == [("checking", 1), ("checking", 2), ("checking", 3)]
    assert {what for what, _ in done[3:]} == {f"scoring fcn{n}s" for n in (32, 16, 8)}
