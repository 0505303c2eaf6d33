"""Figures to draw on, and how they are written: whole or not at all."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from fcn_numpy.data.images import SOFTWARE
from fcn_numpy.files import atomic_write

# Fonts of systems for scripts that Matplotlib's font lacks.
FONTS = ("Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "Yu Gothic", "PingFang SC")


def use_defaults() -> None:
    """Forget what a matplotlibrc says, which may ask for programs such as TeX."""
    import matplotlib

    matplotlib.rcdefaults()


def empty_figure(size: tuple[float, float], layout: Any = "constrained") -> Any:
    """Return a matplotlib Figure of a width and height in inches."""
    # Without pyplot no display is looked for and no figure stays behind in its list.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout=layout)


def new_figure(
    size: tuple[float, float], rows: int, columns: int, **options: Any
) -> tuple[Any, Any]:
    """Return a Figure and its axes in rows and columns; options are those of `subplots`."""
    figure = empty_figure(size, options.pop("layout", None))
    return figure, figure.subplots(rows, columns, **options)


def save_figure(figure: Any, path: str | os.PathLike, **options: Any) -> None:
    """Write a Figure as a PNG file, in a font that has all of its letters."""
    from matplotlib import font_manager
    from matplotlib.text import Text

    installed = {font.name for font in font_manager.fontManager.ttflist}
    for text in figure.findobj(Text):
        # Where Matplotlib's own font lacks a letter, the next one is asked.
        text.set_fontfamily(["DejaVu Sans", *(name for name in FONTS if name in installed)])
    with atomic_write(Path(path)) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it draws a box
        figure.savefig(file, format="png", dpi=110, metadata={"Software": SOFTWARE}, **options)
