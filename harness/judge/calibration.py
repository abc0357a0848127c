"""Calibration of an LLM judge: its scores compared with the ratings of people for the same answers.

This module must not know suites, stages, stores, or how a judge is asked: `scoring` scores these answers like those of
any system.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, NamedTuple

import numpy as np

from harness.judge.agreement import (
    ROUNDING,
    Agreement,
    AgreementEstimate,
    Drawn,
    Floats,
    accepts,
    agreement,
    among_raters,
    auroc,
    draw_clusters,
    level,
)
from harness.judge.labels import LabelledAnswer
from harness.scoring import AnswerSettings, QueryScore, ShownContext, score_answers
from harness.values.frozen import Frozen
from harness.values.measures import Measure, parse
from harness.values.records import Answer, Progress, Reference

FEWEST_TURNS = 20
"""The fewest clusters for a bootstrap."""
FEWEST_ROWS = 10
"""The fewest accepted and the fewest refused rows: with fewer, an AUROC of 1 can be chance."""


class CalibrationTerms(NamedTuple):
    """Parameters of a calibration.

    `scale` holds the ends of the people's scale; `cut` is the share of it (0 to 1) from which on their mean accepts an
    answer; `bar` is the least AUROC to pass; `resamples` and `seed` are those of the bootstrap.
    """

    scale: tuple[float, float]
    cut: float
    bar: float
    resamples: int = 2000
    seed: int = 0

    @property
    def steps(self) -> int:
        """Number of steps of the people's scale: those between integers if its width is an integer, else four."""
        width = self.scale[1] - self.scale[0]
        return round(width) if width >= 1 and width == round(width) else 4


class Calibration(Frozen):
    """Agreement of a judge with people on a measure, and whether the judge may decide what is right by it.

    `settings` are the measurement settings of the measure: a calibration holds only for them. Each of `rows` was
    `scored`, `failed`, or `not_applicable` to the measure. `ceiling` is the agreement of people with each other on the
    scored rows. In `failures_against` each failed row counts as judged wrongly.
    """

    schema_version: Literal["harness/calibration-1"] = "harness/calibration-1"
    measure: str
    judge: dict[str, Any]
    settings: dict[str, Any]
    labels: str = ""
    rows: int
    scored: int
    failed: int
    reasons: dict[str, int]
    not_applicable: dict[str, int]
    turns: int
    raters: int
    accepted: int
    refused: int
    scale: tuple[float, float]
    cut: float
    bar: float
    agreement: Agreement
    ceiling: Agreement
    failures_against: AgreementEstimate
    spread: float | None = None
    resamples: int
    seed: int
    passed: bool = False
    reason: str = ""

    def short_of(self, bar: float, cut: float | None = None) -> str:
        """Return why this judge may not decide what is right, at this bar and cut; empty if it may.

        The lower end of the interval of the AUROC must reach the bar, with every failure counted against the judge:
        neither a lucky sample nor a judge that fails on hard answers may pass.
        """
        fewest, low = min(self.accepted, self.refused), self.failures_against.low
        if cut is not None and abs(self.cut - cut) > ROUNDING:
            return f"it was calibrated at a cut of {self.cut:g}, not {cut:g}"
        if self.turns < FEWEST_TURNS:
            return f"{self.turns} turns are too few to tell; rate answers to {FEWEST_TURNS} or more"
        if fewest < FEWEST_ROWS:
            return f"{fewest} answers on one side of the cut are too few to tell; rate {FEWEST_ROWS} or more on each"
        if low is None:
            return "the AUROC has no interval"
        return f"the AUROC may be as low as {low:.3f}, under the bar of {bar:g}" if low < bar else ""

    def reaches(self, bar: float, cut: float | None = None) -> bool:
        """Return whether this judge may decide what is right, at this bar and cut."""
        return not self.short_of(bar, cut)


