"""Image files of any kind, and masks: read right, or refused in words."""

import io
import os
import signal
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from tiff_files import (
    GRAY,
    GRAY_ALPHA,
    ORIENTATION,
    RGB,
    RGBA,
    SAMPLE_FORMAT,
    write_png,
    write_tiff,
)

from fcn_numpy.data import (
    VOC_CLASSES,
    Classes,
    normalize,
    read_image,
    read_mask,
    stretch,
    subtract_mean,
    write_image,
    write_labels,
)
from fcn_numpy.data.images import inspect_image, is_ours

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
THREE = Classes(("ground", "cat", "dog"), ((0, 0, 0), (200, 10, 30), (9, 200, 255)), (1, 2, 3))


def chw(pixels):
    return pixels.transpose(2, 0, 1) / np.float32(255)


def read_back(folder, picture, name="x.png", **options):
    picture.save(folder / name, **options)
    return read_image(folder / name)


# ---------------------------------------------------------------- images


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
    color = (90, 90, 90) if mode == "L" else (200, 80, 40)
    image = read_back(tmp_path, Image.new("RGB", (9, 8), color).convert(mode), "x.jpg")
    assert image.shape == (3, 8, 9)
    np.testing.assert_allclose(image[:, 4, 4] * 255, color, rtol=0, atol=3)


def test_transparency_is_laid_on_white(tmp_path):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0] = 10, 20, 30, 255
    pixels[1] = 10, 20, 30, 0
    image = read_back(tmp_path, Image.fromarray(pixels))
    np.testing.assert_array_equal(image[:, 0, 0] * 255, [10, 20, 30])
    np.testing.assert_array_equal(image[:, 1, 0], 1)
    gray = read_back(tmp_path, Image.fromarray(pixels[..., 2:]), "gray.png")
    np.testing.assert_array_equal(gray[:, 1, 0], 1)
    np.testing.assert_allclose(gray[:, 0, 0] * 255, 30, rtol=1e-6)


def test_a_transparent_color_of_a_palette_is_laid_on_white(tmp_path):
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
    with pytest.raises(ValueError, match=r"x\.tif: expected 8 or 16 bits per channel, got mode"):
        read_image(tmp_path / "x.tif")


# ---------------------------------------------------------------- 16 bits, and TIFF


def expected(values, channels, extra, white_is_zero=False):
    """Return what an image of these values looks like, on white, (3, H, W)."""
    shares = values.reshape(*values.shape[:2], channels) / np.iinfo(values.dtype).max
    colors = shares[..., :3] if channels >= 3 else np.repeat(shares[..., :1], 3, axis=2)
    if white_is_zero:
        colors = 1 - colors
    if extra == (2,) or (channels == 4 and not extra):  # of four, the last is alpha
        colors = colors * shares[..., -1:] + (1 - shares[..., -1:])
    return colors.transpose(2, 0, 1)


LAYOUTS = [(1, ()), (2, (0,)), (2, (2,)), (3, ()), (4, ()), (4, (0,)), (4, (2,))]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_is_read_right_or_refused(tmp_path, order, planar, deflate, dtype):
    read = set()
    for channels, extra in LAYOUTS:
        for white in (False, True)[: 2 if channels < 3 else 1]:
            shape = (13, 11) if channels == 1 else (13, 11, channels)
            values = RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
            path = write_tiff(tmp_path / "x.tif", values, order, planar, deflate, white, extra)
            try:
                image = read_image(path)
            except ValueError as error:
                assert "save it" in str(error) and "or as PNG" in str(error) or (
                    "save it as 16-bit gray or RGB" in str(error)
                ), error
                continue
            read.add((channels, extra, white))
            # Pillow blends 8 bits with white in whole numbers; everything else is exact.
            blended = channels in (2, 4) and extra != (0,) and dtype == np.uint8
            np.testing.assert_allclose(
                image, expected(values, channels, extra, white), rtol=0,
                atol=0.51 / 255 if blended else 2e-7,
            )
    common = {(1, (), False), (3, (), False), (4, (2,), False)}
    if planar == 1:
        assert common | {(4, (), False)} <= read
        assert dtype == np.uint16 or (1, (), True) in read
    elif dtype == np.uint8:
        assert common <= read
    else:
        assert not read


