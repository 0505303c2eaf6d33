"""PyTorch's .pth files: both forms read, one written, and nothing that they hold is run.

Files are put together byte by byte here, so the readers are tested without PyTorch; where it is
installed, it writes and reads files too.
"""

import collections
import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from weight_bytes import load_bytes, refusal

from fcn_numpy import weights
from fcn_numpy.weights import torch_pickle

RNG = np.random.default_rng(0)
STATE = {
    "conv1_1.weight": RNG.standard_normal((4, 3, 2, 2)).astype(np.float32),
    "conv1_1.bias": np.arange(4.0),
    "steps": np.array(7, np.int64),
    "flags": np.array([True, False, True]),
    "none": np.zeros((0, 3), np.float32),
}
DTYPES = ["f2", "f4", "f8", ">f4", "i1", "i2", "i4", "i8", ">i8", "u1", "?"]


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert type(got[name]) is np.ndarray
        assert got[name].dtype == value.dtype.newbyteorder("=") and got[name].shape == value.shape
        np.testing.assert_array_equal(got[name], value)


# ---------------------------------------------------------------- files made by hand


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def old_text(value):
    """Text as Python 2 has it."""
    return b"U" + bytes([len(value)]) + value.encode()


def whole(n):
    return b"J" + struct.pack("<i", n) if abs(n) < 2**31 else b"\x8a\x09" + n.to_bytes(
        9, "little", signed=True
    )


def wholes(values):
    return b"(" + b"".join(map(whole, values)) + b"t"


def storage(key="0", kind="FloatStorage", count=6, module="torch", view=b""):
    """Return the opcodes of a storage's persistent id."""
    return (
        b"(" + text("storage") + f"c{module}\n{kind}\n".encode() + text(key) + text("cpu")
        + whole(count) + view + b"tQ"
    )


NEW = b"ctorch._utils\n_rebuild_tensor_v2\n"
OLD = b"ctorch._utils\n_rebuild_tensor\n"
ORDERED = b"ccollections\nOrderedDict\n)R"


def tensor(where=None, offset=0, size=(2, 3), stride=(3, 1)):
    """Return the opcodes of a tensor as PyTorch writes it since 0.4."""
    where = storage() if where is None else where
    return (
        NEW + b"(" + where + whole(offset) + wholes(size) + wholes(stride) + b"\x89" + ORDERED
        + b"tR"
    )


def state_of(**entries):
    """Return the pickle of a state_dict with these opcodes as values."""
    items = b"".join(text(name) + value for name, value in entries.items())
    return b"\x80\x02" + ORDERED + b"(" + items + b"u."


def zip_of(data_pkl, storages=None, folder="archive", **members):
    storages = {"0": np.arange(6, dtype="<f4").tobytes()} if storages is None else storages
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", data_pkl)
        for key, data in storages.items():
            archive.writestr(f"{folder}/data/{key}", data)
        for name, data in members.items():
            archive.writestr(f"{folder}/{name}", data)
    return buffer.getvalue()


HEAD = (
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    b"\x80\x02M\xe9\x03."
    b"\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03X\r\x00\x00\x00little_endian\x88u."
)


def keys_of(*keys):
    return b"\x80\x02](" + b"".join(map(text, keys)) + b"e."


def stored(dtype, values):
    return struct.pack("<q", len(values)) + np.array(values, dtype).tobytes()


def stream_of(data_pkl, storages=None, keys=None):
    storages = {"0": stored("<f4", range(6))} if storages is None else storages
    return HEAD + data_pkl + keys_of(*(keys or storages)) + b"".join(storages.values())


FORMS = pytest.mark.parametrize("form", [zip_of, stream_of], ids=["zip", "stream"])
SIX = np.arange(6, dtype=np.float32).reshape(2, 3)


# ---------------------------------------------------------------- reading


@FORMS
def test_a_file_made_by_hand_is_read(tmp_path, form):
    assert_same(load_bytes(tmp_path, form(state_of(w=tensor()))), {"w": SIX})


@FORMS
@pytest.mark.parametrize(
    "kind, dtype",
    [("FloatStorage", "<f4"), ("DoubleStorage", "<f8"), ("HalfStorage", "<f2"),
     ("LongStorage", "<i8"), ("IntStorage", "<i4"), ("ShortStorage", "<i2"),
     ("CharStorage", "i1"), ("ByteStorage", "u1"), ("BoolStorage", "?")],
)
@pytest.mark.parametrize("module", ["torch", "torch.cuda"])
def test_each_type_of_storage_is_read(tmp_path, form, kind, dtype, module):
    values = np.array([1, 0, 3, 0, 1, 100]).astype(dtype)
    data = values.tobytes() if form is zip_of else stored(dtype, values)
    where = storage(kind=kind, module=module)
    got = load_bytes(tmp_path, form(state_of(w=tensor(where)), {"0": data}))
    assert_same(got, {"w": values.reshape(2, 3)})


@FORMS
def test_bfloat16_becomes_float32(tmp_path, form):
    halves = [0x3FC0, 0xC040, 0, 0x8000, 0x7F80, 1]
    data = np.array(halves, "<u2").tobytes() if form is zip_of else stored("<u2", halves)
    got = load_bytes(
        tmp_path, form(state_of(w=tensor(storage(kind="BFloat16Storage"))), {"0": data})
    )
    expected = np.array([[1.5, -3, 0], [-0.0, np.inf, 2.0**-133]], np.float32)
    assert got["w"].tobytes() == expected.tobytes()


def test_bytes_of_a_bool_are_true_or_false(tmp_path):
    pickled = state_of(w=tensor(storage(kind="BoolStorage")))
    data = zip_of(pickled, {"0": bytes([0, 1, 2, 255, 0, 1])})
    assert load_bytes(tmp_path, data)["w"].view(np.uint8).tolist() == [[0, 1, 1], [1, 0, 1]]


