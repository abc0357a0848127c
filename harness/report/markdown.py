"""A report as Markdown: every table, and all that is needed to trace and to judge the numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.report import figures, words
from harness.report.contents import contents
from harness.report.hostile import plain
from harness.report.sources import source, yaml_text
from harness.report.tables import BEST_NOTE
from harness.report.values import Cell, Table
from harness.report.view import view
from harness.values.findings import Outcome

TEMPLATE = "report.md.j2"
_SPECIAL = re.compile(r"[\\`*|]|\](?=[(:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


class File(NamedTuple):
    """A picture that lies beside the text: its path from there, what it says, its content, and where it is shown.

    One of no `section` stands below the answer.
    """

    path: str
    told: str
    svg: str
    section: str = ""


def pictures_of(outcome: Outcome, folder: str) -> list[File]:
    """Draw the pictures of an outcome, to be put into a folder beside its Markdown."""
    from harness.report import charts, diagnosis_pictures, forest, plots
    from harness.report.tradeoff import pictures

    style, seen = source("chart.css"), view(outcome)
    drawn = [(found.name, found.told, forest.draw(found, style)) for found in forest.forests(seen)]
    drawn += [(found.name, found.told, charts.draw(found, style)) for found in pictures(seen)]
    before = [
        File(f"{folder}/{one.name}.svg", one.told, plots.draw(one, style), one.section)
        for one in diagnosis_pictures.before(outcome)
    ]
    return [*(File(f"{folder}/{name}.svg", told, svg) for name, told, svg in drawn), *before]


def render_markdown(outcome: Outcome, pictures: Sequence[File] = ()) -> str:
    """Return the whole report as one Markdown text; `pictures` lie beside it."""
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            outcome=outcome,
            report=contents(outcome),
            pictures=pictures,
            how_to_read=words.how_to_read(view(outcome)),
            spec=yaml_text(outcome.spec),
            took=figures.duration(outcome.seconds),
            provenance=outcome.provenance,
            seeds=outcome.spec.get("seeds", ()),
            data_seed=(outcome.spec.get("data") or {}).get("data_seed"),
        )
    )


def environment() -> Environment:
    """What templates of Markdown are drawn with: text is escaped by the filter `text`, not by itself."""
    made = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    made.filters.update(text=escaped, table=table_text, code=fenced)
    return made


def escaped(text: object) -> str:
    """Text that Markdown shows as it is, on one line: a reason may hold pipes, tags, stars or links."""
    line = " ".join(plain(str(text)).split())
    return _SPECIAL.sub(r"\\\g<0>", line).replace("&", "&amp;").replace("<", "&lt;")


def table_text(table: Table) -> str:
    """A table with its caption and footnotes, without its title."""
    lines = [
        _row([escaped(column.name) for column in table.columns]),
        _row([":---" if column.align == "left" else "---:" for column in table.columns]),
        *(_row([_cell(cell) for cell in row]) for row in table.rows),
    ]
    for note in (" ".join(text for text in (table.caption, BEST_NOTE if table.has_best else "") if text), *table.notes):
        lines += ["", escaped(note)] if note else []
    return "\n".join(lines)


def _row(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    return f"**{text}**" if cell.tone == "best" else text


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
