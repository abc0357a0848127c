"""Scores of a system in short: means with what failed beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from harness.values.findings import Summary
from harness.values.measures import parse
from harness.values.records import Score


def worst_share(summaries: Sequence[Summary]) -> float:
    """The largest share of failed scores that any system has in any measure: a mean over all would hide a system."""
    return max((summary.failed / (summary.n + summary.failed) for summary in summaries), default=0.0)


def summarise(rows: Sequence[Score], split: str) -> list[Summary]:
    """Mean of every measure of one system over the queries that have a value, with what failed beside it."""
    by_measure: dict[str, list[Score]] = {}
    for row in rows:
        if row.split == split and row.status != "not_applicable":
            by_measure.setdefault(row.measure, []).append(row)
    found = []
    for measure, scores in by_measure.items():
        values = [row.value for row in scores if row.value is not None]
        reasons = Counter(row.reason for row in scores if row.status == "failed")
        spreads = [row.spread for row in scores if row.spread is not None]
        found.append(
            Summary(
                system=scores[0].system,
                seed=scores[0].seed,
                measure=str(parse(measure)),
                mean=fmean(values) if values else None,
                n=len(values),
                failed=sum(reasons.values()),
                reasons=dict(reasons),
                spread=fmean(one**2 for one in spreads) ** 0.5 if spreads else None,
            )
        )
    return found
