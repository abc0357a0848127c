"""Progress of long steps in the terminal: a bar with counts and the time left, and a line for each finished step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from harness.values.records import Progress as Told

WORTH_A_LINE = 0.5


class RateColumn(ProgressColumn):
    """Units a second, or a minute where they come slowly."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{speed * 60:.1f}/min", style="progress.data.speed")


class Steps:
    """A `Display` of the scheduler: one bar at a time, gone when the step is done."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), RateColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Steps:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar.disable:  # stopping a bar that was never drawn prints an empty line
            self._bar.stop()

    @contextmanager
    def watch(self, label: str) -> Iterator[Told]:
        """Show the progress of one step until it ends, then a line with its time."""
        started = time.perf_counter()
        task = self._bar.add_task(label, total=None)
        ended = "failed"
        try:
            yield lambda done, total: self._bar.update(task, completed=done, total=total)
            ended = "done"
        finally:
            self._bar.remove_task(task)
            seconds = time.perf_counter() - started
            if seconds >= WORTH_A_LINE or ended == "failed":
                text = f"{label:<44} {ended} in {seconds:6.1f} s"
                self.console.print(text, style="dim" if ended == "done" else "red", highlight=False, markup=False)
