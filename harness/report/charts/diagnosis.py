"""What the pictures of a diagnosis and of a learning curve show: funnels, oracle gains, curves.

It computes no number: a step begins where the one before it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.charts.values import Bar, Bars, Chart, Dot, LineChart
from harness.report.content.curve import ordered
from harness.report.content.loss import STEPS, deciding, distinct_curves, is_good, name_of, place_said
from harness.report.view import BASELINE
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.findings import Outcome
from harness.values.insights import (
    Curve,
    CurvePoint,
    Diagnosis,
    Funnel,
    FunnelPlace,
    LearningCurve,
    OracleGain,
    Population,
)
from harness.values.insights import LossPoint as CurvePlace

TONES = {
    "not in the pool": "front", "not in the context": "front",
    "answered wrongly": "inconclusive", "abstained": "inconclusive", "wrong format": "inconclusive",
    "invented": "regressed", "failed": "muted",
}  # fmt: skip
TITLES = {"answers": "Result of each query", "retrieval": "Where the relevant documents are"}


def funnel_pictures(diagnosis: Diagnosis, section: str = "funnel") -> tuple[Bars, ...]:
    """Return the funnels as steps that together are all queries; answers first."""
    funnels = [one for kind in TITLES for one in diagnosis.funnels if one.kind == kind]
    return tuple(_funnel(one, section) for one in funnels if one.places and all(map(_known, one.places)))


def _known(place: FunnelPlace) -> bool:
    return finite(place.share) is not None


def _funnel(funnel: Funnel, section: str) -> Bars:
    groups = []
    for population in ("answerable", "unanswerable"):
        places = [place for place in funnel.places if place.population == population]
        if places:
            groups.append((_heading(funnel, population), tuple(_steps(places, funnel))))
    note = (
        "Each query is in one step. Blue: lost before the generator reads a passage; amber and red: lost by the "
        "generator; green: the right result."
    )
    return Bars(f"funnel-{funnel.kind}", section, TITLES[funnel.kind], tuple(groups), shares=True, note=note)


def _heading(funnel: Funnel, population: Population) -> str:
    kind = "judged" if funnel.kind == "retrieval" else population
    return fmt.counted(funnel.total(population), f"{kind} query", f"{kind} queries")


def _steps(places: Sequence[FunnelPlace], funnel: Funnel) -> Iterable[Bar]:
    start = 0.0
    whole = fmt.count(funnel.total(places[0].population))
    for place in places:
        end = start + place.share
        share = fmt.share(place.share, place.low, place.high)
        label = f"{fmt.count(place.count)} of {whole} ({share}) {place_said(place, funnel)}"
        text = f"{fmt.count(place.count)} ({decimals.percent(place.share)})"
        tone = "improved" if is_good(place) else TONES[place.name]
        yield Bar(name_of(place), start, end, tone, text, label)
        start = end


def oracle_pictures(diagnosis: Diagnosis, section: str = "oracle_gains") -> tuple[Bars, ...]:
    """Return the oracle gains, a picture for each gated measure."""
    known = [row for row in diagnosis.oracle_gains if finite(row.difference) is not None]
    by_measure = ((name, [row for row in known if row.measure == name]) for name in deciding(diagnosis))
    return tuple(_gains(name, rows, section) for name, rows in by_measure if rows)


def _gains(measure: str, rows: Sequence[OracleGain], section: str) -> Bars:
    bounds, estimates = (tuple(_bar(row) for row in rows if row.bound is kind) for kind in (True, False))
    groups = (("bounds (cannot be exceeded)", bounds), ("estimates (may be exceeded)", estimates))
    note = "Filled: a bound; hollow: an estimate. Brackets are simultaneous intervals."
    shown = tuple(group for group in groups if group[1])
    return Bars(f"oracle-gains-{fmt.slug(measure)}", section, f"Oracle gain in {measure}", shown, note=note)


def _bar(row: OracleGain) -> Bar:
    kind = "bound" if row.bound else "estimate"
    name = row.oracle.replace("-", " ")
    label = f"{name}: {row.measure} {decimals.difference(row.difference, row.low, row.high)} ({kind})"
    bounds = finite(row.low), finite(row.high)
    text = decimals.signed(row.difference)
    return Bar(name, 0.0, row.difference or 0.0, "front", text, label, *bounds, hollow=not row.bound)


def curve_pictures(diagnosis: Diagnosis) -> tuple[LineChart, ...]:
    """Return recall by depth, and answer quality by passages shown, on the gated measures if they are known."""
    answers = {curve.measure for curve in diagnosis.curves if curve.kind == "context"}
    shown = answers.intersection(diagnosis.measures) or answers
    lines = (_curve(one) for one in distinct_curves(diagnosis) if one.kind == "depth" or one.measure in shown)
    return tuple(line for line in lines if len(line.dots) > 1)


def _curve(curve: Curve) -> LineChart:
    dots = [_dot(curve, point) for point in sorted(curve.points, key=lambda point: point.at)]
    return LineChart(
        f"curve-{curve.kind}-{fmt.slug(curve.measure)}",
        "curves",
        f"{curve.measure} of the pool" if curve.kind == "depth" else curve.measure,
        STEPS[curve.kind],
        tuple(dot for dot in dots if finite(dot.value) is not None),
        note="Bars are 95 % intervals; the diamond is the present setting.",
    )


def _dot(curve: Curve, point: CurvePlace) -> Dot:
    mean = decimals.mean(point.mean, point.low, point.high)
    label = f"{STEPS[curve.kind]} {fmt.count(point.at)}: {curve.measure} {mean}"
    bounds = finite(point.low), finite(point.high)
    return Dot(point.at, point.mean, *bounds, fmt.count(point.at), label, now=point.at == curve.chosen)


def diagnosis_charts(diagnosis: Diagnosis) -> tuple[Chart, ...]:
    """Return every picture of a diagnosis, in the order of its sections."""
    return (*funnel_pictures(diagnosis), *oracle_pictures(diagnosis), *curve_pictures(diagnosis))


def before(outcome: Outcome) -> tuple[Bars, ...]:
    """Return what the report of an outcome shows of the diagnosis before it, if there was one."""
    earlier = outcome.diagnosis
    return (*funnel_pictures(earlier, "loss"), *oracle_pictures(earlier, "loss")) if earlier else ()


# ---- learning curves


def learning_charts(curve: LearningCurve) -> tuple[LineChart, ...]:
    """Return a picture for each measure that has two shares with a gain, in the order of the table."""
    rows = ordered(curve)
    names = dict.fromkeys(row.measure for row in rows)
    lines = (_learning([row for row in rows if row.measure == name]) for name in names)
    return tuple(line for line in lines if len(line.dots) > 1)


def _learning(rows: Sequence[CurvePoint]) -> LineChart:
    """Return the gain with its interval at each share: the mean, less the mean of the untuned pipeline."""
    measure = rows[0].measure
    dots = [
        Dot(row.share, gain, finite(row.gain_low), finite(row.gain_high), decimals.percent(row.share), _share_said(row))
        for row in rows
        if (gain := finite(row.gain)) is not None
    ]
    title, axis = f"gain in {measure} over {BASELINE}", "share of the training data"
    return LineChart(f"learning-curve-{fmt.slug(measure)}", "learning-curve", title, axis, tuple(dots), signed=True)


def _share_said(row: CurvePoint) -> str:
    gain = decimals.difference(row.gain, row.gain_low, row.gain_high)
    examples = fmt.counted(row.examples, "example")
    share, mean = decimals.percent(row.share), decimals.fixed(row.mean)
    return f"{share} of the data ({examples}): {row.measure} {mean}, gain {gain}"
