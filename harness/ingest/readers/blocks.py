"""Blocks of text as they are met in a page, written as Markdown: headings, paragraphs, lists, tables, code."""

from __future__ import annotations

import re

from harness.ingest.readers.parsed import heading, no_heading, one_line

FENCE = re.compile(r"^ {0,3}(`{3,})", re.MULTILINE)
DEEPEST = 12
"""Levels of a list that are shown by indentation."""


class Blocks:
    """Takes texts and the borders between them, in the order of the page. `words` counts what was taken."""

    def __init__(self) -> None:
        self._done: list[list[str]] = []
        self._inline: list[str] = []
        self._lists: list[list[int]] = []
        self._marker = ""
        self._width = 2
        self._heading = 0
        self._code = 0
        self._tables: list[bool] = []
        self._rows: list[list[str]] = []
        self._tight = False
        self._headings: list[tuple[int, str]] = []
        self.words = 0

    def add(self, text: str) -> None:
        """Take a text that goes on where the last one ended."""
        self._inline.append(text if self._code else re.sub(r"\s+", " ", text))

    def line(self) -> None:
        """Break the line inside a paragraph."""
        self._inline.append(" " if self._in_cell or self._heading else "\n")

    def block(self) -> None:
        """End a paragraph; inside a heading, a cell or code, only a word."""
        if self._code:
            if self._inline and not self._inline[-1].endswith("\n"):
                self._inline.append("\n")
        elif self._heading or self._in_cell:
            self._inline.append(" ")
        else:
            self._flush()

    def open_heading(self, level: int) -> None:
        self.block()
        if not (self._in_cell or self._code):
            self._heading = level

    def close_heading(self) -> None:
        """End a heading, which is no heading inside a cell or code."""
        level, self._heading = self._heading, 0
        if not level:
            self.block()
            return
        words = one_line(self._taken())
        if words:
            self._headings.append((level, words))
            self._write(heading(level, words), self._starts_item())

    def open_code(self) -> None:
        self.block()
        self._code += not self._in_cell

    def close_code(self) -> None:
        """End code, which keeps its lines between fences longer than any in it."""
        if not self._code:
            self.block()
            return
        self._code -= 1
        if self._code:
            return
        text = "".join(self._inline).strip("\n")
        self._inline = []
        if text.strip():
            self.words += len(text.split())
            fence = "`" * max([3, *(len(mark) + 1 for mark in FENCE.findall(text))])
            self._write(f"{fence}\n{text}\n{fence}", self._starts_item())

    def open_list(self, numbered: bool) -> None:
        self.block()
        self._lists.append([1] if numbered else [])

    def close_list(self) -> None:
        self.block()
        if self._lists:
            self._lists.pop()
        self._marker, self._tight = "", bool(self._lists)

    def item(self) -> None:
        self.block()
        if self._code or self._in_cell:
            return
        numbers = self._lists[-1] if self._lists else []
        self._marker = f"{numbers[0]}. " if numbers else "- "
        if numbers:
            numbers[0] += 1

    def open_table(self, data: bool) -> None:
        """Begin a table; of a layout that is no data, the cells are paragraphs."""
        self.block()
        self._tables.append(data and not self._code)
        if self._tables[-1]:
            self._rows = []

    def close_table(self) -> None:
        if self._tables and self._tables[-1]:
            self.row()
            rows = [row for row in self._rows if any(row)]
            self._rows = []
            self._tables.pop()
            if rows:
                width = max(len(row) for row in rows)
                lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
                lines[1:1] = [f"|{' --- |' * width}"] if len(lines) > 1 else []
                self.words += sum(len(cell.split()) for row in rows for cell in row)
                self._write("\n".join(lines), self._starts_item())
            return
        self.block()
        if self._tables:
            self._tables.pop()

    def row(self) -> None:
        """Begin a row, or end the last one."""
        if not self._in_cell:
            self.block()
            return
        self.cell()
        if not self._rows or self._rows[-1]:
            self._rows.append([])

    def cell(self) -> None:
        """Begin a cell, or end it: what was taken since is a cell, if there is any."""
        if not self._in_cell:
            self.block()
            return
        text = one_line("".join(self._inline)).replace("|", "\\|")
        self._inline = []
        if text:
            if not self._rows:
                self._rows.append([])
            self._rows[-1].append(text)

    def first(self, level: int) -> str:
        """Return the first heading of this level or above it; empty if there is none."""
        return next((words for depth, words in self._headings if depth <= level), "")

    def text(self) -> str:
        return "\n\n".join("\n".join(lines) for lines in self._done)

    @property
    def _in_cell(self) -> bool:
        return bool(self._tables) and self._tables[-1]

    def _taken(self) -> str:
        text = "".join(self._inline)
        self._inline = []
        self.words += len(text.split())
        return text

    def _starts_item(self) -> tuple[str, bool]:
        """The marker of a list's item, once, with its indentation."""
        depth = min(max(len(self._lists) - 1, 0), DEEPEST)
        marker, self._marker = self._marker, ""
        self._width = len(marker) or self._width
        return "  " * depth + (marker or (" " * self._width if self._lists else "")), bool(marker)

    def _flush(self) -> None:
        lines = [one_line(line) for line in self._taken().split("\n")]
        text = no_heading("\n".join(line for line in lines if line))
        if text.strip():
            self._write(text, self._starts_item())

    def _write(self, text: str, start: tuple[str, bool]) -> None:
        """Add a block. Items of a list follow each other without an empty line."""
        lead, begins = start
        if not lead:
            self._done.append([text])
            self._tight = False
            return
        blank = " " * len(lead)
        lines = text.split("\n")
        # A heading is one only at the start of a line.
        if lines[0].startswith("#"):
            lead = blank = ""
        block = "\n".join([lead + lines[0], *(f"{blank}{line}" if line else "" for line in lines[1:])])
        if begins and self._tight and self._done:
            self._done[-1].append(block)
        else:
            self._done.append([block])
        self._tight = begins or self._tight
