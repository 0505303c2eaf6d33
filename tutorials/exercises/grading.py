"""What the graders share: a comparison that fails with a hint."""

import numpy as np
import pytest


def same(got: object, expected: object, hint: str) -> None:
    """Fail with a hint unless two arrays, or numbers, agree to rounding."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        pytest.fail(f"Expected shape {expected.shape}, got {got.shape}. {hint}", pytrace=False)
    if not np.allclose(got, expected, rtol=1e-6, atol=1e-9, equal_nan=True):
        pytest.fail(hint, pytrace=False)
