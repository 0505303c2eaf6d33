"""docs/weights.md: what its program makes of a .caffemodel."""

import re
from pathlib import Path

import numpy as np
import pytest

from fcn_numpy import weights
from fcn_numpy.models import TINY, FCN8s

pytest.importorskip("google.protobuf", reason="the program needs the package protobuf")
PAGE = Path(__file__).parent.parent / "docs" / "weights.md"


@pytest.fixture(scope="module")
def convert():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert len(blocks) == 1
    names = {"__name__": "page"}
    exec(compile(blocks[0], str(PAGE), "exec"), names)
    return names["convert"]


def varint(n):
    groups = []
    while n > 127:
        groups.append(n & 127 | 128)
        n >>= 7
    return bytes([*groups, n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(place, value):
    return varint(place << 3) + varint(value)


def blob(array, old):
    data = field(5, array.astype("<f4").tobytes())
    if not old:
        return field(7, field(1, b"".join(map(varint, array.shape)))) + data
    sizes = (1,) * (4 - array.ndim) + array.shape
    return b"".join(number(i, n) for i, n in enumerate(sizes, 1)) + data


def caffemodel(state, old):
    """Write what Caffe does, by the field numbers of caffe.proto, among fields of other kinds."""
    layers: dict[str, list] = {}
    for name, value in state.items():
        layers.setdefault(name.split(".")[0], []).append(value)
    net = field(1, b"a net")
    for name, values in layers.items():
        if old:
            body = field(2, b"bottom") + field(4, name.encode()) + number(5, 4)
        else:
            body = field(1, name.encode()) + field(2, b"Convolution") + number(10, 1)
        body += b"".join(field(6 if old else 7, blob(value, old)) for value in values)
        net += field(2 if old else 100, body)
    return net


@pytest.mark.parametrize("old", [False, True])
def test_a_caffemodel_becomes_an_fcn(convert, tmp_path, old):
    model = FCN8s(3, TINY, rng=np.random.default_rng(0))
    state = model.state_dict()
    (tmp_path / "x.caffemodel").write_bytes(caffemodel(state, old))
    convert(tmp_path / "x.caffemodel", tmp_path / "x.npz")
    again = FCN8s.from_file(tmp_path / "x.npz")
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


@pytest.mark.parametrize("old", [False, True])
def test_fully_connected_layers_keep_two_axes(convert, tmp_path, old):
    state = {"fc6.weight": np.arange(6.0).reshape(2, 3), "fc6.bias": np.arange(2.0)}
    (tmp_path / "x.caffemodel").write_bytes(caffemodel(state, old))
    convert(tmp_path / "x.caffemodel", tmp_path / "x.npz")
    loaded = weights.load(tmp_path / "x.npz")
    assert {name: value.shape for name, value in loaded.items()} == {
        "fc6.weight": (2, 3), "fc6.bias": (2,)
    }
    np.testing.assert_array_equal(loaded["fc6.weight"], state["fc6.weight"])
