"""What networks make of images: labels in colors, predictions, and curves of a training run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fcn_numpy.checks import check_array
from fcn_numpy.data import IGNORE, Classes
from fcn_numpy.plotting.canvas import new_figure, save_figure

LEGEND_COLUMNS = 6
CURVE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
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
    figure, axis = new_figure((width, 0.3 * len(found) + 0.3), 1, 1, layout="constrained")
    axis.axis("off")
    axis.legend(
        handles=_patches(classes, found), labels=names, loc="center", frameon=False, fontsize=11,
        handlelength=1.6, handleheight=1.2,
    )
    save_figure(figure, path)


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
    figure, (left, right) = new_figure(
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
    save_figure(figure, path)


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
    figure, (left, right) = new_figure((11, 4.2), 1, 2, sharey=True, layout="constrained")
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
    save_figure(figure, path)


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
    columns = {"image": images, "labels": [label_image(y, classes) for y in labels]}
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
    tallest = min(2.0, max(image.shape[1] / image.shape[2] for image in images))
    figure, axes = new_figure(
        (2 * len(columns), 2 * rows * tallest + 0.65 + 0.25 * legend_rows), rows, len(columns),
        squeeze=False, layout="constrained",
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
    save_figure(figure, path)


def _running_mean(values, width):
    """Mean over a window around each value, cut off at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first = np.maximum(index - width // 2, 0)
    end = np.minimum(index + width // 2 + 1, len(values))
    return (sums[end] - sums[first]) / (end - first)
