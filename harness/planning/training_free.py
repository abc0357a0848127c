"""Which training-free candidates a diagnosis measures: those of the suite, and standard ones that it has none like.

What would take too long is left out, the cheapest are measured first. This module must not know how anything is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.planning import requirements
from harness.planning.graph import Plan, SystemPlan
from harness.planning.ledger import CallEstimate, estimate
from harness.store import Store
from harness.suite.pipeline import Pipeline
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import CandidateUses

STANDARD: Mapping[str, Mapping[str, Any]] = {
    "retriever-hybrid": {"retriever": {"bm25_weight": "dev"}},
    "reranker-late-interaction": {"reranker": {"kind": "late-interaction"}},
    "retriever-hybrid-reranker-late-interaction": {
        "retriever": {"bm25_weight": "dev"},
        "reranker": {"kind": "late-interaction"},
    },
    "retriever-late-interaction": {"retriever": {"kind": "late-interaction"}},
    "retriever-late-interaction-hybrid": {"retriever": {"kind": "late-interaction", "bm25_weight": "dev"}},
}
"""Changes of the pipeline that need no training and no other model, under the names that a factorial gives them."""
LEAST_CHUNK = 16
"""Tokens of the smallest chunks that a suite may have."""
WRITING = ("generator", "context", "context_order")
"""Keys of the pipeline that change answers to the same rankings."""


class Chosen(NamedTuple):
    """Training-free candidates by name, the names of the standard ones, and why others (by name) cannot be measured."""

    candidates: Mapping[str, Candidate]
    standard: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = {}


def chosen(suite: Suite, chunk: int | None = None, has_turns: bool = False) -> Chosen:
    """Return the training-free candidates of a suite, then the standard ones whose parts no other one has.

    `chunk` is given where documents are too long for the retriever: chunks of so many tokens are one of these. Where
    queries have earlier turns (`has_turns`) that are not searched with, joining them is one, too.
    One whose models are missing or unfit, or whose settings do not go together, is left out with the reason.
    """
    own = {name: candidate for name, candidate in suite.all_candidates.items() if _is_pipeline(candidate)}
    kept, left_out = dict[str, Candidate](), dict[str, str]()
    kinds = {_kinds(suite.pipeline)}
    more: dict[str, Mapping[str, Any]] = {}
    if chunk is not None:
        more[f"chunking-{chunk}"] = {"chunking": {"tokens": max(chunk, LEAST_CHUNK)}}
    if has_turns and suite.pipeline.conversation == "last":
        more["conversation-concatenate"] = {"conversation": "concatenate"}
    standard = {
        _free(name, suite): Candidate.model_validate({"pipeline": one}) for name, one in (more | dict(STANDARD)).items()
    }
    for name, candidate in (own | standard).items():
        try:
            kind = _kinds(CandidateUses(suite, name, candidate).pipeline)
        except ValidationError:
            # A pipeline of another kind: bm25 cannot be mixed into bm25.
            continue
        if name in own or kind not in kinds:
            kinds.add(kind)
            if why := _unfit(suite, name, candidate):
                left_out[name] = why
            else:
                kept[name] = candidate
    return Chosen(kept, frozenset(kept) - own.keys(), left_out)


def _is_pipeline(candidate: Candidate) -> bool:
    """Whether a candidate is a pipeline of which nothing is trained, and no system from elsewhere."""
    return not candidate.tune and candidate.external is None


def _kinds(pipeline: Pipeline) -> tuple[object, ...]:
    retriever, reranker = pipeline.retriever, pipeline.reranker
    kind = reranker.kind if reranker is not None else None
    searched = pipeline.chunking is not None, pipeline.conversation
    return *searched, retriever.kind, bool(retriever.bm25_weight), kind


def _free(name: str, suite: Suite) -> str:
    """A name that no candidate of the suite has."""
    while name in suite.all_candidates:
        name += "-untrained"
    return name


def _unfit(suite: Suite, name: str, candidate: Candidate) -> str:
    """Why this machine cannot serve a candidate; empty if it can. The models of `untuned` are taken to be fine."""
    if not list(CandidateUses(suite, name, candidate).models()):
        return ""
    alone = {"candidates": {name: candidate}, "factorial": {}, "baseline_rows": ()}
    try:
        requirements.check_values(suite.model_copy(update=alone))
    except HarnessError as error:
        return str(error)
    return ""


def writes(candidate: Candidate) -> bool:
    """Whether only answers can show what a training-free candidate gains: it changes how they are written."""
    return any(name in candidate.pipeline.model_fields_set for name in WRITING)


class Affordable(NamedTuple):
    """A plan of a diagnosis without the candidates that take too long, and how many seconds these would take."""

    plan: Plan
    left_out: Mapping[str, float]


def affordable(plan: Plan, store: Store, seconds: float) -> Affordable:
    """Return the plan without the candidates that would take the diagnosis over `seconds`, the cheapest kept first.

    What the other rows of the plan need, and what the store holds, costs nothing.
    """
    guesses = estimate(plan, store)
    rows = [system for system in plan.systems if system.role == "baseline"]
    shared = {key for row in rows for key in _needs(plan, row)}
    waiting = [system for system in plan.systems if system.role == "candidate"]
    spent, left_out = 0.0, dict[str, float]()
    while waiting:
        costs = {system.name: _seconds(plan, system, shared, guesses) for system in waiting}
        cheapest = min(waiting, key=lambda system: costs[system.name])
        waiting.remove(cheapest)
        if spent + costs[cheapest.name] > seconds:
            left_out[cheapest.name] = costs[cheapest.name]
        else:
            spent += costs[cheapest.name]
            shared.update(_needs(plan, cheapest))
    return Affordable(_without(plan, left_out), left_out)


def _needs(plan: Plan, system: SystemPlan) -> list[str]:
    return plan.upstream([*system.goals, *system.serving.keys])


def _seconds(plan: Plan, system: SystemPlan, shared: set[str], guesses: Mapping[str, CallEstimate]) -> float:
    return sum(guesses[key].seconds for key in _needs(plan, system) if key not in shared)


def _without(plan: Plan, names: Mapping[str, float]) -> Plan:
    if not names:
        return plan
    systems = [system for system in plan.systems if system.role == "baseline" or system.name not in names]
    labels = {system.label for system in systems}
    calls = dict(_of_labels(plan, labels))
    return replace(plan, systems=systems, calls=calls)


def _of_labels(plan: Plan, labels: set[str]) -> Iterator[tuple[str, Any]]:
    for key, planned in plan.calls.items():
        kept = [label for label in planned.systems if label in labels]
        if kept or key == plan.judge:
            yield key, replace(planned, systems=kept)
