"""A trained network with fixed weights: the same scores in less time and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from fcn_numpy import fast
from fcn_numpy.geometry import Step, Traced, trace_all
from fcn_numpy.models.segmenter import Segmenter
from fcn_numpy.nn import Conv2d, Dropout2d, MaxPool2d, Parameter, ReLU
from fcn_numpy.window import Window


class Frozen:
    """A network in eval mode with fixed weights, for use in a ``with`` block.

    ``network(image)`` returns what ``model(image)`` returns, and takes two images if the model
    does. It computes what depends only on the weights once, applies bias, ReLU and 2x2 pooling to
    each piece of a convolution's output right after computing it, and lets feature maps share
    memory. (In float64, and within `fcn_numpy.algorithm`, it calls the model.)

    Inside the block, all weights are read-only: writing to one is an error, not a source of
    outdated scores. After the block, they are writable again.

    Parameters
    ----------
    model : FCN or LateFusion
        It stays in eval mode after the block.

    Examples
    --------
    >>> from fcn_numpy.models import TINY, FCN8s
    >>> model = FCN8s(21, TINY)
    >>> with Frozen(model) as network:
    ...     scores = network(np.zeros((1, 3, 64, 64), np.float32))
    >>> scores.shape
    (1, 21, 64, 64)
    """

    def __init__(self, model: Segmenter):
        self.model = model.eval()
        self.n_class, self.heads, self.inputs = model.n_class, model.heads, model.inputs
        self.backbone, self.takes = model.backbone, model.takes
        self._parameters: list[tuple[str, Parameter, np.ndarray, bool]] = []
        self._operations: list[_Operation] = []
        self._outputs: dict[str, int] = {}
        self._maps: fast.Maps | None = None

    def __enter__(self) -> Frozen:
        if self._parameters:
            raise RuntimeError("the network is frozen already")
        try:
            self._freeze()
        except BaseException:
            self._thaw()
            raise
        return self

    def _freeze(self) -> None:
        # Two layers may share a parameter.
        for p, name in {p: name for name, p in self.model.named_parameters()}.items():
            # The caller may hold a writable view of the old array, which cannot change a copy.
            # Other weights, such as that of fc6, are used directly and need no copy.
            if p.data.ndim == 4 and p.data.shape[2:] == (3, 3):
                p.data = p.data.copy()
            self._parameters.append((name, p, p.data, p.data.flags.writeable))
            p.data.flags.writeable = False
        if fast.CHOICE.get() == "auto" and self._parameters[0][2].dtype == np.float32:
            traced = trace_all(self.model, self.model.sizes.smallest)
            self._operations, self._outputs = _operations(traced)
            self._maps = fast.Maps()

    def _thaw(self) -> None:
        for _, _, data, writeable in reversed(self._parameters):  # two may share an array
            data.flags.writeable = writeable
        self._parameters, self._operations = [], []
        self._maps = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thaw()

    def __call__(self, *images: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
        """Return what the model returns: scores of shape (N, n_class, H, W), or a dict of them."""
        if not self._parameters:
            raise RuntimeError("Frozen: expected to be called inside its with block")
        for name, p, data, _ in self._parameters:
            if p.data is not data or data.flags.writeable:
                raise RuntimeError(f"{name} was replaced or made writable while it was frozen")
        if self._maps is None or fast.CHOICE.get() != "auto":
            return self.model(*images)
        self.model.check(*images)
        for image in images:
            if image.dtype != np.float32:
                raise ValueError(
                    f"expected images of float32, the dtype of the parameters, got {image.dtype}"
                )
        values = dict(enumerate(images))
        for function, inputs, output, unused in self._operations:
            values[output] = function(*(values[n] for n in inputs), maps=self._maps)
            for n in unused:
                self._maps.give_back(values.pop(n))
        scores = {name: values[number] for name, number in self._outputs.items()}
        return scores if self.heads else scores["scores"]


class _Operation(NamedTuple):
    """One step of the computation; values are numbered in order, the images first.

    Attributes
    ----------
    function : callable
    inputs : list of int
        The values that the function takes.
    output : int
        The value that it returns.
    unused : list of int
        Values in the memory of `fast.Maps` that no later step needs.
    """

    function: Callable[..., np.ndarray]
    inputs: list[int]
    output: int
    unused: list[int]


def _operations(traced: Traced) -> tuple[list[_Operation], dict[str, int]]:
    """Return the steps of a network, each convolution with the layers applied to its output.

    The second value gives the number of each output of the network.
    """
    operations: list[_Operation] = []
    steps = traced.steps
    numbers = {id(image): number for number, image in enumerate(traced.inputs)}
    takers, fused, copying = _takers(traced), set[int](), set[int]()
    for n, step in enumerate(steps):
        if n in fused:
            continue
        inputs = [numbers[id(x)] for x in step.inputs]
        if type(step.layer) is Dropout2d:  # does nothing in eval mode
            numbers[id(step.output)] = inputs[0]
            continue
        chain = _chain(steps, takers, n)
        fused.update(chain)
        output = len(traced.inputs) + len(operations)
        numbers[id(steps[chain[-1]].output)] = output
        function = _function([steps[k].layer for k in chain])
        operations.append(_Operation(function, inputs, output, []))
        if type(step.layer) is Conv2d:
            copying.add(output)
    outputs = {name: numbers[id(x)] for name, x in traced.outputs.items()}
    # Find the last operation that needs each value. Layers other than convolutions may return a
    # view of their input, which then must live as long as the view.
    end = len(operations)
    last = dict.fromkeys(outputs.values(), end)
    for n, (_, inputs, output, _) in reversed(list(enumerate(operations))):
        for number in inputs:
            needed = n if output in copying else last.get(output, n)
            last[number] = max(last.get(number, 0), needed)
    for output in copying:
        if last.get(output, end) < end:
            operations[last[output]].unused.append(output)
    return operations, outputs


def _takers(traced: Traced) -> list[list[int]]:
    """Return, for each step, the later steps that take its output; -1 stands for the caller."""
    makers: dict[int, int] = {}
    takers: list[list[int]] = [[] for _ in traced.steps]
    for n, step in enumerate(traced.steps):
        for x in step.inputs:
            if id(x) in makers:
                takers[makers[id(x)]].append(n)
        makers[id(step.output)] = n
    for x in traced.outputs.values():
        takers[makers[id(x)]].append(-1)
    return takers


def _chain(steps: Sequence[Step], takers: list[list[int]], first: int) -> list[int]:
    """Return a step; with a convolution, also the ReLU and 2x2 pool that alone take its output."""
    chain = [first]
    if type(steps[first].layer) is not Conv2d:
        return chain
    for fits in (lambda layer: type(layer) is ReLU, _halves):
        after = takers[chain[-1]]
        if len(after) == 1 and after[0] >= 0 and fits(steps[after[0]].layer):
            chain += after
    return chain


def _halves(layer: object) -> bool:
    return type(layer) is MaxPool2d and layer.window == Window((2, 2), (2, 2))


def _function(layers: list[Any]) -> Callable[..., np.ndarray]:
    """Return a function that computes a layer, or a convolution and the layers after it."""
    layer = layers[0]
    if type(layer) is not Conv2d:
        return lambda *inputs, maps: layer(*inputs)
    kinds = {type(each): each for each in layers}
    pool = kinds.get(MaxPool2d)
    finish = fast.Finish(None if layer.bias is None else layer.bias.data, ReLU in kinds)
    return fast.FrozenConv(
        layer.weight.data, layer.window, layer.groups, finish, pool is not None,
        ceil_mode=pool is not None and pool.ceil_mode,
    )
