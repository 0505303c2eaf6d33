"""Read and write weights: .npz, both forms of PyTorch's .pth, .safetensors and .caffemodel."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import IO

import numpy as np

from fcn_numpy.files import atomic_write, open_file, reason_of, shown
from fcn_numpy.weights import caffemodel, npz, safetensors, torch_files
from fcn_numpy.weights.metadata import METADATA_NAME, check_metadata
from fcn_numpy.weights.names import our_names

__all__ = ["load", "our_names", "read_metadata", "save"]

LARGEST_FILE = 16_000_000_000
# Leaves room for the path and the other words of a message in 500 characters.
_LONGEST_REASON = 290
_BY_ENDING = {
    ".pth": torch_files, ".pt": torch_files, ".safetensors": safetensors, ".caffemodel": caffemodel,
}
# What the readers raise on damaged files.
_DAMAGE = (
    ValueError, ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)
# First bytes of files that are often mistaken for weights, and descriptions of these files.
_OTHER_FILES = {
    rb"(\xef\xbb\xbf)?\s*<(?i:!doctype|html)": "a web page instead of the file itself",
    rb"version https://git-lfs": "a git-lfs pointer: `git lfs pull` gets the file itself",
    rb"\x89HDF": "HDF5",
    rb"\x1f\x8b": "a gzip archive: unpack it first",
    rb"BZh": "a bzip2 archive: unpack it first",
    rb"\xfd7zXZ": "an xz archive: unpack it first",
    rb"7z\xbc\xaf": "a 7z archive: unpack it first",
    rb"\x08[\x01-\x14]\x12": "what seems to be ONNX: export weights as .npz for this package",
    rb"(?s:.{257})ustar": "a tar archive: unpack it first",
    rb"(?:\xef\xbb\xbf)?(?:\s|#.*\n)*(?:name|layers?|input\w*)\s*[:{]":
        "a .prototxt, which describes a network and has no weights",
}
# A .caffemodel begins with a name, layers, inputs or their sizes, or force_backward. (Text files
# may also begin with a newline or a space.)
_CAFFEMODEL = rb"[\n\x12\x1a\x20\x28]|\xa2\x06"


def save(
    path: str | os.PathLike, state: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a state_dict to a file, completely or not at all.

    Parameters
    ----------
    path : path-like
        The extension selects the format: .pth or .pt for PyTorch's, .safetensors, .caffemodel for
        Caffe's, and .npz for all others. No extension is added to the path.
    state : dict of str to ndarray
        Arrays of numbers. The name ``__metadata__`` is reserved. Caffe's format can only contain
        ``LAYER.weight`` and ``LAYER.bias``, in float32 or float64.
    metadata : dict of str to str, optional
        Metadata that `read_metadata` returns later, at most 1 MB. PyTorch's and Caffe's formats
        cannot contain metadata.

    Raises
    ------
    ValueError
        If values are not arrays of numbers, if the format does not support a name or a dtype, or
        if the metadata is invalid or not supported. In this case nothing is written.

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
        if name == METADATA_NAME:
            raise ValueError(f"expected names of weights, got {name}, which stands for metadata")
        if value.dtype.kind not in "fiub":
            raise ValueError(f"expected numbers for {shown(name)}, got dtype {value.dtype}")
    metadata = check_metadata({} if metadata is None else metadata)
    ending = os.path.splitext(os.fspath(path))[1].lower()
    with atomic_write(path) as file:
        _BY_ENDING.get(ending, npz).write(file, arrays, metadata)


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a state_dict from a file in any of the formats, with the names of this package.

    The content of the file determines the format. Code in the file is never run.

    Parameters
    ----------
    path : path-like
        A file of at most 16 GB.

    Returns
    -------
    dict of str to ndarray
        Arrays by name (see `our_names`). They do not share memory. Metadata is left out.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not a file of weights, or is damaged.
    """
    with _weights_file(path) as file:
        return our_names(_format_of(file).read(file))


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """Read the metadata of a file of weights, but not the weights.

    Parameters
    ----------
    path : path-like
        A file in any format that `load` reads.

    Returns
    -------
    dict of str to str
        The metadata. Empty if there is none, as in PyTorch's and Caffe's formats.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not a file of weights, or its metadata is damaged or longer than 1 MB.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/model.npz", {"fc6.bias": np.zeros(2)}, {"trained on": "my photos"})
    ...     read_metadata(f"{folder}/model.npz")
    {'trained on': 'my photos'}
    """
    with _weights_file(path) as file:
        return _format_of(file).read_metadata(file)


@contextlib.contextmanager
def _weights_file(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a file of weights, and turn errors about its content into one that names the file."""
    try:
        with open_file(path, LARGEST_FILE) as file:
            yield file
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        reason = shown(reason_of(error), _LONGEST_REASON)
        raise ValueError(f"{shown(path)} is not a file of weights: {reason}") from error


def _format_of(file: IO[bytes]) -> ModuleType:
    """Return the module that reads this file, and move to the beginning of the file."""
    start = file.read(512)
    file.seek(0)
    # Check this first: a table of 640 bytes begins like a pickle.
    if start[8:9] == b"{":
        return safetensors
    if start[:1] == b"\x80":
        return torch_files
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        is_torch = torch_files.is_zip(file)
        file.seek(0)
        return torch_files if is_torch else npz
    kinds = (words for pattern, words in _OTHER_FILES.items() if re.match(pattern, start))
    came = next(kinds, None)
    if came is None and re.match(_CAFFEMODEL, start):
        return caffemodel
    if came is None:
        came = f"a file that begins with {start[:8]!r}" if start else "an empty file"
    raise ValueError(f"expected .npz, PyTorch's .pth, .safetensors or .caffemodel, got {came}")
