"""No-ops: systems whose lists, answers or weights turned out equal although different stage calls made them.

What two systems share is equal because it is the same; only what was made twice says something. Compares contents,
never keys alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from harness.models.loaders import locate
from harness.plans.graph import Plan, SystemPlan
from harness.running.carry_out import Execution
from harness.store import FolderStore
from harness.suite.recipes import Part
from harness.suite.spec import Suite


class Twins(NamedTuple):
    """Labels of the first systems with the same lists, answers and weights; empty where there is none."""

    lists: str = ""
    answers: str = ""
    weights: str = ""


def twins(plan: Plan, execution: Execution, store: FolderStore) -> dict[str, Twins]:
    """Look for the twins of every system that did not fail, among those before it."""
    lists, answers, weights = (_Seen() for _ in range(3))
    for part, digest in _untuned_weights(plan.suite).items():
        weights.first[digest] = ("", f"the untuned {part}")
    found = {}
    for system in plan.systems:
        if any(goal in execution.failed for goal in system.goals):
            continue
        run = system.run if system.scores_run else None
        found[system.label] = Twins(
            lists.ask(run, store.content_digest(run), system.label) if run else "",
            answers.ask(system.answers, store.content_digest(system.answers), system.label) if system.answers else "",
            _same_weights(system, store, weights),
        )
    return found


class _Seen:
    """Contents seen so far: digest -> key and label of the first that had it."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[str, str]] = {}

    def ask(self, key: str, digest: str, label: str) -> str:
        """The label of the first with this content, unless it is the very same artifact."""
        first_key, first_label = self.first.setdefault(digest, (key, label))
        return first_label if first_key != key else ""


def _same_weights(system: SystemPlan, store: FolderStore, seen: _Seen) -> str:
    same = []
    for part, key in system.models.items():
        place = store.get(key)
        if place is not None and (other := seen.ask(key, weights_digest(place), f"the {part} of {system.label}")):
            same.append(other)
    return ", ".join(same)


def _untuned_weights(suite: Suite) -> Mapping[Part, str]:
    """Digests of what training starts from, where it is a whole model that could come out unchanged."""
    folder = locate(suite.pipeline.retriever.model)
    return {"retriever": weights_digest(folder)} if folder.is_dir() and suite.strategies else {}


def weights_digest(folder: Path) -> str:
    """Digest of the tensors of a model, whatever their files are called and whatever else these say."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    tensors = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                tensors[name.removeprefix("model.")] = file.get_tensor(name)
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:32]
