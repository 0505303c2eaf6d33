"""Pictures and masks in and out of files, and how the networks want to see them."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fcn_numpy.checks import check_array
from fcn_numpy.data.classes import Classes
from fcn_numpy.files import atomic_write

# Means of blue, green and red over ImageNet's pictures, as Caffe's VGG16 was trained with them.
CAFFE_MEAN = (104.00699, 116.66877, 122.67892)
# With VGG16 a million pixels takes 0.65 GB of memory: more than these nobody can segment.
MAX_PIXELS = 50_000_000
# Of all that Pillow reads, those that hold pictures; others start programs or fetch files.
FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")


def normalise(images: np.ndarray) -> np.ndarray:
    """Bring pictures from [0, 1] to mean 0 and about standard deviation 1, for TINY.

    ``(x - mean) * 4`` with the mean of each colour in each picture. What a toy picture's colours
    are says nothing of its shapes; without their mean the network has less to unlearn.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.

    Returns
    -------
    ndarray, shape and dtype of images
    """
    check_array(images, "images", ("N", 3, "H", "W"))
    return (images - images.mean(axis=(2, 3), keepdims=True)) * images.dtype.type(4)


def subtract_mean(images: np.ndarray) -> np.ndarray:
    """Bring pictures to what the published VGG16 and FCN weights expect.

    Blue, green, red; 0 to 255; less `CAFFE_MEAN`; no scaling.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.

    Returns
    -------
    ndarray, shape and dtype of images

    Notes
    -----
    As Caffe's VGG16 and the reference implementation of the paper; pytorch-fcn does the same in
    `transform`.
    """
    check_array(images, "images", ("N", 3, "H", "W"))
    pixels = np.ascontiguousarray(images[:, ::-1]) * images.dtype.type(255)
    pixels -= np.array(CAFFE_MEAN, images.dtype)[:, None, None]
    return pixels


@contextlib.contextmanager
def _opened(path: str | os.PathLike, formats: tuple[str, ...]) -> Iterator:
    """Open a picture file with Pillow, upright; whatever is wrong with it becomes a ValueError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if os.path.isdir(path):
            raise ValueError("it is a folder")
        with warnings.catch_warnings():
            # Of doubtful metadata; what matters of them is an error as well.
            warnings.simplefilter("ignore")
            Image.init()
            with Image.open(path, formats=[f for f in formats if f in Image.OPEN]) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise ValueError(
                        f"expected at most {MAX_PIXELS:,} pixels, got {width} x {height}"
                    )
                yield ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise
    except Exception as error:
        # A decoder that meets a damaged file raises whatever it stumbles upon.
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is no picture of a format taken ({', '.join(formats)})"
        elif isinstance(error, MemoryError):
            reason = "it needs more memory than there is"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot read {os.fspath(path)}: {reason}") from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture file as RGB.

    Parameters
    ----------
    path : path-like
        PNG, JPEG, TIFF, WebP, BMP, GIF (its first picture) or PPM. Grey becomes RGB; 16 bits a
        channel become 8; transparency is laid on white; a camera's note of how it was held is
        followed.

    Returns
    -------
    ndarray, shape (3, H, W), float32, from 0 to 1

    Raises
    ------
    FileNotFoundError
    ValueError
        If it is no picture that can be read, or one of more than 50 million pixels.
    """
    from PIL import Image

    with _opened(path, FORMATS) as picture:
        if picture.mode.startswith(("I", "F")):
            picture = Image.fromarray((_sixteen_bits(picture) / 257 + 0.5).astype(np.uint8))
        if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        pixels = np.asarray(picture.convert("RGB"))
    # Laid out for the network before it is four times as large.
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255)


def _sixteen_bits(picture):
    values = np.asarray(picture)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 65535:
        raise ValueError(f"expected 8 or 16 bits a channel, got mode {picture.mode}")
    return values


def read_mask(path: str | os.PathLike, classes: Classes, coloured: bool = False) -> np.ndarray:
    """Read the labels of a picture from a PNG file.

    Parameters
    ----------
    path : path-like
        PNG alone: a JPEG changes the colours, and so the labels.
    classes : Classes
    coloured : bool
        Whether the mask's colours are those of `classes`; if not, its pixels are class numbers
        (grey values, or places in a palette as in PASCAL VOC) and 255 is ignored.

    Returns
    -------
    ndarray, shape (H, W), uint8

    Raises
    ------
    FileNotFoundError
    ValueError
        If it cannot be read; for a pixel of another colour or number, with its place.
    """
    with _opened(path, ("PNG",)) as picture:
        if coloured:
            if "transparency" in picture.info or picture.mode in ("RGBA", "LA"):
                alpha = np.asarray(picture.convert("RGBA"))[..., 3]
                _expect(alpha == 255, alpha, "opaque pixels (alpha 255)", "alpha ")
            pixels = np.asarray(picture.convert("RGB"))
            labels = classes.numbers(pixels)
            wanted = "a colour of the list of classes"
        else:
            if picture.mode not in ("P", "L", "1") and not picture.mode.startswith("I"):
                raise ValueError(
                    f"expected class numbers (grey or with a palette), got mode {picture.mode}; "
                    "masks of colours need the colours in the list of classes"
                )
            pixels = np.asarray(picture).astype(np.int32)
            if picture.mode == "L":
                # Pillow stretches grey of 2 and 4 bits to 255: undo it.
                pixels //= 255 // (2 ** _bits(path) - 1)
            labels = np.where((pixels < len(classes)) | (pixels == 255), pixels, -1)
            wanted = f"class numbers from 0 to {len(classes) - 1} or 255 (ignored)"
        _expect(labels >= 0, pixels, wanted)
    return labels.astype(np.uint8)


def _bits(path):
    """Return the bits a channel of a PNG file, which stand in its 25th byte."""
    with open(path, "rb") as file:
        return file.read(25)[24]


def _expect(right, pixels, wanted, what=""):
    if right.all():
        return
    wrong = np.argwhere(~right)
    row, column = map(int, wrong[0])
    others = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    raise ValueError(
        f"expected {wanted}, got {what}{_plain(pixels[row, column])} in row {row}, column "
        f"{column}{others}"
    )


def _plain(pixel):
    return tuple(pixel.tolist()) if pixel.ndim else int(pixel)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an RGB picture of shape (3, H, W), from 0 to 1, as a PNG file."""
    from PIL import Image

    check_array(image, "image", (3, "H", "W"))
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    _write_png(path, Image.fromarray(np.ascontiguousarray(pixels)))


def write_labels(path: str | os.PathLike, labels: np.ndarray, classes: Classes) -> None:
    """Write labels as a PNG file with a palette: its pixels are class numbers, as in VOC.

    Parameters
    ----------
    path : path-like
    labels : ndarray, shape (H, W), uint8
    classes : Classes
        Whose colours the numbers are shown in.
    """
    from PIL import Image

    check_array(labels, "labels", ("H", "W"), kinds="u")
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(classes.palette().tobytes())
    _write_png(path, picture)


def _write_png(path: str | os.PathLike, picture: Any) -> None:
    with atomic_write(Path(path)) as file:
        picture.save(file, format="PNG")
