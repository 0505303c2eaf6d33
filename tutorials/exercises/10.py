"""Page 10: patches and loss sampling. Grade it: python -m pytest tutorials/exercises -k 10."""


def patches(image, cells, field, stride):
    """Cut out what some cells of a network without padding see.

    Parameters
    ----------
    image : ndarray, shape (C, H, W)
    cells : list of (int, int)
        Row and column of each cell.
    field, stride : int
        Receptive field of a cell, and pixels from a cell to the next.

    Returns
    -------
    ndarray, shape (len(cells), C, field, field)
    """
    raise NotImplementedError("patches in tutorials/exercises/10.py")


def sampled_gradient(scores, labels, keep, p):
    """Compute the gradient of the sampled mean loss with respect to the scores.

    The loss is the sum, over the labeled cells that are kept, of softmax cross-entropy / p, divided
    by the number of all labeled cells. It must be right on average over all masks.

    Parameters
    ----------
    scores : ndarray, shape (K, h, w)
    labels : ndarray of int, shape (h, w)
        From 0 to K - 1, or 255: not labeled.
    keep : ndarray of bool, shape (h, w)
        The mask, each element True with probability p.
    p : float

    Returns
    -------
    ndarray, shape (K, h, w)
    """
    raise NotImplementedError("sampled_gradient in tutorials/exercises/10.py")


def noise(each, p):
    """Compute the expected squared distance of a sampled gradient from the whole gradient.

    Parameters
    ----------
    each : ndarray, shape (cells, weights)
        The gradient of the loss of each cell alone. The whole gradient is their sum.
    p : float

    Returns
    -------
    float
    """
    raise NotImplementedError("noise in tutorials/exercises/10.py")
