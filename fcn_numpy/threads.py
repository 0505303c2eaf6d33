"""Share independent pieces of work between threads.

NumPy lets go of the interpreter while it copies or computes on large arrays, so threads gain where
each piece takes a millisecond or so. The number of threads is that of the matrix product: the
variables OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, and without them the processors this process
may run on.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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


def share_out(work: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
    """Call ``work(items[k::n])`` on thread k of n; return the results, thread by thread.

    Which items go together depends on n alone, never on time: sums over the results are the same
    in each run. With one thread, or one item, it is a plain call.
    """
    n = min(thread_count(), len(items))
    if n <= 1:
        return [work(items)]
    with ThreadPoolExecutor(n - 1) as pool:
        # With its context, so that np.errstate holds in the threads too.
        others = [
            pool.submit(contextvars.copy_context().run, work, items[k::n]) for k in range(1, n)
        ]
        first = work(items[0::n])
    return [first, *(other.result() for other in others)]
