"""Read image files with Pillow, and reject files that Pillow decodes incorrectly."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fcn_numpy.files import open_file, reason_of, shown

# VGG16 takes 0.65 GB of memory per million pixels, so larger images cannot be segmented.
MAX_PIXELS = 50_000_000
# The formats of Pillow that contain images; other formats start programs or fetch files.
FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
LARGEST_FILE = 1 << 30

ORIENTATION = 0x0112
# Functions that turn an image upright, by the orientation in its EXIF data.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, 1),
}
# Pillow keeps only the upper 8 of a color's 16 bits. Reading the same file in the other byte
# order gives the lower 8.
_NATIVE, _OTHER = ("16L", "16B") if sys.byteorder == "little" else ("16B", "16L")
_SWAPPED = {
    f"{mode};{order}": f"{mode};{other}" for mode in ("RGB", "RGBA")
    for order, other in (("16L", "16B"), ("16B", "16L"), ("16N", _OTHER))
}
# TIFF tags.
BITS, PHOTOMETRIC, CHANNELS, PLANAR, EXTRA, SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
# Photometric interpretation, channels and meaning of extra channels of the planar TIFFs that
# Pillow reads correctly: gray, RGB and RGBA with 8 bits.
_PLANES = ((1, 1, ()), (2, 3, ()), (2, 4, (2,)))


@contextlib.contextmanager
def open_image(path: str | os.PathLike, formats: tuple[str, ...] = FORMATS) -> Iterator[Any]:
    """Open an image file with Pillow, and turn any of its errors into a ValueError.

    Parameters
    ----------
    path : path-like
    formats : tuple of str
        Pillow's names of the accepted formats.

    Yields
    ------
    PIL.Image.Image
        The image as stored in the file, not turned upright.

    Raises
    ------
    OSError
        If the file does not exist or cannot be opened.
    ValueError
        If the file cannot be read as an image, or has more than 50 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with open_file(path, LARGEST_FILE) as file, warnings.catch_warnings():
            # Pillow warns about odd metadata. Anything important is also an error.
            warnings.simplefilter("ignore")
            Image.init()
            with Image.open(file, formats=[f for f in formats if f in Image.OPEN]) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ValueError(
                        f"expected at most {MAX_PIXELS:,} pixels, got {width} x {height}"
                    )
                _check_layout(image)
                yield image
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        # Decoders raise all kinds of exceptions on damaged files.
        reason = reason_of(error)
        if "MAX_TEXT" in reason:
            reason = "it has more than 1 MB of text metadata: save it without metadata"
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is not an image in an accepted format ({', '.join(formats)})"
            if _begins(path, b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xdb"):
                reason += " but a JPEG"
            if "TIFF" in formats and _begins(path, b"II*\0", b"MM\0*"):
                reason = (
                    "it is a TIFF in a layout that Pillow does not read: save it as gray or RGB "
                    "with 8 or 16 bits, or as PNG"
                )
        raise ValueError(f"cannot read {shown(path)}: {reason}") from error


def _begins(path, *starts):
    with open(path, "rb") as file:
        return file.read(4) in starts


def _check_layout(image):
    """Reject layouts that Pillow decodes incorrectly without an error."""
    if image.format == "TIFF":
        bits, kind = image.tag_v2.get(BITS, (1,)), image.tag_v2.get(PHOTOMETRIC, 0)
        if image.tag_v2.get(PLANAR, 1) == 2:
            planes = (kind, image.tag_v2.get(CHANNELS, 1), image.tag_v2.get(EXTRA, ()))
            if planes not in _PLANES or set(bits) != {8}:
                raise ValueError(
                    "it is a TIFF with separate channels, but not 8-bit RGB: save it with "
                    "interleaved channels (PlanarConfiguration 1), or as PNG"
                )
        if max(bits) > 8 and kind == 0:
            raise ValueError(
                "it is a TIFF with more than 8 bits in which 0 is white: save it with 0 as black "
                "(BlackIsZero), or as PNG"
            )
        if max(bits) <= 8 and 2 in image.tag_v2.get(SAMPLE_FORMAT, (1,)):
            raise ValueError(
                "it is a TIFF with signed values: save it with values from 0 to 255, or as PNG"
            )
    arguments = _arguments(image.tile[0]) if image.tile else ()
    deep_ppm = image.format == "PPM" and any(isinstance(a, int) and a > 255 for a in arguments)
    halved = any(
        isinstance(a, str) and ";16" in a and not a.startswith("I") and a not in _SWAPPED
        for a in arguments
    )
    if halved or (deep_ppm and image.mode == "RGB"):
        raise ValueError(
            f"it is a 16-bit {image.format} of which Pillow reads only 8 bits: save it as "
            "16-bit gray or RGB, in PNG"
        )


def _arguments(tile):
    return (tile[3],) if isinstance(tile[3], str) else tuple(tile[3] or ())


def values_of(image: Any) -> np.ndarray:
    """Return the values in an image file with all their bits, not turned upright.

    Parameters
    ----------
    image : PIL.Image.Image
        Image from `open_image` whose pixels were not read before.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, channels), uint8 or uint16
        16-bit gray and color images keep their 16 bits, and get an alpha channel if one color is
        transparent. Other modes are as Pillow reads them.

    Raises
    ------
    ValueError
        If values have more than 16 bits.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 65535:
            raise ValueError(f"expected 8 or 16 bits per channel, got mode {image.mode}")
        return _with_alpha(values.astype(np.uint16), image.info.get("transparency"))
    if not image.tile or not all(map(_with_other_order, image.tile)):
        return np.asarray(image)
    from PIL import Image

    file = image.fp
    upper = np.asarray(image)
    file.seek(0)
    with Image.open(file, formats=[image.format]) as again:
        again.tile = [_with_other_order(tile) for tile in again.tile]
        values = upper.astype(np.uint16) * 256 + np.asarray(again)
    return _with_alpha(values, image.info.get("transparency"))


def _with_alpha(values, transparent):
    """Return 16-bit values as RGBA if one color or gray value is transparent."""
    if transparent is None or values.shape[2:] == (4,):
        return values
    colors = values if values.ndim == 3 else np.stack([values] * 3, axis=-1)
    alpha = np.where((colors == transparent).all(axis=-1), 0, 65535)
    return np.dstack([colors, alpha.astype(np.uint16)])


def _with_other_order(tile):
    """Return the tile with the other byte order, or None if it does not have 16 bits."""
    arguments = _arguments(tile)
    if not arguments or arguments[0] not in _SWAPPED:
        return None
    other = (_SWAPPED[arguments[0]], *arguments[1:])
    return (*tile[:3], other) if type(tile) is tuple else tile._replace(args=other)


def orientation_of(image: Any) -> int:
    """Return the orientation in the EXIF data, to be called after reading the pixels.

    Parameters
    ----------
    image : PIL.Image.Image

    Returns
    -------
    int
        From 1 (upright) to 8. Unreadable EXIF data counts as 1: the pixels do not depend on it.
    """
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if orientation in TURNS else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels of shape (H, W) or (H, W, channels) upright, given their `orientation_of`."""
    return TURNS[orientation](pixels) if orientation in TURNS else pixels


def has_further(image: Any) -> bool:
    """Return whether a file contains more images after the first one.

    Additional images of cameras do not count: they show the same scene, such as thumbnails.

    Parameters
    ----------
    image : PIL.Image.Image

    Returns
    -------
    bool
        Whether there is a second image; counting all of them can take forever.
    """
    if image.format in ("JPEG", "MPO"):
        return False
    try:
        image.seek(1)
    except Exception:  # the first image was read; the others do not matter
        return False
    return True
