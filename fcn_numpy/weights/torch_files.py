"""Read and write a state_dict as PyTorch's .pth, without PyTorch: a pickle, then numbers.

There are two forms. Since PyTorch 1.6, the file is a zip of NAME/data.pkl, NAME/data/KEY with the
numbers of each storage, and NAME/byteorder. Before, it was a stream: a few pickles, followed by the
storages.

The pickles are not run: see `fcn_numpy.weights.torch_pickle`.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import IO

import numpy as np

from fcn_numpy.files import shown
from fcn_numpy.weights.safetensors import little_endian_bytes, read_numbers
from fcn_numpy.weights.torch_pickle import KINDS, Storage, Tensor, about, describe
from fcn_numpy.weights.zips import open_zip

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ALIGNMENT = 64
# A state_dict takes about 250 bytes per tensor, so this allows thousands.
_PICKLE_LIMIT = 1 << 22
# Tensors that share a storage are copied. Limits the size of all copies together.
_SHARED_LIMIT = 1 << 20
_STATE_KEYS = ("state_dict", "model_state_dict", "model")


# ---------------------------------------------------------------- reading


def is_zip(file: IO[bytes]) -> bool:
    """Return whether a zip is a file of PyTorch: it contains NAME/data.pkl."""
    with open_zip(file) as archive:
        return _folder(archive) is not None


def _folder(archive):
    for name in archive.namelist():
        if name.count("/") == 1 and name.endswith("/data.pkl"):
            return name.removesuffix("data.pkl")
    return None


def read(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """Read the tensors of a .pth file in either form. Bfloat16 becomes float32.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError, and what `zipfile` raises
        If the file is damaged, or contains anything other than a state_dict. Nothing is run.
    """
    is_stream = file.read(1) == b"\x80"
    file.seek(0)
    return _read_stream(file) if is_stream else _read_zip(file)


def read_metadata(file: io.BufferedIOBase) -> dict[str, str]:
    """Return no metadata: a .pth file has none."""
    return {}


def _read_zip(file):
    with open_zip(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        # Members must not claim more in total than the file has, nor share a name.
        size = os.fstat(file.fileno()).st_size
        stored = all(
            info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
            for info in members.values()
        )
        if not stored or sum(info.file_size for info in members.values()) > size:
            raise ValueError("expected the members of its zip to be stored, and to fit in it")
        if len(members) != len(archive.infolist()):
            raise ValueError("its zip contains a member twice")
        folder = _folder(archive)
        order = _byte_order(archive, members.get(f"{folder}byteorder"))
        if members[f"{folder}data.pkl"].file_size > _PICKLE_LIMIT:
            raise ValueError(f"its pickle is longer than {_PICKLE_LIMIT} bytes")
        described, _ = describe(io.BytesIO(archive.read(f"{folder}data.pkl")))
        tensors = _tensors(described)

        state: dict[str, np.ndarray] = {}
        for storage, names in _by_storage(tensors):
            info = members.get(f"{folder}data/{storage.key}")
            needed = storage.count * int(storage.kind[-1])
            if info is None or info.file_size != needed:
                raise ValueError(
                    f"expected {needed} bytes for {about(names[0])}, got "
                    + (f"{info.file_size}" if info else "none in the file")
                )
            with archive.open(info) as member:
                # typeshed says IO[bytes], which lacks readinto; it is a ZipExtFile.
                numbers = read_numbers(
                    member, storage.kind, storage.count, order,  # type: ignore[arg-type]
                )
            _cut_out(state, tensors, names, numbers)
    return {name: state[name] for name in tensors}


def _byte_order(archive, info):
    if info is None:
        return "<"  # older files do not record it
    orders = {b"little": "<", b"big": ">"}
    word = archive.read(info) if info.file_size < 10 else b""
    if word not in orders:
        raise ValueError(f"expected little or big as its byteorder, got {word!r}")
    return orders[word]


def _read_stream(file):
    size = os.fstat(file.fileno()).st_size
    # The pickles end somewhere in these bytes, and the storages begin there.
    start = io.BytesIO(file.read(min(size, _PICKLE_LIMIT)))
    magic, _ = describe(start)
    if type(magic) is not int or magic != _MAGIC:
        raise ValueError("it is a pickle, but not one that PyTorch writes")
    protocol, _ = describe(start)
    if type(protocol) is not int or protocol != _PROTOCOL:
        raise ValueError(f"expected version {_PROTOCOL} of the format, got {about(protocol)}")
    # Skip the description of the machine that wrote the file: numbers are always little-endian.
    describe(start)
    described, storages = describe(start)
    tensors = _tensors(described)
    keys, _ = describe(start)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise ValueError("expected a list of its storages")
    if len(keys) != len(storages) or set(keys) != storages.keys():
        raise ValueError("expected a list of the storages that its tensors use, without duplicates")

    file.seek(start.tell())
    needed = dict(_by_storage(tensors))
    state: dict[str, np.ndarray] = {}
    for storage in (storages[key] for key in keys):
        names = needed.get(storage, ())
        whose = f"the storage of {about(names[0])}" if names else f"storage {about(storage.key)}"
        head = file.read(8)
        count = struct.unpack("<q", head)[0] if len(head) == 8 else 0
        if len(head) < 8 or count != storage.count:
            raise ValueError(f"expected {storage.count} numbers in {whose}, got {count}")
        length = count * int(storage.kind[-1])
        if length > size - file.tell():
            raise ValueError(f"expected {length} bytes in {whose}, got {size - file.tell()}")
        if names:
            numbers = read_numbers(file, storage.kind, count)
            _cut_out(state, tensors, names, numbers)
            del numbers
        else:
            file.seek(length, os.SEEK_CUR)
    if file.tell() != size:
        raise ValueError(f"expected {file.tell()} bytes, got {size}")
    return {name: state[name] for name in tensors}


def _tensors(top):
    """Return the tensors of a state_dict, or of a checkpoint that contains one, by name."""
    if type(top) is not dict:
        raise ValueError(f"expected a state_dict, got {about(top)}")
    top = _state_in(top)
    for name, value in top.items():
        if type(name) is not str or type(value) is not Tensor:
            raise ValueError(f"expected tensors by name, got {about(value)} for {about(name)}")
    return top


def _state_in(top):
    """Return the state_dict in a checkpoint, or `top` itself if it is not a checkpoint."""
    for key in _STATE_KEYS:
        if type(top.get(key)) is dict:
            return top[key]
    if any(type(value) is Tensor for value in top.values()):
        return top
    # Compare by identity: searching the same dict under many names could take hours.
    dicts = {id(value): (key, value) for key, value in top.items() if type(value) is dict}
    found = [
        (key, value) for key, value in dicts.values()
        if value and all(type(item) is Tensor for item in value.values())
    ]
    if len(found) > 1:
        keys = ", ".join(about(key) for key, _ in found[:6])
        raise ValueError(f"expected one state_dict in the checkpoint, got {len(found)}: {keys}")
    return found[0][1] if found else top


def _by_storage(tensors):
    """Return the used storages, each with the names of its tensors."""
    names: dict[Storage, list[str]] = {}
    for name, tensor in tensors.items():
        names.setdefault(tensor.storage, []).append(name)
    used = sum(tensor.count for tensor in tensors.values())
    stored = sum(storage.count for storage in names)
    if used > 2 * stored + _SHARED_LIMIT:
        raise ValueError(f"its tensors share {stored} numbers, and would be {used} without")
    return names.items()


def _cut_out(state, tensors, names, numbers):
    """Fill in the tensors of one storage: one may be the whole storage, the others are copies."""
    free = True
    for name in names:
        tensor = tensors[name]
        if free and tensor.count == len(numbers) and tensor.is_contiguous:
            state[name] = numbers.reshape(tensor.size)
            free = False
            continue
        steps = [step * numbers.itemsize for step in tensor.stride]
        if tensor.count:
            window = np.ndarray(
                tensor.size, numbers.dtype, numbers, tensor.offset * numbers.itemsize, steps
            )
            state[name] = window.copy(order="C")
        else:
            state[name] = np.empty(tensor.size, numbers.dtype)


# ---------------------------------------------------------------- writing


def write(
    file: IO[bytes], state: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays to a binary file in PyTorch's zip form, as an OrderedDict of tensors.

    Parameters
    ----------
    file : binary file
    state : dict of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    ValueError
        If the format lacks a dtype, or there is any metadata.
    """
    if metadata:
        raise ValueError("expected no metadata for PyTorch's format, which cannot contain it")
    # Storage type of each dtype; bfloat16 is not a NumPy dtype.
    types = {np.dtype(kind): name for name, kind in KINDS.items() if kind != "bf2"}
    for name, value in state.items():
        if value.dtype.newbyteorder("=") not in types:
            raise ValueError(
                f"expected {shown(name)} of dtype {', '.join(map(str, types))}, got {value.dtype}"
            )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _write_member(archive, "data.pkl", _pickle_of(state, types))
        _write_member(archive, "byteorder", b"little")
        for key, value in enumerate(state.values()):
            _write_member(archive, f"data/{key}", little_endian_bytes(value))
        _write_member(archive, "version", b"3\n")


