"""The progress of a training run: one line that updates, or plain lines when piped."""

from __future__ import annotations

import time
from typing import TextIO

from fcn_numpy.training import StepReport


class ProgressLine:
    """Write the progress of a run to a stream.

    On a terminal one line updates in place. Elsewhere a line is written every `every` steps, after
    half a minute without one, and at the end of a stage. The loss shown is a running mean.

    Parameters
    ----------
    stream : text file
    every : int
    """

    def __init__(self, stream: TextIO, every: int = 50):
        self.stream = stream
        self.every = every
        self.live = stream.isatty()
        self.stage = ""
        self.loss = 0.0
        self.images = 0
        self.started = self.stage_started = self.shown = time.monotonic()
        self.work_before: float | None = None
        self.unfinished = False

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
        due = now - self.shown > (0.1 if self.live else 30)
        if not self.live:
            due = due or progress.step % self.every == 0
        if not (finished or due):
            return
        self.shown = now
        rate = self.images / max(now - self.stage_started, 1e-9)
        digits = 0 if rate >= 10 else 1
        done = max(progress.work_done - self.work_before, 1.0)
        left = (progress.work - progress.work_done) * (now - self.started) / done
        line = (
            f"{progress.stage:<10}  step {progress.step:>4}/{progress.steps}  "
            f"loss {self.loss:.3f}  {rate:4.{digits}f} images/s  {_clock(left)} left"
        )
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


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02}"
