"""Errors and warnings about images and masks."""

from __future__ import annotations

from collections.abc import Sequence

from fcn_numpy.files import shown

MOST_SHOWN = 100
LONGEST_FAULT = 500


class DataFaults(ValueError):
    """The faults of a folder of images and masks.

    Parameters
    ----------
    faults : list of str
        All faults found. Each one is about one file or one pair.
    """

    def __init__(self, faults: list[str]):
        self.faults = faults
        many = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
        lines = [shown(fault, LONGEST_FAULT) for fault in faults[:MOST_SHOWN]]
        if len(faults) > MOST_SHOWN:
            lines.append(f"and {len(faults) - MOST_SHOWN} more")
        super().__init__("\n".join([f"{many} in the images and masks:", *lines]))

    def __reduce__(self):
        return type(self), (self.faults,)


class DataWarning(UserWarning):
    """Something that may be intended, but often is a mistake."""


def listed(names: Sequence[str]) -> str:
    """Summarize a list of names: "a.png", "a.png and b.png", "a.png and 3 more"."""
    first = shown(names[0])
    if len(names) < 3:
        return " and ".join(map(shown, names))
    return f"{first} and {len(names) - 1} more"
