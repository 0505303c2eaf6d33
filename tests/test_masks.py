"""Masks: the same labels in whatever file, and palettes that say something else than the numbers.

The plainest cases are in test_images.py.
"""

import struct

import numpy as np
import pytest
from PIL import Image
from tiff_files import GRAY, GRAY_ALPHA, PALETTE, RGB, RGBA, write_png

from fcn_numpy.data import Classes, read_classes, read_mask, voc_palette
from fcn_numpy.data.masks import inspect_mask

RNG = np.random.default_rng(0)
NAMES = [f"class {n}" for n in range(16)]
PLAIN = Classes.named(NAMES)
COLORS = Classes(("ground", "cat", "dog"), ((0, 0, 0), (200, 10, 30), (9, 200, 255)), (1, 2, 3))
LABELS = RNG.integers(0, 4, (5, 7))


def channels(labels, n, alpha=None):
    """Return an array with the labels in n channels, and perhaps one of alpha."""
    planes = [labels] * n + ([] if alpha is None else [np.full_like(labels, alpha)])
    return np.stack(planes, axis=-1)


# ---------------------------------------------------------------- numbers


CONTAINERS = {
    "1 bit": (LABELS // 2, 1, GRAY), "2 bits": (LABELS, 2, GRAY), "4 bits": (LABELS * 5, 4, GRAY),
    "gray": (LABELS, 8, GRAY), "16 bits": (LABELS, 16, GRAY),
    "gray and alpha": (channels(LABELS, 1, 255), 8, GRAY_ALPHA),
    "RGB": (channels(LABELS, 3), 8, RGB), "RGBA": (channels(LABELS, 3, 255), 8, RGBA),
    "RGB of 16 bits": (channels(LABELS, 3), 16, RGB),
    "RGBA of 16 bits": (channels(LABELS, 3, 65535), 16, RGBA),
    **{f"palette of {bits} bits": (LABELS // (2 if bits == 1 else 1), bits, PALETTE)
       for bits in (1, 2, 4, 8)},
}


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("values", "bits", "kind"), CONTAINERS.values(), ids=CONTAINERS)
def test_the_same_labels_in_any_png(tmp_path, values, bits, kind, interlaced):
    palette = {"PLTE": voc_palette()[: 2 ** min(bits, 8)].tobytes()} if kind == PALETTE else {}
    path = write_png(tmp_path / "m.png", values, bits, kind, interlaced, **palette)
    labels, reordered, _ = inspect_mask(path, PLAIN)
    np.testing.assert_array_equal(labels, values if values.ndim == 2 else values[..., 0])
    assert labels.dtype == np.uint8 and not reordered


@pytest.mark.parametrize(("values", "bits", "kind", "words"), [
    (channels(LABELS, 1, 255), 8, GRAY_ALPHA, r"opaque pixels \(alpha 255\), got alpha 254"),
    (channels(LABELS, 3, 255), 8, RGBA, r"opaque pixels \(alpha 255\), got alpha 254"),
    (channels(LABELS, 3, 65535), 16, RGBA, r"opaque pixels \(alpha 65535\), got alpha 65534"),
])
def test_a_transparent_pixel_is_named(tmp_path, values, bits, kind, words):
    values = values.copy()
    values[3, 2, -1] -= 1
    path = write_png(tmp_path / "m.png", values, bits, kind)
    with pytest.raises(ValueError, match=rf"m\.png: expected {words} in row 3, column 2$"):
        read_mask(path, PLAIN)


def test_a_transparent_number_of_16_bits_is_named(tmp_path):
    path = write_png(
        tmp_path / "m.png", np.array([[0, 1], [1, 2]]), 16, GRAY, tRNS=struct.pack(">H", 2)
    )
    with pytest.raises(ValueError, match="opaque .* got alpha 0 in row 1, column 1$"):
        read_mask(path, PLAIN)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_channels_that_differ_are_colors(tmp_path, bits, channel):
    values = channels(LABELS, 3)
    values[4, 6, channel] += 1
    path = write_png(tmp_path / "m.png", values, bits, RGB)
    with pytest.raises(ValueError, match=r"need a list .*classes\.csv .*name,red,green,blue"):
        read_mask(path, PLAIN)


def test_gray_and_alpha_of_16_bits_is_refused_in_words(tmp_path):
    path = write_png(tmp_path / "m.png", channels(LABELS, 1, 65535), 16, GRAY_ALPHA)
    with pytest.raises(ValueError, match="16-bit PNG .* save it as 16-bit gray or RGB, in PNG"):
        read_mask(path, PLAIN)


@pytest.mark.parametrize("bits", [8, 16])
def test_255_is_ignored_in_any_depth(tmp_path, bits):
    path = write_png(tmp_path / "m.png", np.array([[0, 255, 3]]), bits, GRAY)
    assert read_mask(path, PLAIN).tolist() == [[0, 255, 3]]


def test_numbers_of_classes_csv_in_16_bits(tmp_path):
    """As Cityscapes' instances, and as ADE20K with many thousand objects."""
    (tmp_path / "classes.csv").write_text("name,number\nroad,7000\ncar,26\nignore,0\n")
    classes, colored = read_classes(tmp_path / "classes.csv")
    path = write_png(tmp_path / "m.png", np.array([[7000, 26, 0, 255]]), 16, GRAY)
    assert read_mask(path, classes, colored).tolist() == [[0, 1, 255, 255]]
    path = write_png(tmp_path / "m.png", np.array([[7000, 1]]), 16, GRAY)
    with pytest.raises(ValueError, match=(
        r"one of the 3 numbers of the list of classes \(0, 26, 7000\) or 255, got 1 in row 0, "
        "column 1"
    )):
        read_mask(path, classes, colored)


# ---------------------------------------------------------------- colors


WANTED = RNG.choice([0, 1, 2, 255], (5, 7))
PIXELS = COLORS.palette()[WANTED].astype(np.int64)


@pytest.mark.parametrize(("values", "bits", "kind"), [
    (PIXELS, 8, RGB), (np.dstack([PIXELS, np.full((5, 7), 255)]), 8, RGBA),
    (PIXELS * 257, 16, RGB), (np.dstack([PIXELS * 257, np.full((5, 7), 65535)]), 16, RGBA),
])
def test_the_same_colors_in_any_png(tmp_path, values, bits, kind):
    path = write_png(tmp_path / "m.png", values, bits, kind)
    np.testing.assert_array_equal(read_mask(path, COLORS, colored=True), WANTED)


def test_colors_in_a_palette_and_in_gray(tmp_path):
    palette = COLORS.palette()[[1, 255, 0, 2]].tobytes()
    numbers = np.select([WANTED == 0, WANTED == 1, WANTED == 2], [2, 0, 3], 1)
    path = write_png(tmp_path / "m.png", numbers, 8, PALETTE, PLTE=palette)
    labels, reordered, _ = inspect_mask(path, COLORS, colored=True)
    np.testing.assert_array_equal(labels, WANTED)
    assert not reordered  # nothing else was expected
    black_and_white = Classes(("ground", "thing"), ((0, 0, 0), (255, 255, 255)))
    for bits, white in ((1, 1), (8, 255), (16, 65535)):
        path = write_png(tmp_path / "m.png", LABELS % 2 * white, bits, GRAY)
        np.testing.assert_array_equal(read_mask(path, black_and_white, colored=True), LABELS % 2)


def test_colors_of_16_bits_that_are_none_of_8_are_named(tmp_path):
    values = PIXELS * 257
    values[1, 1] = 200 * 257, 10 * 257, 30 * 257 + 1
    path = write_png(tmp_path / "m.png", values, 16, RGB)
    with pytest.raises(ValueError, match=(
        r"8-bit colors, got 16-bit values \(51400, 2570, 7711\) in row 1, column 1$"
    )):
        read_mask(path, COLORS, colored=True)


@pytest.mark.parametrize(("bits", "kind", "chunks"), [
    (8, RGBA, {}), (16, RGBA, {}), (8, RGB, {"tRNS": struct.pack(">HHH", 9, 200, 255)}),
    (16, RGB, {"tRNS": struct.pack(">HHH", 9 * 257, 200 * 257, 65535)}),
])
def test_a_transparent_color_is_named(tmp_path, bits, kind, chunks):
    scale = 257 if bits == 16 else 1
    values = np.zeros((3, 4, 3), np.int64)
    values[2, 1] = np.array([9, 200, 255]) * scale
    if kind == RGBA:
        alpha = np.full((3, 4), 255 * scale)
        alpha[2, 1] = 0
        values = np.dstack([values, alpha])
    path = write_png(tmp_path / "m.png", values, bits, kind, **chunks)
    with pytest.raises(ValueError, match="opaque .*got alpha 0 in row 2, column 1$"):
        read_mask(path, COLORS, colored=True)


# ---------------------------------------------------------------- palettes


VOC = voc_palette()
IGNORED = VOC[255].tolist()
GRAY_RAMP = np.repeat(np.arange(256)[:, None], 3, axis=1)


def read_with(folder, numbers, palette, classes):
    path = write_png(
        folder / "m.png", np.array([numbers]), 8, PALETTE,
        PLTE=np.asarray(palette, np.uint8).tobytes(),
    )
    labels, reordered, _ = inspect_mask(path, classes)
    return labels[0].tolist(), reordered


# Colors of CamVid and Cityscapes: nearly all, or some, are VOC's, of other classes.
CAMVID = [
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0),
]
RAMP_OF_16 = np.minimum(GRAY_RAMP[::16], 255)
BY_NUMBER = {
    "of VOC": ([0, 1, 7, 255], VOC),
    "of the list": ([0, 1, 2], COLORS.palette()),
    "gray ramp": ([0, 1, 2, 15], GRAY_RAMP),
    "gray ramp of few": ([0, 8], RAMP_OF_16),
    "all black": ([0, 1, 2], np.zeros((256, 3))),
    "all black, one number": ([1, 1], np.zeros((256, 3))),
    "random": ([0, 1, 2, 15], RNG.integers(0, 256, (256, 3))),
    "one color for two numbers": ([0, 1, 2], VOC[[0, 2, 2]]),
    "one color unknown": ([0, 1, 2], [*VOC[[0, 2]], (9, 9, 9)]),
    "unused color unknown": ([0, 1, 2], [*VOC[[0, 2, 1]], (9, 9, 9)]),
    "CamVid": ([0, 1, 5, 11], CAMVID),
    "too short": ([0, 1, 3], VOC[[0, 2, 1]]),
}


