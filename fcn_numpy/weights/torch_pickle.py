"""Find out what the pickle of a state_dict describes, without running it.

A pickle is a program. `pickle` runs this program and allocates the memory that it claims.
`_Machine` knows only the opcodes and the names that a state_dict needs and rejects all others, so
it cannot run anything harmful. Its result is at most as large as its input, and it never walks
through nested values, however deep they are.
"""

from __future__ import annotations

import io
import math
import pickletools
from dataclasses import dataclass
from typing import Any

# "bf2" is bfloat16; see `fcn_numpy.weights.safetensors.read_numbers`.
KINDS = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf2",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "b1",
}
# A state_dict takes about 60 steps per tensor, so this allows thousands.
STEP_LIMIT = 1_000_000
MOST_AXES = 32


# ---------------------------------------------------------------- what a pickle describes


@dataclass(eq=False)
class Storage:
    """Numbers somewhere in the file."""

    key: str
    kind: str
    count: int


@dataclass(eq=False)
class _Window:
    """The part of a storage that tensors may use: all of it, except for views in very old files."""

    storage: Storage
    start: int
    count: int


@dataclass(eq=False)
class Tensor:
    """The position of a tensor in a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.size)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements are contiguous in the storage."""
        steps = [math.prod(self.size[axis + 1 :]) for axis in range(len(self.size))]
        return all(n == 1 or a == b for n, a, b in zip(self.size, self.stride, steps))


@dataclass(eq=False)
class _Global:
    """A name that a pickle may use: a type of storage (kind) or a callable."""

    kind: str | None = None
    call: Any = None


class _Opaque:
    """A placeholder for known harmless objects other than weights, which are not built."""


def _is_whole(*values):
    return all(type(n) is int and 0 <= n < 2**63 for n in values)


def about(value: Any) -> str:
    """Describe a value of unknown size in a few words."""
    if type(value) in (str, int, float, bool):
        return f"{value!r:.80}"
    return type(value).__name__.lstrip("_")


def _rebuild_tensor(machine, args):
    if len(args) < 4 or type(args[0]) is not _Window:
        raise ValueError("expected a tensor's storage, offset, size and stride in its pickle")
    window, offset, size, stride = args[:4]
    for axes in (size, stride):
        if type(axes) is not tuple or len(axes) > MOST_AXES or not _is_whole(*axes):
            raise ValueError("expected whole numbers as a tensor's size and stride")
    if len(size) != len(stride) or not _is_whole(offset):
        raise ValueError("expected a tensor's offset, and as many strides as sizes")
    tensor = Tensor(window.storage, window.start + offset, size, stride)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if tensor.count and last >= window.count:
        raise ValueError(
            f"expected a tensor within the {window.count} numbers of its storage, got one up to "
            f"number {last + 1}"
        )
    if tensor.count > window.count:
        raise ValueError(
            f"expected a tensor that uses each number of its storage once, got {tensor.count} of "
            f"{window.count}"
        )
    return tensor


def _rebuild_parameter(machine, args):
    if not args or type(args[0]) is not Tensor:
        raise ValueError("expected a tensor in a parameter")
    return args[0]


def _ordered_dict(machine, args):
    """Return a dict; Python 2 gives its pairs as an argument."""
    if not args:
        return {}
    if len(args) != 1 or type(args[0]) is not list:
        raise ValueError("expected a list of pairs for an OrderedDict")
    machine.spend(len(args[0]))
    target: dict = {}
    for item in args[0]:
        if type(item) not in (list, tuple) or len(item) != 2:
            raise ValueError("expected a list of pairs for an OrderedDict")
        _put(target, *item)
    return target


def _put(target, key, value):
    # Hashing a deeply nested tuple would overflow the interpreter's stack.
    if type(key) not in (str, int):
        raise ValueError(f"expected text or whole numbers as keys, got {type(key).__name__}")
    if key in target:
        raise ValueError(f"its pickle has {about(key)} twice")
    target[key] = value


def _size(machine, args):
    if len(args) != 1 or type(args[0]) is not tuple:
        raise ValueError("expected a tuple in a torch.Size")
    return args[0]


