"""Loss curves: recall or hit rate by depth of the pool, and answer quality by the number of passages shown.

Intervals are those of `shares`, by group. They stay within the range of the measure, because recall is often near 1.
This module must not know where runs and answers come from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from harness.scoring import score_run
from harness.statistics.shares import mean_of
from harness.statistics.stats import Paired, compare
from harness.values.insights import Curve, LossPoint
from harness.values.measures import Measure
from harness.values.records import Qrels, Run, ScoreColumn


def depth_curve(
    run: Run, qrels: Qrels, groups: Mapping[str, str], depth: int, chosen: int,
    measure: Literal["recall", "hit_rate"] = "recall", also: Collection[int] = (),
) -> Curve:  # fmt: skip
    """Return mean recall, or hit rate, of all judged queries at 1, 2, 3, 5, 10, 20, ... documents, up to `depth`.

    `chosen` is the depth of the pipeline's pool. It and each depth of `also` are points, unless the run is shorter.
    Gains are against `chosen`, by `stats.compare` over all depths. The hit rate is the share of queries with a relevant
    document in the pool: one minus the share "not in the pool" of the funnel.
    """
    cutoffs = sorted({*depths(depth), *(min(cutoff, depth) for cutoff in (chosen, *also))})
    scores = score_run(run, qrels, [Measure(measure, cutoff) for cutoff in cutoffs])
    by_depth = {scored.cutoff or 0: values for scored, values in scores.items() if values}
    return _curve("depth", measure, Measure(measure, chosen), by_depth, groups, chosen)


def context_curve(
    by_context: Mapping[int, ScoreColumn], groups: Mapping[str, str], measure: Measure, chosen: int
) -> Curve:
    """Return the mean of an answer measure by the number of passages shown; `by_context` has values by query.

    All means are over the queries that have a value at every point, so that a failed query moves no single point. A
    number of passages without any value is left out. Gains are against `chosen`, by `stats.compare` over all points.
    """
    known = {
        shown: {query_id: value for query_id, value in values.items() if value is not None}
        for shown, values in sorted(by_context.items())
    }
    known = {shown: values for shown, values in known.items() if values}
    common = set.intersection(*map(set, known.values())) if known else set()
    shared = {shown: {key: values[key] for key in values if key in common} for shown, values in known.items() if common}
    return _curve("context", str(measure), measure, shared, groups, chosen)


def _curve(
    kind: Literal["depth", "context"], name: str, measure: Measure, by_point: Mapping[int, Mapping[str, float]],
    groups: Mapping[str, str], chosen: int,
) -> Curve:  # fmt: skip
    gains = _gains(by_point, groups, measure, chosen)
    points = [_point(at, measure, values, groups) for at, values in by_point.items()]
    with_gains = [point.model_copy(update=gains.get(point.at, {})) for point in points]
    return Curve(kind=kind, measure=name, points=tuple(with_gains), chosen=chosen)


def _gains(
    by_point: Mapping[int, Mapping[str, float]], groups: Mapping[str, str], measure: Measure, chosen: int
) -> dict[int, dict[str, float | None]]:
    """Return the fields of the gain over `chosen`, by point."""
    others = [at for at in by_point if at != chosen] if chosen in by_point else []
    pairs = [
        Paired(system=str(at), measure=measure, values=by_point[at], baseline=by_point[chosen], groups=groups)
        for at in others
    ]
    rows = compare("exploratory", pairs) if pairs else []
    return {
        at: {"gain": row.difference, "gain_low": row.low, "gain_high": row.high}
        for at, row in zip(others, rows, strict=True)
    }


def depths(depth: int) -> list[int]:
    """Return 1, 2, 3, 5, 10, 20, 50, 100, ... below `depth`, and `depth`."""
    return [*_round_numbers(depth), depth]


def _round_numbers(end: int) -> Iterator[int]:
    power = 1
    while power < end:
        yield from (
            number for number in ((1, 2, 3, 5) if power == 1 else (power, 2 * power, 5 * power)) if number < end
        )
        power *= 10


def _point(at: int, measure: Measure, values: Mapping[str, float], groups: Mapping[str, str]) -> LossPoint:
    # Scores may lie outside the range of a measure, as in `stats`; then their own extreme counts.
    lowest, highest = min(measure.kind.low, *values.values()), max(measure.kind.high, *values.values())
    mean = mean_of(values, groups, lowest, highest)
    low, high = (mean.low, mean.high) if mean.groups > 1 else (None, None)
    return LossPoint(at=at, mean=mean.value, low=low, high=high, n=mean.n)
