"""A suite file as it was written: where each key stands, so that problems found later name its file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import Problem
from harness.suite.renamed import KeyPath


@dataclass
class SuiteFile:
    """A suite file: its path, which key is written under which name there, and the line of each key as written.

    All of them are equal: a suite is what it says, wherever it was read.
    """

    path: Path = field(default=Path(), compare=False)
    written: Mapping[KeyPath, KeyPath] = field(default_factory=dict, compare=False)
    lines: dict[KeyPath, int] = field(default_factory=dict, compare=False)

    def where(self, at: KeyPath) -> str:
        """``suite.yaml:7: candidates.staged.tune``, as the file has it."""
        key = next((old + at[len(new) :] for new, old in self.written.items() if at[: len(new)] == new), at)
        known = key
        while known and known not in self.lines:
            known = known[:-1]
        return f"{self.path}:{self.lines.get(known, 1)}: {_dotted(key)}" if key else f"{self.path}"

    def where_named(self, keys: str) -> str:
        """Return the place of keys such as ``pipeline.retriever.model, recipes.retriever.teacher_model``.

        The line is that of the first. Keys of a suite that was read from no file are returned as they are.
        """
        first, comma, others = keys.partition(", ")
        at = tuple(int(part) if part.isdecimal() else part for part in first.split("."))
        return f"{self.where(at)}{comma}{others}" if keys and self.lines else keys

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return problems that are named by keys with the places of these keys in the file."""
        return [replace(problem, where=self.where_named(problem.where)) for problem in problems]

    def key_today(self, at: KeyPath) -> KeyPath:
        """The path in the suite as it is read of what the file has at `at`."""
        return next((new + at[len(old) :] for new, old in self.written.items() if at[: len(old)] == old), at)


def _dotted(at: KeyPath) -> str:
    return ".".join(str(part) for part in at)
