"""Section 3.2, "Shift-and-stitch is filter rarefaction".

A network of stride f gives a cell for every f-th pixel. There are two ways to a cell for every
pixel with the same weights: run it on the f * f shifts of the image and interlace what comes out,
or remove the strides and put holes into the filters behind them ("à trous"). Both give the same
numbers.

They do so if a shift of the image is nothing but a shift for each layer that is followed by a
stride. Padding breaks that, since it stays where it is while the image moves under it; so does
ceil_mode, which keeps partly filled windows. Behind the last stride padding does no harm. An image
that is padded before, with a network that pads nothing, is always right.
"""

from __future__ import annotations

import copy

import numpy as np

from fcn_numpy.checks import Pair, check_array, pair
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn import Conv2d, MaxPool2d, ReLU, Sequential
from fcn_numpy.nn.windowed import Windowed


def shift_and_stitch(net: Sequential, x: np.ndarray) -> np.ndarray:
    """Run a network of stride f on the f * f shifts of x, and interlace the outputs.

    ``y[..., a::f, b::f] = net(x[..., a:, b:])`` for a and b from 0 to f - 1. A shift leaves out
    the first rows and columns, so nothing has to be filled in.

    Parameters
    ----------
    net : Sequential
        Of Conv2d, MaxPool2d and ReLU, such as `rarefy` takes.
    x : ndarray, shape (N, C, H, W)

    Returns
    -------
    ndarray, shape (N, F, Ho, Wo)
        The dense map, ``rarefy(net)(x)``.

    Raises
    ------
    ValueError
        If `rarefy` would raise it, or if x is so small that one of the shifts gives no cell.
    """
    _check_layers(net)
    check_array(x, "x", ("N", "C", "H", "W"))
    (h, w), image = x.shape[2:], FeatureMap(x.shape[1], x.shape[2:])
    fh, fw = map(int, net(image).grid.scale)
    try:
        net(FeatureMap(x.shape[1], (h - fh + 1, w - fw + 1)))
    except ValueError as error:
        raise ValueError(
            f"expected x to be large enough that its shifts by up to {(fh - 1, fw - 1)} pixels "
            f"give a cell, got {x.shape}: {error}"
        ) from None
    shifts = [[net(x[:, :, a:, b:]) for b in range(fw)] for a in range(fh)]
    height = sum(row[0].shape[2] for row in shifts)
    width = sum(y.shape[3] for y in shifts[0])
    dense = np.empty((*shifts[0][0].shape[:2], height, width), x.dtype)
    for a, row in enumerate(shifts):
        for b, y in enumerate(row):
            dense[:, :, a::fh, b::fw] = y
    return dense


def rarefy(net: Sequential) -> Sequential:
    """Return a copy of a network without its strides, and with holes in the filters behind them.

    A layer behind strides whose product is f has its dilation, and its padding, multiplied by f:
    its filter meets the same cells as before, now f cells apart. Weights stay as they are. What
    comes out has stride 1 and the same receptive field.

    Parameters
    ----------
    net : Sequential
        Of Conv2d, MaxPool2d and ReLU.

    Returns
    -------
    Sequential
        Of copies, in eval mode.

    Raises
    ------
    ValueError
        For another layer; for padding in a layer with a stride or before one; for a pool with
        padding or with both a stride and ceil_mode.
    """
    _check_layers(net)
    rate, result = (1, 1), []
    for _, layer in net.children():
        layer = copy.deepcopy(layer)
        if isinstance(layer, Windowed):
            layer.dilation = _times(layer.dilation, rate)
            layer.padding = _times(layer.padding, rate)
            rate, layer.stride = _times(rate, layer.stride), (1, 1)
        result.append(layer)
    return Sequential(*result).eval()


def rarefied_kernel(w: np.ndarray, factor: int | Pair) -> np.ndarray:
    """Write out a filter with holes: ``w'[i, j] = w[i / f, j / f]`` where f divides i and j, or 0.

    A convolution with it is the convolution with w and dilation f.

    Parameters
    ----------
    w : ndarray, shape (F, C, kh, kw)
    factor : int or pair of int

    Returns
    -------
    ndarray, shape (F, C, f (kh - 1) + 1, f (kw - 1) + 1), dtype of w
    """
    check_array(w, "w", ("F", "C", "kh", "kw"))
    fh, fw = pair(factor, "factor", 1)
    kh, kw = w.shape[2:]
    result = np.zeros((*w.shape[:2], fh * (kh - 1) + 1, fw * (kw - 1) + 1), w.dtype)
    result[:, :, ::fh, ::fw] = w
    return result


def _times(a, b):
    return a[0] * b[0], a[1] * b[1]


def _check_layers(net):
    """Raise ValueError unless shifts and holes are sure to give the same."""
    padded = [False, False]
    for name, layer in net.children():
        kind = type(layer).__name__
        if not isinstance(layer, (Conv2d, MaxPool2d, ReLU)):
            raise ValueError(f"expected layers Conv2d, MaxPool2d and ReLU, got {kind} ({name})")
        if isinstance(layer, ReLU):
            continue
        if isinstance(layer, MaxPool2d):
            if any(layer.padding):
                raise ValueError(f"expected pools without padding, got {layer.padding} ({name})")
            if layer.ceil_mode and layer.stride != (1, 1):
                raise ValueError(
                    f"expected pools with ceil_mode=False, got ceil_mode=True ({name}): a partly "
                    "filled window is another one in each shift"
                )
        padded = [before or p > 0 for before, p in zip(padded, layer.padding)]
        if any(p and s > 1 for p, s in zip(padded, layer.stride)):
            raise ValueError(
                f"expected padding only behind the last stride, got some in or before {kind} "
                f"({name}) of stride {layer.stride}: padding does not move with the image, so "
                "pad the image instead"
            )
