"""Worker processes that all run the same method, each on an object of its own.

The layers of a tiny network are too small for a matrix product to gain from a second core, and
NumPy does everything else on one core. So each worker is a Python process of its own whose BLAS
has a single thread.

A worker reads pickled messages from its standard input and writes its answers to its standard
output. It ends when its input ends, and so together with the process that started it, however
that process ends.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from fcn_numpy.files import reason_of

# Run by `python -I -c`, isolated: a file of the current folder that has the name of a module is
# never imported. This package is found by itself, as its folder may be the current one; everything
# else is found where the parent finds it.
PROGRAM = """
import importlib.machinery, importlib.util, sys
sys.path[:] = {paths!r}
spec = importlib.machinery.PathFinder.find_spec("fcn_numpy", [{root!r}])
sys.modules["fcn_numpy"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from fcn_numpy.training import workers
workers.main()
"""

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


def program() -> str:
    """Return the program of a worker.

    Returns
    -------
    str
        It looks for modules where this process does, but not in the current folder. If the
        standard library or NumPy is there, it is looked at last.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was removed: nothing can be imported from it
        here = ""
    paths = [os.path.abspath(path) for path in sys.path if path]
    kept = [path for path in paths if not _same_file(path, here)]
    needed = {os.path.dirname(os.__file__), _root("numpy")}
    kept += [path for path in needed if path in paths and path not in kept]
    return PROGRAM.format(paths=kept, root=_root("fcn_numpy"))


def _root(package):
    """Return the folder, or the zip, that a package is in."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None  # it is installed
    return os.path.dirname(os.path.dirname(os.path.abspath(spec.origin)))


def _same_file(path, other):
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


class WorkerFailed(ChildProcessError, RuntimeError):
    """A worker process met an error, or ended: an OSError, as for anything outside of this one."""


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
        code = program()
        for _ in jobs:
            self._processes.append(subprocess.Popen(
                [sys.executable, "-I", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pipesize=1 << 20,  # a message has some MB; not every system uses this
                env={**os.environ, **ENVIRONMENT},
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
        WorkerFailed
            If a call raised ValueError, OSError or MemoryError, with what that said; or if a
            worker has ended.
        """
        for process in self._processes:
            self._send(process, (method, arguments))
        answers = [self._receive(process) for process in self._processes]
        for answer in answers:
            if isinstance(answer, WorkerFailed):
                raise answer
        return answers

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
        try:
            status = process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended ({status})"
        raise WorkerFailed(f"a worker process {how}") from None


class WorkersInTurn:
    """The same as `WorkerPool`, but in this process, one after another.

    For systems without processes, such as Python in a browser. With one thread, as in a worker
    process, the results have the same bits.

    Parameters
    ----------
    jobs : sequence of Job
    """

    def __init__(self, jobs: Sequence[Job]):
        self._targets = [job.start() for job in jobs]

    def close(self) -> None:
        """Do nothing: there is no process to end."""

    def call(self, method: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a method of each object, as `WorkerPool.call` does."""
        try:
            return [method(target, *arguments) for target in self._targets]
        except (ValueError, OSError, MemoryError) as error:
            raise WorkerFailed(reason_of(error)) from error


def make_pool(jobs: Sequence[Job]) -> WorkerPool | WorkersInTurn:
    """Return workers in processes of their own, or in turn where there are no processes."""
    return WorkersInTurn(jobs) if sys.platform == "emscripten" else WorkerPool(jobs)


def _signal_name(number):
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    # The system ends processes so when memory is short.
    return f"{name}: was there too little memory?" if name == "SIGKILL" else name


def main() -> None:
    """Run a worker."""
    # What the called methods print must not end up between the answers.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    messages = sys.stdin.buffer
    try:
        target = pickle.load(messages).start()
        while True:
            method, arguments = pickle.load(messages)
            try:
                answer = method(target, *arguments)
            except (ValueError, OSError, MemoryError) as error:
                # Files change while a run reads them, and memory ends: nothing to trace.
                answer = WorkerFailed(reason_of(error))
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the parent has ended; nothing needs to be flushed
