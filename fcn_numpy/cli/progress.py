"""Show the progress of a command: one line that updates, or plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from fcn_numpy.training import StepReport


class LiveLine:
    """A line that shows progress.

    On a terminal, one line updates in place. Elsewhere, a new line is written when it is `due`,
    after half a minute without a line, and at the end.

    Parameters
    ----------
    stream : text file
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.live = stream.isatty()
        self.shown = time.monotonic()
        self.unfinished = False

    def is_time(self, due: bool, finished: bool) -> bool:
        """Return whether it is time to write the line."""
        waited = time.monotonic() - self.shown
        return finished or waited > (0.1 if self.live else 30) or (due and not self.live)

    def write(self, line: str, finished: bool) -> None:
        """Write the line; if `finished`, other text can follow it."""
        self.shown = time.monotonic()
        if self.live:
            line = f"\r{line}\033[K"  # overwrite the previous line, then clear its rest
        self.unfinished = self.live and not finished
        self.stream.write(line + ("" if self.unfinished else "\n"))
        self.stream.flush()

    def close(self) -> None:
        """End the line that is being updated, so that other text can follow."""
        if self.unfinished:
            self.unfinished = False
            self.stream.write("\n")
            self.stream.flush()


class Counter:
    """Write how many images are done, out of a known total.

    Parameters
    ----------
    line : LiveLine
    total : int
    name : callable
        Returns the text to write after the numbers. Its argument is the number of images done.
    every : int
        Number of images between lines, where lines do not update.
    """

    def __init__(
        self, line: LiveLine, total: int, name: Callable[[int], str], every: int = 50
    ):
        self.line = line
        self.total = total
        self.name = name
        self.every = every
        self.written = 0

    def __call__(self, done: int) -> None:
        """Record the number of images done, and show it if it is time to."""
        finished = done == self.total
        if self.line.is_time(done // self.every > self.written // self.every, finished):
            self.written = done
            self.line.write(f"{done}/{self.total} {self.name(done)}", finished)


class TrainingProgress:
    """Write the progress of a training run. The loss shown is a running mean.

    Parameters
    ----------
    line : LiveLine
    every : int
        Number of steps between lines, where lines do not update.
    """

    def __init__(self, line: LiveLine, every: int = 50):
        self.line = line
        self.every = every
        self.stage = ""
        self.loss = 0.0
        self.images = 0
        self.started = self.stage_started = time.monotonic()
        self.work_before: float | None = None

    def __call__(self, progress: StepReport) -> None:
        """Record a step, and show it if it is time to."""
        now = time.monotonic()
        if self.work_before is None:
            # Steps are reported when they end, so the first one started when the run did.
            self.work_before = progress.work_done - progress.step_work
        if progress.stage != self.stage:
            self.stage, self.loss = progress.stage, progress.loss
            self.stage_started, self.images = now, 0
        else:
            self.loss += 0.1 * (progress.loss - self.loss)
            self.images += progress.images
        finished = progress.step == progress.steps
        if not self.line.is_time(progress.step % self.every == 0, finished):
            return
        rate = self.images / max(now - self.stage_started, 1e-9)
        digits = 0 if rate >= 10 else 1
        done = max(progress.work_done - self.work_before, 1.0)
        left = (progress.work - progress.work_done) * (now - self.started) / done
        line = (
            f"{progress.stage:<10}  step {progress.step:>4}/{progress.steps}  "
            f"loss {self.loss:.3f}  {rate:4.{digits}f} images/s  {_clock(left)} left"
        )
        self.line.write(line, finished)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02}"
