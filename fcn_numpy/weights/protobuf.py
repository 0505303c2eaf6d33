"""Read and write protobuf messages: lists of fields, each with its number, wire type and value.

The wire type determines where a value ends, so unknown fields can be skipped. A message inside a
message is a field of bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping

import numpy as np

VARINT, BYTES = 0, 2
# 3 and 4 begin and end groups, which Caffe's files do not have.
_WIRE_TYPES = {VARINT: "a varint", 1: "64 bits", BYTES: "bytes", 5: "32 bits"}
_WIDTHS = {1: 8, 5: 4}
_LONGEST_VARINT = 10
_LARGEST_NUMBER = 2**29 - 1


# ---------------------------------------------------------------- writing


def field(number: int, length: int) -> bytes:
    """Return the beginning of a field with `length` bytes."""
    return varint(number << 3 | BYTES) + varint(length)


def whole_field(number: int, *parts: bytes | np.ndarray) -> list[bytes | np.ndarray]:
    """Return a field as a list: its beginning, then its parts, with arrays as they are."""
    return [field(number, size_of(parts)), *parts]


def size_of(parts: list | tuple) -> int:
    """Return the total number of bytes in parts of a message."""
    return sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)


def varint(value: int) -> bytes:
    """Encode a whole number in groups of seven bits, lowest first; a high bit means more follow."""
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


# ---------------------------------------------------------------- reading


class Fields:
    """The fields of messages in a file, read on demand.

    Parameters
    ----------
    file : binary file
    limit : int
        Maximum number of fields to read, in all messages together.
    """

    def __init__(self, file: io.BufferedIOBase, limit: int):
        self.size = os.fstat(file.fileno()).st_size
        self._file, self._limit, self._count = file, limit, 0

    def of(
        self, place: tuple[int, int], known: Mapping[int, tuple], what: str
    ) -> Iterator[tuple[str, int | tuple[int, int]]]:
        """Iterate over the known fields of a message.

        Parameters
        ----------
        place : (int, int)
            Positions in the file where the message starts and ends.
        known : dict of int to (str, int, ...)
            Name and allowed wire types of each field, by the number of the field.
        what : str
            Name of the message in errors.

        Yields
        ------
        name : str
        value : int or (int, int)
            The value of a varint; for other fields, the positions where it starts and ends.

        Raises
        ------
        ValueError
            If this is not a message, a value extends beyond it, or the limit is reached.
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
        """Read a whole number between two positions in the file.

        Parameters
        ----------
        start, end : int
            Position where the number starts, and position before which it must end.

        Returns
        -------
        value : int
            The number, below 2**64. Negative numbers are stored plus 2**64.
        stop : int
            Position where the number ends.

        Raises
        ------
        ValueError
            If it has more than 10 bytes, or does not end before `end`.
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
        """Iterate over the whole numbers of a repeated field.

        Parameters
        ----------
        value : int or (int, int)
            A value from `of`: one number, or the positions of packed numbers.

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
        """Read the text between two positions.

        Parameters
        ----------
        place : (int, int)
        limit : int
            Maximum number of bytes.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If the text is longer, or not UTF-8.
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
                f"a field ends at byte {stop} of {end}: is the file cut off, by a download that "
                "did not finish?"
            )
        return ValueError(f"expected a field to end with its message at byte {end}, got {stop}")
