"""A command that must fail, and the line it writes."""

import re

from fcn_numpy.cli import main


def failed(capsys, *arguments, status=2):
    """Return what a failed command writes besides warnings.

    That is one line, and one more for each fault of the data.
    """
    try:
        got = main(list(map(str, arguments)))
    except SystemExit as stop:
        got = stop.code
    out, err = capsys.readouterr()
    assert got == status
    lines = err.splitlines(keepends=True)
    err = "".join(line for line in lines if not re.match(r"fcn-numpy \w+: warning: ", line))
    faults = re.search(r"error: (\d+) faults? in ", err)
    assert err.count("\n") == 1 + (int(faults[1]) if faults else 0), err
    assert "Traceback" not in err
    return err
