"""Reports on a terminal: the answer first, the rest when asked for.

Tables fit the width: minor columns are left out first, then a table continues in a second one, and one that would need
more becomes blocks. Words are never broken: a name that is too long stands above its row. Colour only repeats what a
word says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.text import Text

from harness.report.content.curve import CurveContents, curve_contents
from harness.report.content.diagnosis import DiagnosisContents, diagnosed
from harness.report.content.outcome import Contents, contents
from harness.report.format import BEST_NOTE, cell_text, listed
from harness.report.model import Cell, Headline, Section, Table, Tone, join
from harness.report.untrusted import plain
from harness.text.decimals import NONE
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
MOST_PARTS = 2
"""A table that would be split into more becomes blocks."""


def render(outcome: Outcome, console: Console, verbose: bool = False, folder: Path | None = None) -> None:
    """Print the report; `folder` is where the outcome's files lie, `verbose` adds the tables behind the answer."""
    report = contents(outcome)
    _print_head(report, console)
    _print_headline(report.headline, console)
    console.print()
    print_lines(report.by_candidate, console)
    folded = [table for table in report.answer if table.folded and not verbose]
    for table in report.answer:
        if table not in folded:
            print_table(table, console, verbose)
    if folded:
        console.print()
        console.print(_text(f"With -v also: {'; '.join(table.title for table in folded)}.", "dim"))
    for section in report.after:
        print_section(section, console, verbose)
    for table in _tables(report, verbose):
        print_table(table, console, verbose)
    _print_foot(report.warnings, console, folder)


def render_diagnosis(diagnosis: Diagnosis, console: Console, verbose: bool = False, folder: Path | None = None) -> None:
    """Print a diagnosis; `folder` is where its files lie, `verbose` adds the tables behind the answer."""
    report = diagnosed(diagnosis)
    _print_head(report, console)
    _print_headline(report.headline, console)
    for section in report.sections:
        print_section(section, console, verbose)
    _print_foot(report.warnings, console, folder)


def render_learning_curve(curve: LearningCurve, console: Console, folder: Path | None = None) -> None:
    """Print whether more training data would pay; `folder` is where its files lie."""
    report = curve_contents(curve)
    _print_head(report, console)
    print_lines(report.said, console)
    print_table(report.table, console)
    _print_foot(report.warnings, console, folder)


def _print_head(report: Contents | DiagnosisContents | CurveContents, console: Console) -> None:
    if report.synthetic:
        console.print(_text(report.synthetic, "yellow"))
    console.print(_text(report.title, "bold"))
    console.print(_text(report.subject, "dim"))
    console.print()


def _print_headline(headline: Headline, console: Console) -> None:
    console.print(_text(headline.first, "bold"))
    if headline.rest:
        console.print(_text(" ".join(headline.rest)))


def _print_foot(warnings: Sequence[str], console: Console, folder: Path | None) -> None:
    if warnings:
        console.print()
        console.print(Text("Keep in mind", style="bold"))
        print_lines(warnings, console)
    if folder is not None:
        console.print()
        console.print(Text(f"Files: {folder}"), soft_wrap=True)


def _text(text: str, style: str = "") -> Text:
    """Return untrusted text on one line or more, without what would steer the terminal."""
    return Text(plain(text), style=style)


def print_section(section: Section, console: Console, verbose: bool) -> None:
    """Print a section under its title; its tables and lists if it is brief or if they are asked for."""
    whole = section.brief or verbose
    tables = (*(section.tables if whole else ()), *(section.in_full if verbose else ()))
    items = section.items if whole else ()
    if not (section.sentences or tables or items):
        return
    console.print()
    console.print(_text(section.title, "bold underline"))
    print_lines(section.sentences, console)
    for table in tables:
        print_table(table, console, verbose)
    for item in items:
        console.print()
        console.print(_text(item.title, "bold"))
        for heading, lines in item.lines:
            console.print(_text(f"{heading}:", "dim"))
            print_lines(lines, console)
        if item.yaml:
            console.print(_text(f"{item.paste}:", "dim"))
            # A broken line would be other YAML.
            console.print(Padding(_text(item.yaml.rstrip()), (0, 0, 0, 2)), soft_wrap=True)


def _tables(report: Contents, verbose: bool) -> Iterable[Table]:
    """Return the tables that follow the sections."""
    yield from report.together
    if verbose:
        yield from (*report.together_in_full, *report.verdicts, *report.costs, *report.answers)
        yield from (*report.data, *report.provenance, *report.identities)


def print_lines(lines: Iterable[str], console: Console) -> None:
    """Print sentences with a hanging indent."""
    grid = rich_table.Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for line in lines:
        grid.add_row("-", _text(line))
    if grid.rows:
        console.print(grid)


# ---- tables


def print_table(table: Table, console: Console, whole: bool = False) -> None:
    """Print a table with its title, caption and footnotes; `whole` keeps minor columns however narrow it is."""
    console.print()
    console.print(_text(table.title, "bold"))
    shown, left_out = (table, "") if whole else without_minor(table, console.width)
    drawn, above = _names_above(shown, console.width)
    parts = split(drawn, console.width)
    if len(parts) > MOST_PARTS or any(_breaks_a_name(part, console.width) for part in parts):
        _print_blocks(shown, console)
    else:
        for number, part in enumerate(parts):
            if number:
                console.print()
            _print_part(part, above, console)
    best = BEST_NOTE if table.has_best and console.is_terminal else ""
    for line in (join(table.caption, best, left_out), *table.notes):
        if line:
            console.print(_text(line, "dim"))


