"""Lists of classes: their names, and the colours that they are shown in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcn_numpy.data.shapes import CLASSES, IGNORE
from fcn_numpy.files import atomic_write

COLUMNS = ("name", "red", "green", "blue")
# A row of this name is no class: pixels of its colour are labelled 255.
IGNORE_NAME = "ignore"
LARGEST_FILE = 100_000


def voc_palette() -> np.ndarray:
    """Return the 256 colours of PASCAL VOC's label pictures.

    The bits of a class number are dealt to red, green and blue in turn, and within a colour to
    its highest bit first: so neighbouring numbers look far apart.

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
    """What the numbers in a label picture mean.

    Attributes
    ----------
    names : tuple of str
        Number 0 first, which is the background as a rule.
    colours : tuple of (int, int, int)
        Red, green and blue of each class, from 0 to 255.
    ignore_colour : (int, int, int), optional
        Colour of pixels that count for nothing; they are labelled 255.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    ignore_colour: tuple[int, int, int] | None = None

    def __post_init__(self):
        if not 2 <= len(self.names) <= IGNORE:
            raise ValueError(f"expected 2 to {IGNORE} classes, got {len(self.names)}")
        for name in self.names:
            if not name or name != name.strip() or not name.isprintable():
                raise ValueError(f"expected a class to have a printable name, got {name!r:.80}")
            if name.lower() == IGNORE_NAME:
                raise ValueError(
                    f"expected no class to be named {name!r}: in a list of colours such a row is "
                    f"none, and among class numbers it is {IGNORE}"
                )
            if self.names.count(name) > 1:
                raise ValueError(f"expected each class once, got {name!r:.80} twice")
        if len(self.colours) != len(self.names):
            raise ValueError(
                f"expected a colour for each of {len(self.names)} classes, got "
                f"{len(self.colours)}"
            )

    @classmethod
    def named(cls, names: Sequence[str]) -> Classes:
        """Return classes of these names in the colours of PASCAL VOC."""
        colours = voc_palette()[: len(names)].tolist()
        return cls(tuple(names), tuple((red, green, blue) for red, green, blue in colours))

    def __len__(self) -> int:
        return len(self.names)

    def palette(self) -> np.ndarray:
        """Return 256 colours, shape (256, 3), uint8: the classes', and VOC's for the rest."""
        palette = voc_palette()
        palette[: len(self)] = self.colours
        if self.ignore_colour is not None:
            palette[IGNORE] = self.ignore_colour
        return palette

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class number of each pixel of a coloured mask.

        Parameters
        ----------
        pixels : ndarray, shape (H, W, 3), uint8

        Returns
        -------
        ndarray, shape (H, W), int64
            255 for the ignored colour, -1 for a colour that no class has.
        """
        values = {_code(colour): number for number, colour in enumerate(self.colours)}
        if self.ignore_colour is not None:
            values[_code(self.ignore_colour)] = IGNORE
        known = np.array(sorted(values), np.int32)
        numbers = np.array([values[code] for code in known.tolist()])
        codes = _code(np.moveaxis(pixels, -1, 0).astype(np.int32))
        place = np.searchsorted(known, codes)
        np.minimum(place, len(known) - 1, out=place)
        return np.where(known[place] == codes, numbers[place], -1)


def _code(colour):
    red, green, blue = colour
    return (red * 256 + green) * 256 + blue


# Colours that differ in brightness too, for all kinds of colour blindness (after Okabe and Ito).
TOY_CLASSES = Classes(
    CLASSES, ((33, 33, 33), (240, 227, 66), (87, 181, 232), (214, 94, 0)), (255, 255, 255)
)
VOC_CLASSES = Classes.named((
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
))


def read_classes(path: str | os.PathLike) -> tuple[Classes, bool]:
    """Read a list of classes from a CSV file.

    Its first row reads ``name,red,green,blue`` or only ``name``; each further row is a class, in
    the order of their numbers from 0. A row named ``ignore`` gives the colour of pixels that are
    to count for nothing.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    classes : Classes
        In VOC's colours if the file has none.
    coloured : bool
        Whether it has colours.

    Raises
    ------
    FileNotFoundError
    ValueError
        For anything else than the above, with the number of the line.
    """
    with open(path, "rb") as file:
        data = file.read(LARGEST_FILE + 1)
    try:
        if len(data) > LARGEST_FILE:
            raise ValueError(f"expected at most {LARGEST_FILE} bytes")
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
        return _classes_of(rows)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{os.fspath(path)} is no list of classes: expected a text in UTF-8, {error}"
        ) from error
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{os.fspath(path)} is no list of classes: {error}") from error


def _classes_of(rows):
    head = tuple(cell.lower() for cell in rows[0][1]) if rows else ()
    if head not in (COLUMNS, COLUMNS[:1]):
        raise ValueError(
            f"expected the first line to be {','.join(COLUMNS)} or name, got {','.join(head)!r:.80}"
        )
    coloured = head == COLUMNS
    names, colours, ignored = [], [], None
    for line, (name, *values) in rows[1:]:
        if len(values) != len(head) - 1:
            raise ValueError(f"line {line}: expected {','.join(head)}")
        colour = tuple(_byte(value, line) for value in values)
        if coloured and (colour in colours or colour == ignored):
            raise ValueError(f"line {line}: the colour {colour} is there already")
        if name.lower() != IGNORE_NAME:
            names.append(name)
            colours.append(colour)
        elif not coloured:
            raise ValueError(
                f"line {line}: expected {IGNORE_NAME} only where there are colours; among class "
                f"numbers it is {IGNORE}"
            )
        elif ignored is not None:
            raise ValueError(f"line {line}: {IGNORE_NAME} is there already")
        else:
            ignored = colour
    if coloured:
        return Classes(tuple(names), tuple(colours), ignored), True
    return Classes.named(names), False


def _byte(text, line):
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255):
        raise ValueError(f"line {line}: expected colours from 0 to 255, got {text[:20]!r}")
    return int(text)


def write_classes(path: str | os.PathLike, classes: Classes) -> None:
    """Write a list of classes as a CSV file that `read_classes` takes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, colour in zip(classes.names, classes.colours):
        writer.writerow((name, *colour))
    if classes.ignore_colour is not None:
        writer.writerow((IGNORE_NAME, *classes.ignore_colour))
    with atomic_write(Path(path)) as file:
        file.write(text.getvalue().encode())
