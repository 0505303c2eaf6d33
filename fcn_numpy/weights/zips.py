"""Zips opened only after a look at how long their table of contents is."""

from __future__ import annotations

import os
import struct
import zipfile
from typing import IO

# A member takes some 100 bytes of the table; this lets tens of thousands through.
TABLE_LIMIT = 4_000_000
# The record at the end; before it, if sizes have 64 bits, a locator and a longer record.
_END, _LOCATOR, _LONG_END = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _LONG_END_SIZE = 22, 20, 56
_LONGEST_COMMENT = 1 << 16


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip for reading, if its table of contents has at most `TABLE_LIMIT` bytes.

    `zipfile` takes some 500 bytes of memory for each member that the table names, so this looks
    first.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    zipfile.ZipFile

    Raises
    ------
    ValueError, zipfile.BadZipFile
        If the table is longer, or the file is cut off or damaged.
    """
    size = _table_size(file)
    if size > TABLE_LIMIT:
        raise ValueError(
            f"expected a zip with a table of contents of at most {TABLE_LIMIT:,} bytes, got "
            f"{size:,}"
        )
    return zipfile.ZipFile(file)


def _table_size(file):
    """Return what the record at the end of the file says, found as `zipfile` finds it."""
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
        # The standard lets other data stand between the two, and versions of zipfile differ in
        # what they make of that. No writer puts any there.
        if not before.startswith(_LONG_END):
            raise ValueError("the record at the end of its zip is damaged")
        (size,) = struct.unpack_from("<Q", before, 40)
    return size
