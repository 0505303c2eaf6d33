"""Read and write lists of classes: classes.csv, and the files of labeling tools."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from fcn_numpy.data.classes import (
    IGNORE_NAME,
    LARGEST_NUMBER,
    Classes,
    Color,
    same_name,
    voc_palette,
)
from fcn_numpy.data.shapes import IGNORE
from fcn_numpy.files import atomic_write, read_text, reason_of, shown

COLOR_COLUMNS = ("red", "green", "blue")
COLUMNS = ("name", *COLOR_COLUMNS)
ALIASES = {"r": "red", "g": "green", "b": "blue"}
LARGEST_FILE = 100_000


def read_classes(path: str | os.PathLike) -> tuple[Classes, bool]:
    """Read a list of classes from a CSV file.

    The first row names the columns: ``name``, then optionally ``number`` (which represents the
    class in masks), ``red,green,blue`` (its color), or both. Every other row is a class, in the
    order of the class numbers, starting from 0. Several rows with the same name are one class. Rows
    named ``ignore`` mark pixels that do not count.

    If there are only colors, masks are read by color. If there are neither colors nor numbers, the
    number in masks is that of the row, starting from 0. If there are both, masks contain numbers,
    and the colors are for display.

    Parameters
    ----------
    path : path-like
        A file ending in .txt may also be CVAT's labelmap.txt (``name:red,green,blue::``) or a list
        with one name per line, such as labelme's class_names.txt.

    Returns
    -------
    classes : Classes
        The classes. If the file has no colors, they have the colors of VOC.
    colored : bool
        Whether masks are read by color.

    Raises
    ------
    OSError
        If the file does not exist or cannot be opened.
    ValueError
        If the file has any other content. The message names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     text = "name,number\\nignore,0\\nroad,7\\nvehicle,26\\nvehicle,27\\n"
    ...     _ = file.write(text), file.flush()
    ...     classes, colored = read_classes(file.name)
    >>> classes.names, colored, classes.codes
    (('road', 'vehicle'), False, ((0, 255), (7, 0), (26, 1), (27, 1)))
    """
    path = Path(path)
    try:
        text = read_text(path, LARGEST_FILE)
        if path.suffix.lower() == ".txt":
            return _classes_of(*_text_rows(text))
        return parse_classes(text)
    except ValueError as error:
        raise ValueError(f"{shown(path)} is not a list of classes: {reason_of(error)}") from error


def parse_classes(text: str) -> tuple[Classes, bool]:
    """Return the classes in the text of a CSV file, like `read_classes`, or raise ValueError."""
    try:
        return _classes_of(*_csv_rows(text))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _csv_rows(text):
    """Return the columns of a CSV file, and its other rows as (line, cells)."""
    text = "\n".join(text.splitlines())  # line ends of any system
    first = text.lstrip().split("\n", 1)[0]
    delimiter = next((d for d in ",;\t" if d in first), ",")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    rows = [(line, cells) for line, cells in rows if any(cells)]  # Excel writes rows of commas
    columns = [ALIASES.get(cell.lower(), cell.lower()) for cell in rows[0][1]] if rows else []
    while columns and not columns[-1]:
        columns.pop()
    known = {"name", "number", *COLOR_COLUMNS}
    colors = set(COLOR_COLUMNS) & set(columns)
    if (
        "name" not in columns or not set(columns) <= known or len(set(columns)) < len(columns)
        or len(colors) not in (0, 3)
    ):
        raise ValueError(
            "expected the first line to be 'name', 'name,number', 'name,red,green,blue' or "
            f"'name,number,red,green,blue', got {shown(','.join(columns), 80)!r}"
        )
    for line, cells in rows[1:]:
        while len(cells) > len(columns) and not cells[-1]:
            cells.pop()
        if len(cells) != len(columns):
            hint = "; a name with a comma needs quotes" if len(cells) > len(columns) else ""
            raise ValueError(f"line {line}: expected {','.join(columns)}{hint}")
    return columns, rows[1:]


def _text_rows(text):
    """Return the columns and rows of CVAT's labelmap.txt, or of a list of names."""
    rows = [
        (number, line.strip()) for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if any(":" not in line for _, line in rows):
        # labelme also lists its name for ignored pixels. It has no number: these pixels are 255.
        names = [(number, [line]) for number, line in rows if line != "__ignore__"]
        for place, (number, name) in enumerate(names):
            if name in [other for _, other in names[:place]]:  # lists like this have no duplicates
                raise ValueError(f"line {number}: {name[0]!r:.80} is listed twice")
        return ["name"], names
    table = []
    for number, line in rows:
        name, color, *_ = line.split(":")
        values = [value.strip() for value in color.split(",")]
        if len(values) != 3:
            raise ValueError(f"line {number}: expected name:red,green,blue::, got {line!r:.80}")
        table.append((number, [name.strip(), *values]))
    return list(COLUMNS), table


def _classes_of(columns, rows):
    colored = "red" in columns and "number" not in columns
    names: list[str] = []
    colors: list[Color | None] = []
    ignored: list[Color] = []
    codes: dict[int | Color, int] = {}
    for place, (line, cells) in enumerate(rows):
        row = dict(zip(columns, cells))
        name = same_name(row["name"])
        color = _color_of(row, line, colored)
        number = place
        if "number" in row:
            number = _whole(row["number"], line, "a number", LARGEST_NUMBER)
        if name.lower() == IGNORE_NAME:
            kind = IGNORE
            ignored += [] if color is None else [color]
        elif name in names:
            kind = names.index(name)
        else:
            kind = len(names)
            names.append(name)
            colors.append(color)
        code = color if colored else number
        if code in codes:
            what = "color" if colored else "number"
            raise ValueError(f"line {line}: the {what} {code} is listed twice")
        codes[code] = kind
    own = voc_palette()[: len(names)].tolist()
    shades = tuple(tuple(own[n]) if c is None else c for n, c in enumerate(colors))
    ignore_color = ignored[0] if ignored else None
    if colored:
        # Leave out what the colors of the classes already say.
        rest = {c: n for c, n in codes.items() if c != ignore_color and c not in shades}
    else:
        plain = "number" not in columns and all(code == n for code, n in codes.items())
        rest = {} if plain else codes
    return Classes(tuple(names), shades, ignore_color, tuple(rest.items())), colored


def _color_of(row, line, needed):
    if "red" not in row:
        return None
    texts = [row[column] for column in COLOR_COLUMNS]
    if not any(texts) and not needed:
        return None
    red, green, blue = (_whole(text, line, "colors", 255) for text in texts)
    return red, green, blue


def _whole(text, line, what, largest):
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(largest))
    if not digits or int(text) > largest:
        raise ValueError(f"line {line}: expected {what} from 0 to {largest}, got {text[:20]!r}")
    return int(text)


