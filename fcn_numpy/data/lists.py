"""Read lists of images in text files, as different programs write them."""

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
        Line number, counted from 1.
    image : str
        Name or path of the image.
    mask : str, optional
        Path of the mask, if the line has two paths.
    short : str, optional
        Name without the number at its end, if all lines of the list end in a number.
    """

    line: int
    image: str
    mask: str | None = None
    short: str | None = None

    @property
    def file(self) -> str:
        """The name on the line, without folder."""
        return self.image.rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """The name on the line, without folder and extension."""
        ending = _ending(self.file)
        return self.file[: -len(ending)] if ending else self.file


def _ending(name):
    return next((ending for ending in IMAGES if name.lower().endswith(ending)), "")


def read_list(path: Path) -> list[Entry]:
    """Read a list of image names, one per line, with or without folder and extension.

    A line with the paths of an image and a mask means these two files.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of Entry
        The lines, without duplicates.

    Raises
    ------
    OSError
        If the file does not exist or cannot be opened.
    ValueError
        If the file is not text, or is empty.
    """
    with errors_name(path):
        text = read_text(path, LARGEST_FILE)
        entries: dict[tuple[str, str | None], Entry] = {}
        lines = [line.strip().replace("\\", "/") for line in text.splitlines()]
        # PASCAL VOC lists for one class mark with 1, 0 or -1 whether the image shows the class.
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
    """Return the image and the mask on a line; names may contain the separators too."""
    for blank in re.finditer(r"[\s,;]+", line):
        image, mask = line[: blank.start()].strip('"'), line[blank.end() :].strip('"')
        if image.lower().endswith(IMAGES) and mask.lower().endswith(MASKS):
            return image, mask
    return line.strip('"'), None
