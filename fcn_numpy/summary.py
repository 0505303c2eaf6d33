"""A table of a model's layers: shapes, strides, receptive fields, parameters, multiply-adds."""

from __future__ import annotations

from typing import Any

from fcn_numpy.checks import Pair
from fcn_numpy.geometry import Step, trace
from fcn_numpy.nn import Conv2d, ConvTranspose2d, Crop, Linear, Module


def summary(model: Module, size: Pair) -> str:
    """Describe the layers of a model for images of one size in a table.

    Parameters
    ----------
    model : Module
        Any module whose forward takes an image.
    size : (int, int)
        Height and width of the image.

    Returns
    -------
    str
        One line for each layer: the shape of its output (C, H, W), its stride and receptive field
        in image pixels, its parameters, and its multiply-adds for one image. Below are the totals
        and the offsets of the crops. If the axes differ, there are two numbers: "4x2".

    Examples
    --------
    >>> from fcn_numpy.nn import MaxPool2d, Sequential
    >>> print(summary(Sequential(Conv2d(3, 64, 3, padding=1), MaxPool2d(2)), (320, 480)))
    layer  kind           output  stride  field  parameters  multiply-adds
    0      Conv2d     64x320x480       1      3       1,792    265,420,800
    1      MaxPool2d  64x160x240       2      4
    <BLANKLINE>
    parameters       1,792 (0.0 M)
    multiply-adds    265,420,800 (0.27 G) for an image of 320x480
    stride           2 (of the coarsest scores)
    receptive field  4 (of the coarsest scores)
    """
    steps = trace(model, size)
    rows = [("layer", "kind", "output", "stride", "field", "parameters", "multiply-adds")]
    total = 0
    for step in steps:
        out, layer = step.output, step.layer
        work = multiply_adds(step)
        total += work
        parameters = sum(p.data.size for p in layer.parameters())
        rows.append((
            step.name, type(layer).__name__, "x".join(map(str, (out.channels, *out.size))),
            _axes(out.grid.scale), _axes(out.grid.field),
            f"{parameters:,}" if parameters else "", f"{work:,}" if work else "",
        ))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    coarsest = max((s.output.grid for s in steps), key=lambda g: (g.scale, g.field))
    parameters = sum(p.data.size for p in model.parameters())
    lines += [
        "",
        f"parameters       {parameters:,} ({parameters / 1e6:.1f} M)",
        f"multiply-adds    {total:,} ({total / 1e9:.2f} G) for an image of {size[0]}x{size[1]}",
        f"stride           {_axes(coarsest.scale)} (of the coarsest scores)",
        f"receptive field  {_axes(coarsest.field)} (of the coarsest scores)",
    ]
    crops = [
        f"{step.name} {_axes(step.layer.offset)}" for step in steps if isinstance(step.layer, Crop)
    ]
    if crops:
        lines.append(f"crop offsets     {', '.join(crops)}")
    return "\n".join(lines)


def multiply_adds(step: Step) -> int:
    """Count the multiplications, each with an addition, of one layer for one image.

    A convolution uses its weight once for each cell of its output; a transposed convolution uses it
    once for each cell of its input. Cells at the border count in full, because the layers compute
    with their padding.

    Parameters
    ----------
    step : Step
        The layer, as recorded by `fcn_numpy.geometry.trace`.

    Returns
    -------
    int
    """
    layer = step.layer
    if isinstance(layer, Conv2d):
        cells = step.output.size
    elif isinstance(layer, ConvTranspose2d):
        cells = layer.window.output_size(step.output.size)
    elif isinstance(layer, Linear):
        cells = (1, 1)
    else:
        return 0
    return layer.weight.data.size * cells[0] * cells[1]


def _axes(values: tuple[Any, Any]) -> str:
    height, width = values
    return str(height) if height == width else f"{height}x{width}"
