"""The same task done in several processes, each on its share of the data.

The layers of a tiny network are too small for a matrix product to gain from a second core, and
NumPy does everything else on one. So each worker is a Python process of its own, with a BLAS of a
single thread.

A worker is started as ``python -m fcn_numpy.workers``. It reads pickled messages from its standard
input and answers on its standard output. It ends when its input ends, and so with the process
that started it, however that ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

ENVIRONMENT = {
    # One thread for each BLAS that NumPy may have been built with.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # The same large arrays come and go in every step. Where the C library is glibc, it keeps their
    # memory instead of handing it back and having it zeroed again: a tenth to a fifth of a step.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    # And in large pages, which strided copies find sooner.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class Share(Protocol):
    """What a worker is given when it starts: something to pickle, that knows what to do."""

    def start(self) -> Callable[[Any], Any]:
        """Make ready, in the worker; return the function that does a task."""


class Workers:
    """Processes that each do their share of a task. To be used in a ``with`` block.

    Parameters
    ----------
    shares : sequence of Share
        One for each worker.
    """

    def __init__(self, shares: Sequence[Share]):
        self._processes: list[subprocess.Popen] = []
        for _ in shares:
            self._processes.append(subprocess.Popen(
                [sys.executable, "-m", "fcn_numpy.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pipesize=1 << 20,  # a message is some MB; where the system lets us choose
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)},
                # Ctrl-C in the terminal is for the parent alone: POSIX's way, and Windows's.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            ))
        for process, share in zip(self._processes, shares):
            self._send(process, share)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def do(self, task: Any) -> list[Any]:
        """Send a task to each worker; return their answers, in the order of the shares.

        Raises
        ------
        RuntimeError
            If a worker has ended; what it had to say is on the standard error.
        """
        for process in self._processes:
            self._send(process, task)
        return [self._receive(process) for process in self._processes]

    def _send(self, process, message):
        try:
            pickle.dump(message, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
        except BrokenPipeError:
            self._fail(process)

    def _receive(self, process):
        try:
            return pickle.load(process.stdout)
        except (EOFError, pickle.UnpicklingError):
            self._fail(process)

    def _fail(self, process):
        process.kill()
        raise RuntimeError(f"a worker process ended, with exit status {process.wait()}") from None


def main() -> None:
    """Be a worker."""
    # What the work itself prints must not end up between the answers.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    tasks = sys.stdin.buffer
    try:
        do = pickle.load(tasks).start()
        while True:
            pickle.dump(do(pickle.load(tasks)), answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the parent has gone; nothing is left to be flushed


if __name__ == "__main__":
    main()
