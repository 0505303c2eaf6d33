"""Read and write a state_dict as Caffe's .caffemodel, without Caffe: layers with blobs of numbers.

The fields have the names and numbers of caffe.proto. Before 2015, layers were a different message,
and all blobs had four axes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import IO

import numpy as np

from fcn_numpy.files import shown
from fcn_numpy.weights.protobuf import BYTES, VARINT, Fields, size_of, varint, whole_field
from fcn_numpy.weights.safetensors import little_endian_bytes, read_numbers

_NETWORK = {2: ("layers", BYTES), 100: ("layer", BYTES)}
_LAYERS = {
    "layers": {4: ("name", BYTES), 5: ("type", VARINT), 6: ("blobs", BYTES)},
    "layer": {1: ("name", BYTES), 2: ("type", BYTES), 7: ("blobs", BYTES)},
}
_BLOB = {
    1: ("num", VARINT), 2: ("channels", VARINT), 3: ("height", VARINT), 4: ("width", VARINT),
    5: ("data", BYTES), 7: ("shape", BYTES), 8: ("double_data", BYTES),
}
_SHAPE = {1: ("dim", VARINT, BYTES)}  # separate fields, or packed into one
# Types of fully connected layers; a layer without a type may also be one.
_FULLY_CONNECTED = (None, "InnerProduct", 14)
_OLD_AXES = ("num", "channels", "height", "width")
_DTYPES = {"data": "f4", "double_data": "f8"}
_KINDS = ("weight", "bias")

# A layer has about 20 fields, so this allows thousands of layers.
_MOST_FIELDS = 200_000
_LONGEST_NAME = 4096
_MOST_AXES = 32
_LARGEST_AXIS = 2**31 - 1
# Limit of protobuf for a message; the whole file is one message.
_LARGEST_FILE = 2**31 - 1


# ---------------------------------------------------------------- reading


def read(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """Read the blobs of a .caffemodel file, in the order of its layers.

    The first blob of a layer is its weight, the second is its bias. In old files, the weights of
    fully connected layers get the shape (out, in), and biases (N,), as in new files.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    dict of str to ndarray
        ``LAYER.weight`` and ``LAYER.bias``, float32 or float64. Layers without blobs are left out.

    Raises
    ------
    ValueError
        If the file is damaged, or a layer has more than two blobs.
    """
    fields = Fields(file, _MOST_FIELDS)
    state: dict[str, np.ndarray] = {}
    for form, place in fields.of((0, fields.size), _NETWORK, "a .caffemodel"):
        layer, may_be_connected, blobs = _read_layer(fields, place, _LAYERS[form])
        if blobs and f"{layer}.{_KINDS[0]}" in state:
            raise ValueError(f"expected one layer {shown(layer)} with weights, got two")
        # In old files a fully connected layer is 1 x 1 x out x in, and a bias 1 x 1 x 1 x N.
        for kind, blob, ones in zip(_KINDS, blobs, (2 if may_be_connected else 0, 3)):
            name = f"{shown(layer)}.{kind}"
            dtype, shape, chunks = _read_blob(fields, blob, name, ones)
            state[f"{layer}.{kind}"] = _read_chunks(file, chunks, dtype, name, shape)
    if not state:
        raise ValueError("expected a .caffemodel with weights, got no layer with weights")
    return state


def read_metadata(file: io.BufferedIOBase) -> dict[str, str]:
    """Return no metadata: a .caffemodel file has none."""
    return {}


def _read_layer(fields, place, known):
    """Return the name of a layer, whether it may be fully connected, and where its blobs are.

    If a layer has no blobs, nothing else is read.
    """
    name = kind = None
    blobs, count = [], 0
    for field, value in fields.of(place, known, "a layer"):
        if field == "name":
            name = value
        elif field == "type":
            kind = value
        else:
            count += 1
            blobs += [value] if count <= len(_KINDS) else []
    if not blobs:
        return "", True, blobs
    name = fields.text(name, _LONGEST_NAME) if name else ""
    if not name:
        raise ValueError("expected a name for each layer with weights, got none")
    if count > len(_KINDS):
        raise ValueError(
            f"expected at most a weight and a bias of {shown(name)}, got {count} blobs"
        )
    kind = fields.text(kind, _LONGEST_NAME) if isinstance(kind, tuple) else kind
    return name, kind in _FULLY_CONNECTED, blobs


def _read_blob(fields, place, name, ones):
    """Return the dtype and shape of a blob, and where its numbers are.

    If an old shape begins with `ones` ones, they are removed.
    """
    old: dict[str, int] = {}
    shape, dtype, chunks = None, None, []
    for field, value in fields.of(place, _BLOB, name):
        if field in _OLD_AXES:
            old[field] = _check_axis(value, name)
        elif field == "shape":
            shape = shape or []
            for _, sizes in fields.of(value, _SHAPE, f"the shape of {name}"):
                for size in fields.unpack(sizes):
                    shape.append(_check_axis(size, name))
                    if len(shape) > _MOST_AXES:
                        raise ValueError(f"expected at most {_MOST_AXES} axes of {name}, got more")
        elif dtype in (None, _DTYPES[field]):
            dtype = _DTYPES[field]
            chunks.append(value)
        else:
            raise ValueError(f"expected either data or double_data of {name}, got both")
    if shape is None and old:
        shape = [old.get(axis, 0) for axis in _OLD_AXES]
        if shape[:ones] == [1] * ones:
            shape = shape[ones:]
    return dtype or "f4", shape or [], chunks


def _check_axis(size, name):
    if size > _LARGEST_AXIS:
        size -= 2**64 if size >= 2**63 else 0
        raise ValueError(f"expected sizes of {name} from 0 to {_LARGEST_AXIS}, got {size}")
    return size


def _read_chunks(file, chunks, dtype, name, shape):
    """Read the numbers of a blob, after checking how many there are."""
    width = int(dtype[-1])
    lengths = [end - start for start, end in chunks]
    if any(length % width for length in lengths):
        raise ValueError(f"expected numbers of {width} bytes in {name}, got {sum(lengths)} bytes")
    count = sum(lengths) // width
    if count != math.prod(shape):
        raise ValueError(
            f"expected {math.prod(shape)} numbers in {name}, as its shape {shape} says, got {count}"
        )
    if len(chunks) == 1:
        file.seek(chunks[0][0])
        return read_numbers(file, dtype, count).reshape(shape)
    values, end = np.empty(count, dtype), 0
    for (place, _), length in zip(chunks, lengths):
        file.seek(place)
        begin, end = end, end + length // width
        values[begin:end] = read_numbers(file, dtype, end - begin)
    return values.reshape(shape)


# ---------------------------------------------------------------- writing


def write(
    file: IO[bytes], state: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays to a binary file as layers of a .caffemodel, in order.

    Parameters
    ----------
    file : binary file
    state : dict of str to ndarray
        ``LAYER.weight`` and ``LAYER.bias``, float32 or float64.
    metadata : dict of str to str

    Raises
    ------
    ValueError
        If there are other names or dtypes, a bias without a weight, no arrays at all, more data
        than protobuf or `read` accept, or any metadata.
    """
    if metadata:
        raise ValueError("expected no metadata for Caffe's format, which cannot contain it")
    layers = _layers_of(state)
    # The name comes first, so that no layer can make the file look like another format.
    parts = whole_field(1, b"fcn_numpy")
    for name, blobs in layers.items():
        layer = whole_field(1, name.encode())
        for kind in _KINDS:
            if kind in blobs:
                layer += _blob(blobs[kind])
        parts += whole_field(100, *layer)
    # Count the name; layers and their names; blobs, their shapes, the sizes in these, the numbers.
    n_fields = 1 + 2 * len(layers) + 4 * len(state)
    for got, limit, what in (
        (size_of(parts), _LARGEST_FILE, "bytes"), (n_fields, _MOST_FIELDS, "fields")
    ):
        if got > limit:
            raise ValueError(f"expected a .caffemodel of at most {limit:,} {what}, got {got:,}")
    for part in parts:
        file.write(part if isinstance(part, bytes) else little_endian_bytes(part))


