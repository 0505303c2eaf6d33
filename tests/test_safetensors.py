"""Files in .safetensors: read and written as the format has it, or refused in words."""

import json
import re
import struct

import numpy as np
import pytest
from weight_bytes import load_bytes, refusal

from fcn_numpy import weights

RNG = np.random.default_rng(0)
STATE = {
    "b.weight": RNG.standard_normal((4, 3, 2, 2)).astype(np.float32),
    "a.bias": np.arange(4.0),
    "steps": np.array(7, np.int32),
    "flags": np.array([True, False, True]),
}
DTYPES = ["f2", "f4", "f8", ">f4", "i1", "i2", "i4", "i8", ">i8", "u1", "u2", "u4", "u8", "?"]


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert got[name].dtype == value.dtype.newbyteorder("=") and got[name].shape == value.shape
        np.testing.assert_array_equal(got[name], value)


def file_of(table, data=b"", pad=b""):
    text = (table if isinstance(table, bytes) else json.dumps(table).encode()) + pad
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# ---------------------------------------------------------------- reading and writing


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (2, 3), (2, 3, 1, 4)])
def test_each_dtype_and_shape_comes_back(tmp_path, dtype, shape):
    value = np.asarray((10 * np.random.default_rng(0).random(shape)).astype(dtype))
    weights.save(tmp_path / "w.safetensors", {"w": value, "other": np.arange(3)})
    assert_same(weights.load(tmp_path / "w.safetensors"), {"w": value, "other": np.arange(3)})


def test_several_come_back_in_their_order_whatever_the_file_is_called(tmp_path):
    weights.save(tmp_path / "w.SAFETENSORS", STATE)
    assert (tmp_path / "w.SAFETENSORS").read_bytes()[8:9] == b"{"
    (tmp_path / "w.SAFETENSORS").rename(tmp_path / "w.npz")
    assert_same(weights.load(tmp_path / "w.npz"), STATE)


def test_no_arrays_at_all_come_back(tmp_path):
    weights.save(tmp_path / "w.safetensors", {})
    assert weights.load(tmp_path / "w.safetensors") == {}


def test_other_memory_orders_come_back(tmp_path):
    value = np.arange(24.0).reshape(2, 3, 4)
    state = {"a": np.asfortranarray(value), "b": value.transpose(2, 0, 1), "c": value[:, ::-2]}
    weights.save(tmp_path / "w.safetensors", state)
    assert_same(weights.load(tmp_path / "w.safetensors"), state)


def test_the_numbers_begin_at_a_multiple_of_8(tmp_path):
    for length in range(9):
        weights.save(tmp_path / "w.safetensors", {"n" * length: np.zeros(1)})
        data = (tmp_path / "w.safetensors").read_bytes()
        (header,) = struct.unpack("<Q", data[:8])
        assert header % 8 == 0 and len(data) == 8 + header + 8


# longdouble is float64 on some machines.
@pytest.mark.parametrize("dtype", ["c16", "U1", "O"] + ["g"] * (np.dtype("g").itemsize > 8))
def test_a_dtype_that_the_format_has_not_is_not_saved(tmp_path, dtype):
    with pytest.raises(ValueError, match="bad"):
        weights.save(tmp_path / "w.safetensors", {"good": np.zeros(2), "bad": np.zeros(2, dtype)})
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_metadata_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="__metadata__"):
        weights.save(tmp_path / "w.safetensors", {"__metadata__": np.zeros(2)})


def test_a_file_written_by_hand(tmp_path):
    table = {
        "__metadata__": {"format": "pt"},
        "second": entry("I16", [2], 4, 8),
        "half": entry("BF16", [2, 1], 8, 12),
        "first": entry("F32", [], 0, 4),
        "none": entry("F64", [0, 5], 4, 4),
        "flag": entry("BOOL", [3], 12, 15),
    }
    # bfloat16 is the upper half of a float32: 0x3FC0 is 1.5, 0xC040 is -3.
    data = struct.pack("<fhhHH3B", 2.5, -7, 300, 0x3FC0, 0xC040, 1, 0, 2)
    got = load_bytes(tmp_path, file_of(table, data, pad=b"   "))
    assert list(got) == ["second", "half", "first", "none", "flag"]
    assert got["first"].shape == () and got["first"] == np.float32(2.5)
    assert got["second"].dtype == np.int16 and got["second"].tolist() == [-7, 300]
    assert got["half"].dtype == np.float32 and got["half"].tolist() == [[1.5], [-3.0]]
    assert got["none"].shape == (0, 5)
    assert got["flag"].view(np.uint8).tolist() == [1, 0, 1]


def test_a_table_whose_length_looks_like_a_pickle(tmp_path):
    text = json.dumps({"w": entry("F32", [1], 0, 4)}).encode()
    data = file_of(text, struct.pack("<f", 3), pad=b" " * (640 - len(text)))
    assert data[:2] == b"\x80\x02"
    assert load_bytes(tmp_path, data)["w"].tolist() == [3]


# ---------------------------------------------------------------- what is refused

FLOATS = bytes(8)


