"""Start the command line: ``fcn-numpy``, or ``python -m fcn_numpy``."""

import signal
import sys


def main() -> int:
    """Run the command line; return its exit status."""
    # While modules are imported there is nothing to save: Ctrl-C ends the process as it stands,
    # instead of leaving a traceback from the middle of an import.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fcn_numpy import cli

    options = cli.parse(sys.argv[1:])
    try:
        signal.signal(signal.SIGINT, handler)
        return cli.run(options)
    except KeyboardInterrupt:  # before the command has begun, or after it has ended
        return 130


if __name__ == "__main__":
    sys.exit(main())
