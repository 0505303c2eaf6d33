"""Initial weights: random with He's scale, bilinear, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from fcn_numpy.checks import Pair, floating_dtype, pair
from fcn_numpy.nn.parameter import Parameter

_SKIPPED = ContextVar("skipped", default=False)


@contextmanager
def skip_init() -> Iterator[None]:
    """Make the weights of new layers zeros inside a with block, without drawing random numbers.

    Use this for layers that start at zero, and for networks whose weights are loaded next: the
    memory of the zeros is not even touched. The block must not contain a ``yield``.

    Examples
    --------
    >>> from fcn_numpy.nn import Conv2d
    >>> with skip_init():
    ...     layer = Conv2d(512, 4096, 7)
    >>> bool(layer.weight.data.any())
    False
    """
    token = _SKIPPED.set(True)
    try:
        yield
    finally:
        _SKIPPED.reset(token)


def he_normal(
    shape: tuple[int, ...], fan_in: float, dtype: np.typing.DTypeLike = np.float32,
    rng: np.random.Generator | None = None,
) -> Parameter:
    """Make a weight with mean 0 and standard deviation ``sqrt(2 / fan_in)``.

    Activations then keep their magnitude through ReLU layers.

    Parameters
    ----------
    shape : tuple of int
    fan_in : float
        Number of inputs that each output sums over.
    dtype : dtype
        A floating dtype.
    rng : numpy.random.Generator, optional

    Returns
    -------
    Parameter

    Notes
    -----
    See He et al., "Delving Deep into Rectifiers" (2015), section 2.2.
    """
    dtype = floating_dtype(dtype)
    if _SKIPPED.get():
        return Parameter(np.zeros(shape, dtype))
    rng = np.random.default_rng() if rng is None else rng
    # NumPy draws these two dtypes directly, which matters for VGG16's 134 million weights.
    drawn = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
    weight = rng.standard_normal(shape, dtype=drawn)
    weight *= np.sqrt(2 / fan_in)
    return Parameter(weight.astype(dtype, copy=False))


def zero_bias(size: int, dtype: np.typing.DTypeLike = np.float32) -> Parameter:
    """Make a bias of zeros, with twice the learning rate and no weight decay.

    Parameters
    ----------
    size : int
    dtype : dtype

    Returns
    -------
    Parameter

    Notes
    -----
    See Long et al., section 4.3: "doubled learning rate for biases".
    """
    return Parameter(np.zeros(size, floating_dtype(dtype)), lr_mult=2.0, decay_mult=0.0)


def bilinear_kernel(
    kernel_size: int | Pair, dtype: np.typing.DTypeLike = np.float32
) -> np.ndarray:
    """Make the kernel that lets a transposed convolution interpolate bilinearly.

    The kernel is a tent on each axis: ``1 - |i - c| / f`` with ``f = ceil(k / 2)``, where c is the
    center of the kernel. To upsample by a factor f, use ``kernel_size = 2 f - f % 2`` and stride f.

    Parameters
    ----------
    kernel_size : int or pair of int
    dtype : dtype
        A floating dtype.

    Returns
    -------
    ndarray, shape (kh, kw)

    Notes
    -----
    See Long et al., section 4 ("upsampling is initialized to bilinear interpolation"). Caffe's
    `bilinear` filler and pytorch-fcn's `get_upsampling_weight` give the same numbers.

    Examples
    --------
    >>> bilinear_kernel(4)[0]
    array([0.0625, 0.1875, 0.1875, 0.0625], dtype=float32)
    """
    dtype = floating_dtype(dtype)
    tents = []
    for k in pair(kernel_size, "kernel_size", 1):
        factor = (k + 1) // 2
        tents.append(1 - np.abs(np.arange(k) - (k - 1) / 2) / factor)
    return np.outer(*tents).astype(dtype)
