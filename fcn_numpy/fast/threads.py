"""Independent pieces of work, shared between threads.

NumPy releases the interpreter's lock while it copies or computes large arrays, so threads pay off
where each piece takes a millisecond or so. There are as many threads as the matrix product uses:
OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, and without them the processors of this process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

# BLAS libraries compute a product of up to about this many multiplications on the calling thread,
# and wake their own threads for larger ones. `share_out` is for work made of small products.
SMALL_PRODUCT = 1_000_000

# The size of a piece of an array, and the size of an array below which threads do not pay off.
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
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item], in_threads: bool = True
) -> list[Result]:
    """Call ``work(items[k::n])`` on thread k of n.

    Which items go together depends on n alone, never on time, so sums over the results are the
    same in every run.

    Parameters
    ----------
    work : callable
        Takes a sequence of items.
    items : sequence
    in_threads : bool
        If not, or with one thread or one item, it is a plain call.

    Returns
    -------
    list
        What `work` returned, thread by thread.
    """
    n = min(thread_count(), len(items)) if in_threads else 1
    if n <= 1:
        return [work(items)]
    errors = np.geterr()  # a thread begins with NumPy's defaults

    def in_thread(mine):
        with np.errstate(**errors):
            return work(mine)

    with ThreadPoolExecutor(n - 1) as pool:
        others = [pool.submit(in_thread, items[k::n]) for k in range(1, n)]
        first = work(items[0::n])
    return [first, *(other.result() for other in others)]


def share_out_pieces(work: Callable[[tuple], None], x: np.ndarray) -> None:
    """Call ``work(index)`` for the index of each piece of x, on several threads if x is large.

    A piece is a few channels of one image, small enough to stay in the cache while several
    operations go over it.

    Parameters
    ----------
    work : callable
        Takes an index.
    x : ndarray
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

    def work_on(mine):
        for index in mine:
            work(index)

    share_out(work_on, pieces, x.nbytes >= LARGE_BYTES)
