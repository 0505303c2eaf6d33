"""Read and write files: read only regular files; write a complete file or nothing."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

LONGEST_NAME, LONGEST_REASON = 180, 300
# Extension of an unfinished file; no other program's files have it.
UNFINISHED = ".fcn_numpy-part"
AN_HOUR = 3600.0
KINDS: dict[Callable[[int], bool], str] = {
    stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device", stat.S_ISBLK: "a device",
}


# ---------------------------------------------------------------- messages


def shown(text: object, limit: int = LONGEST_NAME) -> str:
    """Return text from elsewhere in a form that a message can quote.

    Escape what a terminal would obey or cannot show, and leave out the middle of a long text.

    Parameters
    ----------
    text : str or path-like
        Anything else is converted with `str`.
    limit : int
        The largest number of characters to return.

    Returns
    -------
    str

    Examples
    --------
    >>> shown("a\\x1b[31m name")
    'a\\\\x1b[31m name'
    """
    text = os.fsdecode(os.fspath(text)) if isinstance(text, os.PathLike) else str(text)
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in text[: limit // 2 + 1] + text[limit // 2 + 1 :][-limit:]
    )
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[len(text) - half:]}"


def reason_of(error: BaseException) -> str:
    """Return what an exception says, on one line of at most `LONGEST_REASON` characters."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown(" ".join(str(error).split()), LONGEST_REASON) or type(error).__name__


def message_of(error: BaseException) -> str:
    """Return what an exception says, with the file that it is about, on one line."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{reason_of(error)}: {shown(error.filename)}"
    return reason_of(error)


@contextlib.contextmanager
def errors_name(path: str | os.PathLike) -> Iterator[None]:
    """Put the file's name before the message of a ValueError raised in the block."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {reason_of(error)}") from error


# ---------------------------------------------------------------- reading


@contextlib.contextmanager
def open_file(path: str | os.PathLike, limit: int) -> Iterator[IO[bytes]]:
    """Open a file for reading, if it is a regular file that is not too large.

    The check comes before opening the file, because opening a named pipe waits for a writer.

    Parameters
    ----------
    path : path-like
    limit : int
        The largest number of bytes that the file may have.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        If there is no such file, or it may not be read.
    ValueError
        If it is not a regular file, or larger than `limit`. The message does not name the file.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kinds = (name for test, name in KINDS.items() if test(status.st_mode))
        raise ValueError(f"expected a file, got {next(kinds, 'something else')}")
    if status.st_size > limit:
        raise ValueError(f"expected a file of at most {limit:,} bytes, got {status.st_size:,}")
    with open(path, "rb") as file:
        yield file


def read_text(path: str | os.PathLike, limit: int) -> str:
    """Read text in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Parameters
    ----------
    path : path-like
    limit : int
        The largest number of bytes that the file may have.

    Returns
    -------
    str

    Raises
    ------
    OSError
        If there is no such file, or it may not be read.
    ValueError
        As in `open_file`, or if the text is not UTF-8.
    """
    with open_file(path, limit) as file:
        data = file.read(limit + 1)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line}: expected UTF-8 text, got the byte {data[error.start]:#04x}"
        ) from error


def read_json(path: str | os.PathLike, limit: int) -> Any:
    """Read a JSON file, with arguments and errors as in `read_text`, also for invalid JSON."""
    text = read_text(path, limit)
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    except RecursionError:
        raise ValueError("expected JSON, got values nested too deeply") from None


def _unique(pairs):
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name occurs twice in it")
    return values


# ---------------------------------------------------------------- writing


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when it is complete.

    The data goes to a temporary file in the same folder, which is flushed to the disk and then
    renamed. A crash before that leaves the old file in place. An exception inside the block removes
    the temporary file; `remove_leftovers` removes the ones that a killed process left.

    Parameters
    ----------
    path : path-like
        Its folder must exist.

    Yields
    ------
    binary file

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    # A legal name stays legal with these additions.
    start = f".{path.name[:40]}."
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=start, suffix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; give this one the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, OSError) and error.errno is not None:
            # Raise it again with the name that the user knows.
            raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text in UTF-8, as a complete file or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process, and return whether that was possible.

    The lock ends when the file is closed, so it always ends with the process. On a system without
    locks, the answer is always yes.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    bool
        False if another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(file)
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _lock_on_windows(file):
    try:
        import msvcrt
    except ImportError:  # a browser
        return True
    place = file.tell()
    try:
        # Lock a byte beyond the end of the file, so that others can still read its bytes.
        file.seek(2**30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    finally:
        file.seek(place)
    return True


def remove_leftovers(folder: str | os.PathLike, age: float = 0) -> None:
    """Remove the temporary files of `atomic_write` that killed processes left in a folder.

    Parameters
    ----------
    folder : path-like
    age : float
        Remove only files that have not changed for this many seconds. If other processes may write
        to the folder, one of their files can be unlocked for a moment.
    """
    for path in Path(folder).glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError), open(path, "r+b") as file:
            # A process that is still writing the file holds the lock.
            if time.time() - os.fstat(file.fileno()).st_mtime >= age and lock(file):
                path.unlink()
