"""The answer in words: the summary of a report, and a sentence for each candidate.

The sentences say no more than the verdicts do. They are built once; every rendering shows the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.report import format as fmt
from harness.report.content import effects
from harness.report.model import Headline, Tone, finite
from harness.report.view import BASELINE, View, identical, row_label
from harness.values.findings import Comparison, RecipeClaim, SystemInfo

MOST_NAMED = 3
MOST_SENTENCES = 8
FAILS_A_GATE = ("regressed", "failed", "missing")
Tested = Comparison | RecipeClaim


# ---- the summary: what to tune, how certain that is, at what cost


class _Subject(NamedTuple):
    """What a verdict is about: a checkpoint, or a recipe over its seeds."""

    label: str
    info: SystemInfo
    rows: tuple[Tested, ...]

    def on(self, verdict: str) -> list[Tested]:
        return [row for row in self.rows if row.verdict == verdict]

    @property
    def paid(self) -> bool:
        return bool(self.on("improved")) and not self.on("regressed") and not self.on("failed")

    @property
    def lead(self) -> Tested:
        """The first improved measure."""
        return self.on("improved")[0]

    @property
    def gains(self) -> str:
        return fmt.listed([f"{row.measure} by {_numbers(row)}" for row in self.on("improved")])

    @property
    def built(self) -> str:
        return fmt.build_cost(self.info.build_seconds, self.info.build_dollars)


def summarise(view: View) -> Headline:
    """Sum up the verdicts on the candidates."""
    subjects = _subjects(view)
    if not subjects:
        return Headline("", "Nothing was tested: no candidate has a verdict on a gated measure.", ())
    improved = [one for one in subjects if one.paid]
    paid = sorted(improved, key=lambda one: finite(one.lead.difference) or 0.0, reverse=True)
    tail = (*_mixed(subjects), *_untuned_better(view, paid), _certainty(subjects))
    if not paid:
        all_regressed = all(one.on("regressed") for one in subjects)
        tone: Tone = "regressed" if all_regressed else "inconclusive"
        mixed = " without a loss on another measure" if any(one.on("improved") for one in subjects) else ""
        first = f"No candidate is shown to improve on {BASELINE}{mixed}."
        return Headline(tone, first, (*_verdicts(view, subjects), _spent(subjects), *tail))
    best, but = paid[0], _but(view, paid[0].lead)
    if len(paid) == 1:
        parts = fmt.listed([f"the {part}" for part in best.info.tunes])
        what = f"Tuning {parts}" if parts else best.label
        first = f"{what} paid: {best.label} improved {best.gains}{but}."
        return Headline("improved", first, (_cost(view, best), *tail))
    first = f"{len(paid)} of {len(subjects)} candidates improved on {BASELINE}, {best.label} most: {best.gains}{but}."
    others = [f"{one.label} ({_numbers(one.lead)} on {one.lead.measure})" for one in paid[1:]]
    more = len(others) - (MOST_NAMED - 1)
    others = others[: MOST_NAMED - 1] + ([f"{more} more"] if more > 0 else [])
    also = f"Also improved: {fmt.listed(others)}; they were not tested against each other."
    return Headline("improved", first, (_cost(view, best), *_quickest(paid), also, *tail))


def _subjects(view: View) -> list[_Subject]:
    """Return recipes where seeds allow a claim, else checkpoints, each with its verdicts on gated measures."""
    claims: dict[str, list[RecipeClaim]] = {}
    for claim in view.outcome.recipe_claims:
        if claim.verdict:
            claims.setdefault(claim.system, []).append(claim)
    subjects: dict[str, _Subject] = {}
    for info in view.candidates:
        if info.name in claims:
            rows = claims[info.name]
            label = f"{info.name} (over {fmt.counted(len(rows[0].seeds), 'seed')})"
            subjects.setdefault(label, _Subject(label, info, tuple(rows)))
        elif gains := tuple(row for name in view.gated if (row := view.gain(info, name))):
            subjects[info.label] = _Subject(info.label, info, gains)
    return list(subjects.values())


def _numbers(row: Tested) -> str:
    return fmt.difference(row.difference, row.low, row.high)


def _cost(view: View, subject: _Subject) -> str:
    """Return what it takes to build, and how serving it differs from serving the baseline."""
    base = next((info for info in view.systems if info.name == BASELINE), None)
    times = [info.serving.total.p95_ms for info in (base, subject.info) if info and info.serving and info.serving.total]
    built = f"It took {subject.built} to build"
    if len(times) < 2:
        return f"{built}."
    before, now = (f"{fmt.milliseconds(value)} ms" for value in times)
    if now == before:
        return f"{built}; a query takes {now} (p95), as with {BASELINE}."
    return f"{built}; a query then takes {now} (p95), with {BASELINE} {before}."


def _quickest(paid: Sequence[_Subject]) -> Iterable[str]:
    least = min(paid, key=lambda one: one.info.build_seconds)
    if least is not paid[0]:
        took = fmt.duration(least.info.build_seconds)
        yield f"The quickest to build of those that improved is {least.label}: {took}."


def _spent(subjects: Sequence[_Subject]) -> str:
    """Return what it took to build candidates of which none paid."""
    ends = (pick(subjects, key=lambda one: one.info.build_seconds) for pick in (min, max))
    return f"Each took {' to '.join(dict.fromkeys(one.built for one in ends))} to build."


def _verdicts(view: View, subjects: Sequence[_Subject]) -> Iterable[str]:
    """Return how often each verdict was given, and the MDE of those that are inconclusive."""
    for measure in view.gated:
        rows = [row for one in subjects for row in one.rows if row.measure == measure]
        if rows:
            yield f"On {measure}, of {fmt.counted(len(rows), 'candidate')}: {_counts(rows)}{_detectable(rows)}."


def _counts(rows: Iterable[Tested]) -> str:
    return fmt.listed([f"{number} {word}" for word, number in Counter(str(row.verdict) for row in rows).items()])


def _detectable(rows: Iterable[Tested]) -> str:
    least = [known for row in rows if row.verdict == "inconclusive" and (known := finite(row.detectable)) is not None]
    return f" (minimum detectable effect {fmt.span(least, fmt.fixed)})" if least else ""


def _mixed(subjects: Sequence[_Subject]) -> Iterable[str]:
    for one in subjects:
        if one.on("improved") and not one.paid:
            lost = fmt.listed([f"{row.measure} by {_numbers(row)}" for row in one.on("regressed")])
            yield f"{one.label} improved {one.gains}, but {f'lost {lost}' if lost else 'failed on another measure'}."


def _but(view: View, lead: Tested) -> str:
    """Return a baseline row that needs no tuning and gained more than the best candidate."""
    better = _rows_above(view, lead.measure, lead.difference or 0.0)
    if not better:
        return ""
    info, row = max(better, key=lambda pair: pair[1].difference or 0.0)
    return f"; without tuning, {info.label} improved {row.measure} by {_numbers(row)}"


def _untuned_better(view: View, paid: Sequence[_Subject]) -> Iterable[str]:
    """Return baseline rows that improved on the baseline by more than any candidate did."""
    for measure in view.gated:
        ours = [row.difference or 0.0 for one in paid for row in one.on("improved") if row.measure == measure]
        rows = _rows_above(view, measure, max(ours, default=0.0))
        if rows:
            better = fmt.listed([f"{info.label} by {_numbers(row)}" for info, row in rows])
            yield f"Without tuning, {measure} improved{' more' if ours else ''}: {better}."


def _rows_above(view: View, measure: str, gain: float) -> list[tuple[SystemInfo, Comparison]]:
    rows = [(info, row) for info in view.deployable() if (row := view.gain(info, measure))]
    return [
        (info, row)
        for info, row in rows
        if info.role == "baseline" and row.verdict == "improved" and (row.difference or 0.0) > gain
    ]


def _certainty(subjects: Sequence[_Subject]) -> str:
    rows = [row for one in subjects for row in one.rows]
    recipes = any(isinstance(row, RecipeClaim) for row in rows)
    about = "the recipes" if recipes else "these checkpoints, not about their recipes"
    sizes = [fmt.over(*pair) for pair in dict.fromkeys((row.n_queries, row.n_groups) for row in rows if row.n_queries)]
    tested = f" ({fmt.listed(sizes)})" if sizes else ""
    return f"The intervals hold for all these comparisons together{tested}; the verdicts are about {about}."


# ---- each candidate in a sentence


def by_candidate(view: View) -> tuple[str, ...]:
    """Return what came of the candidates: a sentence for each, or counts where there are many."""
    if not view.candidates:
        return ("This outcome has no candidates, only baseline rows.", *_regressions(view))
    if not view.gains:
        return ("No gain was tested: the suite gates no measure that was run.", *_regressions(view))
    few = len(_unclaimed(view)) <= MOST_SENTENCES
    return (
        *effects.recipe_sentences(view),
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
    built = f"It took {fmt.build_cost(info.build_seconds, info.build_dollars)} to build."
    if info.failed:
        return f"{info.label} failed: {fmt.bare(info.failed)}."
    rows = [row for name in view.gated if (row := view.gain(info, name))]
    same = [_same(what, other) for what, other in identical(info)]
    alike = [what for what, other in identical(info) if other == BASELINE and what != "weights"]
    own = "rankings" if "retriever" in info.tunes or "reranker" in info.tunes else "answers"
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
        return f"{row.measure} {row.verdict} by {_numbers(row)} against {BASELINE} on {over}"
    if row.verdict == "equivalent":
        margin = f"within the margin of {fmt.fixed(row.margin)}"
        return f"{row.measure} is equivalent to {BASELINE}: {_numbers(row)}, {margin}, on {over}"
    if row.verdict == "inconclusive":
        least = finite(row.detectable)
        detectable = f"; minimum detectable effect {fmt.fixed(least)}" if least is not None else ""
        return f"{row.measure} is inconclusive: {_numbers(row)} on {over}{detectable}{_because(row)}"
    return f"{row.measure}: {row.verdict}{_because(row)}"


def _because(row: Comparison) -> str:
    return f" ({fmt.bare(row.reason)})" if row.reason else ""


def _stronger_baseline(view: View) -> Iterable[str]:
    """Return a sentence if a system that needs no tuning scores above every candidate."""
    measure = view.gated[0]
    means = [(mean, info) for info in view.deployable() if (mean := view.mean(info, measure)) is not None]
    ours = [mean for mean, info in means if info.role == "candidate"]
    others = [(mean, info.label) for mean, info in means if info.role == "baseline" and info.name != BASELINE]
    if ours and others and max(others)[0] > max(ours):
        mean, label = max(others)
        yield (
            f"{label}, a baseline row that needs no tuning, scores {fmt.fixed(mean)} on {measure}, above every "
            f"candidate (best: {fmt.fixed(max(ours))}); this difference was not tested (exploratory)."
        )


def _regressions(view: View) -> Iterable[str]:
    """Return what became of the accepted scores, if they were compared with."""
    rows = [row for row in view.outcome.comparisons if row.family == "regression"]
    if rows:
        yield f"Against the accepted scores, by system and gated measure: {_counts(rows)}."
    for row in rows:
        if row.verdict in FAILS_A_GATE:
            numbers = "" if finite(row.difference) is None else f" by {_numbers(row)}"
            label = row_label(view.outcome, row.system, row.seed)
            yield f"{label}: {row.verdict} on {row.measure}{numbers}{_because(row)}."
