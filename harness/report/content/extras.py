"""Where a gain on average does not hold: slices of the queries, and other data that was not tuned for.

All of it is exploratory: no gate rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from harness.report import format as fmt
from harness.report.model import Cell, Column, Section, Table, cells, difference, left, number, queries_and_groups
from harness.report.view import BASELINE, View, row_label
from harness.text import decimals
from harness.values.findings import Outcome
from harness.values.gains import Forgotten, Roi, SliceGain

MOST_SENTENCES = 8
SIGNIFICANT = ("improved", "regressed")


def cautions(view: View) -> tuple[str, ...]:
    """Return losses that an average hides."""
    return tuple(_few([*_losers(view), *_forgot(view.outcome)], "Slices and forgetting"))


def _few(lines: Sequence[str], where: str) -> Iterable[str]:
    """Return the first sentences, and how many more there are."""
    yield from lines[:MOST_SENTENCES]
    if len(lines) > MOST_SENTENCES:
        yield f"{len(lines) - MOST_SENTENCES} more of this kind: see {where}."


def reasons(outcome: Outcome, rows: Sequence[Roi | SliceGain | Forgotten]) -> Iterable[str]:
    """Return each reason once, with the systems that it is about, and the measure if there are several."""
    about: dict[str, list[str]] = {}
    several = len({row.measure for row in rows}) > 1
    for row in rows:
        who = row_label(outcome, row.system, row.seed)
        for reason in filter(None, row.reason.split("; ")):
            about.setdefault(reason, []).append(f"{who} on {row.measure}" if several else who)
    for reason, names in about.items():
        yield f"{fmt.sentence(reason).rstrip('.')}: {fmt.listed(fmt.first(list(dict.fromkeys(names))))}."


# ---- slices


def slices(view: View) -> Section:
    """Return the significant differences on slices; every slice is in the folded table."""
    section = "slices", "Slices", "Gains and losses by slice"
    rows = view.outcome.slices
    if not rows:
        return Section(*section)
    significant = sorted((row for row in rows if row.verdict in SIGNIFICANT), key=lambda row: row.verdict == "improved")
    caption = f"Exploratory; the intervals hold for all {fmt.count(len(rows))} rows together."
    everywhere = list(_overall_losers(view))
    none = f"No {'other ' if everywhere else ''}system loses significantly on a slice."
    lines = [*everywhere, *(list(_losers(view)) or [none])]
    table = _slice_table(view.outcome, "Slices with a significant difference", significant, caption)
    return Section(
        *section,
        sentences=tuple(_few(lines, "the table")),
        tables=(table,) if significant else (),
        in_full=(_slice_table(view.outcome, "Every slice", rows, caption),),
        folded=f"Every slice ({fmt.counted(len(rows), 'row')})",
        brief=False,
    )


def _slice_table(outcome: Outcome, title: str, rows: Sequence[SliceGain], caption: str) -> Table:
    columns = (
        *left("system", "slice", "measure"),
        Column(BASELINE),
        Column("gain", "left"),
        Column("queries / groups", minor=True),
    )
    return Table(
        title, columns, tuple(_slice(outcome, row) for row in rows), caption, tuple(reasons(outcome, rows)), keys=3
    )


def _slice(outcome: Outcome, row: SliceGain) -> tuple[Cell, ...]:
    return cells(
        row_label(outcome, row.system, row.seed),
        _slice_name(row),
        row.measure,
        number(row.baseline, "mean"),
        difference(row.difference, row.low, row.high, row.verdict),
        queries_and_groups(row.n_queries, row.n_groups),
    )


def _slice_name(row: SliceGain) -> str:
    return f"{row.field.replace('_', ' ')}: {' '.join(row.value.split())}"


def _losers(view: View) -> Iterable[str]:
    """Return a sentence for each system and measure that loses on a slice and does not lose over all queries."""
    lost = [row for row in view.outcome.slices if row.verdict == "regressed" and not _loses_overall(view, row)]
    for (system, seed, measure), group in groupby(sorted(lost, key=_whose), key=_whose):
        rows = list(group)
        named = [
            f"{_slice_name(row)} ({decimals.difference(row.difference, row.low, row.high)} on "
            f"{fmt.counted(row.n_queries, 'query', 'queries')})"
            for row in rows
        ]
        gain = view.gains.get((system, seed, measure))
        won = gain is not None and gain.verdict == "improved"
        average = f" improved on average ({decimals.signed(gain.difference)}), but" if gain and won else ""
        who = row_label(view.outcome, system, seed)
        slices = "the slice" if len(rows) == 1 else "the slices"
        yield f"On {measure}, {who}{average} regressed on {slices} {fmt.listed(fmt.first(named))}."


def _loses_overall(view: View, row: SliceGain) -> bool:
    gain = view.gains.get(_whose(row))
    return gain is not None and gain.verdict == "regressed"


def _overall_losers(view: View) -> Iterable[str]:
    """Return who loses over all queries, so that its slices say little more."""
    lost = [row for row in view.outcome.slices if row.verdict == "regressed" and _loses_overall(view, row)]
    for measure, group in groupby(sorted(lost, key=lambda row: row.measure), key=lambda row: row.measure):
        names = dict.fromkeys(row_label(view.outcome, row.system, row.seed) for row in group)
        yield f"On {measure}, {fmt.listed(list(names))} regressed over all queries; the table has their slices."


def _whose(row: SliceGain) -> tuple[str, int, str]:
    return row.system, row.seed, row.measure


# ---- forgetting


def forgetting(outcome: Outcome) -> Section:
    """Return how tuned systems score on data that they were not tuned for."""
    section = "forgetting", "Forgetting", "Forgetting on other data"
    rows = outcome.forgotten
    if not rows:
        return Section(*section)
    columns = (
        *left("dataset", "system", "measure"),
        *(Column(BASELINE), Column("tuned"), Column("change", "left"), Column("queries / groups", minor=True)),
    )
    table = Table(
        "Tuned systems on other data",
        columns,
        tuple(_forgotten(outcome, row) for row in sorted(rows, key=lambda row: row.verdict != "regressed")),
        f"Change: against the untuned pipeline on the same queries; the intervals hold for all {fmt.count(len(rows))} "
        "rows together (exploratory).",
        tuple(reasons(outcome, rows)),
        keys=3,
    )
    places = fmt.listed(list(dict.fromkeys(_place(row) for row in rows)))
    none = f"No significant loss on {places}; only 'equivalent' shows that nothing was lost."
    lines = list(_forgot(outcome)) or [none]
    return Section(*section, sentences=tuple(_few(lines, "the table")), tables=(table,), brief=False)


def _forgotten(outcome: Outcome, row: Forgotten) -> tuple[Cell, ...]:
    return cells(
        _place(row),
        row_label(outcome, row.system, row.seed),
        row.measure,
        number(row.untuned, "mean"),
        number(row.tuned, "mean"),
        difference(row.difference, row.low, row.high, row.verdict),
        queries_and_groups(row.n_queries, row.n_groups),
    )


def _place(row: Forgotten) -> str:
    return f"{row.dataset} ({row.split})"


def _forgot(outcome: Outcome) -> Iterable[str]:
    for row in outcome.forgotten:
        if row.verdict == "regressed":
            who = row_label(outcome, row.system, row.seed)
            change = decimals.difference(row.difference, row.low, row.high)
            yield f"{who} regressed on other data: {row.measure} on {_place(row)} changed by {change}."
