"""No-ops: systems with equal runs, answers or weights that were made by different stage calls.

An artifact that two systems share is no no-op, so contents are compared and equal keys are left out.
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
from harness.store import Store
from harness.suite.recipes import Part
from harness.suite.spec import Suite


class Duplicates(NamedTuple):
    """Labels of the first systems with equal runs, answers and weights; empty where there is none."""

    lists: str = ""
    answers: str = ""
    weights: str = ""


class NoOps(NamedTuple):
    """The duplicates of every system by its label, and notes on what could not be compared."""

    duplicates: dict[str, Duplicates]
    notes: tuple[str, ...] = ()


def no_ops(plan: Plan, execution: Execution, store: Store) -> NoOps:
    """Return the duplicates of every system that did not fail, among the systems before it."""
    lists, answers, weights = (_Contents() for _ in range(3))
    digests = _Digests()
    for part, digest in _untuned_weights(plan.suite, digests).items():
        weights.first[digest] = ("", f"the untuned {part}")
    duplicates = {}
    for system in plan.systems:
        if execution.why_failed(system.goals):
            continue
        run = system.run if system.scores_run else None
        duplicates[system.label] = Duplicates(
            lists.first_label(run, store.content_digest(run), system.label) if run else "",
            answers.first_label(system.answers, store.content_digest(system.answers), system.label)
            if system.answers
            else "",
            _same_weights(system, store, weights, digests),
        )
    return NoOps(duplicates, tuple(digests.notes))


class _Digests:
    """Digests of weights. A folder that cannot be read is a note: a comparison must not lose finished work."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def of(self, folder: Path, whose: str) -> str | None:
        try:
            return weights_digest(folder)
        except (HarnessError, OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            self.notes.append(f"Whether {whose} equals another model was not checked: {reason}.")
            return None


class _Contents:
    """Contents so far: digest -> key and label of the first artifact that had it."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[str, str]] = {}

    def first_label(self, key: str, digest: str, label: str) -> str:
        """Return the label of the first artifact with this content; empty if it is this one."""
        first_key, first_label = self.first.setdefault(digest, (key, label))
        return first_label if first_key != key else ""


def _same_weights(system: SystemPlan, store: Store, contents: _Contents, digests: _Digests) -> str:
    same = []
    for part, key in system.models.items():
        place, whose = store.get(key), f"the {part} of {system.label}"
        digest = digests.of(place, whose) if place is not None else None
        if digest is not None and (other := contents.first_label(key, digest, whose)):
            same.append(other)
    return ", ".join(same)


def _untuned_weights(suite: Suite, digests: _Digests) -> Mapping[Part, str]:
    """Return digests of the untuned models that training could leave unchanged."""
    folder = locate(suite.pipeline.retriever.model)
    digest = digests.of(folder, "a tuned retriever") if folder.is_dir() and suite.all_candidates else None
    return {"retriever": digest} if digest is not None else {}
