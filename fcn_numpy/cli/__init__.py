"""The command line: fcn-numpy train, evaluate, predict, explain, export, gradcheck, summary.

Each command is a module with two functions: `add_arguments` describes the command to a parser, and
`run` executes it and returns the exit status.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Sequence

from fcn_numpy import __version__
from fcn_numpy.cli.output import (
    Parser,
    close_streams,
    complain,
    open_streams,
    warnings_in_lines,
)

COMMANDS = {
    "train": "train an FCN on toy shapes, or on your own images",
    "evaluate": "score networks on labeled images",
    "predict": "segment image files",
    "explain": "show what each stream of a network contributes to a score",
    "export": "convert weights to the format of another library",
    "gradcheck": "check every backward pass against finite differences",
    "summary": "list the layers of a model",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments without the program name. By default, the arguments of the process.

    Returns
    -------
    int
        The exit status that `run` returns.
    """
    return run(parse(sys.argv[1:] if arguments is None else arguments))


def run(options: argparse.Namespace) -> int:
    """Run a command.

    Parameters
    ----------
    options : Namespace
        The result of `parse`.

    Returns
    -------
    int
        Exit status: 0 for success; 1 if a check failed, an image could not be segmented, a run
        was interrupted, a worker process ended, or the output was closed; 2 if there is a mistake
        in the request; 130 if Ctrl-C stopped the command.
    """
    try:
        with warnings_in_lines(options.command):
            status = options.run(options)
        try:
            sys.stdout.flush()
        except OSError:
            if status == 0:
                raise
            close_streams()  # the command has reported its failure itself
        return status
    except BrokenPipeError:
        # The reader of the output is gone (as in `| head`).
        close_streams()
        return 1
    except (ValueError, OSError, MemoryError) as error:
        with contextlib.suppress(OSError):
            complain(options.command, error)
        if isinstance(error, OSError) and error.filename is None:
            close_streams()  # the output itself may have failed
        return 1 if isinstance(error, ChildProcessError) else 2
    except KeyboardInterrupt:
        print(f"fcn-numpy {options.command}: stopped", file=sys.stderr)
        return 130


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line.

    Parameters
    ----------
    arguments : sequence of str
        The arguments without the program name.

    Returns
    -------
    Namespace
        The options, including the name of the command and its function `run`.

    Raises
    ------
    SystemExit
        With status 2 for wrong arguments, and with status 0 after --help and --version.
    """
    open_streams()
    parser = Parser(
        prog="fcn-numpy",
        description="Fully convolutional networks for semantic segmentation, in NumPy.",
    )
    parser.add_argument("--version", action="version", version=f"fcn-numpy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(
            name, help=purpose, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        # Imports take most of the time of a short command, so import only the chosen command.
        if name in arguments:
            module = importlib.import_module(f"fcn_numpy.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser.parse_args(arguments)
