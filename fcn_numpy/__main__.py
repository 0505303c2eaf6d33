"""Run the command line: ``python -m fcn_numpy`` is ``fcn-numpy``."""

import sys

from fcn_numpy.cli import main

if __name__ == "__main__":
    sys.exit(main())
