"""The report of an ingest: what changed, what the documents are like, and what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.data.imports import Note
from harness.errors import Problem, few_of_each
from harness.ingest.files import Walked, name_of
from harness.ingest.judged import Judged

NAMED = 3
"""Files that are named for each reason."""
CHANGES = ("added", "changed", "unchanged", "removed", "kept", "unreadable_kept")


class Report:
    """Filled while an ingest runs; `as_json` is the whole of it.

    `contexts` counts those of imports that were looked for in the documents, `placed` those that were found.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changes: Counter[str] = Counter()
        self.suffixes: Counter[str] = Counter()
        self.hidden = self.links = 0
        self.contexts = self.placed = 0
        self.summary: dict[str, Any] = {}
        self.judged: dict[str, Any] = {}
        self.collisions = 0
        self._unreadable: dict[tuple[str, str], list[str]] = {}
        self._notes: dict[str, list[str]] = {}
        self._problems: list[Problem] = []
        self._remarks: list[Problem] = []

    def count(self, change: str) -> None:
        assert change in CHANGES
        self.changes[change] += 1

    def note(self, notes: Sequence[str], name: str) -> None:
        for note in notes:
            self._notes.setdefault(note, []).append(name)

    def unreadable(self, name: str, reason: str, hint: str) -> None:
        self._unreadable.setdefault((reason, hint), []).append(name)

    def add_walked(self, source: str, walked: Walked) -> None:
        """Add what was passed over in a source."""
        for name, reason, hint in walked.unreadable:
            self.unreadable(name if name != "." else name_of(source), reason, hint)
        self.suffixes += walked.suffixes
        self.hidden += walked.hidden
        self.links += walked.links

    def add_problems(self, source: str, problems: Sequence[Problem]) -> None:
        for problem in problems:
            told = Problem(problem.where or source, problem.what, problem.hint)
            (self._remarks if isinstance(problem, Note) else self._problems).append(told)

    def finish(self, summary: dict[str, Any], judged: Judged, collisions: int) -> None:
        self.summary = summary
        self.collisions = collisions
        self.judged = {
            "queries": len(judged.queries),
            "answers": len(judged.answers),
            "spans": len(judged.spans),
            "splits": {split: len(queries) for split, queries in sorted(judged.qrels.items())},
        }

    def problems(self) -> list[Problem]:
        """Return a sentence for each reason for which files cannot be read, with the first of these, and the others."""
        grouped = [
            Problem(names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more", reason, hint)
            for (reason, hint), names in self._unreadable.items()
        ]
        return [*grouped, *self._problems]

    @property
    def unread(self) -> list[dict[str, Any]]:
        """Each reason with its hint and all files, the most frequent first."""
        ordered = sorted(self._unreadable.items(), key=lambda item: (-len(item[1]), item[0]))
        return [{"reason": reason, "hint": hint, "files": names} for (reason, hint), names in ordered]

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Each note with all files that it holds for, the most frequent first."""
        ordered = sorted(self._notes.items(), key=lambda item: (-len(item[1]), item[0]))
        return [{"note": note, "files": names} for note, names in ordered]

    @property
    def other_problems(self) -> list[str]:
        """What was left out beside files, a sentence each; the first ones of each kind."""
        return [str(problem) for problem in few_of_each(self._problems)]

    @property
    def remarks(self) -> list[str]:
        """What is to be known of imports, a sentence each."""
        return [str(problem) for problem in few_of_each(self._remarks)]

    def as_json(self) -> dict[str, Any]:
        return {
            **self.summary,
            "changes": {name: self.changes[name] for name in CHANGES},
            "unreadable": self.unread,
            "notes": self.notes,
            "skipped": {"hidden": self.hidden, "links": self.links, "suffixes": dict(self.suffixes.most_common())},
            "renamed_ids": self.collisions,
            "contexts": {"parts_of_documents": self.placed, "not_found": self.contexts - self.placed},
            "judged": self.judged,
            "problems": [str(problem) for problem in self._problems],
            "remarks": [str(problem) for problem in self._remarks],
        }