@pytest.mark.parametrize("word, order", [(b"little", "<"), (b"big", ">")])
def test_a_zip_of_either_byte_order_is_read(tmp_path, word, order):
    values = {"0": SIX.astype(order + "f4").tobytes(), "1": struct.pack(order + "3H", 0x3FC0, 0, 1)}
    bf16 = tensor(storage("1", "BFloat16Storage", 3), 0, (3,), (1,))
    got = load_bytes(tmp_path, zip_of(state_of(w=tensor(), h=bf16), values, byteorder=word))
    assert_same(got, {"w": SIX, "h": np.array([1.5, 0, 2.0**-133], np.float32)})


def test_a_stream_of_2017_from_python_2_is_read(tmp_path):
    # OrderedDict with its pairs as an argument, short strings, the first function for tensors,
    # and a storage described with a view that is none.
    where = (
        b"(" + old_text("storage") + b"ctorch.cuda\nFloatStorage\n" + old_text("42")
        + old_text("cuda:0") + whole(6) + b"NtQ"
    )
    value = OLD + b"(" + where + whole(0) + wholes((2, 3)) + wholes((3, 1)) + b"tRq\x05"
    pickled = (
        b"\x80\x02ccollections\nOrderedDict\nq\x01](](" + old_text("module.fc.weight") + value
        + b"eae\x85Rq\x07."
    )
    got = load_bytes(tmp_path, stream_of(pickled, {"42": stored("<f4", range(6))}))
    assert_same(got, {"fc.weight": SIX})


def test_a_view_of_a_storage_in_a_very_old_stream_is_read(tmp_path):
    view = b"(" + text("1") + whole(2) + whole(3) + b"t"
    value = tensor(storage(view=view), 1, (2,), (1,))
    assert_same(
        load_bytes(tmp_path, stream_of(state_of(w=value))), {"w": np.array([3, 4], np.float32)}
    )
    value = tensor(storage(view=view), 2, (2,), (1,))
    assert "within the 3 numbers" in refusal(tmp_path, stream_of(state_of(w=value)))
    view = b"(" + text("1") + whole(4) + whole(3) + b"t"
    assert "within the 6 numbers" in refusal(
        tmp_path, stream_of(state_of(w=tensor(storage(view=view), 0, (1,), (1,))))
    )


@FORMS
def test_a_parameter_and_metadata_and_newer_opcodes_are_read(tmp_path, form):
    parameter = b"ctorch._utils\n_rebuild_parameter\n" + tensor() + b"\x88" + ORDERED + b"\x87R"
    pickled = (
        b"\x80\x04\x95" + bytes(8) + b"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R("
        + text("w") + parameter + b"u}" + text("_metadata") + ORDERED + b"sb."
    )
    assert_same(load_bytes(tmp_path, form(pickled)), {"w": SIX})


@FORMS
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_weights_of_a_checkpoint_are_read(tmp_path, form, key):
    # As pytorch-fcn saves it: the best score is a number of NumPy, the optimizer has tensors.
    inner = ORDERED + b"(" + text("fc.weight") + tensor() + b"u"
    dtype = b"cnumpy\ndtype\n" + text("f8") + whole(0) + whole(1) + b"\x87R(" + whole(3) + b"tb"
    raw = b"c_codecs\nencode\n" + text("\0" * 8) + text("latin1") + b"\x86R"
    best = b"cnumpy.core.multiarray\nscalar\n" + dtype + raw + b"\x86R"
    velocity = tensor(storage("1", "FloatStorage", 2), 0, (2,), (1,))
    optimizer = b"}(" + whole(2**33) + b"}" + text("momentum_buffer") + velocity + b"su"
    pickled = (
        b"\x80\x02}(" + text("epoch") + whole(3) + text("lr") + b"G" + struct.pack(">d", 0.1)
        + text("arch") + text("FCN8s") + text("optim_state_dict") + optimizer + text(key) + inner
        + text("best_mean_iu") + best + text("size") + b"ctorch\nSize\n" + wholes((1, 2)) + b"\x85R"
        + text("none") + b"Nu."
    )
    if form is zip_of:
        storages = {"0": SIX.tobytes(), "1": bytes(8)}
    else:
        storages = {"1": stored("<f4", (1, 2)), "0": stored("<f4", range(6))}
    assert_same(load_bytes(tmp_path, form(pickled, storages)), {"fc.weight": SIX})


def dict_of(**entries):
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


ONE, OTHER = dict_of(w=tensor()), dict_of(v=tensor())


@FORMS
@pytest.mark.parametrize("checkpoint", [
    dict_of(net=ONE, epoch=whole(3)),
    dict_of(epoch=whole(3), generator=ONE, args=dict_of(lr=whole(1)), none=b"}", log=b"]"),
    dict_of(ema=OTHER, state_dict=ONE, net=OTHER),
    dict_of(net=OTHER, model=ONE),
    b"}(" + whole(7) + ONE + text("epoch") + whole(3) + b"u",
    dict_of(net=ONE + b"q\x01", again=b"h\x01"),
], ids=["one", "among others", "a known key wins", "another known key", "a number", "one twice"])
def test_the_only_state_dict_of_a_checkpoint_is_read(tmp_path, form, checkpoint):
    assert_same(load_bytes(tmp_path, form(b"\x80\x02" + checkpoint + b".")), {"w": SIX})


@FORMS
@pytest.mark.parametrize("checkpoint, words", [
    (dict_of(net=ONE, ema=OTHER, epoch=whole(3)), "one state_dict in the checkpoint, got 2: 'net'"),
    (dict_of(net=ONE, bias=tensor(), epoch=whole(3)), "tensors by name, got dict for 'net'"),
    (dict_of(bias=tensor(), epoch=whole(3)), "tensors by name, got 3 for 'epoch'"),
    (dict_of(net=dict_of(w=tensor(), epoch=whole(3))), "tensors by name, got dict for 'net'"),
    (dict_of(net=dict_of(net=ONE)), "tensors by name, got dict for 'net'"),
    (dict_of(model=dict_of(epoch=whole(3)), net=ONE), "tensors by name, got 3 for 'epoch'"),
    (dict_of(net=b"}(" + whole(1) + tensor() + b"u"), "tensors by name, got Tensor for 1"),
    (dict_of(**{f"k{i}" * 100: dict_of(w=tensor()) for i in range(20)}), "got 20: 'k0"),
], ids=["two", "beside a tensor", "no dict", "of other things", "too deep", "a known key with none",
        "numbered", "many"])
