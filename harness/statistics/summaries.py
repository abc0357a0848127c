"""Means of scores, with the number of failures beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from harness.values.findings import Summary
from harness.values.measures import parse
from harness.values.records import Score


def worst_share(summaries: Sequence[Summary]) -> float:
    """Return the largest share of failed scores of any system in any measure."""
    return max((summary.failed / (summary.n + summary.failed) for summary in summaries), default=0.0)


def summarise(rows: Sequence[Score], split: str) -> list[Summary]:
    """Return the mean of every measure of one system over the queries with a value, and the failures by reason."""
    by_measure: dict[str, list[Score]] = {}
    for row in rows:
        if row.split == split and row.status != "not_applicable":
            by_measure.setdefault(row.measure, []).append(row)
    summaries = []
    for measure, scores in by_measure.items():
        values = [row.value for row in scores if row.value is not None]
        reasons = Counter(row.reason for row in scores if row.status == "failed")
        spreads = [row.spread for row in scores if row.spread is not None]
        summaries.append(
            Summary(
                system=scores[0].system,
                seed=scores[0].seed,
                measure=str(parse(measure)),
                mean=fmean(values) if values else None,
                n=len(values),
                failed=sum(reasons.values()),
                reasons=dict(reasons),
                spread=fmean(spread**2 for spread in spreads) ** 0.5 if spreads else None,
            )
        )
    return summaries
