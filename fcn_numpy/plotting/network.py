"""A still of a whole network: its layers in groups, with shapes, strides and crops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from fcn_numpy.checks import IntOrPair
from fcn_numpy.geometry import FeatureMap, Step, Traced, trace_all
from fcn_numpy.models import FCN
from fcn_numpy.nn import Conv2d, ConvTranspose2d, Crop, MaxPool2d, Scale, Sum
from fcn_numpy.plotting.canvas import empty_figure, save_figure

BACKBONE, SCORES, UPSAMPLING, CROP = "#DCE9F5", "#FDEBD0", "#DFF2E3", "#C0392B"
LOWEST = -1.95  # the row of sums; the backbone is at 0, score layers at -1


def draw_network(
    path: str | os.PathLike, model: FCN, size: IntOrPair, *, head: str | None = None
) -> None:
    """Draw an FCN: the backbone on top, below it the scores of each stream, and how they are fused.

    Everything is read off the traced network, so the figure is right for any backbone.

    Parameters
    ----------
    path : path-like
        A PNG file.
    model : FCN
    size : int or (int, int)
        Height and width of the image that the shapes belong to.
    head : str, optional
        Which head to draw; by default the first.
    """
    if not isinstance(model, FCN):
        raise ValueError(f"draw_network: expected an FCN, got {type(model).__name__}")
    traced = trace_all(model, size)
    output = traced.outputs[head or next(iter(traced.outputs))]
    streams, last_upscore, last_crop = _streams(traced, output)
    coarsest = streams[0].source
    groups = _groups(traced, coarsest)
    column = {id(m): i for i, group in enumerate(groups, 1) for m in group.maps}
    fused = [column[id(stream.source)] for stream in streams]
    # Between two sums there must be room for an upsampling layer.
    xs = [0.0]
    for i in range(1, len(groups) + 1):
        xs.append(xs[-1] + (2 if {i - 1, i} <= set(fused) else 1))

    width = xs[-1] + 1.1
    figure = empty_figure((1.75 * width, 4.4), layout=None)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-0.55, width - 0.55), ylim=(LOWEST - 0.4, 0.5))
    axis.axis("off")
    image = traced.inputs[0]
    _box(axis, 0, 0, ["image", _shape(image), "stride 1"], "white")
    for i, group in enumerate(groups, 1):
        _arrow(axis, (xs[i - 1], 0), (xs[i], 0))
        _box(axis, xs[i], 0, group.lines(), BACKBONE)
    x = 0.0
    for number, stream in enumerate(streams):
        coarse, x = x, xs[fused[number]]
        score, total = stream.score.output, stream.fused
        _arrow(axis, (x, 0), (x, -1))
        _box(axis, x, -1, [stream.score.name, "1x1 convolution", _shape(score)], SCORES)
        _arrow(axis, (x, -1), (x, LOWEST))
        if number > 0:
            _upsampling(axis, coarse, x, stream.upscore)
            _crop(axis, x + 0.06, -1.48, stream.crop, "left")
        _box(axis, x, LOWEST, ["sum" if number else "scores", _shape(total), _stride(total)],
             "white")
    _upsampling(axis, x, 0, last_upscore)
    _crop(axis, min(x / 4, 0.9), LOWEST + 0.14, last_crop, "center")
    _box(axis, 0, LOWEST, ["scores", _shape(output), "stride 1"], "white")
    save_figure(figure, path)


class _Stream(NamedTuple):
    """What scores a map, and how the result is fused into the coarser scores, if there are any."""

    source: FeatureMap
    score: Any
    fused: FeatureMap
    upscore: Any = None
    crop: Any = None


def _streams(traced: Traced, output: FeatureMap) -> tuple[list[_Stream], Any, Any]:
    """Return the streams of some scores, coarsest first, and the last upsampling layer and crop."""

    def back(m: FeatureMap, *kinds: type) -> Any:
        """Return the step that made a map, past layers of other kinds."""
        step: Any = traced.maker_of(m)
        while not isinstance(step.layer, kinds):
            step = traced.maker_of(step.inputs[0])
        return step

    def source_of(score: Step) -> FeatureMap:
        """Return the map that is scored, before it is scaled."""
        m = score.inputs[0]
        while (maker := traced.maker_of(m)) and isinstance(maker.layer, Scale):
            m = maker.inputs[0]
        return m

    last_crop = back(output, Crop)
    last_upscore = back(last_crop.inputs[0], ConvTranspose2d)
    streams = []
    step = back(last_upscore.inputs[0], Sum, Conv2d)
    while isinstance(step.layer, Sum):
        coarse, fine = step.inputs
        upscore, score = back(coarse, ConvTranspose2d), back(fine, Conv2d)
        streams.append(_Stream(source_of(score), score, step.output, upscore, back(fine, Crop)))
        step = back(upscore.inputs[0], Sum, Conv2d)
    streams.append(_Stream(source_of(step), step, step.output))
    return streams[::-1], last_upscore, last_crop


class _Group(NamedTuple):
    """Layers of the backbone that are drawn as one box."""

    steps: list[Step]

    @property
    def maps(self) -> list[FeatureMap]:
        """The maps that the layers make."""
        return [step.output for step in self.steps]

    def lines(self) -> list[str]:
        """Return what the box says."""
        convs = [step for step in self.steps if isinstance(step.layer, Conv2d)]
        pools = [step.name for step in self.steps if isinstance(step.layer, MaxPool2d)]
        names = [step.name for step in convs] or [self.steps[0].name]
        first = names[0] if len(names) == 1 else (
            f"{names[0]}, {names[-1]}" if len(names) == 2 else f"{names[0]} to {names[-1]}"
        )
        layers: list[Any] = [step.layer for step in convs]
        padding = max((p for layer in layers for p in layer.padding), default=0)
        padded = [f"padding {padding}"] if padding > 5 else []
        end = self.steps[-1].output
        return [first, *pools, _shape(end), _stride(end), *padded]


def _groups(traced: Traced, coarsest: FeatureMap) -> list[_Group]:
    """Split the layers up to the coarsest map: each group ends with the pooling layer in it."""
    groups: list[_Group] = []
    for step in traced.steps:
        pooled = groups and any(isinstance(s.layer, MaxPool2d) for s in groups[-1].steps)
        starts = isinstance(step.layer, Conv2d) and (pooled or max(step.layer.stride) > 1)
        if not groups or starts:
            groups.append(_Group([]))
        groups[-1].steps.append(step)
        if step.output is coarsest:
            break
    return groups


def _shape(m: FeatureMap) -> str:
    return f"{m.channels} x {m.size[0]} x {m.size[1]}"


def _stride(m: FeatureMap) -> str:
    rows, columns = m.grid.scale
    return f"stride {rows}" if rows == columns else f"stride {rows} x {columns}"


def _box(axis: Any, x: float, y: float, lines: Sequence[str], color: str) -> None:
    axis.text(
        x, y, "\n".join(lines), ha="center", va="center", fontsize=8.5, linespacing=1.35, zorder=3,
        bbox={"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": "0.45"},
    )


def _arrow(axis: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", end, start, zorder=1, arrowprops={
        "arrowstyle": "-|>", "color": "0.3", "lw": 1.3,
        "shrinkA": 30, "shrinkB": 50 if start[1] == end[1] else 26,
    })


def _upsampling(axis: Any, start: float, end: float, step: Step) -> None:
    layer: Any = step.layer
    _arrow(axis, (start, LOWEST), (end, LOWEST))
    lines = [step.name, f"kernel {layer.kernel_size[0]}, stride {layer.stride[0]}",
             _shape(step.output)]
    _box(axis, (start + end) / 2, LOWEST, lines, UPSAMPLING)


def _crop(axis: Any, x: float, y: float, step: Step, ha: str) -> None:
    rows, columns = step.layer.offset  # type: ignore[attr-defined]
    words = f"crop at {rows}" if rows == columns else f"crop at {rows}, {columns}"
    axis.text(x, y, words, ha=ha, va="center", fontsize=9.5, color=CROP, weight="bold", zorder=4)
