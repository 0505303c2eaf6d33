"""The sizes of images that a network takes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from fcn_numpy.checks import Pair, pair

# Number of strides that `smallest` tries before it gives up; sizes repeat after each stride.
MOST_STRIDES = 32


class Sizes:
    """The sizes that an FCN takes: its scores, after all crops, must cover the image.

    The class finds them by tracing the network. Height and width are independent: the network
    takes (h, w) if it takes (h, h) and (w, w).

    Parameters
    ----------
    name : str
        Name of the network in error messages.
    segment : function
        Traces the network at a size, (H, W), and raises ValueError if that is impossible.
    stride : (Fraction, Fraction)
        Stride of the coarsest feature map. The sizes repeat after each stride.
    taken : dict of (int, int) to bool
        The answers known so far; `take` adds to them.
    """

    def __init__(
        self, name: str, segment: Callable[[Pair], object], stride: tuple[Fraction, Fraction],
        taken: dict[Pair, bool],
    ):
        self._name = name
        self._segment = segment
        self._stride = int(max(stride))
        self._taken = taken

    def take(self, size: int | Pair) -> bool:
        """Return whether the network takes a size."""
        size = pair(size, "size", 1)
        if size not in self._taken:
            try:
                self._segment(size)
                self._taken[size] = True
            except ValueError:
                self._taken[size] = False
        return self._taken[size]

    @property
    def smallest(self) -> int:
        """The smallest height and width that the network takes."""
        for n in range(1, MOST_STRIDES * self._stride + 1):
            if self.take(n):
                return n
        raise ValueError(f"{self._name} takes no image of up to {n} x {n} pixels")

    def check(self, size: Pair) -> None:
        """Raise ValueError, and list the sizes that the network takes, if it does not take this."""
        if not self.take(size):
            raise ValueError(
                f"{self._name} takes images with a height and a width of {self}, got {tuple(size)}"
            )

    def __str__(self) -> str:
        taken = [n for n in range(1, 8 * self._stride + 1) if self.take(n)]
        return f"{_ranges(taken)} and so on"


def _ranges(numbers: list[int]) -> str:
    """Write whole numbers as ranges: [1, 2, 3, 7] as '1 to 3, 7'."""
    ranges: list[list[int]] = []
    for n in numbers:
        if ranges and n == ranges[-1][1] + 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    return ", ".join(f"{a} to {b}" if a != b else str(a) for a, b in ranges)