def _opaque(machine, args):
    return _Opaque()


_GLOBALS = {
    "collections.OrderedDict": _Global(call=_ordered_dict),
    "torch._utils._rebuild_tensor": _Global(call=_rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": _Global(call=_rebuild_tensor),
    "torch._utils._rebuild_parameter": _Global(call=_rebuild_parameter),
    "torch.Size": _Global(call=_size),
    # A NumPy scalar, such as the best score so far in pytorch-fcn's checkpoints.
    "numpy.core.multiarray.scalar": _Global(call=_opaque),
    "numpy._core.multiarray.scalar": _Global(call=_opaque),
    "numpy.dtype": _Global(call=_opaque),
    "_codecs.encode": _Global(call=_opaque),
} | {
    f"{module}.{name}": _Global(kind=kind)
    for module in ("torch", "torch.cuda") for name, kind in KINDS.items()
}


# ---------------------------------------------------------------- the machine


_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


class _Machine:
    """Interprets one pickle, with a stack, a memo, and a method for each allowed opcode.

    Parameters
    ----------
    file : binary file in memory
        The file; afterward, its position is after the pickle.
    """

    def __init__(self, file: io.BytesIO):
        self.file = file
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.steps = 0

    def run(self) -> Any:
        """Return what the pickle describes.

        Raises
        ------
        ValueError
            If the pickle is damaged, or uses something that no state_dict needs.
        """
        while True:
            self.spend(1)
            opcode = _OPCODES.get(self.file.read(1))
            if opcode is None:
                raise ValueError("its pickle is damaged, or too long for a state_dict")
            # Reject an opcode before reading its argument.
            method = _METHODS.get(opcode.name)
            if method is None:
                raise ValueError(
                    f"its pickle uses {opcode.name}, which no state_dict needs; nothing was run"
                )
            if opcode.name == "STOP":
                return self.pop()
            method(self, self.argument_of(opcode))

    def spend(self, steps):
        self.steps += steps
        if self.steps > STEP_LIMIT:
            raise ValueError(f"its pickle takes more than {STEP_LIMIT} steps")

    def argument_of(self, opcode):
        try:
            if opcode.name == "GLOBAL":  # read it verbatim; pickletools would decode escapes
                return self.read_line(), self.read_line()
            return opcode.arg.reader(self.file) if opcode.arg else None
        except ValueError as error:
            raise ValueError(f"its pickle is damaged: {error}") from None

    def read_line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise ValueError("a name does not end")
        return line[:-1].decode()

    def pop(self):
        if not self.stack:
            raise ValueError("its pickle is damaged: its stack is empty")
        return self.stack.pop()

    def pop_mark(self):
        if not self.marks or self.marks[-1] > len(self.stack):
            raise ValueError("its pickle is damaged: a mark is missing")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def top(self, kind):
        if not self.stack or type(self.stack[-1]) is not kind:
            raise ValueError(f"its pickle is damaged: expected a {kind.__name__} on its stack")
        return self.stack[-1]

    def push(self, value):
        self.stack.append(value)

    def mark(self, _):
        self.marks.append(len(self.stack))

    def tuple_of(self, count):
        if count > len(self.stack):
            raise ValueError("its pickle is damaged: its stack is empty")
        start = len(self.stack) - count
        values = tuple(self.stack[start:])
        del self.stack[start:]
        self.push(values)

    def remember(self, index):
        if not self.stack:
            raise ValueError("its pickle is damaged: its stack is empty")
        # MEMOIZE has no index: it counts.
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def recall(self, index):
        if index not in self.memo:
            raise ValueError("its pickle is damaged: it recalls a value that it did not store")
        self.push(self.memo[index])

    def append(self, _):
        value = self.pop()
        self.top(list).append(value)

    def appends(self, _):
        values = self.pop_mark()
        self.top(list).extend(values)

    def set_item(self, _):
        value, key = self.pop(), self.pop()
        _put(self.top(dict), key, value)

    def set_items(self, _):
        values = self.pop_mark()
        if len(values) % 2:
            raise ValueError("its pickle is damaged: a value is missing in a dict")
        target = self.top(dict)
        for key, value in zip(values[::2], values[1::2]):
            _put(target, key, value)

    def find(self, names):
        name = ".".join(names)
        if name not in _GLOBALS:
            # Names of classes begin with a capital letter.
            hint = (
                "; if this is a whole model, save its state_dict() instead"
                if names[1][:1].isupper() else ""
            )
            raise ValueError(
                f"its pickle asks for {repr(name)[1:-1]:.80}, which no state_dict needs; nothing "
                f"was run{hint}"
            )
        self.push(_GLOBALS[name])

    def find_on_stack(self, _):
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("its pickle is damaged: expected a name on its stack")
        self.find((module, name))

    def reduce(self, _):
        args, function = self.pop(), self.pop()
        if type(function) is not _Global or function.call is None or type(args) is not tuple:
            raise ValueError("its pickle calls something that is not a function of a state_dict")
        self.push(function.call(self, args))

    def build(self, _):
        # The state of a state_dict is its _metadata, the versions of the layers. It is not needed.
        self.pop()
        if not self.stack or type(self.stack[-1]) not in (dict, _Opaque):
            raise ValueError("its pickle sets the state of something that is not a state_dict")

    def persistent(self, _):
        """Push the storage that ('storage', type, key, location, count[, view]) describes."""
        name = self.pop()
        if type(name) is not tuple or len(name) not in (5, 6) or type(name[0]) is not str:
            raise ValueError("expected the description of a storage in its pickle")
        word, kind, key, _, count = name[:5]
        if word != "storage":
            raise ValueError(f"expected a storage in its pickle, got {about(word)}")
        if type(kind) is not _Global or kind.kind is None or type(key) is not str:
            raise ValueError("expected the type and the key of a storage in its pickle")
        if not _is_whole(count):
            raise ValueError(f"expected the size of a storage, got {about(count)}")
        storage = self.storages.setdefault(key, Storage(key, kind.kind, count))
        if (storage.kind, storage.count) != (kind.kind, count):
            raise ValueError(f"its pickle describes storage {about(key)} in two ways")
        self.push(_window(storage, name[5] if len(name) == 6 else None))


def _window(storage, view):
    """Return the part of a storage that (key, offset, count) selects."""
    if view is None:
        return _Window(storage, 0, storage.count)
    if type(view) is not tuple or len(view) != 3 or not _is_whole(*view[1:]):
        raise ValueError("expected the key, offset and size of a storage's view in its pickle")
    _, start, count = view
    if start + count > storage.count:
        raise ValueError(f"expected a view within the {storage.count} numbers of its storage")
    return _Window(storage, start, count)


def _pushes(make):
    return lambda machine, _: machine.push(make())


_METHODS = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": _Machine.mark,
    "NONE": _pushes(lambda: None),
    "NEWTRUE": _pushes(lambda: True),
    "NEWFALSE": _pushes(lambda: False),
    "EMPTY_DICT": _pushes(dict),
    "EMPTY_LIST": _pushes(list),
    "EMPTY_TUPLE": _pushes(tuple),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.find,
    "STACK_GLOBAL": _Machine.find_on_stack,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
} | dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember) | dict.fromkeys(
    ("BINGET", "LONG_BINGET"), _Machine.recall
) | dict.fromkeys(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
     "BINSTRING", "SHORT_BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), _Machine.push
)


def describe(file: io.BytesIO) -> tuple[Any, dict[str, Storage]]:
    """Return what a pickle describes.

    Parameters
    ----------
    file : binary file in memory
        The file; afterward, its position is after the pickle.

    Returns
    -------
    value
        A dict, list, tuple, str or number; a tensor becomes a `Tensor`.
    storages : dict of str to Storage
        All storages that the tensors use, by key.

    Raises
    ------
    ValueError
        If the pickle is damaged, or uses something that no state_dict needs. Nothing is run.
    """
    machine = _Machine(file)
    return machine.run(), machine.storages
