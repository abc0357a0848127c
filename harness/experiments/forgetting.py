"""Forgetting: how tuned models do on another dataset, compared with the untuned pipeline on that dataset.

A second plan stands beside the plan of the suite. It holds the same pipeline on the other dataset, with the tuned
models of the first plan by their keys, and trains nothing. It is built before any work (`plan_forgetting`) and executed
after the first plan (`score`). What both plans need has one key and is made once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

from harness.data.datasets import Dataset, load_dataset
from harness.execution.measurements import Measurements
from harness.execution.scheduler import Execution
from harness.execution.session import Session
from harness.planning.calls import TunedPipeline, tuned_pipeline_of
from harness.planning.contexts import GenerationSample, sample_queries
from harness.planning.graph import Plan, ServingKeys, SystemPlan
from harness.planning.rankings import BLENDED, FUSED, Rankings
from harness.remarks import data
from harness.statistics.comparisons import Comparisons, Rows, values_of
from harness.suite.pipeline import Reranker
from harness.suite.recipes import PARTS
from harness.suite.sources import Forgetting
from harness.suite.spec import Suite
from harness.suite.uses import reading_elsewhere, shows_examples
from harness.values.findings import Comparison, LedgerRow
from harness.values.gains import Forgotten
from harness.values.measures import Measure
from harness.values.systems import UNTUNED


@dataclass(frozen=True)
class ForgettingPlan:
    """The other dataset, and the plan that scores the tuned models of a suite on it."""

    plan: Plan
    dataset: Dataset
    notes: tuple[str, ...] = ()

    def measurements(self, session: Session) -> Measurements:
        """What the second plan is measured by. An uncalibrated judge decides nothing here, and is not asked."""
        measurements = session.measurements(self.plan, self.dataset)
        return session.measurements(self.plan, self.dataset, measurements.calibrated)


class ForgettingResult(NamedTuple):
    """The rows of forgetting and what they cost; `ledger` leaves out what the first plan has a row for."""

    forgotten: tuple[Forgotten, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    calls_made: int = 0
    scores_computed: int = 0
    notes: tuple[str, ...] = ()


def plan_forgetting(plan: Plan) -> ForgettingPlan | None:
    """Load the other dataset of a plan's suite, and plan the work on it; None if the suite names none.

    Raises DataError for anything wrong with that dataset.
    """
    rule = plan.suite.forgetting
    if rule is None or not any(system.tunes for system in plan.systems):
        return None
    return plan_on(
        plan, load_dataset(rule.dataset, rule.split, reading_elsewhere(rule, shows_examples(plan.suite))), rule
    )


def plan_on(plan: Plan, dataset: Dataset, rule: Forgetting) -> ForgettingPlan:
    """Plan `untuned` and every trained candidate of a plan on another dataset. Each distinct call is planned once."""
    suite = suite_for(plan.suite, rule)
    given, notes = _given(suite, dataset, rule)
    planner = _ForgettingPlanner(suite, dataset, given, plan)
    chosen = [system for system in plan.systems if system.name == UNTUNED or system.tunes]
    systems = [planner.system(system) for system in chosen]
    other = Plan(suite, planner.artifacts, given, planner.calls, systems, _judge(plan, suite))
    for system in systems:
        for key in other.upstream(system.goals):
            other.calls[key].systems.append(system.label)
    other.calls = {key: call for key, call in other.calls.items() if call.systems}
    for key, call in other.calls.items():
        if key not in plan.calls:
            call.label = f"{dataset.name}: {call.label}"
    remarks = (f"{dataset.name}: {line}" for line in data.told(dataset, rule.split))
    shown = [system.label for system in chosen if given.query_ids and shows_own(suite, system)]
    silent = [f"Answers on {dataset.name} are not measured where prompts hold own examples: {', '.join(shown)}."]
    return ForgettingPlan(other, dataset, (*notes, *(silent if shown else []), *remarks))


def suite_for(suite: Suite, rule: Forgetting) -> Suite:
    """The suite on its other dataset: the same pipeline, its gated measures, and nothing to train."""
    changes = {"split": rule.split, "generation_queries": None, "contexts": None}
    rules = {"relevance_level": rule.relevance_level, "exclude_own": rule.exclude_own}
    evaluate = suite.evaluate.model_copy(update={**changes, **rules})
    asked = bool(rule.generation_queries and suite.pipeline.generator)
    measures = tuple(measure for measure in suite.margins if asked or measure.is_rank)
    return suite.model_copy(update={"dataset": rule.dataset, "evaluate": evaluate, "measures": measures})


def _given(suite: Suite, dataset: Dataset, rule: Forgetting) -> tuple[GenerationSample, tuple[str, ...]]:
    """The queries of the other dataset that are answered, and notes about them."""
    if all(measure.is_rank for measure in suite.measures):
        return GenerationSample([]), ()
    split = dataset.splits[rule.split]
    sample = sample_queries(split, rule.generation_queries)
    if not sample:
        note = f"{dataset.name} has no reference answers in split {rule.split}: forgetting covers retrieval only."
        return GenerationSample([]), (note,)
    return GenerationSample(sample, {key: split.references[key] for key in sample}), ()


def _judge(plan: Plan, suite: Suite) -> str | None:
    """The key of the converted judge, if it decides a gated measure of answers."""
    return plan.judge if any(not measure.is_rank for measure in suite.measures) else None


class _ForgettingPlanner(Rankings):
    """Plans the systems of the first plan on the other dataset, with the weights that these chose on their own dev."""

    def __init__(self, suite: Suite, dataset: Dataset, given: GenerationSample, first: Plan) -> None:
        super().__init__(suite, dataset, given)
        self.first = first
        self._weights: dict[str, str] = {}

    def system(self, main: SystemPlan) -> SystemPlan:
        """A system of the first plan with its tuned models, on the other dataset.

        It writes no answers there if it shows solved examples of its own train split.
        """
        calls = {key: self.first.calls[key].call for key in main.serving.artifacts if key in self.first.calls}
        self._weights = {call.spec["pool"]: key for key, call in calls.items() if call.stage == "weigh"}
        pipeline = tuned_pipeline_of(main)
        run = self.ranked(pipeline, self.split)
        answers = None if shows_own(self.suite, main) else self.answered("run", pipeline.label(*PARTS), pipeline, run)
        serving = ServingKeys(models=main.models)
        scored = self.scored(pipeline, run, self.split)
        return replace(main, run=scored, answers=answers, dev_run=None, serving=serving, scores_run=True)

    def fusion_weight(self, pipeline: TunedPipeline) -> str:
        return self._weights[FUSED]

    def blend_weight(self, pipeline: TunedPipeline, rule: Reranker) -> str | None:
        return self._weights.get(BLENDED)


def shows_own(suite: Suite, system: SystemPlan) -> bool:
    """Whether the prompts of a system hold examples of the suite's own train split, which no other dataset has."""
    generator = suite.generator_of(system.settings)
    return generator is not None and generator.shots > 0


