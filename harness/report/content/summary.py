"""The answer in words: the summary of a report, and a sentence for each candidate.

The sentences say no more than the verdicts do. They are built once; every rendering shows the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.content import effects, recipes, untrained
from harness.report.content.subjects import Subject, Tested, best_setting, numbers, paying, recommended, subjects
from harness.report.model import Headline, Tone
from harness.report.view import BASELINE, View, identical, row_label
from harness.statistics.alike import answers_only
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.effects import RecipeClaim
from harness.values.findings import Comparison, SystemInfo

MOST_NAMED = 3
MOST_SENTENCES = 8
FAILS_A_GATE = ("regressed", "failed", "missing")


# ---- the summary: what to change, how certain that is, at what cost


def summarise(view: View) -> Headline:
    """Sum up the verdicts on the candidates.

    A training is recommended only if it is shown to improve on the best system without training.
    """
    tested = subjects(view)
    if not tested:
        return Headline("", "Nothing was tested: no candidate has a verdict on a gated measure.", ())
    paid = paying(tested)
    settings = tuple(untrained.sentences(view, tested))
    tail = (*_mixed(tested), *_untuned_better(view, paid), _certainty(tested))
    if not paid:
        all_regressed = all(one.on("regressed") for one in tested)
        tone: Tone = "regressed" if all_regressed else "inconclusive"
        mixed = " without a loss on another measure" if any(one.on("improved") for one in tested) else ""
        first = f"No candidate is shown to improve on {BASELINE}{mixed}."
        return Headline(tone, first, (*_verdicts(view, tested), _spent(tested), *settings, *tail))
    worth = recommended(tested)
    if not worth:
        first = f"{_who(paid, tested)} improved on {BASELINE}, {_outdone(view, paid)}."
        return Headline("inconclusive", first, (_most(paid), *settings, *tail))
    best = worth[0]
    rest = (_cost(view, best), *settings, *_others(view, best, paid), *tail)
    return Headline("improved", _recommended(view, best, paid, tested), rest)


def _who(paid: Sequence[Subject], tested: Sequence[Subject]) -> str:
    return paid[0].label if len(paid) == 1 else f"{len(paid)} of {len(tested)} candidates"


def _outdone(view: View, paid: Sequence[Subject]) -> str:
    """Return that a setting may do as well as these trained candidates."""
    shown = "but is not shown" if len(paid) == 1 else "but none is shown"
    return f"{shown} to improve on {best_setting(view)}, which trains nothing"


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
    times = [info.serving.total.p95_ms for info in (base, subject.info) if info and info.serving and info.serving.total]
    nothing = "" if subject.info.tunes else "trains nothing and "
    built = f"It {nothing}took {subject.built} to build"
    if len(times) < 2:
        return f"{built}."
    before, now = (f"{fmt.milliseconds(value)} ms" for value in times)
    if now == before:
        return f"{built}; a query takes {now} (p95), as with {BASELINE}."
    return f"{built}; a query then takes {now} (p95), with {BASELINE} {before}."


def _spent(subjects: Sequence[Subject]) -> str:
    """Return what it took to build candidates of which none paid."""
    ends = (pick(subjects, key=lambda one: one.info.build_seconds) for pick in (min, max))
    return f"Each took {' to '.join(dict.fromkeys(one.built for one in ends))} to build."


def _verdicts(view: View, subjects: Sequence[Subject]) -> Iterable[str]:
    """Return how often each verdict was given, and the MDE of those that are inconclusive."""
    for measure in view.gated:
        rows = [row for one in subjects for row in one.rows if row.measure == measure]
        if rows:
            yield f"On {measure}, of {fmt.counted(len(rows), 'candidate')}: {_counts(rows)}{_detectable(rows)}."


def _counts(rows: Iterable[Tested]) -> str:
    return fmt.listed([f"{number} {word}" for word, number in Counter(str(row.verdict) for row in rows).items()])


def _detectable(rows: Iterable[Tested]) -> str:
    least = [known for row in rows if row.verdict == "inconclusive" and (known := finite(row.detectable)) is not None]
    return f" (minimum detectable effect {fmt.span(least, decimals.fixed)})" if least else ""


def _mixed(subjects: Sequence[Subject]) -> Iterable[str]:
    for one in subjects:
        if one.on("improved") and not one.paid:
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


def _certainty(tested: Sequence[Subject]) -> str:
    rows = [row for one in tested for row in one.rows]
    recipes = any(isinstance(row, RecipeClaim) for row in rows)
    trained = any(one.info.tunes for one in tested)
    about = "the recipes" if recipes else "these checkpoints, not about their recipes"
    counts = [fmt.over(*pair) for pair in dict.fromkeys((row.n_queries, row.n_groups) for row in rows if row.n_queries)]
    sizes = f" ({fmt.listed(counts)})" if counts else ""
    return (
        f"The intervals hold for all these comparisons together{sizes}"
        f"{f'; the verdicts are about {about}' if trained else ''}."
    )


# ---- each candidate in a sentence


def by_candidate(view: View) -> tuple[str, ...]:
    """Return what came of the candidates: a sentence for each, or counts where there are many."""
    if not view.candidates:
        return ("This outcome has no candidates, only baseline rows.", *_regressions(view))
    if not view.gains:
        return ("No gain was tested: the suite gates no measure that was run.", *_regressions(view))
    few = len(_unclaimed(view)) <= MOST_SENTENCES
    return (
        *recipes.sentences(view),
        *([_candidate(view, info) for info in recited(view)] if few else _by_measure(view)),
        *effects.sentences(view),
        *_stronger_baseline(view),
        *_regressions(view),
    )


def recited(view: View) -> list[SystemInfo]:
    """Return the candidates that have a sentence each: few, and without a verdict on their recipe."""
    apart = _unclaimed(view)
    return apart if view.gains and len(apart) <= MOST_SENTENCES else []


def _unclaimed(view: View) -> list[SystemInfo]:
    claimed = {claim.system for claim in view.outcome.recipe_claims if claim.verdict}
    return [info for info in view.candidates if info.name not in claimed]


def _by_measure(view: View) -> Iterable[str]:
    for measure in view.gated:
        rows = [row for info in view.candidates if (row := view.gain(info, measure))]
        if rows:
            yield f"{measure}: of {len(view.candidates)} candidates with their seeds, {_counts(rows)}."


def _candidate(view: View, info: SystemInfo) -> str:
    nothing = "" if info.tunes else "trains nothing and "
    built = f"It {nothing}took {fmt.build_cost(info.build_seconds, info.build_dollars)} to build."
    if info.failed:
        return f"{info.label} failed: {fmt.bare(info.failed)}."
    if info.stopped:
        return f"{info.label} was {info.stopped}. {built}"
    rows = [row for name in view.gated if (row := view.gain(info, name))]
    same = [_same(what, other) for what, other in identical(info)]
    alike = [what for what, other in identical(info) if other == BASELINE and what != "weights"]
    own = "answers" if answers_only(info) else "rankings"
    if own in alike and not any(row.difference for row in rows):
        because = [_same(what, other) for what, other in identical(info) if what == "weights"]
        no_op = f"{info.label} is a no-op: its {fmt.listed(alike)} are identical to those of {BASELINE}."
        return " ".join([no_op, *because, built])
    if not rows:
        return " ".join([f"{info.label} has no gain on a gated measure.", *same, built])
    return " ".join([f"{info.label}: {'; '.join(map(_gain, rows))}.", *same, built])


def _same(what: str, other: str) -> str:
    idle = ": training changed nothing" if what == "weights" and BASELINE in other else ""
    return f"Its {what} are identical to those of {other}{idle}."


def _gain(row: Comparison) -> str:
    """Return a verdict with its number."""
    over = fmt.over(row.n_queries, row.n_groups)
    if row.verdict in ("improved", "regressed"):
        return f"{row.measure} {row.verdict} by {numbers(row)} against {BASELINE} on {over}"
    if row.verdict == "equivalent":
        margin = f"within the margin of {decimals.fixed(row.margin)}"
        return f"{row.measure} is equivalent to {BASELINE}: {numbers(row)}, {margin}, on {over}"
    if row.verdict == "inconclusive":
        least = finite(row.detectable)
        detectable = f"; minimum detectable effect {decimals.fixed(least)}" if least is not None else ""
        return f"{row.measure} is inconclusive: {numbers(row)} on {over}{detectable}{_because(row)}"
    return f"{row.measure}: {row.verdict}{_because(row)}"


def _because(row: Comparison) -> str:
    return f" ({fmt.bare(row.reason)})" if row.reason else ""


def _stronger_baseline(view: View) -> Iterable[str]:
    """Return a sentence if a system that needs no tuning scores above every candidate."""
    measure = view.gated[0]
    means = [(mean, info) for info in view.deployable() if (mean := view.mean(info, measure)) is not None]
    ours = [mean for mean, info in means if info.role == "candidate"]
    others = [(mean, info.label) for mean, info in means if info.role == "baseline" and info.name != BASELINE]
    if ours and others and max(others)[0] > max(ours) and max(others)[1] != best_setting(view):
        mean, label = max(others)
        yield (
            f"{label}, a baseline row that needs no tuning, scores {decimals.fixed(mean)} on {measure}, above every "
            f"candidate (best: {decimals.fixed(max(ours))}); this difference was not tested (exploratory)."
        )


def _regressions(view: View) -> Iterable[str]:
    """Return what became of the accepted scores, if they were compared with."""
    rows = [row for row in view.outcome.comparisons if row.family == "regression"]
    if rows:
        yield f"Against the accepted scores, by system and gated measure: {_counts(rows)}."
    for row in rows:
        if row.verdict in FAILS_A_GATE:
            change = "" if finite(row.difference) is None else f" by {numbers(row)}"
            label = row_label(view.outcome, row.system, row.seed)
            yield f"{label}: {row.verdict} on {row.measure}{change}{_because(row)}."
