"""Files in .caffemodel: both layouts read, the present one written, or refused in words."""

import io
import re
import struct
import time
import tracemalloc

import numpy as np
import pytest
from weight_bytes import load_bytes, refusal

from fcn_numpy import weights
from fcn_numpy.weights import caffemodel

RNG = np.random.default_rng(0)
STATE = {
    "conv1_1.weight": RNG.standard_normal((4, 3, 2, 2)).astype(np.float32),
    "conv1_1.bias": np.arange(4, dtype=np.float32),
    "a.b/c.weight": RNG.standard_normal((2, 5)),
    "a.b/c.bias": np.arange(2.0),
    "scale.weight": np.arange(3, dtype=np.float32),
}


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert got[name].dtype == value.dtype.newbyteorder("=") and got[name].shape == value.shape
        np.testing.assert_array_equal(got[name], value)


def saved(folder, state):
    weights.save(folder / "w.caffemodel", state)
    return (folder / "w.caffemodel").read_bytes()


# ---------------------------------------------------------------- files by hand


def varint(value):
    data = b""
    while value >= 128:
        data += bytes([value % 128 + 128])
        value //= 128
    return data + bytes([value])


def of_bytes(number, data, length=None):
    """Return a field of bytes; the length that it claims may be another."""
    return varint(number * 8 + 2) + varint(len(data) if length is None else length) + data


def whole(number, value):
    return varint(number * 8) + varint(value % 2**64)


def floats(values, kind="f"):
    return struct.pack(f"<{len(values)}{kind}", *values)


def shape_of(*sizes):
    return of_bytes(7, of_bytes(1, b"".join(map(varint, sizes))))


def blob(values, *sizes):
    """Return a blob as Caffe writes it: the numbers before the shape."""
    return of_bytes(5, floats(values)) + shape_of(*sizes)


def old_blob(values, *sizes):
    return b"".join(whole(n, size) for n, size in enumerate(sizes, 1)) + of_bytes(5, floats(values))


def layer(name, *blobs, kind="Convolution", more=b""):
    head = of_bytes(1, name.encode()) + (of_bytes(2, kind.encode()) if kind else b"")
    return of_bytes(100, head + more + b"".join(of_bytes(7, data) for data in blobs))


def old_layer(name, *blobs, kind=4):
    head = of_bytes(2, b"data") + of_bytes(3, b"top") + of_bytes(4, name.encode())
    head += b"" if kind is None else whole(5, kind)
    return of_bytes(2, head + b"".join(of_bytes(6, data) for data in blobs))


NET = of_bytes(1, b"a network")
ONE = blob([1, 2], 2)


# ---------------------------------------------------------------- reading and writing


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", ">f8"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (2, 3), (200, 3, 1, 4)])
def test_each_dtype_and_shape_comes_back(tmp_path, dtype, shape):
    value = np.asarray(np.random.default_rng(0).random(shape).astype(dtype))
    state = {"a.weight": value, "b.weight": np.arange(3.0)}
    saved(tmp_path, state)
    assert_same(weights.load(tmp_path / "w.caffemodel"), state)


def test_several_come_back_in_their_order_whatever_the_file_is_called(tmp_path):
    weights.save(tmp_path / "w.CAFFEMODEL", STATE)
    assert (tmp_path / "w.CAFFEMODEL").read_bytes().startswith(b"\x0a\x09fcn_numpy\xa2\x06")
    (tmp_path / "w.CAFFEMODEL").rename(tmp_path / "w.npz")
    assert_same(weights.load(tmp_path / "w.npz"), STATE)
    assert weights.read_metadata(tmp_path / "w.npz") == {}


def test_a_weight_comes_before_its_bias_whatever_the_order_of_the_dict(tmp_path):
    names = ["b.bias", "a.weight", "a.bias", "c.weight", "b.weight"]
    state = {name: np.full(2, i, np.float32) for i, name in enumerate(names)}
    saved(tmp_path, state)
    order = ["b.weight", "b.bias", "a.weight", "a.bias", "c.weight"]
    assert_same(weights.load(tmp_path / "w.caffemodel"), {name: state[name] for name in order})


