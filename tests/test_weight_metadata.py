"""Metadata of files of weights: what is saved comes back, and nothing else passes for it."""

import io
import json
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from fcn_numpy import weights

STATE = {"b.weight": np.arange(6.0).reshape(2, 3), "a.bias": np.arange(2)}
TEXTS = {
    "classes": "Straße, sky", "": "", "json": '{"a": [1, "\\""]}', "two\nlines": "\x1b\0 \U0001f431"
}
FORMATS = ["w.npz", "w.safetensors"]
ALL = [*FORMATS, "w.pth"]


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value)


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("texts", [TEXTS, {"k": "v" * 900_000}], ids=["texts", "long"])
def test_metadata_comes_back_and_stays_out_of_the_weights(tmp_path, name, texts):
    weights.save(tmp_path / name, STATE, texts)
    assert weights.read_metadata(tmp_path / name) == texts
    assert list(weights.read_metadata(tmp_path / name)) == list(texts)
    assert_same(weights.load(tmp_path / name), STATE)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("texts", [None, {}])
def test_without_metadata_a_file_is_what_it_was(tmp_path, name, texts):
    weights.save(tmp_path / name, STATE)
    before = (tmp_path / name).read_bytes()
    assert weights.read_metadata(tmp_path / name) == {}
    weights.save(tmp_path / name, STATE, texts)
    assert b"__metadata__" not in (tmp_path / name).read_bytes()
    assert len((tmp_path / name).read_bytes()) == len(before)


@pytest.mark.parametrize("name", FORMATS)
def test_metadata_alone_comes_back(tmp_path, name):
    weights.save(tmp_path / name, {}, TEXTS)
    assert weights.read_metadata(tmp_path / name) == TEXTS
    assert weights.load(tmp_path / name) == {}


def test_all_names_have_a_prefix_beside_metadata(tmp_path):
    for name in FORMATS:
        weights.save(tmp_path / name, {"module.w": np.zeros(1)}, TEXTS)
        assert list(weights.load(tmp_path / name)) == ["w"]


def test_numpy_reads_it_as_bytes_of_json_that_come_first(tmp_path):
    weights.save(tmp_path / "w.npz", STATE, TEXTS)
    with np.load(tmp_path / "w.npz", allow_pickle=False) as archive:
        assert archive.files == ["__metadata__", *STATE]
        assert archive["__metadata__"].dtype == np.uint8
        assert json.loads(archive["__metadata__"].tobytes().decode()) == TEXTS


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, save):
    data = np.frombuffer(json.dumps(TEXTS).encode(), np.uint8)
    save(tmp_path / "w.npz", **STATE, __metadata__=data)
    assert weights.read_metadata(tmp_path / "w.npz") == TEXTS
    assert_same(weights.load(tmp_path / "w.npz"), STATE)


