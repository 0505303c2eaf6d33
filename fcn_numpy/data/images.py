"""Read and write images and masks, and preprocess images for the networks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcn_numpy import __version__
from fcn_numpy.checks import check_array
from fcn_numpy.data.classes import Classes
from fcn_numpy.data.image_files import (
    has_further,
    open_image,
    orientation_of,
    upright,
    values_of,
)
from fcn_numpy.files import atomic_write, open_file

# Means of blue, green and red over the images of ImageNet, which Caffe's VGG16 was trained with.
CAFFE_MEAN = (104.00699, 116.66877, 122.67892)
# Rounding may move a value this far out of its range.
ROUNDING = 1e-3
# Written into the images of this package, so that it recognizes them.
SOFTWARE = f"fcn_numpy {__version__}"
# The percentiles that `stretch` maps to 0 and 1 by default.
PERCENTILES = (1.0, 99.0)


# ---------------------------------------------------------------- what networks see


def normalize(images: np.ndarray) -> np.ndarray:
    """Normalize images from [0, 1] to mean 0 and a standard deviation of about 1, for TINY.

    Computes ``(x - mean) * 4``, with the mean of each color in each image. The colors of a toy
    image say nothing about its shapes; without their mean the network has less to unlearn.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.

    Returns
    -------
    ndarray, shape and dtype of images

    Raises
    ------
    ValueError
        If a value is outside of [0, 1], or NaN.
    """
    _check_range(images)
    return (images - images.mean(axis=(2, 3), keepdims=True)) * images.dtype.type(4)


normalise = normalize  # its name in version 0.1


def subtract_mean(
    images: np.ndarray, mean: Sequence[float] = CAFFE_MEAN, reverse: bool = True
) -> np.ndarray:
    """Convert images to the input that the published VGG16 and FCN weights expect.

    This is blue, green, red from 0 to 255, minus a mean, without scaling.

    Parameters
    ----------
    images : ndarray, shape (N, 3, H, W), floating
        RGB from 0 to 1.
    mean : sequence of 3 floats
        Mean of each channel of the result, from 0 to 255.
    reverse : bool
        Whether to reverse the channels, from RGB to BGR. HHA images keep their order.

    Returns
    -------
    ndarray, shape and dtype of images

    Raises
    ------
    ValueError
        If a value is outside of [0, 1], or NaN.

    Notes
    -----
    Caffe's VGG16 and the reference implementation do the same, and so does `transform` of
    pytorch-fcn.
    """
    _check_range(images)
    pixels = np.ascontiguousarray(images[:, ::-1] if reverse else images) * images.dtype.type(255)
    pixels -= np.array(mean, images.dtype)[:, None, None]
    return pixels


def log_depth(depths: np.ndarray, mean: float) -> np.ndarray:
    """Convert depths to the input of the authors' color-depth network: ``log(depth) - mean``.

    Parameters
    ----------
    depths : ndarray, shape (N, 1, H, W), floating
        Depths as stored in the file, above 0. A different unit adds a constant to the logarithm.
    mean : float
        Mean of the natural logarithm.

    Returns
    -------
    ndarray, shape and dtype of depths

    Raises
    ------
    ValueError
        If a depth is 0 or less, or not finite.
    """
    check_array(depths, "depths", ("N", 1, "H", "W"))
    low, high = depths.min(), depths.max()
    if not (low > 0 and high < np.inf):
        row, column = np.argwhere(~((depths > 0) & (depths < np.inf)))[0][2:]
        raise ValueError(
            f"expected depths above 0, got {depths[0, 0, row, column]:g} in row {row}, column "
            f"{column}: fill in the pixels that the camera did not measure"
        )
    return np.log(depths) - depths.dtype.type(mean)


def _check_range(images):
    check_array(images, "images", ("N", 3, "H", "W"))
    low, high = images.min(), images.max()
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        hint = "; divide 8-bit values by 255" if high > 1 + ROUNDING and low >= 0 else ""
        raise ValueError(f"expected images from 0 to 1, got {low:g} to {high:g}{hint}")


def stretch(image: np.ndarray, percentiles: tuple[float, float] = PERCENTILES) -> np.ndarray:
    """Stretch the values of an image to [0, 1].

    Computes ``clip((x - a) / (b - a), 0, 1)``, where a and b are percentiles of all values of the
    image. Use this for images that use a small part of their range, such as those of cameras with
    12 or 16 bits.

    Parameters
    ----------
    image : ndarray, shape (3, H, W), floating
    percentiles : (float, float)
        Two percentiles, from 0 to 100.

    Returns
    -------
    ndarray, shape and dtype of image
        The stretched image; zeros if a and b are equal.

    Raises
    ------
    ValueError
        If a value is NaN.
    """
    check_array(image, "image", (3, "H", "W"))
    low, high = np.percentile(image, percentiles)
    if np.isnan(low):
        raise ValueError("expected an image without NaN")
    if not high > low:
        return np.zeros_like(image)
    return np.clip((image - low) / (high - low), 0, 1).astype(image.dtype)


# ---------------------------------------------------------------- files


class ImageRead(NamedTuple):
    """An image, and properties of its file.

    Attributes
    ----------
    image : ndarray, shape (3, H, W), float32
    orientation : int
        EXIF orientation. If it is not 1, the image was turned upright.
    size : (int, int)
        Height and width in the file, before it was turned.
    bits : int
        Bits per channel, 8 or 16.
    has_more : bool
        Whether the file contains more images after this one.
    """

    image: np.ndarray
    orientation: int
    size: tuple[int, int]
    bits: int
    has_more: bool


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file as RGB.

    Parameters
    ----------
    path : path-like
        PNG, JPEG, TIFF, WebP, BMP, GIF or PPM file with 8 or 16 bits per channel. If a file has
        several images, the first is read. Gray becomes RGB; transparent pixels are blended with
        white; the image is turned upright by the orientation in its EXIF data. Unreadable metadata
        is ignored, but a PNG with more than 1 MB of metadata is rejected.

    Returns
    -------
    ndarray, shape (3, H, W), float32, from 0 to 1

    Raises
    ------
    OSError
        If the file does not exist or cannot be opened.
    ValueError
        If the file cannot be read as an image, or has more than 50 million pixels.
    """
    return inspect_image(path).image