def test_other_memory_orders_come_back(tmp_path):
    value = np.arange(24.0).reshape(2, 3, 4)
    arrays = np.asfortranarray(value), value.transpose(2, 0, 1), value[:, ::-2]
    state = {f"{n}.weight": array for n, array in enumerate(arrays)}
    saved(tmp_path, state)
    assert_same(weights.load(tmp_path / "w.caffemodel"), state)


@pytest.mark.parametrize("name", ["abc{", "{", "{{{{", "ab\x80{", "é"])
def test_no_name_of_a_layer_makes_it_another_format(tmp_path, name):
    state = {f"{name}.weight": np.zeros(1, np.float32)}
    saved(tmp_path, state)
    assert_same(weights.load(tmp_path / "w.caffemodel"), state)


def test_what_is_written_is_what_caffe_reads(tmp_path):
    got = saved(tmp_path, {"fc.bias": np.array([0.5]), "fc.weight": np.ones((1, 300), np.float32)})
    first = shape_of(1, 300) + of_bytes(5, floats([1] * 300))
    second = shape_of(1) + of_bytes(8, floats([0.5], "d"))
    assert got == of_bytes(1, b"fcn_numpy") + layer("fc", first, second, kind="")


def test_a_file_of_the_present_layout(tmp_path):
    got = load_bytes(tmp_path, NET + layer("data", kind="Input") + layer(
        "conv", blob(range(8), 2, 1, 2, 2), blob([5, 6], 2)
    ) + layer("relu", kind="ReLU") + layer("fc", blob(range(6), 2, 3), kind="InnerProduct") + layer(
        "one", blob([1, 2], 1, 1, 1, 2), blob([3], 1, 1, 1, 1)
    ))
    assert_same(got, {
        "conv.weight": np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2),
        "conv.bias": np.array([5, 6], np.float32),
        "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        # Shapes that are given stay as they are.
        "one.weight": np.array([1, 2], np.float32).reshape(1, 1, 1, 2),
        "one.bias": np.array([3], np.float32).reshape(1, 1, 1, 1),
    })


def test_a_file_of_the_old_layout(tmp_path):
    got = load_bytes(tmp_path, NET + old_layer("data", kind=5) + old_layer(
        "conv", old_blob(range(8), 2, 1, 2, 2), old_blob([5, 6], 1, 1, 1, 2)
    ) + old_layer("fc", old_blob(range(6), 1, 1, 2, 3), old_blob([7, 8], 1, 1, 1, 2), kind=14))
    assert_same(got, {
        "conv.weight": np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2),
        "conv.bias": np.array([5, 6], np.float32),
        "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fc.bias": np.array([7, 8], np.float32),
    })


FOUR_AXES = old_blob(range(6), 1, 1, 2, 3)


@pytest.mark.parametrize("data, shape", [
    (old_layer("w", FOUR_AXES, kind=14), (2, 3)),
    (old_layer("w", FOUR_AXES, kind=None), (2, 3)),
    (old_layer("w", FOUR_AXES, kind=4), (1, 1, 2, 3)),
    (old_layer("w", FOUR_AXES, kind=0), (1, 1, 2, 3)),
    (layer("w", FOUR_AXES, kind="InnerProduct"), (2, 3)),
    (layer("w", FOUR_AXES, kind=None), (2, 3)),
    (layer("w", FOUR_AXES, kind="Deconvolution"), (1, 1, 2, 3)),
    (layer("w", old_blob(range(6), 1, 2, 1, 3), kind=None), (1, 2, 1, 3)),
    (layer("w", old_blob(range(6), 2, 3, 1, 1), kind="InnerProduct"), (2, 3, 1, 1)),
    (layer("w", FOUR_AXES + shape_of(3, 2), kind=None), (3, 2)),
    (layer("w", FOUR_AXES + shape_of(1, 1, 2, 3), kind=None), (1, 1, 2, 3)),
])
def test_the_type_of_a_layer_says_what_four_axes_mean(tmp_path, data, shape):
    assert load_bytes(tmp_path, data)["w.weight"].shape == shape


