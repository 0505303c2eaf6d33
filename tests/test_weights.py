"""Weight files: what is saved comes back exactly, or loading says that it cannot."""

import contextlib
import errno
import gc
import io
import os
import pickle
import stat
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from fcn_numpy import files, weights

RNG = np.random.default_rng(0)
STATE = {
    "conv1_1.weight": RNG.standard_normal((4, 3, 2, 2)).astype(np.float32),
    "conv1_1.bias": np.arange(4.0),
    "file": np.arange(5, dtype=np.int64),
    "steps": np.array(7, np.int32),
}


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert isinstance(got[name], np.ndarray)
        assert got[name].dtype == value.dtype and got[name].shape == value.shape
        np.testing.assert_array_equal(got[name], value)


def is_same(got, expected):
    try:
        assert_same(got, expected)
    except AssertionError:
        return False
    return True


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "i4", "i8", "u8", "?"]
)
@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (2, 3), (2, 3, 1, 4)])
def test_each_dtype_and_shape_comes_back(tmp_path, dtype, shape):
    value = (10 * np.random.default_rng(0).random(shape)).astype(dtype)
    weights.save(tmp_path / "w.npz", {"w": np.asarray(value)})
    assert_same(weights.load(tmp_path / "w.npz"), {"w": np.asarray(value)})


def test_several_arrays_come_back_in_their_order(tmp_path):
    weights.save(tmp_path / "w.npz", STATE)
    assert_same(weights.load(tmp_path / "w.npz"), STATE)


@pytest.mark.parametrize(
    "name",
    ["file", "allow_pickle", "args", "arr_0", "a.b.c.weight", "self", "a/b", "../up", "é", " "],
)
def test_any_name_comes_back_and_stays_inside_the_file(tmp_path, name):
    state = {name: np.arange(3.0), "other": np.arange(2)}
    weights.save(tmp_path / "w.npz", state)
    assert_same(weights.load(tmp_path / "w.npz"), state)
    assert os.listdir(tmp_path) == ["w.npz"]


def test_names_that_end_in_npy_come_back(tmp_path):
    state = {"w": np.arange(3.0), "w.npy": np.arange(4.0)}
    weights.save(tmp_path / "w.npz", state)
    assert_same(weights.load(tmp_path / "w.npz"), state)


def test_special_numbers_come_back(tmp_path):
    state = {"w": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324])}
    weights.save(tmp_path / "w.npz", state)
    assert weights.load(tmp_path / "w.npz")["w"].tobytes() == state["w"].tobytes()


def test_other_memory_orders_come_back(tmp_path):
    value = np.arange(24.0).reshape(2, 3, 4)
    state = {"a": np.asfortranarray(value), "b": value.transpose(2, 0, 1), "c": value[:, ::-2]}
    weights.save(tmp_path / "w.npz", state)
    assert_same(weights.load(tmp_path / "w.npz"), state)


def test_no_arrays_at_all_come_back(tmp_path):
    weights.save(tmp_path / "w.npz", {})
    assert weights.load(tmp_path / "w.npz") == {}


def test_scalars_are_saved_as_arrays(tmp_path):
    weights.save(tmp_path / "w.npz", {"a": np.float32(3), "b": 4})
    loaded = weights.load(tmp_path / "w.npz")
    assert loaded["a"].dtype == np.float32 and loaded["a"].shape == ()
    assert (loaded["a"], loaded["b"]) == (3, 4)


def test_numpy_reads_the_file(tmp_path):
    weights.save(tmp_path / "w.npz", STATE)
    with np.load(tmp_path / "w.npz", allow_pickle=False) as archive:
        assert_same({name: archive[name] for name in archive.files}, STATE)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_of_numpy_is_read(tmp_path, save):
    state = {"a.weight": np.arange(6.0).reshape(2, 3), "a.bias": np.arange(2)}
    save(tmp_path / "w.npz", **state)
    assert_same(weights.load(tmp_path / "w.npz"), state)


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_a_path_is_taken_as_it_is(tmp_path, as_path):
    path = as_path(tmp_path / "no ending")
    weights.save(path, STATE)
    assert os.listdir(tmp_path) == ["no ending"]
    assert_same(weights.load(path), STATE)


def test_a_path_in_the_current_folder_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights.save("w.npz", STATE)
    assert_same(weights.load("w.npz"), STATE)