def inspect_image(path: str | os.PathLike) -> ImageRead:
    """Read an image file like `read_image`, and report the properties of the file."""
    from PIL import Image

    with open_image(path) as opened:
        picture = opened
        # Pillow turns a TIFF when it reads the pixels, and then forgets the orientation.
        turned = orientation_of(picture) if picture.format == "TIFF" else 1
        values = values_of(picture)
        orientation = orientation_of(picture)
        if values.dtype == np.uint8 or values.dtype == bool:
            if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or (
                "transparency" in picture.info
            ):
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture.convert("RGBA"))
            values = np.asarray(picture.convert("RGB"))
        has_more = has_further(opened)
    bits = 8 * values.dtype.itemsize
    if values.ndim == 2:
        values = np.broadcast_to(values[..., None], (*values.shape, 3))
    # Rearrange the channels before the conversion to float32 makes the array larger.
    channels = np.ascontiguousarray(upright(values, orientation).transpose(2, 0, 1))
    image = channels / np.float32(2**bits - 1)
    if len(image) == 4:
        image = image[:3] * image[3] + (1 - image[3])
    height, width = values.shape[:2]
    size = (width, height) if turned >= 5 else (height, width)
    return ImageRead(image, max(turned, orientation), size, bits, has_more)


def read_depth(path: str | os.PathLike) -> np.ndarray:
    """Read a depth image: one channel, with the values as stored.

    Parameters
    ----------
    path : path-like
        Gray PNG or TIFF file with 8 or 16 bits. Its EXIF orientation is ignored.

    Returns
    -------
    ndarray, shape (1, H, W), float32

    Raises
    ------
    OSError
        If the file does not exist or cannot be opened.
    ValueError
        If the file cannot be read as an image, or has colors.
    """
    with open_image(path) as picture:
        if picture.mode in ("P", "1"):
            raise ValueError(f"expected gray values, got an image of mode {picture.mode}")
        values = values_of(picture)
        if values.ndim != 2:
            raise ValueError(f"expected one channel of depths, got {values.shape[2]} channels")
    return values[None].astype(np.float32)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an RGB image of shape (3, H, W), from 0 to 1, as a PNG file."""
    from PIL import Image

    check_array(image, "image", (3, "H", "W"))
    _check_range(image[None])
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    _write_png(path, Image.fromarray(np.ascontiguousarray(pixels)))


def write_labels(path: str | os.PathLike, labels: np.ndarray, classes: Classes) -> None:
    """Write labels as a PNG file with a palette; its pixels are class numbers, as in VOC.

    Parameters
    ----------
    path : path-like
    labels : ndarray, shape (H, W), uint8
    classes : Classes
        Classes that define the colors.
    """
    from PIL import Image

    check_array(labels, "labels", ("H", "W"), kinds="u")
    if labels.max() > 255:
        raise ValueError(f"expected labels from 0 to 255, got {labels.max()}")
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(classes.palette().tobytes())
    _write_png(path, picture)


def _write_png(path: str | os.PathLike, picture: Any) -> None:
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("Software", SOFTWARE)
    with atomic_write(Path(path)) as file:
        picture.save(file, format="PNG", pnginfo=note)


def is_ours(path: str | os.PathLike) -> bool:
    """Return whether a file is a PNG that this package wrote, according to its metadata."""
    try:
        with open_file(path, 1 << 30) as file:
            start = file.read(4096)
    except (OSError, ValueError):
        return False
    return start.startswith(b"\x89PNG") and b"tEXtSoftware\0fcn_numpy" in start
