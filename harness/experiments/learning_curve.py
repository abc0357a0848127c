"""Whether more training data would pay: what each further share of the data bought, and that in words.

Gains over the untuned pipeline are one family, steps from one share to the next another; the intervals of a family hold
for all shares and measures together. The answer rests on the last step alone: what comes after it is no longer
measured, and a curve drawn through few points would say it too surely.

This module must not know suites, plans or stores: values by query go in, points of a curve come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from harness.report import format as figures
from harness.statistics import stats
from harness.values.findings import Comparison
from harness.values.insights import CurvePoint
from harness.values.measures import Measure
from harness.values.records import ScoreColumn

Found = Mapping[tuple[str, str], Comparison]
"""Comparisons by system and measure."""


class Trained(NamedTuple):
    """A candidate trained on a share of its questions: how many examples and seconds that took, and its scores."""

    share: float
    system: str
    examples: int
    seconds: float
    values: Mapping[Measure, ScoreColumn]


def averaged(columns: Sequence[ScoreColumn]) -> dict[str, float | None]:
    """Values of several seeds, averaged by query; a query that one of them failed has none."""
    found: dict[str, float | None] = {}
    for query in columns[0]:
        values = [column[query] for column in columns]
        present = [value for value in values if value is not None]
        found[query] = fmean(present) if len(present) == len(values) else None
    return found


def grow(
    trained: Sequence[Trained], untuned: Mapping[Measure, ScoreColumn], groups: Mapping[str, str],
    margins: Mapping[Measure, float], *, failure_limit: float = 0.0, alpha: float = 0.05, resamples: int = 10_000,
) -> list[CurvePoint]:  # fmt: skip
    """The points of a curve, measure by measure, each from the smallest share to the largest.

    Measures are those of `margins`. Raises ValueError for what no caller should send, as `stats.compare` does.
    """
    ordered = sorted(trained, key=lambda one: one.share)

    def compared(family: stats.Family, pairs: Sequence[stats.Paired]) -> Found:
        rows = stats.compare(family, pairs, failure_limit=failure_limit, alpha=alpha, resamples=resamples)
        return {(row.system, row.measure): row for row in rows}

    def paired(one: Trained, measure: Measure, baseline: ScoreColumn) -> stats.Paired:
        return stats.Paired(
            system=one.system,
            measure=measure,
            margin=margins[measure],
            values=one.values[measure],
            baseline=baseline,
            groups=groups,
        )

    gains = compared("gain", [paired(one, measure, untuned[measure]) for measure in margins for one in ordered])
    steps = compared(
        "exploratory",
        [paired(one, measure, before.values[measure]) for measure in margins for before, one in pairwise(ordered)],
    )
    return [_point(one, measure, gains, steps) for measure in margins for one in ordered]


def _point(one: Trained, measure: Measure, gains: Found, steps: Found) -> CurvePoint:
    key = one.system, str(measure)
    gain, step = gains[key], steps.get(key)
    values = [value for value in one.values[measure].values() if value is not None]
    return CurvePoint(
        share=one.share,
        examples=one.examples,
        system=one.system,
        measure=str(measure),
        mean=fmean(values) if values else None,
        gain=gain.difference,
        gain_low=gain.low,
        gain_high=gain.high,
        step=step.difference if step else None,
        step_low=step.low if step else None,
        step_high=step.high if step else None,
        step_verdict=step.verdict if step else None,
        seconds=one.seconds,
    )


def answers(points: Sequence[CurvePoint], margins: Mapping[str, float]) -> dict[str, str]:
    """Whether more data would pay, in a sentence for each measure that has a step."""
    found = {}
    for measure, margin in margins.items():
        own = [point for point in points if point.measure == measure]
        if len(own) > 1:
            found[measure] = " ".join(_words(own[-2], own[-1], margin))
    return found


def _words(before: CurvePoint, last: CurvePoint, margin: float) -> Iterator[str]:
    step = step_words(before.share, last.share)
    if last.step is None or last.step_verdict == "failed":
        yield "cannot be told: a training failed, or too many of its scores did"
        return
    changed = f"{figures.signed(last.step)} {figures.interval(last.step_low, last.step_high)}"
    if last.step_low is None or last.step_high is None:
        yield f"cannot be told with this set: {step} changed it by {figures.signed(last.step)},"
        yield "and there are too few groups for an interval"
    elif last.step_verdict == "improved" and last.step_high < margin:
        # Surely a gain, and surely one that the suite calls too small to care about.
        yield f"more data would hardly pay: {step} bought {changed}, less than the margin of {margin:g}"
    elif last.step_verdict == "improved":
        yield f"more data would pay: {step} bought {changed}"
    elif last.step_verdict == "equivalent":
        yield f"more data would not pay: {step} changed less than the margin of {margin:g}: {changed}"
    elif last.step_verdict == "regressed":
        yield f"more data would not pay: {step} made it worse, {changed}"
    else:
        verb = "bought" if last.step > 0 else "changed it by"
        yield f"cannot be told with this set: {step} {verb} {changed}"


def step_words(before: float, after: float) -> str:
    """``the last doubling``, or ``the step from 60 % to 100 % of the data``."""
    if math.isclose(after, 2 * before):
        return "the last doubling"
    return f"the step from {100 * before:.3g} % to {100 * after:.3g} % of the data"
