"""Checks of arguments at the door: what was expected, and what came."""

from __future__ import annotations

from numbers import Integral

import numpy as np

Pair = tuple[int, int]


def whole_number(value: int, name: str, minimum: int) -> int:
    """Return an int that is at least `minimum`, or raise ValueError."""
    whole = type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))
    if not whole or value < minimum:
        raise ValueError(f"expected {name} to be an int of at least {minimum}, got {value!r}")
    return int(value)


def pair(value: int | Pair, name: str, minimum: int = 0) -> Pair:
    """Return an int as (int, int) and a pair of ints as it is, or raise ValueError.

    Parameters
    ----------
    value : int or pair of int
        One number for both axes, or (height, width).
    name : str
        What the error calls it.
    minimum : int
        The smallest value allowed.
    """
    if type(value) is tuple and list(map(type, value)) == [int, int] and min(value) >= minimum:
        return value  # the way of most calls, which are many
    values = value if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2:
        raise ValueError(f"expected {name} to be an int or a pair of ints, got {value!r}")
    try:
        return whole_number(values[0], name, minimum), whole_number(values[1], name, minimum)
    except ValueError:
        raise ValueError(
            f"expected {name} to be an int or a pair of ints of at least {minimum}, got {value!r}"
        ) from None


def floating_dtype(dtype: np.typing.DTypeLike) -> np.dtype:
    """Return a floating dtype as np.dtype, or raise ValueError."""
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"expected a floating dtype, got {np.dtype(dtype)}")
    return np.dtype(dtype)


def check_array(x: np.ndarray, name: str, shape: tuple, kinds: str = "f") -> None:
    """Raise ValueError unless x is an array of the expected shape and kind of dtype.

    Parameters
    ----------
    x : ndarray
    name : str
        What the error calls it: "Conv2d: x".
    shape : tuple
        An int for a size that is fixed, a str for one that is free (but not 0), and ``...`` last
        for any number of further axes.
    kinds : str
        Allowed kinds of dtype: "f" for floating, "iu" for integer.
    """
    open_end = bool(shape) and shape[-1] is ...
    fixed = shape[:-1] if open_end else shape
    if not isinstance(x, np.ndarray):
        raise ValueError(f"{_wanted(name, shape, kinds)}, got {type(x).__name__}")
    if (
        x.dtype.kind not in kinds
        or x.ndim < len(fixed)
        or (x.ndim > len(fixed) and not open_end)
        or any(isinstance(s, int) and s != n for s, n in zip(fixed, x.shape))
    ):
        raise ValueError(f"{_wanted(name, shape, kinds)}, got {x.dtype} {x.shape}")
    if 0 in x.shape:
        raise ValueError(f"{_wanted(name, shape, kinds)} without an empty axis, got {x.shape}")


def _wanted(name, shape, kinds):
    words = {"f": "floating", "iu": "integer"}.get(kinds, "numeric")
    sizes = ", ".join("..." if s is ... else str(s) for s in shape) + "," * (len(shape) == 1)
    return f"expected {name} to be a {words} array of shape ({sizes})"


def check_dtype(x: np.ndarray, name: str, dtype: np.dtype, owner: str) -> None:
    """Raise ValueError unless x has the dtype of its owner: dtypes are not mixed in silence."""
    if x.dtype != dtype:
        raise ValueError(f"expected {name} of {dtype}, the dtype of {owner}, got {x.dtype}")
