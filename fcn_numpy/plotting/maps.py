"""Maps and images side by side, and animations."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fcn_numpy.files import atomic_write
from fcn_numpy.plotting.canvas import empty_figure, new_figure, save_figure


def draw_map(
    axis: Any,
    values: np.ndarray,
    title: str = "",
    *,
    numbers: str | None = None,
    colors: str = "cividis",
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a map or an image, each cell a square, without ticks.

    Parameters
    ----------
    axis : matplotlib Axes
    values : ndarray
        A map (H, W), in which NaN stays empty, or an RGB image (3, H, W) from 0 to 1.
    title : str
    numbers : str, optional
        Format in which each cell's value is written into it, such as ".1f".
    colors : str
        A color map of matplotlib. The default can be read by all kinds of color blindness.
    limits : (float, float), optional
        Values of its first and last color; by default the smallest and the largest of the map.
    """
    values = np.asarray(values)
    axis.set(title=title, xticks=[], yticks=[])
    if values.ndim == 3:
        axis.imshow(np.clip(values, 0, 1).transpose(1, 2, 0), interpolation="nearest")
        return
    low, high = limits or (None, None)
    drawn = axis.imshow(values, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    if numbers is None:
        return
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = sum(drawn.to_rgba(value)[:3]) < 1.5
            axis.text(
                column, row, format(value, numbers), ha="center", va="center",
                color="white" if dark else "black",
            )


def draw_maps(
    path: str | os.PathLike,
    maps: Mapping[str, np.ndarray],
    *,
    size: float = 2.6,
    **options: Any,
) -> None:
    """Draw maps or images side by side.

    Parameters
    ----------
    path : path-like
        A PNG file.
    maps : mapping of str to ndarray
        Under their titles: what `draw_map` draws.
    size : float
        Width of a map in inches.
    **options
        Given to `draw_map`. Without `limits` each map has its own.
    """
    tallest = max(np.shape(values)[-2] / np.shape(values)[-1] for values in maps.values())
    figure, axes = new_figure(
        (size * len(maps), size * tallest + 0.5), 1, len(maps), squeeze=False, layout="constrained"
    )
    for axis, (title, values) in zip(axes[0], maps.items()):
        draw_map(axis, values, title, **options)
    save_figure(figure, path, bbox_inches="tight", pad_inches=0.05)


def save_animation(
    path: str | os.PathLike,
    draw: Callable[[Any, int], None],
    frames: int,
    *,
    size: tuple[float, float] = (6, 3.2),
    milliseconds: int = 500,
) -> None:
    """Write an animation.

    Parameters
    ----------
    path : path-like
        A GIF file.
    draw : callable
        Called with an empty matplotlib Figure and the number of the frame.
    frames : int
    size : (float, float)
        Width and height in inches.
    milliseconds : int
        For each frame; the last one stays twice as long.
    """
    from PIL import Image

    pictures = []
    for number in range(frames):
        figure = empty_figure(size)
        draw(figure, number)
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", dpi=80)
        pictures.append(Image.open(pixels).convert("RGB"))
    # Few colors, and the same for all frames, keep the file small.
    width, height = pictures[0].size
    together = Image.new("RGB", (width, height * frames))
    for number, picture in enumerate(pictures):
        together.paste(picture, (0, height * number))
    palette = together.quantize(64)
    first, *others = (
        picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
    )
    durations = [milliseconds] * (frames - 1) + [2 * milliseconds]
    with atomic_write(path) as file:
        first.save(
            file, format="GIF", save_all=True, append_images=others, duration=durations, loop=0
        )
