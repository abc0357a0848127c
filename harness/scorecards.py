"""Score rows of the systems of a plan, each computed once for equal content under an equal measurement identity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import scoring
from harness.carry_out import Execution, Watch
from harness.datasets import Dataset
from harness.digests import digest_of
from harness.formats import read_run
from harness.graph import Plan, SystemPlan
from harness.measures import Measure
from harness.models import locate, model_digest
from harness.records import Score
from harness.stages.common import read_answers
from harness.stages.retrieve import RUN_FILE
from harness.store import FolderStore

SCORES_FILE = "scores.json"
Values = Mapping[str, scoring.Scored]


class Scorecards:
    """Scores systems on the plan's split (and, for rank measures, on dev)."""

    def __init__(self, plan: Plan, dataset: Dataset, execution: Execution, store: FolderStore, watch: Watch) -> None:
        self.plan, self.dataset, self.execution, self.store, self.watch = plan, dataset, execution, store, watch
        self.split = plan.suite.evaluate.split
        self.computed = 0
        self.references = plan.given.references

    @cached_property
    def settings(self) -> scoring.AnswerSettings:
        suite = self.plan.suite
        model = suite.pipeline.retriever.model
        return scoring.AnswerSettings(suite.utility, suite.answer_format, locate(model), model_digest(model))

    def identity(self, measure: Measure, split: str) -> str:
        """Measurement identity: data, sample, and the measure with its version and settings."""
        digests = self.dataset.digests
        parts = ["queries", "qrels", "groups"] if measure.is_rank else ["queries", "references", "groups"]
        data = {"corpus": digests["corpus"], **{part: digests[f"{split}.{part}"] for part in parts}}
        given = self.plan.given
        sample = None if measure.is_rank else digest_of(given.sample)
        if given.contexts and not measure.is_rank:
            shown = [list(given.contexts.items()), [list(reference) for reference in given.references.values()]]
            sample = digest_of([sample, shown])
        return digest_of([data, sample, scoring.measurement_settings(measure, self.settings)])

    def rows(self, system: SystemPlan) -> list[Score]:
        """All score rows of a system: a row for every (measure, query of the split)."""
        rows: list[Score] = []
        measures = self.plan.suite.measures
        ranked = [measure for measure in measures if measure.is_rank]
        if system.run and system.scores_run:
            rows += self._rows(system, self.split, ranked, self._rank_values(system.run, self.split, ranked))
        if system.dev_run:
            rows += self._rows(system, "dev", ranked, self._rank_values(system.dev_run, "dev", ranked))
        written = [measure for measure in measures if not measure.is_rank]
        if system.answers:
            rows += self._rows(system, self.split, written, self._answer_values(system.answers, written))
        return rows

    def _rows(
        self, system: SystemPlan, split: str, measures: list[Measure], values: Mapping[Measure, Values]
    ) -> list[Score]:
        part = self.dataset.splits[split]
        asked = {True: list(part.queries), False: list(self.references)}
        rows = []
        for measure in measures:
            for query_id in asked[measure.is_rank]:
                found = values[measure].get(query_id)
                found = found or scoring.Scored(None, "not_applicable", f"not one of the {measure.population} queries")
                group = part.queries[query_id].group
                rows.append(Score(system.name, system.seed, split, query_id, group, str(measure), *found))
        return rows

    def _rank_values(self, key: str, split: str, measures: list[Measure]) -> Mapping[Measure, Values]:
        part = self.dataset.splits[split]
        if key in self.execution.failed:
            failed = scoring.Scored(None, "failed", self.execution.failed[key])
            return {measure: dict.fromkeys(part.judged, failed) for measure in measures}

        def compute(missing: list[Measure], place: Path) -> Mapping[Measure, Values]:
            found = scoring.score_run(read_run(place / RUN_FILE, escaped=True), part.qrels, missing)
            return {m: {query: scoring.Scored(value) for query, value in found[m].items()} for m in missing}

        return self._cached(key, split, measures, compute)

    def _answer_values(self, key: str, measures: list[Measure]) -> Mapping[Measure, Values]:
        if key in self.execution.failed:
            failed = scoring.Scored(None, "failed", self.execution.failed[key])
            return {
                measure: {
                    query_id: failed
                    for query_id, reference in self.references.items()
                    if measure.population == "all" or reference.answerable
                }
                for measure in measures
            }
        return self._cached(
            key, self.split, measures,
            lambda missing, place: scoring.score_answers(
                read_answers(place), self.references, missing, self.settings
            ),
        )  # fmt: skip

    def _cached(self, key: str, split: str, measures: list[Measure], compute: Any) -> Mapping[Measure, Values]:
        """Take from the store what is there; compute the rest together and put it there."""
        content = self.store.content_digest(key)
        keys = {measure: digest_of(["scores", content, self.identity(measure, split)]) for measure in measures}
        found = {measure: place for measure in measures if (place := self.store.get(keys[measure])) is not None}
        missing = [measure for measure in measures if measure not in found]
        values: dict[Measure, Values] = {measure: _read(place) for measure, place in found.items()}
        if missing:
            place = self.store.get(key)
            assert place is not None
            with self.watch(f"score {self.execution.rows[key].label}") as progress:
                values |= compute(missing, place)
                progress(1, 1)
            self.computed += len(missing)
            for measure in missing:
                with self.store.claim(keys[measure]) as folder:
                    _write(folder, values[measure])
                    if not any(one.status == "failed" for one in values[measure].values()):
                        self.store.commit(keys[measure], folder, {"scores": str(measure)})
        return values


def _write(folder: Path, values: Values) -> None:
    rows = {query_id: list(one) for query_id, one in values.items()}
    (folder / SCORES_FILE).write_text(json.dumps(rows), encoding="utf-8")


def _read(place: Path) -> Values:
    rows = json.loads((place / SCORES_FILE).read_text(encoding="utf-8"))
    return {query_id: scoring.Scored(*one) for query_id, one in rows.items()}
