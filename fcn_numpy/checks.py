"""Checks of arguments, with messages that say what was expected and what came."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

Pair = tuple[int, int]
IntOrPair = int | Pair


def whole_number(value: int, name: str, minimum: int) -> int:
    """Return an int that is at least `minimum`, or raise ValueError."""
    whole = type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))
    if not whole or value < minimum:
        raise ValueError(f"expected {name} to be an int of at least {minimum}, got {value!r}")
    return int(value)


def divide(number: int, groups: int, name: str) -> int:
    """Split a number into equal groups and return the size of one, or raise ValueError."""
    if number % whole_number(groups, "groups", 1):
        raise ValueError(f"expected groups to divide {name}, got {groups} groups for {number}")
    return number // groups


def is_number(value: object) -> bool:
    """Return whether a value is a real number of Python or NumPy, but not a bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def fraction(value: float, name: str) -> float:
    """Return a number that is at least 0 and below 1, or raise ValueError."""
    if not is_number(value) or not 0 <= value < 1:
        raise ValueError(f"expected {name} of at least 0 and below 1, got {value!r}")
    return float(value)


def pair(value: int | Pair, name: str, minimum: int = 0) -> Pair:
    """Return an int as (int, int) and a pair of ints as it is, or raise ValueError.

    Parameters
    ----------
    value : int or pair of int
        One number for both axes, or (height, width).
    name : str
        Name of the value in error messages.
    minimum : int
        The smallest value allowed.

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        If the value is anything else, or a number is below `minimum`.
    """
    if type(value) is tuple and list(map(type, value)) == [int, int] and min(value) >= minimum:
        return value  # the fast path
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


def check_array(
    x: np.ndarray, name: str, shape: tuple, kinds: str = "f", *,
    dtype: np.dtype | None = None, owner: str = "",
) -> None:
    """Raise ValueError unless x is a plain array of the expected shape and dtype.

    Parameters
    ----------
    x : ndarray
    name : str
        Name of the array in error messages, such as "Linear: x".
    shape : tuple
        An int for a fixed size, a str for a free size (but not 0), and ``...`` at the end for any
        number of further axes.
    kinds : str
        Allowed kinds of dtype: "f" for floating, "iu" for integer.
    dtype : dtype, optional
        The dtype that x must have, because arrays of two dtypes are never mixed silently.
    owner : str
        What this is the dtype of, for error messages, such as "its parameters".
    """
    open_end = bool(shape) and shape[-1] is ...
    fixed = shape[:-1] if open_end else shape
    if not isinstance(x, np.ndarray):
        raise ValueError(f"{_wanted(name, shape, kinds)}, got {type(x).__name__}")
    if type(x) is not np.ndarray:
        check_plain(x, name)
    if (
        x.dtype.kind not in kinds
        or x.ndim < len(fixed)
        or (x.ndim > len(fixed) and not open_end)
        or any(isinstance(s, int) and s != n for s, n in zip(fixed, x.shape))
    ):
        raise ValueError(f"{_wanted(name, shape, kinds)}, got {x.dtype} {x.shape}")
    if 0 in x.shape:
        raise ValueError(f"{_wanted(name, shape, kinds)} without an empty axis, got {x.shape}")
    if dtype is not None and x.dtype != dtype:
        raise ValueError(f"expected {name} of {dtype}, the dtype of {owner}, got {x.dtype}")


def check_plain(x: object, name: str) -> None:
    """Raise ValueError for a masked array or a matrix, which compute differently from arrays."""
    if isinstance(x, np.ma.MaskedArray):
        raise ValueError(f"expected {name} to be a plain array, got a MaskedArray: fill it first")
    if isinstance(x, np.matrix):
        raise ValueError(
            f"expected {name} to be a plain array, got a matrix: convert it with np.asarray"
        )


def _wanted(name, shape, kinds):
    words = {"f": "floating", "iu": "integer"}.get(kinds, "numeric")
    sizes = ", ".join("..." if s is ... else str(s) for s in shape) + "," * (len(shape) == 1)
    return f"expected {name} to be a {words} array of shape ({sizes})"


def output_array(
    out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype, owner: str
) -> np.ndarray:
    """Return the array to write a result to: `out`, or a new one if `out` is None.

    Parameters
    ----------
    out : ndarray or None
    shape : tuple of int
    dtype : dtype
    owner : str
        Name of the array that has this dtype, for error messages.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If `out` does not have this shape and dtype, in C order.
    """
    if out is None:
        return np.empty(shape, dtype)
    check_array(out, "out", shape, dtype=dtype, owner=owner)
    if not out.flags.c_contiguous:
        raise ValueError(f"expected out in C order, got strides {out.strides}")
    return out
