"""Worker processes that all run the same method, each on a different object.

The layers of a tiny network are too small for a matrix product to gain from a second core, and
NumPy does everything else on one core. So each worker is a separate Python process, with a single
BLAS thread.

A worker reads pickled messages from its standard input and writes its answers to its standard
output. It ends when its input ends. This also happens when the process that started it ends, for
whatever reason.
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

# `python -I -c` runs this in isolation, so a file in the current folder with the name of a module
# is never imported. This package is looked up separately, because its folder may be the current
# one. Everything else is found where the parent finds it.
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
    # Use one thread, whichever BLAS NumPy was built with.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # Each step allocates and frees the same large arrays. With these settings glibc keeps their
    # memory instead of returning it to the system, which would zero it again. This saves 10 to 20
    # percent of a step.
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
        Python code that looks for modules where this process does, except in the current folder.
        If the standard library or NumPy is in the current folder, that folder is searched last.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:  # the folder was removed: nothing can be imported from it
        here = ""
    paths = [os.path.abspath(path) for path in sys.path if path]
    kept = [path for path in paths if not _same_file(path, here)]
    needed = {os.path.dirname(os.__file__), _root("numpy")}
    kept += [path for path in needed if path in paths and path not in kept]
    return PROGRAM.format(paths=kept, root=_root("fcn_numpy"))


def _root(package):
    """Return the folder or the zip file that contains a package."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None  # it is installed
    return os.path.dirname(os.path.dirname(os.path.abspath(spec.origin)))


def _same_file(path, other):
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


class WorkerFailed(ChildProcessError, RuntimeError):
    """A worker process raised an error or ended; an OSError, like other errors of the system."""


class Job(Protocol):
    """What a worker starts with; it is sent to the worker as a pickle."""

    def start(self) -> Any:
        """Return the object whose methods the worker calls; runs in the worker."""


class WorkerPool:
    """Several worker processes. Use it in a ``with`` block, or close it.

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
                pipesize=1 << 20,  # a message has a few MB; some systems ignore this
                env={**os.environ, **ENVIRONMENT},
                # Only the parent receives Ctrl-C from the terminal, on POSIX and on Windows.
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
        """Call a method in all workers at the same time.

        Parameters
        ----------
        method : function
            A method of the class of the workers' objects, such as ``PartWorker.compute``.
        *arguments
            Arguments of the method after `self`.

        Returns
        -------
        list
            The result of each call, in the order of the jobs.

        Raises
        ------
        WorkerFailed
            If a call raised ValueError, OSError or MemoryError (the message is the same), or if a
            worker ended.
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
        how = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended ({status})"
        raise WorkerFailed(f"a worker process {how}") from None


class WorkersInTurn:
    """The same as `WorkerPool`, but runs the jobs in this process, one after another.

    This is for systems without processes, such as Python in a browser. The results are bitwise the
    same if this process has one thread, as a worker process does.

    Parameters
    ----------
    jobs : sequence of Job
    """

    def __init__(self, jobs: Sequence[Job]):
        self._targets = [job.start() for job in jobs]

    def close(self) -> None:
        """Do nothing, because there is no process to end."""

    def call(self, method: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a method of each object, like `WorkerPool.call`."""
        try:
            return [method(target, *arguments) for target in self._targets]
        except (ValueError, OSError, MemoryError) as error:
            raise WorkerFailed(reason_of(error)) from error


def make_pool(jobs: Sequence[Job]) -> WorkerPool | WorkersInTurn:
    """Return workers in separate processes, or in this one if the system has no processes."""
    return WorkersInTurn(jobs) if sys.platform == "emscripten" else WorkerPool(jobs)


def _signal_name(number):
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    # The system kills processes with this signal when memory is short.
    return f"{name}: was there too little memory?" if name == "SIGKILL" else name


def main() -> None:
    """Run a worker."""
    # Output that the called methods print must not get between the answers.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    messages = sys.stdin.buffer
    try:
        target = pickle.load(messages).start()
        while True:
            method, arguments = pickle.load(messages)
            try:
                answer = method(target, *arguments)
            except (ValueError, OSError, MemoryError) as error:
                # A file changed, or memory ran out: a traceback would not help.
                answer = WorkerFailed(reason_of(error))
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the parent has ended; nothing needs to be flushed
