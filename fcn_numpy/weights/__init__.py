"""Weight files in and out: .npz, PyTorch's .pth in both its forms, and .safetensors."""

from __future__ import annotations

import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from fcn_numpy.files import atomic_write
from fcn_numpy.weights import npz, safetensors, torch_files
from fcn_numpy.weights.names import our_names

__all__ = ["load", "our_names", "save"]

_WRITERS = {".pth": torch_files.write, ".pt": torch_files.write, ".safetensors": safetensors.write}


def save(path: str | os.PathLike, state: Mapping[str, np.ndarray]) -> None:
    """Write a state_dict, whole or not at all.

    Parameters
    ----------
    path : path-like
        Its ending chooses the format: .pth or .pt for PyTorch's, .safetensors, and .npz for all
        others. It is taken as it is; no ending is added.
    state : dict of str to ndarray
        Arrays of numbers.

    Raises
    ------
    ValueError
        For values that are no arrays of numbers, or of a dtype that the format has not. Nothing
        has been written then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/model.safetensors", {"fc6.bias": np.array([0.5, -0.5])})
    ...     load(f"{folder}/model.safetensors")
    {'fc6.bias': array([ 0.5, -0.5])}
    """
    arrays = {name: np.asarray(value) for name, value in state.items()}
    for name, value in arrays.items():
        if not isinstance(name, str):
            raise ValueError(f"expected names to be str, got {type(name).__name__}")
        if value.dtype.kind not in "fiub":
            raise ValueError(f"expected numbers for {name}, got dtype {value.dtype}")
    ending = os.path.splitext(os.fspath(path))[1].lower()
    with atomic_write(path) as file:
        _WRITERS.get(ending, npz.write)(file, arrays)


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a state_dict from a file of any of the formats, under our names.

    Which format it is, is told by the content. No code that a file may hold is run.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to ndarray
        See `our_names` for the names. No two arrays share memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of weights, or damaged.
    """
    try:
        if os.path.isdir(path):
            raise ValueError("expected a file, got a folder")
        with open(path, "rb") as file:
            return our_names(_reader(file)(file))
    except FileNotFoundError:
        raise
    except MemoryError as error:
        raise _no_weights(path, "an array in it claims to be larger than memory") from error
    except (ValueError, ArithmeticError, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
            TypeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error) as error:
        raise _no_weights(path, str(error).strip() or type(error).__name__) from error


def _reader(file):
    """Return the function that reads such a file, which then stands at its beginning."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise ValueError("expected a regular file")
    start = file.read(9)
    file.seek(0)
    # A table of 640 bytes begins as a pickle does, so this comes first.
    if start[8:] == b"{":
        return safetensors.read
    if start[:1] == b"\x80":
        return torch_files.read_stream
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return torch_files.read_zip if torch_files.is_zip(file) else npz.read
    raise ValueError(
        "expected .npz, PyTorch's .pth or .safetensors, got "
        + (f"a file that begins with {start[:8]}" if start else "an empty file")
    )


def _no_weights(path, reason):
    return ValueError(f"{os.fspath(path)} is no file of weights: {reason.splitlines()[0]:.400}")
