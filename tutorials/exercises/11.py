"""Page 11: a step of training. Grade it: python -m pytest tutorials/exercises -k 11."""


def clipped(gradients, longest):
    """Shorten gradients that are too long together.

    All gradients, taken as one long vector, have a length: the square root of the sum of all their
    squares. If it is above `longest`, all are scaled by one factor, so that it becomes `longest`.
    Otherwise they stay as they are. The given arrays must not change.

    Parameters
    ----------
    gradients : list of ndarray
        Of any shapes.
    longest : float

    Returns
    -------
    list of ndarray
    """
    raise NotImplementedError("clipped in tutorials/exercises/11.py")


def sgd_step(w, v, g, lr, momentum, decay, lr_mult=1, decay_mult=1):
    """Move a weight by one step of SGD with momentum, as page 11 and Caffe define it.

    `lr_mult` multiplies the learning rate of this weight, and `decay_mult` its decay. The given
    arrays must not change.

    Parameters
    ----------
    w, v, g : ndarray, all of the same shape
        Weight, velocity and gradient.
    lr, momentum, decay : float
    lr_mult, decay_mult : float

    Returns
    -------
    w, v : ndarray
        The new weight and the new velocity.
    """
    raise NotImplementedError("sgd_step in tutorials/exercises/11.py")


def heavy_rate(lr, momentum, batch, pixels):
    """Convert a learning rate into one for heavy learning.

    `lr` is for a loss that is the mean over pixels and images. Heavy learning has one image a step,
    a momentum of 0.99, and a loss summed over pixels. With the new rate, an image must move the
    weights in total as far as with the old one.

    Parameters
    ----------
    lr, momentum : float
    batch : int
        Images a step.
    pixels : int
        Pixels of an image.

    Returns
    -------
    float
    """
    raise NotImplementedError("heavy_rate in tutorials/exercises/11.py")
