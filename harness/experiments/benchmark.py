"""``run(suite) -> Outcome``: the public way in from Python, where producing and judging meet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness import provenance, scoring
from harness.data.datasets import Dataset, load_dataset
from harness.data.formats import read_run
from harness.execution import endpoints
from harness.execution.executors import ChildExecutor, Executor, InlineExecutor
from harness.execution.latency import Latencies
from harness.execution.scheduler import Execution, Watch, carry_out, no_watch
from harness.execution.score_cache import Scorecards
from harness.experiments import followup, forgetting
from harness.experiments.noops import Duplicates, no_ops
from harness.planning import requirements
from harness.planning.graph import Plan, SystemPlan
from harness.planning.ledger import build_cost, unknown_costs
from harness.planning.plan import build_plan
from harness.remarks.front import Ran, front
from harness.remarks.settings import not_run, settings
from harness.results import outcomes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_answers
from harness.statistics.comparisons import Comparisons
from harness.statistics.summaries import summarise, worst_share
from harness.store import FolderStore
from harness.suite.files import load_suite
from harness.suite.resolved import resolved
from harness.suite.spec import Suite
from harness.suite.uses import reading_of
from harness.values.findings import AbstentionCounts, Outcome, ServingCost, SystemInfo

STORE = Path(".harness")


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
    suite: str | Path, store: Path = STORE, seeds: Sequence[int] = (), watch: Watch = no_watch,
    executor: Executor | None = None, replay: bool = False,
) -> Finished:  # fmt: skip
    """Run a suite (a shipped name, a file or a folder) and write its outcome below `store`.

    `seeds` replaces those of the suite. What the store holds already is not made again; with `replay`, no endpoint is
    asked, and what its cache lacks fails. Raises HarnessError for anything wrong with the suite, its data, its models
    or its endpoints; a stage that fails is part of the outcome.
    """
    spec, path = load_suite(suite)
    if seeds:
        spec = spec.model_copy(update={"seeds": tuple(dict.fromkeys(seeds))})
    with outcomes.attempted(store, spec.name):
        return Bench(spec, path, store, watch, executor or ChildExecutor(), replay).run()


class Bench:
    """One run of a suite, step by step."""

    def __init__(
        self, suite: Suite, path: Path, root: Path, watch: Watch, executor: Executor, replay: bool = False
    ) -> None:
        self.written, self.path, self.root, self.watch, self.executor = suite, path, root, watch, executor
        self.suite = endpoints.spoken(suite, root)
        self.services = endpoints.services_of(self.suite, root, replay)
        self.store = FolderStore(root / "store")
        self.split = suite.evaluate.split

    def run(self) -> Finished:
        started = time.perf_counter()
        requirements.apply_device(self.suite)
        requirements.check(self.suite)
        dataset = load_dataset(self.suite.dataset, self.split, reading_of(self.suite))
        slices = followup.slices_of(self.suite, dataset)
        plan, elsewhere, cards = self._planned(dataset)
        roles = endpoints.roles_needed(plan, self.store, cards.lacks_judgements())
        roles += elsewhere.roles(self.store, self.services, self.root) if elsewhere else []
        endpoints.check(dict.fromkeys(roles), self.services, self.suite)
        if (spoken := endpoints.spoken(self.written, self.root)) != self.suite:
            # Answers are known by what is really sent: the plan is made anew by what the servers take.
            self.suite, self.services = spoken, endpoints.adapted(self.services, spoken)
            plan, elsewhere, cards = self._planned(dataset)
        execution = carry_out(plan, self.store, self.executor, InlineExecutor(), self.watch, self.services)
        cards.execution = execution
        rows = {system.label: cards.rows(system) for system in plan.systems}
        there = forgetting.Scored()
        if elsewhere is not None:
            there = forgetting.scored(
                plan, execution, elsewhere, self.store, self.executor, self.watch, self.services, self.root
            )
        latencies = Latencies(plan, self.store, self.executor, self.watch, self.services)
        serving = {
            system.label: latencies.measure(system) for system in plan.systems if self._served(system, execution)
        }
        alike = no_ops(plan, execution, self.store)
        systems = self._systems(plan, execution, serving, alike.duplicates)
        compared = Comparisons(plan.suite, plan.systems, rows, cards.uncalibrated())
        unknown = self._unknown(plan, execution)
        summaries = [summary for system in plan.systems for summary in summarise(rows[system.label], self.split)]
        ran = Ran(self.written, dataset, plan, execution.rows, cards.judgements, rows, unknown)
        outcome = Outcome(
            suite=self.suite.name,
            split=self.split,
            title=self.suite.title,
            created=provenance.now(),
            seconds=time.perf_counter() - started,
            provenance=provenance.collect(self.path),
            spec=self.written.model_dump(mode="json", by_alias=True),
            dataset=dataset.describe(self.split, len(plan.sample)),
            settings=settings(self.suite, dataset),
            measures=tuple(map(str, self.suite.measures)),
            identities={str(measure): cards.identity(measure, self.split) for measure in self.suite.measures},
            measured={str(measure): cards.measured(measure) for measure in self.suite.measures},
            advisory=cards.uncalibrated(),
            systems=tuple(systems),
            summaries=tuple(summaries),
            comparisons=(*compared.gains(), *compared.advisory()),
            effects=tuple(compared.effects()),
            recipe_claims=tuple(compared.claims()),
            abstentions=tuple(self._abstentions(plan, execution, cards)),
            timings=latencies.timings(),
            ledger=(*execution.rows.values(), *cards.judgements, *there.ledger),
            forgotten=there.forgotten,
            paid=endpoints.paid(self.services),
            not_run=not_run(self.suite, plan) | {f"probe {name}": why for name, why in latencies.failed.items()},
            notes=(*front(ran, self.store, self.services), *cards.remarks(), *there.notes, *alike.notes),
            repairs=dataset.repairs,
            queries_without_run=self._queries_without_run(plan, dataset, execution),
            calls_planned=len(plan.calls),
            calls_without_sharing=plan.calls_without_sharing,
            resolved=resolved(self.suite),
        )
        outcome = followup.complete(outcome, self.suite, compared, slices, self.root, unknown)
        every = [row for found in rows.values() for row in found]
        outcome, folder = outcomes.write(outcome, self.root, every, plan, dataset, self.store)
        broken = execution.failed or any(row.verdict == "failed" for row in there.forgotten)
        share = 1.0 if broken else worst_share(summaries)
        seconds = time.perf_counter() - started
        made, computed = execution.made + there.calls_made, cards.computed + there.scores_computed
        limit, failed = self.suite.failure_limit, len(execution.failed)
        return Finished(outcome, folder, made, computed, share, limit, seconds, failed)

    def _planned(self, dataset: Dataset) -> tuple[Plan, forgetting.Elsewhere | None, Scorecards]:
        """The plan, that on another data set, and what scores them."""
        plan = build_plan(self.suite, dataset)
        elsewhere = forgetting.prepared(plan)
        plan.artifacts.publish(self.store)
        return plan, elsewhere, Scorecards(plan, dataset, self.store, self.watch, self.services, self.root)

    @staticmethod
    def _served(system: SystemPlan, execution: Execution) -> bool:
        return not any(goal in execution.failed for goal in system.goals)

    def _systems(
        self,
        plan: Plan,
        execution: Execution,
        serving: Mapping[str, ServingCost | None],
        alike: Mapping[str, Duplicates],
    ) -> list[SystemInfo]:
        found = []
        for system in plan.systems:
            seconds, dollars = build_cost(plan, system, execution.rows, self.suite.prices)
            failed = next((execution.failed[goal] for goal in system.goals if goal in execution.failed), "")
            same = alike.get(system.label, Duplicates())
            found.append(
                SystemInfo(
                    name=system.name,
                    seed=system.seed,
                    role=system.role,
                    tunes=system.tunes,
                    identity=system.identity,
                    build_seconds=seconds,
                    build_dollars=dollars,
                    serving=serving.get(system.label),
                    failed=failed,
                    same_run_as=same.lists,
                    same_answers_as=same.answers,
                    same_weights_as=same.weights,
                )
            )
        return found

    def _abstentions(self, plan: Plan, execution: Execution, cards: Scorecards) -> list[AbstentionCounts]:
        found = []
        for system in plan.systems:
            place = self.store.get(system.answers) if system.answers else None
            if place is not None:
                written, rule = read_answers(place), cards.settings.abstention
                found.append(scoring.abstention_table(system.name, system.seed, written, cards.references, rule))
        return found

    def _queries_without_run(self, plan: Plan, dataset: Dataset, execution: Execution) -> dict[str, int]:
        part = dataset.splits[self.split]
        found = {}
        for system in plan.systems:
            place = self.store.get(system.run) if system.run and system.scores_run else None
            count = (
                scoring.queries_without_run(read_run(place / RUN_FILE, escaped=True), part.qrels, part.level)
                if place
                else 0
            )
            if count:
                found[system.label] = count
        return found

    @staticmethod
    def _unknown(plan: Plan, execution: Execution) -> dict[str, list[str]]:
        """Calls whose cost is not known, by the system that needed them."""
        found = {system.label: unknown_costs(plan, system, execution.rows) for system in plan.systems}
        failed = {system.label for system in plan.systems if any(goal in execution.failed for goal in system.goals)}
        return {label: calls for label, calls in found.items() if calls and label not in failed}