def test_a_bias_of_other_axes_stays(tmp_path):
    data = old_layer("w", FOUR_AXES, old_blob(range(2), 1, 2, 1, 1))
    assert load_bytes(tmp_path, data)["w.bias"].shape == (1, 2, 1, 1)


def test_layers_of_both_layouts_come_in_the_order_of_the_file(tmp_path):
    data = layer("c", ONE) + old_layer("a", ONE) + NET + layer("b", ONE)
    assert list(load_bytes(tmp_path, data)) == ["c.weight", "a.weight", "b.weight"]


def test_fields_of_a_layer_in_any_order(tmp_path):
    blobs = of_bytes(7, FOUR_AXES) + of_bytes(2, b"Convolution") + of_bytes(7, ONE)
    got = load_bytes(tmp_path, of_bytes(100, blobs + of_bytes(1, b"no") + of_bytes(1, b"w")))
    assert {name: value.shape for name, value in got.items()} == {
        "w.weight": (1, 1, 2, 3), "w.bias": (2,)
    }


def test_double_data_is_float64(tmp_path):
    data = of_bytes(8, floats([1, 0.1], "d")) + shape_of(2)
    got = load_bytes(tmp_path, layer("w", data))["w.weight"]
    assert got.dtype == np.float64 and got.tolist() == [1, 0.1]


@pytest.mark.parametrize("number, kind", [(5, "f"), (8, "d")])
def test_several_chunks_of_numbers_are_joined(tmp_path, number, kind):
    parts = [floats(part, kind) for part in ([1, 2, 3], [], [4], [5, 6])]
    data = shape_of(2, 3) + b"".join(of_bytes(number, part) for part in parts)
    got = load_bytes(tmp_path, layer("w", data))["w.weight"]
    assert got.dtype == np.dtype(kind) and got.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("sizes", [
    of_bytes(1, b"\2\3"), whole(1, 2) + whole(1, 3), of_bytes(1, b"\2") + whole(1, 3),
    of_bytes(1, b"\x82\x80\0\3"), of_bytes(1, b"\x82" + b"\x80" * 8 + b"\2\3"),
], ids=["packed", "one by one", "both", "long", "more than 64 bits"])
def test_sizes_may_be_packed_or_not(tmp_path, sizes):
    numbers = of_bytes(5, floats(range(6)))
    for more, shape in ((b"", (2, 3)), (shape_of(1), (2, 3, 1))):
        data = of_bytes(7, sizes) + numbers + more
        assert load_bytes(tmp_path, layer("w", data))["w.weight"].shape == shape


def test_a_blob_without_a_shape_is_one_number(tmp_path):
    got = load_bytes(tmp_path, layer("w", of_bytes(5, floats([7])), of_bytes(5, b"") + shape_of(0)))
    assert got["w.weight"].shape == () and got["w.weight"] == 7
    assert got["w.bias"].shape == (0,) and got["w.bias"].dtype == np.float32


UNKNOWN = [
    whole(200, 2**64 - 1), varint(200 * 8 + 1) + bytes(8), of_bytes(200, b"anything \xff"),
    of_bytes(200, b""), varint(200 * 8 + 5) + bytes(4), whole(2**29 - 1, 0),
]


@pytest.mark.parametrize("more", UNKNOWN)
def test_unknown_fields_are_skipped_at_every_depth(tmp_path, more):
    gradient = of_bytes(6, floats([9, 9])) + of_bytes(9, floats([9], "d"))
    shape = of_bytes(7, more + of_bytes(1, b"\2") + more)
    data = more + of_bytes(5, floats([1, 2])) + more + gradient + shape + more
    got = load_bytes(tmp_path, NET + more + layer("w", data, more=more) + more)
    assert_same(got, {"w.weight": np.array([1, 2], np.float32)})


@pytest.mark.parametrize("start", [
    NET, old_layer("data"), of_bytes(3, b"data"), whole(4, 10), whole(5, 1), layer("data"),
])
def test_whatever_a_network_begins_with(tmp_path, start):
    assert list(load_bytes(tmp_path, start + layer("w", ONE))) == ["w.weight"]


