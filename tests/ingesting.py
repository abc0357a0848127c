"""Ingests for tests: readers in this process, which start at once, and what a run has written."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.ingest import update
from harness.ingest.apart import LIMITS, Limits, answer
from harness.ingest.readers.parsed import Parsed, Unreadable
from harness.ingest.reports import Report


class Here:
    """Stands in for `Apart`: reads in this process, with the same answers."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits

    def __enter__(self) -> Here:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def read(self, path: Path, name: str) -> Parsed:
        result = answer(str(path), name, self.limits.bytes)
        if isinstance(result, Unreadable):
            raise result
        return result


def run(*sources: Path, into: Path, **options: Any) -> Report:
    return update.ingest([str(source) for source in sources], into, **options)


def rows(folder: Path, name: str = "corpus.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def ids(folder: Path) -> list[str]:
    return [row["_id"] for row in rows(folder)]


def reasons(report: Report) -> dict[str, list[str]]:
    return {one["reason"]: one["files"] for one in report.unread}
