"""The matrix product: the library that computes it, and its number of threads.

By default, OpenBLAS shares each large product between its threads, and everything between two
products runs on one thread while the others wait. So this package shares out the work itself: every
thread copies, multiplies and adds its own piece, and BLAS computes each product on the thread that
asks for it.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

# OpenBLAS's functions have other names in NumPy's wheels than in Linux distributions and conda.
NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)


def _find() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Return OpenBLAS's functions to get and set the number of threads, or None without it."""
    core = np._core if hasattr(np, "_core") else np.core
    # The system looks for a name in a library and in all libraries that it is linked with; Windows
    # looks only in the library itself.
    files = [core._multiarray_umath.__file__]
    files += Path(np.__file__).parents[1].glob("numpy.libs/*openblas*")
    for file in files:
        try:
            library = ctypes.CDLL(str(file))
        except (OSError, TypeError):  # a system without dynamic libraries
            continue
        for get_name, set_name in NAMES:
            if hasattr(library, get_name) and hasattr(library, set_name):
                get_threads, set_threads = library[get_name], library[set_name]
                get_threads.argtypes, get_threads.restype = [], ctypes.c_int
                set_threads.argtypes, set_threads.restype = [ctypes.c_int], None
                return get_threads, set_threads
    return None


def numpy_has_blas() -> bool:
    """Return whether NumPy was built with a BLAS; in WebAssembly, it was not."""
    return bool(np.show_config(mode="dicts")["Build Dependencies"]["blas"].get("found"))


def _scipy_blas() -> Any:
    try:
        from scipy.linalg import blas
    except ModuleNotFoundError:  # a browser loads SciPy only on request
        return None
    return blas


def scipy_matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Compute np.matmul with SciPy's BLAS for float32 and float64; without SciPy, with NumPy."""
    blas = _scipy_blas()
    if blas is None or a.dtype not in (np.float32, np.float64):
        return np.matmul(a, b, out=out)
    gemm = blas.sgemm if a.dtype == np.float32 else blas.dgemm
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if out is None:
        out = np.empty((*shape, a.shape[-2], b.shape[-1]), a.dtype)
    a, b = (np.broadcast_to(x, shape + x.shape[-2:]) for x in (a, b))
    for index in np.ndindex(shape):
        # BLAS works in Fortran's order, which is the transpose of C's.
        out[index] = gemm(1.0, b[index].T, a[index].T).T
    return out


matmul = np.matmul if numpy_has_blas() else scipy_matmul
_FUNCTIONS = _find()
_lock = threading.Lock()
_blocks = 0  # number of open `one_thread` blocks, in all threads
_before = 1  # the number of threads outside of them


def thread_count() -> int:
    """Return the number of threads that BLAS uses for a large product, outside `one_thread`.

    Returns
    -------
    int
        It depends on OPENBLAS_NUM_THREADS, OMP_NUM_THREADS, the package threadpoolctl and the
        processors of this process. It is 1 if the BLAS is not OpenBLAS: then the BLAS itself may
        share out products, but nothing else is shared.
    """
    if _FUNCTIONS is None:
        return 1
    with _lock:
        return _before if _blocks else _FUNCTIONS[0]()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let BLAS compute each product on the thread that asks for it, until the block ends."""
    global _blocks, _before
    if _FUNCTIONS is None:
        yield
        return
    get_threads, set_threads = _FUNCTIONS
    with _lock:
        if not _blocks:
            _before = get_threads()
            set_threads(1)
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                set_threads(_before)