def test_a_layer_without_blobs_may_have_any_name_once_or_twice(tmp_path):
    empty = layer("w") + of_bytes(100, b"") + of_bytes(100, of_bytes(1, b"\xff" * 5000))
    assert list(load_bytes(tmp_path, NET + empty + layer("w", ONE) + empty)) == ["w.weight"]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("data, words", [
    (layer("w", blob([1, 2], 3)), r"expected 3 numbers in w\.weight, as its shape \[3\] .* got 2"),
    (layer("w", ONE, blob([1, 2], 1)), r"expected 1 numbers in w\.bias, as .* got 2"),
    (layer("w", old_blob([1], 1, 1, 1)), r"expected 0 numbers .* as its shape \[1, 1, 1, 0\] says"),
    (layer("w", of_bytes(5, floats([1, 2]))), r"as its shape \[\] says, got 2"),
    (layer("w", shape_of(2)), r"expected 2 numbers in w\.weight, .* got 0"),
    (layer("w", blob([1], 2**31 - 1, 2**31 - 1)), "expected 4611686014132420609 numbers"),
    (layer("w", blob([1], 2**31)), r"sizes of w\.weight from 0 to 2147483647, got 2147483648"),
    (layer("w", blob([1], 2**64 - 1)), r"sizes of w\.weight .* got -1"),
    (layer("w", whole(1, -3) + blob([1], 1)), r"sizes of w\.weight .* got -3"),
    (layer("w", blob([1], *[1] * 33)), r"at most 32 axes of w\.weight"),
    (layer("w", of_bytes(7, whole(1, 1) * 33)), r"at most 32 axes of w\.weight"),
    (layer("w", of_bytes(7, b"\x0d" + bytes(4))),
     r"dim of the shape of w\.weight as a varint or bytes, got 32 bits"),
    (layer("w", of_bytes(5, bytes(6)) + shape_of(1)), r"numbers of 4 bytes in w\.weight, got 6"),
    (layer("w", of_bytes(5, b"\0\0") * 2 + shape_of(1)), r"numbers of 4 bytes in w\.weight"),
    (layer("w", of_bytes(8, bytes(4)) * 2 + shape_of(1)), r"numbers of 8 bytes in w\.weight"),
    (layer("w", b"\x2d" + bytes(4) + shape_of(1)), r"data of w\.weight as bytes, got 32 bits"),
    (layer("w", b"\x41" + bytes(8)), r"double_data of w.weight as bytes, got 64 bits"),
    (layer("w", blob([1], 1) + of_bytes(8, b"")), r"either data or double_data of w\.weight"),
    (layer("w", whole(7, 1)), r"shape of w\.weight as bytes, got a varint"),
    (layer("w", of_bytes(1, b"")), r"num of w\.weight as a varint, got bytes"),
    (layer("w", ONE, ONE, ONE), "at most a weight and a bias of w, got 3 blobs"),
    (layer("w", ONE, ONE, ONE, ONE), "at most a weight and a bias of w, got 4 blobs"),
    (layer("w", ONE) + layer("v", ONE) + layer("w", ONE), "one layer w with weights, got two"),
    (layer("w", ONE) + old_layer("w", ONE), "one layer w with weights, got two"),
    (layer("", ONE), "a name for each layer with weights, got none"),
    (of_bytes(100, of_bytes(7, ONE)), "a name for each layer with weights, got none"),
    (layer("w" * 4097, ONE), "texts of at most 4096 bytes in it, got 4097"),
    (layer("w", ONE, kind="w" * 4097), "texts of at most 4096 bytes in it, got 4097"),
    (of_bytes(100, of_bytes(1, b"\xc3") + of_bytes(7, ONE)), r"in UTF-8 in it, got b'\\xc3'"),
    (of_bytes(100, whole(1, 1)), "name of a layer as bytes, got a varint"),
    (of_bytes(100, whole(2, 1)), "type of a layer as bytes, got a varint"),
    (of_bytes(2, of_bytes(5, b"")), "type of a layer as a varint, got bytes"),
    (of_bytes(100, whole(7, 1)), "blobs of a layer as bytes, got a varint"),
    (NET + whole(100, 1), r"layer of a \.caffemodel as bytes, got a varint"),
    (NET, "got no layer with weights"),
    (NET + layer("w") + of_bytes(2, b""), "got no layer with weights"),
    (NET + b"\x53",
     "field 10 of a .caffemodel as a varint or 64 bits or bytes or 32 bits, got wire type 3"),
    (NET + b"\x54", "got wire type 4"),
    (layer("w", b"\x56"), r"field 10 of w\.weight as .* got wire type 6"),
    (layer("w", more=b"\x57"), "field 10 of a layer as .* got wire type 7"),
    (NET + b"\x02\x00", "the number of a field in a .caffemodel, got 0"),
    (NET + varint(2**29 * 8) + b"\0", "the number of a field in .* got 536870912"),
    (NET + whole(9, 0)[:1] + b"\x80" * 10 + b"\0", "a varint of at most 10 bytes, got more"),
    (NET + b"\x80" * 10 + b"\0", "a varint of at most 10 bytes, got more"),
    (layer("w", of_bytes(5, bytes(4), 5)) + NET, "expected a field to end with its message at"),
    (layer("w", whole(1, 1)[:1]) + NET, "expected a field to end with its message at"),
    (layer("w", of_bytes(7, of_bytes(1, b"\x82")) + ONE), "a field to end with its message at"),
    (layer("w", b"\x4d\0\0\0", ONE), "expected a field to end with its message at byte"),
    (NET + of_bytes(100, b"", 10), "ends at byte 24 of 14: is the file cut off, by a download"),
    (NET + of_bytes(9, b"", 2**64 - 1), "is the file cut off"),
    (NET + varint(9 * 8 + 1) + bytes(7), "is the file cut off"),
    (NET + varint(9 * 8 + 5) + bytes(3), "is the file cut off"),
])
def test_what_is_damaged_or_unknown_is_an_error(tmp_path, data, words):
    assert re.search(words, refusal(tmp_path, data))


