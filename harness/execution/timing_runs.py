"""Throughput measured on a sample: the stages that make candidates are run on a few examples, to time them here.

What a sample makes is kept like any artifact, and so is what it took: estimates read that. It is no candidate: each
part is tuned alone, for one epoch, on a few examples, and takes its last checkpoint: what looks at dev take is
estimated from how fast the tuned model is used. No endpoint is asked: nobody wants to pay for a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from harness.data.datasets import Dataset, Split
from harness.execution.session import Session
from harness.hashing import by_hash, digest_of
from harness.planning.calls import Calls, chain_of
from harness.planning.estimates import plan_of
from harness.planning.graph import Plan, Serving, SystemPlan
from harness.planning.ledger import Speed, asks_endpoint, measured, speed_of
from harness.stages import common
from harness.store import FolderStore
from harness.suite.recipes import Part
from harness.suite.spec import Candidate, Suite
from harness.values.grades import relevant_grades
from harness.values.records import Qrels

PAIRS = 64
"""Judged pairs of a sample: two batches or more, so that the first does not stand for all."""
PASSAGES = 64
"""Labelled passages that a sample's reranker is trained on."""
EXAMPLES = 12
"""Examples that a sample's generator is trained on."""
RERANKED = 12
"""Queries whose lists a sample's reranker orders anew."""
DOCUMENTS = 16
"""Passages that the synthesizer writes about in a sample."""


def take_samples(session: Session, full: Plan, dataset: Dataset) -> dict[str, str]:
    """Time every speed class that the candidates of a plan need and the store has not timed, each on one sample.

    Return what was not timed, and why, under a name: what failed, and what an endpoint would have to be asked for.
    """
    wanted, served = _wanted(full, measured(session.store))
    not_timed = {stage: f"{stage}, as it asks an endpoint; its speed is a guess" for stage in served}
    suite = _sample_of(full)
    if not wanted or not suite.candidates:
        return not_timed
    small = few(dataset, suite.evaluate.split)
    plan, left_out = plan_of(suite, small)
    queries = _publish_queries(plan, session.store)
    plan.systems = _chosen(plan, small, queries, wanted)
    plan.judge = None
    failed = session.make(plan).failed
    return not_timed | {name: f"{name}: {why}" for name, why in left_out.items()} | failed


def _wanted(full: Plan, known: set[Speed]) -> tuple[set[Speed], list[str]]:
    """The speed classes that a sample must time, and the stages for which an endpoint would have to be asked."""
    keys = _needed(full, [system for system in full.systems if system.tunes])
    calls = [full.calls[key].call for key in keys]
    fresh = {speed_of(call, full.calls): call for call in calls}
    wanted = {speed for speed, call in fresh.items() if speed not in known and not asks_endpoint(call)}
    return wanted, [call.stage for speed, call in fresh.items() if speed not in known and asks_endpoint(call)]


def _needed(plan: Plan, systems: Iterable[SystemPlan]) -> list[str]:
    """What quotes are made of: all that stands upstream of what serves, and the reranking."""
    goals = [key for system in systems for key in system.serving.keys]
    goals += [system.run for system in systems if system.run and "reranker" in system.tunes]
    return plan.upstream(goals)


def _chosen(plan: Plan, dataset: Dataset, queries: str, wanted: set[Speed]) -> list[SystemPlan]:
    """The first call of each wanted class, each as the only goal of a system: what comes after it is not made."""
    chosen, left = [], set(wanted)
    for system in [one for one in plan.systems if one.tunes]:
        run = _reranked(plan, dataset, system, queries)
        keys = plan.upstream([*system.models.values(), *([run] if run else [])])
        if any(asks_endpoint(plan.calls[key].call) for key in keys):
            continue
        for key in keys:
            speed = speed_of(plan.calls[key].call, plan.calls)
            if speed in left:
                left.remove(speed)
                chosen.append(replace(system, run=key, answers=None, dev_run=None, serving=Serving()))
    return chosen


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


