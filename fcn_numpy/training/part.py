"""How a batch is split between processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Which part of each batch a process computes; by default the whole batch.

    Attributes
    ----------
    number : int
        From 0 to count - 1.
    count : int
        Number of parts.
    """

    number: int = 0
    count: int = 1

    @property
    def items(self) -> slice:
        """Which items of a sequence belong to this part."""
        return slice(self.number, None, self.count)

    def size(self, batch: int, step: int) -> int:
        """Return how many images of the batch of a step belong to this part.

        Images are dealt like cards, and each step begins with the next part. So even with batches
        of one image, all parts are used in turn.

        Parameters
        ----------
        batch : int
            Images in the batch.
        step : int

        Returns
        -------
        int
        """
        return len(range((self.number - step) % self.count, batch, self.count))
