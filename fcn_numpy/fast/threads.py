"""Independent pieces of work, shared between threads.

NumPy releases the interpreter's lock while it copies, computes or multiplies large arrays, so
threads pay off if each piece takes a few tenths of a millisecond. There are as many threads as the
matrix product would use.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from fcn_numpy.fast import blas

# The size of a piece of an array, and the size of an array below which threads do not pay off.
PIECE_BYTES = 1 << 20
LARGE_BYTES = 1 << 22
# The same for a matrix product, in multiplications.
LARGE_PRODUCT = 10_000_000
# This many threads can share a number of pieces that `even` returns, with equally many for each. It
# is not the actual number of threads: then the pieces, and so the rounding, would depend on it.
SHARERS = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


@functools.cache
def _threads(n: int) -> ThreadPoolExecutor:
    """Return n threads, and keep them: starting threads takes longer than a small layer."""
    return ThreadPoolExecutor(n, thread_name_prefix="fcn_numpy")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a fork has no threads


def share_out(work: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
    """Call ``work(items[k::n])`` on thread k of n.

    Which items go together depends only on n, never on time, so sums over the results are the same
    in every run. Matrix products inside run on one thread each, even if there is only one item:
    OpenBLAS's own threads keep waiting for work for a few milliseconds after each product, and
    would take the processor away from the next piece of work.

    Parameters
    ----------
    work : callable
        Takes a sequence of items. It must not call `share_out`.
    items : sequence
        With one item, or one thread, this is a plain call.

    Returns
    -------
    list
        The results of `work`, thread by thread.
    """
    n = min(blas.thread_count(), len(items))
    if n <= 1:
        with blas.one_thread():
            return [work(items)]
    errors = np.geterr()  # a thread starts with NumPy's defaults

    def in_thread(mine):
        with np.errstate(**errors):
            return work(mine)

    with blas.one_thread():
        others = [_threads(n - 1).submit(in_thread, items[k::n]) for k in range(1, n)]
        try:
            first = work(items[0::n])
        finally:
            # Whatever happens here, no thread must still be writing when the caller continues.
            failures = [other.exception() for other in others]
    for failure in failures:
        if failure is not None:
            raise failure
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

    if x.nbytes >= LARGE_BYTES:
        share_out(work_on, pieces)
    else:
        work_on(pieces)


def parts(length: int, count: int) -> list[slice]:
    """Cut a length into `count` slices of nearly equal size, or fewer if it is too short."""
    count = max(1, min(count, length))
    edges = [length * k // count for k in range(count + 1)]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:])]


def even(count: int) -> int:
    """Return the next number of pieces that threads can share evenly."""
    return -(-count // SHARERS) * SHARERS
