"""Compare systems with one of them, from their tables of scores alone. This module must not know stores or files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.results.score_tables import Tables
from harness.statistics import stats
from harness.statistics.alike import same_runs
from harness.statistics.comparisons import ALPHA, RESAMPLES
from harness.values.findings import Comparison, SystemInfo
from harness.values.measures import parse
from harness.values.records import ScoreColumn, SystemKey
from harness.values.systems import BOUNDS, System


def compare_systems(
    family: stats.Family,
    systems: Iterable[SystemInfo],
    against: SystemInfo | System,
    tables: Tables,
    margins: Mapping[str, float],
    failure_limit: float = 1.0,
) -> list[Comparison]:
    """Compare every deployable system with `against`, as one family: on each of `margins` that both have scores on."""
    others = [info for info in systems if info.name not in (against.name, *BOUNDS)]
    pairs = []
    for measure, margin in margins.items():
        baseline = _column(tables, (against.name, against.seed), measure)
        for info in others:
            values = _column(tables, (info.name, info.seed), measure)
            if values and values.keys() == baseline.keys():
                pair = stats.Paired(
                    system=info.name,
                    seed=info.seed,
                    measure=parse(measure),
                    margin=margin,
                    values=values,
                    baseline=baseline,
                    groups=tables[info.name, info.seed].groups,
                    same=same_runs(parse(measure), info, against),
                )
                pairs.append(pair)
    if not pairs:
        return []
    return stats.compare(family, pairs, failure_limit=failure_limit, alpha=ALPHA, resamples=RESAMPLES)


def _column(tables: Tables, key: SystemKey, measure: str) -> ScoreColumn:
    return tables[key].column(measure) if key in tables else {}