# ---------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("moment", ["write_array", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("there_before", [True, False])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, moment, error, there_before):
    path = tmp_path / "w.npz"
    if there_before:
        weights.save(path, {"old": np.arange(3)})
    calls = []

    def fail(*args, **kwargs):
        calls.append(args)
        if moment == "write_array" and len(calls) == 1:
            return write_array(*args, **kwargs)  # the first array is written, the second fails
        raise error

    write_array = np.lib.format.write_array
    owner = np.lib.format if moment == "write_array" else files.os
    monkeypatch.setattr(owner, moment, fail)
    with pytest.raises(type(error)):
        weights.save(path, STATE)
    monkeypatch.undo()
    assert calls
    assert os.listdir(tmp_path) == (["w.npz"] if there_before else [])
    if there_before:
        assert_same(weights.load(path), {"old": np.arange(3)})


def test_saving_replaces_the_whole_file(tmp_path):
    weights.save(tmp_path / "w.npz", {"long": np.zeros(10000)})
    weights.save(tmp_path / "w.npz", STATE)
    assert_same(weights.load(tmp_path / "w.npz"), STATE)
    assert os.listdir(tmp_path) == ["w.npz"]


@pytest.mark.parametrize(
    "value", [np.array([None]), np.array(["a"]), np.array([1j]), "text", object(), [[1], [1, 2]]]
)
def test_what_is_no_number_is_not_saved(tmp_path, value):
    with pytest.raises(ValueError):
        weights.save(tmp_path / "w.npz", {"good": np.zeros(3), "bad": value})
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        weights.save(tmp_path / "missing" / "w.npz", STATE)
    assert os.listdir(tmp_path) == []


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        weights.load(tmp_path / "w.npz")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        kept = os.umask(mask)  # systems keep as much of it as they know
        (tmp_path / "any").write_bytes(b"")
        weights.save(tmp_path / "w.npz", STATE)
        assert os.umask(mask) == kept  # and saving has not changed it
    finally:
        os.umask(before)
    wanted, got = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("any", "w.npz"))
    assert got == wanted


# ---------------------------------------------------------------- damaged files


@pytest.fixture(scope="module")
def good_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "w.npz"
    weights.save(path, STATE)
    return path.read_bytes()


def load_bytes(folder, data):
    (folder / "damaged.npz").write_bytes(data)
    return weights.load(folder / "damaged.npz")


def test_a_file_that_is_cut_off_is_an_error(tmp_path, good_bytes):
    for length in np.linspace(0, len(good_bytes) - 1, 60).astype(int):
        with pytest.raises(ValueError, match="damaged.npz"):
            load_bytes(tmp_path, good_bytes[:length])


def test_a_wrong_byte_is_an_error_or_harmless(tmp_path, good_bytes):
    # The end of the file is its table of contents, where a wrong byte does the most: all of it
    # is tried, and a part of the rest.
    rng = np.random.default_rng(0)
    table = good_bytes.index(b"PK\x01\x02")
    places = [*range(table, len(good_bytes)), *rng.integers(0, table, 100)]
    wrong = []
    for place in places:
        for flip in (0x04, 0x0C, 0xFF)[: 3 if place >= table else 1]:
            data = bytearray(good_bytes)
            data[place] ^= flip
            try:
                if not is_same(load_bytes(tmp_path, bytes(data)), STATE):
                    wrong.append((int(place), hex(flip), "other content"))
            except ValueError:
                pass
            except Exception as error:
                wrong.append((int(place), hex(flip), repr(error)))
    assert wrong == []


@pytest.mark.parametrize(
    "before, after", [(b"(9000,)", b"(1000,)"), (b"'<f4'", b"'<f2'"), (b"(9000,)", b"(9001,)")]
)
def test_a_wrong_byte_in_the_header_of_a_large_array_is_an_error(tmp_path, before, after):
    # An array that claims to be shorter than it is, so that its end is never read.
    weights.save(tmp_path / "w.npz", {"w": np.arange(9000, dtype=np.float32)})
    data = (tmp_path / "w.npz").read_bytes()
    assert data.count(before) == 1
    with pytest.raises(ValueError):
        load_bytes(tmp_path, data.replace(before, after))


def test_bytes_that_are_lost_are_an_error(tmp_path, good_bytes):
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = np.sort(rng.choice(len(good_bytes), 2, replace=False))
        if b - a < 3:
            continue
        with pytest.raises(ValueError):
            load_bytes(tmp_path, good_bytes[:a] + good_bytes[b:])


# ---------------------------------------------------------------- foreign files


def npy(value, **kwargs):
    buffer = io.BytesIO()
    np.save(buffer, value, **kwargs)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"some words\n" * 20,
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0",
        npy(np.arange(5.0)),
        npy(np.arange(5.0))[:20],
        npy(np.array([None]), allow_pickle=True),
        pickle.dumps({"w": [1.0]}),
        b"PK\x03\x04" + b"\0" * 40,
        bytes(1000),
    ],
    ids=["empty", "newline", "text", "png", "npy", "half npy", "object npy", "pickle", "zip head",
         "zeros"],
)
def test_a_foreign_file_is_an_error(tmp_path, data):
    with pytest.raises(ValueError, match="damaged.npz"):
        load_bytes(tmp_path, data)


