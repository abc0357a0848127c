"""Predictions beside outcomes: the possible gain that the diagnosis predicted, and the gain that was measured.

Usually the diagnosis is of dev and the outcome of test, so a bound of dev may be exceeded on test. This module must not
know plans, files or pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.diagnosis.worths import could_buy, measured_gain
from harness.text.decimals import fixed, signed
from harness.values.findings import Comparison, Outcome, SystemInfo
from harness.values.frozen import Verdict
from harness.values.insights import Advice, Diagnosis, Prediction, Worth

ROUNDING = 1e-9
Standing = Literal["advised", "promised little", "nothing predicted", "advised against", "left alone", "not spoken of"]
"""How the advice speaks of a candidate on a measure.

``promised little``: advised, but for another measure. ``nothing predicted``: there is advice, but no oracle gain on
this measure, because the parts cannot change it or the oracle failed.
"""
JUDGEMENTS: dict[tuple[Standing, Verdict], str] = {
    ("advised", "improved"): "the advice held",
    ("advised", "equivalent"): "the advice was wrong: no relevant gain",
    ("advised", "regressed"): "the advice was wrong: it regressed",
    ("promised little", "improved"): "the advice held, with a gain where little was promised",
    ("promised little", "equivalent"): "the advice held: little was promised here",
    ("promised little", "regressed"): "the advice was wrong: it regressed",
    ("advised against", "improved"): "the advice was wrong: it improved",
    ("advised against", "equivalent"): "the advice held: no relevant gain",
    ("advised against", "regressed"): "the advice held: it regressed",
    ("left alone", "equivalent"): "the advice held: no relevant gain",
    ("left alone", "regressed"): "the advice held: it regressed",
    ("nothing predicted", "improved"): "no prediction; it improved",
    ("nothing predicted", "equivalent"): "no prediction; no relevant gain",
    ("nothing predicted", "regressed"): "no prediction; it regressed",
    ("not spoken of", "improved"): "no advice on it; it improved",
    ("not spoken of", "equivalent"): "no advice on it; no relevant gain",
    ("not spoken of", "regressed"): "no advice on it; it regressed",
}


def predict_outcome(diagnosis: Diagnosis, outcome: Outcome) -> tuple[Prediction, ...]:
    """Return one prediction for each candidate, seed and gated measure, in the outcome's order of systems and measures.

    Estimates are those in full, because the ledger counts reused artifacts too.
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
    """Return the advice on tuning these parts together; None if there is none.

    Advice against any of the parts comes first, and advice to leave all of them alone. Then comes advice on exactly
    these parts, then on these among others in stages.
    """
    parts = frozenset(tunes)
    for advice in diagnosis.advice:
        advised_parts = frozenset(advice.tunes)
        against = advice.against and bool(advised_parts) and advised_parts <= parts
        if against or (advice.kind == "leave" and parts <= advised_parts):
            return advice
    tuning = [advice for advice in diagnosis.advice if advice.kind == "tune" and parts <= frozenset(advice.tunes)]
    return min(tuning, key=lambda advice: (len(advice.tunes), advice.rank), default=None)


def _advice_on_settings(diagnosis: Diagnosis, name: str) -> Advice | None:
    """Return the advice to use the settings of a candidate that trains nothing; None if there is none."""
    changes = (advice for advice in diagnosis.advice if advice.kind == "change" and advice.estimate is not None)
    return next((advice for advice in changes if advice.estimate and advice.estimate.candidate == name), None)


def _measured(diagnosis: Diagnosis, name: str) -> tuple[Worth, ...]:
    return next((measured_gain(one) for one in diagnosis.training_free if one.name == name), ())


def _prediction(diagnosis: Diagnosis, outcome: Outcome, info: SystemInfo, row: Comparison) -> Prediction:
    advice = advice_on(diagnosis, info.tunes) if info.tunes else _advice_on_settings(diagnosis, info.name)
    worths = could_buy(diagnosis.oracle_gains, info.tunes) if info.tunes else _measured(diagnosis, info.name)
    worth = next((worth for worth in worths if worth.measure == row.measure), None)
    estimate = next((cost for cost in diagnosis.estimates if cost.candidate == info.name), None)
    standing = _standing(advice, worth, row)
    judgement = _judgement(standing, row, _over_limit(diagnosis, info))
    exceeded = _exceeded(worth, row, diagnosis.split, outcome.split)
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
        conclusion="; ".join([judgement, *exceeded]),
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


def _judgement(standing: Standing, row: Comparison, limit: str) -> str:
    improved = row.verdict == "improved"
    if standing in ("advised against", "left alone") and improved and limit:
        return f"the advice held: it improved, but is over {limit}"
    if standing == "left alone" and improved:
        return _left_alone(row)
    return JUDGEMENTS.get((standing, row.verdict)) or _inconclusive(row)


def _left_alone(row: Comparison) -> str:
    """Judge advice to leave parts alone: only a gain significantly above the margin contradicts it."""
    if row.low is not None and row.low > row.margin:
        return f"the advice was wrong: it gained more than the margin ({fixed(row.margin)})"
    if row.high is not None and row.high <= row.margin:
        return f"the advice held: it gained no more than the margin ({fixed(row.margin)})"
    return f"inconclusive: it improved, perhaps by more than the margin ({fixed(row.margin)})"


def _inconclusive(row: Comparison) -> str:
    if row.verdict != "inconclusive" or row.low is None or row.high is None:
        return f"not judged: {row.reason or row.verdict}"
    mde = f", minimum detectable effect {fixed(row.detectable)}" if row.detectable is not None else ""
    return f"inconclusive: the gain is between {signed(row.low)} and {signed(row.high)}{mde}"


def _over_limit(diagnosis: Diagnosis, info: SystemInfo) -> str:
    """Return the limit that a system was measured to exceed; empty if there is none."""
    usd, p95 = diagnosis.facts.get("limit.usd"), diagnosis.facts.get("limit.p95_ms")
    if usd is not None and info.build_dollars > usd:
        return "max_build_usd"
    total = info.serving.total if info.serving else None
    return "max_p95_ms" if p95 is not None and total is not None and total.p95_ms > p95 else ""


def _exceeded(worth: Worth | None, row: Comparison, predicted: str, bought: str) -> Iterator[str]:
    if worth is not None and row.low is not None and row.low > worth.difference + ROUNDING:
        why = f"{predicted} and {bought} differ" if predicted != bought else "the queries or the pipeline differ"
        yield f"more than the bound: {why}" if worth.bound else "more than the estimate"