def few(dataset: Dataset, scored: str) -> Dataset:
    """The data set with a few questions to train on: `PAIRS` judged pairs, and what teaches a generator to decline.

    Not cut if its train split is the one scored, or small already.
    """
    train = dataset.splits.get("train")
    if train is None or scored == "train":
        return dataset
    qrels, answered, declined = _first_pairs(train), 0, 0
    kept = set(qrels)
    for query_id in by_hash(train.references):
        one = train.references[query_id]
        relevant = relevant_grades(train.usable.get(query_id, {}))
        if one.answerable and one.answers and relevant and answered < EXAMPLES:
            qrels.setdefault(query_id, dict(list(relevant.items())[:1]))
            kept.add(query_id)
            answered += 1
        elif not one.answerable and declined < EXAMPLES:
            kept.add(query_id)
            declined += 1
    pairs = sum(len(relevant_grades(grades)) for grades in train.usable.values())
    if len(kept) == len(train.queries) and pairs <= PAIRS:
        return dataset
    part = replace(
        train,
        queries={key: query for key, query in train.queries.items() if key in kept},
        qrels={key: qrels[key] for key in train.queries if key in qrels},
        references={key: one for key, one in train.references.items() if key in kept},
    )
    return replace(dataset, splits={**dataset.splits, "train": part})


def _first_pairs(train: Split) -> Qrels:
    """Judgements of the first questions by hash, until there are so many relevant documents."""
    found: Qrels = {}
    left = PAIRS
    for query_id in by_hash(train.judged):
        relevant = list(relevant_grades(train.usable[query_id]).items())[:left]
        if relevant:
            found[query_id] = dict(relevant)
            left -= len(relevant)
    return found


def _sample_of(full: Plan) -> Suite:
    """The suite with each part of each candidate tuned alone, in small; those that come out alike once."""
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
    update = {"candidates": named, "factorial": (), "data": data, "seeds": (0,), "baseline_rows": ("untuned",)}
    return suite.model_copy(update=update)


def _offline(suite: Suite, candidate: Candidate) -> Candidate:
    """The candidate with data that no endpoint is asked for: what is trained on it takes the same time."""
    data, update = suite.making(candidate), dict[str, dict[str, Any]]()
    found = candidate
    if not suite.llm.labeler.in_process:
        update["label"] = {"by": "mined"} if data.label.by == "llm" else {}
        update["mine"] = {"relabel": None} if data.mine.relabel is not None and data.mine.relabel.by == "llm" else {}
        teacher = getattr(suite.recipe(candidate, "retriever"), "teacher", "")
        update["retriever"] = {"teacher": "fusion"} if teacher == "llm" else {}
    if not suite.llm.synthesizer.in_process:
        found = candidate.model_copy(update={"pairs": "judged"})
        update["instruct"] = {"answers": "references"}
    return found.model_copy(
        update={name: getattr(candidate, name).model_copy(update=change) for name, change in update.items()}
    )


def _small(suite: Suite, candidate: Candidate, part: Part) -> Candidate:
    """The candidate with one part tuned, on little; only what that part reads of it is kept."""
    change: dict[str, Any] = {"epochs": 1, "train_share": _share(suite, candidate, part)}
    if part != "generator":
        change["checkpoints"] = 1
    update: dict[str, Any] = {"tune": (part,), part: getattr(candidate, part).model_copy(update=change)}
    if part == "generator":
        update["instruct"] = candidate.instruct.model_copy(update={"examples": EXAMPLES})
    kept: Sequence[str] = ("instruct",) if part == "generator" else ("mine", "label")
    sections = {name: update.get(name, getattr(candidate, name)) for name in (part, *kept)}
    return Candidate(tune=(part,), pairs=candidate.pairs or suite.data.pairs).model_copy(update=sections)


def _share(suite: Suite, candidate: Candidate, part: Part) -> float:
    """What share of its examples a sample is trained on: a reranker has several for each pair."""
    if part != "reranker":
        return 1.0
    rule = suite.making(candidate).mine
    return min(1.0, PASSAGES / (PAIRS * (1 + rule.hard + rule.random)))