@pytest.mark.parametrize(("numbers", "palette"), BY_NUMBER.values(), ids=BY_NUMBER)
def test_palettes_that_say_nothing_of_the_numbers(tmp_path, numbers, palette):
    classes = COLORS if palette is BY_NUMBER["of the list"][1] else PLAIN
    assert read_with(tmp_path, numbers, palette, classes) == (numbers, False)


def test_voc_s_palette_is_in_order_for_a_list_of_other_colors(tmp_path):
    assert read_with(tmp_path, [0, 1, 2, 255], VOC, COLORS) == ([0, 1, 2, 255], False)


BY_COLOR = {
    "of VOC": (PLAIN, [0, 1, 2], VOC[[0, 2, 1]], [0, 2, 1]),
    "of VOC, only what is used": (PLAIN, [0, 1, 2], VOC[[0, 15, 7]], [0, 15, 7]),
    "of VOC, filled with black": (PLAIN, [0, 1, 1], [*VOC[[15, 7]], *[(0, 0, 0)] * 9], [15, 7, 7]),
    "of VOC, filled with white": (
        PLAIN, [0, 1, 1], [*VOC[[15, 7]], *[(255, 255, 255)] * 9], [15, 7, 7]
    ),
    "of VOC, filled with its last color": (PLAIN, [0, 1, 2], VOC[[0, 2, 1, 1, 1]], [0, 2, 1]),
    "of VOC, with ignored": (PLAIN, [0, 1, 2], [IGNORED, *VOC[[1, 0]]], [255, 1, 0]),
    "all of VOC, turned around": (PLAIN, [255, 254, 0], VOC[::-1], [0, 1, 255]),
    "of the list": (COLORS, [0, 1, 2], COLORS.palette()[[2, 1, 0]], [2, 1, 0]),
    "of the list, with ignored": (COLORS, [0, 1, 2], COLORS.palette()[[2, 255, 0]], [2, 255, 0]),
    "of VOC for a list of other colors": (COLORS, [0, 1, 2], VOC[[2, 1, 0]], [2, 1, 0]),
    "one color": (PLAIN, [0, 0], VOC[[3]], [3, 3]),
}


