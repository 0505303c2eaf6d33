"""What image files hold, as Pillow reads them, and where Pillow must not be trusted."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fcn_numpy.files import open_file, reason_of, shown

# With VGG16 a million pixels takes 0.65 GB of memory: more than these nobody can segment.
MAX_PIXELS = 50_000_000
# Of all that Pillow reads, those that hold images; others start programs or fetch files.
FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
LARGEST_FILE = 1 << 30

ORIENTATION = 0x0112
# What turns an image upright, by the orientation in its EXIF data.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, 1),
}
# Pillow keeps the upper 8 of a color's 16 bits. Read in the other byte order, the same file
# gives the lower 8.
_NATIVE, _OTHER = ("16L", "16B") if sys.byteorder == "little" else ("16B", "16L")
_SWAPPED = {
    f"{mode};{order}": f"{mode};{other}" for mode in ("RGB", "RGBA")
    for order, other in (("16L", "16B"), ("16B", "16L"), ("16N", _OTHER))
}
# Tags of TIFF.
BITS, PHOTOMETRIC, CHANNELS, PLANAR, EXTRA, SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
# Photometric interpretation, channels and what extra ones mean: gray, RGB and RGBA of 8 bits are
# read right also where the channels follow one another.
_PLANES = ((1, 1, ()), (2, 3, ()), (2, 4, (2,)))


@contextlib.contextmanager
def open_image(path: str | os.PathLike, formats: tuple[str, ...] = FORMATS) -> Iterator[Any]:
    """Open an image file with Pillow; whatever is wrong with it becomes a ValueError.

    Parameters
    ----------
    path : path-like
    formats : tuple of str
        Pillow's names of the formats to take.

    Yields
    ------
    PIL.Image.Image
        As it is in the file, not turned.

    Raises
    ------
    OSError
        If there is no such file, or it may not be read.
    ValueError
        If it cannot be read as an image, or has more than 50 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with open_file(path, LARGEST_FILE) as file, warnings.catch_warnings():
            # Of doubtful metadata; what matters of them is an error as well.
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
        # A decoder that meets a damaged file raises whatever it stumbles upon.
        reason = reason_of(error)
        if "MAX_TEXT" in reason:
            reason = "it has more than 1 MB of text beside its pixels: save it without metadata"
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is no image of a format taken ({', '.join(formats)})"
            if _begins(path, b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xdb"):
                reason += ", but a JPEG"
            if "TIFF" in formats and _begins(path, b"II*\0", b"MM\0*"):
                reason = (
                    "it is a TIFF in a layout that Pillow does not read: save it as gray or RGB of "
                    "8 or 16 bits, or as PNG"
                )
        raise ValueError(f"cannot read {shown(path)}: {reason}") from error


def _begins(path, *starts):
    with open(path, "rb") as file:
        return file.read(4) in starts


def _check_layout(image):
    """Refuse the layouts that Pillow decodes wrongly without an error."""
    if image.format == "TIFF":
        bits, kind = image.tag_v2.get(BITS, (1,)), image.tag_v2.get(PHOTOMETRIC, 0)
        if image.tag_v2.get(PLANAR, 1) == 2:
            planes = (kind, image.tag_v2.get(CHANNELS, 1), image.tag_v2.get(EXTRA, ()))
            if planes not in _PLANES or set(bits) != {8}:
                raise ValueError(
                    "it is a TIFF whose channels follow one another, and not RGB of 8 bits: save "
                    "it with interleaved channels (PlanarConfiguration 1), or as PNG"
                )
        if max(bits) > 8 and kind == 0:
            raise ValueError(
                "it is a TIFF of more than 8 bits in which 0 is white: save it with black as 0 "
                "(BlackIsZero), or as PNG"
            )
        if max(bits) <= 8 and 2 in image.tag_v2.get(SAMPLE_FORMAT, (1,)):
            raise ValueError(
                "it is a TIFF of signed values: save it with values from 0 to 255, or as PNG"
            )
    arguments = _arguments(image.tile[0]) if image.tile else ()
    deep_ppm = image.format == "PPM" and any(isinstance(a, int) and a > 255 for a in arguments)
    halved = any(
        isinstance(a, str) and ";16" in a and not a.startswith("I") and a not in _SWAPPED
        for a in arguments
    )
    if halved or (deep_ppm and image.mode == "RGB"):
        raise ValueError(
            f"it has 16 bits in a layout of {image.format} of which 8 would be lost: save it as "
            "16-bit gray or RGB, in PNG"
        )


def _arguments(tile):
    return (tile[3],) if isinstance(tile[3], str) else tuple(tile[3] or ())


def values_of(image: Any) -> np.ndarray:
    """Return the values in an image file, with all their bits, not turned.

    Parameters
    ----------
    image : PIL.Image.Image
        From `open_image`, and not used before.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, channels), uint8 or uint16
        Of 16 bits for gray and color that have them, with alpha where one color is transparent;
        of other modes what Pillow gives.

    Raises
    ------
    ValueError
        For values of more than 16 bits.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 65535:
            raise ValueError(f"expected 8 or 16 bits a channel, got mode {image.mode}")
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
    """Return values of 16 bits as RGBA if one color, or gray, is transparent."""
    if transparent is None or values.shape[2:] == (4,):
        return values
    colors = values if values.ndim == 3 else np.stack([values] * 3, axis=-1)
    alpha = np.where((colors == transparent).all(axis=-1), 0, 65535)
    return np.dstack([colors, alpha.astype(np.uint16)])


def _with_other_order(tile):
    """Return how to read a part of an image in the other byte order; None without 16 bits."""
    arguments = _arguments(tile)
    if not arguments or arguments[0] not in _SWAPPED:
        return None
    other = (_SWAPPED[arguments[0]], *arguments[1:])
    return (*tile[:3], other) if type(tile) is tuple else tile._replace(args=other)


def orientation_of(image: Any) -> int:
    """Return the orientation that a camera noted, after the pixels were read; 1 is upright.

    Parameters
    ----------
    image : PIL.Image.Image

    Returns
    -------
    int
        From 1 to 8. Notes that cannot be read are no note: the pixels do not depend on them.
    """
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if orientation in TURNS else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels of shape (H, W) or (H, W, channels), turned as `orientation_of` says."""
    return TURNS[orientation](pixels) if orientation in TURNS else pixels


def has_further(image: Any) -> bool:
    """Return whether a file holds further images after the one that was read.

    Those of cameras are left aside: they are of the same scene, such as a thumbnail.

    Parameters
    ----------
    image : PIL.Image.Image

    Returns
    -------
    bool
        Whether there is a second one; counting them all can take for ever.
    """
    if image.format in ("JPEG", "MPO"):
        return False
    try:
        image.seek(1)
    except Exception:  # the first image was read, whatever the others are
        return False
    return True
