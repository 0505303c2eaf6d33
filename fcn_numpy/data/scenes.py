"""Toy scenes: wide images in which one end determines the class of the disc at the other."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair, pair, whole_number

SCENE_CLASSES = ("background", "sun", "ball")
# A size that a tiny FCN-8s takes, and wide enough that the stripes are outside its receptive field
# (340 pixels, 170 to each side).
SCENE_SIZE = (64, 352)


def toy_scenes(
    n: int, size: Pair = SCENE_SIZE, seed: int = 0, distance: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw wide images with a disc at one end and stripes elsewhere.

    The disc is a sun if the stripes are horizontal (the sea), and a ball if they are vertical (a
    fence). Nothing else in the image tells which: discs of both classes have the same sizes,
    positions and colors, and the stripes have the mean color of the background.

    Parameters
    ----------
    n : int
        Number of images.
    size : (int, int)
        Height and width; the width is at least 5 times the height.
    seed : int
    distance : int, optional
        Pixels between the stripes and the part that can contain the disc, which is 1.25 times as
        wide as it is high. By default, the stripes are at the other end of the image.

    Returns
    -------
    images : ndarray, shape (n, 3, H, W), float32
        RGB from 0 to 1.
    labels : ndarray, shape (n, H, W), uint8
        Indices into `SCENE_CLASSES`.
    """
    n = whole_number(n, "n", 0)
    h, w = pair(size, "size", 16)
    if w < 5 * h:
        raise ValueError(f"expected a size at least 5 times as wide as high, got {(h, w)}")
    end = h + h // 4
    first = w - h if distance is None else end + whole_number(distance, "distance", 0)
    if first + h > w:
        raise ValueError(f"expected a distance of at most {w - h - end}, got {distance}")
    images, labels = np.empty((n, 3, h, w), np.float32), np.zeros((n, h, w), np.uint8)
    rows, columns = np.mgrid[:h, :w]
    for image, label, number in zip(images, labels, range(n)):
        rng = np.random.default_rng((seed, number))
        background = rng.uniform(0.3, 0.7, (3, 1, 1))
        image[...] = background + rng.normal(0, 0.05, image.shape)
        # Draw a square of bright and dark stripes with a period of 8 pixels.
        kind = rng.integers(1, 3)
        along = rows if SCENE_CLASSES[kind] == "sun" else columns
        stripes = 0.25 * np.sin(2 * np.pi * (along / 8 + rng.random()))
        image[..., first : first + h] += stripes[:, first : first + h]
        radius = rng.uniform(0.15, 0.3) * h
        y = rng.uniform(radius, h - radius)
        x = rng.uniform(radius, 1.25 * h - radius)
        disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        color = background + rng.choice([-1, 1], (3, 1, 1)) * rng.uniform(0.2, 0.3, (3, 1, 1))
        image[:, disc] = (color + rng.normal(0, 0.05, image.shape))[:, disc]
        label[disc] = kind
        if rng.random() < 0.5:
            image[...], label[...] = image[..., ::-1].copy(), label[:, ::-1].copy()
    return images.clip(0, 1, out=images), labels
