"""Picture files of any kind, and masks: read right, or refused in words."""

import io
import os
import zlib

import numpy as np
import pytest
from PIL import Image

from fcn_numpy.data import (
    VOC_CLASSES,
    Classes,
    normalise,
    read_image,
    read_mask,
    subtract_mean,
    write_image,
    write_labels,
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
THREE = Classes(("ground", "cat", "dog"), ((0, 0, 0), (200, 10, 30), (9, 200, 255)), (1, 2, 3))


def chw(pixels):
    return pixels.transpose(2, 0, 1) / np.float32(255)


def read_back(folder, picture, name="x.png", **options):
    picture.save(folder / name, **options)
    return read_image(folder / name)


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.ppm", "x.webp"])
def test_rgb_comes_back_exactly(tmp_path, name):
    options = {"lossless": True} if name == "x.webp" else {}
    image = read_back(tmp_path, Image.fromarray(PIXELS), name, **options)
    assert image.dtype == np.float32 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, chw(PIXELS))
    # Whole numbers from 0 to 255 again, to the bit.
    np.testing.assert_array_equal(image * np.float32(255), PIXELS.transpose(2, 0, 1))


def test_the_format_is_told_by_the_content(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "x.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "x.jpg"), chw(PIXELS))


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_other_modes_become_rgb(tmp_path, mode):
    picture = Image.fromarray(PIXELS).convert(mode)
    image = read_back(tmp_path, picture)
    np.testing.assert_array_equal(image, chw(np.asarray(picture.convert("RGB"))))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
def test_jpeg_in_other_modes_becomes_rgb(tmp_path, mode):
    colour = (90, 90, 90) if mode == "L" else (200, 80, 40)
    image = read_back(tmp_path, Image.new("RGB", (9, 8), colour).convert(mode), "x.jpg")
    assert image.shape == (3, 8, 9)
    np.testing.assert_allclose(image[:, 4, 4] * 255, colour, rtol=0, atol=3)


def test_transparency_is_laid_on_white(tmp_path):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0] = 10, 20, 30, 255
    pixels[1] = 10, 20, 30, 0
    image = read_back(tmp_path, Image.fromarray(pixels))
    np.testing.assert_array_equal(image[:, 0, 0] * 255, [10, 20, 30])
    np.testing.assert_array_equal(image[:, 1, 0], 1)
    grey = read_back(tmp_path, Image.fromarray(pixels[..., 2:]), "grey.png")
    np.testing.assert_array_equal(grey[:, 1, 0], 1)
    np.testing.assert_allclose(grey[:, 0, 0] * 255, 30, rtol=1e-6)


def test_a_transparent_colour_of_a_palette_is_laid_on_white(tmp_path):
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 50, 60, 70])
    picture.putpixel((0, 0), 0)
    image = read_back(tmp_path, picture, transparency=0)
    np.testing.assert_array_equal(image[:, 0, 0], 1)
    np.testing.assert_allclose(image[:, 1, 1] * 255, [50, 60, 70], rtol=1e-6)


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_16_bits_of_gray_are_kept(tmp_path, name):
    values = np.array([[0, 257, 128 * 257, 65535, 1000, 1001]], np.uint16)
    image = read_back(tmp_path, Image.fromarray(values), name)
    np.testing.assert_array_equal(image[0], values / np.float32(65535))
    np.testing.assert_array_equal(image[0], image[2])
    assert image.dtype == np.float32 and len(np.unique(image)) == 6


@pytest.mark.parametrize("values", [
    np.full((2, 2), 0.5, np.float32), np.full((2, 2), -1, np.int32),
    np.full((2, 2), 70000, np.int32),
])
def test_more_than_16_bits_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=r"x\.tif: expected 8 or 16 bits a channel, got mode"):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize(("orientation", "upright"), [
    (1, lambda p: p), (2, lambda p: p[:, ::-1]), (3, lambda p: p[::-1, ::-1]),
    (6, lambda p: np.rot90(p, -1)), (8, np.rot90),
])
def test_a_camera_that_was_turned(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_back(tmp_path, Image.fromarray(PIXELS), exif=exif)
    np.testing.assert_array_equal(image, chw(upright(PIXELS)))


def test_a_picture_that_memory_is_too_small_for(tmp_path, monkeypatch):
    def too_large(*args, **kwargs):
        raise MemoryError

    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "load", too_large)
    for read in (read_image, lambda path: read_mask(path, THREE, coloured=True)):
        with pytest.raises(ValueError, match=r"x\.png: it needs more memory than there is$"):
            read(tmp_path / "x.png")


def test_of_a_gif_the_first_picture_is_read(tmp_path):
    pictures = [Image.new("L", (4, 3), value) for value in (10, 200)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "x.gif") * 255, np.full((3, 3, 4), 10))


@pytest.mark.parametrize("data", [
    b"", b"words", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a", b"P6 5 5 255\n",
], ids=["empty", "text", "png head", "postscript", "gif head", "ppm head"])
def test_what_is_no_picture_is_refused_in_one_line(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"^cannot read .*x\.png: [^\n]+$"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_picture_that_is_cut_off_is_refused(tmp_path, name):
    Image.fromarray(RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for length in (100, len(data) // 2, len(data) - 200):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(ValueError, match="cannot read"):
            read_image(tmp_path / name)


def test_a_picture_too_large_is_refused_before_it_is_read(tmp_path):
    # A PNG file of a few bytes whose head promises 50,001 x 50,001 pixels.
    head = io.BytesIO()
    Image.new("L", (1, 1)).save(head, format="PNG")
    data = bytearray(head.getvalue())
    data[16:24] = (50001).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ValueError, match="cannot read"):
        read_image(tmp_path / "x.png")
    Image.new("1", (10001, 5000)).save(tmp_path / "y.png")
    with pytest.raises(ValueError, match="at most 50,000,000 pixels, got 10001 x 5000"):
        read_image(tmp_path / "y.png")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "no.png")
    with pytest.raises(ValueError, match="cannot read .*: expected a file, got a folder"):
        read_image(tmp_path)


def test_what_is_written_comes_back(tmp_path):
    write_image(tmp_path / "x.png", chw(PIXELS))
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), chw(PIXELS))
    assert os.listdir(tmp_path) == ["x.png"]


