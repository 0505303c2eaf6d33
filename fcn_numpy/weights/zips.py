"""Open zips after checking the length of their table of contents."""

from __future__ import annotations

import os
import struct
import zipfile
from typing import IO

# A member takes about 100 bytes of the table, so this allows tens of thousands.
TABLE_LIMIT = 4_000_000
# The record at the end of a zip. If sizes have 64 bits, a longer record and a locator precede it.
_END, _LOCATOR, _LONG_END = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _LONG_END_SIZE = 22, 20, 56
_LONGEST_COMMENT = 1 << 16


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip for reading if its table of contents has at most `TABLE_LIMIT` bytes.

    `zipfile` uses about 500 bytes of memory for each member in the table, so this checks first.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    zipfile.ZipFile

    Raises
    ------
    ValueError, zipfile.BadZipFile
        If the table is longer, or the file is truncated or damaged.
    """
    size = _table_size(file)
    if size > TABLE_LIMIT:
        raise ValueError(
            f"expected a zip with a table of contents of at most {TABLE_LIMIT:,} bytes, got "
            f"{size:,}"
        )
    return zipfile.ZipFile(file)


def _table_size(file):
    """Return the size in the record at the end of the file, which is found as `zipfile` does it."""
    start = max(0, os.fstat(file.fileno()).st_size - _END_SIZE - _LONGEST_COMMENT)
    file.seek(start)
    tail = file.read(_END_SIZE + _LONGEST_COMMENT)
    place = tail.rfind(_END)
    if place < 0:
        raise ValueError("it is cut off: a download that did not finish?")
    if len(tail) - place < _END_SIZE:
        raise ValueError("the record at the end of its zip is damaged")
    (size,) = struct.unpack_from("<I", tail, place + 12)
    file.seek(max(0, start + place - _LOCATOR_SIZE - _LONG_END_SIZE))
    before = file.read(min(start + place, _LOCATOR_SIZE + _LONG_END_SIZE))
    if before[-_LOCATOR_SIZE:].startswith(_LOCATOR):
        # The standard allows other data between the two, and versions of zipfile treat such data
        # differently. No program writes any.
        if not before.startswith(_LONG_END):
            raise ValueError("the record at the end of its zip is damaged")
        (size,) = struct.unpack_from("<Q", before, 40)
    return size
