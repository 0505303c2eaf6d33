"""How a batch is split between processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """The part of every batch that a process computes; by default, the whole batch.

    Attributes
    ----------
    number : int
        Number of this part, from 0 to count - 1.
    count : int
        Number of parts.
    """

    number: int = 0
    count: int = 1

    @property
    def items(self) -> slice:
        """The items of a sequence that belong to this part."""
        return slice(self.number, None, self.count)

    def size(self, batch: int, step: int) -> int:
        """Return how many images of a step's batch belong to this part.

        Images are dealt to the parts like cards, and each step starts dealing at the next part.
        So the parts take turns even if a batch has only one image.

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