def judge_rows(
    rows: Sequence[LabelledAnswer],
    measure: Measure,
    settings: AnswerSettings,
    progress: Progress = lambda done, total: None,
) -> dict[str, QueryScore]:
    """Score rated answers as a system's answers are scored: row_id -> score.

    Abstentions, and answers without passages if the measure needs them, are `not_applicable`.
    """
    answers = {row.row_id: Answer(row.row_id, row.answer, 0, 0) for row in rows}
    references = {row.row_id: Reference(row.row_id, (row.reference,) if row.reference else ()) for row in rows}
    shown = {row.row_id: ShownContext(row.question, row.passages) for row in rows}
    return score_answers(answers, references, [measure], settings, shown, progress)[measure]


def calibrate(
    rows: Sequence[LabelledAnswer],
    scores: Mapping[str, QueryScore],
    settings: Mapping[str, Any],
    terms: CalibrationTerms,
    labels: str = "",
) -> Calibration:
    """Compare a judge's scores with people's ratings of the same answers.

    `settings` are `scoring.measurement_settings` of the measure, `labels` is the digest of the file. The judge passes
    if `Calibration.short_of` is empty at the bar.
    """
    measure = parse(str(settings["measure"]))
    asked = [row for row in rows if scores[row.row_id].status != "not_applicable"]
    scored = [row for row in asked if scores[row.row_id].value is not None]
    judged = np.asarray([_share(scores[row.row_id].value, measure) for row in scored], dtype=np.float64)
    people = _means(scored, terms)
    weights = draw_clusters([row.turn for row in scored], terms.resamples, terms.seed)
    ceiling, raters = among_raters([row.rescaled(terms.scale) for row in scored], weights, terms.cut, terms.steps)
    against = _failures_against(asked, scores, measure, terms)
    accepted = int(accepts(people, terms.cut).sum())
    statuses = [scores[row.row_id] for row in rows]
    spreads = [score.spread for score in statuses if score.spread is not None]
    calibration = Calibration(
        measure=str(measure),
        judge=dict(settings["judge"] or {}),
        settings=dict(settings),
        labels=labels,
        rows=len(rows),
        scored=len(scored),
        failed=len(asked) - len(scored),
        reasons=dict(Counter(score.reason for score in statuses if score.status == "failed")),
        not_applicable=dict(Counter(score.reason for score in statuses if score.status == "not_applicable")),
        turns=len({row.turn for row in scored}),
        raters=raters,
        accepted=accepted,
        refused=len(scored) - accepted,
        scale=terms.scale,
        cut=terms.cut,
        bar=terms.bar,
        agreement=agreement(judged, people, weights, terms.cut, terms.steps) if scored else Agreement(),
        ceiling=ceiling,
        failures_against=against,
        spread=fmean(spreads) if spreads else None,
        resamples=terms.resamples,
        seed=terms.seed,
    )
    reason = calibration.short_of(terms.bar)
    return calibration.model_copy(update={"passed": not reason, "reason": reason})


def _means(rows: Sequence[LabelledAnswer], terms: CalibrationTerms) -> Floats:
    return np.asarray([level(row.rescaled(terms.scale)) for row in rows], dtype=np.float64)


def _share(value: float | None, measure: Measure) -> float:
    """Return a score as a share of the measure's range; higher is better."""
    low, high = measure.kind.low, measure.kind.high
    share = ((value or 0.0) - low) / (high - low)
    return 1 - share if measure.kind.better == "lower" else share


def _failures_against(
    rows: Sequence[LabelledAnswer], scores: Mapping[str, QueryScore], measure: Measure, terms: CalibrationTerms
) -> AgreementEstimate:
    """Return the AUROC with the worst score for each failed row: below all others if accepted, else above them."""
    if not rows:
        return AgreementEstimate()
    accepted = accepts(_means(rows, terms), terms.cut)
    values = [scores[row.row_id].value for row in rows]
    worst = [
        _share(value, measure) if value is not None else -math.inf if yes else math.inf
        for value, yes in zip(values, accepted, strict=True)
    ]
    weights = draw_clusters([row.turn for row in rows], terms.resamples, terms.seed)
    return Drawn(auroc(np.asarray(worst, dtype=np.float64), accepted, weights)).estimate()