@pytest.mark.parametrize(
    "data, words",
    [
        (file_of({"w": entry("F32", [2], 0, 8)}, FLOATS[:-1]), "'w' ends at byte 8 of 7"),
        (file_of({"w": entry("F32", [2], 0, 8)}, FLOATS + b"x"), "as its table says"),
        (file_of({"w": entry("F32", [1], 0, 8)}, FLOATS), "expected 4 bytes of 'w'"),
        (file_of({"w": entry("F32", [2], 4, 12)}, FLOATS + bytes(4)), "'w' to begin at byte 0"),
        (file_of({"w": entry("F32", [2], 8, 0)}, FLOATS), "expected 8 bytes of 'w'"),
        (file_of({"a": entry("F32", [1], 0, 4), "b": entry("F32", [2], 0, 8)}, FLOATS), "'b' to"),
        (file_of({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 3, 5)}, bytes(5)), "'b' to"),
        (file_of({"w": entry("F32", [-2, -1], 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F32", [2.0], 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F32", [True, 2], 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F32", [2**63], 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F32", [2**40, 2**40], 0, 2**82)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F32", [2**40], 0, 2**42)}, FLOATS), "'w' ends at byte"),
        (file_of({"w": entry("F32", [2] + [1] * 32, 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F32", "2", 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F64", {}, 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("F64", None, 0, 8)}, FLOATS), "whole numbers .* of 'w'"),
        (file_of({"w": entry("C64", [1], 0, 8)}, FLOATS), "'w' of dtype .* got 'C64'"),
        (file_of({"w": entry(["F32"], [1], 0, 8)}, FLOATS), "'w' of dtype"),
        (file_of({"w": {"dtype": "F32", "shape": [2]}}, FLOATS), "data_offsets of 'w'"),
        (file_of({"w": dict(entry("F32", [2], 0, 8), more=1)}, FLOATS), "nothing else"),
        (file_of({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}, FLOATS), "of 'w'"),
        (file_of({"w": [1, 2]}), "of 'w'"),
        (file_of(b'{"w": 1, "w": 1}'), "twice"),
        (file_of(b'{"w": NaN}'), "of 'w'"),
        (file_of(b'{"w": ' + b"9" * 5000 + b"}"), "not a file of weights"),
        (file_of(b'{"w":' + b"[" * 200_000), "nested"),
        (file_of(b'{"w":' * 200_000), "nested"),
        (file_of(b"{\xff}"), "not a file of weights"),
        (file_of(b"{"), "not a file of weights"),
        (file_of(b'{} {"a": 1}'), "not a file of weights"),
        (struct.pack("<Q", 100) + b"{}", "claims 100 bytes"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "claims 18446744073709551615 bytes"),
        (file_of({"x" * 10_000: 1}), "xxx"),
        (file_of({"a\nb": 1}), "of"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error(tmp_path, data, words):
    assert re.search(words, refusal(tmp_path, data))


def test_a_file_that_is_cut_off_is_an_error(tmp_path):
    weights.save(tmp_path / "w.safetensors", STATE)
    data = (tmp_path / "w.safetensors").read_bytes()
    for length in range(len(data)):
        refusal(tmp_path, data[:length])


def test_a_wrong_byte_is_an_error_or_another_number(tmp_path):
    weights.save(tmp_path / "w.safetensors", STATE)
    data = (tmp_path / "w.safetensors").read_bytes()
    for place in range(len(data)):
        for flip in (0x01, 0x04, 0x20, 0xFF):
            wrong = bytearray(data)
            wrong[place] ^= flip
            try:
                got = load_bytes(tmp_path, bytes(wrong))
            except ValueError:
                continue
            assert sum(value.nbytes for value in got.values()) == sum(
                value.nbytes for value in STATE.values()
            )


# ---------------------------------------------------------------- with the package itself


def test_the_package_reads_what_is_written_here(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    state = {dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES}
    state |= {"scalar": np.array(2.0), "none": np.zeros((0, 2)), "é": np.ones(1)}
    weights.save(tmp_path / "w.safetensors", state)
    got = package.load_file(tmp_path / "w.safetensors")
    assert got.keys() == state.keys()
    for name, value in state.items():
        assert got[name].dtype == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(got[name], value)


def test_what_the_package_writes_is_read_here(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    state = {np.dtype(dtype).name: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES
             if not dtype.startswith(">")}
    package.save_file(state, tmp_path / "w.safetensors", metadata={"format": "pt"})
    got = weights.load(tmp_path / "w.safetensors")
    assert got.keys() == state.keys()
    for name, value in state.items():
        assert got[name].dtype == value.dtype
        np.testing.assert_array_equal(got[name], value)


def test_bfloat16_of_the_package_is_read_as_float32(tmp_path):
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("safetensors.torch")
    values = torch.tensor([[1.5, -3.25], [1e30, float("inf")]], dtype=torch.bfloat16)
    package.save_file({"w": values}, tmp_path / "w.safetensors")
    got = weights.load(tmp_path / "w.safetensors")["w"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, values.float().numpy())
