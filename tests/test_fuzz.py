"""Damaged files of every kind: each is read, or a ValueError says in one line what is wrong.

Small good files are damaged at random, and read in a child process, so that a crash or a hang of
a decoder is a failed test too. A few of them are tried in every run of the tests. For a minute of
new ones: ``pytest -m slow tests/test_fuzz.py``, with FCN_NUMPY_FUZZ_SECONDS for another time and
FCN_NUMPY_FUZZ_SEED for one that is repeated. ``python tests/test_fuzz.py READER SEED NUMBER``
repeats a single file and shows where it failed.
"""

import io
import json
import os
import pickletools
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_caffemodel import blob, layer, of_bytes, old_blob, old_layer, whole
from test_torch_files import good_bytes, state_of, storage, stream_of, tensor, zip_of

from fcn_numpy import weights
from fcn_numpy.data import (
    TOY_CLASSES,
    VOC_CLASSES,
    Classes,
    read_classes,
    read_image,
    read_mask,
    voc_folder,
)
from fcn_numpy.data.image_files import MAX_PIXELS
from fcn_numpy.metrics import segmentation_scores
from fcn_numpy.training import SEGMENTERS, STAGES, Settings, run_folder
from fcn_numpy.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from fcn_numpy.weights import caffemodel

SECONDS = float(os.environ.get("FCN_NUMPY_FUZZ_SECONDS", 60))
FAST_COUNT = 200
LONGEST = 20  # seconds for one file, on a machine that has other work
LONGEST_MESSAGE = 700
LARGEST = 200_000  # bytes of a damaged file: repetitions of repetitions are cut off there

# Bytes of memory that a small file may take. Few bytes can be an image of many pixels, all of
# one color: there the number of pixels that is allowed sets the limit, each with its 12 bytes of
# float32 and what the steps to it hold at the same time.
MEMORY = 200 << 20
PIXEL_MEMORY = 50 * MAX_PIXELS


# ---------------------------------------------------------------- damage of any file

SIZES = (
    0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 5000, 7000, 2**28, 2**31 - 1, 2**31, 2**32 - 1,
    2**45, 2**63 - 1, 2**63, 2**64 - 1,
)

FORGED = (2**20, 2**24, 2**28, 2**29, 2**32 - 1000)


def place_in(rng, data):
    return rng.randint(0, len(data))


def range_in(rng, data):
    start = place_in(rng, data)
    return start, start + min(rng.choice((1, 2, 4, 16, 64, len(data))), len(data) - start)


def flip_a_bit(rng, data, kind):
    place = rng.randrange(len(data) or 1)
    return data[:place] + bytes(b ^ 1 << rng.randrange(8) for b in data[place : place + 1]) + (
        data[place + 1 :]
    )


def set_bytes(rng, data, kind):
    start, end = range_in(rng, data)
    return data[:start] + bytes([rng.choice((0, 0x7F, 0xFF, rng.randrange(256)))]) * (
        end - start
    ) + data[end:]


def set_size(rng, data, kind):
    width, place = rng.choice((1, 2, 4, 8)), place_in(rng, data)
    value = rng.choice(SIZES) % 256**width
    order = rng.choice(("little", "big"))
    return data[:place] + value.to_bytes(width, order) + data[place + width :]


def change_size(rng, data, kind):
    """Change the whole number that stands at a place, by 1 or by a factor of 2."""
    width, place = rng.choice((1, 2, 4, 8)), place_in(rng, data)
    order = rng.choice(("little", "big"))
    value = int.from_bytes(data[place : place + width], order)
    value = rng.choice((value + 1, value - 1, 2 * value, value // 2)) % 256**width
    return data[:place] + value.to_bytes(width, order) + data[place + width :]


def delete(rng, data, kind):
    start, end = range_in(rng, data)
    return data[:start] + data[end:]


def insert(rng, data, kind):
    place = place_in(rng, data)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 4, 16))) + data[place:]


def duplicate(rng, data, kind):
    start, end = range_in(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 3, 100)) + data[end:]


def cut_off(rng, data, kind):
    return data[: place_in(rng, data)]


