"""The numbers of a rendered report, without its wording: what a change of the report code must leave as it is.

Run as a program with the code of another version on the path, it writes what that version shows:
``PYTHONPATH=VERSION:tests python tests/renderings.py OUTCOME_JSON`` prints the extracted values as JSON.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VERDICTS = ("improved", "regressed", "equivalent", "inconclusive", "not comparable", "missing", "failed", "new")
NUMBER = r"(?:(?:below|above) 0(?![\d.])|[-+<]*\$?\d[\d,]*(?:\.\d+)?)"
TOKEN = re.compile(rf"{NUMBER}(?: (?:h|min|s|ms|MB|GB|kB|%)(?![a-z]))?|(?<![\w-])(?:{'|'.join(VERDICTS)})(?![\w-])")
DIFFERENCE = re.compile(r"[+-]\d+\.\d+ \[(?:[+-]\d+\.\d+|above 0), (?:[+-]\d+\.\d+|below 0)\]")
WIDE = 2000
Row = tuple[str, ...]


def tokens(text: str) -> Row:
    """Return the numbers with their units, and the verdicts, in their order."""
    return tuple(TOKEN.findall(text))


class Extract:
    """What is read out of the tables and sentences of one rendering; `labels` are the systems, `measures` their own."""

    def __init__(self, labels: Iterable[str], measures: Iterable[str]) -> None:
        self.labels, self.measures = set(labels), set(measures)
        self.rows: set[Row] = set()
        self.differences: set[str] = set()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Add one row of values for each system, and each measure where the columns are measures."""
        names = [self._measure(column) for column in columns]
        for row in rows:
            if row[0] not in self.labels:
                continue
            own = [self._measure(cell) for cell in row[1:3]]
            others = [cell for cell, name in zip(row[1:], own + [None] * len(row), strict=False) if name is None]
            measure = next(filter(None, own), "")
            if measure or not any(names):
                self.rows.add((row[0], measure, *tokens(" | ".join(others))))
            else:
                for name, cell in zip(names, row, strict=True):
                    if name:
                        self.rows.add((row[0], name, *tokens(cell)))
                rest = [cell for name, cell in zip(names[1:], row[1:], strict=True) if not name]
                if rest:
                    self.rows.add((row[0], "", *tokens(" | ".join(rest))))

    def text(self, text: str) -> None:
        """Add every difference with its interval, and its verdict where one follows."""
        self.differences |= set(DIFFERENCE.findall(" ".join(text.split())))

    def _measure(self, cell: str) -> str | None:
        word = cell.strip().rstrip("°").removeprefix("gain ")
        return word if word in self.measures else None


def of_markdown(text: str, extract: Extract) -> None:
    plain = re.sub(r"\\(.)", r"\1", text).replace("**", "").replace("&lt;", "<").replace("&amp;", "&")
    extract.text(plain)
    for block in re.findall(r"(?:^\|.*\n)+", plain + "\n", flags=re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines()]
        extract.table(lines[0], lines[2:])


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self._cell = False
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in ("script", "style", "svg"):
            self._hidden = self._hidden or tag
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self.words.append(data)
        if self._cell:
            self.tables[-1][-1][-1] += data


def of_html(text: str, extract: Extract) -> None:
    page = _Page()
    page.feed(text)
    extract.text(" ".join(page.words))
    for table in page.tables:
        rows = [[" ".join(cell.split()) for cell in row] for row in table if row]
        if len(rows) > 1:
            extract.table(rows[0], [row for row in rows[1:] if len(row) == len(rows[0])])


def of_terminal(text: str, extract: Extract) -> None:
    """Read a rendering so wide that no table is split: cells are two blanks apart."""
    extract.text(text)
    columns: list[str] = []
    for line in text.splitlines():
        cells = re.split(r" {2,}", line.strip())
        if len(cells) == len(columns) and cells[0] in extract.labels:
            extract.table(columns, [cells])
        elif (len(cells) > 1 and not tokens(line.replace("°", ""))) or _is_header(cells, extract):
            columns = cells


def _is_header(cells: Sequence[str], extract: Extract) -> bool:
    return len(cells) > 1 and cells[0] not in extract.labels and not cells[0].startswith("-")


def values_of(path: Path) -> dict[str, dict[str, Any]]:
    """Return what each rendering of a stored outcome shows: rows of values, and differences in text."""
    from rich.console import Console

    try:
        from harness.results import outcomes
    except ImportError:
        from harness import outcomes  # type: ignore[no-redef,attr-defined,unused-ignore]
    outcome = outcomes.read(path.parent)
    return values_of_texts(outcome, *_texts(outcome, Console))


def _texts(outcome: Any, console_of: Any) -> tuple[str, str, str]:
    render_html, render_markdown, render = _renderers()
    console = console_of(file=io.StringIO(), width=WIDE, force_terminal=False, color_system=None)
    render(outcome, console, verbose=True)
    return console.file.getvalue(), render_markdown(outcome), render_html(outcome)


def _renderers() -> tuple[Any, Any, Any]:
    """Return the functions of the version on the path; `harness.report` had no package `render` before."""
    package = "harness.report.render" if find_spec("harness.report.render") else "harness.report"
    html, markdown, terminal = (import_module(f"{package}.{name}") for name in ("html", "markdown", "terminal"))
    return html.render_html, markdown.render_markdown, terminal.render


def values_of_texts(outcome: Any, terminal: str, markdown: str, html: str) -> dict[str, dict[str, Any]]:
    """Return the extracted values by rendering."""
    labels = {info.label for info in outcome.systems} | {info.name for info in outcome.systems}
    found = {}
    for name, read, text in (
        ("terminal", of_terminal, terminal), ("markdown", of_markdown, markdown), ("html", of_html, html),
    ):  # fmt: skip
        extract = Extract(labels, outcome.measures)
        read(text, extract)
        found[name] = {"rows": sorted(extract.rows), "differences": sorted(extract.differences)}
    return found


def shared(found: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """Return what all renderings show alike."""
    return {
        key: sorted(set.intersection(*(set(map(_hashable, values[key])) for values in found.values())))
        for key in ("rows", "differences")
    }


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    lines = {key: ",\n".join(map(json.dumps, rows)) for key, rows in shared(values_of(Path(sys.argv[1]))).items()}
    sys.stdout.write("{" + ",\n".join(f'"{key}": [\n{text}\n]' for key, text in lines.items()) + "}\n")
