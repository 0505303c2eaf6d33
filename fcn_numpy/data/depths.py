"""Toy depths: discs with two labels, one visible in the color, the other in the depth."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import whole_number

SHADES = ("background", "light", "dark")
DISTANCES = ("background", "near", "far")
# Depth of each of `DISTANCES`, in meters.
DEPTHS = (5.0, 1.5, 3.5)


def toy_depths(
    n: int, size: int = 96, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Draw images with a near and a far disc, and the depth of each pixel.

    The image shows whether a disc is lighter or darker than the background. Near and far discs
    have the same range of sizes, positions and colors, so only the depth shows which disc is near.

    Parameters
    ----------
    n : int
        Number of images.
    size : int
        Height and width.
    seed : int

    Returns
    -------
    images : ndarray, shape (n, 3, size, size), float32
        RGB from 0 to 1.
    depths : ndarray, shape (n, 1, size, size), float32
        Depths in meters, with noise.
    labels : dict of str to ndarray, shape (n, size, size), uint8
        Two maps: "shade" with indices into `SHADES`, "distance" with indices into `DISTANCES`.
    """
    n, size = whole_number(n, "n", 0), whole_number(size, "size", 16)
    images = np.empty((n, 3, size, size), np.float32)
    labels = {name: np.zeros((n, size, size), np.uint8) for name in ("shade", "distance")}
    depths = np.empty((n, 1, size, size), np.float32)
    rows, columns = np.mgrid[:size, :size]
    maps = zip(images, depths, labels["shade"], labels["distance"])
    for number, (image, depth, shades, distances) in enumerate(maps):
        rng = np.random.default_rng((seed, number))
        background = rng.uniform(0.3, 0.7, (3, 1, 1))
        image[...] = background
        for kind in rng.permutation([1, 2]):
            radius = rng.uniform(0.16, 0.26) * size
            y, x = rng.uniform(radius, size - radius, 2)
            disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
            shade = rng.integers(1, 3)
            difference = rng.uniform(0.2, 0.3, (3, 1, 1)) * (1 if shade == 1 else -1)
            image[:, disc] = (background + difference)[:, 0]
            shades[disc], distances[disc] = shade, kind
        image += rng.normal(0, 0.05, image.shape)
        depth[...] = np.array(DEPTHS)[distances] * rng.uniform(0.95, 1.05, depth.shape)
    return images.clip(0, 1, out=images), depths, labels