# ---------------------------------------------------------------- what networks see


def test_published_weights_see_bgr_less_its_mean():
    """The numbers of Caffe's VGG16, on one pixel by hand."""
    image = np.array([255, 0, 51], np.float32).reshape(1, 3, 1, 1) / np.float32(255)
    expected = [51 - 104.00699, 0 - 116.66877, 255 - 122.67892]
    pixels = subtract_mean(image)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels.ravel(), expected, rtol=1e-6)
    assert subtract_mean(image.astype(np.float64)).dtype == np.float64


def test_neither_changes_its_argument():
    images = RNG.random((2, 3, 4, 5), dtype=np.float32)
    before = images.copy()
    for function in (subtract_mean, normalise):
        assert function(images).shape == images.shape
        np.testing.assert_array_equal(images, before)
        with pytest.raises(ValueError, match="images"):
            function(images[0])


# ---------------------------------------------------------------- masks


def write_mask(folder, values, mode="L"):
    picture = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        picture.putpalette(RNG.integers(0, 256, 768, dtype=np.uint8).tobytes())
    picture.save(folder / "m.png")
    return folder / "m.png"


@pytest.mark.parametrize("mode", ["L", "P"])
def test_class_numbers_are_read_whatever_their_colours(tmp_path, mode):
    values = [[0, 1, 2], [2, 255, 0]]
    labels = read_mask(write_mask(tmp_path, values, mode), THREE)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, values)


def test_class_numbers_of_1_and_of_16_bits(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "one.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "one.png", THREE), [[1, 0]])
    Image.fromarray(np.array([[0, 2, 255]], np.uint16)).save(tmp_path / "two.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "two.png", THREE), [[0, 2, 255]])
    Image.fromarray(np.array([[0, 256]], np.uint16)).save(tmp_path / "two.png")
    with pytest.raises(ValueError, match="got 256 in row 0, column 1"):
        read_mask(tmp_path / "two.png", THREE)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_class_numbers_of_few_bits_are_those_in_the_file(tmp_path, bits):
    """Pillow stretches them to 255."""
    values = np.arange(2**bits, dtype=np.uint8)
    rows = b"\0" + np.packbits(np.unpackbits(values[:, None], axis=1)[:, 8 - bits :]).tobytes()

    def chunk(kind, data):
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    head = len(values).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    (tmp_path / "m.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    classes = Classes.named([f"class {n}" for n in range(16)])
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", classes), values[None])


def test_a_number_that_is_no_class_is_named_with_its_place(tmp_path):
    path = write_mask(tmp_path, [[0, 1, 2], [0, 3, 3]])
    with pytest.raises(ValueError, match=(
        r"m\.png: expected class numbers from 0 to 2 or 255 \(ignored\), got 3 in row 1, column 1, "
        "and 1 more"
    )):
        read_mask(path, THREE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_become_class_numbers(tmp_path, mode):
    pixels = np.array([[(0, 0, 0), (200, 10, 30)], [(9, 200, 255), (1, 2, 3)]], np.uint8)
    Image.fromarray(pixels).convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / "m.png")
    labels = read_mask(tmp_path / "m.png", THREE, coloured=True)
    np.testing.assert_array_equal(labels, [[0, 1], [2, 255]])


def test_a_colour_that_is_not_listed_is_named_with_its_place(tmp_path):
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[2, 1] = 200, 10, 31
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=(
        r"m\.png: expected a color of the list of classes, got \(200, 10, 31\) in row 2, "
        r"column 1$"
    )):
        read_mask(tmp_path / "m.png", THREE, coloured=True)


def test_colours_where_numbers_are_expected(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="expected class numbers .*, got mode RGB"):
        read_mask(tmp_path / "m.png", THREE)


def test_a_mask_may_not_be_see_through(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 3] = [[255, 255], [255, 100]]
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="opaque.*got alpha 100 in row 1, column 1"):
        read_mask(tmp_path / "m.png", THREE, coloured=True)


def test_a_jpeg_is_no_mask(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "m.png", format="JPEG")
    with pytest.raises(ValueError, match=r"no image of a format taken \(PNG\)"):
        read_mask(tmp_path / "m.png", THREE)


def test_labels_that_are_written_come_back_in_voc_s_colours(tmp_path):
    labels = RNG.choice([0, 7, 20, 255], (6, 5)).astype(np.uint8)
    write_labels(tmp_path / "m.png", labels, VOC_CLASSES)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", VOC_CLASSES), labels)
    with Image.open(tmp_path / "m.png") as picture:
        colours = np.asarray(picture.convert("RGB"))
    for number, colour in (
        (0, (0, 0, 0)), (7, (128, 128, 128)), (20, (0, 64, 128)), (255, (224, 224, 192)),
    ):
        assert (colours[labels == number] == colour).all()
