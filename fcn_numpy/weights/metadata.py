"""Check and convert the metadata of a file of weights: a few strings by name."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fcn_numpy.files import shown

# The key in .safetensors, and the name of the member in .npz.
METADATA_NAME = "__metadata__"
METADATA_LIMIT = 1_000_000


def check_metadata(metadata: object) -> dict[str, str]:
    """Check that metadata is a dict of str to str with at most `METADATA_LIMIT` bytes as JSON.

    Parameters
    ----------
    metadata : object

    Returns
    -------
    dict of str to str

    Raises
    ------
    ValueError
        If the metadata is something else, or longer.
    """
    if not isinstance(metadata, Mapping):
        raise ValueError(f"expected a dict of str as metadata, got {type(metadata).__name__}")
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            kind = type(value if isinstance(name, str) else name).__name__
            raise ValueError(f"expected metadata to be str by str, got {kind} at {shown(name, 60)}")
    size = len(to_json(metadata))
    if size > METADATA_LIMIT:
        raise ValueError(f"expected metadata of at most {METADATA_LIMIT:,} bytes, got {size:,}")
    return dict(metadata)


def to_json(table: Mapping) -> bytes:
    """Return a dict as JSON in UTF-8, without spaces."""
    return json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()


def from_json(data: bytes) -> dict:
    """Return the dict that JSON in UTF-8 describes.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If the JSON is invalid, describes no dict, is nested too deeply, or has a name twice.
    """
    try:
        table = json.loads(data.decode(), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("expected a table in JSON, got deeply nested values") from None
    if not isinstance(table, dict):
        raise ValueError(f"expected a table in JSON, got {type(table).__name__}")
    return table


def _unique(pairs):
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name is in its table twice")
    return table
