"""Every image that the project draws. Only this file imports matplotlib, when it draws."""

from __future__ import annotations

import io
import itertools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fcn_numpy.checks import check_array
from fcn_numpy.data import IGNORE, Classes
from fcn_numpy.data.images import SOFTWARE
from fcn_numpy.files import atomic_write

LEGEND_COLUMNS = 6
CURVE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
# Fonts of systems for scripts that Matplotlib's font lacks.
FONTS = ("Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "Yu Gothic", "PingFang SC")
TITLES = {
    "classifier": "classifier", "fcn32s": "FCN-32s", "fcn16s": "FCN-16s", "fcn8s": "FCN-8s"
}


def label_image(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Color a map of labels.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
        Class numbers, or 255 (ignore).
    classes : Classes

    Returns
    -------
    ndarray, shape (3, H, W), from 0 to 1
    """
    check_array(labels, "labels", ("H", "W"), kinds="u")
    return (classes.palette()[labels] / 255).transpose(2, 0, 1)


def overlay(
    image: np.ndarray, labels: np.ndarray, classes: Classes, opacity: float = 0.6
) -> np.ndarray:
    """Lay the colors of the labels over an image; class 0, the background, stays as it is.

    Parameters
    ----------
    image : ndarray, shape (3, H, W), from 0 to 1
    labels : ndarray, shape (H, W), uint8
    classes : Classes
    opacity : float

    Returns
    -------
    ndarray, shape (3, H, W), from 0 to 1
    """
    mixed = (1 - opacity) * image + opacity * label_image(labels, classes)
    return np.where(labels == 0, image, mixed)


def draw_legend(path: str | os.PathLike, labels: np.ndarray, classes: Classes) -> None:
    """Draw the color, the name and the share of pixels of each class that labels have.

    Parameters
    ----------
    path : path-like
        A PNG file.
    labels : ndarray, shape (H, W), uint8
    classes : Classes
    """
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    found = [n for n in np.argsort(-shares, kind="stable") if shares[n] and n < len(classes)]
    names = [f"{_plain(classes.names[n])}  {shares[n]:.1%}" for n in found]
    width = 1.2 + 0.11 * max(map(len, names))
    figure, axis = _figure((width, 0.3 * len(found) + 0.3), 1, 1, layout="constrained")
    axis.axis("off")
    axis.legend(
        handles=_patches(classes, found), labels=names, loc="center", frameon=False, fontsize=11,
        handlelength=1.6, handleheight=1.2,
    )
    _save(figure, path)


def use_defaults() -> None:
    """Forget what a matplotlibrc says, which may ask for programs such as TeX."""
    import matplotlib

    matplotlib.rcdefaults()


def _plain(name):
    return name.replace("$", r"\$")  # a pair of dollars would be set as mathematics


def _patches(classes, numbers):
    from matplotlib.patches import Patch

    colors = classes.palette() / 255
    return [
        Patch(facecolor=colors[n], edgecolor="0.3", label=_plain(classes.names[n]))
        for n in numbers
    ]


def draw_curves(
    path: str | os.PathLike,
    history: Sequence[tuple[str, int, float]],
    mean_iu: Mapping[str, float],
) -> None:
    """Draw the loss of each stage, step by step, and the mean IU that each network reached.

    Parameters
    ----------
    path : path-like
        A PNG file.
    history : sequence of (stage, step, loss)
        As `fcn_numpy.training.read_history` returns it.
    mean_iu : mapping of str to float
        Mean IU of each network.
    """
    stages = list(dict.fromkeys(stage for stage, _, _ in history))
    figure, (left, right) = _figure(
        (11, 4.2), 1, 2, gridspec_kw={"width_ratios": [3, 1]}, layout="constrained"
    )
    losses = np.array([loss for _, _, loss in history])
    left.plot(np.arange(1, len(losses) + 1), losses, color="0.75", linewidth=0.8, label="a step")
    start = 0
    for number, stage in enumerate(stages):
        own = np.array([loss for name, _, loss in history if name == stage])
        x = np.arange(start + 1, start + 1 + len(own))
        label = "mean of 25 steps" if number == 0 else None
        left.plot(x, _running_mean(own, 25), color="#0072B2", linewidth=2, label=label)
        if number:
            left.axvline(start + 0.5, color="0.4", linewidth=1, linestyle=":")
        left.text(
            start + len(own) / 2, 0.98, TITLES.get(stage, stage), ha="center", va="top",
            transform=left.get_xaxis_transform(),
        )
        start += len(own)
    left.set(
        xlabel="step", ylabel="softmax cross-entropy", title="Loss while training",
        xlim=(0, start), ylim=(0, 1.15 * np.percentile(losses, 99.5)),
    )
    left.legend(loc="center right", frameon=True)
    names = [TITLES.get(name, name) for name in mean_iu]
    bars = right.bar(names, list(mean_iu.values()), color=["#56B4E9", "#0072B2", "#003E63"])
    right.bar_label(bars, fmt="%.3f")
    right.set(ylim=(0, 1), ylabel="mean IU", title="On held-out images")
    _save(figure, path)


def plot_convergence(
    path: str | os.PathLike,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
) -> None:
    """Draw loss against steps and, beside it, against seconds.

    Parameters
    ----------
    path : path-like
        A PNG file.
    curves : mapping of str to (steps, seconds, losses)
        Three sequences of one length for each training, under what the legend calls it.

    Notes
    -----
    After figure 5 of Long et al.
    """
    figure, (left, right) = _figure((11, 4.2), 1, 2, sharey=True, layout="constrained")
    for (name, (steps, seconds, losses)), color in zip(
        curves.items(), itertools.cycle(CURVE_COLORS)
    ):
        for axis, x in ((left, steps), (right, seconds)):
            axis.plot(x, losses, color=color, linewidth=2, label=name)
    left.set(xlabel="step", ylabel="softmax cross-entropy, held-out", title="Loss by steps")
    right.set(xlabel="seconds of training", title="Loss by time")
    for axis in (left, right):
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.grid(color="0.9")
    right.legend()
    _save(figure, path)


def draw_predictions(
    path: str | os.PathLike,
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    predictions: Mapping[str, Sequence[np.ndarray]],
    classes: Classes,
    mean_iu: Mapping[str, float],
) -> None:
    """Draw images, their labels and what each network made of them, side by side.

    Parameters
    ----------
    path : path-like
        A PNG file.
    images : sequence of ndarray, shape (3, H, W), from 0 to 1
        Of any sizes.
    labels : sequence of ndarray, shape (H, W), uint8
    predictions : mapping of str to sequence of ndarray, shape (H, W), uint8
        One for each network, in the order in which they are drawn.
    classes : Classes
    mean_iu : mapping of str to float
        Of each network, for the titles.

    Notes
    -----
    After figure 4 of Long et al.: "refining by fusing information from layers with different
    strides".
    """
    columns = {"image": images, "truth": [label_image(y, classes) for y in labels]}
    for name, predicted in predictions.items():
        title = f"{TITLES.get(name, name)}\nmean IU {mean_iu[name]:.3f}"
        columns[title] = [label_image(p, classes) for p in predicted]
    seen = np.unique(np.concatenate([np.unique(y) for y in (
        *labels, *(p for predicted in predictions.values() for p in predicted)
    )]))
    patches = _patches(classes, [n for n in seen if n < len(classes)])
    if IGNORE in seen:
        from matplotlib.patches import Patch

        color = classes.palette()[IGNORE] / 255
        patches.append(Patch(facecolor=color, edgecolor="0.3", label="does not count"))
    legend_rows = -(-len(patches) // LEGEND_COLUMNS)
    rows = len(images)
    figure, axes = _figure(
        (2 * len(columns), 2 * rows + 0.65 + 0.25 * legend_rows), rows, len(columns), squeeze=False,
        layout="constrained",
    )
    for column, (title, pictures) in zip(axes.T, columns.items()):
        column[0].set_title(title)
        for axis, picture in zip(column, pictures):
            axis.imshow(np.clip(picture, 0, 1).transpose(1, 2, 0), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
    figure.legend(
        handles=patches, loc="outside lower center", frameon=False,
        ncols=min(len(patches), LEGEND_COLUMNS),
    )
    _save(figure, path)


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
    figure, axes = _figure(
        (size * len(maps), size * tallest + 0.5), 1, len(maps), squeeze=False, layout="constrained"
    )
    for axis, (title, values) in zip(axes[0], maps.items()):
        draw_map(axis, values, title, **options)
    _save(figure, path, bbox_inches="tight", pad_inches=0.05)


def save_animation(
    path: str | os.PathLike,
    draw: Callable[[Any, int], None],
    frames: int,
    *,
    size: tuple[float, float] = (6, 3.2),
    milliseconds: int = 500,
) -> None:
    """Write a animation.

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
        figure = _empty_figure(size)
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


def _running_mean(values, width):
    """Mean over a window around each value, cut off at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first = np.maximum(index - width // 2, 0)
    end = np.minimum(index + width // 2 + 1, len(values))
    return (sums[end] - sums[first]) / (end - first)


def _empty_figure(size, layout="constrained"):
    # Without pyplot no display is looked for and no figure stays behind in its list.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout=layout)


def _figure(size, rows, columns, **options):
    figure = _empty_figure(size, options.pop("layout", None))
    return figure, figure.subplots(rows, columns, **options)


def _save(figure, path, **options):
    from matplotlib import font_manager
    from matplotlib.text import Text

    installed = {font.name for font in font_manager.fontManager.ttflist}
    for text in figure.findobj(Text):
        # Where Matplotlib's own font lacks a letter, the next one is asked.
        text.set_fontfamily(["DejaVu Sans", *(name for name in FONTS if name in installed)])
    with atomic_write(Path(path)) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it draws a box
        figure.savefig(file, format="png", dpi=110, metadata={"Software": SOFTWARE}, **options)
