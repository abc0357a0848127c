"""A report on a terminal: the answer first, the rest when asked for.

A table that is too wide goes on in a second one below, never in cut-off cells. Colour only repeats what a word says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.report.contents import Contents, contents
from harness.report.diagnosis import diagnosed
from harness.report.hostile import plain
from harness.report.learning_curve import grown
from harness.report.sections import Section
from harness.report.tables import BEST_NOTE
from harness.report.values import Table, Tone
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis, LearningCurve

STYLES: dict[Tone, str] = {
    "": "",
    "best": "bold",
    "improved": "green",
    "equivalent": "dim",
    "inconclusive": "yellow",
    "regressed": "red",
    "failed": "red",
}
GAP = 2
"""Blanks between two columns."""
WRAPPED = 24
"""The least width that is left to a column of running text."""


def render(outcome: Outcome, console: Console, verbose: bool = False, folder: Path | None = None) -> None:
    """Print the report; `folder` is where the outcome's files lie, `verbose` adds the tables behind the answer."""
    report = contents(outcome)
    _print_head(report.title, report.subject, console)
    print_lines(report.headline, console)
    for table in report.answer:
        print_table(table, console)
    for section in report.after:
        print_section(section, console, verbose)
    for table in _shown(report, verbose):
        print_table(table, console)
    _print_foot(report.warnings, console, folder)


def render_diagnosis(diagnosis: Diagnosis, console: Console, verbose: bool = False, folder: Path | None = None) -> None:
    """Print a diagnosis; `folder` is where its files lie, `verbose` adds the tables behind the answer."""
    report = diagnosed(diagnosis)
    _print_head(report.title, report.subject, console)
    console.print(_text(report.lede.first, "bold"))
    console.print(_text(" ".join(report.lede.rest)))
    for section in report.sections:
        print_section(section, console, verbose)
    _print_foot(report.warnings, console, folder)


def render_learning_curve(curve: LearningCurve, console: Console, folder: Path | None = None) -> None:
    """Print whether more training data would pay; `folder` is where its files lie."""
    report = grown(curve)
    _print_head(report.title, report.subject, console)
    print_lines(report.said, console)
    print_table(report.table, console)
    _print_foot(report.warnings, console, folder)


def _print_head(title: str, subject: str, console: Console) -> None:
    console.print(_text(title, "bold"))
    console.print(_text(subject, "dim"))
    console.print()


def _print_foot(warnings: Sequence[str], console: Console, folder: Path | None) -> None:
    if warnings:
        console.print()
        console.print(Text("Keep in mind", style="bold"))
        print_lines(warnings, console)
    if folder is not None:
        console.print()
        console.print(Text(f"Files: {folder}"), soft_wrap=True)


def _text(text: str, style: str = "") -> Text:
    """Text of strangers on one line or more, without what would steer the terminal."""
    return Text(plain(text), style=style)


def print_section(section: Section, console: Console, verbose: bool) -> None:
    """A section under its title; its tables and lists if it is brief or if they are asked for."""
    whole = section.brief or verbose
    tables = (*(section.tables if whole else ()), *(section.in_full if verbose else ()))
    items = section.items if whole else ()
    if not (section.told or tables or items):
        return
    console.print()
    console.print(_text(section.title, "bold underline"))
    print_lines(section.told, console)
    for table in tables:
        print_table(table, console)
    for item in items:
        console.print()
        console.print(_text(item.title, "bold"))
        for heading, lines in item.lines:
            console.print(_text(f"{heading}:", "dim"))
            print_lines(lines, console)


def _shown(report: Contents, verbose: bool) -> Iterable[Table]:
    """The tables after the answer and what came of a diagnosis."""
    yield from report.together
    if verbose:
        yield from (
            *report.together_in_full,
            *report.surely,
            *report.costs,
            *report.answers,
            *report.data,
            *report.provenance,
        )
        yield from report.identities


def print_lines(lines: Iterable[str], console: Console) -> None:
    """Sentences with a hanging indent."""
    grid = rich_table.Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for line in lines:
        grid.add_row("-", _text(line))
    if grid.rows:
        console.print(grid)


def print_table(table: Table, console: Console) -> None:
    """A table with its title, caption and footnotes."""
    console.print()
    console.print(_text(table.title, "bold"))
    for number, part in enumerate(split(table, console.width)):
        if number:
            console.print()
        console.print(_drawn(part, console.width))
    best = BEST_NOTE if table.has_best and console.is_terminal else ""
    for line in (" ".join(text for text in (table.caption, best) if text), *table.notes):
        if line:
            console.print(_text(line, "dim"))


def split(table: Table, width: int) -> list[Table]:
    """Cut a table into tables that fit the width; each repeats the columns that name the row."""
    widths = _widths(table, width)
    keys, others = list(range(table.keys)), list(range(table.keys, len(table.columns)))
    if _total(widths, keys + others) <= width:
        return [table]
    chunks: list[list[int]] = [[]]
    for number in others:
        full = _total(widths, [*keys, *chunks[-1], number]) > width
        if chunks[-1] and (full or table.columns[number].starts):
            chunks.append([])
        chunks[-1].append(number)
    return [_columns(table, keys + chunk) for chunk in chunks]


def _columns(table: Table, numbers: Sequence[int]) -> Table:
    return replace(
        table,
        columns=tuple(table.columns[number] for number in numbers),
        rows=tuple(tuple(row[number] for number in numbers) for row in table.rows),
    )


def _widths(table: Table, width: int) -> list[int]:
    """The least width of each column: its longest cell, or the longest word of its heading."""
    found = []
    for number, column in enumerate(table.columns):
        longest = max([cell_len(row[number].text) for row in table.rows], default=0)
        if column.wraps:
            longest = min(longest, WRAPPED)
        if number < table.keys:
            longest = min(longest, max(WRAPPED, width * 2 // 5))
        found.append(max([longest, *(cell_len(word) for word in column.name.split())]))
    return found


def _total(widths: Sequence[int], numbers: Sequence[int]) -> int:
    return sum(widths[number] for number in numbers) + GAP * (len(numbers) - 1)


def _drawn(table: Table, width: int) -> rich_table.Table:
    drawn = rich_table.Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold"
    )
    for column, least in zip(table.columns, _widths(table, width), strict=True):
        drawn.add_column(
            _text(column.name),
            justify=column.align,
            width=None if column.wraps else least,
            overflow="fold",
            vertical="top",
        )
    for number, row in enumerate(table.rows, start=1):
        ends = number == table.upper
        drawn.add_row(*(_text(cell.text, STYLES[cell.tone]) for cell in row), end_section=ends)
    return drawn
