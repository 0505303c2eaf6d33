"""Page 9: skips and streams. Grade it: python -m pytest tutorials/exercises -k 09."""


def streams(coarse, middle, fine, up, crop_middle, crop_fine):
    """Split fused scores into what each of three maps contributed.

    The scores are ``up(up(coarse) + cut(middle)) + cut(fine)``, where `up` is linear and ``cut``
    takes as many rows and columns as the other term has, from the row and column of that number on.
    The three streams add up to the scores.

    Parameters
    ----------
    coarse, middle, fine : ndarray, shape (K, h, w) each
        Scores of three strides. They differ in height and width.
    up : callable
        Upsamples an array of shape (K, h, w).
    crop_middle, crop_fine : int
        Where `middle` and `fine` are cut.

    Returns
    -------
    list of ndarray
        The streams of coarse, middle and fine, all of the shape of the scores.
    """
    raise NotImplementedError("streams in tutorials/exercises/09.py")


def skip_backward(grad, pool, weight, offset, later_backward):
    """Compute the gradients of a map that is used twice, and of the layer that scores it.

    The scores are ``later(pool) + cut(weight applied to pool)``: some later layers use the map, and
    a 1x1 convolution without a bias scores it. The map's own scores are cut from row and column
    `offset` on, to the shape of `grad`.

    Parameters
    ----------
    grad : ndarray, shape (K, h, w)
        Gradient of the scores.
    pool : ndarray, shape (C, H, W)
    weight : ndarray, shape (K, C)
    offset : int
    later_backward : callable
        The backward of the later layers: from the gradient of their output to that of `pool`.

    Returns
    -------
    grad_pool : ndarray, shape (C, H, W)
    grad_weight : ndarray, shape (K, C)
    """
    raise NotImplementedError("skip_backward in tutorials/exercises/09.py")


def coarsen(labels, stride):
    """Make labels coarse: each square takes the label of the pixel in its middle.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        H and W are multiples of the stride.
    stride : int
        Side of a square. Its middle is at row and column ``stride // 2``, counted from its corner.

    Returns
    -------
    ndarray of int, shape (H, W)
    """
    raise NotImplementedError("coarsen in tutorials/exercises/09.py")
