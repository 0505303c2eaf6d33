"""Save and load weights: a state_dict as an .npz file."""

from __future__ import annotations

import os
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
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            state = {name: archive[name] for name in archive.files}
        for name, value in state.items():
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
                raise ValueError(f"{name} is no array of numbers")
    except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError,
            TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{os.fspath(path)} is no .npz file of weights: {reason[0]}") from error
    return state
