"""Seeds that are different for each use of random numbers."""

from __future__ import annotations


def stream(purpose: str, *numbers: int) -> tuple[int, ...]:
    """Return a seed for one use of random numbers.

    If every use adds its own offset to a seed, two sums are equal sooner or later. A network may
    then be scored on the images that it was trained on. A name in the seed keeps the uses apart.

    Parameters
    ----------
    purpose : str
        A name for the use.
    *numbers : int
        Numbers that also change the seed, such as the user's seed. Always pass the same number of
        them for one purpose.

    Returns
    -------
    tuple of int
        A seed for `numpy.random.default_rng`, alone or followed by more numbers.

    Examples
    --------
    >>> import numpy as np
    >>> [int(np.random.default_rng(stream(name, 0)).integers(100)) for name in ("train", "test")]
    [37, 15]
    """
    # SeedSequence ignores zeros at the end, so add a last number that is not zero.
    return (int.from_bytes(purpose.encode(), "big"), *numbers, 1)
