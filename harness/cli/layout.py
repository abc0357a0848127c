"""Layout of what `list`, `doctor` and `plan` print: it fits the terminal and breaks no word.

A table that is too wide for the terminal becomes blocks, one a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.values.systems import trained

GAP = 2
"""Blanks between two columns."""
READABLE = 24
"""Columns that a text needs at least to be read in lines."""

Row = Sequence[str | Text]


def what_changes(tunes: Sequence[str], training: Sequence[str], changes: Sequence[str]) -> str:
    """Return what a candidate is: ``tunes retriever (pairs=structure); reranker.kind=late-interaction``.

    One that tunes nothing is ``no training; ...``.
    """
    first = trained(f"tunes {', '.join(tunes)}", training) if tunes else "no training"
    return "; ".join([first, *([", ".join(changes)] if changes else [])])


def heading(title: str, console: Console) -> None:
    """Print the title of a group, with an empty line above."""
    console.print()
    console.print(Text(title, style="bold"))


def paragraph(text: str, console: Console) -> None:
    """Print a text below a heading."""
    console.print(Padding(Text(text), (0, 0, 0, GAP)))


def sentences(lines: Sequence[str], console: Console) -> None:
    """Print sentences as a list with a hanging indent."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for line in lines:
        grid.add_row("-", Text(line))
    if lines:
        console.print(grid)


def fields(pairs: Sequence[Row], console: Console) -> None:
    """Print names with their values, the values aligned; each value below its name where there is little room."""
    if not pairs:
        return
    width = max(cell_len(_plain(name)) for name, *_ in pairs)
    # No word is broken, so the longest must fit.
    longest = max((cell_len(word) for row in pairs for word in _plain(row[-1]).split()), default=0)
    if console.width - width - 2 * GAP >= max(READABLE, longest):
        grid = Table.grid(padding=(0, GAP, 0, 0))
        grid.add_column(no_wrap=True, width=width)
        for _ in range(max(len(row) for row in pairs) - 2):
            grid.add_column(no_wrap=True)
        grid.add_column()
        for row in pairs:
            grid.add_row(*map(_text, row))
        console.print(Padding(grid, (0, 0, 0, GAP)))
        return
    for name, *values in pairs:
        console.print(_text(name))
        for value in values:
            console.print(Padding(_text(value), (0, 0, 0, GAP)))


def table(columns: Sequence[str], rows: Sequence[Row], numbers: Sequence[str], console: Console) -> None:
    """Print a table, the columns `numbers` aligned to the right; or a block a row where it does not fit."""
    widths = _widths(columns, rows, numbers, console.width)
    if widths is None:
        _blocks(columns, rows, console)
        return
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for name, width in zip(columns, widths, strict=True):
        drawn.add_column(name, width=width, justify="right" if name in numbers else "left")
    for row in rows:
        drawn.add_row(*map(_text, row))
    console.print(drawn)


def _widths(columns: Sequence[str], rows: Sequence[Row], numbers: Sequence[str], room: int) -> list[int] | None:
    """Widths at which no word is broken; None if the table does not fit."""
    least, most = [], []
    for number, name in enumerate(columns):
        cells = [_plain(row[number]) for row in rows]
        longest = max(map(cell_len, (*cells, name)))
        words = max(cell_len(word) for text in (*cells, name) for word in text.split() or [""])
        least.append(longest if name in numbers else max(words, min(longest, READABLE)))
        most.append(longest)
    left = room - sum(least) - GAP * (len(columns) - 1) - 1
    if left < 0:
        return None
    for number in sorted(range(len(columns)), key=lambda number: most[number] - least[number]):
        more = min(left, most[number] - least[number])
        least[number] += more
        left -= more
    return least


def _blocks(columns: Sequence[str], rows: Sequence[Row], console: Console) -> None:
    for row in rows:
        first, *others = row
        console.print(_text(first))
        known = [f"{name}: {_plain(value)}" for name, value in zip(columns[1:], others, strict=True) if _plain(value)]
        for line in _joined(known, console.width - GAP):
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, GAP)))


def _joined(items: Sequence[str], room: int) -> list[str]:
    """Items with commas between them, in lines that break between two items only."""
    lines: list[str] = []
    for item in items:
        if lines and cell_len(lines[-1]) + cell_len(item) + 2 < room:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    return lines


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _plain(cell: str | Text) -> str:
    return cell.plain if isinstance(cell, Text) else cell
