"""The answer in one paragraph: what to tune, how sure that is, at what cost.

It says no more than the verdicts do. This module must not know where the paragraph is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.report import figures
from harness.report.values import Tone
from harness.report.view import BASELINE, View
from harness.values.findings import Comparison, RecipeClaim, SystemInfo

MOST_NAMED = 3
Tested = Comparison | RecipeClaim


class Lede(NamedTuple):
    """The first sentence, what supports it, and the tone of the whole."""

    tone: Tone
    first: str
    rest: tuple[str, ...]


class _Subject(NamedTuple):
    """What a verdict is about: a checkpoint, or a recipe over its seeds."""

    label: str
    info: SystemInfo
    found: tuple[Tested, ...]

    def on(self, verdict: str) -> list[Tested]:
        return [row for row in self.found if row.verdict == verdict]

    @property
    def paid(self) -> bool:
        return bool(self.on("improved")) and not self.on("regressed") and not self.on("failed")


def lede(view: View) -> Lede:
    """Sum up the verdicts on the candidates."""
    subjects = _subjects(view)
    if not subjects:
        return Lede("", "Nothing was tested here: there is no candidate with a verdict on a gated measure.", ())
    paid = sorted((one for one in subjects if one.paid), key=_best, reverse=True)
    tail = (*_mixed(subjects), *_untuned_better(view, paid), _sureness(view, subjects))
    if not paid:
        regressed = [one for one in subjects if one.on("regressed")]
        tone: Tone = "regressed" if len(regressed) == len(subjects) else "inconclusive"
        elsewhere = " without a loss elsewhere" if any(one.on("improved") for one in subjects) else ""
        first = f"No candidate is shown to improve on {BASELINE}{elsewhere}."
        return Lede(tone, first, (*_counts(view, subjects), *_spent(subjects), *tail))
    but = _but(view, _lead(paid[0]))
    if len(paid) == 1:
        return Lede("improved", f"{_what(paid[0])} paid: {_told(paid[0])}{but}.", (_cost(view, paid[0]), *tail))
    best = f"{paid[0].label} the most: {_gains(paid[0])}"
    first = f"{len(paid)} of {len(subjects)} candidates improved on {BASELINE}, {best}{but}."
    others = [f"{one.label} ({_numbers(_lead(one))} on {_lead(one).measure})" for one in paid[1:MOST_NAMED]]
    more = len(paid) - 1 - len(others)
    others += [f"{more} more"] if more else []
    also = f"Also improved: {figures.listed(others)}; they were not tested against each other."
    return Lede("improved", first, (_cost(view, paid[0]), *_cheapest(paid), also, *tail))


def _subjects(view: View) -> list[_Subject]:
    """Recipes where seeds allow a claim, else checkpoints, each with its verdicts on gated measures."""
    claims: dict[str, list[RecipeClaim]] = {}
    for claim in view.outcome.recipe_claims:
        if claim.verdict:
            claims.setdefault(claim.system, []).append(claim)
    found: dict[str, _Subject] = {}
    for info in view.candidates:
        if info.name in claims:
            rows = claims[info.name]
            over = f"{info.name} (over {figures.counted(len(rows[0].seeds), 'seed')})"
            found.setdefault(over, _Subject(over, info, tuple(rows)))
        elif gains := tuple(row for name in view.gated if (row := view.gain(info, name))):
            found[info.label] = _Subject(info.label, info, gains)
    return list(found.values())


def _lead(subject: _Subject) -> Tested:
    """The verdict that speaks for it: the first improved measure."""
    return subject.on("improved")[0]


def _best(subject: _Subject) -> float:
    return figures.finite(_lead(subject).difference) or 0.0


def _what(subject: _Subject) -> str:
    parts = figures.listed([f"the {part}" for part in subject.info.tunes])
    return f"Tuning {parts}" if parts else subject.label


def _numbers(row: Tested) -> str:
    return f"{figures.signed(row.difference)} {figures.interval(row.low, row.high)}"


def _told(subject: _Subject) -> str:
    return f"{subject.label} improved {_gains(subject)}"


def _gains(subject: _Subject) -> str:
    return figures.listed([f"{row.measure} by {_numbers(row)}" for row in subject.on("improved")])


def _cost(view: View, subject: _Subject) -> str:
    """What it takes to make, and how serving it differs from serving the baseline."""
    info = subject.info
    made = f"It took {figures.duration(info.build_seconds)} ({figures.dollars(info.build_dollars)}) to make"
    base = next((one for one in view.systems if one.name == BASELINE), None)
    ours, theirs = (one.serving if one else None for one in (info, base))
    if not (ours and theirs and ours.total and theirs.total):
        return f"{made}."
    then, now = (f"{figures.milliseconds(one.total.p95_ms)} ms" for one in (theirs, ours) if one.total)
    if now == then:
        return f"{made}; a query takes as long as with {BASELINE}, {now} (p95)."
    return f"{made}; a query then takes {now} (p95) where {BASELINE} takes {then}."


def _cheapest(paid: Sequence[_Subject]) -> Iterable[str]:
    least = min(paid, key=lambda one: one.info.build_seconds)
    if least is not paid[0]:
        took = figures.duration(least.info.build_seconds)
        yield f"The quickest to make of those that improved is {least.label}: {took}."


def _spent(subjects: Sequence[_Subject]) -> Iterable[str]:
    """What it took to make candidates of which none paid."""
    least, most = (pick(subjects, key=lambda one: one.info.build_seconds).info for pick in (min, max))
    bounds = dict.fromkeys(
        f"{figures.duration(info.build_seconds)} ({figures.dollars(info.build_dollars)})" for info in (least, most)
    )
    yield f"Each took {' to '.join(bounds)} to make."


def _counts(view: View, subjects: Sequence[_Subject]) -> Iterable[str]:
    """How often each verdict was given, and how blunt the test set was where it could not tell."""
    for measure in view.gated:
        rows = [row for one in subjects for row in one.found if row.measure == measure]
        told = figures.listed([f"{number} {word}" for word, number in Counter(row.verdict for row in rows).items()])
        unclear = [row.detectable for row in rows if row.verdict == "inconclusive"]
        blunt = [number for one in unclear if (number := figures.finite(one)) is not None]
        if rows:
            yield f"On {measure}, of {figures.counted(len(rows), 'candidate')}: {told}{_blunt(blunt)}."


def _blunt(least: Sequence[float]) -> str:
    if not least:
        return ""
    bounds = dict.fromkeys(figures.fixed(value) for value in (min(least), max(least)))
    return f"; where it could not tell, a difference under {' to '.join(bounds)} would not have shown"


def _mixed(subjects: Sequence[_Subject]) -> Iterable[str]:
    for one in subjects:
        if one.on("improved") and not one.paid:
            lost = figures.listed([f"{row.measure} by {_numbers(row)}" for row in one.on("regressed")])
            yield f"{_told(one)}, but lost {lost}." if lost else f"{_told(one)}, but failed elsewhere."


def _but(view: View, lead: Tested) -> str:
    """What nobody has to tune and gained more than the best candidate: the first sentence must not hide it."""
    better = _rows_above(view, lead.measure, lead.difference or 0.0)
    if not better:
        return ""
    info, row = max(better, key=lambda one: one[1].difference or 0.0)
    return f"; without any tuning {info.label} improved {row.measure} by {_numbers(row)}"


def _untuned_better(view: View, paid: Sequence[_Subject]) -> Iterable[str]:
    """Reference rows that improved on the baseline, by more than any candidate did on that measure."""
    for measure in view.gated:
        ours = [row.difference or 0.0 for one in paid for row in one.on("improved") if row.measure == measure]
        found = _rows_above(view, measure, max(ours, default=0.0))
        better = [f"{info.label} by {_numbers(row)}" for info, row in found]
        if better:
            yield f"Without any tuning, {measure} was improved{' more' if ours else ''}: {figures.listed(better)}."


def _rows_above(view: View, measure: str, gain: float) -> list[tuple[SystemInfo, Comparison]]:
    """Reference rows that improved on the baseline by more than this."""
    rows = [(info, row) for info in view.deployable() if (row := view.gain(info, measure))]
    return [
        (info, row)
        for info, row in rows
        if info.role == "baseline" and row.verdict == "improved" and (row.difference or 0.0) > gain
    ]


def _sureness(view: View, subjects: Sequence[_Subject]) -> str:
    over = any(isinstance(row, RecipeClaim) for one in subjects for row in one.found)
    about = "the recipes" if over else "these checkpoints, not about their recipes"
    sizes = dict.fromkeys((row.n_queries, row.n_groups) for one in subjects for row in one.found if row.n_queries)
    told = [
        f"{figures.counted(queries, 'query', 'queries')} in {figures.counted(groups, 'group')}"
        for queries, groups in sizes
    ]
    tested = f" ({figures.listed(told)})" if told else ""
    return f"The verdicts hold for all these comparisons together{tested}; they are about {about}."