@pytest.mark.parametrize(("values", "options", "words"), [
    (np.zeros((4, 4, 3), np.uint16), {"planar": 2}, r"interleaved channels \(Plan.*, or as PNG$"),
    (np.zeros((4, 4), np.uint8), {"planar": 2, "white_is_zero": True}, "interleaved channels"),
    (np.zeros((4, 4), np.uint16), {"white_is_zero": True}, r"0 as black \(BlackIsZero\), or as"),
    (np.zeros((4, 4, 4), np.uint16), {"extra": (0,)}, "only 8 bits: save it as 16-bit"),
    (np.zeros((4, 4, 4), np.uint16), {"extra": (1,)}, "of which Pillow reads only 8 bits"),
    (np.zeros((4, 4, 2), np.uint16), {"extra": (2,)}, "layout that Pillow does not read: save"),
    (np.zeros((4, 4), np.uint16), {"white_is_zero": True, "order": ">"}, "does not read: save it"),
    (np.full((4, 4), -1, np.int8), {"more": [(SAMPLE_FORMAT, 2)]}, "signed values: save it with"),
    (np.full((4, 4), -1, np.int16), {"more": [(SAMPLE_FORMAT, 2)]}, "expected 8 or 16 bits"),
])
def test_a_tiff_that_is_refused_says_what_to_do(tmp_path, values, options, words):
    with pytest.raises(ValueError, match=words):
        read_image(write_tiff(tmp_path / "x.tif", values, **options))


def test_premultiplied_alpha_is_undone_once(tmp_path):
    values = np.array([[[100, 50, 0, 128], [0, 0, 0, 0], [7, 8, 9, 255]]], np.uint8)
    image = read_image(write_tiff(tmp_path / "x.tif", values, extra=(1,)))
    on_white = values[..., :3] + (255 - values[..., 3:])
    np.testing.assert_allclose(image * 255, on_white.transpose(2, 0, 1), rtol=0, atol=1.01)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "channels"), [(GRAY, 1), (RGB, 3), (RGBA, 4)])
def test_16_bits_of_a_png_are_kept(tmp_path, kind, channels, interlaced):
    shape = (9, 10) if channels == 1 else (9, 10, channels)
    values = RNG.integers(0, 65536, shape, np.uint16)
    image = read_image(write_png(tmp_path / "x.png", values, 16, kind, interlaced))
    assert image.dtype == np.float32 and image.flags.c_contiguous
    np.testing.assert_allclose(image, expected(values, channels, ()), rtol=0, atol=2e-7)
    assert inspect_image(tmp_path / "x.png").bits == 16


def test_a_transparent_color_of_16_bits_is_laid_on_white(tmp_path):
    """It differs from the other pixels in the lower 8 bits alone."""
    values = np.array([[1000, 1001, 5]], np.uint16)
    key = struct.pack(">H", 1000)
    image = read_image(write_png(tmp_path / "x.png", values, 16, GRAY, tRNS=key))
    np.testing.assert_array_equal(image[1] * np.float32(65535), [[65535, 1001, 5]])
    colors = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint16)
    key = struct.pack(">HHH", 1, 2, 3)
    image = read_image(write_png(tmp_path / "x.png", colors, 16, RGB, tRNS=key))
    np.testing.assert_allclose(image[:, 0].T * 65535, [[65535] * 3, [1, 2, 4]], rtol=1e-6)


def test_layouts_of_which_half_the_bits_would_be_lost_are_refused(tmp_path):
    write_png(tmp_path / "x.png", np.full((3, 4, 2), 777, np.uint16), 16, GRAY_ALPHA)
    (tmp_path / "x.ppm").write_bytes(b"P6 2 1 65535\n" + bytes(range(12)))
    (tmp_path / "plain.ppm").write_bytes(b"P3 1 1 4095\n1 2 3\n")
    for name, kind in (("x.png", "PNG"), ("x.ppm", "PPM"), ("plain.ppm", "PPM")):
        with pytest.raises(ValueError, match=(
            f"{name}: it is a 16-bit {kind} of which Pillow reads only 8 bits: save it as "
            "16-bit gray or RGB, in PNG$"
        )):
            read_image(tmp_path / name)


def test_16_bits_of_gray_in_a_pgm_are_kept(tmp_path):
    values = np.array([[0, 1, 256, 65535]], ">u2")
    (tmp_path / "x.pgm").write_bytes(b"P5 4 1 65535\n" + values.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "x.pgm")[0], values / np.float32(65535))


# ---------------------------------------------------------------- metadata

