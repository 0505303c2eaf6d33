"""fcn-numpy gradcheck: check every backward pass against finite differences."""

from __future__ import annotations

import argparse
import textwrap

import numpy as np

from fcn_numpy.cli.gradcases import CASES
from fcn_numpy.cli.options import whole_number
from fcn_numpy.gradcheck import GradientError, gradcheck

NAMES = ", ".join(CASES)
DESCRIPTION = f"""\
Check the backward passes of layers and models against central differences in float64.
The relative error must be at most 1e-6. Points at a kink of a ReLU or a max pooling layer
are left out; the table counts them. The exit status is 1 if any check fails.

{textwrap.fill(f"Names: {NAMES}.", 88, break_on_hyphens=False)}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="layers or models to check (default: all)"
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, metavar="N",
        help="seed of the inputs and weights (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Check the layers and models, and print a row for each."""
    names = list(dict.fromkeys(name.lower() for name in options.names)) or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise ValueError(f"expected NAME to be one of {NAMES}, got {unknown[0]!r}")
    print(f"{'':20}  largest relative error  checked  left out", flush=True)
    failed = 0
    for name in names:
        rng = np.random.default_rng(options.seed)
        module, inputs = CASES[name](rng)
        try:
            report = gradcheck(module, *inputs, rng=rng)
        except GradientError as error:
            failed += 1
            print(f"{name:20}  FAILED: {error}", flush=True)
            continue
        unit = "elements" if report.by_element else "directions"
        print(
            f"{name:20}  {report.max_error:22.1e}  {report.checked:7}  {report.left_out:8}  {unit}",
            flush=True,
        )
    print(f"{len(names) - failed} passed, {failed} failed.")
    return 1 if failed else 0