@pytest.mark.parametrize(
    ("classes", "numbers", "palette", "labels"), BY_COLOR.values(), ids=BY_COLOR
)
def test_known_colors_in_another_order_count(tmp_path, classes, numbers, palette, labels):
    assert read_with(tmp_path, numbers, palette, classes) == (labels, True)


def test_all_masks_with_one_palette_are_read_alike(tmp_path):
    """Whichever of its colors they use; here two are VOC's in another order, one is unknown."""
    palette = [*VOC[[0, 2, 1]], (200, 10, 77)]
    for numbers in ([0, 1], [1, 2], [2, 3], [0, 1, 2, 3]):
        assert read_with(tmp_path, numbers, palette, PLAIN) == (numbers, False)
    palette = VOC[[0, 2, 1, 3]]
    for numbers, labels in (([0, 1], [0, 2]), ([1, 2], [2, 1]), ([0, 3], [0, 3])):
        assert read_with(tmp_path, numbers, palette, PLAIN)[0] == labels


def test_numbers_of_classes_csv_stay_numbers_whatever_the_palette(tmp_path):
    (tmp_path / "classes.csv").write_text("name,number\nground,0\ncat,2\ndog,1\nignore,9\n")
    classes, colored = read_classes(tmp_path / "classes.csv")
    assert not colored
    assert read_with(tmp_path, [0, 1, 2, 9], VOC[[2, 0, 1]], classes) == ([0, 2, 1, 255], False)
    assert read_with(tmp_path, [0, 1, 2], VOC[[2, 0, 1]], classes) == ([0, 2, 1], False)


