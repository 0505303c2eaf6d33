"""What the commands share: the parser, types of numbers, --classes, and complaints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from fcn_numpy.data import Classes, DataFaults, read_classes


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Write the message to stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


def complain(command: str, error: Exception) -> None:
    """Write an error to stderr in one line; the faults of a folder follow in a line each."""
    if isinstance(error, DataFaults):
        message = str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        # os.replace reports two names; the second is the one that the user knows.
        message = f"{error.strerror}: {error.filename2 or error.filename}"
    else:
        message = " ".join(str(error).split()) or type(error).__name__
    print(f"fcn-numpy {command}: error: {message}", file=sys.stderr)


def whole_number(minimum: int) -> Callable[[str], int]:
    """Return a type of argument: whole numbers of at least `minimum`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {minimum}, got {text!r}"
            )
        return value

    return convert


def number(limits: str, suits: Callable[[float], bool]) -> Callable[[str], float]:
    """Return a type of argument: numbers within limits.

    Parameters
    ----------
    limits : str
        What the error says of them: "above 0".
    suits : callable
        Returns whether a number is within them; for NaN it must be false.

    Returns
    -------
    callable
        Converts a text to a float, or raises argparse.ArgumentTypeError.
    """

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not suits(value):
            raise argparse.ArgumentTypeError(f"expected a number {limits}, got {text!r}")
        return value

    return convert


def given(options: argparse.Namespace, actions: Iterable[argparse.Action]) -> list[str]:
    """Return which of some options the user gave, as "--name"."""
    return [
        action.option_strings[0] for action in actions
        if getattr(options, action.dest) is not action.default
    ]


def add_classes(group: argparse._ActionsContainer, default: str) -> argparse.Action:
    """Add the option --classes, whose help ends with what is the default."""
    return group.add_argument(
        "--classes", metavar="LIST",
        help="names of the classes in the order of their numbers, separated by commas "
        f"(background,cat,dog), or a CSV file of names and colors (default: {default})",
    )


def parse_classes(text: str | None) -> tuple[Classes | None, bool]:
    """Return the classes that --classes lists, if it was given, and whether it lists colors."""
    if text is None:
        return None, False
    if text.lower().endswith(".csv") or Path(text).is_file():
        return read_classes(text)
    return Classes.named([name.strip() for name in text.split(",")]), False