def test_the_package_safetensors_reads_what_is_written_here(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    weights.save(tmp_path / "w.safetensors", STATE, TEXTS)
    with safetensors.safe_open(tmp_path / "w.safetensors", "numpy") as file:
        assert file.metadata() == TEXTS
        assert_same({name: file.get_tensor(name) for name in STATE}, STATE)


def test_what_the_package_safetensors_writes_is_read_here(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    package.save_file(STATE, tmp_path / "w.safetensors", metadata=TEXTS)
    assert weights.read_metadata(tmp_path / "w.safetensors") == TEXTS
    assert weights.load(tmp_path / "w.safetensors").keys() == STATE.keys()


def test_a_stream_of_pytorch_has_none(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")
    assert weights.read_metadata(tmp_path / "w.pth") == {}


@pytest.mark.parametrize("name", FORMATS)
def test_the_weights_are_not_read_for_it(tmp_path, name):
    weights.save(tmp_path / name, {"w": np.zeros(20_000_000, np.uint8)}, TEXTS)
    tracemalloc.start()
    start = time.perf_counter()
    assert weights.read_metadata(tmp_path / name) == TEXTS
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6 and seconds < 0.5


# ---------------------------------------------------------------- what is not saved


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("texts, words", [
    ({"epoch": 3}, "to be str by str, got int at epoch"),
    ({"a": "b", 3: "c"}, "to be str by str, got int at 3"),
    ({"a": {"b": "c"}}, "got dict at a"),
    ({"a\x1b": None}, r"got NoneType at a\\x1b"),
    ([("a", "b")], "a dict of str as metadata, got list"),
    ("text", "a dict of str as metadata, got str"),
    ({"a": "b" * 1_000_000}, "at most 1,000,000 bytes, got 1,000,008"),
    ({"a": "\ud800"}, "surrogates"),
])
def test_metadata_that_is_none_is_not_saved(tmp_path, name, texts, words):
    with pytest.raises(ValueError, match=words):
        weights.save(tmp_path / name, STATE, texts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["w.pth", "w.pt"])
def test_pytorchs_format_takes_none(tmp_path, name):
    with pytest.raises(ValueError, match="no metadata for PyTorch's format"):
        weights.save(tmp_path / name, STATE, {"a": "b"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ALL)
def test_no_weight_has_the_name_of_the_metadata(tmp_path, name):
    with pytest.raises(ValueError, match="__metadata__, which stands for metadata"):
        weights.save(tmp_path / name, {"__metadata__": np.zeros(2, np.uint8)})
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- damage


def refusal(folder, data):
    """Return why metadata is refused; the weights beside it are read all the same."""
    (folder / "some.file").write_bytes(data)
    assert list(weights.load(folder / "some.file")) == ["w"]
    with pytest.raises(ValueError, match=r"some\.file is not a file of weights: ") as caught:
        weights.read_metadata(folder / "some.file")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    return str(caught.value)


def npz_of(value):
    buffer = io.BytesIO()
    np.savez(buffer, __metadata__=value, w=np.zeros(2))
    return buffer.getvalue()


def safetensors_of(metadata):
    entry = b'{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    table = b'{"w":' + entry + b',"__metadata__":' + metadata + b"}"
    return struct.pack("<Q", len(table)) + table + b"\0"


def as_bytes(text):
    return np.frombuffer(text, np.uint8)


@pytest.mark.parametrize("text, words", [
    (b'{"a": {"b": "c"}}', "got dict at a"),
    (b'{"epoch": 3}', "got int at epoch"),
    (b'{"a": NaN}', "got float at a"),
    (b'{"a": null}', "got NoneType at a"),
    (b'{"a": "b", "a": "c"}', "twice"),
    (b'{"\\u001b": [1]}', "got list at \\x1b"),
    (b'{"a": "\\ud800"}', "surrogates"),
    (b'{"a": "' + b"b" * 999_993 + b'"}', "at most 1,000,000 bytes, got 1,000,001"),
])
def test_metadata_of_something_else_is_an_error(tmp_path, text, words):
    if "twice" not in words:  # that damages the whole table
        assert words in refusal(tmp_path, safetensors_of(text))
    assert words in refusal(tmp_path, npz_of(as_bytes(text)))


@pytest.mark.parametrize("text", [b"[]", b'"text"', b"3", b"null"])
def test_metadata_that_is_no_table_is_an_error(tmp_path, text):
    assert "dict of str as metadata, got" in refusal(tmp_path, safetensors_of(text))
    assert "expected a table in JSON, got" in refusal(tmp_path, npz_of(as_bytes(text)))


@pytest.mark.parametrize("value, words", [
    (as_bytes(b"{no json"), "property name"),
    (as_bytes(b""), "Expecting value"),
    (as_bytes(b'{"a": "\xff"}'), "utf-8"),
    (as_bytes(b'{"a":' * 100_000), "nested"),
    (as_bytes(b'{"a": ' + b"9" * 5000 + b"}"), ""),  # in words of Python's version
    (as_bytes(b'{"a":"b"}').astype(np.int8), "as a 1-d array of bytes, got int8"),
    (as_bytes(b'{"a":"b"}').astype(np.float32), "as a 1-d array of bytes, got float32"),
    (as_bytes(b'{"a":"b"}')[None], "got uint8 of shape (1, 9)"),
    (as_bytes(b"3").reshape(()), "got uint8 of shape ()"),
    (np.array('{"a":"b"}'), "expected numbers"),
    (np.zeros(2_000_000, np.uint8), "at most 1,000,000 bytes, got 2,000,128"),
])
def test_a_member_that_holds_something_else_is_an_error(tmp_path, value, words):
    assert words in refusal(tmp_path, npz_of(value))


def test_a_member_that_unpacks_to_much_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__metadata__.npy", bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(ValueError, match="at most 1,000,000 bytes, got 50,000,000"):
        weights.read_metadata(tmp_path / "w.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_a_pickle_as_metadata_is_never_run(tmp_path):
    assert "expected numbers" in refusal(tmp_path, npz_of(np.array([None])))


def test_metadata_twice_is_an_error(tmp_path):
    buffer = io.BytesIO(npz_of(as_bytes(b'{"a":"b"}')))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("__metadata__.npy", b"")
    assert "it contains its metadata twice" in refusal(tmp_path, buffer.getvalue())


@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_byte_is_an_error_or_another_text(tmp_path, name):
    weights.save(tmp_path / name, {"w": np.zeros(1, np.uint8)}, {"key": "text"})
    data = (tmp_path / name).read_bytes()
    for place in range(len(data)):
        for flip in (0x01, 0x04, 0x20, 0xFF):
            wrong = bytearray(data)
            wrong[place] ^= flip
            (tmp_path / "wrong").write_bytes(wrong)
            try:
                got = weights.read_metadata(tmp_path / "wrong")
            except ValueError:
                continue
            assert all(type(text) is str for pair in got.items() for text in pair)
            # A zip has checksums.
            assert name != "w.npz" or got in ({}, {"key": "text"})


@pytest.mark.parametrize("name", ALL)
def test_a_foreign_file_is_refused_in_the_words_of_load(tmp_path, name):
    weights.save(tmp_path / "good", {"w": np.zeros(9)})
    for data in (b"", b"words", (tmp_path / "good").read_bytes()[:40], b"GIF89a"):
        (tmp_path / name).write_bytes(data)
        messages = []
        for read in (weights.load, weights.read_metadata):
            with pytest.raises(ValueError) as caught:
                read(tmp_path / name)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    with pytest.raises(FileNotFoundError):
        weights.read_metadata(tmp_path / "missing")
