"""Toy shapes: images of circles, squares and triangles, with the label of each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcn_numpy.checks import Pair, pair, whole_number

CLASSES = ("background", "circle", "square", "triangle")
IGNORE = 255

# Minimum distance in the RGB cube (its diagonal is 1.73) at which two colors are easy to tell apart
# in spite of the noise.
MIN_CONTRAST = 0.4
NOISE = 0.15
# Change of the background color from one side of the image to the other.
SLOPE = 0.3
# Fraction of each shape that must stay visible; with less, nobody could recognize its class.
MIN_VISIBLE = 0.6
MAX_TRIES = 8
# Shapes are upright, or turned by at most this angle to either side.
MAX_TURN = np.pi / 12
UPRIGHT = {2: 0.0, 3: np.pi / 2}  # direction of a side's normal; y points down
# Regular polygons with the area of a circle of radius 1: number of sides, radius of the inscribed
# circle, and distance of the farthest point, by kind.
SIDES = {2: 4, 3: 3}
INNER_RADIUS = {
    kind: np.sqrt(np.pi / (sides * np.tan(np.pi / sides))) for kind, sides in SIDES.items()
}
REACH = {1: 1.0} | {kind: INNER_RADIUS[kind] / np.cos(np.pi / n) for kind, n in SIDES.items()}


def toy_shapes(
    n: int,
    size: int = 128,
    seed: int | Sequence[int] = 0,
    *,
    rim: bool = False,
    shapes: int | Pair = (2, 5),
    radius: tuple[float, float] = (0.09, 0.19),
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n noisy images of overlapping shapes in random colors, slightly turned.

    Image i depends only on `seed` and i, not on n, and is the same on every machine.

    Parameters
    ----------
    n : int
        Number of images.
    size : int
        Height and width in pixels, at least 16.
    seed : int or sequence of int
        Seed of the random numbers, at least 0.
    rim : bool
        Whether a one-pixel-wide rim around each shape is labeled 255 (ignore), as in PASCAL VOC.
    shapes : int or (int, int)
        Smallest and largest number of shapes in an image. There are fewer if there is no room
        left, because at least 60 % of each shape must stay visible.
    radius : (float, float)
        Smallest and largest size of a shape: the radius of a circle with the same area, as a
        fraction of `size`.

    Returns
    -------
    images : ndarray, shape (n, 3, size, size), float32
        RGB from 0 to 1, in steps of 1/255 as in an image file.
    labels : ndarray, shape (n, size, size), uint8
        0 background, 1 circle, 2 square, 3 triangle (`CLASSES`), 255 ignore.

    Examples
    --------
    >>> images, labels = toy_shapes(2, size=64)
    >>> images.shape, labels.shape
    ((2, 3, 64, 64), (2, 64, 64))
    >>> [CLASSES[label] for label in np.unique(labels[0])]
    ['background', 'circle', 'square']
    """
    n, size, seeds = _check(n, size, seed)
    least, most = pair(shapes, "shapes")
    if least > most:
        raise ValueError(f"expected shapes to be (least, largest), got {shapes}")
    radii = np.ravel(radius)
    if radii.dtype.kind not in "fiu" or radii.size != 2 or not 0 < radii[0] <= radii[1] <= 0.5:
        raise ValueError(f"expected radius to be (least, largest), up to 0.5, got {radius}")
    images = np.empty((n, 3, size, size), np.float32)
    labels = np.zeros((n, size, size), np.uint8)
    for i in range(n):
        rng = np.random.default_rng((*seeds, i))
        kinds = rng.integers(1, len(CLASSES), size=rng.integers(least, most + 1))
        _draw(images[i], labels[i], kinds, radius, rim, rng)
    return images, labels


