"""No-ops: systems whose lists, answers or weights turned out equal although different stage calls made them.

What two systems share is equal because it is the same; only what was made twice says something. Compares contents,
never keys alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from harness.errors import HarnessError
from harness.execution.scheduler import Execution
from harness.models.loaders import locate
from harness.models.tensors import weights_digest
from harness.planning.graph import Plan, SystemPlan
from harness.store import FolderStore
from harness.suite.recipes import Part
from harness.suite.spec import Suite


class Duplicates(NamedTuple):
    """Labels of the first systems with the same lists, answers and weights; empty where there is none."""

    lists: str = ""
    answers: str = ""
    weights: str = ""


class NoOps(NamedTuple):
    """The twins of every system by its label, and sentences about what could not be compared."""

    duplicates: dict[str, Duplicates]
    notes: tuple[str, ...] = ()


def no_ops(plan: Plan, execution: Execution, store: FolderStore) -> NoOps:
    """Look for the twins of every system that did not fail, among those before it."""
    lists, answers, weights = (_Seen() for _ in range(3))
    digests = _Digests()
    for part, digest in _untuned_weights(plan.suite, digests).items():
        weights.first[digest] = ("", f"the untuned {part}")
    found = {}
    for system in plan.systems:
        if any(goal in execution.failed for goal in system.goals):
            continue
        run = system.run if system.scores_run else None
        found[system.label] = Duplicates(
            lists.ask(run, store.content_digest(run), system.label) if run else "",
            answers.ask(system.answers, store.content_digest(system.answers), system.label) if system.answers else "",
            _same_weights(system, store, weights, digests),
        )
    return NoOps(found, tuple(digests.notes))


class _Digests:
    """Digests of weights. What cannot be read is a note: no work that was done is lost for a comparison."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def of(self, folder: Path, whose: str) -> str | None:
        try:
            return weights_digest(folder)
        except (HarnessError, OSError, ValueError, TypeError) as error:
            said = " ".join(str(error).split())
            self.notes.append(f"Whether {whose} equals another model was not checked: {said}.")
            return None


class _Seen:
    """Contents seen so far: digest -> key and label of the first that had it."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[str, str]] = {}

    def ask(self, key: str, digest: str, label: str) -> str:
        """The label of the first with this content, unless it is the very same artifact."""
        first_key, first_label = self.first.setdefault(digest, (key, label))
        return first_label if first_key != key else ""


def _same_weights(system: SystemPlan, store: FolderStore, seen: _Seen, digests: _Digests) -> str:
    same = []
    for part, key in system.models.items():
        place, whose = store.get(key), f"the {part} of {system.label}"
        digest = digests.of(place, whose) if place is not None else None
        if digest is not None and (other := seen.ask(key, digest, whose)):
            same.append(other)
    return ", ".join(same)


def _untuned_weights(suite: Suite, digests: _Digests) -> Mapping[Part, str]:
    """Digests of what training starts from, where it is a whole model that could come out unchanged."""
    folder = locate(suite.pipeline.retriever.model)
    digest = digests.of(folder, "a tuned retriever") if folder.is_dir() and suite.all_candidates else None
    return {"retriever": digest} if digest is not None else {}
