"""Throughput measured on a sample: the stages that make candidates are run on a few examples, to time them here.

What a sample makes is kept like any artifact, and so is what it took: estimates read that. It is no candidate: each
part is tuned alone, for one epoch, on some examples. What of its data is whole serves the candidates afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.calls import Calls, chain_of
from harness.carry_out import Watch, carry_out, no_watch
from harness.datasets import Dataset
from harness.digests import by_hash, digest_of
from harness.executors import Executor, InlineExecutor
from harness.graph import Plan, Serving, SystemPlan
from harness.ledger import measured
from harness.llm.services import Services
from harness.plan import build_plan
from harness.recipes import Part
from harness.spec import Candidate, Suite
from harness.stages import common
from harness.store import FolderStore

EXAMPLES: Mapping[Part, int] = {"retriever": 64, "reranker": 24, "generator": 12}
"""Training examples of a sample: two batches or more, so that the first does not stand for all."""
RERANKED = 12
"""Queries whose lists a sample's reranker orders anew."""
DOCUMENTS = 16
"""Passages that the synthesizer writes about in a sample."""


def take_samples(
    full: Plan, dataset: Dataset, store: FolderStore, heavy: Executor, watch: Watch = no_watch,
    services: Services | None = None,
) -> dict[str, str]:  # fmt: skip
    """Time every stage that the candidates of a plan need and the store has not timed; return what failed, and why."""
    known = measured(store)
    needed = {planned.call.stage for planned in full.calls.values()}
    if needed <= known:
        return {}
    suite = _sample_of(full)
    if not suite.candidates:
        return {}
    plan = build_plan(suite, dataset)
    queries = _publish_queries(plan, store)
    tuned = [(system, _reranked(plan, dataset, system, queries)) for system in plan.systems if system.tunes]
    plan.systems = [
        replace(system, run=run, answers=None, dev_run=None, serving=Serving(models=system.models))
        for system, run in tuned
        if _teaches(plan, [*system.models.values(), *([run] if run else [])], known)
    ]
    plan.parts.publish(store)
    plan.judge = None
    return carry_out(plan, store, heavy, InlineExecutor(), watch, services).failed


def _publish_queries(plan: Plan, store: FolderStore) -> str:
    """A few questions of the split, in an order that has nothing to do with their ids."""
    part = plan.parts.queries
    queries = {query_id: part[query_id] for query_id in by_hash(list(part))[:RERANKED]}
    key = digest_of(["part", "queries", list(queries.items())])
    if store.get(key) is None:
        with store.claim(key) as folder:
            common.write_queries(folder, queries)
            store.commit(key, folder, {"part": "sample of queries"})
    return key


def _reranked(plan: Plan, dataset: Dataset, system: SystemPlan, queries: str) -> str | None:
    """The call that reranks a few lists with a sample's reranker; None if it has none."""
    if "reranker" not in system.tunes:
        return None
    calls = Calls(plan.suite, dataset, plan.given)
    calls.calls = plan.calls
    return calls.ranked(chain_of(system, plan.suite), calls.split, queries)


def _teaches(plan: Plan, goals: Sequence[str], known: set[str]) -> bool:
    """Whether making these would time a stage that was not timed yet."""
    return any(plan.calls[key].call.stage not in known for key in plan.upstream(goals))


def _sample_of(full: Plan) -> Suite:
    """The suite with each part tuned alone, in small; once by synthetic and once by judged pairs if both are used."""
    suite = full.suite
    samples: dict[str, Candidate] = {}
    for candidate in suite.strategies.values():
        for part in candidate.tune:
            pairs = candidate.pairs or suite.data.pairs
            name = f"sample-{part}-{pairs}"
            if name not in samples:
                samples[name] = _small(full, candidate, part)
    data = suite.data.model_copy(
        update={"synthesize": suite.data.synthesize.model_copy(update={"max_documents": DOCUMENTS})}
    )
    update = {"candidates": samples, "factorial": (), "data": data, "seeds": (0,), "reference_rows": ("untuned",)}
    return suite.model_copy(update=update)


def _small(full: Plan, candidate: Candidate, part: Part) -> Candidate:
    change: dict[str, float] = {"epochs": 1, "train_share": _share(full, candidate, part)}
    if part != "generator":
        change["checkpoints"] = 1
    update: dict[str, Any] = {"tune": (part,), part: getattr(candidate, part).model_copy(update=change)}
    if part == "generator":
        update["instruct"] = candidate.instruct.model_copy(update={"examples": EXAMPLES["generator"]})
    return candidate.model_copy(update=update)


def _share(full: Plan, candidate: Candidate, part: Part) -> float:
    """What share of the examples a sample is trained on, by what the plan guesses that there are."""
    if part == "generator" or (candidate.pairs or full.suite.data.pairs) == "synthetic":
        return 1.0
    system = next(one for one in full.systems if one.tunes == candidate.tune and part in one.models)
    work = full.calls[system.models[part]].work.units
    epochs = int(getattr(full.suite.recipe(candidate, part), "epochs", 1))
    return min(1.0, EXAMPLES[part] * epochs / max(work, 1))
