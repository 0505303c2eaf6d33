"""Share independent pieces of work between threads.

NumPy lets go of the interpreter while it copies or computes on large arrays, so threads gain where
each piece takes a millisecond or so. The number of threads is that of the matrix product: the
variables OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, and without them the processors this process
may run on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

# BLAS libraries multiply matrices of up to about so many multiplications on the calling thread, and
# wake their own threads for more. Work made of such small products is what `share_out` is good for.
SMALL_PRODUCT = 1_000_000

# A piece of an array that is worked on at a time, and the size from which on threads gain.
PIECE_BYTES = 1 << 20
LARGE_BYTES = 1 << 24

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count() -> int:
    """Return how many threads `share_out` uses."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value):
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_out(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item], several: bool = True
) -> list[Result]:
    """Call ``work(items[k::n])`` on thread k of n; return the results, thread by thread.

    Which items go together depends on n alone, never on time: sums over the results are the same
    in each run. With one thread or one item, or if `several` threads are not wanted, it is a plain
    call.
    """
    n = min(thread_count(), len(items)) if several else 1
    if n <= 1:
        return [work(items)]
    errors = np.geterr()  # a thread begins with NumPy's defaults

    def in_thread(some):
        with np.errstate(**errors):
            return work(some)

    with ThreadPoolExecutor(n - 1) as pool:
        others = [pool.submit(in_thread, items[k::n]) for k in range(1, n)]
        first = work(items[0::n])
    return [first, *(other.result() for other in others)]


def share_out_pieces(work: Callable[[tuple], None], x: np.ndarray) -> None:
    """Call ``work(index)`` for the index of each piece of x, on several threads if x is large.

    A piece is some channels of one image, few enough to stay in the cache while several operations
    go over it.
    """
    if x.ndim < 2:
        work((...,))
        return
    plane = x[0, 0].nbytes if x.size else 1
    channels = max(1, PIECE_BYTES // max(1, plane))
    pieces = [
        (image, slice(first, first + channels))
        for image in range(x.shape[0])
        for first in range(0, x.shape[1], channels)
    ]

    def work_on(some):
        for index in some:
            work(index)

    share_out(work_on, pieces, x.nbytes >= LARGE_BYTES)
