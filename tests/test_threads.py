"""Work shared out between threads is done once, in order, and with the caller's settings."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fcn_numpy.fast import blas, threads
from fcn_numpy.fast.threads import parts, share_out, share_out_pieces


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(blas, "thread_count", lambda: 3)


def test_each_thread_gets_every_nth_item_and_results_keep_their_order():
    assert share_out(list, range(8)) == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert share_out(list, range(2)) == [[0], [1]]
    assert share_out(list, []) == [[]]


def test_they_are_threads():
    barrier = threading.Barrier(3, timeout=30)  # passes only if three are there at once
    share_out(lambda _: barrier.wait(), range(3))


@pytest.mark.parametrize("failing", range(3))
def test_an_error_in_any_thread_is_the_callers(failing):
    def work(items):
        if failing in items:
            raise RuntimeError("in a thread")

    with pytest.raises(RuntimeError, match="in a thread"):
        share_out(work, range(3))


def test_errstate_holds_in_the_threads():
    def overflow(_):
        return np.float32(1e38) * np.float32(10)

    with np.errstate(over="ignore"):
        assert share_out(overflow, range(3)) == [np.inf] * 3
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        share_out(overflow, range(3))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2, 7, 6), (2, 5, 4, 3), (0, 3, 2)])
def test_pieces_cover_an_array_once(monkeypatch, large, shape):
    monkeypatch.setattr(threads, "PIECE_BYTES", 200)
    monkeypatch.setattr(threads, "LARGE_BYTES", 0 if large else 10**9)
    x = np.zeros(shape)

    def add_one(index):
        x[index] += 1

    share_out_pieces(add_one, x)
    np.testing.assert_array_equal(x, np.ones(shape))


def test_an_error_is_raised_after_all_threads_have_ended():
    ended = []

    def work(items):
        if 0 in items:
            raise RuntimeError("at once")
        time.sleep(0.2)
        ended.append(items)

    with pytest.raises(RuntimeError, match="at once"):
        share_out(work, range(3))
    assert len(ended) == 2


@pytest.mark.parametrize("count", [1, 2, 5, 7, 9])
def test_parts_cut_evenly(count):
    cut = parts(7, count)
    assert [n for part in cut for n in range(part.start, part.stop)] == list(range(7))
    lengths = [part.stop - part.start for part in cut]
    assert len(cut) == min(count, 7) and max(lengths) - min(lengths) <= 1


# --- How many threads the matrix product has -----------------------------------------------


# By what NumPy says of itself: that its functions were not found would be an error.
BUILT_WITH = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
of_openblas = pytest.mark.skipif(
    "openblas" not in BUILT_WITH, reason=f"NumPy was built with {BUILT_WITH}, not with OpenBLAS"
)

PROGRAM = """
import numpy as np
from fcn_numpy.fast import blas
from fcn_numpy.fast.threads import share_out
counts = share_out(lambda items: blas._FUNCTIONS and blas._FUNCTIONS[0](), range(4))
print(blas.thread_count(), counts, blas.thread_count())
"""


@of_openblas
@pytest.mark.parametrize("count", [1, 2])
def test_products_run_on_one_thread_while_work_is_shared(count):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(count)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    count = min(count, os.cpu_count())
    assert done.stdout == f"{count} {[1] * count} {count}\n", done.stderr


@of_openblas
def test_the_number_of_threads_comes_back_after_an_error_and_from_nested_blocks(monkeypatch):
    monkeypatch.undo()
    before = blas._FUNCTIONS[0]()
    with pytest.raises(RuntimeError), blas.one_thread():
        with blas.one_thread():
            assert (blas._FUNCTIONS[0](), blas.thread_count()) == (1, before)
        assert blas._FUNCTIONS[0]() == 1
        raise RuntimeError
    assert blas._FUNCTIONS[0]() == before


def test_without_openblas_nothing_is_shared(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(blas, "_FUNCTIONS", None)
    assert blas.thread_count() == 1
    assert share_out(list, range(3)) == [[0, 1, 2]]


# --- Whose product it is --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (4, 5)), ((1, 4), (4, 1)), ((2, 3, 4), (2, 4, 5)), ((3, 4), (6, 4, 5)),
     ((2, 1, 3, 4), (5, 4, 2))],
)
def test_the_product_of_scipy_is_that_of_numpy(dtype, a, b):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in (a, b))
    turned = np.ascontiguousarray(b.swapaxes(-2, -1)).swapaxes(-2, -1)
    for x, y in ((a, b), (a, turned), (np.repeat(a, 2, axis=-1)[..., ::2], b)):
        expected = np.matmul(a, b)
        out = np.full_like(expected, np.nan)
        assert blas.scipy_matmul(x, y, out=out) is out
        for value in (out, blas.scipy_matmul(x, y)):
            assert value.dtype == dtype
            np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("built_with", "has_one"),
    [({"name": "scipy-openblas", "found": True}, True), ({"name": "auto"}, False)],
    ids=["a wheel", "Pyodide"],
)
def test_whether_numpy_has_a_blas(monkeypatch, built_with, has_one):
    config = {"Build Dependencies": {"blas": built_with}}
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    assert blas.numpy_has_blas() is has_one


def test_the_product_is_numpys_where_it_has_a_blas():
    assert blas.matmul is (np.matmul if blas.numpy_has_blas() else blas.scipy_matmul)


def test_without_scipy_numpy_multiplies(monkeypatch):
    """In a browser SciPy may come later."""
    a, b = np.random.default_rng(0).random((2, 3, 4)), np.random.default_rng(1).random((4, 5))
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    np.testing.assert_array_equal(blas.scipy_matmul(a, b), a @ b)
    monkeypatch.undo()
    np.testing.assert_allclose(blas.scipy_matmul(a, b), a @ b)
