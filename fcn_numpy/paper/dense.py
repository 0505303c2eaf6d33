"""Section 3.1, "Adapting classifiers for dense prediction".

A fully connected layer over a map of h x w cells is a convolution with an h x w kernel that fits
into the map in exactly one place. A classifier of such convolutions takes images of any size and
returns a map of scores, with one cell for each window that the classifier could have seen. What
windows share is computed once.
"""

from __future__ import annotations

import copy

import numpy as np

from fcn_numpy.checks import Pair, check_array, pair
from fcn_numpy.models import Classifier
from fcn_numpy.nn import Conv2d, Flatten, Linear, Module, Sequential, skip_init
from fcn_numpy.window import Window


def convolutionalize_layers(layers: Sequential, map_size: int | Pair) -> Sequential:
    """Convert the fully connected layers of a classifier to convolutions.

    Row f of the first Linear's weight, read as (C, h, w), becomes kernel f of a convolution; each
    later Linear becomes a 1x1 convolution. The numbers are reshaped, not changed.

    For an image of the size that the classifier takes, the map has one cell: the classifier's
    scores. For a larger image, let f be the stride of the layers. Cell (i, j) then holds the
    classifier's scores for the window that begins at pixel (i f, j f), if the layers have no
    padding and no partly filled windows of a pool with ceil_mode. With either of these the scores
    differ: beyond the edge of its window, the classifier sees zeros, but the convolutions see the
    rest of the image.

    Parameters
    ----------
    layers : Sequential
        Any layers that compute a map, then Flatten, then Linear layers. Layers between these must
        work on each feature separately (ReLU, Dropout2d).
    map_size : int or (int, int)
        Height and width of the map that Flatten takes.

    Returns
    -------
    Sequential
        Copies of the layers, in eval mode. (N, C, H, W) becomes (N, n_class, rows, columns).

    Raises
    ------
    ValueError
        Unless there is exactly one Flatten, with a Linear after it and none before it, and the
        first Linear fits maps of this size.
    """
    kernel, result = None, []
    for _, layer in layers.children():
        if isinstance(layer, Flatten) and kernel is None:
            kernel = pair(map_size, "map_size", 1)
        elif isinstance(layer, Linear) and kernel is not None:
            result.append(_as_convolution(layer, kernel))
            kernel = 1, 1
        elif isinstance(layer, (Flatten, Linear)):
            raise ValueError(f"expected one Flatten and then Linear layers, got {_kinds(layers)}")
        else:
            result.append(copy.deepcopy(layer))
    if not any(isinstance(layer, Linear) for _, layer in layers.children()):
        raise ValueError(f"expected a Flatten and then Linear layers, got {_kinds(layers)}")
    return Sequential(*result).eval()


def _kinds(layers):
    return ", ".join(type(layer).__name__ for _, layer in layers.children())


def _as_convolution(linear, kernel):
    channels, rest = divmod(linear.in_features, kernel[0] * kernel[1])
    if rest:
        raise ValueError(
            f"expected a Linear whose features are maps of {kernel[0]}x{kernel[1]} cells, got "
            f"{linear.in_features} features"
        )
    with skip_init():
        conv = Conv2d(
            channels, linear.out_features, kernel, bias=linear.bias is not None,
            dtype=linear.weight.data.dtype,
        )
    for own, given in zip(conv.parameters(), linear.parameters()):
        own.data[...] = given.data.reshape(own.data.shape)
    return conv


def dense_classifier(classifier: Classifier) -> Sequential:
    """Convert a classifier to a network that returns a map of scores for an image of any size.

    fc6, fc7 and fc8 become convolutions (fc6 as large as the classifier's last map, the others
    1x1). Everything else is as in the classifier. In particular, conv1_1 has padding 1, while in
    the FCN it has 100 or 17.

    For an image of the classifier's own size, the map is the classifier's scores. For a larger
    image, a cell is close to the classifier's scores for its window, but not equal to them. Each
    convolution has padding 1: where the classifier sees these zeros, a cell sees the surrounding
    image.

    Parameters
    ----------
    classifier : Classifier

    Returns
    -------
    Sequential
        Copies of the layers, in eval mode. (N, 3, H, W) becomes (N, n_class, rows, columns), at
        stride 32.
    """
    # A module's children come in the order of its attributes, which is the order they run in.
    layers = Sequential(*(layer for _, layer in classifier.children()))
    return convolutionalize_layers(layers, classifier.backbone.fc_kernel)


def classify_windows(
    classifier: Module, image: np.ndarray, size: int | Pair, stride: int | Pair
) -> np.ndarray:
    """Run a classifier on one window of the image after another: the naive way to compute a map.

    If the stride is that of the classifier's layers and the windows are as large as its receptive
    field, the result is the map that `convolutionalize_layers` computes in one pass, on the
    conditions named there. With larger windows, that map can have a few more cells than there are
    windows.

    Parameters
    ----------
    classifier : Module
        Turns (N, C, h, w) into (N, n_class).
    image : ndarray, shape (N, C, H, W)
    size, stride : int or pair of int
        Size and stride of the windows, height first.

    Returns
    -------
    ndarray, shape (N, n_class, rows, columns)
        Cell (i, j) is the classifier's scores for the window that begins at pixel (i sh, j sw).
    """
    check_array(image, "image", ("N", "C", "H", "W"))
    (h, w), (sh, sw) = pair(size, "size", 1), pair(stride, "stride", 1)
    rows, columns = Window((h, w), (sh, sw)).output_size(image.shape[2:])
    scores = [
        [classifier(image[:, :, i : i + h, j : j + w]) for j in range(0, columns * sw, sw)]
        for i in range(0, rows * sh, sh)
    ]
    return np.array(scores).transpose(2, 3, 0, 1)
