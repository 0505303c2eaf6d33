"""How far a command is: one line that updates, or plain lines when piped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from fcn_numpy.training import StepReport


class LiveLine:
    """A line that says how far something is.

    On a terminal one line updates in place. Elsewhere a line is written when it is `due`, after
    half a minute without one, and at the end.

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
        """Return whether the line is to be written."""
        waited = time.monotonic() - self.shown
        return finished or waited > (0.1 if self.live else 30) or (due and not self.live)

    def write(self, line: str, finished: bool) -> None:
        """Write the line; after the last time, other text can follow."""
        self.shown = time.monotonic()
        if self.live:
            line = f"\r{line}\033[K"  # over the line before, and clear what is left of that
        self.unfinished = self.live and not finished
        self.stream.write(line + ("" if self.unfinished else "\n"))
        self.stream.flush()

    def close(self) -> None:
        """End a line that is being updated, so that other text can follow."""
        if self.unfinished:
            self.unfinished = False
            self.stream.write("\n")
            self.stream.flush()


class Counter:
    """Write how many of a known number of images are done.

    Parameters
    ----------
    line : LiveLine
    total : int
    name : callable
        Returns what to write after the numbers of an image, counted from 1.
    every : int
        Where lines do not update, how often one is written.
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
        """Take note of the number of images done, and show it if it is time to."""
        finished = done == self.total
        if self.line.is_time(done // self.every > self.written // self.every, finished):
            self.written = done
            self.line.write(f"{done}/{self.total} {self.name(done)}", finished)


class TrainingProgress:
    """Write the progress of a training. The loss shown is a running mean.

    Parameters
    ----------
    line : LiveLine
    every : int
        Where lines do not update, how often one is written, in steps.
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
        """Take note of a step, and show it if it is time to."""
        now = time.monotonic()
        if self.work_before is None:
            # Steps are reported after they are done: this one began when the run did.
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
