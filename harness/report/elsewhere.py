"""Where a gain on average does not hold: slices of the questions, and other data that was not tuned for.

All of it is exploratory: no gate rests on it. This module must not know how a section is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from harness.report import amounts, figures
from harness.report.sections import Section
from harness.report.values import VERDICT_TONES, Cell, Column, Table, cells, left
from harness.report.view import BASELINE, View, row_label
from harness.values.findings import Outcome
from harness.values.gains import Forgotten, Roi, SliceGain

MOST_NAMED = 3
MOST_TOLD = 8
TELLING = ("improved", "regressed")


def cautions(view: View) -> tuple[str, ...]:
    """Losses that an average hides: what a reader must keep in mind before believing it."""
    return tuple(_few([*_losers(view), *_forgot(view.outcome)], "Slices and forgetting"))


def _few(lines: Sequence[str], where: str) -> Iterable[str]:
    """The first sentences, and how many more there are."""
    yield from lines[:MOST_TOLD]
    if len(lines) > MOST_TOLD:
        yield f"{len(lines) - MOST_TOLD} more of this kind: see {where}."


def reasons(outcome: Outcome, rows: Sequence[Roi | SliceGain | Forgotten]) -> Iterable[str]:
    """Reasons, each once, with whom they are about, and the measure if there are several."""
    about: dict[str, list[str]] = {}
    several = len({row.measure for row in rows}) > 1
    for row in rows:
        who = row_label(outcome, row.system, row.seed)
        for reason in filter(None, row.reason.split("; ")):
            about.setdefault(reason, []).append(f"{who} on {row.measure}" if several else who)
    for reason, names in about.items():
        yield f"{amounts.sentence(reason).rstrip('.')}: {figures.listed(first(dict.fromkeys(names)))}."


def first(names: Iterable[str]) -> list[str]:
    """The first few names, and how many more there are."""
    found = list(names)
    more = len(found) - MOST_NAMED
    return [*found[:MOST_NAMED], f"{more} more"] if more > 1 else found


# ---- slices


def slices(view: View) -> Section:
    """Who surely loses or wins on which slice; every slice stands in the folded table."""
    section = "slices", "Slices", "Slices: who loses where, and who wins"
    rows = view.outcome.slices
    if not rows:
        return Section(*section)
    telling = sorted((row for row in rows if row.verdict in TELLING), key=lambda row: row.verdict == "improved")
    held = f"the intervals hold for all {figures.count(len(rows))} rows together"
    everywhere = list(_all_over(view))
    who = "anyone else" if everywhere else "anyone"
    none = f"No slice is surely lost by {who}, as far as this test set can tell."
    told = [*everywhere, *(list(_losers(view)) or [none])]
    tables = (_slice_table(view.outcome, "Slices with a sure difference", telling, f"Exploratory; {held}."),)
    whole = _slice_table(view.outcome, "Every slice", rows, f"Exploratory; {held}.")
    return Section(
        *section, told=tuple(_few(told, "the table")), tables=tables if telling else (), in_full=(whole,),
        folded=f"Every slice ({figures.counted(len(rows), 'row')})", brief=False,
    )  # fmt: skip


def _slice_table(outcome: Outcome, title: str, rows: Sequence[SliceGain], caption: str) -> Table:
    columns = (
        *left("system", "slice", "measure"), Column(BASELINE), Column("gain", "left"),
        Column("queries / groups"),
    )  # fmt: skip
    return Table(
        title, columns, tuple(_slice(outcome, row) for row in rows), caption, tuple(reasons(outcome, rows)), keys=3
    )


def _slice(outcome: Outcome, row: SliceGain) -> tuple[Cell, ...]:
    return (
        *cells((row_label(outcome, row.system, row.seed), _slice_name(row), row.measure, figures.fixed(row.baseline))),
        Cell(amounts.gain(row.difference, row.low, row.high, row.verdict), VERDICT_TONES.get(row.verdict, "")),
        Cell(f"{figures.count(row.n_queries)} / {figures.count(row.n_groups)}"),
    )


def _slice_name(row: SliceGain) -> str:
    return f"{row.field.replace('_', ' ')}: {' '.join(row.value.split())}"


def _losers(view: View) -> Iterable[str]:
    """One sentence for each system and measure that surely loses a slice and does not lose over all questions."""
    lost = [row for row in view.outcome.slices if row.verdict == "regressed" and not _loses_overall(view, row)]
    for (system, seed, measure), found in groupby(sorted(lost, key=_whose), key=_whose):
        rows = list(found)
        named = [
            f"{_slice_name(row)} ({amounts.gain(row.difference, row.low, row.high)} on "
            f"{figures.counted(row.n_queries, 'query', 'queries')})"
            for row in rows
        ]
        gain = view.gains.get((system, seed, measure))
        won = gain is not None and gain.verdict == "improved"
        average = f" wins on average ({figures.signed(gain.difference)}), but" if gain and won else ""
        who = row_label(view.outcome, system, seed)
        slices = "the slice" if len(rows) == 1 else "the slices"
        yield f"On {measure}, {who}{average} loses {slices} {figures.listed(first(named))}."


def _loses_overall(view: View, row: SliceGain) -> bool:
    gain = view.gains.get(_whose(row))
    return gain is not None and gain.verdict == "regressed"


def _all_over(view: View) -> Iterable[str]:
    """Who loses over all questions, so that its slices say little more."""
    lost = [row for row in view.outcome.slices if row.verdict == "regressed" and _loses_overall(view, row)]
    for measure, found in groupby(sorted(lost, key=lambda row: row.measure), key=lambda row: row.measure):
        names = dict.fromkeys(row_label(view.outcome, row.system, row.seed) for row in found)
        yield f"On {measure}, {figures.listed(list(names))} lose over all questions; the table has their slices."


def _whose(row: SliceGain) -> tuple[str, int, str]:
    return row.system, row.seed, row.measure


# ---- forgetting


def forgetting(outcome: Outcome) -> Section:
    """What tuned systems are worth on data that they were not tuned for."""
    section = "forgetting", "Forgetting", "What was forgotten elsewhere"
    rows = outcome.forgotten
    if not rows:
        return Section(*section)
    columns = (
        *left("data set", "system", "measure"), Column(BASELINE), Column("tuned"), Column("change", "left"),
        Column("queries / groups"),
    )  # fmt: skip
    table = Table(
        "Tuned systems on other data",
        columns,
        tuple(_forgotten(outcome, row) for row in sorted(rows, key=lambda row: row.verdict != "regressed")),
        f"Change: to the untuned pipeline on the same questions; the intervals hold for all "
        f"{figures.count(len(rows))} rows together (exploratory).",
        tuple(reasons(outcome, rows)),
        keys=3,
    )
    places = figures.listed(list(dict.fromkeys(_place(row) for row in rows)))
    kept = f"Nothing is surely forgotten on {places}; only 'equivalent' says that it is surely kept."
    return Section(
        *section, told=tuple(_few(list(_forgot(outcome)) or [kept], "the table")), tables=(table,), brief=False
    )


def _forgotten(outcome: Outcome, row: Forgotten) -> tuple[Cell, ...]:
    return (
        *cells((_place(row), row_label(outcome, row.system, row.seed), row.measure)),
        *cells((figures.fixed(row.untuned), figures.fixed(row.tuned))),
        Cell(amounts.gain(row.difference, row.low, row.high, row.verdict), VERDICT_TONES.get(row.verdict, "")),
        Cell(f"{figures.count(row.n_queries)} / {figures.count(row.n_groups)}"),
    )


def _place(row: Forgotten) -> str:
    return f"{row.dataset} ({row.split})"


def _forgot(outcome: Outcome) -> Iterable[str]:
    for row in outcome.forgotten:
        if row.verdict == "regressed":
            who = row_label(outcome, row.system, row.seed)
            change = amounts.gain(row.difference, row.low, row.high)
            yield f"{who} got worse elsewhere: {row.measure} on {_place(row)} changed by {change}."