# What turns the image of a camera upright, by the definition in EXIF's words: where the first row
# and the first column of the file are to be seen.
UPRIGHT = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: p[::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1), 8: lambda p: p[:, ::-1].swapaxes(0, 1),
}


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_that_was_turned(tmp_path, orientation):
    picture = Image.fromarray(PIXELS)
    image = read_back(tmp_path, picture, exif=exif_of(orientation))
    np.testing.assert_array_equal(image, chw(UPRIGHT[orientation](PIXELS)))
    with Image.open(tmp_path / "x.png") as again:  # another witness
        np.testing.assert_array_equal(image, chw(np.asarray(ImageOps.exif_transpose(again))))
    read = inspect_image(tmp_path / "x.png")
    assert (read.orientation, read.size, read.bits) == (orientation, (5, 7), 8)
    jpeg = read_back(tmp_path, picture, "x.jpg", exif=exif_of(orientation), quality=95)
    plain = read_back(tmp_path, picture, "plain.jpg", quality=95)
    turned = UPRIGHT[orientation](plain.transpose(1, 2, 0)).transpose(2, 0, 1)
    np.testing.assert_array_equal(jpeg, turned)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_of_a_camera_that_was_turned(tmp_path, orientation, dtype):
    """Pillow turns it by itself: it must not be turned twice."""
    values = RNG.integers(0, 256, (5, 7, 3)).astype(dtype)
    path = write_tiff(tmp_path / "x.tif", values, more=[(ORIENTATION, orientation)])
    read = inspect_image(path)
    share = values / np.float32(np.iinfo(dtype).max)
    np.testing.assert_array_equal(read.image, UPRIGHT[orientation](share).transpose(2, 0, 1))
    assert (read.orientation, read.size) == (orientation, (5, 7))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_as_an_image_is(tmp_path, orientation):
    labels = RNG.integers(0, 3, (4, 6), dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "m.png", exif=exif_of(orientation))
    got = read_mask(tmp_path / "m.png", THREE)
    np.testing.assert_array_equal(got, UPRIGHT[orientation](labels))
    assert got.flags.c_contiguous


def tiff_head(entries, data=b""):
    body = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries)
    return b"Exif\0\0" + body + struct.pack("<I", 0) + data


BROKEN = {
    "twice": b"Exif\0\0" + exif_of(1).tobytes(), "zeros": b"Exif\0\0" + b"\0" * 12,
    "cut": b"Exif\0\0II*\0\x08\0\0\0\x06", "words": b"Exif\0\0not exif at all",
    "nine": exif_of(9).tobytes(),
}


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp"])
@pytest.mark.parametrize("exif", BROKEN.values(), ids=BROKEN)
def test_broken_exif_is_no_exif(tmp_path, name, exif):
    options = {"x.jpg": {"quality": 95}, "x.png": {}, "x.webp": {"lossless": True}}[name]
    plain = read_back(tmp_path, Image.fromarray(PIXELS), name, **options)
    image = read_back(tmp_path, Image.fromarray(PIXELS), name, exif=exif, **options)
    np.testing.assert_array_equal(image, plain)
    assert inspect_image(tmp_path / name).orientation == 1


def test_an_orientation_beside_broken_notes_counts(tmp_path):
    """A resolution of 0/0 is no reason to show the image lying on its side."""
    entries = [
        struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHII", 0x011A, 5, 1, 38),
    ]
    exif = tiff_head(entries, struct.pack("<II", 0, 0))
    read_back(tmp_path, Image.fromarray(PIXELS), "x.jpg", exif=exif)
    read = inspect_image(tmp_path / "x.jpg")
    assert (read.orientation, read.size, read.image.shape) == (6, (5, 7), (3, 7, 5))


def test_other_broken_metadata(tmp_path):
    picture = Image.fromarray(PIXELS)
    plain = read_back(tmp_path, picture, "plain.jpg", quality=95)
    data = (tmp_path / "plain.jpg").read_bytes()
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>\xa8\xff</x:xmpmeta>"
    (tmp_path / "xmp.jpg").write_bytes(
        data[:2] + b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp + data[2:]
    )
    np.testing.assert_array_equal(read_image(tmp_path / "xmp.jpg"), plain)
    for key, text in (
        ("XML:com.adobe.xmp", "<x:xmpmeta>ok</x:xmpmeta>"),
        ("Raw profile type exif", "\nexif\n  12\nzznothex"),
    ):
        note = PngInfo()
        note.add_itxt(key, text)
        np.testing.assert_array_equal(read_back(tmp_path, picture, pnginfo=note), chw(PIXELS))
        note = PngInfo()
        note.add_text(key, text)
        np.testing.assert_array_equal(read_back(tmp_path, picture, pnginfo=note), chw(PIXELS))


# ---------------------------------------------------------------- files that are no images


