"""Choose the algorithm that computes a convolution."""

from __future__ import annotations

import math
from contextvars import ContextVar
from types import ModuleType

import numpy as np

from fcn_numpy.checks import Pair
from fcn_numpy.fast import bands, flat, winograd
from fcn_numpy.fast.finish import Finish
from fcn_numpy.fast.memory import Workspace
from fcn_numpy.fast.threads import parts
from fcn_numpy.window import Window

# Set by `fcn_numpy.convolution.algorithm`, whose docstring says what the names mean.
CHOICE: ContextVar[str] = ContextVar("algorithm", default="auto")


def on() -> bool:
    """Return whether the textbook should call the functions of this package."""
    return CHOICE.get() != "plain"


def conv2d(
    x: np.ndarray, w: np.ndarray, window: Window, groups: int = 1, bias: np.ndarray | None = None
) -> np.ndarray:
    """Compute `fcn_numpy.conv2d`."""
    out = np.empty((len(x), len(w), *window.output_size(x.shape[2:])), x.dtype)
    for f, c in channels_of(groups, w):
        _conv2d(x[:, c], w[f], window, Finish(None if bias is None else bias[f]), out[:, f])
    return out


def channels_of(groups: int, w: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the output and the input channels of each group of a convolution with w."""
    return list(zip(parts(len(w), groups), parts(groups * w.shape[1], groups)))


def _conv2d(x, w, window, finish, out):
    if takes_winograd(x.dtype, w.shape[:2], window, out.size // len(w)):
        with Workspace.borrow() as workspace:
            kernel = winograd.transform_kernel(w, _kernel(workspace, *w.shape[:2]))
            winograd.conv2d(x, kernel, window.padding, finish, out)
    else:
        im2col(len(w), window, x).conv2d(x, w, window, finish, out)


def conv2d_turned(x: np.ndarray, w: np.ndarray, window: Window) -> np.ndarray:
    """Convolve x, shape (N, F, H, W), with w rotated by 180 degrees, its first axes exchanged."""
    f, c = w.shape[:2]
    out = np.empty((len(x), c, *window.output_size(x.shape[2:])), x.dtype)
    if takes_winograd(x.dtype, (c, f), window, out.size // c):
        with Workspace.borrow() as workspace:
            kernel = winograd.transform_kernel(w, _kernel(workspace, f, c), turned=True)
            winograd.conv2d(x, kernel.transpose(0, 2, 1), window.padding, Finish(), out)
    else:
        turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)
        im2col(c, window, x).conv2d(x, turned, window, Finish(), out)
    return out


def conv2d_weight(
    x: np.ndarray, grad_y: np.ndarray, window: Window, groups: int, out: np.ndarray
) -> np.ndarray:
    """Compute `fcn_numpy.conv2d_weight` into `out`."""
    for f, c in channels_of(groups, out):
        _conv2d_weight(x[:, c], grad_y[:, f], window, out[f])
    return out


def _conv2d_weight(x, grad_y, window, out):
    if takes_winograd(x.dtype, out.shape[:2], window, grad_y.size // len(out)):
        winograd.conv2d_weight(x, grad_y, window.padding, out)
    else:
        im2col(len(out), window, x).conv2d_weight(x, grad_y, window, out)


def takes_winograd(
    dtype: np.dtype, channels: Pair, window: Window, cells: float = math.inf
) -> bool:
    """Return whether to use Winograd's algorithm; parameters as for `winograd.applies`."""
    return CHOICE.get() == "auto" and winograd.applies(dtype, channels, window, cells)


def im2col(filters: int, window: Window, x: np.ndarray) -> ModuleType:
    """Return the module that computes this convolution of x by im2col."""
    return flat if flat.applies(filters, window, x.shape[2:]) else bands


def _kernel(workspace, f, c):
    return workspace.array("kernel", winograd.WINDOW**2, f, c)
