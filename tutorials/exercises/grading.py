"""What the graders share: a comparison that fails with a hint."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

# Arrays of at most this many numbers are shown.
FEW = 12


def same(got: object, expected: object, hint: str) -> None:
    """Fail with a hint unless two arrays, or numbers, agree to rounding."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        pytest.fail(f"Expected shape {expected.shape}, got {got.shape}. {hint}", pytrace=False)
    if not np.allclose(got, expected, rtol=1e-6, atol=1e-9, equal_nan=True):
        shown = f"Expected {expected}, got {got}. " if expected.size <= FEW else ""
        pytest.fail(shown + hint, pytrace=False)


@contextlib.contextmanager
def no_error(hint: str) -> Iterator[None]:
    """Fail with a hint if the code inside raises ValueError: it was given what is right."""
    try:
        yield
    except ValueError as error:
        pytest.fail(f"Got the ValueError {str(error)!r}. {hint}", pytrace=False)