def test_a_image_that_memory_is_too_small_for(tmp_path, monkeypatch):
    def too_large(*args, **kwargs):
        raise MemoryError

    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "load", too_large)
    for read in (read_image, lambda path: read_mask(path, THREE, colored=True)):
        with pytest.raises(ValueError, match=r"x\.png: it needs more memory than there is$"):
            read(tmp_path / "x.png")


def test_of_a_gif_the_first_image_is_read(tmp_path):
    pictures = [Image.new("L", (4, 3), value) for value in (10, 200)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "x.gif") * 255, np.full((3, 3, 4), 10))


@pytest.mark.parametrize("data", [
    b"", b"words", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a", b"P6 5 5 255\n",
], ids=["empty", "text", "png head", "postscript", "gif head", "ppm head"])
def test_what_is_no_image_is_refused_in_one_line(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"^cannot read .*x\.png: [^\n]+$"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_image_that_is_cut_off_is_refused(tmp_path, name):
    Image.fromarray(RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for length in (100, len(data) // 2, len(data) - 200):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(ValueError, match="cannot read"):
            read_image(tmp_path / name)


def test_a_image_too_large_is_refused_before_it_is_read(tmp_path):
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


@pytest.mark.parametrize("value", [128, -0.5, np.nan])
def test_values_out_of_range_are_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="expected images from 0 to 1, got"):
        write_image(tmp_path / "x.png", np.full((3, 4, 4), value, np.float32))
    assert not list(tmp_path.iterdir())


def test_labels_above_255_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="expected labels from 0 to 255, got 300"):
        write_labels(tmp_path / "x.png", np.array([[0, 300]], np.uint16), THREE)


@pytest.mark.parametrize("name", ["x.gif", "x.tif", "x.webp", "x.png"])
def test_files_that_hold_further_images(tmp_path, name):
    first, second = Image.new("RGB", (4, 3)), Image.new("RGB", (4, 3), "red")
    first.save(tmp_path / name, save_all=True, append_images=[second, second])
    assert inspect_image(tmp_path / name).has_more
    first.save(tmp_path / name)
    assert not inspect_image(tmp_path / name).has_more


def test_what_is_written_comes_back(tmp_path):
    write_image(tmp_path / "x.png", chw(PIXELS))
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), chw(PIXELS))
    assert os.listdir(tmp_path) == ["x.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_at_once(tmp_path):
    def stop(*_):
        raise TimeoutError("it waits")

    os.mkfifo(tmp_path / "x.png")
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(10)
    try:
        for read in (read_image, lambda path: read_mask(path, THREE)):
            with pytest.raises(ValueError, match=r"x\.png: expected a file, got a named pipe"):
                read(tmp_path / "x.png")
        assert not is_ours(tmp_path / "x.png")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_what_this_package_wrote_is_known(tmp_path):
    write_image(tmp_path / "image.png", chw(PIXELS))
    write_labels(tmp_path / "labels.png", np.zeros((3, 4), np.uint8), THREE)
    assert is_ours(tmp_path / "image.png") and is_ours(tmp_path / "labels.png")
    Image.fromarray(PIXELS).save(tmp_path / "foreign.png")
    note = PngInfo()
    note.add_text("Software", "another")
    Image.fromarray(PIXELS).save(tmp_path / "other.png", pnginfo=note)
    (tmp_path / "words.png").write_bytes(b"words tEXtSoftware\0fcn_numpy 1.0")
    for name in ("foreign.png", "other.png", "words.png", "missing.png", "."):
        assert not is_ours(tmp_path / name)


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
    for function in (subtract_mean, normalize):
        assert function(images).shape == images.shape
        np.testing.assert_array_equal(images, before)
        with pytest.raises(ValueError, match="images"):
            function(images[0])


@pytest.mark.parametrize("function", [subtract_mean, normalize])
@pytest.mark.parametrize(("value", "words"), [
    (255, r"from 0 to 1, got 0 to 255; divide 8-bit values by 255$"),
    (1.01, "got 0 to 1.01; divide"), (-0.01, r"got -0\.01 to 0$"), (np.nan, r"got nan to nan$"),
    (np.inf, "got 0 to inf"),
])
def test_values_out_of_range_are_refused(function, value, words):
    images = np.zeros((2, 3, 4, 5), np.float32)
    images[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match=words):
        function(images)


@pytest.mark.parametrize("function", [subtract_mean, normalize])
def test_values_that_are_rounded_out_of_range_are_taken(function):
    images = np.zeros((1, 3, 4, 5), np.float32)
    images[0, 0, 0, :2] = -1e-6, 1 + 1e-6
    assert np.isfinite(function(images)).all()


# ---------------------------------------------------------------- stretch


def test_stretch_by_hand():
    """Of 0, 10, ..., 100 the 10th percentile is 10, the 90th is 90."""
    image = np.zeros((3, 1, 11), np.float32) + np.arange(0, 110, 10, dtype=np.float32) / 1000
    got = stretch(image, (10, 90))
    wanted = [0, 0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1, 1]
    np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), rtol=0, atol=1e-6)
    assert got.dtype == np.float32
    whole = stretch(image, (0, 100))
    np.testing.assert_allclose(whole[1, 0], np.arange(11) / 10, rtol=0, atol=1e-6)
    # The percentiles are of all colors together: a color cast stays.
    image[2] += 0.1
    assert stretch(image, (0, 100))[2].min() == pytest.approx(0.5)


