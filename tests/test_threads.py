"""Work shared out between threads is done once, in order, and with the caller's settings."""

import os
import threading

import numpy as np
import pytest

from fcn_numpy.fast import threads
from fcn_numpy.fast.threads import share_out, share_out_pieces, thread_count


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")


def test_each_thread_gets_every_nth_item_and_results_keep_their_order():
    assert share_out(list, range(8)) == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert share_out(list, range(2)) == [[0], [1]]
    assert share_out(list, range(8), in_threads=False) == [list(range(8))]
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


@pytest.mark.parametrize(
    ("openblas", "omp", "expected"), [("2", "5", 2), (None, "5", 5), ("no", "4", 4)]
)
def test_thread_count_is_that_of_the_matrix_product(monkeypatch, openblas, omp, expected):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    for name, value in (("OPENBLAS_NUM_THREADS", openblas), ("OMP_NUM_THREADS", omp)):
        if value:
            monkeypatch.setenv(name, value)
    assert thread_count() == expected


def test_thread_count_without_variables(monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert 1 <= thread_count() <= os.cpu_count()
