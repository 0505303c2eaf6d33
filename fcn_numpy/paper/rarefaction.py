"""Section 3.2, "Shift-and-stitch is filter rarefaction".

A network of stride f computes a cell for every f-th pixel. There are two ways to compute a cell for
every pixel with the same weights. Shift-and-stitch runs the network on the f * f shifts of the
image and interlaces the outputs. Filter rarefaction removes the strides and puts holes into the
filters after them ("à trous"). Both give the same numbers.

They agree if shifting the image only shifts the input of each layer that has a stride or comes
before one. Padding breaks this condition, because it stays in place while the image moves under
it. So does ceil_mode, which keeps partly filled windows. Padding after the last stride does no
harm. It is always safe to pad the image first and use a network without padding.
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

    ``y[..., a::f, b::f] = net(x[..., a:, b:])`` for a and b from 0 to f - 1. A shift drops the
    first rows and columns, so nothing needs to be filled in.

    Parameters
    ----------
    net : Sequential
        A network of Conv2d, MaxPool2d and ReLU layers that `rarefy` takes.
    x : ndarray, shape (N, C, H, W)

    Returns
    -------
    ndarray, shape (N, F, Ho, Wo)
        The dense map, ``rarefy(net)(x)``.

    Raises
    ------
    ValueError
        If `rarefy` would raise one, or if x is so small that one of its shifts gives no cell.
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
    """Return a copy of a network without its strides, and with holes in the filters after them.

    If the product of the strides before a layer is f, multiply the layer's dilation and padding by
    f. Its filter then meets the same cells as before, now f cells apart. The weights do not
    change. The output has stride 1 and the same receptive field.

    Parameters
    ----------
    net : Sequential
        A network of Conv2d, MaxPool2d and ReLU layers.

    Returns
    -------
    Sequential
        Copies of the layers, in eval mode.

    Raises
    ------
    ValueError
        If there is any other layer, padding in or before a layer with a stride, or a pooling layer
        with padding or with both a stride and ceil_mode.
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

    Convolving with this kernel is the same as convolving with w and dilation f.

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
    """Raise ValueError unless shifts and holes are sure to give the same numbers."""
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
                    "filled window differs from shift to shift"
                )
        padded = [before or p > 0 for before, p in zip(padded, layer.padding)]
        if any(p and s > 1 for p, s in zip(padded, layer.stride)):
            raise ValueError(
                f"expected padding only after the last stride, got some in or before {kind} "
                f"({name}) of stride {layer.stride}: padding does not move with the image, so "
                "pad the image instead"
            )
