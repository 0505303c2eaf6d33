"""Write an FCN as an ONNX file, for runtimes that know nothing about this package.

The graph comes from the traced steps of the model (`fcn_numpy.geometry.trace`), and a table maps
each layer to its ONNX operator. So there is no second description of the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import IO, Any

import numpy as np

from fcn_numpy import __version__
from fcn_numpy.card import Card
from fcn_numpy.files import atomic_write
from fcn_numpy.geometry import Traced, trace_all
from fcn_numpy.models import Segmenter
from fcn_numpy.nn import (
    Conv2d,
    ConvTranspose2d,
    Crop,
    Dropout2d,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Scale,
    Sum,
)
from fcn_numpy.weights.protobuf import field

# Shape has attributes `start` and `end` since opset 15. Older versions run in more places.
OPSET, IR_VERSION = 17, 8
# An ONNX file is a protobuf message, which must not be larger.
MAX_BYTES = 2**31 - 1


def export_onnx(path: str | os.PathLike, model: Segmenter, card: Card | None = None) -> None:
    """Write a network for inference as an ONNX file, whole or not at all.

    The file has one input, "image", float32, shape (N, 3, H, W), and one output, "scores", float32,
    shape (N, n_class, H, W). A `LateFusion` has two inputs, "color" and "hha". A network with
    several heads has one output for each head, under its name. N, H and W may differ from call to
    call.

    The file's doc_string says how to prepare the images (order and range of colors) and which
    heights and widths the network takes. The metadata says the same under "input" and "sizes", and
    has the names and colors of the classes as JSON under "classes" and "colors".

    Parameters
    ----------
    path : path-like
        Path of the file, used as given: no extension is added.
    model : FCN or LateFusion
        A network with any backbone, in either mode. It does not change. The file has no dropout. If
        the weights are not float32, they are converted to float32, because few runtimes convolve in
        float64.
    card : Card, optional
        What else is known about the network.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If `model` is not such a network, has a layer that ONNX export does not support (as
        PyramidPooling does), or its weights take more than 2 GB.

    Notes
    -----
    Initializers have the names of the parameters; values have the names of the layers. At a size
    that the network does not take, running the file fails, just as the model does.
    """
    if not isinstance(model, Segmenter):
        raise ValueError(f"export_onnx: expected an FCN, got {type(model).__name__}")
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "export_onnx needs the package onnx: pip install 'fcn_numpy[onnx]'"
        ) from error

    graph = _Graph(trace_all(model, model.sizes.smallest), tuple(model.inputs))
    outputs = model.heads or {"scores": model.n_class}
    card = Card() if card is None else card
    metadata = {
        **card.metadata(model),
        "sizes": f"height and width of {model.sizes}",
    }
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            [
                onnx.helper.make_node(op, inputs, [output], name=output, **attributes)
                for op, inputs, output, attributes in graph.nodes
            ],
            type(model).__name__,
            [_value(onnx, name, channels) for name, channels in model.inputs.items()],
            [_value(onnx, name, n_class) for name, n_class in outputs.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fcn_numpy",
        producer_version=__version__,
        doc_string=(
            f"{type(model).__name__} on {model.backbone.name}, {model.n_class} classes. "
            f"image: {metadata['input']}; {metadata['sizes']}."
        ),
    )
    onnx.helper.set_model_props(proto, metadata)
    with atomic_write(path) as file:
        _write(onnx, file, proto, graph.constants)


def _value(onnx, name, channels):
    return onnx.helper.make_tensor_value_info(
        name, onnx.TensorProto.FLOAT, ["N", channels, "H", "W"]
    )


class _Graph:
    """The nodes and constants of a traced network.

    Attributes
    ----------
    nodes : list of (operator, inputs, output, attributes)
    constants : dict of str to ndarray
    """

    def __init__(self, traced: Traced, inputs: tuple[str, ...]):
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray] = {}
        names = {id(x): name for x, name in zip(traced.inputs, inputs)}
        for step in traced.steps:
            # A subclass may compute something else, so the types must be equal.
            if type(step.layer) not in _OPERATORS:
                raise ValueError(
                    f"export_onnx: {step.name} is a {type(step.layer).__name__}, which cannot be "
                    f"written; expected {', '.join(layer.__name__ for layer in _OPERATORS)}"
                )
            given = [names[id(x)] for x in step.inputs]
            write = _OPERATORS[type(step.layer)]
            names[id(step.output)] = write(self, step.name, step.layer, *given)
        outputs = {names[id(x)]: name for name, x in traced.outputs.items()}
        used = {*inputs, *self.constants, *(node[2] for node in self.nodes)}
        for name in outputs.values():
            if name in used:
                raise ValueError(f"export_onnx: expected no head with the name of a layer, {name}")
        self.nodes = [
            (op, [outputs.get(x, x) for x in given], outputs.get(output, output), attributes)
            for op, given, output, attributes in self.nodes
        ]

    def add(self, op: str, inputs: Iterable[str], output: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        self.nodes.append((op, list(inputs), output, attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Add a constant; return its name."""
        self.constants[name] = np.asarray(value)
        return name


