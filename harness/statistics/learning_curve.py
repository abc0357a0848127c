"""The points of a learning curve: what each further share of the training data gained.

Gains over the untuned pipeline are one family, steps from one share to the next another; the intervals of a family hold
for all shares and measures together. This module knows no suites, plans or stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from harness.statistics import stats
from harness.values.findings import Comparison
from harness.values.insights import CurvePoint
from harness.values.measures import Measure
from harness.values.records import ScoreColumn

Comparisons = Mapping[tuple[str, str], Comparison]
"""Comparisons by system and measure."""


class TrainedShare(NamedTuple):
    """A candidate trained on a share of its questions: how many examples and seconds that took, and its scores."""

    share: float
    system: str
    examples: int
    seconds: float
    values: Mapping[Measure, ScoreColumn]


def averaged(columns: Sequence[ScoreColumn]) -> dict[str, float | None]:
    """Values of several seeds, averaged by query; a query that one of them failed has none."""
    means: dict[str, float | None] = {}
    for query in columns[0]:
        values = [column[query] for column in columns]
        present = [value for value in values if value is not None]
        means[query] = fmean(present) if len(present) == len(values) else None
    return means


def curve_points(
    trained: Sequence[TrainedShare], untuned: Mapping[Measure, ScoreColumn], groups: Mapping[str, str],
    margins: Mapping[Measure, float], *, failure_limit: float = 0.0, alpha: float = 0.05, resamples: int = 10_000,
) -> list[CurvePoint]:  # fmt: skip
    """The points of a curve, measure by measure, each from the smallest share to the largest.

    Measures are those of `margins`. Raises ValueError for what no caller should send, as `stats.compare` does.
    """
    ordered = sorted(trained, key=lambda trained: trained.share)

    def compared(family: stats.Family, pairs: Sequence[stats.Paired]) -> Comparisons:
        rows = stats.compare(family, pairs, failure_limit=failure_limit, alpha=alpha, resamples=resamples)
        return {(row.system, row.measure): row for row in rows}

    def paired(share: TrainedShare, measure: Measure, baseline: ScoreColumn) -> stats.Paired:
        return stats.Paired(
            system=share.system,
            measure=measure,
            margin=margins[measure],
            values=share.values[measure],
            baseline=baseline,
            groups=groups,
        )

    gains = compared("gain", [paired(share, measure, untuned[measure]) for measure in margins for share in ordered])
    steps = compared(
        "exploratory",
        [paired(share, measure, before.values[measure]) for measure in margins for before, share in pairwise(ordered)],
    )
    return [_point(share, measure, gains, steps) for measure in margins for share in ordered]


def _point(share: TrainedShare, measure: Measure, gains: Comparisons, steps: Comparisons) -> CurvePoint:
    key = share.system, str(measure)
    gain, step = gains[key], steps.get(key)
    values = [value for value in share.values[measure].values() if value is not None]
    return CurvePoint(
        share=share.share,
        examples=share.examples,
        system=share.system,
        measure=str(measure),
        mean=fmean(values) if values else None,
        gain=gain.difference,
        gain_low=gain.low,
        gain_high=gain.high,
        step=step.difference if step else None,
        step_low=step.low if step else None,
        step_high=step.high if step else None,
        step_verdict=step.verdict if step else None,
        seconds=share.seconds,
    )
