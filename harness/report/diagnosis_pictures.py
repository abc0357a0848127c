"""What the pictures of a diagnosis show, as plain values: funnels as steps, headroom as bars, curves as lines.

It computes no number: a step begins where the one before it ends. This module must not know how a bar is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import amounts, figures
from harness.report.loss import STEPS, deciding, is_good, name_of, place_said, told_curves
from harness.report.plots import Bar, Bars, Dot, Line, Plot
from harness.values.findings import Outcome
from harness.values.insights import Curve, Diagnosis, Funnel, OracleGain, Place, Population

TONES = {
    "not in the pool": "front", "not in the context": "front",
    "answered wrongly": "inconclusive", "abstained": "inconclusive", "wrong format": "inconclusive",
    "invented": "regressed", "failed": "muted",
}  # fmt: skip
TITLES = {"answers": "What became of each question", "retrieval": "Where the relevant documents are"}


def funnel_pictures(diagnosis: Diagnosis, section: str = "funnel") -> tuple[Bars, ...]:
    """The funnels as steps that together are all questions; answers before lists."""
    found = [one for kind in TITLES for one in diagnosis.funnels if one.kind == kind]
    return tuple(_funnel(one, section) for one in found if one.places and all(map(_known, one.places)))


def _known(place: Place) -> bool:
    return figures.finite(place.share) is not None


def _funnel(funnel: Funnel, section: str) -> Bars:
    groups = []
    for population in ("answerable", "unanswerable"):
        places = [place for place in funnel.places if place.population == population]
        if places:
            groups.append((_heading(funnel, population), tuple(_steps(places, funnel))))
    note = (
        "Each question is in one step. Blue: lost before the generator reads a passage; amber and red: lost by the "
        "generator; green: where a question should end."
    )
    return Bars(f"funnel-{funnel.kind}", section, TITLES[funnel.kind], tuple(groups), shares=True, note=note)


def _heading(funnel: Funnel, population: Population) -> str:
    kind = "judged" if funnel.kind == "retrieval" else population
    return figures.counted(funnel.total(population), f"{kind} question")


def _steps(places: Sequence[Place], funnel: Funnel) -> Iterable[Bar]:
    start = 0.0
    whole = figures.count(funnel.total(places[0].population))
    for place in places:
        end = start + place.share
        share = amounts.share(place.share, place.low, place.high)
        told = f"{figures.count(place.count)} of {whole} ({share}) {place_said(place, funnel)}"
        text = f"{figures.count(place.count)} ({amounts.percent(place.share)})"
        tone = "improved" if is_good(place) else TONES[place.name]
        yield Bar(name_of(place), start, end, tone, text, told)
        start = end


def headroom_pictures(diagnosis: Diagnosis, section: str = "oracle_gains") -> tuple[Bars, ...]:
    """What each ideal part could buy, a picture for each measure that decides."""
    known = [row for row in diagnosis.oracle_gains if figures.finite(row.difference) is not None]
    found = ((name, [row for row in known if row.measure == name]) for name in deciding(diagnosis))
    return tuple(_room(name, rows, section) for name, rows in found if rows)


def _room(measure: str, rows: Sequence[OracleGain], section: str) -> Bars:
    bounds, estimates = (tuple(_bar(row) for row in rows if row.bound is kind) for kind in (True, False))
    groups = (("bounds (no part can buy more)", bounds), ("estimates (a real part may buy more)", estimates))
    slug = "".join(sign if sign.isalnum() else "-" for sign in measure)
    return Bars(
        f"headroom-{slug}", section, f"Could buy in {measure}", tuple(group for group in groups if group[1]),
        note="Filled: a bound; hollow: an estimate. Brackets are simultaneous intervals.",
    )  # fmt: skip


def _bar(row: OracleGain) -> Bar:
    kind = "bound" if row.bound else "estimate"
    name = row.oracle.replace("-", " ")
    told = f"{name}: {row.measure} {amounts.gain(row.difference, row.low, row.high)} ({kind})"
    return Bar(
        name, 0.0, row.difference or 0.0, "front", figures.signed(row.difference), told, figures.finite(row.low),
        figures.finite(row.high), hollow=not row.bound,
    )  # fmt: skip


def curve_pictures(diagnosis: Diagnosis) -> tuple[Line, ...]:
    """Recall against depth, and answers against passages shown on the measures that decide, if they are known."""
    answers = {curve.measure for curve in diagnosis.curves if curve.kind == "context"}
    shown = answers.intersection(diagnosis.measures) or answers
    found = (_curve(one) for one in told_curves(diagnosis) if one.kind == "depth" or one.measure in shown)
    return tuple(line for line in found if len(line.dots) > 1)


def _curve(curve: Curve) -> Line:
    dots = [
        Dot(
            point.at, point.mean, figures.finite(point.low), figures.finite(point.high), figures.count(point.at),
            f"{STEPS[curve.kind]} {figures.count(point.at)}: {curve.measure} "
            f"{amounts.mean(point.mean, point.low, point.high)}",
            now=point.at == curve.chosen,
        )
        for point in sorted(curve.points, key=lambda point: point.at)
        if figures.finite(point.mean) is not None
    ]  # fmt: skip
    slug = "".join(sign if sign.isalnum() else "-" for sign in curve.measure)
    title = f"{curve.measure} of the pool" if curve.kind == "depth" else curve.measure
    return Line(
        f"curve-{curve.kind}-{slug}", "curves", title, STEPS[curve.kind], tuple(dots),
        note="Bars are 95 % intervals; the diamond is the pipeline as it stands.",
    )  # fmt: skip


def pictures(diagnosis: Diagnosis) -> tuple[Plot, ...]:
    """Every picture of a diagnosis, in the order of its sections."""
    return (*funnel_pictures(diagnosis), *headroom_pictures(diagnosis), *curve_pictures(diagnosis))


def before(outcome: Outcome) -> tuple[Bars, ...]:
    """What the report of an outcome shows of the diagnosis that was made before it, if there was one."""
    found = outcome.diagnosis
    return (*funnel_pictures(found, "loss"), *headroom_pictures(found, "loss")) if found else ()
