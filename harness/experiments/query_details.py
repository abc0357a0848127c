"""What a report shows of single queries, gathered for it: of a plan that was carried out, or again from files.

Knows nothing of how it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.data import formats
from harness.data.datasets import Dataset, Split, load_dataset
from harness.data.passages import Passages
from harness.errors import HarnessError
from harness.planning import contexts
from harness.planning.graph import Plan
from harness.results.outcomes import CHUNKS_FILE, SEARCHED_FILE, run_file
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_answers, read_queries
from harness.store import Store
from harness.suite.spec import Suite
from harness.suite.uses import reading_of
from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.passages import holds_any, span_of
from harness.values.records import Answer, Reference, Run, Score


def runs_of(plan: Plan, store: Store) -> dict[str, Run]:
    """Return the runs of the systems of a plan, as far as they are stored, by the label of the system."""
    places = {
        system.label: place
        for system in plan.systems
        if system.run and system.scores_run and (place := store.get(system.run)) is not None
    }
    by_place = {place: formats.read_run(place / RUN_FILE, escaped=True) for place in {*places.values()}}
    return {label: by_place[place] for label, place in places.items()}


def of_plan(rows: Iterable[Score], runs: Mapping[str, Run], plan: Plan, dataset: Dataset, store: Store) -> Evidence:
    """Add to the runs of the systems of a plan what they wrote, and what it is about."""
    answers: dict[str, Mapping[str, Answer]] = {}
    for system in plan.systems:
        place = store.get(system.answers) if system.answers else None
        if place is not None:
            answers[system.label] = read_answers(place)
    split = plan.suite.evaluate.split
    evidence = _evidence(rows, runs, answers, dataset, split, plan.generation_sample.references, _searched(plan, store))
    return replace(evidence, found=_found_by(runs, plan, dataset.splits[split], store))


def _found_by(runs: Mapping[str, Run], plan: Plan, part: Split, store: Store) -> dict[str, dict[str, dict[str, str]]]:
    """The chunk that each listed document was found by, for the systems that search chunks."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for system in plan.systems:
        place = store.get(system.serving.path[-1]) if system.settings.chunking and system.serving.path else None
        if place is None or system.label not in runs:
            continue
        by_query = found.setdefault(system.label, {})
        for query_id, hits in formats.read_run(place / RUN_FILE, escaped=True).items():
            spans = part.spans.get(query_id, {})
            for passage_id, _ in hits:
                span = span_of(passage_id)
                if span and (not spans or holds_any(span.place, spans.get(span.doc_id, ()))):
                    by_query.setdefault(query_id, {}).setdefault(span.doc_id, passage_id)
    return found


def _searched(plan: Plan, store: Store) -> dict[str, dict[str, str]]:
    """Return what the first stage of each system was asked, where that is another text than the query."""
    found: dict[str, dict[str, str]] = {}
    for system in plan.systems:
        first = next(
            (plan.calls[key].call for key in system.serving.path if plan.calls[key].call.stage == "retrieve"), None
        )
        key = first.inputs["queries"] if first is not None else ""
        place = store.get(key) if key in plan.calls else None
        if place is not None:
            texts = read_queries(place).items()
            found[system.label] = {
                query_id: text for query_id, text in texts if text != plan.artifacts.queries[query_id]
            }
    return found


def of_files(folder: Path, outcome: Outcome) -> Evidence:
    """Gather it again from the folder of an outcome.

    Texts and judgements come from the dataset of the suite; they are left out if it cannot be read or has changed.
    """
    rows = [Score(**row) for row in formats.read_parquet(folder / "scores.parquet")]
    runs = {
        info.label: formats.read_run(path, escaped=True)
        for info in outcome.systems
        if (path := run_file(folder, info)).is_file()
    }
    labels = {(info.name, info.seed): info.label for info in outcome.systems}
    answers: dict[str, dict[str, Answer]] = {}
    for label, row in _rows_of(folder / "answers.parquet", labels):
        answers.setdefault(label, {})[row["query_id"]] = _answer(row)
    searched: dict[str, dict[str, str]] = {}
    for label, row in _rows_of(folder / SEARCHED_FILE, labels):
        searched.setdefault(label, {})[row["query_id"]] = row["text"]
    found: dict[str, dict[str, dict[str, str]]] = {}
    for label, row in _rows_of(folder / CHUNKS_FILE, labels):
        found.setdefault(label, {}).setdefault(row["query_id"], {})[row["doc_id"]] = row["chunk_id"]
    plain = Evidence(rows, runs, answers, found=found, searched=searched)
    try:
        suite = Suite.model_validate(outcome.spec)
        dataset = load_dataset(suite.dataset, outcome.split, reading_of(suite))
        references = contexts.choose(suite, dataset).references
    except (HarnessError, ValueError, OSError):
        return plain
    if dataset.digests != outcome.dataset.digests:
        return plain
    return replace(_evidence(rows, runs, answers, dataset, outcome.split, references, searched), found=found)


def _rows_of(path: Path, labels: Mapping[tuple[str, int], str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the label of the system and the row, of each row of a file that may not be there."""
    for row in formats.read_parquet(path) if path.is_file() else ():
        if label := labels.get((row["system"], row["seed"])):
            yield label, row


def _evidence(
    rows: Iterable[Score], runs: Mapping[str, Run], answers: Mapping[str, Mapping[str, Answer]], dataset: Dataset,
    split: str, references: Mapping[str, Reference], searched: Mapping[str, Mapping[str, str]],
) -> Evidence:  # fmt: skip
    part = dataset.splits[split]
    passages = Passages(dataset.documents)
    return Evidence(
        list(rows), runs, answers, part.queries, part.qrels, references, passages, part.level, searched=searched
    )


def _answer(row: Mapping[str, Any]) -> Answer:
    context = tuple(json.loads(row["context"]))
    return Answer(row["query_id"], row["text"], row["prompt_tokens"], row["new_tokens"], context)
