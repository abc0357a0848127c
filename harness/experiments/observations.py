"""The observations of a diagnosis: funnels, oracle gains, curves, and times of parts. Knows no rules and no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from harness.data.datasets import Dataset
from harness.data.formats import read_run
from harness.diagnosis import funnel, loss_curves
from harness.diagnosis.oracle_gains import Substituted, oracle_gains
from harness.planning.graph import Plan, SystemPlan
from harness.planning.oracles import DEEP
from harness.scoring import AbstentionRule
from harness.stages.project import projected
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_answers
from harness.statistics.comparisons import ALPHA, RESAMPLES
from harness.store import Store
from harness.suite.pipeline import Pipeline
from harness.values.findings import ServingCost, Timing
from harness.values.insights import Curve, Funnel, Oracle, OracleGain, PartTime
from harness.values.measures import Measure
from harness.values.records import Answer, Run, Score, ScoreColumn, table_of
from harness.values.systems import UNTUNED

ORACLES: tuple[Oracle, ...] = (
    "oracle-retriever", "oracle-reranker", "without-reranker", "oracle-context", "oracle-generator",
)  # fmt: skip


class Observations:
    """Reads the artifacts of a diagnosis plan; `rows` are its scores by the label of the system."""

    def __init__(self, plan: Plan, dataset: Dataset, store: Store, rows: Mapping[str, Sequence[Score]]) -> None:
        self.plan, self.dataset, self.store, self.rows = plan, dataset, store, rows
        self.suite, self.split = plan.suite, plan.suite.evaluate.split
        self.part = dataset.splits[self.split]
        self.groups = {key: query.group for key, query in self.part.queries.items()}
        self.systems = {system.label: system for system in plan.systems}
        self.tables = {label: table_of(own, self.split) for label, own in rows.items()}
        self.depth = self.depth_of(self.suite.pipeline)

    @property
    def measures(self) -> list[Measure]:
        """The measures that oracle gains are reported for."""
        return [measure for measure in self.suite.measures if measure.name != "format"]

    @property
    def right(self) -> Measure:
        return Measure(self.suite.utility.right)

    def values(self, name: str, measure: Measure) -> ScoreColumn:
        return self.tables[name].column(measure) if name in self.tables else {}

    def run_of(self, key: str | None) -> Run:
        """A run by what was judged, as all rankings are compared here; empty if it was not made."""
        place = self.store.get(key) if key else None
        run = read_run(place / RUN_FILE, escaped=True) if place else {}
        chunked = any(system.settings.chunking for system in self.plan.systems)
        if not chunked and not self.part.spans:
            return run
        found = projected(run, self.dataset.documents, self.part.spans)
        return {query_id: one.hits for query_id, one in found.items()}

    def depth_of(self, pipeline: Pipeline) -> int:
        """How many passages the runs of a pipeline have."""
        whole = pipeline.chunking is None
        return min(pipeline.depth, len(self.dataset.documents)) if whole else pipeline.depth

    @cached_property
    def run(self) -> Run:
        """The run of the untuned pipeline."""
        return self.run_of(self.systems[UNTUNED].run)

    @cached_property
    def pool(self) -> Run:
        """The run before the reranker; the whole run if there is no reranker."""
        return self.run_of(self.systems[UNTUNED].serving.pool) or self.run

    def answers_of(self, system: SystemPlan) -> dict[str, Answer]:
        place = self.store.get(system.answers) if system.answers else None
        return read_answers(place) if place else {}

    def funnels(self) -> Iterator[Funnel]:
        """Yield the funnel of retrieval over all judged queries, and that of answers if any are written."""
        suite, count = self.suite, self.suite.diagnose.examples
        lists = funnel.Lists(self.run, self.part.binary, self.depth, suite.pipeline.context, self.pool)
        yield funnel.retrieval(UNTUNED, lists, self.groups, count)
        untuned = self.systems[UNTUNED]
        if untuned.answers is None or self.right not in suite.measures:
            return
        kept = self.values(UNTUNED, Measure("format")) if suite.answer_format else None
        written = funnel.Written(
            self.answers_of(untuned), self.plan.generation_sample.references, self.values(UNTUNED, self.right),
            self.right, suite.utility.threshold, kept, {key: query.text for key, query in self.part.queries.items()},
            AbstentionRule(suite.abstention_sentences, self.dataset.language),
        )  # fmt: skip
        yield funnel.answers(UNTUNED, lists, written, self.groups, count)

    def oracle_gains(self) -> list[OracleGain]:
        """Return what each oracle part would gain on every measure that it can change."""
        reranked = self.suite.pipeline.reranker is not None
        oracles = [
            Substituted(oracle, measure, real, self._of_retrieval(oracle, values, real), reranked)
            for oracle in ORACLES
            for measure in self.measures
            if (values := self.values(oracle, measure)) and (real := self.values(UNTUNED, measure))
        ]
        if not oracles:
            return []
        limit = self.suite.failure_limit
        return oracle_gains(oracles, self.groups, failure_limit=limit, alpha=ALPHA, resamples=RESAMPLES)

    def _of_retrieval(self, ideal: Oracle, values: ScoreColumn, real: ScoreColumn) -> ScoreColumn:
        """Keep what retrieval can change: `oracle-context` gives unanswerable queries no retrievable passages."""
        if ideal != "oracle-context":
            return values
        asked = self.plan.generation_sample.references
        changed = {key: value for key, value in values.items() if key not in asked or asked[key].answerable}
        if all(value is None for value in changed.values()):
            return values
        return {key: value if key in changed else real.get(key) for key, value in values.items()}

    def curves(self) -> Iterator[Curve]:
        """Yield recall by the depth of the pool, and every answer measure by the number of passages shown."""
        deeper = self.systems.get(DEEP)
        run = (self.run_of(deeper.run) if deeper else {}) or self.pool
        longest = max(map(len, run.values()), default=self.depth)
        args = (run, self.part.binary, self.groups, longest, self.depth)
        yield loss_curves.depth_curve(*args)
        yield loss_curves.depth_curve(*args, "hit_rate", also=(min(self.suite.pipeline.rerank_depth, self.depth),))
        chosen = self.suite.pipeline.context
        shown = {chosen: UNTUNED} | {
            system.settings.context: name
            for name, system in self.systems.items()
            if system.role == "baseline" and system.settings.context != chosen
        }
        for measure in self.measures:
            by_context = {count: self.values(name, measure) for count, name in sorted(shown.items())}
            if not measure.is_rank and any(by_context.values()):
                yield loss_curves.context_curve(by_context, self.groups, measure, chosen)


def part_times(serving: ServingCost | None, timings: Sequence[Timing]) -> tuple[PartTime, ...]:
    """Return the parts of a system with their shares of its latency; empty if any part was not timed."""
    known = {timing.part: timing for timing in timings}
    parts = [known[name] for name in serving.parts if name in known] if serving else []
    p50, p95 = sum(part.p50_ms for part in parts), sum(part.p95_ms for part in parts)
    if not parts or not p50 or not p95:
        return ()
    return tuple(
        PartTime(
            part=part.part.split(":")[0],
            p50_ms=part.p50_ms,
            p95_ms=part.p95_ms,
            share_p50=part.p50_ms / p50,
            share_p95=part.p95_ms / p95,
        )
        for part in parts
    )
