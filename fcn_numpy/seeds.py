"""Seeds that no two uses of random numbers share."""

from __future__ import annotations


def stream(purpose: str, *numbers: int) -> tuple[int, ...]:
    """Return a seed for one use of random numbers.

    Sums of a seed and an offset meet sooner or later: the images that a network is scored on are
    then those that it was trained on. A name in the seed keeps the uses apart.

    Parameters
    ----------
    purpose : str
        A name for the use.
    *numbers : int
        What else decides, such as the user's seed; always as many for one purpose.

    Returns
    -------
    tuple of int
        For `numpy.random.default_rng`, alone or with further numbers after it.

    Examples
    --------
    >>> import numpy as np
    >>> [int(np.random.default_rng(stream(name, 0)).integers(100)) for name in ("train", "test")]
    [37, 15]
    """
    # SeedSequence takes no notice of zeros at the end: a last number keeps them.
    return (int.from_bytes(purpose.encode(), "big"), *numbers, 1)