def splice(rng, data, kind):
    other = rng.choice(kind.seeds)
    return data[: place_in(rng, data)] + other[place_in(rng, other) :]


def insert_word(rng, data, kind):
    """Insert what means something in such files, now and then very often."""
    place = place_in(rng, data)
    word = rng.choice(kind.words) * rng.choice((1, 1, 1, 1, 2, 300, 20_000))
    return data[:place] + word + data[rng.choice((place, place + len(word))) :]


def set_number(rng, data, kind):
    """Put another number where one stands in digits."""
    digits = [i for i, byte in enumerate(data) if 48 <= byte < 58]
    if not digits:
        return data
    start = end = rng.choice(digits)
    while data[end : end + 1].isdigit():
        end += 1
    return data[:start] + str(rng.choice((-1, 256, *SIZES))).encode() + data[end:]


ANY = (
    flip_a_bit, set_bytes, set_size, change_size, delete, insert, duplicate, cut_off, splice,
    insert_word, set_number,
)


def damaged(rng, data, kind):
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(ANY)(rng, data, kind)[:LARGEST]
    return data


# ---------------------------------------------------------------- damage behind checksums


def inside_png(rng, data, kind):
    """Damage a chunk, or the pixels before they are deflated; the checksums are right again."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    number = rng.randrange(len(chunks))
    name, content = chunks[number]
    if name == b"IDAT" and rng.random() < 0.7:
        content = zlib.compress(damaged(rng, zlib.decompress(content), kind))
    else:
        content = damaged(rng, content, kind)
    chunks[number : number + 1] = [(name, content)] * rng.choice((1, 1, 1, 1, 0, 2))
    return data[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )


def inside_zip(rng, data, kind):
    """Damage the head of a member, or all of it, or its name, and zip it again."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of two members with one name
        chosen = rng.choice(old.namelist())
        for info in old.infolist():
            content, name = old.read(info), info.filename
            if name == chosen:
                head = rng.choice((64, 128, len(content)))
                content = damaged(rng, content[:head], kind) + content[head:]
                name = rng.choice((name, name, name, name[1:], name * 2, "archive/data.pkl"))
            new.writestr(name, content, info.compress_type)
    return buffer.getvalue()


