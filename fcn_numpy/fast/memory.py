"""Arrays that are reused from call to call, because new memory is slow at first touch."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class Workspace:
    """Named arrays for the use of one thread at a time."""

    _idle: list[Workspace] = []

    def __init__(self):
        self._memory = {}

    @classmethod
    @contextmanager
    def borrow(cls) -> Iterator[Workspace]:
        """Lend a workspace that nobody else uses during the block."""
        try:
            workspace = cls._idle.pop()
        except IndexError:
            workspace = cls()
        try:
            yield workspace
        finally:
            cls._idle.append(workspace)

    def array(self, name: str, *shape: int, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
        """Return the array with this name in this shape, uninitialized."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = self._memory[name] = np.empty(size, np.uint8)
        return memory[:size].view(dtype).reshape(shape)


class Maps:
    """Memory for feature maps, handed from one layer to a later one; for any number of threads."""

    def __init__(self):
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of float32 in this shape, uninitialized."""
        size = math.prod(shape)
        with self._lock:
            fitting = [memory for memory in self._free if memory.size >= size]
            memory = min(fitting, key=lambda memory: memory.size, default=None)
            # If none fits, let go of the one that has been free the longest.
            unused = self._free[0] if memory is None and self._free else memory
            self._free = [other for other in self._free if other is not unused]
        if memory is None:
            memory = np.empty(size, np.float32)
        return memory[:size].reshape(shape)

    def give_back(self, x: np.ndarray) -> None:
        """Make the memory of an array from `take` available again."""
        memory = x
        while memory.base is not None:
            memory = memory.base
        with self._lock:
            self._free.append(memory)