def _write_member(archive, name, data):
    info = zipfile.ZipInfo(f"archive/{name}")
    # Numbers must begin at a multiple of 64, so that they can be mapped into memory. They follow a
    # header of 30 bytes, the name, 20 bytes for 64-bit sizes, 4 bytes and this padding.
    pad = -(archive.fp.tell() + 30 + len(info.filename) + 20 + 4) % _ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", pad) + bytes(pad)
    with archive.open(info, "w", force_zip64=True) as member:
        member.write(data)


def _pickle_of(state, types):
    """Return the pickle of an OrderedDict of tensors with numbered storages."""
    ordered_dict = b"ccollections\nOrderedDict\n)R"
    parts = [b"\x80\x02", ordered_dict, b"("]
    for key, (name, value) in enumerate(state.items()):
        storage = types[value.dtype.newbyteorder("=")]
        strides = [math.prod(value.shape[axis + 1 :]) for axis in range(value.ndim)]
        parts += [
            _text(name), b"ctorch._utils\n_rebuild_tensor_v2\n((", _text("storage"),
            f"ctorch\n{storage}\n".encode(), _text(str(key)), _text("cpu"), _whole(value.size),
            b"tQ", _whole(0), _wholes(value.shape), _wholes(strides),
            b"\x89", ordered_dict, b"tR",  # requires no gradient, has no hooks
        ]
    return b"".join([*parts, b"u."])


def _text(text):
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _whole(n):
    return b"J" + struct.pack("<i", n) if n < 2**31 else b"\x8a\x08" + struct.pack("<q", n)


def _wholes(values):
    return b"(" + b"".join(map(_whole, values)) + b"t"
