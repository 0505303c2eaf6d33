"""Find where each cell of a map is in the image, how large maps are, and where to crop them.

Every layer on a regular grid maps its output cells to image coordinates: cell ``i`` of a map has
its center at pixel ``scale * i + shift``. The image itself has (scale, shift) = (1, 0). In a
convolution or a pooling layer with kernel k, stride s, padding p and dilation d, output cell 0 is
over the middle of the first window, and each further cell is s input cells further on::

    shift <- shift + scale * (d * (k - 1) / 2 - p)
    scale <- scale * s

A transposed convolution undoes these two lines, in reverse order::

    scale <- scale / s
    shift <- shift - scale * (d * (k - 1) / 2 - p)

All numbers are fractions, one for each axis, so halves and thirds stay exact.

To trace a network, call it with a `FeatureMap` in place of an array. Its forward runs as usual, but
each layer passes on the description of a map instead of the map. So there is no second description
of a network that could differ from what it does.
"""

from __future__ import annotations

import dataclasses
import functools
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
        no pixel. After the last entry, the spans repeat, shifted by the number of entries times
        `scale` pixels. One span is not enough, because the cells of an upsampled map do not all
        see the same number of pixels.
    """

    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)
    spans: tuple[tuple[int, int] | None, ...] = ((0, 0),)

    @property
    def field(self) -> int:
        """Receptive field: the largest number of pixels from the first to the last one seen."""
        return max((last - first + 1 for first, last in filter(None, self.spans)), default=0)

    def seen_from(self, cells: Iterable[int]) -> tuple[int, int] | None:
        """Return the first and last pixel that any of these cells depends on."""
        pixels = []
        for cell in cells:
            turns, phase = divmod(cell, len(self.spans))
            span = self.spans[phase]
            if span is not None:
                pixels += [pixel + int(turns * len(self.spans) * self.scale) for pixel in span]
        return (min(pixels), max(pixels)) if pixels else None

    def convolved(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Return the axis of the map that a convolution or a pooling layer computes."""
        period = len(self.spans) // math.gcd(len(self.spans), stride)
        spans = tuple(
            self.seen_from(i * stride - padding + t * dilation for t in range(kernel))
            for i in range(period)
        )
        shift = self.shift + self.scale * (Fraction(dilation * (kernel - 1), 2) - padding)
        return Axis(self.scale * stride, shift, spans)

    def transpose_convolved(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Return the axis of the map that a transposed convolution computes."""
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
        """Return the axis of a map in which cell i combines the cells j with ``uses[i, j]``.

        The new cells are assumed to be spread evenly over the same pixels as the old ones.

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
        """Return the cell of this axis at cell 0 of `target`; it may not be a whole number."""
        return (target.shift - self.shift) / self.scale


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map are in the image, and how much of the image one cell sees.

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
        """Return the grid of the map that a convolution or a pooling layer computes from this."""
        rows, columns = zip(kernel_size, stride, padding, dilation)
        return Grid(self.rows.convolved(*rows), self.columns.convolved(*columns))

    def transpose_convolved(
        self, kernel_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
    ) -> Grid:
        """Return the grid of the map that a transposed convolution computes from this one."""
        rows, columns = zip(kernel_size, stride, padding, dilation)
        return Grid(
            self.rows.transpose_convolved(*rows), self.columns.transpose_convolved(*columns)
        )

    def cropped(self, offset: Pair) -> Grid:
        """Return the grid of the map that begins at cell `offset` of this one."""
        return Grid(self.rows.cropped(offset[0]), self.columns.cropped(offset[1]))

    def mixed(self, uses_rows: np.ndarray, uses_columns: np.ndarray) -> Grid:
        """Return the grid of a map that is computed by a matrix on each axis.

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
        """Return the cell of this grid that is at cell (0, 0) of `target`.

        This is the offset at which to crop a map on this grid so that it lines up with `target`:
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
                f"expected two grids of the same scale, got "
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
    """What tracing requires of a layer or a network: `fcn_numpy.nn.Module` provides it."""

    def __call__(self, *inputs: Any) -> Any:
        """Return the description of the output, given the descriptions of the inputs."""

    def named_modules(self) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) for this layer and all layers inside it."""

    def parameters(self) -> Iterator[Any]:
        """Yield the parameters."""


@dataclass(frozen=True)
class Step:
    """One traced layer: its name in the model, the layer, its inputs and its output."""

    name: str
    layer: Layer
    inputs: tuple[FeatureMap, ...]
    output: FeatureMap


@dataclass(frozen=True)
class FeatureMap:
    """The description of a map that is not computed: channels, size and grid.

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
        """Return the map that a layer computes from this one; it shares the record of steps."""
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
        """Record that `layer` computed this map, and return it as a map that is not an input."""
        output = self.to(self.channels, self.size, self.grid)
        self._steps.append((layer, inputs, output))
        return output

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the map as an array for one image, (1, channels, H, W)."""
        return (1, self.channels, *self.size)


def feature_maps(channels: Sequence[int], size: Pair) -> list[FeatureMap]:
    """Return descriptions of images of one size, with these numbers of channels."""
    first = FeatureMap(channels[0], size)
    return [first, *(first.to(c, size, first.grid) for c in channels[1:])]


@dataclass(frozen=True)
class Traced:
    """The trace of a model.

    Attributes
    ----------
    inputs : list of FeatureMap
        The inputs of the model.
    steps : list of Step
        The steps, in the order in which the layers ran.
    outputs : dict of str to FeatureMap
        The outputs of the model; a single output has the name "scores".
    """

    inputs: list[FeatureMap]
    steps: list[Step]
    outputs: dict[str, FeatureMap]

    @functools.cached_property
    def _made_by(self) -> dict[int, Step]:
        return {id(step.output): step for step in self.steps}

    def maker_of(self, m: FeatureMap) -> Step | None:
        """Return the step that made a map; None for an input."""
        return self._made_by.get(id(m))


def trace_all(model: Layer, size: int | Pair, channels: int | None = None) -> Traced:
    """Trace a model as `trace` does, and return the model's inputs and outputs as well."""
    # A network with `inputs` says how many channels each one has.
    known = getattr(model, "inputs", None)
    counts = tuple(known.values()) if isinstance(known, dict) else (3,)
    counts = counts if channels is None else (channels,)
    inputs = feature_maps(counts, pair(size, "size", 1))
    outputs = model(*inputs)
    names = {id(module): name for name, module in model.named_modules()}
    for layer, _, _ in inputs[0]._steps:
        if id(layer) not in names:
            raise ValueError(
                f"{type(model).__name__} runs a {type(layer).__name__} that is not its attribute"
            )
    steps = [Step(names[id(layer)], layer, ins, out) for layer, ins, out in inputs[0]._steps]
    return Traced(inputs, steps, outputs if isinstance(outputs, dict) else {"scores": outputs})


def trace(model: Layer, size: int | Pair, channels: int | None = None) -> list[Step]:
    """Send the description of an image through a model, and record what each layer does with it.

    Parameters
    ----------
    model : Module
        Any module that only calls layers.
    size : int or (int, int)
        Height and width of the image.
    channels : int, optional
        Channels of the image. By default, the number that the network is made for, or 3.

    Returns
    -------
    list of Step
        The steps, in the order in which the layers run.

    Raises
    ------
    ValueError
        If a layer raises it for an array of this size.

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
