"""Page 12: the real FCN-8s. Grade it: python -m pytest tutorials/exercises -k 12."""

import numpy as np


def cost(f, c, k, height, width):
    """Count the parameters and the multiply-adds of a convolution with a bias.

    Parameters
    ----------
    f, c, k : int
        Channels out, channels in, and the side of the kernel.
    height, width : int
        Cells of the output.

    Returns
    -------
    parameters : int
        Weights and biases.
    work : int
        Multiply-adds: how often a weight is multiplied with a cell of the input. A bias is added,
        not multiplied, and does not count.
    """
    raise NotImplementedError("cost in tutorials/exercises/12.py")


def network_input(image, mean):
    """Prepare an image for the weights of VGG16: blue, green, red, from 0 to 255, minus a mean.

    Do not call `subtract_mean`, and leave `image` as it is.

    Parameters
    ----------
    image : ndarray, shape (3, H, W)
        Red, green, blue, from 0 to 1.
    mean : sequence of 3 floats
        Of blue, green, and red, from 0 to 255.

    Returns
    -------
    ndarray, shape (1, 3, H, W)
        A batch of one image.
    """
    raise NotImplementedError("network_input in tutorials/exercises/12.py")


def from_classifier(state, convs, kernel, n_class):
    """Turn the weights of a classifier, under torchvision's names, into those of an FCN.

    Convolutions are named conv1_1, conv1_2, ..., and are numbered in `state` as on the page: each
    is followed by a ReLU, and each stage ends in a pooling layer. classifier.0 and classifier.3
    become the convolutions fc6 and fc7, classifier.6 is left out, and score_fr is new and zero.

    Parameters
    ----------
    state : dict of str to ndarray
        "features.0.weight", "features.0.bias", ..., "classifier.6.bias". The weight of classifier.0
        has shape (F, C * kernel * kernel), that of classifier.3 has shape (F, F).
    convs : sequence of int
        Convolutions in each stage: (2, 2, 3, 3, 3) for VGG16.
    kernel : int
        The side of fc6's kernel: 7 for VGG16.
    n_class : int
        Classes of the FCN.

    Returns
    -------
    dict of str to ndarray
        "conv1_1.weight", "conv1_1.bias", ..., "fc6.weight", ..., "score_fr.bias".
    """
    raise NotImplementedError("from_classifier in tutorials/exercises/12.py")
