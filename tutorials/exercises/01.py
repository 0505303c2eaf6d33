"""Page 1: scores of a segmentation. Grade it: python -m pytest tutorials/exercises -k 01."""


def confusion(labels, predictions, n_class):
    """Count the pixels of class i that are predicted as class j.

    Parameters
    ----------
    labels : ndarray of uint8, shape (H, W)
        From 0 to n_class - 1, or 255: the pixel does not count.
    predictions : ndarray of uint8, shape (H, W)
        From 0 to n_class - 1.
    n_class : int

    Returns
    -------
    ndarray of int, shape (n_class, n_class)
        Row i, column j: how many pixels of class i are predicted as class j.
    """
    raise NotImplementedError("confusion in tutorials/exercises/01.py")


def scores(n):
    """Compute the four scores from a confusion matrix.

    A class without labels has no accuracy. A class that has neither labels nor predictions has no
    IU. The means leave such classes out.

    Parameters
    ----------
    n : ndarray of int, shape (K, K)

    Returns
    -------
    (float, float, float, float)
        Pixel accuracy, mean accuracy, mean IU, frequency weighted IU.
    """
    raise NotImplementedError("scores in tutorials/exercises/01.py")


def mean_iu(labels, predictions, n_class):
    """Compute the mean IU of a data set, in the way of PASCAL VOC and the paper.

    Parameters
    ----------
    labels, predictions : list of ndarray of uint8, each of shape (H, W)
        Of all images, whose sizes may differ.
    n_class : int

    Returns
    -------
    float
    """
    raise NotImplementedError("mean_iu in tutorials/exercises/01.py")
