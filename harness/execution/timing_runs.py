"""Timing runs: the stages that build candidates are run on a few examples, to measure their throughput here.

The artifacts of a timing run are stored with their times, which cost estimates read. A timing run is no candidate: each
part is tuned alone, for one epoch, on a few examples, and its last checkpoint is taken. The time of dev evaluations is
estimated from the speed of the tuned model. No endpoint is asked, so a timing run costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from harness.data.datasets import Dataset, Split
from harness.execution.session import Session
from harness.hashing import by_hash, digest_of
from harness.planning.calls import tuned_pipeline_of
from harness.planning.estimates import plan_of
from harness.planning.graph import Plan, ServingKeys, SystemPlan
from harness.planning.rankings import Rankings
from harness.planning.speed import Speed, asks_endpoint, speed_of, timed_classes
from harness.stages import load_stage
from harness.stages.shared import common
from harness.store import Store
from harness.suite.recipes import Part
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.grades import relevant_grades
from harness.values.records import Qrels

PAIRS = 64
"""Judged pairs of a sample: two batches or more, as the first batch is slower."""
PASSAGES = 64
"""Labelled passages to train the reranker of a sample."""
EXAMPLES = 12
"""Examples to train the generator of a sample."""
RERANKED = 12
"""Queries that the reranker of a sample reranks."""
DOCUMENTS = 16
"""Passages that the synthesizer of a sample writes about."""


def take_samples(session: Session, full: Plan, dataset: Dataset) -> dict[str, str]:
    """Time every speed class that the candidates of a plan need and that has no times in the store.

    Return what was not timed by a name, with the reason: a failure, or an endpoint that would have to be asked.
    """
    wanted, served = _wanted(full, timed_classes(session.store))
    not_timed = {stage: f"{stage}, as it asks an endpoint; its speed is a guess" for stage in served}
    suite = _sample_of(full)
    if not wanted or not suite.candidates:
        return not_timed
    small = few(dataset, suite.evaluate.split)
    plan, left_out = plan_of(suite, small)
    queries = _publish_queries(plan, session.store)
    plan.systems = _chosen(plan, small, queries, wanted)
    plan.judge = None
    failed = session.time(plan).failed
    return not_timed | {name: f"{name}: {why}" for name, why in left_out.items()} | failed


def _wanted(full: Plan, known: set[Speed]) -> tuple[set[Speed], list[str]]:
    """Return the speed classes to time, and the stages that would have to ask an endpoint."""
    keys = _needed(full, [system for system in full.systems if system.tunes])
    # What is not heavy takes no time worth a timing run, though what it reads might.
    calls = [call for key in keys if load_stage((call := full.calls[key].call).stage).heavy]
    fresh = {speed_of(call, full.calls): call for call in calls}
    wanted = {speed for speed, call in fresh.items() if speed not in known and not asks_endpoint(call)}
    return wanted, [call.stage for speed, call in fresh.items() if speed not in known and asks_endpoint(call)]


def _needed(plan: Plan, systems: Iterable[SystemPlan]) -> list[str]:
    """Return the keys that cost estimates cover: all that serving needs, and reranking."""
    goals = [key for system in systems for key in system.serving.keys]
    goals += [system.run for system in systems if system.run and "reranker" in system.tunes]
    return plan.upstream(goals)


def _chosen(plan: Plan, dataset: Dataset, queries: str, wanted: set[Speed]) -> list[SystemPlan]:
    """Return a system for the first call of each wanted class, with that call as its only goal."""
    chosen, left = [], set(wanted)
    for system in [system for system in plan.systems if system.tunes]:
        run = _reranked(plan, dataset, system, queries)
        keys = plan.upstream([*system.models.values(), *([run] if run else [])])
        if any(asks_endpoint(plan.calls[key].call) for key in keys):
            continue
        for key in keys:
            speed = speed_of(plan.calls[key].call, plan.calls)
            if speed in left:
                left.remove(speed)
                chosen.append(replace(system, run=key, answers=None, dev_run=None, serving=ServingKeys()))
    return chosen


def _publish_queries(plan: Plan, store: Store) -> str:
    """Store a few queries of the split, the first by a hash of their ids, and return their key."""
    part = plan.artifacts.queries
    queries = {query_id: part[query_id] for query_id in by_hash(list(part))[:RERANKED]}
    key = digest_of(["part", "queries", list(queries.items())])
    if store.get(key) is None:
        with store.claim(key) as folder:
            common.write_queries(folder, queries)
            store.commit(key, folder, {"part": "sample of queries"})
    return key


def _reranked(plan: Plan, dataset: Dataset, system: SystemPlan, queries: str) -> str | None:
    """Return the key of the call that reranks a few lists with the reranker of a sample; None if it has none."""
    if "reranker" not in system.tunes:
        return None
    calls = Rankings(plan.suite, dataset, plan.generation_sample)
    calls.calls = plan.calls
    return calls.ranked(tuned_pipeline_of(system), calls.split, queries)


def few(dataset: Dataset, scored: str) -> Dataset:
    """Return the dataset with a few training queries: `PAIRS` judged pairs, and examples for a generator.

    It is not cut if its train split is the one scored, or small already.
    """
    train = dataset.splits.get("train")
    if train is None or scored == "train":
        return dataset
    qrels, answered, declined = _first_pairs(train), 0, 0
    chosen = set(qrels)
    for query_id in by_hash(train.references):
        reference = train.references[query_id]
        relevant = relevant_grades(train.usable.get(query_id, {}))
        if reference.answerable and reference.answers and relevant and answered < EXAMPLES:
            qrels.setdefault(query_id, dict(list(relevant.items())[:1]))
            chosen.add(query_id)
            answered += 1
        elif not reference.answerable and declined < EXAMPLES:
            chosen.add(query_id)
            declined += 1
    pairs = sum(len(relevant_grades(grades)) for grades in train.usable.values())
    if len(chosen) == len(train.queries) and pairs <= PAIRS:
        return dataset
    part = replace(
        train,
        queries={key: query for key, query in train.queries.items() if key in chosen},
        qrels={key: qrels[key] for key in train.queries if key in qrels},
        references={key: reference for key, reference in train.references.items() if key in chosen},
    )
    return replace(dataset, splits={**dataset.splits, "train": part})


def _first_pairs(train: Split) -> Qrels:
    """Return judgements of the first queries by hash, up to `PAIRS` relevant documents."""
    pairs: Qrels = {}
    left = PAIRS
    for query_id in by_hash(train.judged):
        relevant = list(relevant_grades(train.usable[query_id]).items())[:left]
        if relevant:
            pairs[query_id] = dict(relevant)
            left -= len(relevant)
    return pairs


def _sample_of(full: Plan) -> Suite:
    """Return the suite with each part of each candidate tuned alone, on little data; equal ones once."""
    suite = full.suite
    samples: list[Candidate] = []
    for candidate in suite.all_candidates.values():
        for part in candidate.tune:
            small = _small(suite, _offline(suite, candidate), part)
            samples += [small] if small not in samples else []
    data = suite.data.model_copy(
        update={"synthesize": suite.data.synthesize.model_copy(update={"max_documents": DOCUMENTS})}
    )
    named = {f"sample-{number}-{one.tune[0]}": one for number, one in enumerate(samples, start=1)}
    update = {"candidates": named, "factorial": {}, "data": data, "seeds": (0,), "baseline_rows": ("untuned",)}
    update["pipeline"] = suite.pipeline.model_copy(update={"conversation": "last"})
    return suite.model_copy(update=update)


def _offline(suite: Suite, candidate: Candidate) -> Candidate:
    """Return the candidate with data and queries that need no endpoint; training on them takes the same time."""
    uses, update = CandidateUses(suite, "", candidate), dict[str, dict[str, Any]]()
    if "conversation" in candidate.pipeline.model_fields_set:
        update["pipeline"] = {"conversation": "last"}
    data, offline = uses.data, candidate
    if "labeler" in uses.roles and not suite.llm.labeler.in_process:
        update["label"] = {"by": "mined"} if data.label.by == "llm" else {}
        update["mine"] = {"relabel": None} if data.mine.relabel is not None and data.mine.relabel.by == "llm" else {}
        update["retriever"] = {"teacher": "fusion"} if uses.retriever and uses.retriever.teacher == "llm" else {}
    if "synthesizer" in uses.roles and not suite.llm.synthesizer.in_process:
        offline = candidate.model_copy(update={"pairs": "judged"})
        update["instruct"] = {"answers": "references"}
    return offline.model_copy(
        update={name: getattr(candidate, name).model_copy(update=change) for name, change in update.items()}
    )


def _small(suite: Suite, candidate: Candidate, part: Part) -> Candidate:
    """Return the candidate with one part tuned on little data, and only the sections that this part reads."""
    change: dict[str, Any] = {"epochs": 1, "train_share": _share(suite, candidate, part), "checkpoints": 1}
    update: dict[str, Any] = {part: getattr(candidate, part).model_copy(update=change)}
    if part == "generator":
        update["instruct"] = candidate.instruct.model_copy(update={"examples": EXAMPLES})
    data_sections: Sequence[str] = ("instruct",) if part == "generator" else ("mine", "label")
    # Settings may name another model, another length or another kind, each with a speed of its own.
    sections = {name: update.get(name, getattr(candidate, name)) for name in (part, "pipeline", *data_sections)}
    return Candidate(tune=(part,), pairs=candidate.pairs or suite.data.pairs).model_copy(update=sections)


def _share(suite: Suite, candidate: Candidate, part: Part) -> float:
    """Return the share of its examples that a part is trained on: a reranker has several for each pair."""
    if part != "reranker":
        return 1.0
    rule = suite.making(candidate).mine
    return min(1.0, PASSAGES / (PAIRS * (1 + rule.hard + rule.random)))
