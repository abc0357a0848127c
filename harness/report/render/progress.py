"""Progress in the terminal: a bar for each step that runs, one for all that is left, and a line for each finished step.

Where the output is no terminal, there are the lines alone, each with how many stage calls are done.
"""

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
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from harness.values.records import Progress as Told

WORTH_A_LINE = 0.5
WHOLE = "all stage calls"
WIDE = 120
"""From so many columns of the terminal on, the bar is long and the elapsed time is shown too."""
LABEL, NUMBERS = 44, 48
"""Columns of a step's label, and of what stands beside it in a narrow terminal."""


class RateColumn(ProgressColumn):
    """Units a second, or a minute where they come slowly."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{speed * 60:.1f}/min", style="progress.data.speed")


def _columns(width: int) -> list[ProgressColumn]:
    """The columns of a bar; in a narrow terminal the label is cut, so that the numbers are whole."""
    wide = width >= WIDE
    room = None if wide else max(10, width - NUMBERS)
    label = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", max_width=room))
    elapsed = [TimeElapsedColumn()] if wide else []
    bar = BarColumn(bar_width=30 if wide else 10)
    return [label, bar, MofNCompleteColumn(), RateColumn(), *elapsed, TextColumn("left"), LeftColumn()]


class LeftColumn(TimeRemainingColumn):
    """The time left: for all that is left as it was estimated, for a step by its own speed so far."""

    def render(self, task: Task) -> Text:
        ends = task.fields.get("ends")
        if ends is None:
            return super().render(task)
        minutes, seconds = divmod(max(0, round(ends - time.monotonic())), 60)
        return Text(f"{minutes // 60}:{minutes % 60:02}:{seconds:02}", style="progress.remaining")


class Steps:
    """A `Display` of the scheduler: a bar for each step that runs, gone when it is done, below one for the whole."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(*_columns(console.width), console=console, transient=True, disable=not console.is_terminal)
        self._whole: TaskID | None = None
        self._done = self._total = 0

    def __enter__(self) -> Steps:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar.disable:  # stopping a bar that was never drawn prints an empty line
            self._bar.stop()

    @property
    def shows_rest(self) -> bool:
        return not self._bar.disable

    def rest(self, seconds: float | None, done: int, total: int) -> None:
        """Show how many stage calls are done, and when the others will be; nothing once all are."""
        self._done, self._total = done, total if done < total else 0
        if not self.shows_rest or seconds is None:
            return
        if done >= total:
            if self._whole is not None:
                self._bar.remove_task(self._whole)
                self._whole = None
            return
        ends = time.monotonic() + seconds
        if self._whole is None:
            self._whole = self._bar.add_task(WHOLE, total=total, completed=done, ends=ends)
        self._bar.update(self._whole, completed=done, total=total, ends=ends)

    @contextmanager
    def __call__(self, label: str) -> Iterator[Told]:
        """Show the progress of one step until it ends, then a line with its time."""
        started = time.perf_counter()
        task = self._bar.add_task(label, total=None)
        ended = "stopped after"
        try:
            yield lambda done, total: self._bar.update(task, completed=done, total=total)
            ended = "done in"
        except Exception:
            ended = "failed in"
            raise
        finally:
            self._bar.remove_task(task)
            seconds = time.perf_counter() - started
            self._done += ended != "stopped after"
            if seconds >= WORTH_A_LINE or ended == "failed in":
                counted = self._counted()
                room = min(LABEL, self.console.width - 24 - len(counted))
                text = f"{counted}{label:<{max(0, room)}} {ended} {seconds:6.1f} s"
                self.console.print(text, style="red" if ended == "failed in" else "dim", highlight=False, markup=False)

    def _counted(self) -> str:
        """How many stage calls have ended, as ``3/57``, in front of a line; a terminal has a bar for it."""
        if self.shows_rest or not self._total:
            return ""
        return f"{min(self._done, self._total):>{len(str(self._total))}}/{self._total} "
