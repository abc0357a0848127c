"""Score rows of the systems of a plan. Equal content under an equal measurement identity is scored once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import scoring
from harness.data.formats import read_run
from harness.data.passages import Passages
from harness.execution.making import Display, no_display
from harness.execution.measurements import JUDGED_TURNS, Measurements
from harness.execution.scheduler import Execution
from harness.hashing import digest_of
from harness.judge import judges
from harness.llm import Chat, Spent
from harness.llm.prompt_templates import rough_tokens, shorten
from harness.llm.services import Services
from harness.planning.graph import SystemPlan
from harness.stages.project import read_evidence
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_answers
from harness.stages.shared.failed_rankings import read_failed
from harness.stages.shared.remote import MENDED
from harness.stages.shared.turns import recent, written
from harness.values.findings import LedgerRow
from harness.values.measures import Measure
from harness.values.records import Answer, CallFacts, Progress, Score, Usage

SCORES_FILE = "scores.json"
Values = Mapping[str, scoring.QueryScore]
Compute = Callable[[list[Measure], Path, Progress], Mapping[Measure, Values]]
Known = dict[str, Values]
"""Scores by their key."""


class ScoreCache:
    """Scores the systems of a plan that was carried out, on its split and, for rank measures, on dev."""

    def __init__(
        self,
        measurements: Measurements,
        execution: Execution,
        services: Services,
        display: Display = no_display,
        known: Known | None = None,
    ) -> None:
        """`known` holds the scores that were computed in this run already, and takes those that will be."""
        self.measurements, self.execution, self.services, self.display = measurements, execution, services, display
        self.plan, self.dataset, self.store = measurements.plan, measurements.dataset, measurements.store
        self.split, self.measures, self.references = measurements.split, measurements.measures, measurements.references
        self.known: Known = {} if known is None else known
        self.judgements: list[LedgerRow] = []

    @cached_property
    def chat(self) -> Chat:
        """The judge; a model in this process is loaded with the first question."""
        converted = self.plan.judge
        return judges.chat_of(self.plan.suite, self.services, self.store.get(converted) if converted else None)

    @property
    def computed(self) -> int:
        """How many sets of scores were computed in this run."""
        return len(self.known)

    def rows(self, system: SystemPlan) -> list[Score]:
        """Return all score rows of a system: one for every measure and query of the split."""
        return [row for split, values in self.compute(system) for row in self._rows(system, split, values)]

    def compute(self, system: SystemPlan, judged: bool = True) -> list[tuple[str, Mapping[Measure, Values]]]:
        """Return the scores of a system: split, and measure -> query -> score. Without `judged`, no LLM is asked."""
        scores: list[tuple[str, Mapping[Measure, Values]]] = []
        ranked = [measure for measure in self.measures if measure.is_rank]
        if system.run and system.scores_run:
            scores.append((self.split, self._rank_values(system.run, self.split, ranked)))
        if system.dev_run:
            scores.append(("dev", self._rank_values(system.dev_run, "dev", ranked)))
        written = [measure for measure in self.measures if not measure.is_rank]
        if system.answers:
            some = [measure for measure in written if judged or not self.measurements.is_judged(measure)]
            scores.append((self.split, self._answer_values(system.answers, some)))
        return scores

    def _rows(self, system: SystemPlan, split: str, values: Mapping[Measure, Values]) -> list[Score]:
        part = self.dataset.splits[split]
        asked = {True: list(part.queries), False: list(self.references)}
        rows = []
        for measure in values:
            for query_id in asked[measure.is_rank]:
                scored = values[measure].get(query_id)
                scored = scored or scoring.QueryScore(
                    None, "not_applicable", f"not one of the {measure.population} queries"
                )
                group = part.queries[query_id].group
                rows.append(Score(system.name, system.seed, split, query_id, group, str(measure), *scored))
        return rows

    def rank_values(self, key: str, measure: Measure) -> Mapping[str, float | None]:
        """Return the values of a rank measure for a run of the plan on the scored split, by query."""
        values = self._rank_values(key, self.split, [measure])[measure]
        return {query_id: scored.value for query_id, scored in values.items()}

    def _rank_values(self, key: str, split: str, measures: list[Measure]) -> Mapping[Measure, Values]:
        part = self.dataset.splits[split]
        if key in self.execution.failed:
            failed = scoring.QueryScore(None, "failed", self.execution.failed[key])
            asked = {measure: scoring.population(part.qrels, measure, part.level) for measure in measures}
            return {measure: dict.fromkeys(asked[measure], failed) for measure in measures}

        def compute(missing: list[Measure], place: Path, progress: Progress) -> Mapping[Measure, Values]:
            run = read_run(place / RUN_FILE, escaped=True)
            ranked = [measure for measure in missing if not measure.in_words]
            scored = scoring.score_run(run, part.qrels, ranked, part.level, part.exclude_own)
            if other := [measure for measure in missing if measure.in_words]:
                words = read_evidence(place)
                scored |= scoring.score_evidence(words, part.usable, part.spans, other, part.level)
            values = {m: {query: scoring.QueryScore(value) for query, value in scored[m].items()} for m in missing}
            for query, why in read_failed(place).items():
                for of_measure in values.values():
                    if query in of_measure:
                        of_measure[query] = scoring.QueryScore(None, "failed", why)
            return values

        return self._cached(key, split, measures, compute)

    def _answer_values(self, key: str, measures: list[Measure]) -> Mapping[Measure, Values]:
        if key in self.execution.failed:
            failed = scoring.QueryScore(None, "failed", self.execution.failed[key])
            return {
                measure: {
                    query_id: failed
                    for query_id, reference in self.references.items()
                    if measure.population == "all" or reference.answerable
                }
                for measure in measures
            }
        return self._cached(key, self.split, measures, self._score_answers)

    def _score_answers(self, missing: list[Measure], place: Path, progress: Progress) -> Mapping[Measure, Values]:
        answers, settings = read_answers(place), self.measurements.settings
        if any(map(self.measurements.is_judged, missing)):
            settings = judges.asked_by(settings, self.chat)
        return scoring.score_answers(answers, self.references, missing, settings, self._shown(answers), progress)

    def _shown(self, answers: Mapping[str, Answer]) -> dict[str, scoring.ShownContext]:
        """Return what the generator was shown for each query: the query text, whole passages, and the newest turns."""
        part, passages = self.dataset.splits[self.split].queries, Passages(self.dataset.documents)
        return {
            query_id: scoring.ShownContext(
                part[query_id].text,
                tuple(passages[key].content for key in answer.context),
                written(recent(part[query_id].history, JUDGED_TURNS, rough_tokens, shorten)),
            )
            for query_id, answer in answers.items()
        }

    def _cached(self, key: str, split: str, measures: list[Measure], compute: Compute) -> Mapping[Measure, Values]:
        """Take scores from the store; compute the missing ones together and store them."""
        keys = {measure: self.measurements.score_key(key, split, measure) for measure in measures}
        values: dict[Measure, Values] = {
            measure: self.known[keys[measure]] for measure in measures if keys[measure] in self.known
        }
        unknown = [measure for measure in measures if measure not in values]
        stored = {measure: place for measure in unknown if (place := self.store.get(keys[measure])) is not None}
        missing = [measure for measure in unknown if measure not in stored]
        values |= {measure: _read(place) for measure, place in stored.items()}
        if missing:
            place = self.store.get(key)
            assert place is not None
            label = self.execution.rows[key].label
            judged = [measure for measure in missing if self.measurements.is_judged(measure)]
            scored = [measure for measure in missing if measure not in judged]
            # Judged measures are computed apart, so that the cost of judging is known.
            if judged:
                values |= self._judged_once(judged, keys, f"judge {label}", place, compute)
            if scored:
                values |= self._computed(scored, keys, f"score {label}", place, compute)
        self._note_judgements(keys, stored)
        return {measure: values[measure] for measure in measures}

    def _judged_once(
        self, some: list[Measure], keys: Mapping[Measure, str], label: str, place: Path, compute: Compute
    ) -> Mapping[Measure, Values]:
        """Judge what no other process has judged while this one waited for it: each judgement is paid."""
        with self.store.claim(digest_of(["judging", sorted(keys[measure] for measure in some)])):
            stored = {measure: found for measure in some if (found := self.store.get(keys[measure])) is not None}
            rest = [measure for measure in some if measure not in stored]
            judged = self._computed(rest, keys, label, place, compute) if rest else {}
        self._note_judgements(keys, stored)
        return {**{measure: _read(found) for measure, found in stored.items()}, **judged}

    def _computed(
        self, some: list[Measure], keys: Mapping[Measure, str], label: str, place: Path, compute: Compute
    ) -> Mapping[Measure, Values]:
        """Compute measures together and store them. The first one carries the ledger row of the judge."""
        before, started = self._spent(), time.perf_counter()
        with self.display(label) as progress:
            values = compute(some, place, progress)
            progress(1, 1)
        facts = self._facts(label, before, time.perf_counter() - started)
        for measure in some:
            self._keep(keys[measure], measure, values[measure], facts if measure == some[0] else {})
            self.known[keys[measure]] = values[measure]
        return values

    def _keep(self, key: str, measure: Measure, values: Values, facts: Mapping[str, Any]) -> None:
        """Store the scores of a measure, unless some failed: then all are tried again in the next run."""
        costs = facts if self.measurements.is_judged(measure) else {}
        with self.store.claim(key) as folder:
            _write(folder, values)
            if not any(one.status == "failed" for one in values.values()):
                self.store.commit(key, folder, {"scores": str(measure), **costs})
        self._note(key, costs, reused=False)

    def _note_judgements(self, keys: Mapping[Measure, str], stored: Mapping[Measure, Path]) -> None:
        """Add ledger rows for judgements that came from the store."""
        for measure in stored:
            self._note(keys[measure], self.store.facts(keys[measure]), reused=True)

    def _note(self, key: str, facts: Mapping[str, Any], reused: bool) -> None:
        known = {name: value for name, value in facts.items() if name in LedgerRow.model_fields}
        if known and key not in {row.key for row in self.judgements}:
            self.judgements.append(LedgerRow(key=key, reused=reused, **known))

    def _spent(self) -> Spent:
        return self.chat.spent if "chat" in self.__dict__ else Spent()

    def _facts(self, label: str, before: Spent, seconds: float) -> dict[str, Any]:
        """Return the cost of judging as the fields of a ledger row."""
        spent = self._spent().since(before)
        cost, mended = spent.cost_of_answers, {MENDED: spent.mended} if spent.mended else {}
        tokens = cost.prompt_tokens, cost.new_tokens
        usage = Usage(spent.asked, spent.requests, *tokens, mended, cost.dollars, known=spent.known_share)
        return CallFacts("judge", label, seconds, "any", usage, role="judge").as_facts()


def _write(folder: Path, values: Values) -> None:
    rows = {query_id: list(one) for query_id, one in values.items()}
    (folder / SCORES_FILE).write_text(json.dumps(rows), encoding="utf-8")


def _read(place: Path) -> Values:
    rows = json.loads((place / SCORES_FILE).read_text(encoding="utf-8"))
    return {query_id: scoring.QueryScore(*one) for query_id, one in rows.items()}