def test_stretch_takes_a_hundredth_off_each_end_by_default():
    image = np.zeros((3, 1, 101), np.float64) + np.arange(101)
    got = stretch(image)
    np.testing.assert_allclose(got[0, 0, [0, 1, 50, 99, 100]], [0, 0, 0.5, 1, 1])
    assert got.dtype == np.float64


@pytest.mark.parametrize("value", [0, 0.3, 1])
def test_stretch_of_one_value(value):
    image = np.full((3, 4, 5), value, np.float32)
    got = stretch(image)
    assert got.dtype == np.float32 and not got.any()
    assert (image == np.float32(value)).all()


def test_stretch_refuses_nan_and_other_shapes():
    with pytest.raises(ValueError, match="without NaN"):
        stretch(np.full((3, 2, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="image"):
        stretch(np.zeros((2, 2), np.float32))


# ---------------------------------------------------------------- masks


def write_mask(folder, values, mode="L"):
    picture = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        picture.putpalette(RNG.integers(0, 256, 768, dtype=np.uint8).tobytes())
    picture.save(folder / "m.png")
    return folder / "m.png"


@pytest.mark.parametrize("mode", ["L", "P"])
def test_class_numbers_are_read_whatever_their_colors(tmp_path, mode):
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


def test_a_number_that_is_no_class_is_named_with_its_place(tmp_path):
    path = write_mask(tmp_path, [[0, 1, 2], [0, 3, 3]])
    with pytest.raises(ValueError, match=(
        r"m\.png: expected class numbers from 0 to 2 or 255 \(ignored\), got 3 in row 1, column 1, "
        "and 1 more"
    )):
        read_mask(path, THREE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_become_class_numbers(tmp_path, mode):
    pixels = np.array([[(0, 0, 0), (200, 10, 30)], [(9, 200, 255), (1, 2, 3)]], np.uint8)
    Image.fromarray(pixels).convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / "m.png")
    labels = read_mask(tmp_path / "m.png", THREE, colored=True)
    np.testing.assert_array_equal(labels, [[0, 1], [2, 255]])


def test_a_color_that_is_not_listed_is_named_with_its_place(tmp_path):
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[2, 1] = 200, 10, 31
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=(
        r"m\.png: expected a color of the list of classes, got \(200, 10, 31\) in row 2, "
        r"column 1$"
    )):
        read_mask(tmp_path / "m.png", THREE, colored=True)


def test_colors_where_numbers_are_expected(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="expected class numbers .*, got mode RGB"):
        read_mask(tmp_path / "m.png", THREE)


def test_a_mask_may_not_be_see_through(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 3] = [[255, 255], [255, 100]]
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="opaque.*got alpha 100 in row 1, column 1"):
        read_mask(tmp_path / "m.png", THREE, colored=True)


def test_a_jpeg_is_no_mask(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "m.png", format="JPEG")
    with pytest.raises(ValueError, match=r"not an image in an accepted format \(PNG\) but a JPEG"):
        read_mask(tmp_path / "m.png", THREE)


def test_labels_that_are_written_come_back_in_voc_s_colors(tmp_path):
    labels = RNG.choice([0, 7, 20, 255], (6, 5)).astype(np.uint8)
    write_labels(tmp_path / "m.png", labels, VOC_CLASSES)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", VOC_CLASSES), labels)
    with Image.open(tmp_path / "m.png") as picture:
        colors = np.asarray(picture.convert("RGB"))
    for number, color in (
        (0, (0, 0, 0)), (7, (128, 128, 128)), (20, (0, 64, 128)), (255, (224, 224, 192)),
    ):
        assert (colors[labels == number] == color).all()
