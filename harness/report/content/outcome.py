"""All that the report of an outcome says, built once; the renderings only write and draw it.

Here are the tables that answer the suite's question: quality and gain, and how certain each is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.report import format as fmt
from harness.report import seedless
from harness.report.content import (
    candidates,
    costs,
    details,
    effects,
    extras,
    questions,
    reading,
    recipes,
    roi,
    rounds,
    summary,
    untrained,
)
from harness.report.content.comparisons import advisory, comparisons, gain_cell
from harness.report.content.indexes import indexes
from harness.report.content.questions import first_line
from harness.report.model import Cell, Column, Headline, Section, Table, join, left, number, present
from harness.report.view import BASELINE, View, identical_words, is_rank, less_is_better, view
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.findings import Outcome, SystemInfo

EXPLORATORY = "°"
PARTIAL = "†"
UTILITY = "utility"
MOST_NAMED = 3


@dataclass(frozen=True)
class Contents:
    """Sentences and tables, in the order in which a reader wants them; a table with nothing in it is left out.

    `synthetic` is the first line of the report: that a model wrote the questions, and how many a person has seen.
    `cautions` are losses that an average hides. Sections of `after` say them, too.
    """

    synthetic: str
    title: str
    subject: str
    headline: Headline
    by_candidate: tuple[str, ...]
    cautions: tuple[str, ...]
    warnings: tuple[str, ...]
    answer: tuple[Table, ...]
    after: tuple[Section, ...]
    together: tuple[Table, ...]
    together_in_full: tuple[Table, ...]
    verdicts: tuple[Table, ...]
    costs: tuple[Table, ...]
    answers: tuple[Table, ...]
    data: tuple[Table, ...]
    provenance: tuple[Table, ...]
    packages: Table | None
    identities: tuple[Table, ...]


def contents(outcome: Outcome) -> Contents:
    """Return everything that is said of an outcome."""
    seen = view(outcome)
    return Contents(
        synthetic=first_line(outcome.dataset.questions),
        title=outcome.title or outcome.suite,
        subject=_subject(seen),
        headline=summary.summarise(seen),
        by_candidate=candidates.by_candidate(seen),
        cautions=extras.cautions(seen),
        warnings=reading.warnings(seen),
        answer=present(
            quality(seen),
            untrained.changes(seen),
            gains(seen),
            untrained.over_best(seen),
            recipes.across_seeds(seen),
            rounds.rounds(seen),
            details.published(seen),
            costs.cost(seen),
            indexes(seen),
        ),
        after=(*questions.sections(seen), *roi.sections(seen)),
        together=present(effects.effects(seen)),
        together_in_full=present(effects.absorbed(seen), effects.in_full(seen)),
        verdicts=present(
            comparisons(seen, "gain"),
            comparisons(seen, "untrained"),
            comparisons(seen, "regression"),
            details.failures(seen),
        ),
        costs=present(costs.paid(seen), costs.ledger(seen), costs.latency(seen)),
        answers=present(advisory(seen), details.spread(seen), details.abstention(seen)),
        data=present(
            details.dataset(seen),
            details.repairs(seen),
            details.settings(seen),
            details.resolved(seen),
            details.stage_notes(seen),
            details.not_run(seen),
        ),
        provenance=present(details.provenance(seen)),
        packages=details.packages(seen),
        identities=present(details.identities(seen), details.system_identities(seen)),
    )


def _subject(view: View) -> str:
    """Return what was measured on, in one line."""
    outcome = view.outcome
    queries = outcome.dataset.queries.get(outcome.split)
    parts = [
        f"Suite {outcome.suite}",
        f"split {outcome.split}" + (f" ({fmt.counted(queries, 'query', 'queries')})" if queries else ""),
        fmt.counted(outcome.dataset.documents, "document"),
        fmt.counted(len({info.name for info in view.candidates}), "candidate"),
        *filter(None, [seedless.seeds_told(view.seeds)]),
    ]
    if all(is_rank(name) for name in view.measures):
        parts.append("retrieval only")
    return ", ".join(parts)


# ---- quality


def quality(view: View) -> Table:
    """Return the means: one row per system, one column per measure."""
    rank, answers = ([name for name in view.measures if is_rank(name) == wanted] for wanted in (True, False))
    columns = left("system") + [
        Column(
            name if name in view.gated else name + EXPLORATORY,
            starts=bool(rank) and name in answers[:1],
            minor=name not in view.gated,
        )
        for name in view.measures
    ]
    best = {name: _best(view, name) for name in view.measures}
    rows = [
        (Cell(info.label), *(_mean_cell(view, info, name, best[name]) for name in view.measures))
        for info in view.systems
    ]
    gated = f"Gated: {fmt.listed(view.gated)}." if view.gated else "No measure is gated."
    exploratory = f"{EXPLORATORY} exploratory: no verdict rests on it." if set(view.measures) - set(view.gated) else ""
    return Table(
        "How good is each system?",
        tuple(columns),
        tuple(rows),
        join(f"Means over {_populations(view)}.", gated, exploratory) if view.measures else "Nothing was measured.",
        (*_partial_notes(view), *_all_wrong(view)),
        upper=_baselines(view.systems),
    )


def _best(view: View, measure: str) -> str:
    """Return the best mean as it is shown, or nothing if all read the same."""
    means = [mean for info in view.deployable() if (mean := view.mean(info, measure)) is not None]
    best = min if less_is_better(measure) else max
    return decimals.fixed(best(means)) if len(set(map(decimals.fixed, means))) > 1 else ""


def _mean_cell(view: View, info: SystemInfo, measure: str, best: str) -> Cell:
    row = view.summary(info, measure)
    if row is None:
        return Cell("failed", "failed") if info.failed else Cell(decimals.NONE)
    if finite(row.mean) is None:
        return Cell(f"failed ({fmt.count(row.failed)})", "failed") if row.failed else Cell(decimals.NONE)
    if row.failed:
        return number(row.mean, "mean", PARTIAL)
    is_best = decimals.fixed(row.mean) == best and info in view.deployable()
    return number(row.mean, "mean", tone="best" if is_best else "")


def _populations(view: View) -> str:
    """Return ``246 queries (ndcg@10, mrr@10) and 120 queries (utility)``."""
    groups: dict[int, list[str]] = {}
    for name in view.measures:
        size = max(row.n + row.failed for row in view.outcome.summaries if row.measure == name)
        groups.setdefault(size, []).append(name)
    return fmt.listed([f"{fmt.counted(n, 'query', 'queries')} ({', '.join(names)})" for n, names in groups.items()])


def _partial_notes(view: View) -> Iterable[str]:
    for info in view.systems:
        parts = [
            f"{name} {fmt.count(row.failed)} of {fmt.count(row.n + row.failed)}"
            for name in view.measures
            if (row := view.summary(info, name)) and row.failed and finite(row.mean) is not None
        ]
        if parts:
            yield f"{PARTIAL} mean over the queries that have a score; {info.label} failed on: {', '.join(parts)}."


def _all_wrong(view: View) -> Iterable[str]:
    """Return what the lowest value of utility means, if a system has it: every answer was wrong."""
    rule = view.outcome.spec.get("utility") or {}
    cost = finite(rule.get("wrong_cost", 1.0)) or 0.0
    wrong = [info.label for info in view.systems if cost and view.mean(info, UTILITY) == -cost]
    if wrong:
        who = fmt.counted(len(wrong), "system") if len(wrong) > MOST_NAMED else fmt.listed(wrong)
        right = f"{rule.get('right', 'exact_match')} of {finite(rule.get('threshold')) or 1.0:g} or more"
        yield (
            f"{UTILITY} is 1 for a right answer ({right}) or a right abstention, 0 for another abstention and "
            f"{-cost:g} for a wrong answer. "
            f"{-cost:g} means that every answer was wrong: {who}."
        )


def _baselines(systems: Iterable[SystemInfo]) -> int:
    return sum(info.role == "baseline" for info in systems)


# ---- gains


def gains(view: View) -> Table | None:
    """Return the gain of every system on every gated measure, with interval and verdict."""
    if not view.gains:
        return None
    shown = [
        info
        for info in view.systems
        if any(view.gain(info, name) for name in view.gated) or info.name == BASELINE or info.failed
    ]
    rows = [(Cell(info.label), *(gain_cell(view, info, name) for name in view.gated)) for info in shown]
    notes = [f"{info.label}: {words}." for info in view.systems if (words := identical_words(info))]
    return Table(
        f"Gain over {BASELINE}, with verdict",
        (Column("system", "left"), *(Column(name, "left") for name in view.gated)),
        tuple(rows),
        "Intervals are simultaneous: they hold for all gains of this table at once.",
        tuple(notes),
        upper=_baselines(shown),
    )
