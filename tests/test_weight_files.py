"""Files that are no weights: refused before they cost anything, in words that are safe to print."""

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import threading
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from weight_bytes import load_bytes, refusal

from fcn_numpy import weights

STATE = {"conv1_1.weight": np.arange(24.0).reshape(2, 3, 2, 2), "conv1_1.bias": np.arange(2.0)}
FORMATS = ["w.npz", "w.pth", "w.safetensors"]


def bytes_of(folder, name, state=STATE):
    weights.save(folder / name, state)
    return (folder / name).read_bytes()


# ---------------------------------------------------------------- what is opened


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("read", [weights.load, weights.read_metadata])
def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    errors = []

    def run():
        try:
            read(tmp_path / "pipe")
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    (message,) = errors
    assert message.endswith("pipe is not a file of weights: expected a file, got a named pipe")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    assert weights.LARGEST_FILE == 16_000_000_000
    size = len(bytes_of(tmp_path, "w.npz"))
    monkeypatch.setattr(weights, "LARGEST_FILE", size)
    assert list(weights.load(tmp_path / "w.npz")) == list(STATE)
    monkeypatch.setattr(weights, "LARGEST_FILE", size - 1)
    with pytest.raises(ValueError, match=f"at most {size - 1:,} bytes, got {size:,}"):
        weights.load(tmp_path / "w.npz")


# ---------------------------------------------------------------- what a message shows

EVIL = "\x1b[31m\x07\u202e\n" + "x" * 150


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("read", [weights.load, weights.read_metadata])
def test_a_long_and_hostile_path_is_shown_escaped(tmp_path, read):
    folder = tmp_path / EVIL / EVIL / EVIL
    folder.mkdir(parents=True)
    (folder / "w.npz").write_bytes(b"words" * 200)
    with pytest.raises(ValueError, match="is not a file of weights: expected") as caught:
        read(folder / "w.npz")
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500
    assert "begins with b'wordswor'" in message


def test_a_reason_is_escaped_and_bounded(tmp_path, monkeypatch):
    def fail(file):
        raise ValueError(EVIL * 100)

    path = tmp_path / ("p" * 200 + ".npz")
    weights.save(path, STATE)
    monkeypatch.setattr(weights.npz, "read", fail)
    with pytest.raises(ValueError, match=r"\\x1b\[31m\\x07") as caught:
        weights.load(path)
    assert str(caught.value).isprintable() and 400 < len(str(caught.value)) < 500


def test_too_little_memory_is_said(tmp_path, monkeypatch):
    def fail(file):
        raise MemoryError

    weights.save(tmp_path / "w.npz", STATE)
    monkeypatch.setattr(weights.npz, "read", fail)
    with pytest.raises(ValueError, match=r"w\.npz is not a file of weights: it needs more memory"):
        weights.load(tmp_path / "w.npz")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")  # zipfile warns of some of the damage
def test_a_hostile_name_in_a_damaged_file_is_shown_escaped(tmp_path, name):
    data = bytes_of(tmp_path, name, {EVIL: np.zeros(2)})
    seen = set()
    for place in range(len(data)):
        try:
            load_bytes(tmp_path, data[:place] + bytes([data[place] ^ 0x44]) + data[place + 1 :])
        except ValueError as error:
            message = str(error)
            assert message.isprintable() and len(message) < 500
            seen.add("x1b[31m" in message)
    assert seen == {True, False}


@pytest.mark.parametrize("name", FORMATS)
def test_saving_shows_names_escaped(tmp_path, name):
    with pytest.raises(ValueError, match="expected numbers for") as caught:
        weights.save(tmp_path / name, {EVIL * 50: np.array([None])})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


# longdouble is float64 on some machines.
@pytest.mark.parametrize("name, dtype", [("w.pth", "u2")] + [("w.safetensors", "g")] * (
    np.dtype("g").itemsize > 8
))
def test_saving_shows_names_of_a_wrong_dtype_escaped(tmp_path, name, dtype):
    with pytest.raises(ValueError, match="of dtype") as caught:
        weights.save(tmp_path / name, {EVIL * 50: np.zeros(1, dtype)})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


# ---------------------------------------------------------------- tables of contents