def test_a_checkpoint_without_one_state_dict_is_an_error(tmp_path, form, checkpoint, words):
    message = refusal(tmp_path, form(b"\x80\x02" + checkpoint + b"."))
    assert words in message and len(message) < 500


def test_a_dict_under_many_names_is_looked_at_once(tmp_path):
    # All tensors but the last: to find that out 20,000 times would take a minute.
    inner = b"}(" + b"".join(text(str(i)) + b"h\x01" for i in range(20_000)) + text("w") + b"Nu"
    many = b"".join(text(f"k{i}") + b"h\x02" for i in range(20_000))
    data = b"\x80\x02}(" + text("list") + b"](" + tensor() + b"q\x01" + inner + b"q\x02e" + many
    start = time.perf_counter()
    assert "got list for 'list'" in refusal(tmp_path, zip_of(data + b"u."))
    assert time.perf_counter() - start < 5


@FORMS
def test_bytes_beside_the_weights_are_read_over(tmp_path, form):
    checkpoint = dict_of(
        net=ONE, short=b"C\x03abc", long=b"B\x03\0\0\0abc", longer=b"\x8e\x03" + bytes(7) + b"abc"
    )
    assert_same(load_bytes(tmp_path, form(b"\x80\x04" + checkpoint + b".")), {"w": SIX})


@FORMS
def test_tensors_that_share_a_storage_come_apart(tmp_path, form):
    got = load_bytes(tmp_path, form(state_of(
        a=tensor(), b=tensor(), turned=tensor(size=(3, 2), stride=(1, 3)),
        row=tensor(offset=3, size=(3,), stride=(1,)), corner=tensor(offset=5, size=(), stride=()),
        same=tensor(size=(2, 2), stride=(0, 1)), none=tensor(size=(0, 3), stride=(3, 1)),
    )))
    expected = {
        "a": SIX, "b": SIX, "turned": SIX.T, "row": SIX[1], "corner": SIX[1, 2],
        "same": SIX[[0, 0], :2], "none": SIX[:0],
    }
    assert_same(got, {name: np.asarray(value) for name, value in expected.items()})
    for value in got.values():
        value[...] = -1
        assert value.flags.c_contiguous and (value == -1).all()
    arrays = list(got.values())
    for i, first in enumerate(arrays):
        assert not any(np.shares_memory(first, second) for second in arrays[:i])


def test_a_tensor_stored_transposed_is_read(tmp_path):
    assert_same(
        load_bytes(tmp_path, zip_of(state_of(w=tensor(size=(3, 2), stride=(1, 3))))), {"w": SIX.T}
    )


@FORMS
def test_axes_of_length_1_may_have_any_stride(tmp_path, form):
    got = load_bytes(tmp_path, form(state_of(w=tensor(size=(2, 1, 3), stride=(3, 999, 1)))))
    assert_same(got, {"w": SIX[:, None]})


def test_a_tensor_that_is_all_of_its_storage_is_not_copied():
    where = torch_pickle.Storage("0", "f4", 6)
    for size, stride in (((2, 3), (3, 1)), ((2, 1, 3), (3, 999, 1)), ((1, 6), (0, 1))):
        assert torch_pickle.Tensor(where, 0, size, stride).is_contiguous
    for size, stride in (((2, 3), (1, 2)), ((6,), (0,))):
        assert not torch_pickle.Tensor(where, 0, size, stride).is_contiguous


@FORMS
def test_what_a_file_is_called_does_not_matter(tmp_path, form):
    (tmp_path / "w.npz").write_bytes(form(state_of(w=tensor())))
    assert_same(weights.load(tmp_path / "w.npz"), {"w": SIX})


# ---------------------------------------------------------------- what is refused

REFUSED_TENSORS = {
    "negative offset": (tensor(offset=-1), "offset"),
    "negative size": (tensor(size=(-2, -3)), "whole numbers"),
    "negative stride": (tensor(offset=5, stride=(-3, -1)), "whole numbers"),
    "true as a size": (NEW + b"(" + storage() + whole(0) + b"\x88\x85" * 2 + b"\x89NtR", "whole"),
    "beyond the end": (tensor(offset=1), "within the 6 numbers"),
    "a step too long": (tensor(stride=(4, 1)), "within the 6 numbers"),
    "expanded": (tensor(size=(7,), stride=(0,)), "7 of 6"),
    "expanded a lot": (tensor(size=(2**31 - 1,) * 4, stride=(0,) * 4), "each number"),
    "larger than whole numbers": (tensor(size=(2**64,), stride=(0,)), "whole numbers"),
    "an empty one that is too large": (tensor(size=(0, 2**62, 2**62), stride=(1, 1, 1)), ""),
    "strides missing": (tensor(stride=(1,)), "as many strides"),
    "too many axes": (tensor(size=(1,) * 33, stride=(1,) * 33), "whole numbers"),
    "no tuple": (NEW + b"(" + storage() + whole(0) + b"]]\x89NtR", "whole numbers"),
    "no storage": (NEW + b"(" + whole(0) * 3 + b"\x89tR", "a tensor's storage"),
    "too little": (NEW + b"(" + storage() + b"tR", "a tensor's storage"),
    "negative storage": (tensor(storage(count=-6)), "size of a storage"),
    "storage of another size": (tensor(storage(count=7)), ""),
    "far too large a storage": (tensor(storage(count=2**62)), ""),
    "a type that is none": (tensor(storage(kind="FloatTensor")), "torch.FloatTensor"),
    "complex": (tensor(storage(kind="ComplexFloatStorage")), "torch.ComplexFloatStorage"),
    "a missing storage": (tensor(storage("7")), ""),
    "two descriptions": (NEW + b"(" + storage(count=6) + storage(count=5) + b"tR", "in two ways"),
    "no parameter": (b"ctorch._utils\n_rebuild_parameter\n" + wholes((1,)) + b"R", "parameter"),
    "a list": (b"]", "tensors by name, got list for 'w'"),
    "a number": (whole(3), "tensors by name, got 3 for 'w'"),
    "a storage": (storage(), "tensors by name, got Window for 'w'"),
    "a persistent id that is none": (whole(1) + b"Q", "description of a storage"),
    "a module": (b"(" + text("module") + b"NNNNtQ", "got 'module'"),
    "a view of a wrong kind": (tensor(storage(view=b"]")), "storage's view"),
    "quantised": (b"ctorch._utils\n_rebuild_qtensor\n", "torch._utils._rebuild_qtensor"),
    "sparse": (b"ctorch._utils\n_rebuild_sparse_tensor\n", "_rebuild_sparse_tensor"),
}