@pytest.mark.parametrize("data", [
    layer("w", blob(range(6), 2, 3), ONE), old_layer("w", FOUR_AXES, ONE, kind=14),
], ids=["present", "old"])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, data):
    assert list(load_bytes(tmp_path, NET + data)) == ["w.weight", "w.bias"]
    for length in range(len(NET + data)):
        message = refusal(tmp_path, (NET + data)[:length])
        if length > len(NET):
            assert "is the file cut off, by a download that did not finish?" in message


def test_a_file_cut_off_between_layers_has_those_before(tmp_path):
    first = layer("v", ONE)
    data = NET + first + layer("w", ONE)
    for length in range(len(data)):
        if length == len(NET + first):
            assert list(load_bytes(tmp_path, data[:length])) == ["v.weight"]
        else:
            refusal(tmp_path, data[:length])


def test_a_wrong_byte_is_an_error_or_other_weights(tmp_path):
    state = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(2)}
    data = old_layer("v", FOUR_AXES, kind=14) + saved(tmp_path, state)
    for place in range(len(data)):
        for flip in (0x01, 0x04, 0x20, 0xFF):
            wrong = bytearray(data)
            wrong[place] ^= flip
            try:
                got = load_bytes(tmp_path, bytes(wrong))
            except ValueError:
                continue
            assert sum(value.nbytes for value in got.values()) <= len(data)


