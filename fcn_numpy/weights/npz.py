"""Save and load weights: a state_dict as an .npz file."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from fcn_numpy.files import atomic_write


def save(path: str | os.PathLike, state: Mapping[str, np.ndarray]) -> None:
    """Write a state_dict as an .npz file, whole or not at all.

    Parameters
    ----------
    path : path-like
        Taken as it is; no ending is added.
    state : dict of str to ndarray
        Arrays of numbers.

    Raises
    ------
    ValueError
        For values that are no arrays of numbers. Nothing has been written then.
    """
    arrays = {name: np.asarray(value) for name, value in state.items()}
    for name, value in arrays.items():
        if value.dtype.kind not in "fiub":
            raise ValueError(f"expected numbers for {name}, got dtype {value.dtype}")
    with atomic_write(path) as file:
        # savez takes arrays as keywords, so a name of its own would collide: write the members.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, value in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, value, allow_pickle=False)


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a state_dict from an .npz file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no .npz file of numbers, or damaged. Pickled objects are never loaded.
    """
    state = {}
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                end = 0
                for info in archive.infolist():
                    # A damaged table of contents may have lost members: they must follow each
                    # other without a gap, from the beginning of the file to the table.
                    if info.header_offset != end or not info.filename.endswith(".npy"):
                        raise ValueError(f"{info.filename} is not where it should be")
                    state[info.filename.removesuffix(".npy")] = _read_member(archive, info)
                    file.seek(end + 26)
                    name_length, extra_length = struct.unpack("<HH", file.read(4))
                    end += 30 + name_length + extra_length + info.compress_size
                if end != archive.start_dir:
                    raise ValueError("members are missing")
        except MemoryError as error:
            raise _no_weights(path, "an array in it claims to be larger than memory") from error
        except (ValueError, EOFError, KeyError, NotImplementedError, OSError, OverflowError,
                RuntimeError, SyntaxError, TypeError, struct.error, zipfile.BadZipFile,
                zlib.error) as error:
            raise _no_weights(path, str(error).strip() or type(error).__name__) from error
    return state


def _read_member(archive, info):
    with archive.open(info) as member:
        value = np.lib.format.read_array(member, allow_pickle=False)
        # Reading on to the end also compares the checksum.
        if member.read(1):
            raise ValueError(f"{info.filename} is longer than its header says")
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{info.filename} is no array of numbers")
    return value


def _no_weights(path, reason):
    return ValueError(
        f"{os.fspath(path)} is no .npz file of weights: {reason.splitlines()[0]}"
    )