def _layers_of(state):
    """Return the arrays of each layer by kind, or raise ValueError if the format lacks one."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        if not layer or kind not in _KINDS or len(layer.encode()) > _LONGEST_NAME:
            raise ValueError(
                "expected LAYER.weight and LAYER.bias in a .caffemodel, with at most "
                f"{_LONGEST_NAME} bytes as LAYER, got {shown(name, 100)}"
            )
        if value.dtype.newbyteorder("=") not in map(np.dtype, _DTYPES.values()):
            raise ValueError(
                f"expected float32 or float64 for a .caffemodel, got {shown(name)} of dtype "
                f"{value.dtype}"
            )
        if value.ndim > _MOST_AXES or max(value.shape, default=0) > _LARGEST_AXIS:
            raise ValueError(
                f"expected at most {_MOST_AXES} axes, each up to {_LARGEST_AXIS}, in a "
                f".caffemodel, got {shown(name, 100)} with {value.ndim}"
            )
        layers.setdefault(layer, {})[kind] = value
    for layer, blobs in layers.items():
        if "weight" not in blobs:
            raise ValueError(f"expected {shown(layer)}.weight with its bias, got none")
    if not layers:
        raise ValueError("expected weights for a .caffemodel, got none")
    return layers


def _blob(value):
    shape = whole_field(7, *whole_field(1, b"".join(map(varint, value.shape))))
    return whole_field(7, *shape, *whole_field(5 if value.itemsize == 4 else 8, value))
