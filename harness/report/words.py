"""The sentences of a report: what came out, what to keep in mind, how to read a verdict.

They say no more than the verdicts do. This module must not know where the sentences are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.report import across, figures, together
from harness.report.view import BASELINE, View, identical, is_rank, row_label
from harness.values.findings import Comparison, SystemInfo

FEW_GROUPS = 20
RECIPE_SEEDS = 3
MOST_SENTENCES = 8
FAILS_A_GATE = ("regressed", "failed", "missing")

HOW_TO_READ = (
    f"**Gain** is the difference to `{BASELINE}` on the same queries in this outcome; **regression** is the difference "
    "to the accepted scores of the same system.",
    "**The interval** says which true differences would agree with what was seen. It is simultaneous: wide enough to "
    "hold for all comparisons of its table together. Groups of queries (one article, one conversation) are kept "
    "whole when chance is reckoned, for their queries are not independent.",
    "**improved**: the whole interval lies above zero.",
    "**regressed**: the whole interval lies below zero, and reaches below minus the margin.",
    "**equivalent**: the whole interval is nearer to zero than the margin; whatever the difference is, it is too small "
    "to matter.",
    "**inconclusive**: none of these. This is no evidence that nothing changed; it says that this test set could not "
    "tell. The smallest detectable difference says how blunt it was.",
    "**new**, **missing**: nothing was accepted for this system, or an accepted system is absent. **failed**: more "
    "scores failed than the suite allows. **not comparable**: the two were not measured in the same way.",
    "**Exploratory** is everything outside the gated measures: it was not corrected for how many numbers stand here, "
    "so a striking one may be chance. Confirm it on other queries before you act on it.",
)


def how_to_read(view: View) -> tuple[str, ...]:
    """What the words of the tables mean, but for tables that this outcome has not."""
    return (
        *HOW_TO_READ,
        *(across.HOW_TO_READ if view.outcome.recipe_claims else ()),
        *(together.HOW_TO_READ if view.outcome.effects else ()),
    )


def headline(view: View) -> tuple[str, ...]:
    """What came of the candidates, in sentences."""
    if not view.candidates:
        return ("There is no candidate in this outcome: reference rows only.", *_regressions(view))
    if not view.gains:
        return ("No gain was tested: the suite gates no measure that was run.", *_regressions(view))
    recited = _recited(view)
    many = not recited and any(info.name not in _claimed(view) for info in view.candidates)
    told = _counts(view) if many else (_candidate(view, info) for info in recited)
    return (*across.told(view), *told, *together.told(view), *_stronger_reference(view), *_regressions(view))


def _recited(view: View) -> list[SystemInfo]:
    """The candidates that the headline tells of one by one: few, and with nothing said of their recipe."""
    apart = [info for info in view.candidates if info.name not in _claimed(view)]
    return apart if view.gains and len(apart) <= MOST_SENTENCES else []


def _claimed(view: View) -> set[str]:
    return {claim.system for claim in view.outcome.recipe_claims if claim.verdict}


def _candidate(view: View, info: SystemInfo) -> str:
    made = f"It took {figures.duration(info.build_seconds)} ({figures.dollars(info.build_dollars)}) to make."
    if info.failed:
        return f"{info.label} failed: {_bare(info.failed)}."
    rows = [row for name in view.gated if (row := view.gain(info, name))]
    alike = [what for what, whom in identical(info) if whom == BASELINE and what != "weights"]
    own_lists = "retriever" in info.tunes or "reranker" in info.tunes
    if ("lists" if own_lists else "answers") in alike and not any(row.difference for row in rows):
        because = [_same(what, whom) for what, whom in identical(info) if what == "weights"]
        noop = f"{info.label} changed nothing: identical {figures.listed(alike)} to {BASELINE}: a no-op."
        return " ".join([noop, *because, made])
    told = [_gain(info, row, first=not number) for number, row in enumerate(rows)]
    same = [_same(what, whom) for what, whom in identical(info)]
    return " ".join([*(told or [f"{info.label} has no gain on a gated measure."]), *same, made])


def _same(what: str, whom: str) -> str:
    idle = ": training changed nothing" if what == "weights" and BASELINE in whom else ""
    return f"Its {what} are identical to those of {whom}{idle}."


def _gain(info: SystemInfo, row: Comparison, first: bool) -> str:
    """A verdict as a sentence; only the first about a system names it."""
    who = info.label if first else "It"
    numbers = _numbers(row)
    over = f"on {figures.counted(row.n_queries, 'query', 'queries')} in {figures.counted(row.n_groups, 'group')}"
    if row.verdict == "improved":
        return f"{who} improved {row.measure} by {numbers} over {BASELINE} {over}."
    if row.verdict == "regressed":
        return f"{who} regressed on {row.measure}: {numbers} against {BASELINE} {over}."
    if row.verdict == "equivalent":
        return (
            f"{who} is equivalent to {BASELINE} on {row.measure}: {numbers}, "
            f"within the margin of {figures.fixed(row.margin)}, {over}."
        )
    if row.verdict == "inconclusive":
        return f"{_could_not_tell(info, row, first)}: {numbers} {over}{_blunt(row)}{_because(row)}."
    return f"{who} has no gain on {row.measure}: {row.verdict}{_because(row)}."


def _could_not_tell(info: SystemInfo, row: Comparison, first: bool) -> str:
    if first:
        return f"{info.label}: could not tell whether it changes {row.measure}"
    return f"On {row.measure}, could not tell"


def _blunt(row: Comparison) -> str:
    if figures.finite(row.detectable) is None:
        return ""
    return f"; a difference under {figures.fixed(row.detectable)} would not have shown on this test set"


def _because(row: Comparison) -> str:
    return f" ({_bare(row.reason)})" if row.reason else ""


def _bare(reason: str) -> str:
    """A reason out of a record, to stand inside a sentence."""
    return " ".join(reason.split()).rstrip(".")


def _counts(view: View) -> Iterable[str]:
    """For many candidates: how often each verdict was given, by measure."""
    for measure in view.gated:
        verdicts = Counter(row.verdict for info in view.candidates if (row := view.gain(info, measure)))
        counts = [f"{number} {word}" for word, number in verdicts.items()]
        if counts:
            yield f"{measure}: of {len(view.candidates)} candidates with their seeds, {figures.listed(counts)}."


def _regressions(view: View) -> Iterable[str]:
    """What became of the accepted scores, if they were compared with."""
    rows = [row for row in view.outcome.comparisons if row.family == "regression"]
    counts = Counter(row.verdict for row in rows)
    if rows:
        told = figures.listed([f"{number} {verdict}" for verdict, number in counts.items()])
        yield f"Against the accepted scores, by system and gated measure: {told}."
    for row in rows:
        if row.verdict in FAILS_A_GATE:
            numbers = "" if figures.finite(row.difference) is None else f" by {_numbers(row)}"
            label = row_label(view.outcome, row.system, row.seed)
            yield f"{label}: {row.verdict} on {row.measure}{numbers}{_because(row)}."


def _numbers(row: Comparison) -> str:
    return f"{figures.signed(row.difference)} {figures.interval(row.low, row.high)}"


def _stronger_reference(view: View) -> Iterable[str]:
    """Say it if a system that needs no tuning scores above every candidate."""
    measure = view.gated[0]
    means = [(mean, info) for info in view.deployable() if (mean := view.mean(info, measure)) is not None]
    ours = [mean for mean, info in means if info.role == "candidate"]
    others = [(mean, info.label) for mean, info in means if info.role == "baseline" and info.name != BASELINE]
    if ours and others and max(others)[0] > max(ours):
        mean, label = max(others)
        yield (
            f"{label}, a reference row that needs no tuning, scores {figures.fixed(mean)} on {measure}, above every "
            f"candidate (the best: {figures.fixed(max(ours))}); that difference was not tested (exploratory)."
        )


def warnings(view: View) -> tuple[str, ...]:
    """What a reader must keep in mind before believing a number, unless the headline has said it."""
    recited = _recited(view)
    untold = [info for info in view.systems if info not in recited]
    return (
        *(f"{info.label} failed: {_bare(info.failed)}." for info in untold if info.failed),
        *_few_groups(view),
        *_failed_scores(view),
        *(f"{info.label} has identical {what} to {whom}." for info in untold for what, whom in identical(info)),
        *_missing(view),
        *_seeds(view),
        *_looks(view),
        *_not_run(view),
        *view.outcome.notes,
    )


def _few_groups(view: View) -> Iterable[str]:
    fewest: dict[str, int] = {}
    for row in view.outcome.comparisons:
        if figures.finite(row.difference) is not None:
            fewest[row.measure] = min(row.n_groups, fewest.get(row.measure, row.n_groups))
    for groups in sorted({number for number in fewest.values() if number < FEW_GROUPS}):
        measures = [measure for measure, number in fewest.items() if number == groups]
        yield (
            f"{figures.listed(measures)}: only {figures.counted(groups, 'group')} of queries, under {FEW_GROUPS}; "
            "the intervals and verdicts are rough."
        )


def _failed_scores(view: View) -> Iterable[str]:
    failed = {info.label: sum(_failed(view, info)) for info in view.systems if not info.failed}
    parts = [f"{label} {figures.count(number)}" for label, number in failed.items() if number]
    if parts:
        yield f"Scores that failed, over all measures: {', '.join(parts)}. The means leave them out and carry a †."


def _failed(view: View, info: SystemInfo) -> Iterable[int]:
    return (row.failed for name in view.measures if (row := view.summary(info, name)))


def _missing(view: View) -> Iterable[str]:
    for system, number in view.outcome.queries_without_run.items():
        if number:
            lists = figures.counted(number, "query has no list", "queries have no list")
            yield f"{system}: {lists}; an empty list scores 0."


def _seeds(view: View) -> Iterable[str]:
    if len(view.seeds) == 1:
        yield (
            f"One seed ({view.seeds[0]}): what is said of a candidate holds for this checkpoint only; a claim about a "
            f"recipe needs at least {RECIPE_SEEDS} seeds."
        )
    elif any(claim.verdict for claim in view.outcome.recipe_claims):
        yield "A gain is about one checkpoint (one seed); what holds for a recipe stands in the table Across seeds."
    elif len(view.seeds) > 1:
        enough = "" if len(view.seeds) >= RECIPE_SEEDS else f" at least {RECIPE_SEEDS} seeds and"
        yield (
            "Every verdict is about one checkpoint (one seed); a claim about a recipe needs"
            f"{enough} an interval that holds the variance between seeds."
        )


def _not_run(view: View) -> Iterable[str]:
    reasons = view.outcome.not_run
    for reason in dict.fromkeys(reasons.values()):
        names = [name for name, why in reasons.items() if why == reason]
        yield f"Not run: {figures.listed(names)} ({_bare(reason)})."


def _looks(view: View) -> Iterable[str]:
    outcome = view.outcome
    if outcome.split != "test":
        yield f"Scored on the split {outcome.split}, where choices are made: confirm on test."
    elif outcome.times_scored > 1:
        yield (
            f"The test split has been scored {outcome.times_scored} times for this suite; every choice made by looking "
            "at it makes the gains look better than they are."
        )


def subject(view: View) -> str:
    """What was measured on, in one line."""
    outcome = view.outcome
    queries = outcome.dataset.queries.get(outcome.split)
    parts = [
        f"Suite {outcome.suite}",
        f"split {outcome.split}" + (f" ({figures.counted(queries, 'query', 'queries')})" if queries else ""),
        figures.counted(outcome.dataset.documents, "document"),
        figures.counted(len({info.name for info in view.candidates}), "candidate"),
        figures.counted(len(view.seeds), "seed"),
    ]
    if not any(not is_rank(name) for name in view.measures):
        parts.append("retrieval only")
    return ", ".join(parts)
