"""Classes: their names, their colors, and the values that represent them in masks."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fcn_numpy.data.shapes import CLASSES, IGNORE
from fcn_numpy.files import shown

# A row with this name is not a class: its pixels are labeled 255.
IGNORE_NAME = "ignore"
LONGEST_NAME = 100
# Largest number in a mask, which has at most 16 bits.
LARGEST_NUMBER = 65_535

Color = tuple[int, int, int]


def voc_palette() -> np.ndarray:
    """Return the 256 colors of PASCAL VOC's labels.

    The bits of a class number go to red, green and blue in turn, to the highest free bit of the
    color, so neighboring numbers get very different colors.

    Returns
    -------
    ndarray, shape (256, 3), uint8
    """
    numbers = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((numbers >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


@dataclass(frozen=True)
class Classes:
    """The meaning of the class numbers in labels, and the values that represent them in masks.

    Attributes
    ----------
    names : tuple of str
        Names in the order of the class numbers from 0; number 0 is usually the background.
    colors : tuple of (int, int, int)
        Red, green and blue of each class, from 0 to 255.
    ignore_color : (int, int, int), optional
        Color of pixels that do not count, which are labeled 255.
    codes : tuple of (int or (int, int, int), int)
        Other values that represent classes in masks. Each entry is a number or a color in the
        mask, followed by the class number or 255. Colors are in addition to `colors`. If there are
        numbers, they replace the class numbers; otherwise, class numbers represent their classes.
        255 is ignored unless it is listed.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_color: Color | None = None
    codes: tuple[tuple[int | Color, int], ...] = ()

    def __post_init__(self):
        if not 2 <= len(self.names) <= IGNORE:
            raise ValueError(f"expected 2 to {IGNORE} classes, got {len(self.names)}")
        for name in self.names:
            if not name or name != name.strip() or not name.isprintable():
                raise ValueError(f"expected a class to have a printable name, got {name!r:.80}")
            if len(name) > LONGEST_NAME:
                raise ValueError(
                    f"expected class names of at most {LONGEST_NAME} characters, got "
                    f"{shown(name, 80)}"
                )
            if name.lower() == IGNORE_NAME:
                raise ValueError(
                    f"expected no class named {name!r}: this name is for pixels that do not count"
                )
        plain = [same_name(name) for name in self.names]
        for number, name in enumerate(plain):
            if name in plain[:number]:
                raise ValueError(f"expected each class once, got {name!r:.80} twice")
        for color in (*self.colors, *([self.ignore_color] if self.ignore_color else [])):
            if len(color) != 3 or not all(type(n) is int and 0 <= n <= 255 for n in color):
                raise ValueError(f"expected colors of 3 ints from 0 to 255, got {color!r:.80}")
        if len(self.colors) != len(self.names):
            raise ValueError(
                f"expected a color for each of {len(self.names)} classes, got "
                f"{len(self.colors)}"
            )

    @classmethod
    def named(cls, names: Sequence[str]) -> Classes:
        """Return classes with these names and the colors of PASCAL VOC."""
        colors = voc_palette()[: len(names)].tolist()
        return cls(tuple(names), tuple((red, green, blue) for red, green, blue in colors))

    def __len__(self) -> int:
        return len(self.names)

    def palette(self) -> np.ndarray:
        """Return 256 colors, shape (256, 3), uint8: those of the classes, then VOC's."""
        palette = voc_palette()
        palette[: len(self)] = self.colors
        if self.ignore_color is not None:
            palette[IGNORE] = self.ignore_color
        return palette

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class number of each pixel of a mask.

        Parameters
        ----------
        pixels : ndarray of int
            Colors, shape (H, W, 3), or numbers from 0 to 65535, shape (H, W).

        Returns
        -------
        ndarray, shape (H, W), int64
            255 for an ignored color or number, -1 for one that represents no class.
        """
        if pixels.ndim == 2:
            numbers = np.full(LARGEST_NUMBER + 1, -1)
            numbers[IGNORE] = IGNORE
            for code, number in self.number_codes or ((n, n) for n in range(len(self))):
                numbers[code] = number
            return numbers[pixels]
        values = {_code(color): number for number, color in enumerate(self.colors)}
        values |= {_code(c): number for c, number in self.codes if isinstance(c, tuple)}
        if self.ignore_color is not None:
            values[_code(self.ignore_color)] = IGNORE
        known = np.array(sorted(values), np.int32)
        of_known = np.array([values[code] for code in known.tolist()])
        codes = _code(np.moveaxis(pixels, -1, 0).astype(np.int32))
        place = np.searchsorted(known, codes)
        np.minimum(place, len(known) - 1, out=place)
        return np.where(known[place] == codes, of_known[place], -1)

    @property
    def number_codes(self) -> tuple[tuple[int, int], ...]:
        """The numbers among `codes`."""
        return tuple((code, number) for code, number in self.codes if isinstance(code, int))

    @property
    def wanted_numbers(self) -> str:
        """The numbers that a mask may contain, in words."""
        if not self.number_codes:
            return f"class numbers from 0 to {len(self) - 1} or 255 (ignored)"
        listed = sorted(code for code, _ in self.number_codes)
        some = ", ".join(map(str, listed[:12])) + (", ..." if len(listed) > 12 else "")
        return f"one of the {len(listed)} numbers of the list of classes ({some}) or 255"

    def numbers_in(self, other: Classes) -> np.ndarray:
        """Return the number of each class in another list with the same names.

        Parameters
        ----------
        other : Classes

        Returns
        -------
        ndarray, shape (n_class,), int64

        Raises
        ------
        ValueError
            If the two lists do not have the same names. The order may differ.

        Examples
        --------
        >>> pets = Classes.named(["background", "cat", "dog"])
        >>> pets.numbers_in(Classes.named(["background", "dog", "cat"]))
        array([0, 2, 1])
        """
        places = {same_name(name): number for number, name in enumerate(other.names)}
        missing = [name for name in self.names if same_name(name) not in places]
        if missing or len(self) != len(other):
            own = {same_name(name) for name in self.names}
            extra = [name for name in other.names if same_name(name) not in own]
            differences = [
                f"only {side}: {_some(names)}"
                for side, names in (("here", missing), ("there", extra)) if names
            ]
            raise ValueError(
                f"expected the same {len(self)} classes, {_some(self.names)}; got {len(other)}: "
                f"{_some(other.names)} ({'; '.join(differences)})"
            )
        return np.array([places[same_name(name)] for name in self.names])


def same_name(name: str) -> str:
    """Normalize a name for comparison: systems encode the same letters differently."""
    return unicodedata.normalize("NFC", name)


def _some(names):
    return shown(", ".join(names[:8]) + (", ..." if len(names) > 8 else ""), 80)


def _code(color):
    red, green, blue = color
    return (red * 256 + green) * 256 + blue


# Okabe and Ito's colors also differ in brightness, for people with any kind of color blindness.
TOY_CLASSES = Classes(
    CLASSES, ((33, 33, 33), (240, 227, 66), (87, 181, 232), (214, 94, 0)), (255, 255, 255)
)
VOC_CLASSES = Classes.named((
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
))
