"""Grades 00.py."""

import numpy as np
import pytest
from grading import no_error, same


def test_the_papers_offsets(mine):
    for start, target, stride, offset in ((-91.5, -11.5, 16, 5), (-95.5, -23.5, 8, 9),
                                          (-31, 0, 1, 31)):
        hint = (f"A map starts at {start} and has a cell every {stride} pixels. How many cells is "
                f"it to {target}? Check the sign, and count cells, not pixels.")
        with no_error(hint):
            got = mine.crop_offset(start, target, stride)
        same(got, offset, hint)


def test_offsets_are_whole_numbers(mine):
    with no_error("From -31 to 0 it is 31 cells. Check the sign."):
        offset = mine.crop_offset(-31.0, 0.0, 1.0)
    if not isinstance(offset, int):
        pytest.fail(f"Expected an int, as slices need one, got {type(offset).__name__}.",
                    pytrace=False)


def test_what_cannot_be_cropped(mine):
    for start, target, hint in ((-18.5, 0, "18.5 is no whole number of cells"),
                                (5, 0, "The map starts after the target: nothing can be cropped")):
        try:
            mine.crop_offset(start, target, 1)
        except ValueError:
            continue
        pytest.fail(f"Expected a ValueError. {hint}.", pytrace=False)


def test_fuse(mine):
    rng = np.random.default_rng(0)
    coarse, fine = rng.random((3, 4, 5)), rng.random((3, 9, 11))
    same(mine.fuse(coarse.copy(), fine, 2), coarse + fine[:, 2:6, 2:7],
         "Cut a piece of the size of coarse out of fine, beginning at row and column `offset`, "
         "and add it.")


def test_fuse_changes_nothing(mine):
    coarse, fine = np.ones((2, 3, 3)), np.ones((2, 5, 5))
    mine.fuse(coarse, fine, 1)
    same((coarse.sum(), fine.sum()), (18, 50), "One of the inputs was changed. Does `+=` write "
         "into an array that you were given?")
