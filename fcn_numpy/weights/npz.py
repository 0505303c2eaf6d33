"""Read and write a state_dict as an .npz file, which is a zip of .npy files."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zipfile
from collections.abc import Mapping
from typing import IO

import numpy as np

from fcn_numpy.weights.metadata import (
    METADATA_LIMIT,
    METADATA_NAME,
    check_metadata,
    from_json,
    to_json,
)
from fcn_numpy.weights.zips import open_zip

# Maximum compression ratio of deflate.
_DEFLATE_LIMIT = 1032
# NumPy reads no longer headers. Magic number, version and length precede the header.
_HEADER_LIMIT = 10_000 + 12
# JSON text as an array of bytes, so that NumPy can open the file like any other.
_METADATA = f"{METADATA_NAME}.npy"


def write(
    file: IO[bytes], state: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays of numbers to a binary file as uncompressed .npz, metadata first.

    Parameters
    ----------
    file : binary file
    state : dict of str to ndarray
    metadata : dict of str to str
        Metadata. If it is empty, the file has no member for it.
    """
    first = {METADATA_NAME: np.frombuffer(to_json(metadata), np.uint8)} if metadata else {}
    # savez takes arrays as keywords, which can collide with its own: write the members directly.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, value in (first | dict(state)).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


def read(file: IO[bytes]) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file, without its metadata. Pickled objects are never loaded.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError, and what `zipfile` and `numpy.lib.format` raise
        If the file is damaged, or contains anything other than arrays of numbers.
    """
    state = {}
    with warnings.catch_warnings(), open_zip(file) as archive:
        # NumPy warns about headers written by Python 2. Anything important is also an error.
        warnings.simplefilter("ignore")
        end = 0
        for info in archive.infolist():
            # A damaged table of contents may lack members, so check that there is no gap
            # between them, from the beginning of the file to the table.
            if info.header_offset != end or not info.filename.endswith(".npy"):
                raise ValueError(f"{info.filename!r:.80} is not where it should be")
            if info.filename != _METADATA:
                state[info.filename.removesuffix(".npy")] = _read_member(archive, info)
            file.seek(end + 26)
            name_length, extra_length = struct.unpack("<HH", file.read(4))
            end += 30 + name_length + extra_length + info.compress_size
        if end != archive.start_dir:
            raise ValueError("members are missing")
    return state


def read_metadata(file: IO[bytes]) -> dict[str, str]:
    """Read the metadata of an .npz file, but no other array. Raises the same errors as `read`.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    dict of str to str
        The metadata; empty if there is none.
    """
    with warnings.catch_warnings(), open_zip(file) as archive:
        warnings.simplefilter("ignore")
        found = [info for info in archive.infolist() if info.filename == _METADATA]
        if not found:
            return {}
        if len(found) > 1:
            raise ValueError("it contains its metadata twice")
        if found[0].file_size > METADATA_LIMIT + _HEADER_LIMIT:
            raise ValueError(
                f"expected metadata of at most {METADATA_LIMIT:,} bytes, got {found[0].file_size:,}"
            )
        value = _read_member(archive, found[0])
    if value.dtype != np.uint8 or value.ndim != 1:
        raise ValueError(
            f"expected metadata as a 1-d array of bytes, got {value.dtype} of shape {value.shape}"
        )
    return check_metadata(from_json(value.tobytes()))


def _read_member(archive, info):
    _check_size(archive, info)
    with archive.open(info) as member:
        # This reads the member to its end, where zipfile compares the checksum.
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_size(archive, info):
    """Check that the zip's table and the array's header agree, before allocating memory."""
    name = f"{info.filename!r:.80}"
    largest = {
        zipfile.ZIP_STORED: info.compress_size,
        zipfile.ZIP_DEFLATED: _DEFLATE_LIMIT * info.compress_size,
    }
    if info.compress_type not in largest:
        raise ValueError(f"expected {name} stored or deflated, got method {info.compress_type}")
    if info.compress_size > archive.start_dir:  # where the table begins
        raise ValueError(
            f"{name} claims {info.compress_size} bytes of a file that has {archive.start_dir}"
        )
    if info.file_size > largest[info.compress_type]:
        raise ValueError(
            f"{name} claims {info.file_size} bytes, more than its {info.compress_size} can hold"
        )
    with archive.open(info) as member:
        start = io.BytesIO(member.read(_HEADER_LIMIT))
    version = np.lib.format.read_magic(start)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(start)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(start)
    else:
        raise ValueError(f"expected {name} in version 1 or 2 of .npy, got {version}")
    if dtype.kind not in "fiub":
        raise ValueError(f"expected numbers in {name}, got dtype {str(dtype)[:40]}")
    size = start.tell() + math.prod(shape) * dtype.itemsize
    if size != info.file_size:
        raise ValueError(
            f"expected {size} bytes in {name}, as its header says, got {info.file_size}"
        )