def _window(layer: Conv2d | ConvTranspose2d | MaxPool2d) -> dict[str, Any]:
    return {
        "kernel_shape": layer.kernel_size,
        "strides": layer.stride,
        "pads": layer.padding * 2,  # top, left, bottom, right
        "dilations": layer.dilation,
    }


def _conv(graph, name, layer, x, op="Conv", **attributes):
    inputs = [x, graph.constant(f"{name}.weight", layer.weight.data)]
    if layer.bias is not None:
        inputs.append(graph.constant(f"{name}.bias", layer.bias.data))
    if op == "Conv":
        attributes["group"] = layer.groups
    return graph.add(op, inputs, name, **_window(layer), **attributes)


def _conv_transpose(graph, name, layer, x):
    return _conv(graph, name, layer, x, "ConvTranspose", output_padding=layer.output_padding)


def _max_pool(graph, name, layer, x):
    return graph.add("MaxPool", [x], name, **_window(layer), ceil_mode=int(layer.ceil_mode))


def _local_response_norm(graph, name, layer, x):
    if layer.size % 2 == 0:  # ONNX has the extra channel after the middle, not before it
        raise ValueError(f"export_onnx: expected {name} of an odd size, got {layer.size}")
    sums = {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}
    return graph.add("LRN", [x], name, **sums)


def _relu(graph, name, layer, x):
    return graph.add("Relu", [x], name)


def _dropout(graph, name, layer, x):
    return x


def _crop(graph, name, layer, x, like):
    """Add ``x[:, :, oy : oy + H, ox : ox + W]``, with the H and W that `like` has at run time."""
    offset = graph.constant(f"{name}.offset", layer.offset)
    size = graph.add("Shape", [like], f"{name}.size", start=2, end=4)
    end = graph.add("Add", [offset, size], f"{name}.end")
    axes = graph.constant(f"{name}.axes", (2, 3))
    return graph.add("Slice", [x, offset, end, axes], name)


def _sum(graph, name, layer, a, b):
    return graph.add("Add", [a, b], name)


def _scale(graph, name, layer, x):
    return graph.add("Mul", [x, graph.constant(f"{name}.factor", layer.factor)], name)


_OPERATORS: dict[type, Callable[..., str]] = {
    Conv2d: _conv,
    ConvTranspose2d: _conv_transpose,
    MaxPool2d: _max_pool,
    LocalResponseNorm: _local_response_norm,
    ReLU: _relu,
    Dropout2d: _dropout,
    Crop: _crop,
    Sum: _sum,
    Scale: _scale,
}


def _write(onnx: Any, file: IO[bytes], proto: Any, constants: dict[str, np.ndarray]) -> None:
    """Write a model that has no constants yet, and add the constants.

    To serialize a complete model would take two or three more copies of all weights. A message is a
    list of fields, each after its number and length. So this function writes the constants one by
    one, directly from the parameters, as the last fields of the graph. The graph is the last field
    of the model.
    """
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    heads, size = [], len(graph)
    for name, value in constants.items():
        dtype = _dtype(value)
        n_bytes = value.size * dtype.itemsize
        data_type = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        tensor = onnx.TensorProto(name=name, dims=value.shape, data_type=data_type)
        head = tensor.SerializeToString() + field(onnx.TensorProto.RAW_DATA_FIELD_NUMBER, n_bytes)
        head = field(onnx.GraphProto.INITIALIZER_FIELD_NUMBER, len(head) + n_bytes) + head
        heads.append(head)
        size += len(head) + n_bytes
    start = proto.SerializeToString() + field(onnx.ModelProto.GRAPH_FIELD_NUMBER, size)
    if len(start) + size > MAX_BYTES:
        raise ValueError(
            f"export_onnx: expected a file of at most {MAX_BYTES} bytes, got {len(start) + size}"
        )
    file.write(start + graph)
    for head, value in zip(heads, constants.values()):
        file.write(head)
        file.write(np.asarray(value, _dtype(value), order="C").data)


def _dtype(value: np.ndarray) -> np.dtype:
    """Return the dtype to write a constant in: ONNX is little-endian."""
    return np.dtype("<f4" if value.dtype.kind == "f" else "<i8")
