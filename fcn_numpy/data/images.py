"""Pictures in and out of files, and how the network wants to see them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fcn_numpy.checks import check_array
from fcn_numpy.files import atomic_write


def normalise(images: np.ndarray) -> np.ndarray:
    """Bring pictures from [0, 1] to mean 0 and about standard deviation 1.

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


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture file as RGB.

    Parameters
    ----------
    path : path-like
        PNG, JPEG or whatever Pillow reads, 8 bits a channel. Grey becomes RGB; transparency is
        laid on white.

    Returns
    -------
    ndarray, shape (3, H, W), float32, from 0 to 1

    Raises
    ------
    FileNotFoundError
    ValueError
        If it is no picture that can be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise ValueError(f"expected 8 bits a channel, got mode {picture.mode}")
            picture = ImageOps.exif_transpose(picture)
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture.convert("RGBA"))
            pixels = np.asarray(picture.convert("RGB"), np.float32)
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError,
            Image.DecompressionBombError) as error:
        reason = "it is no picture" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"cannot read {os.fspath(path)}: {reason}") from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an RGB picture of shape (3, H, W), from 0 to 1, as a PNG file."""
    from PIL import Image

    check_array(image, "image", (3, "H", "W"))
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    _write_png(path, Image.fromarray(np.ascontiguousarray(pixels)))


def write_labels(
    path: str | os.PathLike, labels: np.ndarray, colours: np.ndarray
) -> None:
    """Write labels as a PNG file with a palette: its pixels are class numbers, as in VOC.

    Parameters
    ----------
    path : path-like
    labels : ndarray, shape (H, W), uint8
    colours : ndarray, shape (K, 3), from 0 to 1
        Colour of each class; 255 (ignore) is shown white.
    """
    from PIL import Image

    check_array(labels, "labels", ("H", "W"), kinds="u")
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(colours)] = np.rint(np.asarray(colours) * 255)
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(palette.tobytes())
    _write_png(path, picture)


def _write_png(path: str | os.PathLike, picture) -> None:
    with atomic_write(Path(path)) as file:
        picture.save(file, format="PNG")