def forged_npz(rng, data, kind):
    """Claim far too many bytes, and the same number wherever a size stands."""
    count = rng.choice(FORGED)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|i1", "fortran_order": False, "shape": (count,)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((0, 8))) as archive:
        archive.writestr("w.npy", header.getvalue() + bytes(rng.choice((0, 1000))))
    claim = len(header.getvalue()) + count
    return with_sizes(buffer.getvalue(), rng.choice((claim, claim // 1000)), claim)


def with_sizes(data, stored, size):
    """Return a zip that claims these sizes of its last member."""
    data, sizes = bytearray(data), struct.pack("<II", stored, size)
    for start, offset in ((data.rindex(b"PK\3\4"), 18), (data.rindex(b"PK\1\2"), 20)):
        data[start + offset : start + offset + 8] = sizes
    return bytes(data)


def forged_safetensors(rng, data, kind):
    count = rng.choice(FORGED)
    table = {"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + bytes(24)


def forged_torch_zip(rng, data, kind):
    count = rng.choice(FORGED)
    return with_sizes(zip_of(forged_pickle(count)), count, count)


def forged_torch_stream(rng, data, kind):
    count = rng.choice(FORGED)
    return stream_of(forged_pickle(count), {"0": struct.pack("<q", count) + bytes(24)})


def forged_pickle(count):
    return state_of(w=tensor(storage(kind="CharStorage", count=count), 0, (count,), (1,)))


def inside_safetensors(rng, data, kind):
    """Damage the table, as text or entry by entry; its length is right again."""
    (length,) = struct.unpack_from("<Q", data)
    text, numbers = data[8 : 8 + length], data[8 + length :]
    if rng.random() < 0.5:
        text = damaged(rng, text, kind)
    else:
        table = json.loads(text)
        name = rng.choice(list(table))
        entry = rng.choice((table, table[name], table[name]))
        key = rng.choice(list(entry))
        odd = (None, True, -1, 0.5, 1e400, "F4", [], {}, [[]], "\ud800", *SIZES)
        if isinstance(entry[key], list) and entry[key] and rng.random() < 0.7:
            entry[key][rng.randrange(len(entry[key]))] = rng.choice(odd)
        else:
            entry[key] = rng.choice(odd)
        text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def inside_caffemodel(rng, data, kind, depth=0):
    """Damage a field, or what is inside it at any depth; the lengths around it are right again."""
    fields, place = [], 0
    while place < len(data):
        start = place
        tag, place = varint_at(data, place)
        if tag & 7 == 2:
            length, place = varint_at(data, place)
            fields.append((tag >> 3, data[place : place + length]))
            place += length
        else:
            _, place = varint_at(data, place)
            fields.append((None, data[start:place]))
    n = rng.randrange(len(fields))
    number, content = fields[n]
    # Layers in both layouts, and their blobs.
    if depth < 2 and number in ((2, 100), (6, 7))[depth] and rng.random() < 0.85:
        content = inside_caffemodel(rng, content, kind, depth + 1)
    elif number and rng.random() < 0.3:
        number = rng.choice((1, 2, 5, 7, 8, 100))
    else:
        content = damaged(rng, content, kind)
    fields[n : n + 1] = [(number, content)] * rng.choice((1, 1, 1, 1, 0, 2, 40))
    return b"".join(
        content if number is None else of_bytes(number, content) for number, content in fields
    )[:LARGEST]


def varint_at(data, place):
    value = shift = 0
    while True:
        byte, place = data[place], place + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


def forged_caffemodel(rng, data, kind):
    """Claim far too many bytes, or numbers, or both."""
    count = rng.choice(FORGED)
    return layer("w", rng.choice((
        of_bytes(7, of_bytes(1, b"", count)), of_bytes(5, bytes(24), count),
        of_bytes(7, whole(1, count)) + of_bytes(8, bytes(24)), of_bytes(5, bytes(4)) * 5000,
        old_blob(range(6), count // 4, 1, 1, 1), of_bytes(7, whole(1, 1) * 5000),
    )))


# ---------------------------------------------------------------- good files

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
THREE = Classes(("ground", "cat", "dog"), ((0, 0, 0), (200, 10, 30), (9, 200, 255)), (1, 2, 3))
STATE = {
    "conv1_1.weight": np.arange(24, dtype=np.float32).reshape(4, 3, 2, 1),
    "conv1_1.bias": np.arange(4.0),
    "steps": np.array(7),
}
PICKLE_WORDS = tuple(opcode.code.encode("latin-1") for opcode in pickletools.opcodes) + (
    b"cposix\nsystem\n", b"ctorch\nSize\n", b"X\xff\xff\xff\x7f", b"\x8a\xff", b"S'\xff'\n",
)


def saved(save, *args, **options):
    buffer = io.BytesIO()
    save(buffer, *args, **options)
    return buffer.getvalue()


def weights_as(ending):
    with tempfile.TemporaryDirectory() as folder:
        weights.save(Path(folder, "w" + ending), STATE)
        return Path(folder, "w" + ending).read_bytes()


def npz_files():
    chainer = {"conv1_1/W": STATE["conv1_1.weight"], "conv1_1/b": STATE["conv1_1.bias"]}
    return [
        weights_as(".npz"), saved(np.savez, **STATE), saved(np.savez_compressed, **STATE),
        saved(np.savez, **chainer), saved(np.savez_compressed, **chainer),
    ]


def torch_files(form):
    return [good_bytes(form), form(state_of(w=tensor(), turned=tensor(size=(3, 2), stride=(1, 3))))]


def caffe_files():
    named = {"a.weight": STATE["conv1_1.weight"], "a.bias": STATE["conv1_1.bias"]}
    six = range(6)
    return [
        saved(caffemodel.write, named, {}),
        layer("fc", blob(six, 2, 3), blob([1, 2], 2)) + layer("relu"),
        old_layer("conv", old_blob(six, 1, 2, 1, 3), old_blob([1], 1, 1, 1, 1)) + old_layer(
            "fc", old_blob(six, 1, 1, 2, 3), kind=14),
    ]


def picture(mode="RGB", form="PNG", **options):
    image = Image.fromarray(PIXELS)
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert(mode)
    return saved(image.save, format=form, **options)


def interlaced_png():
    """Return a PNG with its pixels in the seven passes of Adam7, which Pillow cannot write."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1))
    rows = [
        b"\0" + row.tobytes()
        for top, left, down, right in passes for row in PIXELS[top::down, left::right] if row.size
    ]
    head = struct.pack(">IIBBBBB", 9, 7, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(
        b"IDAT", zlib.compress(b"".join(rows))
    ) + png_chunk(b"IEND", b"")


def png_files():
    modes = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    return [*map(picture, modes), picture("P", transparency=3), interlaced_png()]


def picture_files():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    frames = [Image.fromarray(PIXELS[::-1])]
    tiffs = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    return [
        picture("RGB", "JPEG", exif=exif), picture("RGB", "JPEG", progressive=True, exif=exif),
        picture("L", "JPEG"), picture("CMYK", "JPEG"),
        *(picture("RGB", "TIFF", compression=name) for name in tiffs),
        picture("1", "TIFF", compression="group4"), picture("I;16", "TIFF"),
        picture("RGBA", "TIFF", compression="tiff_lzw"), picture("P", "TIFF"),
        picture("RGB", "WEBP", exif=exif), picture("RGBA", "WEBP", lossless=True),
        picture("RGB", "WEBP", save_all=True, append_images=frames),
        *(picture(mode, "BMP") for mode in ("RGB", "P", "1")),
        picture("P", "GIF", transparency=3),
        picture("P", "GIF", save_all=True, append_images=frames),
        *(picture(mode, "PPM") for mode in ("RGB", "L", "1")), b"P3\n2 1\n255\n0 10 20 30 40 50\n",
    ]


def number_masks():
    labels = Image.fromarray(PIXELS[..., 0] % 3)
    with_palette = labels.copy()
    with_palette.putpalette(THREE.palette().tobytes())
    wide = Image.fromarray(PIXELS[..., 0].astype(np.uint16) % 3)
    masks = (labels, with_palette, wide, labels.convert("1"))
    return [saved(mask.save, format="PNG") for mask in masks]


def color_masks():
    labels = PIXELS[..., 0] % 4
    colors = np.array([*THREE.colors, THREE.ignore_color], np.uint8)[labels]
    image = Image.fromarray(colors)
    with_palette = Image.fromarray(PIXELS[..., 0] % 3)
    with_palette.putpalette(THREE.palette().tobytes())
    masks = (image, image.convert("RGBA"), with_palette)
    return [saved(mask.save, format="PNG") for mask in masks]


CLASS_LISTS = (
    b"name,red,green,blue\nground,0,0,0\ncat,200,10,30\ndog,9,200,255\nignore,1,2,3\n",
    "\ufeffname\nground\n\"Käse, alt\"\r\n\ndog\n".encode(),
    b"name,number\nignore,0\nroad,7\nroad,8\ncat,26\n",
    b"name;number;red;green;blue\nroad;7;1;2;3\ncat;8;;;\n,,,\n",
)
HISTORIES = (
    b"stage,step,learning_rate,loss\nclassifier,1,0.005,1.25\nfcn8s,2,1e-05,0.5\n",
)
LISTS = (b"2007_000032\n2007_000039\r\n\nthere  2007_000063", "\ufeffä b\nthere\n".encode())


# ---------------------------------------------------------------- readers


def load(path):
    for name, value in weights.load(path).items():
        assert type(name) is str and type(value) is np.ndarray and value.dtype.kind in "fiub"


def load_image(path):
    image = read_image(path)
    assert image.dtype == np.float32 and image.ndim == 3 and len(image) == 3
    assert image.size == 0 or 0 <= image.min() <= image.max() <= 1


def load_mask(path, colored=False):
    labels = read_mask(path, THREE, colored)
    assert labels.dtype == np.uint8 and labels.ndim == 2
    assert not labels.size or set(np.flatnonzero(np.bincount(labels.ravel()))) <= {0, 1, 2, 255}


def load_classes(path):
    classes, colored = read_classes(path)
    assert len(classes.palette()) == 256 and type(colored) is bool


def load_list(path):
    for part in ("JPEGImages", "SegmentationClass"):
        (path.parents[2] / part).mkdir(exist_ok=True)
    folder = voc_folder(path.parents[2], path.stem, VOC_CLASSES)
    assert len(folder.faults) + len(folder) > 0
    assert all(len(fault.splitlines()) == 1 for fault in folder.faults)


def load_config(path):
    settings, classes, _ = run_folder.read_run(path.parent)
    assert isinstance(settings, Settings) and 2 <= len(classes) <= 255
    for stage in settings.stages:
        assert 0 <= stage.learning_rate(stage.steps - 1) < np.inf


def load_scores(path):
    (path.parent / "config.json").write_bytes(CONFIGS[0])
    try:
        for scores in run_folder.read_scores(path.parent).values():
            assert scores.iu.shape == (4,) and not (scores.iu < 0).any()
    finally:
        (path.parent / "config.json").unlink()


def load_history(path):
    for stage, step, loss in run_folder.read_history(path.parent):
        assert stage in STAGES and step > 0 and np.isfinite(loss)


def load_checkpoint(path):
    state = read_checkpoint(path.parent, STAGES_OF_RUN, 5)
    assert 0 <= state.finished <= 4 and all(len(row) == 4 for row in state.history)


# ---------------------------------------------------------------- files of a run

ODD = (None, True, False, -1, 0, 0.5, -0.0, 1e300, 10**400, "", "x", "\ud800", [], {}, [[]], 3)
STAGES_OF_RUN = Settings().quick().with_stages(steps=2).stages


def run_files(write, name, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *arguments)
        return Path(folder, name).read_bytes()


def data_source():
    pairs = [["images/a.png", "masks/a.png"], ["/far/b.png", "masks/b.png"]]
    return {
        "folder": "/none", "colored": True, "stretch": [1.0, 99.0], "checksum": 9, "train": pairs,
        "held_out": pairs[:1],
    }


CONFIGS = [
    run_files(run_folder.write_config, "config.json", Settings(), TOY_CLASSES, source)
    for source in (None, data_source())
]


def score_files():
    scores = segmentation_scores(np.diag([3, 2, 0, 1]))
    return [run_files(
        run_folder.write_scores, "scores.json", dict.fromkeys(SEGMENTERS, scores)
    )]


def checkpoint_files():
    rows = [(n, step, 0.1, 0.5) for n in range(4) for step in (1.0, 2.0)]
    weight = {"fc6.bias": np.zeros(3, np.float32)}
    states = (
        Checkpoint(5), Checkpoint(5, 4, rows), Checkpoint(5, 1, rows[:3], 1, weight, [np.zeros(3)])
    )
    return [run_files(write_checkpoint, "checkpoint.npz", state) for state in states]


def inside_json(rng, data, kind):
    """Change, delete or add a value, at any depth."""
    top = data = json.loads(data)
    while True:
        keys = list(data) if isinstance(data, dict) else range(len(data))
        key = rng.choice(keys)
        if isinstance(data[key], (dict, list)) and data[key] and rng.random() < 0.8:
            data = data[key]
            continue
        if rng.random() < 0.6:
            data[key] = rng.choice((*ODD, *SIZES))
        elif rng.random() < 0.5 or not isinstance(data, dict):
            del data[key]
        else:
            data["more"] = data[key]
        return json.dumps(top).encode()


def inside_checkpoint(rng, data, kind):
    """Change, delete or add an array."""
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    name = rng.choice(list(arrays))
    value = arrays.pop(name)
    changed = rng.choice((
        None, value.astype(np.float16), value.astype(np.int8), value[None], value.ravel()[:1],
        value + rng.choice((1, -1, 0.5, np.nan, 1e30)), np.array(rng.choice((-1, 2, 99, 2**62))),
    ))
    if changed is not None:
        arrays[rng.choice((name, name, name, name + "x", "velocity.7"))] = changed
    return saved(np.savez, **arrays)


@dataclass
class Reader:
    """A kind of file: good ones, what to damage them with, and what reads them."""

    read: Callable
    files: Callable
    damage: tuple = ()
    words: tuple = (b"\0", b"\xff")
    memory: int = MEMORY
    place: str = "."
    ending: str = ""
    file: str = ""  # its name, where that must be so

    def __post_init__(self):
        self.seeds = tuple(self.files())

    def mutant(self, name, seed, number):
        rng = random.Random(f"{name} {seed} {number}")
        data = rng.choice(self.seeds)
        return rng.choice((damaged, *self.damage))(rng, data, self)


NPY_WORDS = (b"(", b"'|O'", b"'<f2'", b"\\", b"1L", b"-1, ", b"{", b"[", b"\n", b"0x", b"'<U9'")
BLOB_WORDS = (
    b"\xff" * 10, b"\x80", b"\x0b", b"\x2a\4\0\0\0\0", b"\x2a\0", b"\x42\0", b"\x3a\0", b"\x08\1",
    b"\x3a\2\x0a\0", b"\xa2\6\0", b"\x12\0", b"\x0a\1w", b"\x2d\0\0\0\0", b"\xc8\1\0",
)
TABLE_WORDS = (b"[", b"{", b'"a":', b"9" * 300, b"1e999", b'"\\ud800"', b"NaN", b"null", b"}")
CLASS_WORDS = (
    b'"', b",", b"\n", b"\r", b"\0", b"ignore", b"ignore,1,2,3\n", b"256", "é²".encode(), b"\xff",
    b"name\n", b"cat,1,2,4\n", "\u2028".encode(), b"name,number\n", b";", b"\t", b"65535",
)
LIST_WORDS = (b"/", b"..", b"\0", b"a", b"\n", "\u2028".encode(), b"\xff", b"\xed\xa0\x80", b"~")

# Made when they are needed, so that listing the tests makes no images.
READERS = {
    "npz": lambda: Reader(load, npz_files, (inside_zip, inside_zip, forged_npz), NPY_WORDS),
    "torchzip": lambda: Reader(load, lambda: torch_files(zip_of) + [weights_as(".pth")],
                               (inside_zip, inside_zip, forged_torch_zip), PICKLE_WORDS),
    "torchstream": lambda: Reader(load, lambda: torch_files(stream_of),
                                  (forged_torch_stream, damaged, damaged), PICKLE_WORDS),
    "safetensors": lambda: Reader(load, lambda: [weights_as(".safetensors")],
                                  (inside_safetensors, inside_safetensors, forged_safetensors),
                                  TABLE_WORDS),
    "caffemodel": lambda: Reader(load, caffe_files,
                                 (inside_caffemodel, inside_caffemodel, forged_caffemodel),
                                 BLOB_WORDS),
    "classes": lambda: Reader(load_classes, lambda: CLASS_LISTS, (), CLASS_WORDS),
    "list": lambda: Reader(load_list, lambda: LISTS, (), LIST_WORDS,
                           place="ImageSets/Segmentation", ending=".txt"),
    "mask": lambda: Reader(load_mask, number_masks, (inside_png,) * 3, memory=PIXEL_MEMORY),
    "colormask": lambda: Reader(lambda path: load_mask(path, True), color_masks,
                                 (inside_png,) * 3, memory=PIXEL_MEMORY),
    "png": lambda: Reader(load_image, png_files, (inside_png,) * 3, memory=PIXEL_MEMORY),
    "image": lambda: Reader(load_image, picture_files, memory=PIXEL_MEMORY),
    "config": lambda: Reader(load_config, lambda: CONFIGS, (inside_json,) * 5, TABLE_WORDS,
                             file="config.json"),
    "scores": lambda: Reader(load_scores, score_files, (inside_json,) * 3, TABLE_WORDS,
                             file="scores.json"),
    "history": lambda: Reader(load_history, lambda: HISTORIES, (), CLASS_WORDS,
                              file="history.csv"),
    "checkpoint": lambda: Reader(load_checkpoint, checkpoint_files, (inside_checkpoint,) * 3,
                                 NPY_WORDS, file="checkpoint.npz"),
}


# ---------------------------------------------------------------- the child: reads


def complaint(reader, path, most_memory):
    """Read a file; return what is wrong with how that went, or None."""
    wrong = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        signal.alarm(LONGEST)  # its default is to end the process, also from within C
        try:
            reader.read(path)
        except ValueError as error:
            wrong = complaint_of(error, path, reader)
        except BaseException:
            wrong = traceback.format_exc()
        signal.alarm(0)
    if warned and not wrong:
        wrong = f"it warned: {warned[0].message!r}"
    if memory("VmHWM") > most_memory and not wrong:
        wrong = f"it took more than {reader.memory >> 20} MB of memory"
    return wrong


def complaint_of(error, path, reader):
    message = str(error)
    if str(path) not in message:
        return f"the message does not name the file:\n{traceback.format_exc()}"
    if message.splitlines() != [message] or len(message) > LONGEST_MESSAGE + len(str(path)):
        return f"the message is no short line: {message!r:.2000}"
    # Pillow asks for as much as a chunk claims, and never touches what the file has not.
    if isinstance(error.__cause__, MemoryError) and reader.memory == MEMORY:
        return f"it asked for more memory than it may:\n{traceback.format_exc()}"
    return None


def memory(which):
    """Return VmSize, the address space in use, or VmHWM, the most memory that ever was."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) << 10
    raise ValueError(f"expected {which} in /proc/self/status")


def limit_address_space(size):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def read_many(name, seed, folder, numbers, seconds=float("inf")):
    """Read damaged files until the time is up, and stop at the first complaint.

    Each is deleted when it was read as it should be: so one stays if the process dies of it.
    """
    end = time.monotonic() + seconds
    reader = READERS[name]()
    folder = folder / reader.place
    folder.mkdir(parents=True, exist_ok=True)
    most_memory = memory("VmHWM") + reader.memory
    limit_address_space(memory("VmSize") + reader.memory * 5 // 4)
    for number in numbers:
        if time.monotonic() > end:
            break
        path = folder / f"{name}-{seed}-{number}{reader.ending}"
        if reader.file:
            path.mkdir()
            path /= reader.file
        path.write_bytes(reader.mutant(name, seed, number))
        wrong = complaint(reader, path, most_memory)
        if wrong:
            return wrong
        path.unlink()
        if reader.file:
            path.parent.rmdir()
    return None


# ---------------------------------------------------------------- the parent: asks

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")


def expect_no_complaint(folder, seed, count, seconds, names):
    """Let a child read damaged files; fail with its complaint, or with how it died."""
    done = subprocess.run(
        [sys.executable, __file__, "--many", str(seed), str(folder), str(count), str(seconds),
         *names],
        capture_output=True, text=True, errors="replace",
        env={**os.environ, "PYTHONPATH": str(Path(weights.__file__).parents[2])},
    )
    if done.returncode == 0:
        return
    left = list(folder.rglob("*-*-*"))
    how = f"ended with {done.returncode}" if done.returncode > 0 else (
        f"died of {signal.Signals(-done.returncode).name}"
    )
    again = " ".join(left[0].stem.split("-")) if left else "(no file is left)"
    pytest.fail(
        f"reading {left} {how}; again: python tests/test_fuzz.py {again}\n{done.stdout[-3000:]}"
        f"\n{done.stderr[-2000:]}"
    )


@LINUX
def test_some_damaged_files_of_every_kind_are_read_or_refused(tmp_path):
    expect_no_complaint(tmp_path, 0, FAST_COUNT, 60, READERS)


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(tmp_path, name):
    seed = int(os.environ.get("FCN_NUMPY_FUZZ_SEED", time.time_ns() % 2**31))
    expect_no_complaint(tmp_path, seed, 10**9, SECONDS / len(READERS), [name])


def main(args):
    """Read what the parent asks for, or one file again; return what is wrong, or None."""
    if args[0] != "--many":
        name, seed, number = args
        return read_many(name, int(seed), Path(tempfile.mkdtemp()), [int(number)])
    seed, folder, count, seconds, *names = args[1:]
    for name in names:
        wrong = read_many(name, int(seed), Path(folder), range(int(count)), float(seconds))
        if wrong:
            return wrong
    return None


if __name__ == "__main__":
    found = main(sys.argv[1:])
    print(found or "nothing is wrong")
    sys.exit(1 if found else 0)
