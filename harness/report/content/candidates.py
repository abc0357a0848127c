"""What came of each candidate, in a sentence; no sentence says more than the verdicts do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.report import format as fmt
from harness.report.content import effects, recipes, untrained
from harness.report.content.subjects import MANY, best_setting, counts, numbers, subjects
from harness.report.view import BASELINE, View, identical, row_label
from harness.statistics.alike import answers_only
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.findings import Comparison, SystemInfo

FAILS_A_GATE = ("regressed", "failed", "missing")


def by_candidate(view: View) -> tuple[str, ...]:
    """Return what came of the candidates: a sentence for each, or one for each measure where there are many."""
    if not view.candidates:
        return ("This outcome has no candidates, only baseline rows.", *_regressions(view))
    if not view.gains:
        return ("No gain was tested: the suite gates no measure that was run.", *_regressions(view))
    few, tested = len(_unclaimed(view)) <= MANY, subjects(view)
    return (
        *recipes.sentences(view),
        *([_candidate(view, info) for info in recited(view)] if few else _by_measure(view)),
        *(untrained.sentences(view, tested) if len(tested) > MANY and best_setting(view) else ()),
        *effects.sentences(view),
        *_stronger_baseline(view),
        *_regressions(view),
    )


def recited(view: View) -> list[SystemInfo]:
    """Return the candidates that have a sentence each: few, and without a verdict on their recipe."""
    apart = _unclaimed(view)
    return apart if view.gains and len(apart) <= MANY else []


def _unclaimed(view: View) -> list[SystemInfo]:
    claimed = {claim.system for claim in view.outcome.recipe_claims if claim.verdict}
    return [info for info in view.candidates if info.name not in claimed]


def _by_measure(view: View) -> Iterable[str]:
    for measure in view.gated:
        found = {info.label: row for info in view.candidates if (row := view.gain(info, measure))}
        seeds = " with their seeds" if len(view.seeds) > 1 else ""
        if found:
            yield f"{measure}: of {len(view.candidates)} candidates{seeds}, {fmt.listed(list(_verdicts(found)))}."


def _verdicts(found: Mapping[str, Comparison]) -> Iterable[str]:
    """Return how many candidates have each verdict, and which: of improvements, the largest alone."""
    for verdict in dict.fromkeys(row.verdict for row in found.values()):
        names = [label for label, row in found.items() if row.verdict == verdict]
        if verdict == "improved":
            most = max(names, key=lambda label: found[label].difference or 0.0)
            names = [f"{most}{' most' if len(names) > 1 else ''}, {numbers(found[most])}"]
        yield f"{sum(row.verdict == verdict for row in found.values())} {verdict} ({fmt.listed(fmt.first(names))})"


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
        yield f"Against the accepted scores, by system and gated measure: {counts(rows)}."
    for row in rows:
        if row.verdict in FAILS_A_GATE:
            change = "" if finite(row.difference) is None else f" by {numbers(row)}"
            label = row_label(view.outcome, row.system, row.seed)
            yield f"{label}: {row.verdict} on {row.measure}{change}{_because(row)}."