def score(session: Session, plan: Plan, execution: Execution, other: ForgettingPlan) -> ForgettingResult:
    """Score the tuned models of a plan that was carried out on the other dataset, as one family against `untuned`.

    A measure that a system cannot have moved, because its lists or answers are those of `untuned` by their key, is left
    out. Where a call failed, here or in the first plan, the verdict is ``failed`` and says which.
    """
    broken = _broken(plan, execution, other.plan)
    whole = _without(other.plan, broken)
    measurements = replace(other, plan=whole).measurements(session)
    rows, done, scores = session.execute(whole, other.dataset, measurements.measures)
    uncalibrated = measurements.uncalibrated()
    compared = Comparisons(whole.suite, whole.systems, rows, uncalibrated)
    gains = {(row.system, row.seed, row.measure): row for row in compared.gains()}
    return ForgettingResult(
        forgotten=tuple(_forgotten_rows(other, scores.measures, gains, rows, broken | done.failed)),
        ledger=(*(row for key, row in done.rows.items() if key not in execution.rows), *scores.judgements),
        calls_made=done.made,
        scores_computed=scores.computed,
        notes=(
            *other.notes, *_uncalibrated(uncalibrated, whole.suite), *_without_questions(whole, scores.measures, rows),
        ),
    )  # fmt: skip


