"""How protobuf writes messages: a list of fields, each with its number, wire type and value.

The wire type says where a value ends, so fields that are not known can be skipped. A message inside
a message is a field of bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping

import numpy as np

VARINT, BYTES = 0, 2
# 3 and 4 begin and end groups, which no file of Caffe has.
_WIRE_TYPES = {VARINT: "a varint", 1: "64 bits", BYTES: "bytes", 5: "32 bits"}
_WIDTHS = {1: 8, 5: 4}
_LONGEST_VARINT = 10
_LARGEST_NUMBER = 2**29 - 1


# ---------------------------------------------------------------- writing


def field(number: int, length: int) -> bytes:
    """Begin a field of a message that is `length` bytes long."""
    return varint(number << 3 | BYTES) + varint(length)


def whole_field(number: int, *parts: bytes | np.ndarray) -> list[bytes | np.ndarray]:
    """Return a field in parts, with its beginning as the first; arrays stay what they are."""
    return [field(number, size_of(parts)), *parts]


def size_of(parts: list | tuple) -> int:
    """Return how many bytes parts of a message have together."""
    return sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)


def varint(value: int) -> bytes:
    """Write a whole number in groups of seven bits, the lowest first; a high bit says: more."""
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


# ---------------------------------------------------------------- reading


class Fields:
    """The fields of messages in a file, of which nothing is read but what is asked for.

    Parameters
    ----------
    file : binary file
    limit : int
        The most fields to go through, in all messages together.
    """

    def __init__(self, file: io.BufferedIOBase, limit: int):
        self.size = os.fstat(file.fileno()).st_size
        self._file, self._limit, self._count = file, limit, 0

    def of(
        self, place: tuple[int, int], known: Mapping[int, tuple], what: str
    ) -> Iterator[tuple[str, int | tuple[int, int]]]:
        """Go through the fields of a message, and skip those that are not known.

        Parameters
        ----------
        place : (int, int)
            Where in the file the message starts and ends.
        known : dict of int to (str, int, ...)
            By the number of each field: its name, and what wire types it may have.
        what : str
            What to call the message in errors.

        Yields
        ------
        name : str
        value : int or (int, int)
            The value of a varint; of other fields, where it starts and ends in the file.

        Raises
        ------
        ValueError
            If this is no message, a value is longer than it, or the limit is reached.
        """
        start, end = place
        while start < end:
            self._count += 1
            if self._count > self._limit:
                raise ValueError(f"expected at most {self._limit:,} fields in it, got more")
            tag, start = self.varint(start, end)
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number <= _LARGEST_NUMBER:
                raise ValueError(f"expected the number of a field in {what}, got {number}")
            name, *wire_types = known.get(number, (f"field {number}", *_WIRE_TYPES))
            if wire_type not in wire_types:
                expected = " or ".join(_WIRE_TYPES[expected] for expected in wire_types)
                raise ValueError(
                    f"expected {name} of {what} as {expected}, got "
                    + _WIRE_TYPES.get(wire_type, f"wire type {wire_type}")
                )
            value: int | tuple[int, int]
            if wire_type == VARINT:
                value, start = self.varint(start, end)
            else:
                length = _WIDTHS.get(wire_type, 0)
                if wire_type == BYTES:
                    length, start = self.varint(start, end)
                value = start, start + length
                start += length
            if start > end:
                raise self._too_long(start, end)
            if number in known:
                yield name, value

    def varint(self, start: int, end: int) -> tuple[int, int]:
        """Read a whole number that starts at one place of the file and ends before another.

        Parameters
        ----------
        start, end : int

        Returns
        -------
        value : int
            Less than 2**64; negative numbers are stored as 2**64 more.
        stop : int
            Where it ends.

        Raises
        ------
        ValueError
            If it has more than 10 bytes, or does not end before.
        """
        self._file.seek(start)
        value = 0
        for n, byte in enumerate(self._file.read(min(_LONGEST_VARINT, end - start))):
            value |= (byte & 127) << 7 * n
            if byte < 128:
                return value % 2**64, start + n + 1
        if end - start >= _LONGEST_VARINT:
            raise ValueError(f"expected a varint of at most {_LONGEST_VARINT} bytes, got more")
        raise self._too_long(end + 1, end)

    def unpack(self, value: int | tuple[int, int]) -> Iterator[int]:
        """Go through the whole numbers of a repeated field.

        Parameters
        ----------
        value : int or (int, int)
            As `of` has it: one of them, or the place where they are packed.

        Yields
        ------
        int
        """
        if isinstance(value, int):
            yield value
            return
        start, end = value
        while start < end:
            number, start = self.varint(start, end)
            yield number

    def text(self, place: tuple[int, int], limit: int) -> str:
        """Read the text at a place.

        Parameters
        ----------
        place : (int, int)
        limit : int
            The most bytes that it may have.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If it is longer, or not UTF-8.
        """
        start, end = place
        if end - start > limit:
            raise ValueError(f"expected texts of at most {limit} bytes in it, got {end - start}")
        self._file.seek(start)
        data = self._file.read(end - start)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise ValueError(f"expected texts in UTF-8 in it, got {data[:40]!r}") from None

    def _too_long(self, stop, end):
        if end == self.size:
            return ValueError(
                f"a field ends at byte {stop} of {end}: is it cut off, a download that did not "
                "finish?"
            )
        return ValueError(f"expected a field to end with its message at byte {end}, got {stop}")