def quickly(run):
    """Return what a run returns, which may take neither time nor memory."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        result = run()
        assert tracemalloc.get_traced_memory()[1] < 2e6
        assert time.perf_counter() - start < 2
        return result
    finally:
        tracemalloc.stop()


def members(count, name=b"%07d"):
    """Return a table of contents of empty members, as bytes."""
    head = b"PK\x01\x02" + struct.pack("<6H3I5H2I", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name % 0),
                                       0, 0, 0, 0, 0, 0)
    return b"".join(head + name % i for i in range(count))


def end_of(table, count, long=False, offset=4, comment=b""):
    """Return the records behind a table of contents."""
    after = b""
    if long:
        after = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(table),
                            offset)
        after += struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + len(table), 1)
    sizes = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if long else (
        count, count, len(table), offset)
    return after + struct.pack("<4s2H2H2IH", b"PK\x05\x06", 0, 0, *sizes, len(comment)) + comment


@pytest.mark.parametrize("name", [b"%07d", b"a/data.pkl%.0d"], ids=["npz", "pth"])
@pytest.mark.parametrize("comment", [b"", b"c" * 65535], ids=["plain", "comment"])
def test_a_zip_of_a_million_members_is_refused_at_once(tmp_path, name, comment):
    table = members(1_000_000, name)
    (tmp_path / "w.npz").write_bytes(b"PK\x03\x04" + table + end_of(table, 1, True, 4, comment))
    size = f"{len(table):,}"
    del table

    def load():
        for read in (weights.load, weights.read_metadata):
            with pytest.raises(ValueError, match=f"at most 4,000,000 bytes, got {size}"):
                read(tmp_path / "w.npz")

    quickly(load)


@pytest.mark.parametrize("comment", [b"", b"c" * 65535], ids=["plain", "comment"])
def test_the_length_of_a_table_without_64_bits_counts_too(tmp_path, comment):
    table = members(80_000)
    data = b"PK\x03\x04" + table + end_of(table, 1, comment=comment)
    assert "at most 4,000,000 bytes, got 4,240,000" in refusal(tmp_path, data)


@pytest.mark.parametrize("long", [False, True])
def test_a_table_below_the_limit_is_read(tmp_path, long):
    table = members(70_000)
    data = b"PK\x03\x04" + table + end_of(table, 0xFFFF, long)
    assert "'0000000' is not where it should be" in refusal(tmp_path, data)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_zip_with_a_comment_or_64_bits_is_read(tmp_path, save):
    save(tmp_path / "w.npz", w=np.arange(3.0))
    with zipfile.ZipFile(tmp_path / "w.npz", "a") as archive:
        archive.comment = b"from the lab"
    assert weights.load(tmp_path / "w.npz")["w"].tolist() == [0, 1, 2]
    data = (tmp_path / "w.npz").read_bytes()
    place = data.index(b"PK\x01\x02")
    table = data[place : data.index(b"PK\x05\x06")]
    got = load_bytes(tmp_path, data[:place] + table + end_of(table, 1, True, place, b"hello"))
    assert got["w"].tolist() == [0, 1, 2]


def test_a_record_apart_from_its_locator_is_an_error(tmp_path):
    # Versions of zipfile differ in which of two records they take then.
    np.savez(tmp_path / "w.npz", w=np.arange(3.0))
    data = (tmp_path / "w.npz").read_bytes()
    place = data.index(b"PK\x01\x02")
    table = data[place : data.index(b"PK\x05\x06")]
    end = end_of(table, 1, True, place)
    with_gap = data[:place] + table + end[:56] + b"gap" + end[56:]
    assert "record at the end" in refusal(tmp_path, with_gap)
    # A record that begins within the last 22 bytes.
    assert "record at the end" in refusal(tmp_path, data[:-12] + b"PK\x05\x06" + data[-8:])


def test_a_table_of_safetensors_is_at_most_4_MB(tmp_path):
    with open(tmp_path / "some.file", "wb") as file:
        file.write(struct.pack("<Q", 95_000_000) + b"{")
        file.truncate(95_000_008)

    def load():
        for read in (weights.load, weights.read_metadata):
            with pytest.raises(ValueError, match="at most 4,000,000 bytes, got 95,000,000"):
                read(tmp_path / "some.file")

    quickly(load)
    text = json.dumps({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    for length in (4_000_000, 4_000_001):
        data = struct.pack("<Q", length) + text.ljust(length) + b"\x05"
        if length > 4_000_000:
            assert "at most 4,000,000" in refusal(tmp_path, data)
        else:
            assert load_bytes(tmp_path, data)["w"].tolist() == [5]


def test_what_would_not_be_read_again_is_not_written(tmp_path):
    state = {"n" * 40_000 + str(i): np.zeros(0) for i in range(100)}
    with pytest.raises(ValueError, match="a table of at most 4,000,000 bytes, got 4,0"):
        weights.save(tmp_path / "w.safetensors", state)
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- what a file seems to be


@pytest.mark.parametrize("name", ["w.npz", "w.pth"])
def test_a_zip_without_its_end_is_a_download_that_did_not_finish(tmp_path, name):
    data = bytes_of(tmp_path, name)
    for length in (4, 100, len(data) // 2, data.index(b"PK\x05\x06")):
        assert refusal(tmp_path, data[:length]).endswith(
            "is not a file of weights: it is cut off: a download that did not finish?"
        )


def tar_of(name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize("data, words", [
    (b"<!DOCTYPE html><html>", "a web page"),
    (b"<!doctype HTML>", "a web page"),
    (b"\r\n \t<HtMl lang=en>", "a web page"),
    (b"\xef\xbb\xbf<html>", "a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
    (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
    (gzip.compress(b"weights"), "a gzip archive: unpack it first"),
    (bz2.compress(b"weights"), "a bzip2 archive: unpack it first"),
    (lzma.compress(b"weights"), "an xz archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40), "a 7z archive: unpack it first"),
    (tar_of("weights.npz"), "a tar archive: unpack it first"),
], ids=["html", "capitals", "after space", "after a mark", "lfs", "hdf5", "gzip", "bzip2", "xz",
        "7z", "tar"])
def test_other_files_are_called_by_their_kind(tmp_path, data, words):
    message = refusal(tmp_path, data)
    assert words in message
    assert "expected .npz, PyTorch's .pth, .safetensors or .caffemodel, got" in message


@pytest.mark.parametrize("data", [b"a <html>", b"x\x89HDF", b"<html"[:4], b"ustar" * 4])
def test_a_sign_elsewhere_says_nothing(tmp_path, data):
    assert f"got a file that begins with {data[:8]!r}" in refusal(tmp_path, data)
