"""Predictions beside outcomes: what the diagnosis said that tuning could buy, and what it bought.

As a rule the diagnosis is of dev and the outcome of test: a bound of one may be exceeded on the other. This module
must not know plans, files or pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.diagnosis.advice import could_buy
from harness.values.findings import Comparison, Outcome, SystemInfo
from harness.values.frozen import Verdict
from harness.values.insights import Advice, Diagnosis, Prediction, Worth

ROUNDING = 1e-9
Standing = Literal["advised", "promised little", "nothing predicted", "advised against", "left alone", "not spoken of"]
"""Where a candidate stands in the advice.

``promised little``: advised, but not for the sake of this measure. ``nothing predicted``: there is advice on it, but no
ideal part says anything of this measure, because such parts cannot change it or the ideal one failed.
"""
SAID: dict[tuple[Standing, Verdict], str] = {
    ("advised", "improved"): "the advice held",
    ("advised", "equivalent"): "the advice was wrong: nothing was gained that matters",
    ("advised", "regressed"): "the advice was wrong: it lost",
    ("promised little", "improved"): "the advice held, and it gained where little was promised",
    ("promised little", "equivalent"): "the advice held: little was promised here",
    ("promised little", "regressed"): "the advice was wrong: it lost",
    ("advised against", "improved"): "the advice was wrong: it gained",
    ("advised against", "equivalent"): "the advice held: nothing was gained that matters",
    ("advised against", "regressed"): "the advice held: it lost",
    ("left alone", "equivalent"): "the advice held: nothing was gained that matters",
    ("left alone", "regressed"): "the advice held: it lost",
    ("nothing predicted", "improved"): "nothing was predicted, and it gained",
    ("nothing predicted", "equivalent"): "nothing was predicted, and nothing was gained that matters",
    ("nothing predicted", "regressed"): "nothing was predicted, and it lost",
    ("not spoken of", "improved"): "no rule spoke of it, and it gained",
    ("not spoken of", "equivalent"): "no rule spoke of it, and nothing was gained that matters",
    ("not spoken of", "regressed"): "no rule spoke of it, and it lost",
}


def predict_outcome(diagnosis: Diagnosis, outcome: Outcome) -> tuple[Prediction, ...]:
    """One prediction for each candidate, seed and gated measure of an outcome, in its order of systems and measures.

    Estimated are the seconds and dollars in full, since the ledger counts what was reused too.
    """
    systems = [info for info in outcome.systems if info.role == "candidate"]
    gains = [row for row in outcome.comparisons if row.family == "gain"]
    return tuple(
        _prediction(diagnosis, outcome, info, row)
        for info in systems
        for row in gains
        if (row.system, row.seed) == (info.name, info.seed)
    )


def advice_on(diagnosis: Diagnosis, tunes: tuple[str, ...]) -> Advice | None:
    """The advice that speaks of tuning these parts together; None if there is none.

    What is advised against or left alone speaks first: of every candidate that tunes such parts with others, or only
    parts that are left alone. Then comes advice on exactly these parts, then on these among others in stages.
    """
    parts = frozenset(tunes)
    for one in diagnosis.advice:
        theirs = frozenset(one.tunes)
        if (one.against and theirs and theirs <= parts) or (one.kind == "leave" and parts <= theirs):
            return one
    tuning = [one for one in diagnosis.advice if one.kind == "tune" and parts <= frozenset(one.tunes)]
    return min(tuning, key=lambda one: (len(one.tunes), one.rank), default=None)


def _prediction(diagnosis: Diagnosis, outcome: Outcome, info: SystemInfo, row: Comparison) -> Prediction:
    advice = advice_on(diagnosis, info.tunes)
    worth = next((one for one in could_buy(diagnosis.oracle_gains, info.tunes) if one.measure == row.measure), None)
    estimate = next((one for one in diagnosis.estimates if one.candidate == info.name), None)
    standing = _standing(advice, worth, row)
    said = [_said(standing, row, _over_limit(diagnosis, info)), *_exceeded(worth, row, diagnosis.split, outcome.split)]
    return Prediction(
        system=info.name,
        seed=info.seed,
        measure=row.measure,
        rank=advice.rank if advice else None,
        against=advice is not None and _speaks_against(advice),
        could_buy=worth.difference if worth else None,
        bound=worth.bound if worth else True,
        bought=row.difference,
        low=row.low,
        high=row.high,
        verdict=row.verdict,
        estimated_seconds=estimate.seconds_in_full if estimate else None,
        paid_seconds=info.build_seconds,
        estimated_dollars=estimate.dollars if estimate else None,
        paid_dollars=info.build_dollars,
        conclusion="; ".join(said),
    )


def _speaks_against(advice: Advice) -> bool:
    return advice.against or advice.kind == "leave"


def _standing(advice: Advice | None, worth: Worth | None, row: Comparison) -> Standing:
    if advice is None:
        return "not spoken of"
    if worth is None:
        return "nothing predicted"
    if _speaks_against(advice):
        return "advised against" if advice.against else "left alone"
    return "advised" if worth.difference > row.margin else "promised little"


def _said(standing: Standing, row: Comparison, limit: str) -> str:
    improved = row.verdict == "improved"
    if standing in ("advised against", "left alone") and improved and limit:
        return f"the advice held: it gained, and is over {limit}"
    if standing == "left alone" and improved:
        return _left_alone(row)
    return SAID.get((standing, row.verdict)) or f"cannot be told: {_untold(row)}"


def _left_alone(row: Comparison) -> str:
    """What was left alone could gain no more than the margin: only a gain surely over it contradicts that."""
    if row.low is not None and row.low > row.margin:
        return f"the advice was wrong: it gained more than the margin ({row.margin:.3f})"
    if row.high is not None and row.high <= row.margin:
        return f"the advice held: it gained no more than the margin ({row.margin:.3f})"
    return f"cannot be told: it gained, and whether more than the margin ({row.margin:.3f}) does not show"


def _untold(row: Comparison) -> str:
    if row.verdict != "inconclusive" or row.low is None or row.high is None:
        return row.reason or row.verdict
    shown = f", and this set shows differences from {row.detectable:.3f}" if row.detectable is not None else ""
    return f"it gained between {row.low:+.3f} and {row.high:+.3f}{shown}"


def _over_limit(diagnosis: Diagnosis, info: SystemInfo) -> str:
    """The limit that a system was measured to be over; empty if it is over none."""
    usd, p95 = diagnosis.facts.get("limit.usd"), diagnosis.facts.get("limit.p95_ms")
    if usd is not None and info.build_dollars > usd:
        return "max_build_usd"
    total = info.serving.total if info.serving else None
    return "max_p95_ms" if p95 is not None and total is not None and total.p95_ms > p95 else ""


def _exceeded(worth: Worth | None, row: Comparison, predicted: str, bought: str) -> Iterator[str]:
    if worth is not None and row.low is not None and row.low > worth.difference + ROUNDING:
        why = f"{predicted} and {bought} differ" if predicted != bought else "the questions or the pipeline differ"
        yield f"more than the bound: {why}" if worth.bound else "more than was estimated"
