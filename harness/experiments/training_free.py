"""The training-free candidates of a diagnosis plan, as measured: gains, chosen weights, latency and size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.diagnosis import funnel
from harness.diagnosis.training_free import Column, settings_gains
from harness.execution.latency import Latencies
from harness.execution.scheduler import Execution
from harness.experiments.observations import Observations
from harness.planning.graph import SystemPlan
from harness.planning.ledger import build_cost
from harness.planning.training_free import Chosen
from harness.report.format import duration
from harness.stages.shared.blending import Weight
from harness.statistics.comparisons import ALPHA, RESAMPLES
from harness.suite.spec import Suite
from harness.values.findings import ServingCost
from harness.values.insights import PlaceName
from harness.values.systems import UNTUNED
from harness.values.training_free import LostShare, SettingsGain, TrainingFree

SETTINGS = {"first": "reranker.blend", "union": "retriever.bm25_weight"}
"""The setting that a chosen weight belongs to, by what is blended."""


@dataclass(frozen=True)
class Candidates:
    """Reads what came of the training-free rows of a diagnosis; `suite` has the margins, `free` says which rows."""

    suite: Suite
    free: Chosen
    observations: Observations
    execution: Execution
    latencies: Latencies

    def measured(self, serving: ServingCost | None) -> tuple[TrainingFree, ...]:
        """Return every training-free candidate of the plan; `serving` is the latency of `untuned`."""
        systems = [system for system in self.observations.plan.systems if system.role == "candidate"]
        failed = {system.name: why for system in systems if (why := self.execution.why_failed(system.goals))}
        columns = [column for system in systems if system.name not in failed for column in self._columns(system)]
        limit = self.suite.failure_limit
        gains = settings_gains(columns, self.observations.groups, failure_limit=limit, alpha=ALPHA, resamples=RESAMPLES)
        return tuple(
            self._failed(system, failed[system.name])
            if system.name in failed
            else self._candidate(system, gains.get(system.name, ()), serving)
            for system in systems
        )

    def _columns(self, system: SystemPlan) -> Iterator[Column]:
        """Yield the values on each measure that the candidate can change."""
        seen, margins = self.observations, self.suite.margins
        untuned = seen.systems[UNTUNED]
        for measure in seen.measures:
            goal, own = (system.run, untuned.run) if measure.is_rank else (system.answers, untuned.answers)
            values, real = seen.values(system.label, measure), seen.values(UNTUNED, measure)
            if goal is None or goal == own or not values or not real:
                continue
            perfect = seen.values("oracle-retriever", measure) if measure.is_rank else None
            yield Column(system.name, measure, values, real, margins.get(measure, 0.0), perfect)

    def _failed(self, system: SystemPlan, why: str) -> TrainingFree:
        return self._candidate(system, (), None).model_copy(update={"failed": why})

    def _candidate(
        self, system: SystemPlan, gains: tuple[SettingsGain, ...], serving: ServingCost | None
    ) -> TrainingFree:
        candidate = self.free.candidates[system.name]
        timed = self.latencies.measure(system) if serving is not None and serving.retrieval is not None else None
        added = None
        if timed is not None and timed.retrieval is not None and serving is not None and serving.retrieval is not None:
            added = timed.retrieval.p95_ms - serving.retrieval.p95_ms
        shares = self._shares(system) if gains else {}
        seconds, dollars = build_cost(self.observations.plan, system, self.execution.rows, self.suite.prices)
        return TrainingFree(
            name=system.name,
            origin="standard" if system.name in self.free.standard else "suite",
            change=candidate.pipeline.model_dump(mode="json"),
            changes=system.changes,
            gains=gains,
            weights=dict(self._weights(system)),
            added_p95_ms=added,
            index_bytes=self._size(system),
            build_seconds=seconds,
            build_dollars=dollars,
            pool=shares.get("not in the pool"),
            context=shares.get("not in the context"),
        )

    def _weights(self, system: SystemPlan) -> Iterator[tuple[str, float]]:
        """Yield the weights that were chosen on dev, by the setting that asks for them."""
        plan, store = self.observations.plan, self.observations.store
        for key in system.serving.artifacts:
            call, place = plan.calls[key].call, store.get(key)
            if call.stage == "weigh" and place is not None:
                yield SETTINGS[call.spec["pool"]], Weight.read(place).weight

    def _size(self, system: SystemPlan) -> int | None:
        """Bytes of the indexes that a system serves with; None if one was not made."""
        calls, rows = self.observations.plan.calls, self.execution.rows
        indexes = [key for key in system.serving.artifacts if calls[key].call.stage in ("index", "build_index")]
        return sum(rows[key].bytes for key in indexes) if all(key in rows for key in indexes) else None

    def _shares(self, system: SystemPlan) -> Mapping[PlaceName, LostShare]:
        """Where the rankings of a candidate lose queries."""
        seen, settings = self.observations, system.settings
        run = seen.run_of(system.run)
        pool = seen.run_of(system.serving.pool) or run
        depth = seen.depth_of(settings)
        lists = funnel.Lists(run, seen.part.binary, depth, settings.context, pool)
        places = funnel.retrieval(system.label, lists, seen.groups, 0).places
        return {place.name: LostShare(share=place.share, low=place.low, high=place.high) for place in places}

    def remarks(self, measured: tuple[TrainingFree, ...], too_long: Mapping[str, float]) -> Iterator[str]:
        """Yield what a reader must know of these gains, and what was left out."""
        for name, why in self.free.left_out.items():
            yield f"The candidate {name} was not measured: {why}"
        if too_long:
            times = ", ".join(f"{name} ({duration(seconds)})" for name, seconds in too_long.items())
            limit = f"{self.suite.diagnose.candidate_minutes:g}"
            yield f"Not measured, as it would take longer than diagnose.candidate_minutes ({limit}): {times}."
        if any(one.gains and self._no_answers(one) for one in measured):
            yield "Changes of retrieval without training were measured on rankings; no answers were written."
        if self.observations.split == "dev" and any(one.weights for one in measured):
            yield (
                "Weights were chosen on dev, the split that is measured here: gains that rest on such a weight are "
                "slightly too high. The next run measures them on its own split."
            )

    def _no_answers(self, candidate: TrainingFree) -> bool:
        system = next(one for one in self.observations.plan.systems if one.name == candidate.name)
        return system.answers is None and self.suite.pipeline.generator is not None
