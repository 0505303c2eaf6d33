"""What each stream of a network contributed to a score, and what the score depends on."""

from __future__ import annotations

import itertools
import os

import numpy as np

from fcn_numpy.data import Classes
from fcn_numpy.explain import Explanation
from fcn_numpy.plotting.canvas import new_figure, save_figure
from fcn_numpy.plotting.maps import draw_map
from fcn_numpy.plotting.results import label_image

FIELD_COLORS = ("#D55E00", "#009E73", "#0072B2", "#CC79A7")


def draw_explanation(
    path: str | os.PathLike, explanation: Explanation, image: np.ndarray, classes: Classes
) -> None:
    """Draw the streams of a network, their running sum, and what one score depends on.

    Top: the image with the receptive field of each stream around the pixel; the gradient of the
    winner's score; how each stream favors the winner over the runner-up. Middle: what each stream
    contributed to the winner's scores. Bottom: the class with the largest score after each stream
    is added.

    Parameters
    ----------
    path : path-like
        A PNG file.
    explanation : Explanation
    image : ndarray, shape (3, H, W), from 0 to 1
    classes : Classes
    """
    from matplotlib.patches import Rectangle

    h, w = image.shape[1:]
    streams = {name: s[:, :h, :w] for name, s in explanation.streams.items()}
    winner, runner_up = (classes.names[n] for n in (explanation.winner, explanation.runner_up))
    columns = max(3, len(streams))
    tall = 3.1 * min(1.5, h / w)
    # However flat the image, the bars need room.
    heights = max(2.6, tall) + 0.5, tall + 0.3, tall + 0.3
    figure, axes = new_figure(
        (3.1 * columns, sum(heights)), 3, columns, layout="constrained", height_ratios=heights
    )
    row, column = explanation.pixel
    colors = dict(zip(streams, itertools.cycle(FIELD_COLORS)))

    axis = axes[0, 0]
    draw_map(axis, image, f"row {row}, column {column}: {winner}")
    axis.plot(column, row, "+", color="white", markersize=12, markeredgewidth=2.5)
    axis.plot(column, row, "+", color="black", markersize=10, markeredgewidth=1.2)
    for name, ((top, bottom), (left, right)) in explanation.fields.items():
        y0, y1 = (min(max(v, -0.5), h - 0.5) for v in (top - 0.5, bottom + 0.5))
        x0, x1 = (min(max(v, -0.5), w - 0.5) for v in (left - 0.5, right + 0.5))
        axis.add_patch(Rectangle(
            (x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colors[name], linewidth=2, label=name,
            clip_on=False,
        ))
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.02), frameon=False, ncols=2)

    axis = axes[0, 1]
    influence = explanation.influence()[:h, :w]
    draw_map(axis, np.sqrt(influence), "what its score depends on", colors="gray")
    shares = []
    for size, share in itertools.islice(explanation.shares.items(), 4):
        corner = column - (size - 1) // 2 - 0.5, row - (size - 1) // 2 - 0.5
        axis.add_patch(Rectangle(corner, size, size, fill=False, edgecolor="#F0E442"))
        shares.append(f"{share:.0%} in {size} x {size}")
    axis.set_xlabel("\n".join(", ".join(shares[i : i + 2]) for i in (0, 2)), fontsize=9)
    axis.set(xlim=(-0.5, w - 0.5), ylim=(h - 0.5, -0.5))

    axis = axes[0, 2]
    margins = explanation.margins
    for number, (name, margin) in enumerate(margins.items()):
        axis.barh(number, margin, color=colors[name], height=0.45)
        axis.text(0.02, number - 0.34, f"{name}: {margin:+.2f}", fontsize=9,
                  transform=axis.get_yaxis_transform(), va="center")
    axis.axvline(0, color="0.3", linewidth=0.8)
    axis.set(
        title=f"{winner} over {runner_up}: {sum(margins.values()):+.2f}", yticks=[],
        ylim=(len(margins) - 0.5, -0.7),
    )

    largest = max(float(abs(s[explanation.winner]).max()) for s in streams.values()) or 1.0
    total: np.ndarray | float = 0.0
    for number, (name, stream) in enumerate(streams.items()):
        total = total + stream
        draw_map(
            axes[1, number], stream[explanation.winner], f"{name}: {winner}", colors="RdBu_r",
            limits=(-largest, largest),
        )
        labels = total.argmax(axis=0).astype(np.uint8)
        words = name if number == 0 else f"+ {name}"
        draw_map(axes[2, number], label_image(labels, classes), words)
        for below in (axes[1, number], axes[2, number]):
            below.plot(column, row, "+", color="black", markersize=8)
    for axis in axes.flat:
        axis.title.set_fontsize(10)
        if not axis.has_data():
            axis.axis("off")
    save_figure(figure, path)
