"""What is handed to the process that speaks to a tracker, and what comes back from it."""

from __future__ import annotations

from harness.suite.secrets import mask
from harness.suite.tracking import TrackerName
from harness.tracking.records import Tracked
from harness.values.frozen import Frozen

MOST_WHY = 200


class Request(Frozen):
    """A result for one tracker: the address of the tracker (None: its own variables), and the name of a group of runs.

    `group` is an experiment of MLflow, or a project of Trackio; None: by its own variables, or else the suite's name.
    `seconds` bounds all of it.
    """

    tracker: TrackerName
    address: str | None = None
    group: str | None = None
    seconds: float
    tracked: Tracked


class Reply(Frozen):
    """What a tracker did: `made` runs were written, none if the result was there; `place` is where a person sees it.

    `problem` says in words why not all was written.
    """

    made: int = 0
    place: str = ""
    problem: str = ""


def sentence_of(error: BaseException) -> str:
    """Return what an exception says on its first line, with its kind, without secrets."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    text = mask(text).rstrip(".")
    return text if len(text) <= MOST_WHY else f"{text[:MOST_WHY].rstrip()} ..."
