"""Lists of images in text files, as programs write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fcn_numpy.files import errors_name, read_text

IMAGES = (
    ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)
MASKS = (".png",)
LARGEST_FILE = 50_000_000
NUMBER = re.compile(r"\s+(-1|0|1)$")


@dataclass(frozen=True)
class Entry:
    """A line of a list.

    Attributes
    ----------
    line : int
        Its number, from 1.
    image : str
        A name, or a path.
    mask : str, optional
        A path, if the line has two.
    short : str, optional
        The name without a number at its end, if all lines of the list have one.
    """

    line: int
    image: str
    mask: str | None = None
    short: str | None = None

    @property
    def file(self) -> str:
        """The name in the line, without folder."""
        return self.image.rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """The name in the line, without folder and ending."""
        ending = _ending(self.file)
        return self.file[: -len(ending)] if ending else self.file


def _ending(name):
    return next((ending for ending in IMAGES if name.lower().endswith(ending)), "")


def read_list(path: Path) -> list[Entry]:
    """Read a list: one image per line, by its name, with or without folder and ending.

    A line with the paths of an image and of a mask means these two files.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of Entry
        Each image once.

    Raises
    ------
    OSError
        If there is no such file, or it may not be read.
    ValueError
        If it is not a text, or empty.
    """
    with errors_name(path):
        text = read_text(path, LARGEST_FILE)
        entries: dict[tuple[str, str | None], Entry] = {}
        lines = [line.strip().replace("\\", "/") for line in text.splitlines()]
        # Lists of PASCAL VOC for one class say with 1, 0 or -1 whether it is in the image.
        numbered = all(NUMBER.search(line) for line in lines if line)
        for number, line in enumerate(lines, 1):
            if line:
                image, mask = _both(line)
                short = NUMBER.sub("", image) if numbered else None
                entries.setdefault((image, mask), Entry(number, image, mask, short))
        if not entries:
            raise ValueError("expected names of images, got an empty list")
    return list(entries.values())


def _both(line):
    """Return the image and the mask of a line; the blank between them is not one within a name."""
    for blank in re.finditer(r"[\s,;]+", line):
        image, mask = line[: blank.start()].strip('"'), line[blank.end() :].strip('"')
        if image.lower().endswith(IMAGES) and mask.lower().endswith(MASKS):
            return image, mask
    return line.strip('"'), None
