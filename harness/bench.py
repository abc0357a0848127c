"""``run(suite) -> Outcome``: the public way in from Python, where producing and judging meet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from harness import aftermath, endpoints, forgetting, outcomes, provenance, requirements, scoring
from harness.comparing import ALPHA, BOUNDS, RESAMPLES, Comparisons, values_of
from harness.data.datasets import Dataset, load_dataset
from harness.data.formats import read_run
from harness.plans.graph import Plan, SystemPlan
from harness.plans.ledger import making_cost, unknown_costs
from harness.plans.plan import build_plan
from harness.remarks import answers, data, language
from harness.remarks import endpoints as remarks_of_endpoints
from harness.remarks import models as models_told
from harness.remarks.training import training_remarks
from harness.running.carry_out import Execution, Watch, carry_out, no_watch
from harness.running.executors import ChildExecutor, Executor, InlineExecutor
from harness.running.latency import Latencies
from harness.scorecards import Scorecards
from harness.stages.common import read_answers
from harness.stages.retrieve import RUN_FILE
from harness.statistics.summaries import summarise, worst_share
from harness.store import FolderStore
from harness.suite.files import load_suite
from harness.suite.resolved import resolved
from harness.suite.spec import Suite
from harness.suite.uses import reading_of
from harness.twins import Twins, no_ops
from harness.values.findings import Abstention, Outcome, Serving, SystemInfo
from harness.values.records import Score

STORE = Path(".harness")
NO_JUDGE = "no judge configured"
NOT_MEASURED = "the suite words it and does not measure it; add 'rubric' to measures"


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
        slices = aftermath.slices_of(self.suite, dataset)
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
        systems = self._systems(plan, execution, serving, alike.twins)
        compared, unknown = Comparisons(plan, rows, cards.unproven()), self._unknown(plan, execution)
        summaries = [summary for system in plan.systems for summary in summarise(rows[system.label], self.split)]
        outcome = Outcome(
            suite=self.suite.name,
            split=self.split,
            title=self.suite.title,
            created=provenance.now(),
            seconds=time.perf_counter() - started,
            provenance=provenance.collect(self.path),
            spec=self.written.model_dump(mode="json", by_alias=True),
            dataset=dataset.describe(self.split, len(plan.sample)),
            settings=self._settings(dataset) | data.settings(dataset.splits[self.split]),
            measures=tuple(map(str, self.suite.measures)),
            identities={str(measure): cards.identity(measure, self.split) for measure in self.suite.measures},
            measured={str(measure): cards.measured(measure) for measure in self.suite.measures},
            advisory=cards.unproven(),
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
            not_run=self._not_run(plan) | {f"probe {name}": why for name, why in latencies.failed.items()},
            notes=(
                *data.told(dataset, self.split),
                *models_told.before(self.suite),
                *remarks_of_endpoints.dialects(self.written, self.services),
                *models_told.cut(execution.rows.values()),
                *answers.remarks(plan, execution.rows, self.store),
                *training_remarks(execution.rows.values()),
                *remarks_of_endpoints.mended((*execution.rows.values(), *cards.judgements)),
                *self._notes(plan, rows),
                *language.read_as(dataset),
                *language.unfair_bm25(self.suite, execution.rows.values()),
                *language.dropped_queries(execution.rows.values()),
                *cards.remarks(),
                *_untold(unknown),
                *there.notes,
                *alike.notes,
            ),
            repairs=dataset.repairs,
            missing_lists=self._missing_lists(plan, dataset, execution),
            calls_planned=len(plan.calls),
            calls_without_sharing=plan.calls_without_sharing,
            resolved=resolved(self.suite),
        )
        outcome = aftermath.complete(outcome, self.suite, compared, slices, self.root, unknown)
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
        plan.parts.publish(self.store)
        return plan, elsewhere, Scorecards(plan, dataset, self.store, self.watch, self.services, self.root)

    @staticmethod
    def _served(system: SystemPlan, execution: Execution) -> bool:
        return not any(goal in execution.failed for goal in system.goals)

    def _systems(
        self, plan: Plan, execution: Execution, serving: Mapping[str, Serving | None], alike: Mapping[str, Twins]
    ) -> list[SystemInfo]:
        found = []
        for system in plan.systems:
            seconds, dollars = making_cost(plan, system, execution.rows, self.suite.prices)
            failed = next((execution.failed[goal] for goal in system.goals if goal in execution.failed), "")
            same = alike.get(system.label, Twins())
            found.append(
                SystemInfo(
                    name=system.name,
                    seed=system.seed,
                    role=system.role,
                    tunes=system.tunes,
                    identity=system.identity,
                    make_seconds=seconds,
                    make_dollars=dollars,
                    serving=serving.get(system.label),
                    failed=failed,
                    same_as=same.lists,
                    same_answers_as=same.answers,
                    same_weights_as=same.weights,
                )
            )
        return found

    def _abstentions(self, plan: Plan, execution: Execution, cards: Scorecards) -> list[Abstention]:
        found = []
        for system in plan.systems:
            place = self.store.get(system.answers) if system.answers else None
            if place is not None:
                written, rule = read_answers(place), cards.settings.abstention
                found.append(scoring.abstention_table(system.name, system.seed, written, cards.references, rule))
        return found

    def _missing_lists(self, plan: Plan, dataset: Dataset, execution: Execution) -> dict[str, int]:
        part = dataset.splits[self.split]
        found = {}
        for system in plan.systems:
            place = self.store.get(system.run) if system.run and system.scores_run else None
            count = (
                scoring.missing_lists(read_run(place / RUN_FILE, escaped=True), part.qrels, part.level) if place else 0
            )
            if count:
                found[system.label] = count
        return found

    def _settings(self, dataset: Dataset) -> dict[str, str]:
        """What a reader must know to judge the numbers, in words."""
        made, pipeline = self.suite.data, self.suite.pipeline
        settings = {
            "split scored": self.split,
            "language": language.setting(dataset),
            **language.abstention_setting(self.suite.abstention_sentences),
            "passages relevant for scored questions may be synthesized from": (
                "yes" if made.synthesize.test_documents else "no"
            ),
            **models_told.settings(self.suite),
            "training pairs": self._pairs_used(),
            "lists": f"{pipeline.depth} documents deep, exact search, ties by score and then by doc_id, descending",
            "intervals": f"{1 - ALPHA:.0%} simultaneous, sign flips by group, {RESAMPLES:,} times, single-step max-T",
            "family of gains": f"gated measures of every system but untuned, {' and '.join(BOUNDS)}",
        }
        if pipeline.generator is not None:
            settings["passages shown to the generator"] = (
                f"{pipeline.context}, each cut after {pipeline.generator.passage_tokens} tokens"
            )
        rule = self.suite.evaluate.contexts
        if rule is not None:
            settings["passages shown to the generator"] = (
                f"the same to every system, chosen by the judgements; {rule.lacking:.0%} of the answerable questions "
                "are shown another passage of the same group, and count as unanswerable"
            )
        if self.suite.seeds and len(self.suite.seeds) < 3:
            settings["claims"] = "about these checkpoints; a claim about a recipe needs three seeds or more"
        return settings

    def _pairs_used(self) -> str:
        """Which pairs candidates are trained on: in a word if they agree."""
        used = {name: one.pairs or self.suite.data.pairs for name, one in self.suite.strategies.items()}
        if len(set(used.values())) == 1:
            return next(iter(used.values()))
        return "; ".join(f"{name}: {pairs}" for name, pairs in used.items()) or "none"

    def _not_run(self, plan: Plan) -> dict[str, str]:
        judged = [str(measure) for measure in self.suite.measures if measure.is_judged]
        # What nobody asked for is named too, so that a reader sees what a judge would add.
        unjudged = judged or ["LLM-judged measures of ragas"]
        reasons = dict.fromkeys(unjudged, NO_JUDGE) if self.suite.llm.judge is None else {}
        if self.suite.rubric and "rubric" not in judged:
            reasons[f"rubric ({self.suite.rubric})"] = NO_JUDGE if self.suite.llm.judge is None else NOT_MEASURED
        if not plan.sample:
            answers = [str(m) for m in self.suite.measures if not m.is_rank and str(m) not in reasons]
            reasons |= dict.fromkeys(answers, "the data set has no reference answers")
        skipped = set(self.suite.reference_rows) - {system.name for system in plan.systems}
        reasons |= dict.fromkeys(sorted(skipped), "the data set or the suite has not what it needs")
        return reasons

    @staticmethod
    def _unknown(plan: Plan, execution: Execution) -> dict[str, list[str]]:
        """Calls whose cost is not known, by the system that needed them."""
        found = {system.label: unknown_costs(plan, system, execution.rows) for system in plan.systems}
        failed = {system.label for system in plan.systems if any(goal in execution.failed for goal in system.goals)}
        return {label: calls for label, calls in found.items() if calls and label not in failed}

    def _notes(self, plan: Plan, rows: Mapping[str, list[Score]]) -> list[str]:
        notes = []
        for measure in self.suite.margins:
            if measure.is_rank:
                means = [
                    f"{system.label} {fmean(values):.3f}"
                    for system in plan.systems
                    if (
                        values := [
                            v for v in values_of(rows[system.label], str(measure), "dev").values() if v is not None
                        ]
                    )
                    and system.dev_run
                ]
                if means:
                    notes.append(f"{measure} on dev, where recipes are chosen: {', '.join(means)}.")
        if self.split == "dev" and any("dev_run" in planned.call.inputs for planned in plan.calls.values()):
            notes.append(
                "Checkpoints were chosen on the very questions that are scored here, which flatters the candidates; "
                "set recipes...checkpoints: 1, or confirm on test."
            )
        return notes


def _untold(unknown: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"The cost to make {label} leaves out: {', '.join(calls)} (no longer in the store)."
        for label, calls in unknown.items()
    ]