@FORMS
@pytest.mark.parametrize("case", REFUSED_TENSORS)
def test_a_tensor_that_does_not_fit_is_an_error(tmp_path, form, case):
    opcodes, words = REFUSED_TENSORS[case]
    assert words in refusal(tmp_path, form(state_of(w=opcodes)))


@FORMS
def test_many_tensors_of_one_storage_are_an_error_before_they_are_made(tmp_path, form):
    n = 300_000
    data = np.zeros(n, "<f4")
    data = {"0": data.tobytes() if form is zip_of else stored("<f4", data)}
    whole_of_it = tensor(storage(count=n), 0, (n,), (1,)) + b"q\x01"
    names = {f"w{i}": b"h\x01" for i in range(4000)}
    tracemalloc.start()
    message = refusal(tmp_path, form(state_of(w=whole_of_it, **names), data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "share 300000 numbers" in message
    assert peak < 20e6


@pytest.mark.parametrize(
    "data, words",
    [
        (zip_of(state_of(w=tensor()), {"0": bytes(23)}), "expected 24 bytes for 'w', got 23"),
        (zip_of(state_of(w=tensor()), {"0": bytes(25)}), "expected 24 bytes for 'w', got 25"),
        (zip_of(state_of(w=tensor()), {"1": bytes(24)}), "expected 24 bytes for 'w', got none"),
        (zip_of(state_of(w=tensor()), byteorder=b"middle"), "little or big"),
        (zip_of(b"\x80\x02]."), "expected a state_dict, got list"),
        (zip_of(b"\x80\x02}" + whole(1) + tensor() + b"s."), "got Tensor for 1"),
        (zip_of(b""), "damaged, or too long"),
        (zip_of(b"\x80\x02" + b"N" * 5_000_000 + b"."), "longer than"),
        (zip_of(b"\x80\x02" + b"N" * 2_000_000 + b"."), "more than 1000000 steps"),
        (stream_of(state_of(w=tensor()), {"0": stored("<f4", range(5))}), "expected 6 numbers in"),
        (stream_of(state_of(w=tensor()))[:-1], "expected 24 bytes in the storage of 'w', got 23"),
        (stream_of(state_of(w=tensor())) + b"x", "bytes, got"),
        (stream_of(state_of(w=tensor()), keys=["1"]), "storages that its tensors use"),
        (stream_of(state_of(w=tensor()), keys=["0", "0"]), "storages that its tensors use"),
        (HEAD + state_of(w=tensor()) + b"\x80\x02" + text("0") + b"\x85." + stored("<f4", range(6)),
         "a list of its storages"),
        (HEAD + state_of(w=tensor()) + b"\x80\x02]" + whole(0) + b"a." + stored("<f4", range(6)),
         "a list of its storages"),
        (stream_of(state_of(w=tensor(storage(count=-6))), {"0": struct.pack("<q", -6)}), "size of"),
        (HEAD.replace(b"M\xe9\x03.", b"M\xea\x03.", 1), "version 1001 of the format, got 1002"),
        (pickle.dumps({"w": [1.0]}, 2), "not one that PyTorch writes"),
        (pickle.dumps(3, 4), "not one that PyTorch writes"),
        (b"\x80", "damaged"),
    ],
)
def test_a_file_that_does_not_fit_together_is_an_error(tmp_path, data, words):
    assert words in refusal(tmp_path, data)


def test_a_zip_whose_members_are_compressed_or_twice_is_an_error(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", state_of(w=tensor()))
        archive.writestr("archive/data/0", bytes(24))
    assert "stored" in refusal(tmp_path, buffer.getvalue())
    data = zip_of(state_of(w=tensor()), {"0": bytes(24), "1": bytes(24)})
    assert "twice" in refusal(tmp_path, data.replace(b"archive/data/1", b"archive/data/0"))


def test_a_member_that_says_it_is_compressed_is_an_error(tmp_path):
    data = bytearray(zip_of(state_of(w=tensor())))
    place = data.index(b"PK\x01\x02")
    data[place + 10] = 8  # deflated, though both its sizes are the same
    assert "members of its zip to be stored" in refusal(tmp_path, bytes(data))


def test_the_pickle_of_a_zip_is_one_folder_deep(tmp_path):
    data = zip_of(state_of(w=tensor()), folder="a/b")
    assert "'a/b/data.pkl' is not where it should be" in refusal(tmp_path, data)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # its pickle need not come first
        archive.writestr("x/version", b"3\n")
        archive.writestr("x/data/0", SIX.tobytes())
        archive.writestr("x/data.pkl", state_of(w=tensor()))
    assert_same(load_bytes(tmp_path, buffer.getvalue()), {"w": SIX})


def test_a_zip_that_claims_more_than_the_file_has_is_an_error_at_once(tmp_path):
    count = 100_000_000
    data = zip_of(state_of(w=tensor(storage(count=count), 0, (count,), (1,))))
    table = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    sizes = struct.pack("<2I", 4 * count, 4 * count)
    tracemalloc.start()
    assert "fit in it" in refusal(tmp_path, data[: table + 20] + sizes + data[table + 28 :])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_a_wrong_number_in_a_zip_is_an_error(tmp_path):
    data = zip_of(state_of(w=tensor()))
    assert data.count(SIX.tobytes()) == 1
    wrong = data.replace(SIX.tobytes(), (SIX + 1).tobytes())
    assert "CRC" in refusal(tmp_path, wrong)


# ---------------------------------------------------------------- hostile pickles


def command(sentinel):
    """Return opcodes that, run, would leave a file."""
    return text(f'echo > "{sentinel}"') + b"\x85"


HOSTILE = {
    "os.system": (b"cposix\nsystem\n{command}R", "asks for posix.system, which"),
    "nt.system": (b"cnt\nsystem\n{command}R", "asks for nt.system, which"),
    "builtins.eval": (b"cbuiltins\neval\n{command}R", "asks for builtins.eval, which"),
    "on the stack": (text("os") + text("system") + b"\x93{command}R", "asks for os.system, which"),
    "below a known name": (b"ccollections\nOrderedDict.__init__\n{command}R", "__init__, which"),
    "in a known module": (b"ctorch._utils\n__builtins__\n{command}R", "__builtins__, which"),
    "a whole model": (b"c__main__\nFCN8s\n{command}R", "save its state_dict() instead"),
    "INST": (b"({text}iposix\nsystem\n", "uses INST, which"),
    "OBJ": (b"(cposix\nsystem\n{text}o", "asks for posix.system, which"),
    "bare OBJ": (b"({text}o", "uses OBJ, which"),
    "NEWOBJ": (b"ccollections\nOrderedDict\n)\x81", "uses NEWOBJ, which"),
    "NEWOBJ_EX": (b"ccollections\nOrderedDict\n)}\x92", "uses NEWOBJ_EX, which"),
    "EXT1": (b"\x82\x01", "uses EXT1, which"),
    "PERSID": (b"Pname\n", "uses PERSID, which"),
    "STRING": (b"S'\\q'\n", "uses STRING, which"),
    "INT": (b"I" + b"9" * 100_000 + b"\n", "uses INT, which"),
    "LONG4": (b"\x8b\xff\xff\xff\x7f", "uses LONG4, which"),
    "BINUNICODE8": (b"\x8d" + b"\xff" * 8, "uses BINUNICODE8, which"),
    "BYTEARRAY8": (b"\x96" + b"\xff" * 8, "uses BYTEARRAY8, which"),
    "BUILD of a number": (whole(1) + b"}" + text("__setstate__") + whole(1) + b"sb", "the state"),
    "BUILD of a tensor": (tensor() + b"}" + text("__class__") + whole(1) + b"sb", "the state"),
    "BUILD of a name": (b"ctorch\nSize\n}" + text("call") + whole(1) + b"sb", "the state"),
    "call of a storage": (storage() + b"{command}R", "is not a function"),
    "call of a type": (b"ctorch\nFloatStorage\n{command}R", "is not a function"),
    "call of text": (text("os.system") + b"{command}R", "is not a function"),
    "arguments in a list": (b"ccollections\nOrderedDict\n]R", "is not a function"),
    "OrderedDict of text": (b"ccollections\nOrderedDict\n{command}R", "list of pairs"),
    "OrderedDict of no pairs": (b"ccollections\nOrderedDict\n](" + whole(1) + b"e\x85R", "pairs"),
    "Size of text": (b"ctorch\nSize\n{command}R", "tuple in a torch.Size"),
    "list as a key": (b"}]Ns", "as keys, got list"),
    "tuple as a key": (b"})" + b"\x85" * 300_000 + b"Ns", "as keys, got tuple"),
    "a key twice": (b"}(" + (text("a") + b"N") * 2 + b"u", "'a' twice"),
    "a long key twice": (b"}(" + (text("a" * 100_000) + b"N") * 2 + b"u", "twice"),
    "a line break": (b"cpo\nsy\rs\n", "asks for po.sy\\rs"),
    "deep tuples": (b")" + b"\x85" * 800_000, "got tuple for"),
    "deep lists": (b"]" * 200_001 + b"a" * 200_000, "got list for"),
    "deep dicts": (b"}(" + (text("k") + b"}(") * 100_000 + b"u" * 100_001, "got dict for"),
    "a list in itself": (b"]q\x00h\x00a", "got list for"),
    "pairs again and again": (
        b"](" + b"".join(whole(i) + b"N\x86" for i in range(20_000)) + b"e\x85q\x01"
        + b"ccollections\nOrderedDict\nq\x02h\x01R" + b"h\x02h\x01R" * 100, "steps"),
    "a large memo index": (b"Nr\xff\xff\xff\xff", ""),
    "a memo index not stored": (b"j\xff\xff\xff\xff", "recalls"),
    "bytes as a key": (b"}C\x01aNs", "as keys, got bytes"),
    "bytes as a module": (b"C\x02os" + text("system") + b"\x93", "expected a name"),
    "a call of bytes": (b"C\x01a)R", "is not a function"),
    "a forged length of bytes": (b"B\xff\xff\xff\xffabc", "damaged"),
    "a forged length of short bytes": (b"C\xff", "damaged"),
    "a forged long length of bytes": (b"\x8e" + b"\xff" * 7 + b"\x7fabc", "damaged"),
    "a forged longer length of bytes": (b"\x8e" + b"\xff" * 8 + b"abc", "damaged"),
    "a forged length": (b"X\xff\xff\xff\xffabc", ""),
    "a forged length of old text": (b"T\xff\xff\xff\x7fabc", ""),
    "a negative length of old text": (b"T\xff\xff\xff\xffabc", ""),
    "a forged frame": (b"\x95" + b"\xff" * 8 + b"]", "got list for"),
    "a forged whole number": (b"\x8a\xff\x01", ""),
    "a large whole number": (b"\x8a\xff" + b"\x7f" * 255, "got 62871626394"),
    "a storage of a large size": (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"\x8a\xff"
        + b"\x7f" * 255 + b"tQ", "size of a storage"),
    "text that is not UTF-8": (b"X\x02\x00\x00\x00\xff\xfe", ""),
    "a name that is not UTF-8": (b"c\xff\n\xff\n", ""),
    "a name without an end": (b"cposix", ""),
    "an unknown opcode": (b"\xff", "damaged"),
    "marks missing": (b"ttt", "mark"),
    "APPENDS to a number": (whole(1) + b"(e", "expected a list"),
    "SETITEMS without a value": (b"}(" + text("a") + b"u", "a value is missing"),
}
EMPTY_STACK = {
    "TUPLE1": b"\x85", "TUPLE3": b"NN\x87", "REDUCE": b"R", "BUILD": b"}b",
    "MEMOIZE": b"\x94", "BINPUT": b"q\x00", "APPEND": b"Na", "SETITEM": b"NNs", "STOP": b"",
    "BINPERSID": b"Q", "STACK_GLOBAL": b"\x93", "mark popped under": b"NN(\x86t",
    "names that are none": b"NN\x93",
}


def call(name, args):
    """Return the opcodes of a call with these opcodes as a tuple of arguments."""
    return b"c" + name.replace(".", "\n").encode() + b"\n(" + args + b"tR"


def persistent(*parts):
    return b"(" + b"".join(parts) + b"tQ"


FLOATS, SIZE = b"ctorch\nFloatStorage\n", b"ctorch\nSize\n"
WORD, KEY, PLACE, SIX_OF = text("storage"), text("0"), text("cpu"), whole(6)
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n("
PARAMETER = b"ctorch._utils\n_rebuild_parameter\n("
AXES = wholes((2, 3)) + wholes((3, 1))
PLACED = REBUILD + storage() + whole(0)
SIZED = "whole numbers as a tensor's size and stride"
OFFSET = "a tensor's offset, and as many strides"
PAIRED, DESCRIBED = "a list of pairs for an OrderedDict", "the description of a storage"
TYPED, VIEWED = "the type and the key of a storage", "the key, offset and size of a storage's view"
# Each is wrong in one way only, so each part of each check is needed.
WRONG_IN_ONE_WAY = {
    "a tensor of three parts": (PLACED + wholes((2, 3)) + b"tR",
                                "a tensor's storage, offset, size and stride"),
    "a tensor of no storage": (REBUILD + b"N" + whole(0) + AXES + b"tR",
                               "a tensor's storage, offset, size and stride"),
    "a size in a list": (PLACED + b"])tR", SIZED),
    "strides in a list": (PLACED + b")]tR", SIZED),
    "a size of text": (PLACED + text("a") + b"\x85" + wholes((1,)) + b"tR", SIZED),
    "an offset of text": (REBUILD + storage() + text("0") + AXES + b"tR", OFFSET),
    "more sizes than strides": (PLACED + wholes((2, 3)) + wholes((3,)) + b"tR", OFFSET),
    "a parameter of nothing": (PARAMETER + b"tR", "a tensor in a parameter"),
    "a parameter of text": (PARAMETER + text("a") + b"tR", "a tensor in a parameter"),
    "a dict of two lists": (call("collections.OrderedDict", b"]]"), PAIRED),
    "a dict of a tuple": (call("collections.OrderedDict", b")"), PAIRED),
    "a pair of text": (call("collections.OrderedDict", b"](" + text("ab") + b"e"), PAIRED),
    "three for a pair": (call("collections.OrderedDict", b"](" + text("a") + b"NN\x87e"), PAIRED),
    "one for a pair": (call("collections.OrderedDict", b"](" + text("a") + b"\x85e"), PAIRED),
    "a torch.Size of nothing": (call("torch.Size", b""), "a tuple in a torch.Size"),
    "a torch.Size of two tuples": (call("torch.Size", b"))"), "a tuple in a torch.Size"),
    "a torch.Size of a list": (call("torch.Size", b"]"), "a tuple in a torch.Size"),
    "a name that is no text": (text("torch") + b"N\x93", "expected a name on its stack"),
    "a module that is no text": (b"N" + text("Size") + b"\x93", "expected a name on its stack"),
    "a call of nothing": (b"N)R", "is not a function"),
    "a call of a storage's type": (FLOATS + b")R", "is not a function"),
    "a call without a tuple": (b"ccollections\nOrderedDict\nNR", "is not a function"),
    "the state of a list": (b"]Nb", "the state of something that is not a state_dict"),
    "a storage that is no tuple": (b"](" + WORD + FLOATS + KEY + PLACE + SIX_OF + b"eQ", DESCRIBED),
    "a storage of four parts": (persistent(WORD, FLOATS, KEY, PLACE), DESCRIBED),
    "a storage of seven parts": (persistent(WORD, FLOATS, KEY, PLACE, SIX_OF, b"NN"), DESCRIBED),
    "a storage's word that is no text": (persistent(b"N", FLOATS, KEY, PLACE, SIX_OF), DESCRIBED),
    "a storage of another word": (persistent(KEY, FLOATS, KEY, PLACE, SIX_OF), "a storage in its"),
    "a storage's type that is text": (persistent(WORD, KEY, KEY, PLACE, SIX_OF), TYPED),
    "a storage's type that is none": (persistent(WORD, SIZE, KEY, PLACE, SIX_OF), TYPED),
    "a storage's key that is no text": (persistent(WORD, FLOATS, whole(0), PLACE, SIX_OF), TYPED),
    "a view in a list": (storage(view=b"](" + KEY + whole(0) + SIX_OF + b"e"), VIEWED),
    "a view of two parts": (storage(view=b"(" + KEY + whole(0) + b"t"), VIEWED),
    "a view of four parts": (storage(view=b"(" + KEY + whole(0) + SIX_OF + b"Nt"), VIEWED),
    "a view that begins nowhere": (storage(view=b"(" + KEY + b"N" + SIX_OF + b"t"), VIEWED),
    "a view of a negative size": (storage(view=b"(" + KEY + whole(0) + whole(-1) + b"t"), VIEWED),
}


@FORMS
@pytest.mark.parametrize("case", WRONG_IN_ONE_WAY)
def test_each_part_of_a_check_is_needed(tmp_path, form, case):
    opcodes, words = WRONG_IN_ONE_WAY[case]
    assert words in refusal(tmp_path, form(state_of(w=opcodes)))


@FORMS
def test_a_tensor_of_nothing_may_lie_anywhere(tmp_path, form):
    got = load_bytes(tmp_path, form(state_of(w=tensor(offset=100, size=(0, 2), stride=(2, 1)))))
    assert_same(got, {"w": np.zeros((0, 2), np.float32)})


def fill(opcodes, sentinel):
    return opcodes.replace(b"{command}", command(sentinel)).replace(
        b"{text}", text(f"touch {sentinel}")
    )


@FORMS
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, form, case):
    opcodes, words = HOSTILE[case]
    sentinel = tmp_path / "sentinel"
    message = refusal(tmp_path, form(state_of(w=fill(opcodes, sentinel))))
    assert words in message
    assert not sentinel.exists()


@pytest.mark.parametrize("case", EMPTY_STACK)
def test_a_pickle_that_takes_more_than_it_has_is_refused(tmp_path, case):
    words = "state of" if case == "BUILD" else "damaged"
    assert words in refusal(tmp_path, zip_of(b"\x80\x02" + EMPTY_STACK[case] + b"."))


@pytest.mark.parametrize("place", range(5))
def test_no_pickle_of_a_stream_is_run(tmp_path, place):
    sentinel = tmp_path / "sentinel"
    pickles = [part + b"." for part in HEAD.split(b".")[:3]]
    pickles += [state_of(w=tensor()), keys_of("0")]
    pickles[place] = b"\x80\x02cposix\nsystem\n" + command(sentinel) + b"R."
    assert "posix.system" in refusal(tmp_path, b"".join(pickles) + stored("<f4", range(6)))
    assert not sentinel.exists()


def test_the_sentinel_would_be_seen(tmp_path):
    # The trap works: the interpreter's own reader falls into it.
    pickle.loads(b"\x80\x02cos\nsystem\n" + command(tmp_path / "sentinel") + b"R.")
    assert (tmp_path / "sentinel").exists()


@pytest.mark.slow
@pytest.mark.parametrize("unit", [b"}", b"]", b"}\x94", b"N\x85\x94", b"]\x94h\x00", b"("])
def test_a_hostile_pickle_takes_little_memory(tmp_path, unit):
    data = zip_of(b"\x80\x02" + unit * ((4 << 20) // len(unit) - 10))
    tracemalloc.start()
    refusal(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


def test_a_member_that_claims_more_than_the_file_has_takes_no_memory(tmp_path):
    data = bytearray(zip_of(state_of(w=tensor())))
    place = data.index(b"PK\x01\x02") + 20  # of the pickle's stored size, in the table
    data[place : place + 4] = struct.pack("<I", 2**31)
    tracemalloc.start()
    message = refusal(tmp_path, bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "to fit in it" in message
    assert peak < 1e6


@pytest.mark.parametrize("claim", [
    b"X\xff\xff\xff\xff", b"T\xff\xff\xff\x7f", b"B\xff\xff\xff\xff",
    b"\x8e" + b"\xff" * 7 + b"\x7f",
])
def test_a_forged_length_takes_no_memory(tmp_path, claim):
    for form in (zip_of, stream_of):
        tracemalloc.start()
        refusal(tmp_path, form(state_of(w=claim)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1e6


# ---------------------------------------------------------------- damage


def good_bytes(form):
    other = tensor(storage("1", "DoubleStorage", 2), 0, (2,), (1,))
    one = np.array([1.0, 2.0])
    storages = (
        {"0": SIX.tobytes(), "1": one.tobytes()} if form is zip_of
        else {"0": stored("<f4", range(6)), "1": stored("<f8", one)}
    )
    return form(state_of(w=tensor(), other=other), storages)


@FORMS
def test_a_file_that_is_cut_off_is_an_error(tmp_path, form):
    data = good_bytes(form)
    for length in range(len(data)):
        refusal(tmp_path, data[:length])


@FORMS
@pytest.mark.filterwarnings("ignore")  # zipfile warns of some of the damage
def test_a_wrong_byte_is_an_error_or_harmless(tmp_path, form):
    data = good_bytes(form)
    right = load_bytes(tmp_path, data)
    for place in range(len(data)):
        for flip in (0x01, 0x04, 0x20, 0xFF):
            wrong = bytearray(data)
            wrong[place] ^= flip
            try:
                got = load_bytes(tmp_path, bytes(wrong))
            except ValueError:
                continue
            if form is zip_of:  # a stream has no checksums: other numbers are possible there
                assert_same(got, right)


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (2, 3), (2, 3, 1, 4)])
@pytest.mark.parametrize("ending", [".pth", ".pt", ".PTH"])
def test_each_dtype_and_shape_comes_back(tmp_path, dtype, shape, ending):
    value = np.asarray((10 * np.random.default_rng(0).random(shape)).astype(dtype))
    state = {"w": value, "other": np.arange(3)}
    weights.save(tmp_path / f"w{ending}", state)
    with zipfile.ZipFile(tmp_path / f"w{ending}") as archive:
        assert "archive/data.pkl" in archive.namelist()
    assert_same(weights.load(tmp_path / f"w{ending}"), state)


def test_several_come_back_in_their_order(tmp_path):
    for state in (STATE, {}, {"é": np.zeros(2), "": np.ones(1), "a\nb": np.ones(2)}):
        weights.save(tmp_path / "w.pth", state)
        assert_same(weights.load(tmp_path / "w.pth"), state)


def test_other_memory_orders_come_back(tmp_path):
    value = np.arange(24.0).reshape(2, 3, 4)
    state = {"a": np.asfortranarray(value), "b": value.transpose(2, 0, 1), "c": value[:, ::-2]}
    weights.save(tmp_path / "w.pth", state)
    assert_same(weights.load(tmp_path / "w.pth"), state)


def test_the_members_of_a_file_that_is_written(tmp_path):
    weights.save(tmp_path / "w.pth", STATE)
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.namelist() == [
            "archive/data.pkl", "archive/byteorder", *(f"archive/data/{i}" for i in range(5)),
            "archive/version",
        ]
        assert archive.read("archive/byteorder") == b"little"
        assert archive.read("archive/version") == b"3\n"
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert archive.testzip() is None
    data = (tmp_path / "w.pth").read_bytes()
    raw = STATE["conv1_1.weight"].tobytes()
    assert data.count(raw) == 1 and data.index(raw) % 64 == 0


def test_the_same_weights_are_the_same_file(tmp_path):
    weights.save(tmp_path / "a.pth", STATE)
    weights.save(tmp_path / "b.pth", STATE)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


# longdouble is float64 on some machines.
@pytest.mark.parametrize(
    "dtype", ["u2", "u4", "u8", "c8", "U3", "O"] + ["g"] * (np.dtype("g").itemsize > 8)
)
def test_a_dtype_that_the_format_has_not_is_not_saved(tmp_path, dtype):
    with pytest.raises(ValueError, match="bad"):
        weights.save(tmp_path / "w.pth", {"good": np.zeros(2), "bad": np.zeros(2, dtype)})
    assert os.listdir(tmp_path) == []


def test_a_large_size_is_written_as_a_long_number(tmp_path):
    # Only its pickle: the array of 3 GB takes no memory, the file would.
    from fcn_numpy.weights import torch_files

    value = np.broadcast_to(np.zeros(1, np.int8), (3, 2**30))
    pickled = torch_files._pickle_of({"w": value}, {np.dtype("i1"): "CharStorage"})
    assert b"\x8a\x08" + struct.pack("<q", 3 * 2**30) in pickled


def test_writing_and_reading_hold_one_copy(tmp_path):
    state = {f"w{i}": np.zeros(1_000_000, np.float32) for i in range(5)}
    for name in ("w.npz", "w.pth", "w.safetensors"):
        tracemalloc.start()
        weights.save(tmp_path / name, state)
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        got = weights.load(tmp_path / name)
        read = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert_same(got, state)
        # Of the 20 MB, NumPy's writer of .npz copies an array of 4 MB at a time; reading takes
        # less than one array beside what is returned.
        assert written < 5e6 and read < 20e6 + 3e6


# ---------------------------------------------------------------- with PyTorch itself


def torch_state(torch):
    values = {name: torch.from_numpy(value.copy()) for name, value in STATE.items()}
    values["half"] = torch.tensor([1.5, -2], dtype=torch.float16)
    values["parameter"] = torch.nn.Parameter(torch.ones(2, 3))
    values["turned"] = torch.arange(6.0).reshape(2, 3).T
    values["part"] = torch.arange(10)[3:7:2]
    values["tied"] = values["conv1_1.weight"]
    return collections.OrderedDict(values)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_pytorch_writes_is_read(tmp_path, new, protocol):
    torch = pytest.importorskip("torch")
    state = torch_state(torch)
    checkpoint = {"epoch": 3, "model_state_dict": state, "lr": [0.1, 1e-5]}
    trainer = {"net": state, "seed": b"abc" * 200, "best": np.float64(0.5), "key": b"k"}
    for saved in (state, checkpoint, trainer):
        torch.save(
            saved, tmp_path / "w.pth", _use_new_zipfile_serialization=new, pickle_protocol=protocol
        )
        got = weights.load(tmp_path / "w.pth")
        assert_same(got, {name: value.detach().numpy() for name, value in state.items()})


@pytest.mark.parametrize("new", [True, False], ids=["zip", "stream"])
def test_a_network_and_its_optimizer_from_pytorch_are_read(tmp_path, new):
    torch = pytest.importorskip("torch")
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ConvTranspose2d(4, 2, 4)]
    network = torch.nn.DataParallel(torch.nn.Sequential(*layers))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 1, "arch": "FCN", "optim_state_dict": optimizer.state_dict(),
        "model_state_dict": network.state_dict(), "best_mean_iu": np.float64(0.5),
    }
    torch.save(checkpoint, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    expected = {
        name.removeprefix("module."): value.numpy() for name, value in network.state_dict().items()
    }
    assert_same(weights.load(tmp_path / "w.pth"), expected)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "stream"])
def test_a_whole_model_of_pytorch_is_refused(tmp_path, new):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=r"w\.pth.*Linear.*save its state_dict\(\) instead"):
        weights.load(tmp_path / "w.pth")


@pytest.mark.parametrize("mmap", [False, True])
def test_pytorch_reads_what_is_written_here(tmp_path, mmap):
    torch = pytest.importorskip("torch")
    state = {dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES} | STATE
    weights.save(tmp_path / "w.pth", state)
    got = torch.load(tmp_path / "w.pth", weights_only=True, mmap=mmap)
    assert type(got) is collections.OrderedDict
    assert_same({name: value.numpy() for name, value in got.items()}, state)
    assert all(value.data_ptr() % 64 == 0 for value in got.values() if value.numel()) or not mmap


def test_a_network_of_pytorch_takes_what_is_written_here(tmp_path):
    torch = pytest.importorskip("torch")
    weight, bias = RNG.standard_normal((4, 3)).astype(np.float32), np.ones(4, np.float32)
    weights.save(tmp_path / "w.pth", {"weight": weight, "bias": bias})
    layer = torch.nn.Linear(3, 4)
    layer.load_state_dict(torch.load(tmp_path / "w.pth", weights_only=True), strict=True)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), weight)
