"""Page 8: where cells are. Grade it: python -m pytest tutorials/exercises -k 08."""


def place(layers):
    """Find where the cells of a map are in the image, on one axis, and how much a cell sees.

    A kernel with dilation d has its cells d apart: from its first cell to its last one it is
    d * (kernel - 1) + 1 cells long.

    Parameters
    ----------
    layers : list of (kernel, stride, padding, dilation)
        Convolutions and pooling layers, from the image on. May be empty.

    Returns
    -------
    (scale, shift, field)
        Cell i is centered on pixel scale * i + shift and depends on `field` pixels, counted from
        the first to the last one.
    """
    raise NotImplementedError("place in tutorials/exercises/08.py")


def crop_offset(source, target):
    """Find the cell of one map that lies on cell 0 of another.

    Parameters
    ----------
    source, target : (scale, shift)

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the scales differ, if the offset is no whole number, or if it is negative.
    """
    raise NotImplementedError("crop_offset in tutorials/exercises/08.py")


def crops(coarse, finer):
    """Find all crops of an FCN, from its coarsest scores to the image.

    For each finer map in turn, upsample the scores to its scale: by an even factor f, with a
    transposed convolution of kernel 2 * f and stride f. Crop the finer map to the upsampled scores
    and add it, which leaves the scores where they are. Only at the image, the last one, is it the
    upsampled scores that are cropped.

    Parameters
    ----------
    coarse : (scale, shift)
        Of the coarsest scores.
    finer : list of (scale, shift)
        Of the maps that are added, from coarse to fine, and last of the image: (1, 0).

    Returns
    -------
    list of int
        The offset of each crop, in the order of `finer`.
    """
    raise NotImplementedError("crops in tutorials/exercises/08.py")
