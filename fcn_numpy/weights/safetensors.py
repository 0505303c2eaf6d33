"""Read and write a state_dict as .safetensors: a table of contents in JSON, then the numbers."""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Mapping
from typing import IO

import numpy as np

from fcn_numpy.files import shown
from fcn_numpy.weights.metadata import METADATA_NAME, check_metadata, from_json, to_json

# The last character of each is its size in bytes. "bf2" is bfloat16, which NumPy lacks.
_KINDS = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf2",
    "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "b1",
}
# An array takes about 100 bytes of the table, so this allows tens of thousands. Reading JSON takes
# up to 30 times its size in memory.
_TABLE_LIMIT = 4_000_000
_PIECE = 1 << 20
_MOST_AXES = 32


def write(
    file: IO[bytes], state: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays of numbers to a binary file as .safetensors, in order.

    Parameters
    ----------
    file : binary file
    state : dict of str to ndarray
    metadata : dict of str to str
        Metadata. If it is empty, the table has no entry for it.

    Raises
    ------
    ValueError
        If the format lacks a dtype, or there are more names than `read` accepts.
    """
    names = {np.dtype(kind): name for name, kind in _KINDS.items() if kind != "bf2"}
    header: dict = {METADATA_NAME: dict(metadata)} if metadata else {}
    end = 0
    for name, value in state.items():
        dtype = value.dtype.newbyteorder("=")
        if dtype not in names:
            raise ValueError(
                f"expected a dtype of .safetensors, got {shown(name)} of dtype {dtype}"
            )
        begin, end = end, end + value.nbytes
        header[name] = {
            "dtype": names[dtype], "shape": list(value.shape), "data_offsets": [begin, end]
        }
    text = to_json(header)
    text += b" " * (-len(text) % 8)
    if len(text) > _TABLE_LIMIT:
        raise ValueError(f"expected a table of at most {_TABLE_LIMIT:,} bytes, got {len(text):,}")
    file.write(struct.pack("<Q", len(text)) + text)
    for value in state.values():
        file.write(little_endian_bytes(value))


def read(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """Read the arrays of a .safetensors file, in the order of its table. Bfloat16 becomes float32.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If the table and the numbers do not match exactly.
    """
    size = os.fstat(file.fileno()).st_size
    table = _read_table(file, size)
    table.pop(METADATA_NAME, None)
    header = {name: _check_entry(name, entry) for name, entry in table.items()}
    found: dict[str, np.ndarray] = {}
    place = file.tell()
    for name, (kind, shape, (begin, end)) in sorted(header.items(), key=lambda item: item[1][2]):
        if file.tell() != place + begin:
            raise ValueError(
                f"expected {name!r:.80} to begin at byte {file.tell() - place}, got {begin}"
            )
        if end > size - place:
            raise ValueError(
                f"{name!r:.80} ends at byte {end} of {size - place}: is the file cut off, by a "
                "download that did not finish?"
            )
        found[name] = read_numbers(file, kind, math.prod(shape)).reshape(shape)
    if file.tell() != size:
        raise ValueError(f"expected {file.tell()} bytes, as its table says, got {size}")
    return {name: found[name] for name in header}


def read_metadata(file: io.BufferedIOBase) -> dict[str, str]:
    """Read the metadata of a .safetensors file, but no arrays. Raises the same errors as `read`.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    dict of str to str
        The metadata; empty if there is none.
    """
    table = _read_table(file, os.fstat(file.fileno()).st_size)
    return check_metadata(table.get(METADATA_NAME, {}))


def _read_table(file, size):
    (length,) = struct.unpack("<Q", file.read(8))
    if length > size - 8:
        raise ValueError(f"its table claims {length} bytes, of {size} in the file")
    if length > _TABLE_LIMIT:
        raise ValueError(f"expected a table of at most {_TABLE_LIMIT:,} bytes, got {length:,}")
    return from_json(file.read(length))


def _check_entry(name, entry):
    """Return the kind, shape and offsets of an array, after checking that they agree."""
    name = f"{name!r:.80}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"expected dtype, shape and data_offsets of {name}, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _KINDS:
        raise ValueError(f"expected {name} of dtype {', '.join(_KINDS)}, got {dtype!r:.40}")
    for values, most in ((shape, _MOST_AXES), (offsets, 2)):
        numbers = isinstance(values, list) and len(values) <= most
        if not numbers or not all(type(n) is int and 0 <= n < 2**63 for n in values):
            raise ValueError(f"expected whole numbers in shape and data_offsets of {name}")
    kind = _KINDS[dtype]
    size = math.prod(shape) * int(kind[-1])
    if len(offsets) != 2 or offsets[1] - offsets[0] != size:
        raise ValueError(
            f"expected {size} bytes of {name}, as its shape says, got data_offsets {offsets}"
        )
    return kind, shape, offsets


def little_endian_bytes(value: np.ndarray) -> memoryview:
    """Return the little-endian bytes of an array in C order, without a copy if possible."""
    value = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return value.reshape(-1).view(np.uint8).data


def read_numbers(
    file: io.BufferedIOBase, kind: str, count: int, order: str = "<"
) -> np.ndarray:
    """Read numbers from the current position of a binary file.

    Parameters
    ----------
    file : binary file
    kind : str
        A dtype such as "f4", or "bf2" for bfloat16, which is read as float32.
    count : int
        Number of numbers. Compare it with the size of the file before the call.
    order : {"<", ">"}
        Byte order in the file.

    Returns
    -------
    ndarray, shape (count,)
        The numbers in native byte order.

    Raises
    ------
    ValueError
        If the file ends too early.
    """
    raw = np.empty(count * int(kind[-1]), np.uint8)
    for start in range(0, len(raw), _PIECE):
        piece = raw[start : start + _PIECE]
        # Read in pieces, because members of a zip copy whatever is read in one call.
        if file.readinto(piece.data) != len(piece):
            raise ValueError(f"expected {len(raw)} bytes of numbers, got fewer")
    if kind == "bf2":  # the upper half of a float32
        wide = raw.view(f"{order}u2").astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    if kind == "b1":  # bytes other than 0 and 1 would be invalid bools in NumPy
        return raw != 0
    values = raw.view(order + kind)
    if not values.dtype.isnative:
        values = values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
    return values
