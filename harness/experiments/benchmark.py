"""``run(suite) -> Finished``: make, score, compare and report a suite; where producing and judging meet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

from harness import provenance, scoring
from harness.data.datasets import Dataset
from harness.execution.measurements import Measurements
from harness.execution.scheduler import Execution
from harness.execution.session import STORE, Executed, Options, Session
from harness.experiments import followup, forgetting, halving, query_details, reports
from harness.experiments.index_losses import lost_by_indexes
from harness.experiments.noops import Duplicates, no_ops
from harness.experiments.question_agreement import question_agreement
from harness.models.hub import commits
from harness.planning.graph import Plan
from harness.planning.ledger import build_cost, together, unknown_costs
from harness.planning.plan import build_plan
from harness.remarks.front import Ran, front
from harness.remarks.settings import not_run, settings
from harness.remote.places import root_of
from harness.results import outcomes, sharing
from harness.stages.shared.common import read_answers
from harness.statistics.comparisons import Comparisons
from harness.statistics.summaries import summarise, worst_share
from harness.suite.files import load_suite
from harness.suite.resolved import resolved
from harness.suite.spec import Suite
from harness.values.findings import AbstentionCounts, Outcome, ServingCost, SystemInfo
from harness.values.records import Run


class Finished(NamedTuple):
    """An outcome, where it was written, and how much of it had to be computed in this run."""

    outcome: Outcome
    folder: Path
    calls_made: int
    scores_computed: int
    failed_share: float
    limit: float
    seconds: float
    calls_failed: int = 0


def run(
    suite: str | Path, store: str | Path = STORE, seeds: Sequence[int] = (), **options: Unpack[Options]
) -> Finished:
    """Run a suite (a shipped name, a file or a folder) and write its outcome below `store`, a folder or an address.

    `seeds` replaces those of the suite; `options` are those of a session. What the store holds is not made again.
    Raises HarnessError for anything wrong with the suite, its data, its models or its endpoints; a stage that fails is
    part of the outcome.
    """
    spec, path = load_suite(suite)
    if seeds:
        spec = spec.model_copy(update={"seeds": tuple(dict.fromkeys(seeds))})
    root = root_of(store)
    sharing.refresh(root, spec.name)
    with outcomes.attempted(root, spec.name):
        return _Benchmark(Session(spec, root, **options), path).run()


class _Benchmark:
    """One run of a suite, step by step."""

    def __init__(self, session: Session, path: Path) -> None:
        self.session, self.path = session, path
        self.store, self.root, self.written = session.store, session.root, session.written
        self.split = session.suite.evaluate.split
        self.searched = halving.Searched()

    @property
    def suite(self) -> Suite:
        """The suite as its servers take it."""
        return self.session.suite

    def run(self) -> Finished:
        """Execute the plan of the suite, and write its outcome."""
        started = time.perf_counter()
        dataset = self.session.load(self.suite)
        slices = followup.slices_of(self.suite, dataset)
        self.searched = halving.search(self.session, dataset)
        plan, other = self._checked_plans(dataset)
        executed = self.session.execute(plan, dataset)
        execution, scores = executed.execution, executed.scores
        forgotten = forgetting.ForgettingResult()
        if other is not None:
            forgotten = forgetting.score(self.session, plan, execution, other)
        unknown = self._unknown(plan, execution)
        compared = Comparisons(plan.suite, plan.systems, executed.rows, scores.measurements.uncalibrated())
        runs = query_details.runs_of(plan, self.store)
        outcome = self._outcome(executed, compared, forgotten, unknown)
        outcome = outcome.model_copy(
            update={
                "queries_without_run": self._queries_without_run(runs, dataset),
                "seconds": time.perf_counter() - started,
            }
        )
        outcome = followup.complete(outcome, self.suite, compared, slices, self.root, unknown)
        all_rows = [row for of_system in executed.rows.values() for row in of_system]
        outcome, folder = reports.write_outcome(outcome, self.root, all_rows, runs, plan, dataset, self.store)
        self.session.note_keys(folder)
        broken = execution.failed or any(row.verdict == "failed" for row in forgotten.forgotten)
        return Finished(
            outcome,
            folder,
            calls_made=execution.made + forgotten.calls_made + self.searched.calls_made,
            scores_computed=scores.computed + forgotten.scores_computed,
            failed_share=1.0 if broken else worst_share(outcome.summaries),
            limit=self.suite.failure_limit,
            seconds=time.perf_counter() - started,
            calls_failed=len(execution.failed),
        )

    def _checked_plans(self, dataset: Dataset) -> tuple[Plan, forgetting.ForgettingPlan | None]:
        """The plan, and that on another dataset if the suite names one, after a check of their endpoints."""
        session = self.session
        plan, other = self._planned(dataset)
        measured = [session.measurements(plan, dataset), *([other.measurements(session)] if other else [])]
        # Answers are known by what is really sent, so everything is planned by what the servers take.
        return self._planned(dataset) if session.check(*measured) else (plan, other)

    def _outcome(
        self,
        executed: Executed,
        compared: Comparisons,
        forgotten: forgetting.ForgettingResult,
        unknown: Mapping[str, list[str]],
    ) -> Outcome:
        """The outcome as far as it needs no earlier one; systems that did not fail are timed for it."""
        rows, execution, scores = executed
        session, plan, dataset, measurements = self.session, scores.plan, scores.dataset, scores.measurements
        latencies = session.latencies(plan)
        serving = {
            system.label: latencies.measure(system) for system in plan.systems if not execution.why_failed(system.goals)
        }
        alike = no_ops(plan, execution, self.store)
        systems = self._systems(plan, execution, serving, alike.duplicates)
        summaries = [summary for system in plan.systems for summary in summarise(rows[system.label], self.split)]
        ran = Ran(self.written, dataset, plan, execution.rows, scores.judgements, rows, unknown)
        front_notes = front(ran, self.store, session.services)
        timings = latencies.timings()
        return Outcome(
            suite=self.suite.name,
            split=self.split,
            title=self.suite.title,
            created=provenance.now(),
            seconds=0.0,
            provenance={**provenance.collect(self.path), **({"models": commits()} if commits() else {})},
            spec=self.written.model_dump(mode="json", by_alias=True),
            dataset=dataset.describe(self.split, len(plan.sample)),
            settings=settings(self.suite, dataset),
            measures=tuple(map(str, self.suite.measures)),
            identities={str(measure): measurements.identity(measure, self.split) for measure in self.suite.measures},
            measured={str(measure): measurements.measured(measure) for measure in self.suite.measures},
            advisory=measurements.uncalibrated(),
            systems=tuple(systems),
            summaries=tuple(summaries),
            comparisons=self.searched.marked([*compared.gains(), *compared.advisory(), *compared.over_untrained()]),
            factors=dict(compared.crossing.factors),
            effects=tuple(compared.effects()),
            recipe_claims=self.searched.claimed(compared.claims()),
            best_untrained=compared.best_untrained,
            untrained_claims=self.searched.claimed(compared.untrained_claims()),
            abstentions=tuple(self._abstentions(plan, measurements)),
            agreement=question_agreement(self.suite, dataset, rows),
            timings=timings,
            indexes=lost_by_indexes(scores, serving, timings),
            ledger=(*together(execution.rows, self.searched.ledger).values(), *scores.judgements, *forgotten.ledger),
            rounds=self.searched.rounds,
            forgotten=forgotten.forgotten,
            paid=session.paid(),
            not_run=not_run(self.suite, plan) | {f"probe {name}": why for name, why in latencies.failed.items()},
            notes=(*front_notes, *measurements.remarks(), *forgotten.notes, *alike.notes),
            repairs=dataset.repairs,
            calls_planned=len(plan.calls),
            calls_without_sharing=plan.calls_without_sharing,
            resolved=resolved(self.suite),
        )

    def _planned(self, dataset: Dataset) -> tuple[Plan, forgetting.ForgettingPlan | None]:
        """The plan, and that on another dataset if the suite names one."""
        plan = build_plan(self.searched.applied(self.suite), dataset)
        return plan, forgetting.plan_forgetting(plan)

    def _systems(
        self,
        plan: Plan,
        execution: Execution,
        serving: Mapping[str, ServingCost | None],
        alike: Mapping[str, Duplicates],
    ) -> list[SystemInfo]:
        systems = []
        for system in plan.systems:
            seconds, dollars = build_cost(plan, system, execution.rows, self.suite.prices)
            same = alike.get(system.label, Duplicates())
            systems.append(
                SystemInfo(
                    name=system.name,
                    seed=system.seed,
                    role=system.role,
                    tunes=system.tunes,
                    changes=system.changes,
                    training=system.training,
                    identity=system.identity,
                    build_seconds=seconds,
                    build_dollars=dollars,
                    serving=serving.get(system.label),
                    failed=execution.why_failed(system.goals),
                    stopped=self.searched.why(system.name),
                    same_run_as=same.lists,
                    same_answers_as=same.answers,
                    same_weights_as=same.weights,
                )
            )
        return systems

    def _abstentions(self, plan: Plan, measurements: Measurements) -> list[AbstentionCounts]:
        tables = []
        for system in plan.systems:
            place = self.store.get(system.answers) if system.answers else None
            if place is not None:
                written, rule = read_answers(place), measurements.settings.abstention
                tables.append(
                    scoring.abstention_table(system.name, system.seed, written, measurements.references, rule)
                )
        return tables

    def _queries_without_run(self, runs: Mapping[str, Run], dataset: Dataset) -> dict[str, int]:
        part = dataset.splits[self.split]
        counts = {label: scoring.queries_without_run(run, part.qrels, part.level) for label, run in runs.items()}
        return {label: count for label, count in counts.items() if count}

    @staticmethod
    def _unknown(plan: Plan, execution: Execution) -> dict[str, list[str]]:
        """Calls whose cost is not known, by the system that needed them."""
        unknown = {
            system.label: unknown_costs(plan, system, execution.rows)
            for system in plan.systems
            if not execution.why_failed(system.goals)
        }
        return {label: calls for label, calls in unknown.items() if calls}
