"""Where each cell of a map sits in the image, how large maps are, and where crops must be cut.

Every layer on a regular grid maps its output cells to image coordinates: cell ``i`` of a map has
its center at pixel ``scale * i + shift``. The image itself is (scale, shift) = (1, 0). A
convolution or a pool with kernel k, stride s, padding p and dilation d has its output cell 0 over
the middle of its first window, and moves on by s input cells::

    shift <- shift + scale * (d * (k - 1) / 2 - p)
    scale <- scale * s

A transposed convolution walks the same two lines backwards::

    scale <- scale / s
    shift <- shift - scale * (d * (k - 1) / 2 - p)

All numbers are kept as fractions, for each axis: halves and thirds stay exact.

A network is traced by calling it with a `FeatureMap` in place of an array: its forward runs as
ever, each layer passes on the description of a map instead of the map. So there is no second
description of a network that could differ from what it does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from fcn_numpy.checks import Pair, pair


@dataclass(frozen=True)
class Axis:
    """One axis of a `Grid`.

    Attributes
    ----------
    scale, shift : Fraction
        Cell i has its center at pixel ``scale * i + shift``.
    spans : tuple of (int, int) or None
        First and last pixel that cell 0, cell 1, ... depends on; None for a cell that depends on
        none. After the last entry it begins again, so many pixels further on as there are entries
        times `scale`. Cells of an upsampled map do not all see equally much, so one number would
        not do.
    """

    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)
    spans: tuple[tuple[int, int] | None, ...] = ((0, 0),)

    @property
    def field(self) -> int:
        """Receptive field: the largest number of pixels from the first to the last one seen."""
        return max((last - first + 1 for first, last in filter(None, self.spans)), default=0)

    def seen_from(self, cells: Iterable[int]) -> tuple[int, int] | None:
        """Return the first and last pixel that any of some cells depends on."""
        pixels = []
        for cell in cells:
            turns, phase = divmod(cell, len(self.spans))
            span = self.spans[phase]
            if span is not None:
                pixels += [pixel + int(turns * len(self.spans) * self.scale) for pixel in span]
        return (min(pixels), max(pixels)) if pixels else None

    def convolved(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Return the axis of the map that a convolution or a pool makes."""
        period = len(self.spans) // math.gcd(len(self.spans), stride)
        spans = tuple(
            self.seen_from(i * stride - padding + t * dilation for t in range(kernel))
            for i in range(period)
        )
        shift = self.shift + self.scale * (Fraction(dilation * (kernel - 1), 2) - padding)
        return Axis(self.scale * stride, shift, spans)

    def transpose_convolved(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Return the axis of the map that a transposed convolution makes."""
        spans = []
        for i in range(len(self.spans) * stride):
            reached = (i + padding - t * dilation for t in range(kernel))
            spans.append(self.seen_from(r // stride for r in reached if r % stride == 0))
        scale = self.scale / stride
        shift = self.shift - scale * (Fraction(dilation * (kernel - 1), 2) - padding)
        return Axis(scale, shift, tuple(spans))

    def cropped(self, offset: int) -> Axis:
        """Return the axis of the map that begins at cell `offset` of this one."""
        spans = tuple(self.seen_from([offset + i]) for i in range(len(self.spans)))
        return Axis(self.scale, self.shift + self.scale * offset, spans)

    def mixed(self, uses: np.ndarray) -> Axis:
        """Return the axis of a map whose cell i is made of the cells j with ``uses[i, j]``.

        The new cells are taken as evenly spread over the same pixels as the old ones.

        Parameters
        ----------
        uses : ndarray of bool, shape (new size, old size)

        Returns
        -------
        Axis
        """
        ratio = Fraction(uses.shape[1], uses.shape[0])
        spans = tuple(self.seen_from(np.flatnonzero(row).tolist()) for row in uses)
        return Axis(self.scale * ratio, self.shift + self.scale * (ratio - 1) / 2, spans)

    def fused(self, other: Axis) -> Axis:
        """Return the axis of the sum of this map and one on the same grid."""
        spans = []
        for i in range(math.lcm(len(self.spans), len(other.spans))):
            both = [s for s in (self.seen_from([i]), other.seen_from([i])) if s is not None]
            spans.append((min(s[0] for s in both), max(s[1] for s in both)) if both else None)
        return Axis(self.scale, self.shift, tuple(spans))

    def offset_of(self, target: Axis) -> Fraction:
        """Return which cell of this axis lies under cell 0 of `target`; may be no whole number."""
        return (target.shift - self.shift) / self.scale


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map sit in the image, and how much of it one cell sees.

    Attributes
    ----------
    rows, columns : Axis
    """

    rows: Axis = Axis()
    columns: Axis = Axis()

    @property
    def scale(self) -> tuple[Fraction, Fraction]:
        """Image pixels from one cell to the next: the map's stride in the image."""
        return self.rows.scale, self.columns.scale

    @property
    def shift(self) -> tuple[Fraction, Fraction]:
        """Image coordinate of the center of cell (0, 0)."""
        return self.rows.shift, self.columns.shift

    @property
    def field(self) -> Pair:
        """Receptive field: the largest number of image pixels, on each axis, that a cell sees."""
        return self.rows.field, self.columns.field

    def convolved(
        self, kernel_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
    ) -> Grid:
        """Return the grid of the map that a convolution or a pool makes of this one."""
        rows, columns = zip(kernel_size, stride, padding, dilation)
        return Grid(self.rows.convolved(*rows), self.columns.convolved(*columns))

    def transpose_convolved(
        self, kernel_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
    ) -> Grid:
        """Return the grid of the map that a transposed convolution makes of this one."""
        rows, columns = zip(kernel_size, stride, padding, dilation)
        return Grid(
            self.rows.transpose_convolved(*rows), self.columns.transpose_convolved(*columns)
        )

    def cropped(self, offset: Pair) -> Grid:
        """Return the grid of the map that begins at cell `offset` of this one."""
        return Grid(self.rows.cropped(offset[0]), self.columns.cropped(offset[1]))

    def mixed(self, uses_rows: np.ndarray, uses_columns: np.ndarray) -> Grid:
        """Return the grid of a map made by a matrix on each axis.

        Parameters
        ----------
        uses_rows, uses_columns : ndarray of bool, shape (new size, old size)
            Which entries of the matrices are not zero.

        Returns
        -------
        Grid
        """
        return Grid(self.rows.mixed(uses_rows), self.columns.mixed(uses_columns))

    def fused(self, other: Grid) -> Grid:
        """Return the grid of the sum of this map and one on the same grid."""
        return Grid(self.rows.fused(other.rows), self.columns.fused(other.columns))

    def offset_of(self, target: Grid) -> Pair:
        """Return the cell of this grid that lies under cell (0, 0) of `target`.

        It is the offset at which a map on this grid must be cropped to lie on `target`:
        ``(target.shift - self.shift) / self.scale``.

        Parameters
        ----------
        target : Grid

        Returns
        -------
        (int, int)

        Raises
        ------
        ValueError
            If the two grids have different scales, the offset is not a whole number, or it is
            negative (the map does not reach the target's first cell).
        """
        if self.scale != target.scale:
            raise ValueError(
                f"only grids of the same scale can be laid onto each other, got "
                f"{_text(self.scale)} and {_text(target.scale)}"
            )
        offset = self.rows.offset_of(target.rows), self.columns.offset_of(target.columns)
        if any(o.denominator != 1 or o < 0 for o in offset):
            raise ValueError(
                f"expected a crop offset of whole cells from 0, got {_text(offset)}: choose "
                "another padding or kernel size"
            )
        return int(offset[0]), int(offset[1])


def _text(values: Iterable[Fraction]) -> str:
    return "(" + ", ".join(str(v) for v in values) + ")"


class Layer(Protocol):
    """What tracing asks of a layer or a network: `fcn_numpy.nn.Module` has it."""

    def __call__(self, *inputs: Any) -> Any:
        """Return the description of the output, given those of the inputs."""

    def named_modules(self) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) for this layer and all that it is made of."""

    def parameters(self) -> Iterator[Any]:
        """Yield the parameters."""


@dataclass(frozen=True)
class Step:
    """One layer as it was traced: its name in the model, the layer, what came in and went out."""

    name: str
    layer: Layer
    inputs: tuple[FeatureMap, ...]
    output: FeatureMap


@dataclass(frozen=True)
class FeatureMap:
    """What is known of a map without computing it: channels, size and grid.

    Attributes
    ----------
    channels : int
    size : (int, int)
        Height and width.
    grid : Grid
    """

    channels: int
    size: Pair
    grid: Grid = Grid()
    _steps: list[tuple[Layer, tuple[FeatureMap, ...], FeatureMap]] = dataclasses.field(
        default_factory=list, repr=False, compare=False
    )

    def to(self, channels: int, size: Pair, grid: Grid) -> FeatureMap:
        """Return the map that a layer makes of this one; the record of steps goes with it."""
        return FeatureMap(channels, size, grid, self._steps)

    def check_channels(self, channels: int, layer: str) -> None:
        """Raise ValueError unless the map has as many channels as a layer expects."""
        if self.channels != channels:
            raise ValueError(f"{layer} expected {channels} channels, got {self.channels}")

    def fused(self, other: FeatureMap) -> FeatureMap:
        """Return the sum of this map and one of the same shape on the same grid."""
        a, b = (
            f"{m.shape} from pixel {tuple(map(float, m.grid.shift))}, stride {_text(m.grid.scale)}"
            for m in (self, other)
        )
        if a != b:
            raise ValueError(f"expected two maps of one shape on one grid, got {a} and {b}")
        return self.to(self.channels, self.size, self.grid.fused(other.grid))

    def record(self, layer: Layer, inputs: tuple[FeatureMap, ...]) -> FeatureMap:
        """Note that `layer` made this map, and return it as a map that is no input's."""
        output = self.to(self.channels, self.size, self.grid)
        self._steps.append((layer, inputs, output))
        return output

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one such map as an array, (1, channels, H, W)."""
        return (1, self.channels, *self.size)


def feature_maps(channels: Sequence[int], size: Pair) -> list[FeatureMap]:
    """Return descriptions of images of one size, with these numbers of channels."""
    first = FeatureMap(channels[0], size)
    return [first, *(first.to(c, size, first.grid) for c in channels[1:])]


@dataclass(frozen=True)
class Traced:
    """A model as it was traced.

    Attributes
    ----------
    inputs : list of FeatureMap
        What the model was given.
    steps : list of Step
        In the order in which the layers ran.
    outputs : dict of str to FeatureMap
        What the model returned; under the name "scores" if it was no dict.
    """

    inputs: list[FeatureMap]
    steps: list[Step]
    outputs: dict[str, FeatureMap]


def trace_all(model: Layer, size: int | Pair, channels: int | None = None) -> Traced:
    """Trace a model as `trace` does, and return the model's inputs and outputs as well."""
    # A network with `inputs` says how many channels each of them has.
    known = getattr(model, "inputs", None)
    counts = tuple(known.values()) if isinstance(known, dict) else (3,)
    counts = counts if channels is None else (channels,)
    inputs = feature_maps(counts, pair(size, "size", 1))
    outputs = model(*inputs)
    names = {id(module): name for name, module in model.named_modules()}
    for layer, _, _ in inputs[0]._steps:
        if id(layer) not in names:
            raise ValueError(
                f"{type(model).__name__} runs a {type(layer).__name__} that is no attribute of it"
            )
    steps = [Step(names[id(layer)], layer, ins, out) for layer, ins, out in inputs[0]._steps]
    return Traced(inputs, steps, outputs if isinstance(outputs, dict) else {"scores": outputs})


def trace(model: Layer, size: int | Pair, channels: int | None = None) -> list[Step]:
    """Send the description of an image through a model and note what each layer makes of it.

    Parameters
    ----------
    model : Module
        Any module that is made of layer calls.
    size : int or (int, int)
        Height and width of the image.
    channels : int, optional
        Channels of the image: by default those that the network is made for, or else 3.

    Returns
    -------
    list of Step
        In the order in which the layers run.

    Raises
    ------
    ValueError
        What a layer raises for an array of this size.

    Examples
    --------
    >>> from fcn_numpy.nn import Conv2d, MaxPool2d, Sequential
    >>> network = Sequential(Conv2d(3, 8, 3, padding=1), MaxPool2d(2), Conv2d(8, 8, 3))
    >>> for step in trace(network, 32):
    ...     print(step.name, step.output.size, step.output.grid.field)
    0 (32, 32) (3, 3)
    1 (16, 16) (4, 4)
    2 (14, 14) (8, 8)
    """
    return trace_all(model, size, channels).steps