def write_classes(path: str | os.PathLike, classes: Classes) -> None:
    """Write a list of classes as a CSV file for `read_classes`."""
    with atomic_write(Path(path)) as file:
        file.write(classes_text(classes).encode())


def classes_text(classes: Classes) -> str:
    """Return the text of a CSV file for `read_classes`."""
    rows: list[tuple] = []
    colors = [*classes.colors, *([classes.ignore_color] if classes.ignore_color else [])]
    numbers = classes.number_codes
    if len(set(colors)) < len(colors) and not classes.codes:
        # Shared colors cannot tell classes apart; with numbers, colors are only for display.
        numbers = tuple((n, n) for n in (*range(len(classes)), IGNORE)[: len(colors)])
    if numbers:
        columns: tuple[str, ...] = ("name", "number", *COLOR_COLUMNS)
        for value, number in numbers:
            if number == IGNORE:
                rows.append((IGNORE_NAME, value, *(classes.ignore_color or ("", "", ""))))
            else:
                rows.append((classes.names[number], value, *classes.colors[number]))
    else:
        columns = COLUMNS
        rows += [(name, *color) for name, color in zip(classes.names, classes.colors)]
        if classes.ignore_color is not None:
            rows.append((IGNORE_NAME, *classes.ignore_color))
        for code, number in classes.codes:
            name = IGNORE_NAME if number == IGNORE else classes.names[number]
            assert isinstance(code, tuple)  # a color, because there are no numbers
            rows.append((name, *code))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()
