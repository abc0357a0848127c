"""Is more of it enough? Recall against the depth of the pool, and an answer measure against the passages shown.

Intervals are those of `shares`, by group: they stay in the range of the measure, where recall often is near its end.
This module must not know where runs and answers come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.insights import Curve, Point
from harness.measures import Measure
from harness.records import Qrels, Run
from harness.scoring import score_run
from harness.shares import mean_of
from harness.stats import Paired, compare


def depth_curve(run: Run, qrels: Qrels, groups: Mapping[str, str], depth: int, chosen: int) -> Curve:
    """Mean recall of all judged questions at 1, 2, 3, 5, 10, 20, 50, 100, ... documents, up to `depth` itself.

    `chosen` is how deep the pipeline's pool is; it is one of the points unless the run ends before it.
    """
    cutoffs = sorted({*depths(depth), min(chosen, depth)})
    scores = score_run(run, qrels, [Measure("recall", cutoff) for cutoff in cutoffs])
    points = [_point(measure.cutoff or 0, measure, values, groups) for measure, values in scores.items() if values]
    return Curve(kind="depth", measure="recall", points=tuple(points), chosen=chosen)


def context_curve(
    by_context: Mapping[int, Mapping[str, float | None]], groups: Mapping[str, str], measure: Measure, chosen: int
) -> Curve:
    """Mean of an answer measure at each number of passages shown: passages shown -> values by question.

    All points are means over the same questions, those with a value at every point: a question that failed at one of
    them would move that mean alone. A number of passages at which no question has a value is left out. Gains are told
    against `chosen`, by `stats.compare`: whoever looks at several numbers of passages finds one that is better.
    """
    known = {
        shown: {query_id: value for query_id, value in values.items() if value is not None}
        for shown, values in sorted(by_context.items())
    }
    known = {shown: values for shown, values in known.items() if values}
    common = set.intersection(*map(set, known.values())) if known else set()
    shared = {shown: {key: values[key] for key in values if key in common} for shown, values in known.items() if common}
    points = [_point(shown, measure, values, groups) for shown, values in shared.items()]
    gains = _gains(shared, groups, measure, chosen)
    told = [point.model_copy(update=gains.get(point.at, {})) for point in points]
    return Curve(kind="context", measure=str(measure), points=tuple(told), chosen=chosen)


def _gains(
    shared: Mapping[int, Mapping[str, float]], groups: Mapping[str, str], measure: Measure, chosen: int
) -> dict[int, dict[str, float | None]]:
    """The fields of the gain over `chosen`, by passages shown."""
    others = [shown for shown in shared if shown != chosen] if chosen in shared else []
    pairs = [Paired(str(shown), 0, measure, 0.0, shared[shown], shared[chosen], groups) for shown in others]
    rows = compare("exploratory", pairs) if pairs else []
    return {
        shown: {"gain": row.difference, "gain_low": row.low, "gain_high": row.high}
        for shown, row in zip(others, rows, strict=True)
    }


def depths(depth: int) -> list[int]:
    """1, 2, 3, 5, 10, 20, 50, 100, 200, 500, ... as far as `depth` goes, and `depth`."""
    return [*_round_numbers(depth), depth]


def _round_numbers(end: int) -> Iterator[int]:
    power = 1
    while power < end:
        yield from (
            number for number in ((1, 2, 3, 5) if power == 1 else (power, 2 * power, 5 * power)) if number < end
        )
        power *= 10


def _point(at: int, measure: Measure, values: Mapping[str, float], groups: Mapping[str, str]) -> Point:
    # A suite may score below the range of a measure, as in `stats`; then its own extreme counts.
    lowest, highest = min(measure.kind.low, *values.values()), max(measure.kind.high, *values.values())
    found = mean_of(values, groups, lowest, highest)
    several = found.groups > 1
    return Point(
        at=at, mean=found.value, low=found.low if several else None, high=found.high if several else None, n=found.n
    )