@pytest.mark.parametrize(
    "data", [b"", b"words", b"PK\x03\x04" + b"\0" * 40, npy(np.arange(3.0))],
    ids=["empty", "text", "zip head", "npy"],
)
def test_a_file_that_is_not_taken_is_closed_again(tmp_path, data):
    # An open file cannot be deleted or replaced on Windows.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with contextlib.suppress(ValueError):
            load_bytes(tmp_path, data)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("content", [b"hello", b"", npy(np.arange(3.0))[:-1]])
@pytest.mark.parametrize("name", ["readme.txt", "w.npy"])
def test_a_zip_of_other_things_is_an_error(tmp_path, name, content):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr(name, content)
    with pytest.raises(ValueError, match="w.npz"):
        weights.load(tmp_path / "w.npz")


def test_an_array_under_another_ending_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.txt", npy(np.arange(3.0)))
    with pytest.raises(ValueError, match=r"'w\.txt' is not where it should be"):
        weights.load(tmp_path / "w.npz")


def test_a_table_in_another_order_than_its_members_is_an_error(tmp_path):
    weights.save(tmp_path / "w.npz", {"a": np.zeros(3), "b": np.ones(3)})
    data = (tmp_path / "w.npz").read_bytes()
    first, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    second = data.index(b"PK\x01\x02", first + 1)
    turned = data[:first] + data[second:end] + data[first:second] + data[end:]
    with pytest.raises(ValueError, match=r"'b\.npy' is not where it should be"):
        load_bytes(tmp_path, turned)


@pytest.mark.parametrize("value", [np.array(["a", "b"]), np.array([1j]), np.array([b"x"])])
def test_arrays_of_no_numbers_are_an_error(tmp_path, value):
    np.savez(tmp_path / "w.npz", good=np.zeros(2), bad=value)
    with pytest.raises(ValueError, match="bad"):
        weights.load(tmp_path / "w.npz")


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_is_never_run(tmp_path):
    value = np.empty(1, object)
    value[0] = Trap(tmp_path / "trace")
    np.savez(tmp_path / "w.npz", w=value)
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        archive.writestr("w.npy", pickle.dumps(value[0]))
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(value[0]))
    for name in ("w.npz", "raw.npz", "bare.npz"):
        with pytest.raises(ValueError):
            weights.load(tmp_path / name)
    assert not (tmp_path / "trace").exists()
    # The trap works: numpy itself, told to trust the file, falls into it.
    with np.load(tmp_path / "w.npz", allow_pickle=True) as archive:
        archive["w"][0].close()
    assert (tmp_path / "trace").exists()


# ---------------------------------------------------------------- sizes that are only claimed