def single_shapes(
    n: int, size: int = 72, seed: int | Sequence[int] = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n images with one shape or none, to train a classifier.

    At size 72, the shapes have about as many pixels as those of `toy_shapes` at size 128. They are
    near the center, because a classifier that sees a window of a larger image should name the
    object at its center. A quarter of the images are empty: recognizing these is easy, and gives an
    untrained network something to start with.

    Parameters
    ----------
    n, size : int
        Number and size of the images, as for `toy_shapes`.
    seed : int or sequence of int
        Seed, as for `toy_shapes`.

    Returns
    -------
    images : ndarray, shape (n, 3, size, size), float32
    classes : ndarray, shape (n,), uint8
        0 background only, 1 circle, 2 square, 3 triangle (`CLASSES`).
    """
    n, size, seeds = _check(n, size, seed)
    images = np.empty((n, 3, size, size), np.float32)
    classes = np.empty(n, np.uint8)
    labels = np.zeros((size, size), np.uint8)
    for i in range(n):
        rng = np.random.default_rng((*seeds, i))
        classes[i] = rng.integers(len(CLASSES))
        kinds = classes[i : i + 1] if classes[i] else classes[:0]
        _draw(images[i], labels, kinds, (0.16, 0.34), False, rng, middle=True)
    return images, classes


def _check(n, size, seed):
    seeds = seed if isinstance(seed, (tuple, list)) else (seed,)
    return (
        whole_number(n, "n", 1), whole_number(size, "size", 16),
        [whole_number(value, "seed", 0) for value in seeds],
    )


def _draw(
    image: np.ndarray,
    labels: np.ndarray,
    kinds: np.ndarray,
    radius: tuple[float, float],
    rim: bool,
    rng: np.random.Generator,
    middle: bool = False,
) -> None:
    """Fill one image and its labels with shapes of the given kinds, later ones on top.

    With `middle`, the shapes are near the center of the image; otherwise, anywhere.
    """
    size = labels.shape[0]
    colors = [rng.random(3)]
    # Vary the color of the background, so that a uniform color does not give it away.
    ramp = np.linspace(-0.5, 0.5, size)
    down, across = SLOPE * (rng.random((2, 3)) - 0.5)
    canvas = (
        colors[0][:, None, None]
        + down[:, None, None] * ramp[:, None]
        + across[:, None, None] * ramp
    )
    owner = np.zeros((size, size), np.uint8)  # the number of the visible shape, 0 for none
    areas, visible = np.zeros((2, len(kinds) + 1), np.int64)
    for number, kind in enumerate(kinds, 1):
        for _ in range(MAX_TRIES):
            box, mask = _shape(kind, radius, size, middle, rng)
            hidden = np.bincount(owner[box][mask], minlength=len(areas))
            if (visible[1:] - hidden[1:] >= MIN_VISIBLE * areas[1:]).all():
                break
        else:
            continue
        visible -= hidden
        areas[number] = visible[number] = mask.sum()
        owner[box][mask] = number
        colors.append(_contrasting_color(colors, rng))
        canvas[:, box[0], box[1]][:, mask] = colors[-1][:, None]
        if rim:
            labels[box][_rim(mask)] = IGNORE
        labels[box][mask] = kind
    canvas += NOISE * (rng.random(canvas.shape) + rng.random(canvas.shape) - 1)
    image[...] = np.rint(np.clip(canvas, 0, 1) * 255) / 255


def _shape(kind, radius, size, middle, rng):
    """Return a shape of random size, position and turn: a box of slices, and a mask in it."""
    r = size * (radius[0] + (radius[1] - radius[0]) * rng.random())
    # Without `middle`, less than half of a shape may extend beyond the image.
    margin = 0.35 * size if middle else 0.6 * r
    cy, cx = margin + (size - 2 * margin) * rng.random(2)
    reach = r * REACH[kind] + 2
    (top, left), (bottom, right) = (
        (max(int(cy - reach), 0), max(int(cx - reach), 0)),
        (min(int(cy + reach) + 1, size), min(int(cx + reach) + 1, size)),
    )
    y = np.arange(top, bottom)[:, None] - cy
    x = np.arange(left, right) - cx
    turn = UPRIGHT.get(kind, 0) + 2 * MAX_TURN * (rng.random() - 0.5)
    if kind == 1:
        mask = y * y + x * x <= r * r
    else:
        mask = np.ones((bottom - top, right - left), bool)
        for normal in turn + 2 * np.pi * np.arange(SIDES[kind]) / SIDES[kind]:
            # The last bit of a sine differs from machine to machine: round it away.
            mask &= y * round(np.sin(normal), 9) + x * round(np.cos(normal), 9) <= (
                r * INNER_RADIUS[kind]
            )
    return (slice(top, bottom), slice(left, right)), mask


def _contrasting_color(colors, rng):
    """Draw a color that contrasts with the others; take the best of 16 candidates if none does."""
    candidates = rng.random((16, 3))
    distance = np.linalg.norm(candidates[:, None] - colors, axis=2).min(axis=1)
    good = np.flatnonzero(distance >= MIN_CONTRAST)
    return candidates[good[0] if good.size else distance.argmax()]


def _rim(mask):
    """Return the pixels outside the mask that are next to it, in any of eight directions."""
    rows = np.pad(mask, ((1, 1), (0, 0)))
    rows = rows[:-2] | rows[1:-1] | rows[2:]
    both = np.pad(rows, ((0, 0), (1, 1)))
    return (both[:, :-2] | both[:, 1:-1] | both[:, 2:]) & ~mask