def _broken(plan: Plan, execution: Execution, other: Plan) -> dict[str, str]:
    """Goals of the second plan that need a failed call of the first one, each with the reason of that failure."""
    broken = {}
    for goal in dict.fromkeys(goal for system in other.systems for goal in system.goals):
        needed = [key for upstream in other.upstream([goal]) for key in _itself_and_inputs(other, upstream)]
        why = next((execution.failed[key] for key in needed if key in execution.failed), None)
        if why is not None:
            broken[goal] = why
    return broken


def _itself_and_inputs(plan: Plan, key: str) -> list[str]:
    return [key, *plan.calls[key].call.inputs.values()]


def _without(other: Plan, broken: Mapping[str, str]) -> Plan:
    """The plan without the broken goals. Where `untuned` lacks a result, no system keeps its own of that kind."""
    untuned = other.system(UNTUNED)
    systems = [
        replace(
            system,
            run=system.run if not {system.run, untuned.run} & broken.keys() else None,
            answers=system.answers if not {system.answers, untuned.answers} & broken.keys() else None,
        )
        for system in other.systems
    ]
    return replace(other, systems=systems)


def _forgotten_rows(
    other: ForgettingPlan, measures: Sequence[Measure], gains: Mapping[tuple[str, int, str], Comparison], rows: Rows,
    reasons: Mapping[str, str],
) -> Iterator[Forgotten]:  # fmt: skip
    """Yield a row for each candidate and each measure that the candidate can have changed."""
    untuned = other.plan.system(UNTUNED)
    for system in other.plan.systems:
        for measure in measures:
            goal, own = (system.run, untuned.run) if measure.is_rank else (system.answers, untuned.answers)
            if goal is None or goal == own:
                continue
            why = reasons.get(goal) or (f"{UNTUNED}: {reasons[own]}" if own and own in reasons else "")
            row = gains.get((system.name, system.seed, str(measure)))
            if row is not None or why:
                yield _forgotten(other, system, measure, row, rows, why)


def _forgotten(
    other: ForgettingPlan, system: SystemPlan, measure: Measure, row: Comparison | None, rows: Rows, why: str
) -> Forgotten:
    split = other.plan.suite.evaluate.split
    about = {"dataset": other.dataset.name, "split": split, "system": system.name, "seed": system.seed}
    if row is None:
        blank = {"untuned": None, "tuned": None, "verdict": "failed", "reason": why}
        return Forgotten.model_validate({**about, "measure": str(measure), **blank})
    tuned, untuned = (values_of(rows[label], row.measure, split) for label in (system.label, UNTUNED))
    both = [
        (value, start) for query, value in tuned.items() if value is not None and (start := untuned[query]) is not None
    ]
    means = (fmean(mine for mine, _ in both), fmean(theirs for _, theirs in both)) if both else (None, None)
    copied = {"measure", "difference", "low", "high", "n_queries", "n_groups", "verdict", "reason"}
    values = row.model_dump(include=copied) | ({"reason": why} if why else {})
    return Forgotten.model_validate({**about, **values, "tuned": means[0], "untuned": means[1]})


def _uncalibrated(names: Sequence[str], suite: Suite) -> Iterator[str]:
    asked = [str(measure) for measure in suite.measures]
    for name in names:
        if name in asked:
            yield f"Forgetting is not measured on {name}: the judge that decides it is uncalibrated."


def _without_questions(whole: Plan, measures: Sequence[Measure], rows: Rows) -> Iterator[str]:
    """Yield a note for each measure that no query of the other dataset counts for."""
    untuned, split = whole.system(UNTUNED), whole.suite.evaluate.split
    for measure in measures:
        asked = untuned.run if measure.is_rank else untuned.answers
        if asked and not values_of(rows[UNTUNED], str(measure), split):
            yield f"Forgetting is not measured on {measure}: the other dataset has no {measure.population} query."
