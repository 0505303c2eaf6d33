"""Check that weights are floating-point and finite before they are used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcn_numpy.files import shown


def check_finite(state: Mapping[str, np.ndarray]) -> None:
    """Raise an error if weights are integers or not finite, without allocating memory.

    Parameters
    ----------
    state : dict of str to ndarray

    Raises
    ------
    ValueError
        If a weight is an array of integers, as in quantized files, where it means nothing without
        its scale; or if a floating-point weight holds NaN or infinity. The message names the first
        such weight.

    Examples
    --------
    >>> check_finite({"fc7.bias": np.array([0.5, np.inf])})
    Traceback (most recent call last):
        ...
    ValueError: fc7.bias holds NaN or infinity: are these the weights of a training that diverged?
    """
    for name, value in state.items():
        value = np.asarray(value)
        if value.dtype.kind in "iu":
            raise ValueError(f"expected floating weights for {shown(name)}, got {value.dtype}")
        if value.dtype.kind != "f" or not value.size:
            continue
        # If any number is NaN, both ends are. Networks compute in float32, with a smaller range.
        with np.errstate(over="ignore"):
            ends = np.array([value.min(), value.max()]).astype(np.float32)
        if not np.isfinite(ends).all():
            raise ValueError(
                f"{shown(name)} holds NaN or infinity: are these the weights of a training that "
                "diverged?"
            )
