"""Worker processes that all run the same method, each on an object of its own.

The layers of a tiny network are too small for a matrix product to gain from a second core, and
NumPy does everything else on one core. So each worker is a Python process of its own whose BLAS
has a single thread.

A worker reads pickled messages from its standard input and writes its answers to its standard
output. It ends when its input ends, and so together with the process that started it, however
that process ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

# Not `python -m fcn_numpy.training.workers`, which would import this module twice.
PROGRAM = "from fcn_numpy.training import workers; workers.main()"

ENVIRONMENT = {
    # One thread for each BLAS that NumPy may have been built with.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # Each step allocates and frees the same large arrays. These settings of glibc keep their
    # memory, instead of returning it to the system, which would zero it again: this saves 10 to
    # 20 percent of a step.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    # Large memory pages make strided copies faster.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class Job(Protocol):
    """What a worker is started with; it is pickled."""

    def start(self) -> Any:
        """Return, in the worker, the object whose methods are called."""


class WorkerPool:
    """Several worker processes. To be closed, or used in a ``with`` block.

    Parameters
    ----------
    jobs : sequence of Job
        One for each worker.
    """

    def __init__(self, jobs: Sequence[Job]):
        self._processes: list[subprocess.Popen] = []
        for _ in jobs:
            self._processes.append(subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pipesize=1 << 20,  # a message has some MB; not every system uses this
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)},
                # Only the parent gets Ctrl-C from the terminal, on POSIX and on Windows.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            ))
        for process, job in zip(self._processes, jobs):
            self._send(process, job)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def call(self, method: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a method in each worker, all at the same time.

        Parameters
        ----------
        method : function
            A method of the class of the workers' objects, such as ``PartWorker.compute``.
        *arguments
            Its arguments after `self`.

        Returns
        -------
        list
            What each call returns, in the order of the jobs.

        Raises
        ------
        RuntimeError
            If a worker has ended; its own message is on the standard error.
        """
        for process in self._processes:
            self._send(process, (method, arguments))
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

    def _fail(self, process: subprocess.Popen) -> NoReturn:
        process.kill()
        raise RuntimeError(f"a worker process ended with exit status {process.wait()}") from None


def main() -> None:
    """Run a worker."""
    # What the called methods print must not end up between the answers.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    messages = sys.stdin.buffer
    try:
        target = pickle.load(messages).start()
        while True:
            method, arguments = pickle.load(messages)
            answer = method(target, *arguments)
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the parent has ended; nothing needs to be flushed
