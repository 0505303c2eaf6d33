"""Write output and errors to any terminal, in lines, without a traceback.

Nothing here imports NumPy, because this module runs before anything else is loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import NoReturn

from fcn_numpy.files import message_of, shown

LONGEST_LINE = 500


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Write the message to stderr and exit with status 2."""
        words = shown(" ".join(message.split()), LONGEST_LINE)
        self.exit(2, f"{self.prog}: error: {words} (try {self.prog} --help)\n")


def open_streams() -> None:
    """Make sure that stdout and stderr exist and accept any character.

    Characters that the encoding of the terminal lacks are escaped. If a stream was closed before
    the program started, its output is discarded.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def close_streams() -> None:
    """Discard the output that is still buffered, when nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def complain(command: str, error: BaseException, hint: str = "") -> None:
    """Write an error to stderr in one line; the faults of a folder take one line each.

    Parameters
    ----------
    command : str
    error : BaseException
    hint : str
        What the user can do; follows the message.
    """
    faults = getattr(error, "faults", None)
    # The user may copy the hint, so shorten the message instead.
    message = shown(message_of(error), max(200, LONGEST_LINE - len(hint)))
    if isinstance(faults, list):
        message = str(error)  # its lines are already escaped
    print(f"fcn-numpy {command}: error: {message}{hint}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_in_lines(command: str) -> Iterator[None]:
    """Write the warnings of this package to stderr, one line each."""
    from fcn_numpy.data.faults import DataWarning

    show = warnings.showwarning

    def write(message, category, *place):
        if issubclass(category, DataWarning):
            words = shown(message, LONGEST_LINE)
            print(f"fcn-numpy {command}: warning: {words}", file=sys.stderr, flush=True)
        else:
            show(message, category, *place)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = write
        yield


def typed(arguments: Sequence[str]) -> str:
    """Return a command line as a user would type it, with quotes where needed."""
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)