def without_minor(table: Table, width: int) -> tuple[Table, str]:
    """Return a table that fits, without its minor columns if need be, and a sentence that names them."""
    every = range(len(table.columns))
    minor = [number for number in every if table.columns[number].minor]
    if not minor or _total(_widths(table, width)) <= width:
        return table, ""
    names = [table.columns[number].name for number in minor]
    wider = f"With -v or on a wider terminal also: {listed(names)}."
    return _columns(table, [number for number in every if number not in minor]), wider


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
    last, before = chunks[-1], chunks[-2] if len(chunks) > 1 else []
    # A last part of one column beside a full one looks like a remainder: share the columns out.
    while len(last) + 1 < len(before) and not table.columns[last[0]].starts:
        last.insert(0, before.pop())
    return [_columns(table, keys + chunk) for chunk in chunks]


def _names_above(table: Table, width: int) -> tuple[Table, Mapping[int, Text]]:
    """Return a table without the names that are too long to stand beside their row, and these by the number of the row.

    Each is printed on a line above its row. Only rows of one line can be told apart then.
    """
    if table.keys != 1 or any(column.wraps for column in table.columns) or not _breaks_a_name(table, width):
        return table, {}
    names = [plain(cell_text(row[0])) for row in table.rows]
    above = {number: Text(name) for number, name in enumerate(names) if width // 2 < cell_len(name) <= width}
    rows = (((Cell(), *row[1:]) if number in above else row) for number, row in enumerate(table.rows))
    return replace(table, rows=tuple(rows)), above


def _print_part(part: Table, above: Mapping[int, Text], console: Console) -> None:
    """Print a table that fits, with these names above their rows."""
    if not above:
        console.print(_drawn(part, console.width))
        return
    lines = console.render_lines(_drawn(part, console.width), pad=False)
    ruled = 0 < part.upper < len(part.rows)
    first = len(lines) - len(part.rows) - ruled
    places = {first + number + (ruled and number >= part.upper): name for number, name in above.items()}
    for place, line in enumerate(lines):
        if place in places:
            console.print(places[place])
        console.print(Segments([*line, Segment.line()]), end="")


def _breaks_a_name(table: Table, width: int) -> bool:
    """Return whether a table does not fit because of a long word in what names its rows."""
    widths = _widths(table, width)
    return _total(widths) > width and max(widths[: table.keys], default=0) > width // 2


def _columns(table: Table, numbers: Sequence[int]) -> Table:
    return replace(
        table,
        columns=tuple(table.columns[number] for number in numbers),
        rows=tuple(tuple(row[number] for number in numbers) for row in table.rows),
    )


def _widths(table: Table, width: int) -> list[int]:
    """Return the least width of each column: its longest cell, or the longest word of what may be wrapped."""
    widths, whole = [], 0
    for number, column in enumerate(table.columns):
        texts = [plain(cell_text(row[number])) for row in table.rows]
        longest = max(map(cell_len, texts), default=0)
        whole = whole if number else longest
        if column.wraps or number < table.keys:
            word = max((cell_len(word) for text in texts for word in text.split()), default=0)
            most = WRAPPED if column.wraps else max(WRAPPED, width * 2 // 5)
            # A name is never broken; other long words may be.
            longest = min(longest, max(most, word if number < table.keys else min(word, width // 2)))
        widths.append(max([longest, *(cell_len(word) for word in column.name.split())]))
    if table.keys and not any(column.wraps for column in table.columns):
        # What nothing else needs keeps names on one line.
        widths[0] = max(widths[0], min(whole, widths[0] + width - _total(widths)))
    return widths


def _total(widths: Sequence[int], numbers: Sequence[int] | None = None) -> int:
    """Return the width of some columns side by side, or of all."""
    shown = widths if numbers is None else [widths[number] for number in numbers]
    return sum(shown) + GAP * (len(shown) - 1)


def _drawn(table: Table, width: int) -> rich_table.Table:
    drawn = rich_table.Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold"
    )
    for column, least in zip(table.columns, _widths(table, width), strict=True):
        wide = None if column.wraps else least
        drawn.add_column(_text(column.name), justify=column.align, width=wide, overflow="fold", vertical="top")
    for number, row in enumerate(table.rows, start=1):
        texts = [_text(cell_text(cell), STYLES[cell.tone]) for cell in row]
        drawn.add_row(*texts, end_section=number == table.upper)
    return drawn


def _print_blocks(table: Table, console: Console) -> None:
    """Print each row as a block: its name, and below it what is known under each column."""
    for row in table.rows:
        name = ", ".join(plain(cell_text(cell)) for cell in row[: table.keys])
        console.print(Text(name, style="bold"))
        facts = Text()
        for column, cell in zip(table.columns[table.keys :], row[table.keys :], strict=True):
            if (text := cell_text(cell)) != NONE:
                facts.append(f"{'; ' if facts else ''}{column.name}: ", style="dim")
                facts.append(plain(text).replace(" ", "\N{NO-BREAK SPACE}") if len(text) < WRAPPED else plain(text))
                facts.stylize(STYLES[cell.tone], len(facts) - len(text))
        console.print(Padding(facts, (0, 0, 0, 2)))
