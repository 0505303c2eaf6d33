"""Choose between the textbook and the engine room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fcn_numpy import fast

ALGORITHMS = "auto", "im2col", "plain"


@contextmanager
def algorithm(name: str) -> Iterator[None]:
    """Choose how everything inside a with block is computed, whole networks included.

    The block must not contain a ``yield``: the choice would leak out of the block. Threads started
    inside are not affected; the worker processes of training are.

    Parameters
    ----------
    name : {"auto", "im2col", "plain"}
        "auto", the choice outside of any block: `fcn_numpy.fast`, with Winograd's algorithm for
        float32 and 3x3 kernels at stride 1 with at least 64 channels in and out, except on the
        smallest maps. "im2col": the same without Winograd's algorithm; in float32 its rounding
        errors are a third (64 channels) to a sixth (512) of Winograd's. "plain": only the
        textbook.

    Notes
    -----
    Where two algorithms round differently, another cell may win a pooling window, or a ReLU may be
    on instead of off. float32 gradients through such a cell differ by up to 5e-3, more often with
    Winograd's algorithm.
    Neighboring pixels that differ by a factor of 1e6 cost Winograd's algorithm digits: relative
    errors of 8e-5 to 4e-4.

    Examples
    --------
    >>> import numpy as np
    >>> from fcn_numpy import algorithm, conv2d
    >>> with algorithm("plain"):
    ...     conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)))
    array([[[[4.]]]])
    """
    if name not in ALGORITHMS:
        raise ValueError(f"expected algorithm {' or '.join(map(repr, ALGORITHMS))}, got {name!r}")
    token = fast.CHOICE.set(name)
    try:
        yield
    finally:
        fast.CHOICE.reset(token)