def quickly(run):
    """Run what may take neither time nor memory."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        run()
        assert tracemalloc.get_traced_memory()[1] < 2e6
        assert time.perf_counter() - start < 2
    finally:
        tracemalloc.stop()


HUGE = 3 * 2**30


@pytest.mark.parametrize("data", [
    of_bytes(100, b"", HUGE), of_bytes(5, b"", HUGE), layer("w", of_bytes(5, b"", HUGE)),
    layer("w", shape_of(HUGE // 4) + of_bytes(5, bytes(4), HUGE)),
    layer("w", shape_of(2**30) + of_bytes(5, bytes(4))),
    layer("w", of_bytes(7, of_bytes(1, b"", HUGE))), of_bytes(100, of_bytes(1, b"", HUGE)),
    of_bytes(100, of_bytes(1, b"w") + of_bytes(7, b"", HUGE)),
    layer("w", *[of_bytes(8, bytes(8), 2**63)] * 2),
])
def test_a_length_of_gigabytes_takes_no_memory(tmp_path, data):
    quickly(lambda: refusal(tmp_path, NET + data))
    quickly(lambda: refusal(tmp_path, NET + data + layer("v", ONE)))


def test_gigabytes_that_the_file_has_are_checked_before_they_are_read(tmp_path):
    size = 2**30
    inner = shape_of(3) + of_bytes(5, b"", size)
    outer = of_bytes(1, b"w") + of_bytes(7, inner, len(inner) + size)
    name = of_bytes(7, ONE) + of_bytes(1, b"", size)
    for start, words in (
        (of_bytes(100, outer, len(outer) + size), "expected 3 numbers .* got 268435456"),
        (of_bytes(1, b"", size), "no layer with weights"),
        (of_bytes(100, name, len(name) + size), "at most 4096 bytes in it, got 1073741824"),
    ):
        with open(tmp_path / "w.caffemodel", "wb") as file:
            file.write(NET + start)
            file.truncate(len(NET + start) + size)

        def load(words=words):
            with pytest.raises(ValueError, match=words):
                weights.load(tmp_path / "w.caffemodel")

        quickly(load)


def test_fields_are_counted(tmp_path, monkeypatch):
    assert caffemodel._MOST_FIELDS == 200_000
    monkeypatch.setattr(caffemodel, "_MOST_FIELDS", 1000)
    # The network's name, and of the layer: itself, name, type, blob, numbers, shape and sizes.
    data = NET + layer("w", ONE) + whole(9, 0) * 992
    assert list(load_bytes(tmp_path, data)) == ["w.weight"]
    assert "at most 1,000 fields in it, got more" in refusal(tmp_path, data + whole(9, 0))


# ---------------------------------------------------------------- what is not written


def test_metadata_has_no_place(tmp_path):
    with pytest.raises(ValueError, match="no metadata for Caffe's format"):
        weights.save(tmp_path / "w.caffemodel", STATE, {"a": "b"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state, words", [
    ({"w": np.zeros(2)}, r"LAYER\.weight and LAYER\.bias in a .* got w$"),
    ({"weight": np.zeros(2)}, "got weight$"),
    ({".weight": np.zeros(2)}, r"got \.weight$"),
    ({"a.weights": np.zeros(2)}, r"got a\.weights$"),
    ({"a.running_mean": np.zeros(2)}, r"got a\.running_mean$"),
    ({"é" * 2049 + ".weight": np.zeros(2)}, "at most 4096 bytes as LAYER, got é"),
    ({"\ud800.weight": np.zeros(2)}, "surrogates"),
    ({"b.weight": np.zeros(2), "a.b.bias": np.zeros(2)}, r"expected a\.b\.weight with its bias"),
    ({}, r"expected weights for a \.caffemodel, got none"),
])
def test_what_has_no_place_is_not_saved(tmp_path, state, words):
    with pytest.raises(ValueError, match=words):
        weights.save(tmp_path / "w.caffemodel", state)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["f2", "i4", "i8", "u1", "?"])
def test_a_dtype_that_the_format_has_not_is_not_saved(tmp_path, dtype):
    words = f"float32 or float64 for a .caffemodel, got bad.weight of dtype {np.dtype(dtype)}"
    with pytest.raises(ValueError, match=words):
        saved(tmp_path, {"good.weight": np.zeros(2), "bad.weight": np.zeros(2, dtype)})
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_comes_back(tmp_path):
    state = {"é" * 2048 + ".weight": np.zeros(2)}
    saved(tmp_path, state)
    assert_same(weights.load(tmp_path / "w.caffemodel"), state)


# ---------------------------------------------------------------- what would not be read again


def refused_to_write(state):
    """Return why arrays are not written, which is said before the first byte."""
    file = io.BytesIO()
    with pytest.raises(ValueError) as caught:
        caffemodel.write(file, state, {})
    assert file.getvalue() == b""
    return str(caught.value)


def zeros(*shape):
    """Return an array of zeros that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


