"""Read masks, which contain the class of each pixel."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fcn_numpy.data.classes import Classes, voc_palette
from fcn_numpy.data.image_files import open_image, orientation_of, upright, values_of
from fcn_numpy.data.shapes import IGNORE


def read_mask(path: str | os.PathLike, classes: Classes, colored: bool = False) -> np.ndarray:
    """Read the labels of an image from a PNG file.

    Parameters
    ----------
    path : path-like
        PNG file. A JPEG would change the colors, and with them the labels.
    classes : Classes
    colored : bool
        Whether to read the mask by the colors of `classes`. Otherwise, its pixels are numbers: gray
        values (RGB with three equal values also works), or palette indices as in PASCAL VOC. But
        if a palette contains the colors of `classes`, or those of VOC, in a different order, the
        mask is read by color.

    Returns
    -------
    ndarray, shape (H, W), uint8
        Class numbers, or 255 for pixels that do not count.

    Raises
    ------
    OSError
        If the file does not exist or cannot be opened.
    ValueError
        If the file cannot be read, or a pixel has an unknown color or number. The message gives
        the position of the pixel.
    """
    return inspect_mask(path, classes, colored).labels


# Maximum number of mask values in a message.
MOST_VALUES = 6


class MaskRead(NamedTuple):
    """A mask, and findings about its palette.

    Attributes
    ----------
    labels : ndarray, shape (H, W), uint8
    reordered : bool
        Whether the mask was read by the colors of its palette, although numbers were expected.
    doubtful : bool
        Whether the mask was read by number, although the colors it uses are those of the list in a
        different order. (Its palette also has colors that the list lacks.)
    """

    labels: np.ndarray
    reordered: bool
    doubtful: bool


def inspect_mask(
    path: str | os.PathLike, classes: Classes, colored: bool = False
) -> MaskRead:
    """Read a mask like `read_mask`, and report findings about its palette."""
    reordered = doubtful = False
    with open_image(path, ("PNG",)) as image:
        values = values_of(image)
        palette = None
        if image.mode == "P":
            palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        if colored:
            pixels = _colors(image, values)
            labels, wanted = classes.numbers(pixels), "a color of the list of classes"
        else:
            pixels = _numbers(path, image, values)
            labels, wanted = classes.numbers(pixels), classes.wanted_numbers
            if palette is not None and not classes.number_codes:
                by_color, complete = _by_palette(pixels, palette, classes)
                if by_color is not None:
                    reordered, doubtful = complete, not complete
                    labels = by_color if complete else labels
        _expect(labels >= 0, pixels, wanted)
        labels = upright(labels, orientation_of(image))
    return MaskRead(np.ascontiguousarray(labels, np.uint8), reordered, doubtful)


def values_in(path: str | os.PathLike) -> str:
    """Describe the numbers or colors in a mask; return "" if the mask cannot be read."""
    try:
        with open_image(path, ("PNG",)) as image:
            values = values_of(image)
            try:
                found = np.unique(_numbers(path, image, values)).tolist()
                kind = "numbers"
            except ValueError:
                pixels = _colors(image, values).reshape(-1, 3)
                found = [tuple(color) for color in np.unique(pixels, axis=0).tolist()]
                kind = "colors"
    except (ValueError, OSError):
        return ""
    more = ", ..." if len(found) > MOST_VALUES else ""
    return f"the {kind} {', '.join(map(str, found[:MOST_VALUES]))}{more}"


def _colors(image, values):
    """Return the colors of a mask, (H, W, 3), 8 bits."""
    if values.dtype == np.uint16:
        _expect(values % 257 == 0, values, "8-bit colors", "16-bit values ")
        values = (values // 257).astype(np.uint8)
        values = values if values.ndim == 3 else np.stack([values] * 3, axis=-1)
        alpha = values[..., 3:]
    else:
        has_alpha = "transparency" in image.info or image.mode in ("RGBA", "LA")
        values = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
        alpha = values[..., 3:]
    _expect_opaque(alpha, 255)
    return values[..., :3]


def _numbers(path, image, values):
    """Return the numbers in a mask, (H, W)."""
    if values.ndim == 3:  # equal channels, and perhaps an opaque alpha channel
        n_colors = 3 if values.shape[2] >= 3 else 1
        _expect_opaque(values[..., n_colors:], np.iinfo(values.dtype).max)
        colors = values[..., :n_colors]
        if (colors != colors[..., :1]).any():
            raise ValueError(
                f"expected class numbers (gray or with a palette), got mode {image.mode}: masks "
                "of colors need a list of classes with colors (classes.csv with the columns "
                "name,red,green,blue)"
            )
        values = colors[..., 0]
    values = values.astype(np.int32)
    if image.mode == "L":
        # Pillow scales 2-bit and 4-bit gray values to 255: undo this.
        values //= 255 // (2 ** _bits(path) - 1)
    return values


def _bits(path):
    """Return the bits per channel of a PNG file, which is its 25th byte."""
    with open(path, "rb") as file:
        return file.read(25)[24]


def _by_palette(pixels, palette, classes):
    """Return the labels by color if the used colors are known but in a different order.

    Programs that save a mask again may reorder its palette: the numbers change, the colors do not.
    Also return whether all colors of the palette are known.
    """
    used = np.unique(pixels)
    if used[-1] >= len(palette):
        return None, False
    shown = palette[: used[-1] + 1]
    if len(np.unique(shown, axis=0)) < len(shown):
        return None, False  # ambiguous: numbers share a color
    colors = palette[used]
    if any((own[used] == colors).all() for own in (classes.palette(), voc_palette())):
        return None, False
    red, green, blue = voc_palette()[IGNORE].tolist()
    of_voc = replace(Classes.named(classes.names), ignore_color=(red, green, blue))
    doubtful = None
    for known in (classes, of_voc):
        # Checking only the used colors is not enough: if a folder has its own palette, with a few
        # of these colors, some of its masks would be read by color and others by number.
        table = known.numbers(_without_padding(palette, used[-1])[None])[0]
        complete = len(palette) == 256 and _same_colors(palette, known.palette())
        if (table[used] >= 0).all():
            if complete or (table >= 0).all():
                return table[pixels], True
            doubtful = table[pixels] if doubtful is None else doubtful
    return doubtful, False


def _without_padding(palette, last_used):
    """Return a palette without the repeated color that pads it after the last used color."""
    end = len(palette)
    while end > last_used + 1 and (palette[end - 1] == palette[-1]).all():
        end -= 1
    return palette if end == len(palette) - 1 else palette[:end]


def _same_colors(palette, other):
    return np.array_equal(np.unique(palette, axis=0), np.unique(other, axis=0))


def _expect_opaque(alpha, opaque):
    _expect(alpha == opaque, alpha, f"opaque pixels (alpha {opaque})", "alpha ")


def _expect(right, pixels, wanted, what=""):
    if right.all():
        return
    wrong = np.argwhere(~right)
    row, column = map(int, wrong[0][:2])
    others = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    raise ValueError(
        f"expected {wanted}, got {what}{_plain(pixels[row, column])} in row {row}, column "
        f"{column}{others}"
    )


def _plain(pixel):
    if pixel.size == 1:
        return int(pixel.reshape(()))
    return tuple(pixel.tolist())
