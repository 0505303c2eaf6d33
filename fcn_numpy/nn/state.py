"""Load a state_dict, completely or not at all, and report the names that did not match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fcn_numpy.checks import check_plain
from fcn_numpy.files import shown
from fcn_numpy.nn.parameter import Parameter


class LoadReport(NamedTuple):
    """Names that `load_state` could not match.

    Attributes
    ----------
    missing : list of str
        Parameters without a value.
    unexpected : list of str
        Values without a parameter.
    """

    missing: list[str]
    unexpected: list[str]


def load_state(
    model: str, own: Mapping[str, Parameter], state: Mapping[str, np.ndarray],
    strict: bool = True, assign: bool = False,
) -> LoadReport:
    """Copy values into the parameters of a module, cast to their dtype, completely or not at all.

    Parameters
    ----------
    model : str
        Name of the module in errors.
    own : dict of str to Parameter
        Parameters of the module, by name.
    state : dict of str to ndarray
        Values under the names of `Module.state_dict`.
    strict : bool
        Whether a name that only one side has is an error. Otherwise such names are skipped.
    assign : bool
        Whether parameters may become the given arrays, where dtype and layout fit, instead of
        copies of them, so that large weights are not in memory twice.

    Returns
    -------
    LoadReport
        The lists `missing` and `unexpected`.

    Raises
    ------
    ValueError
        If a shape is wrong, an array is masked, values are not numbers, or (with `strict`) names
        are missing or unexpected. In this case nothing changes.
    """
    report = LoadReport(
        [name for name in own if name not in state], [name for name in state if name not in own]
    )
    if strict and (report.missing or report.unexpected):
        raise ValueError(
            f"the names do not match this {model}: missing "
            f"{_shortened(report.missing)}, unexpected {_shortened(report.unexpected)}"
        )
    values = {}
    for name, value in state.items():
        if name in own:
            check_plain(value, name)  # np.asarray would drop a mask
            values[name] = np.asarray(value)
    for name, value in values.items():
        shape = own[name].data.shape
        if value.shape != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {shown(value.shape)}")
        if value.dtype.kind not in "fiu":
            raise ValueError(f"expected numbers for {name}, got dtype {shown(value.dtype)}")
    for name, value in values.items():
        data = own[name].data
        if assign and value.dtype == data.dtype and value.flags.carray:
            own[name].data = value
        else:
            data[...] = value
    return report


def _shortened(names: list[str], limit: int = 6) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return shown(", ".join(names[:limit])) + more
