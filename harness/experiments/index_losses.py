"""What the indexes of a plan lose and cost: its runs, times and ledger read together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from harness.data.formats import read_run
from harness.execution.scheduler import Execution
from harness.execution.score_cache import ScoreCache
from harness.planning.graph import SystemPlan
from harness.scoring.neighbours import neighbour_recall
from harness.stages.build_index import MEMORY
from harness.stages.index import SIZE
from harness.stages.retrieve import RUN_FILE, SHORT
from harness.statistics.comparisons import ALPHA, RESAMPLES
from harness.statistics.stats import Paired, compare
from harness.values.findings import Comparison, ServingCost, Timing
from harness.values.indexes import LostByIndex
from harness.values.measures import parse
from harness.values.records import Run, ScoreColumn

MEASURE = parse("ndcg@10")
CUTOFF = 10


class _Scored(NamedTuple):
    """Values of the measure by query: exact in float32, exact in the stored precision, by the index."""

    float32: ScoreColumn
    stored: ScoreColumn
    indexed: ScoreColumn


def lost_by_indexes(
    scores: ScoreCache, serving: Mapping[str, ServingCost | None], timings: Sequence[Timing]
) -> tuple[LostByIndex, ...]:
    """Return a row for every system of a plan that is searched by an index."""
    execution, systems = scores.execution, [system for system in scores.plan.systems if system.index_runs]
    why = {system.label: execution.why_failed(system.compared) for system in systems}
    scored = {system.label: _scored(scores, system) for system in systems if not why[system.label]}
    tested = _tested(scores, systems, scored)
    rows = []
    for system in systems:
        row = _begun(system, execution, serving.get(system.label), timings).model_copy(
            update={"reason": why[system.label]}
        )
        if system.label in scored:
            row = row.model_copy(update={**_quality(scores, system, scored[system.label]), **tested[system.label]})
        rows.append(row)
    return tuple(rows)


def _scored(scores: ScoreCache, system: SystemPlan) -> _Scored:
    assert system.index_runs is not None
    return _Scored(*(scores.rank_values(key, MEASURE) for key in system.index_runs.scored))


def _tested(
    scores: ScoreCache, systems: Sequence[SystemPlan], scored: Mapping[str, _Scored]
) -> dict[str, dict[str, float | None]]:
    """Both differences of each system, with intervals that hold for all of them together."""
    queries = scores.dataset.splits[scores.split].queries
    groups = {query_id: query.group for query_id, query in queries.items()}
    pairs: list[Paired] = []
    for system in systems:
        if system.label in scored:
            values, runs = scored[system.label], system.index_runs
            assert runs is not None
            for number, name in enumerate(("quantisation", "loss")):
                pairs.append(
                    Paired(
                        system=name, measure=MEASURE, values=values[number + 1], baseline=values[number], groups=groups,
                        same=runs.passages[number] == runs.passages[number + 1],
                    )
                )  # fmt: skip
    rows = compare("exploratory", pairs, alpha=ALPHA, resamples=RESAMPLES) if pairs else []
    told = [system.label for system in systems if system.label in scored for _ in range(2)]
    found: dict[str, dict[str, float | None]] = {}
    for label, row in zip(told, rows, strict=True):
        found.setdefault(label, {}).update(_difference(row))
    return found


def _difference(row: Comparison) -> Iterator[tuple[str, float | None]]:
    yield row.system, row.difference
    yield f"{row.system}_low", row.low
    yield f"{row.system}_high", row.high


def _quality(scores: ScoreCache, system: SystemPlan, scored: _Scored) -> dict[str, float | str | None]:
    assert system.index_runs is not None
    exact, found = (_run(scores, key) for key in system.index_runs.passages[1:])
    depth = _depth(system, scores)
    return {
        "measure": str(MEASURE),
        "recall_10": neighbour_recall(exact, found, CUTOFF),
        "recall_depth": neighbour_recall(exact, found, depth),
        **{name: _mean(column) for name, column in scored._asdict().items()},
    }


def _run(scores: ScoreCache, key: str) -> Run:
    place = scores.store.get(key)
    assert place is not None
    return read_run(place / RUN_FILE, escaped=True)


def _mean(column: ScoreColumn) -> float | None:
    values = [value for value in column.values() if value is not None]
    return fmean(values) if values else None


def _depth(system: SystemPlan, scores: ScoreCache) -> int:
    assert system.index_runs is not None
    depth: int = scores.plan.calls[system.index_runs.passages[-1]].call.spec["depth"]
    return depth


def _begun(
    system: SystemPlan, execution: Execution, serving: ServingCost | None, timings: Sequence[Timing]
) -> LostByIndex:
    """The row of a system with its settings, times and sizes."""
    runs, retriever = system.index_runs, system.settings.retriever
    assert runs is not None
    assert retriever.index is not None
    built, searched = execution.rows.get(runs.built), execution.rows.get(runs.passages[-1])
    part = next((one for one in serving.parts if one.partition(":")[0] == retriever.kind), "") if serving else ""
    timing = next((one for one in timings if one.part == part), None)
    notes = built.notes if built is not None else {}
    return LostByIndex(
        system=system.name,
        seed=system.seed,
        index=retriever.index.words,
        precision=retriever.precision or "float32",
        depth=system.settings.depth,
        short=searched.notes.get(SHORT, 0) if searched is not None else 0,
        p50_ms=timing.p50_ms if timing else None,
        p95_ms=timing.p95_ms if timing else None,
        size_bytes=notes.get(SIZE),
        memory_bytes=notes.get(MEMORY),
        build_seconds=built.seconds if built is not None and not built.unknown_cost else None,
    )
