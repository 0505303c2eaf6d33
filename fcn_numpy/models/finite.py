"""A look at weights before they are used: floating, and finite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcn_numpy.files import shown


def check_finite(state: Mapping[str, np.ndarray]) -> None:
    """Raise an error for weights that are integers or not finite. It takes no memory.

    Parameters
    ----------
    state : dict of str to ndarray

    Raises
    ------
    ValueError
        If one is of integers, as quantized weights are, which mean nothing without their scale;
        if one of floating point holds NaN or infinity. The message names the first.

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
        # Both are NaN if one number is. Networks compute in float32, whose range is smaller.
        with np.errstate(over="ignore"):
            ends = np.array([value.min(), value.max()]).astype(np.float32)
        if not np.isfinite(ends).all():
            raise ValueError(
                f"{shown(name)} holds NaN or infinity: are these the weights of a training that "
                "diverged?"
            )
