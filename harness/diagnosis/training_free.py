"""Gains of training-free candidates over the untuned pipeline, and which of them to advise.

Values by query go in, gains come out. This module must not know spec, plan, store or report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from harness.diagnosis.oracle_gains import Substituted, oracle_gains
from harness.statistics.stats import Paired, compare
from harness.values.findings import Comparison
from harness.values.insights import CostEstimate, Diagnosis, OracleGain
from harness.values.measures import Measure
from harness.values.records import ScoreColumn
from harness.values.training_free import SettingsGain, TrainingFree


class Column(NamedTuple):
    """The values of a training-free candidate and of `untuned` on one measure, over the same queries.

    `perfect` has the values with an oracle retriever, where the measure is one of ranks. `same`: the candidate's runs
    are those of `untuned` by construction.
    """

    candidate: str
    measure: Measure
    values: ScoreColumn
    untuned: ScoreColumn
    margin: float = 0.0
    perfect: ScoreColumn | None = None
    same: bool = False


def settings_gains(
    columns: Sequence[Column], groups: Mapping[str, str], *, failure_limit: float, alpha: float, resamples: int
) -> dict[str, tuple[SettingsGain, ...]]:
    """Return the gains of each candidate, with intervals that hold for all gains of all candidates at once.

    What an oracle retriever would still gain is a family of its own.
    """
    pairs = [
        Paired(
            system=column.candidate, measure=column.measure, values=column.values, baseline=column.untuned,
            groups=groups, margin=column.margin, same=column.same,
        )
        for column in columns
    ]  # fmt: skip
    if not pairs:
        return {}
    rows = compare("exploratory", pairs, failure_limit=failure_limit, alpha=alpha, resamples=resamples)
    ideal = [number for number, column in enumerate(columns) if column.perfect]
    oracles = [
        Substituted("oracle-retriever", columns[number].measure, columns[number].values, columns[number].perfect or {})
        for number in ideal
    ]
    left = (
        oracle_gains(oracles, groups, failure_limit=failure_limit, alpha=alpha, resamples=resamples) if oracles else []
    )
    by_column = dict(zip(ideal, left, strict=True))
    gains: dict[str, tuple[SettingsGain, ...]] = {}
    for number, (pair, row) in enumerate(zip(pairs, rows, strict=True)):
        gain = _gain(pair, row, by_column.get(number))
        gains[pair.system] = (*gains.get(pair.system, ()), gain)
    return gains


def _gain(pair: Paired, row: Comparison, left: OracleGain | None) -> SettingsGain:
    both = [
        (mine, theirs)
        for key, mine in pair.values.items()
        if mine is not None and (theirs := pair.baseline[key]) is not None
    ]
    copied = row.model_dump(
        include={
            "measure", "margin", "difference", "low", "high", "n_queries", "n_groups", "detectable", "verdict", "reason"
        }
    )  # fmt: skip
    gain = SettingsGain(
        mean=fmean(mine for mine, _ in both) if both else None,
        untuned=fmean(theirs for _, theirs in both) if both else None,
        **copied,
    )
    if left is None:
        return gain
    return gain.model_copy(update={"left": left.difference, "left_low": left.low, "left_high": left.high})


def best(seen: Diagnosis, measure: str | None, limit_ms: float | None = None) -> TrainingFree | None:
    """Return the training-free candidate to advise for a measure; None if none has a positive gain.

    Those with a gain that is significantly above the margin come before others. Of those that are within the margin of
    the best mean gain, it is the one that adds the least latency, then the smallest, then the one with the fewest
    changes. One that is measured to exceed `limit_ms` (p95 of a whole query) is not advised.
    """
    able = [
        (candidate, gain)
        for candidate in seen.training_free
        if (gain := candidate.gain(measure)) is not None
        and (gain.difference or 0.0) > 0
        and not _too_slow(seen, candidate, limit_ms)
    ]
    able = [pair for pair in able if pair[1].is_sure] or able
    most = max((gain.difference or 0.0 for _, gain in able), default=0.0)
    near = [candidate for candidate, gain in able if (gain.difference or 0.0) >= most - gain.margin]
    return min(near, key=_cost, default=None)


def cost_of(candidate: TrainingFree) -> CostEstimate:
    """Return what a training-free candidate costs, as it was measured: it is built, and in the cache."""
    return CostEstimate(
        candidate=candidate.name,
        tunes=(),
        seconds=0.0,
        seconds_in_full=candidate.build_seconds,
        dollars=candidate.build_dollars,
        added_p95_ms=candidate.added_p95_ms,
        basis={"index": "measured"},
    )


def _too_slow(seen: Diagnosis, candidate: TrainingFree, limit_ms: float | None) -> bool:
    added = candidate.added_p95_ms
    if limit_ms is None or seen.p95_ms is None or added is None or added <= 0:
        return False
    return seen.p95_ms + added > limit_ms


def _cost(candidate: TrainingFree) -> tuple[float, float, int]:
    """Latency in steps of a tenth of a second: less than that is chance."""
    late, size = candidate.added_p95_ms, candidate.index_bytes
    return (
        float("inf") if late is None else max(0.0, round(late / 100)),
        float("inf") if size is None else size,
        len(candidate.changes),
    )