def claimed(shape, compression=zipfile.ZIP_STORED, data=b""):
    """Return an .npz file whose array's header claims a shape of float64."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("w.npy", member.getvalue() + data)
    return buffer.getvalue()


def peak_of(run):
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(50_000_000,), (2**62,), (2**62, 2**62), (3,), (-1, -2)])
def test_a_size_that_only_the_header_claims_is_an_error_at_once(tmp_path, compression, shape):
    data = claimed(shape, compression, bytes(16)[: 8 if shape[0] < 0 else 16])

    def load():
        with pytest.raises(ValueError, match=r"damaged\.npz.*w\.npy"):
            load_bytes(tmp_path, data)

    assert peak_of(load) < 1e6


def test_a_size_that_cannot_have_been_deflated_is_an_error_at_once(tmp_path):
    data = claimed((50_000_000,), zipfile.ZIP_DEFLATED, bytes(16))
    table = data.index(b"PK\x01\x02")
    size = struct.pack("<I", 128 + 400_000_000)
    wrong = data[:22] + size + data[26 : table + 24] + size + data[table + 28 :]

    def load():
        with pytest.raises(ValueError, match=r"w\.npy.* claims 400000128 bytes"):
            load_bytes(tmp_path, wrong)

    assert peak_of(load) < 1e6


def test_a_size_that_header_and_table_claim_is_an_error_at_once(tmp_path):
    # All agree on it; only the file is too short.
    data = claimed((50_000_000,), data=bytes(16))
    table = data.index(b"PK\x01\x02")
    sizes = struct.pack("<II", 128 + 400_000_000, 128 + 400_000_000)
    wrong = data[:18] + sizes + data[26 : table + 20] + sizes + data[table + 28 :]

    def load():
        with pytest.raises(ValueError, match=r"w\.npy.* claims 400000128 bytes of a file"):
            load_bytes(tmp_path, wrong)

    assert peak_of(load) < 1e6


def headed(header):
    """Return an .npz file whose array, of 8 bytes, has this text as its header."""
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.npy", start + bytes(8))
    return buffer.getvalue()


def test_a_header_as_python_2_wrote_it_is_read_without_a_warning(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }\n"
    assert is_same(load_bytes(tmp_path, headed(header)), {"w": np.zeros(2, np.float32)})


@pytest.mark.parametrize("header", [
    b"{'descr': (", b"{'descr': '''", b"  1\n 2", b"'\\o'", b"(" * 9000, b"\0", b"\xff",
])
def test_a_header_that_is_no_python_is_an_error_without_a_warning(tmp_path, header):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # those that the settings let through as well
        with pytest.raises(ValueError, match=r"damaged\.npz is not a file of weights"):
            load_bytes(tmp_path, headed(header))


def test_a_long_header_is_not_unpacked(tmp_path):
    member = b"\x93NUMPY\x02\x00" + struct.pack("<I", 50_000_000) + b" " * 50_000_000
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", member)
    del member

    def load():
        with pytest.raises(ValueError, match=r"w\.npz"):
            weights.load(tmp_path / "w.npz")

    assert peak_of(load) < 1e6


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [0, 1, 1000, 200_000])
def test_a_wrong_checksum_is_an_error(tmp_path, compression, size):
    content = np.random.default_rng(0).random(size).tobytes()
    data = bytearray(claimed((size,), compression, content))
    assert list(load_bytes(tmp_path, data)["w"].shape) == [size]
    data[data.rindex(b"PK\x01\x02") + 16] ^= 1
    with pytest.raises(ValueError, match="CRC"):
        load_bytes(tmp_path, data)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_than_numpys_are_an_error(tmp_path, compression):
    with pytest.raises(ValueError, match="stored or deflated"):
        load_bytes(tmp_path, claimed((2,), compression, bytes(16)))


def test_much_the_same_is_still_read_compressed(tmp_path):
    np.savez_compressed(tmp_path / "w.npz", w=np.zeros(1_000_000))
    assert_same(weights.load(tmp_path / "w.npz"), {"w": np.zeros(1_000_000)})


# ---------------------------------------------------------------- which format it is


def test_the_ending_chooses_the_format_that_is_written(tmp_path):
    begins = {"w.npz": b"PK", "w": b"PK", "w.weights": b"PK", "w.pth": b"PK", "w.pt": b"PK"}
    for name, start in begins.items():
        weights.save(tmp_path / name, STATE)
        assert (tmp_path / name).read_bytes().startswith(start)
        with zipfile.ZipFile(tmp_path / name) as archive:
            is_torch = "archive/data.pkl" in archive.namelist()
        assert is_torch == name.startswith("w.pt")
        assert_same(weights.load(tmp_path / name), STATE)
    weights.save(tmp_path / "w.safetensors", STATE)
    assert (tmp_path / "w.safetensors").read_bytes()[8:9] == b"{"


@pytest.mark.parametrize("name", ["w.npz", "w.pth", "w.safetensors"])
def test_the_content_tells_the_format_that_is_read(tmp_path, name):
    weights.save(tmp_path / name, STATE)
    for other in ("a.npz", "a.pth", "a.safetensors", "a"):
        (tmp_path / other).write_bytes((tmp_path / name).read_bytes())
        assert_same(weights.load(tmp_path / other), STATE)


@pytest.mark.parametrize("name", ["w.npz", "w.pth", "w.safetensors"])
def test_a_failure_leaves_nothing_in_any_format(tmp_path, name, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        weights.save(tmp_path / name, STATE)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["w.npz", "w.pth", "w.safetensors"])
def test_names_that_are_no_text_are_not_saved(tmp_path, name):
    with pytest.raises(ValueError, match="names to be str, got int"):
        weights.save(tmp_path / name, {3: np.zeros(2)})
    assert os.listdir(tmp_path) == []


def test_an_unknown_file_is_named_with_the_formats_and_how_it_begins(tmp_path):
    with pytest.raises(ValueError, match=r"damaged\.npz.*\.npz.*\.pth.*\.safetensors.*b'GIF89a"):
        load_bytes(tmp_path, b"GIF89a" + bytes(20))
    with pytest.raises(ValueError, match=r"damaged\.npz.*an empty file"):
        load_bytes(tmp_path, b"")


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="expected a file, got a folder"):
        weights.load(tmp_path)


def test_a_device_is_an_error():
    with pytest.raises(ValueError, match="expected a file, got a device"):
        weights.load(os.devnull)


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    def fail(*args):
        raise PermissionError(13, "Permission denied")

    weights.save(tmp_path / "w.npz", STATE)
    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(ValueError, match=r"w\.npz.*Permission denied"):
        weights.load(tmp_path / "w.npz")
