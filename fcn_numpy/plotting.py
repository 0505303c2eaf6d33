"""Every picture that the project draws. Only this file imports matplotlib, when it draws."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fcn_numpy.checks import check_array
from fcn_numpy.files import atomic_write

# Colours that differ in brightness too, for all kinds of colour blindness (after Okabe and Ito).
# Background, circle, square, triangle.
CLASS_COLOURS = np.array(
    [[0.13, 0.13, 0.13], [0.94, 0.89, 0.26], [0.34, 0.71, 0.91], [0.84, 0.37, 0.0]]
)
CURVE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
IGNORE_COLOUR = np.array([1.0, 1.0, 1.0])
TITLES = {
    "classifier": "classifier", "fcn32s": "FCN-32s", "fcn16s": "FCN-16s", "fcn8s": "FCN-8s"
}


def label_picture(labels: np.ndarray) -> np.ndarray:
    """Colour a map of labels.

    Parameters
    ----------
    labels : ndarray, shape (H, W), integer
        Class numbers of `CLASS_COLOURS`; 255 (ignore) becomes white.

    Returns
    -------
    ndarray, shape (3, H, W), from 0 to 1
    """
    check_array(labels, "labels", ("H", "W"), kinds="iu")
    known = labels < len(CLASS_COLOURS)
    colours = CLASS_COLOURS[np.where(known, labels, 0)]
    colours[~known] = IGNORE_COLOUR
    return colours.transpose(2, 0, 1)


def overlay(image: np.ndarray, labels: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Lay the colours of the labels over a picture; the background stays as it is.

    Parameters
    ----------
    image : ndarray, shape (3, H, W), from 0 to 1
    labels : ndarray, shape (H, W), integer
    opacity : float

    Returns
    -------
    ndarray, shape (3, H, W), from 0 to 1
    """
    mixed = (1 - opacity) * image + opacity * label_picture(labels)
    return np.where(labels == 0, image, mixed)


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
    right.set(ylim=(0, 1), ylabel="mean IU", title="On held-out pictures")
    _save(figure, path)


def plot_convergence(
    path: str | os.PathLike,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
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
    for (name, (steps, seconds, losses)), colour in zip(
        curves.items(), itertools.cycle(CURVE_COLOURS)
    ):
        for axis, x in ((left, steps), (right, seconds)):
            axis.plot(x, losses, color=colour, linewidth=2, label=name)
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
    images: np.ndarray,
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    mean_iu: Mapping[str, float],
) -> None:
    """Draw pictures, their labels and what each network made of them, side by side.

    Parameters
    ----------
    path : path-like
        A PNG file.
    images : ndarray, shape (N, 3, H, W), from 0 to 1
    labels : ndarray, shape (N, H, W)
    predictions : mapping of str to ndarray, shape (N, H, W)
        One for each network, in the order in which they are drawn.
    class_names : sequence of str
    mean_iu : mapping of str to float
        Of each network, for the titles.

    Notes
    -----
    After figure 4 of Long et al.: "refining by fusing information from layers with different
    strides".
    """
    columns = {"image": images, "truth": [label_picture(y) for y in labels]}
    for name, predicted in predictions.items():
        title = f"{TITLES.get(name, name)}\nmean IU {mean_iu[name]:.3f}"
        columns[title] = [label_picture(p) for p in predicted]
    rows = len(images)
    figure, axes = _figure(
        (2 * len(columns), 2 * rows + 0.9), rows, len(columns), squeeze=False,
        layout="constrained",
    )
    for column, (title, pictures) in zip(axes.T, columns.items()):
        column[0].set_title(title)
        for axis, picture in zip(column, pictures):
            axis.imshow(np.clip(picture, 0, 1).transpose(1, 2, 0), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=colour, edgecolor="0.3", label=name)
        for name, colour in zip(class_names, CLASS_COLOURS)
    ]
    if (labels >= len(CLASS_COLOURS)).any():
        patches.append(Patch(facecolor=IGNORE_COLOUR, edgecolor="0.3", label="does not count"))
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)
    _save(figure, path)


def _running_mean(values, width):
    """Mean over a window around each value, cut off at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first = np.maximum(index - width // 2, 0)
    end = np.minimum(index + width // 2 + 1, len(values))
    return (sums[end] - sums[first]) / (end - first)


def _figure(size, rows, columns, **options):
    # Without pyplot no display is looked for and no figure stays behind in its list.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout=options.pop("layout", None))
    return figure, figure.subplots(rows, columns, **options)


def _save(figure, path):
    with atomic_write(Path(path)) as file:
        figure.savefig(file, format="png", dpi=110)