def test_quantized_colors_come_back(tmp_path):
    """What Pillow makes of a colored mask that is saved with few colors."""
    labels = RNG.choice([0, 1, 5, 15], (20, 30))
    Image.fromarray(VOC[labels]).quantize(4).save(tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert (np.asarray(image) != labels).any()
    got, reordered, _ = inspect_mask(tmp_path / "m.png", PLAIN)
    np.testing.assert_array_equal(got, labels)
    assert reordered


@pytest.mark.parametrize("palette", [VOC[[0, 40, 1]], VOC[:2]])
def test_a_number_that_is_no_class_is_named_also_with_a_palette(tmp_path, palette):
    with pytest.raises(ValueError, match="class numbers from 0 to 1 or 255 .*, got 2 in row 0"):
        read_with(tmp_path, [0, 1, 2], palette, Classes.named(["a", "b"]))


def test_a_palette_in_another_order_with_a_further_color_is_doubtful(tmp_path):
    """Photoshop adds black and white."""
    mask = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    mask.putpalette([0, 0, 0, 0, 128, 0, 128, 0, 0, 255, 255, 255])
    mask.save(tmp_path / "m.png")
    read = inspect_mask(tmp_path / "m.png", PLAIN)
    assert read.labels.tolist() == [[0, 1, 2]] and read.doubtful and not read.reordered