def test_too_many_axes_are_not_written():
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # which has 64
        assert refused_to_write({"w.weight": zeros(*[1] * 33)}).endswith("w.weight with 33")
    message = refused_to_write({"w.weight": zeros(0, 2**31)})
    assert "expected at most 32 axes, each up to 2147483647, in a .caffemodel, got w" in message


def test_what_is_longer_than_a_message_is_not_written(monkeypatch):
    halves = {"a.weight": zeros(2**28), "b.weight": zeros(2**28)}
    words = "expected a .caffemodel of at most 2,147,483,647 bytes, got 2,147,483,7"
    assert words in refused_to_write(halves)
    file = io.BytesIO()
    caffemodel.write(file, STATE, {})
    size = len(file.getvalue())
    monkeypatch.setattr(caffemodel, "_LARGEST_FILE", size)
    caffemodel.write(io.BytesIO(), STATE, {})
    monkeypatch.setattr(caffemodel, "_LARGEST_FILE", size - 1)
    assert f"at most {size - 1:,} bytes, got {size:,}" in refused_to_write(STATE)


def test_more_fields_than_are_read_are_not_written(tmp_path, monkeypatch):
    n_fields = 1 + 2 * 3 + 4 * len(STATE)
    monkeypatch.setattr(caffemodel, "_MOST_FIELDS", n_fields)
    saved(tmp_path, STATE)
    assert_same(weights.load(tmp_path / "w.caffemodel"), STATE)
    monkeypatch.setattr(caffemodel, "_MOST_FIELDS", n_fields - 1)
    assert f"at most {n_fields - 1} fields, got {n_fields}" in refused_to_write(STATE)
    with pytest.raises(ValueError, match=f"at most {n_fields - 1} fields"):
        weights.load(tmp_path / "w.caffemodel")


def test_writing_and_reading_hold_one_copy(tmp_path):
    state = {f"w{i}.weight": np.zeros(1_000_000, np.float32) for i in range(5)}
    tracemalloc.start()
    saved_to = tmp_path / "w.caffemodel"
    weights.save(saved_to, state)
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    got = weights.load(saved_to)
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_same(got, state)
    assert written < 1e6 and read < 20e6 + 1e6


# ---------------------------------------------------------------- what a file seems to be


@pytest.mark.parametrize("text", [
    'name: "fcn8s"\n', "layer {\n", "layers { name: 'w' }", "layer\n{", 'input: "data"\n',
    "input_dim: 1\n", "input_shape { dim: 1 }", "\n\n  name : 'w'", "# a comment: {\n\nlayer {",
    "\ufeffname: 'w'", "\r\n layers{",
])
def test_a_prototxt_is_called_by_its_kind(tmp_path, text):
    message = refusal(tmp_path, text.encode())
    assert "got a .prototxt, which describes a network and has no weights" in message
    assert "expected .npz, PyTorch's .pth, .safetensors or .caffemodel, got" in message


@pytest.mark.parametrize("text", [b"named: ", b"layering {", b"# name: w", b"<layer {", b"names"])
def test_other_words_are_not_taken_for_a_prototxt(tmp_path, text):
    assert f"got a file that begins with {text[:8]!r}" in refusal(tmp_path, text)


@pytest.mark.parametrize("data, words", [
    (b"\n<!doctype html>", "a web page"),
    (b"\n\n<HTML>", "a web page"),
    (b" <html>", "a web page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    (b"\x08\x07\x12\x07pytorch", "what seems to be ONNX"),
    (b"\n", "is the file cut off"),
    (b"\xa2\x06", "is the file cut off"),
    (b"\xa2\x07", "got a file that begins with"),
    (b"  words", "of a .caffemodel as "),
])
def test_other_files_that_begin_so(tmp_path, data, words):
    assert words in refusal(tmp_path, data)


@pytest.mark.parametrize("place", [0, 300])
def test_a_long_text_is_looked_at_in_no_time(tmp_path, place):
    text = b"#" * place + b"# \n \t" * 100_000 + b"x"
    quickly(lambda: refusal(tmp_path, text))
