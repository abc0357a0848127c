"""The answer in words: what to change, how certain that is, and at what cost.

The sentences say what the verdicts do, and no more. They are built once; every rendering shows the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.content import untrained
from harness.report.content.subjects import (
    MANY,
    Subject,
    Tested,
    best_setting,
    counts,
    losses,
    numbers,
    paying,
    recommended,
    subjects,
    unimproved,
    verb,
)
from harness.report.model import Headline, Tone
from harness.report.view import BASELINE, View
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.effects import RecipeClaim
from harness.values.findings import Comparison, SystemInfo

MOST_NAMED = 3


def summarise(view: View) -> Headline:
    """Sum up the verdicts on the candidates; many are counted, and `candidates` names them by verdict.

    A training is recommended only if it is shown to improve on the best system without training.
    """
    tested = subjects(view)
    if not tested:
        return Headline("", "Nothing was tested: no candidate has a verdict on a gated measure.", ())
    paid = paying(tested)
    settings = tuple((untrained.counted if len(tested) > MANY else untrained.sentences)(view, tested))
    tail = (*_mixed(tested), *_untuned_better(view, paid), *_certainty(tested))
    if not paid:
        all_regressed = all(one.on("regressed") for one in tested)
        tone: Tone = "regressed" if all_regressed else "inconclusive"
        return Headline(tone, _none_paid(tested), (*_verdicts(view, tested), _spent(tested), *settings, *tail))
    worth = recommended(tested)
    if not worth:
        first = f"{_who(paid, tested)} improved on {BASELINE}, {_outdone(view, paid)}."
        return Headline("inconclusive", first, (_most(paid), *settings, *tail))
    best = worth[0]
    others = () if len(tested) > MANY else _others(view, best, paid)
    rest = (_cost(view, best), *settings, *others, *tail)
    return Headline("improved", _recommended(view, best, paid, tested), rest)


def _none_paid(tested: Sequence[Subject]) -> str:
    """Return what the verdicts say of all candidates; where they differ or are open, that none improved."""
    if any(one.on("improved") for one in tested):
        return f"No candidate is shown to improve on {BASELINE} without a loss on another measure."
    common = verb([one.rows for one in tested])
    if not common:
        return f"No candidate is shown to improve on {BASELINE}."
    if len(tested) == 1:
        return f"{tested[0].label} {common} {BASELINE}{losses(tested[0].rows)}."
    return f"Each of {len(tested)} candidates {common} {BASELINE}."


def _who(paid: Sequence[Subject], tested: Sequence[Subject]) -> str:
    return paid[0].label if len(paid) == 1 else f"{len(paid)} of {len(tested)} candidates"


def _outdone(view: View, paid: Sequence[Subject]) -> str:
    """Return how these trained candidates compare with the best setting, on which none of them improves."""
    return f"but {unimproved([one.beyond for one in paid], f'{best_setting(view)}, which trains nothing')}"


def _most(paid: Sequence[Subject]) -> str:
    return f"{paid[0].label} improved {'' if len(paid) == 1 else 'most: '}{paid[0].gains}."


def _recommended(view: View, best: Subject, paid: Sequence[Subject], tested: Sequence[Subject]) -> str:
    """Return the sentence on the candidate that gained most, of those whose training no setting makes up for."""
    without = "" if best.info.tunes else ", without training"
    but = _but(view, best.lead)
    if len(paid) == 1:
        parts = fmt.listed([f"the {part}" for part in best.info.tunes])
        what = f"Tuning {parts} paid: {best.label}" if parts else best.label
        return f"{what} improved {best.gains}{without}{but}."
    if best is paid[0]:
        return f"{_who(paid, tested)} improved on {BASELINE}, {best.label} most: {best.gains}{without}{but}."
    outdone = paid[: paid.index(best)]
    if len(tested) > MANY:
        which = "it is not" if len(outdone) == 1 else "none of these is"
        more = f"{len(outdone)} improved more, but {which} shown to improve on {best_setting(view)}"
    else:
        more = f"{fmt.listed(fmt.first([one.label for one in outdone]))} improved more, {_outdone(view, outdone)}"
    return f"{_who(paid, tested)} improved on {BASELINE}. {best.label} improved {best.gains}{without}; {more}{but}."


def _others(view: View, best: Subject, paid: Sequence[Subject]) -> Iterable[str]:
    """Return the quickest of those that improved, and who else did."""
    least = min(paid, key=lambda one: one.info.build_seconds)
    if least is not best:
        took = fmt.duration(least.info.build_seconds)
        yield f"The quickest to build of those that improved is {least.label}: {took}."
    others = [f"{one.label} ({numbers(one.lead)} on {one.lead.measure})" for one in paid if one is not best]
    if others:
        more = len(others) - (MOST_NAMED - 1)
        others = others[: MOST_NAMED - 1] + ([f"{more} more"] if more > 0 else [])
        tested = f", except trained ones with {best_setting(view)}" if best_setting(view) else ""
        yield f"Also improved: {fmt.listed(others)}; they were not tested against each other{tested}."


def _cost(view: View, subject: Subject) -> str:
    """Return what it takes to build, and how serving it differs from serving the baseline."""
    base = next((info for info in view.systems if info.name == BASELINE), None)
    totals = [info.serving.total for info in (base, subject.info) if info and info.serving and info.serving.total]
    nothing = "" if subject.info.tunes else "trains nothing and "
    built = f"It {nothing}took {subject.built} to build"
    if len(totals) < 2:
        return f"{built}."
    before, now = (f"{fmt.milliseconds(total.p95_ms)} ms" for total in totals)
    what = "p95, noisy" if any(total.noisy for total in totals) else "p95"
    if now == before:
        return f"{built}; a query takes {now} ({what}), as with {BASELINE}."
    return f"{built}; a query then takes {now} ({what}), with {BASELINE} {before}."


def _spent(subjects: Sequence[Subject]) -> str:
    """Return what it took to build candidates of which none paid."""
    ends = (pick(subjects, key=lambda one: one.info.build_seconds) for pick in (min, max))
    return f"Each took {' to '.join(dict.fromkeys(one.built for one in ends))} to build."


def _verdicts(view: View, subjects: Sequence[Subject]) -> Iterable[str]:
    """Return how often each verdict was given, and the MDE of those that are inconclusive."""
    for measure in view.gated:
        rows = [row for one in subjects for row in one.rows if row.measure == measure]
        if rows:
            yield f"On {measure}, of {fmt.counted(len(rows), 'candidate')}: {counts(rows)}{_detectable(rows)}."


def _detectable(rows: Iterable[Tested]) -> str:
    least = [known for row in rows if row.verdict == "inconclusive" and (known := finite(row.detectable)) is not None]
    return f" (minimum detectable effect {fmt.span(least, decimals.fixed)})" if least else ""


def _mixed(subjects: Sequence[Subject]) -> Iterable[str]:
    """Return who improved on a measure and lost on another; how many, if there are many candidates."""
    mixed = [one for one in subjects if one.on("improved") and not one.paid]
    if len(mixed) > 1 and len(subjects) > MANY:
        yield f"{len(mixed)} improved on one measure, but lost or failed on another."
    else:
        for one in mixed:
            lost = fmt.listed([f"{row.measure} by {numbers(row)}" for row in one.on("regressed")])
            yield f"{one.label} improved {one.gains}, but {f'lost {lost}' if lost else 'failed on another measure'}."


def _but(view: View, lead: Tested) -> str:
    """Return a baseline row that needs no tuning and gained more than a candidate."""
    better = _rows_above(view, lead.measure, lead.difference or 0.0)
    if not better:
        return ""
    info, row = max(better, key=lambda pair: pair[1].difference or 0.0)
    return f"; without tuning, {info.label} improved {row.measure} by {numbers(row)}"


def _untuned_better(view: View, paid: Sequence[Subject]) -> Iterable[str]:
    """Return baseline rows that improved on the baseline by more than any candidate did."""
    for measure in view.gated:
        ours = [row.difference or 0.0 for one in paid for row in one.on("improved") if row.measure == measure]
        rows = _rows_above(view, measure, max(ours, default=0.0))
        if rows:
            better = fmt.listed([f"{info.label} by {numbers(row)}" for info, row in rows])
            yield f"Without tuning, {measure} improved{' more' if ours else ''}: {better}."


def _rows_above(view: View, measure: str, gain: float) -> list[tuple[SystemInfo, Comparison]]:
    """Return the baseline rows that improved by more, but for the best without training: others name that."""
    rows = [(info, row) for info in view.deployable() if (row := view.gain(info, measure))]
    return [
        (info, row)
        for info, row in rows
        if info.role == "baseline" and row.verdict == "improved" and (row.difference or 0.0) > gain
        if info.name != best_setting(view)
    ]


def _certainty(tested: Sequence[Subject]) -> Iterable[str]:
    """Return what the intervals hold for, and the verdicts; of many candidates, the lines and tables below say it."""
    if len(tested) > MANY:
        return
    rows = [row for one in tested for row in one.rows]
    recipes = any(isinstance(row, RecipeClaim) for row in rows)
    trained = any(one.info.tunes for one in tested)
    about = "the recipes" if recipes else "these checkpoints, not about their recipes"
    over = [fmt.over(*pair) for pair in dict.fromkeys((row.n_queries, row.n_groups) for row in rows if row.n_queries)]
    sizes = f" ({fmt.listed(over)})" if over else ""
    yield (
        f"The intervals hold for all these comparisons together{sizes}"
        f"{f'; the verdicts are about {about}' if trained else ''}."
    )
