"""Markdown out of values: tables, and prose of docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

GENERATED = "This page is generated from the program when the site is built; do not edit it by hand."


def page(title: str, lead: str, *parts: str) -> str:
    """Return a page: its title, what it is, and its parts."""
    return "\n\n".join([f"# {title}", lead, *(part.strip("\n") for part in parts if part)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines)


def cell(text: str) -> str:
    """Return a text as the cell of a table."""
    return re.sub(r"(?<!\\)\|", r"\|", " ".join(text.split()))


def code(text: object) -> str:
    """Return a text as code; an empty one stays empty."""
    return f"`{text}`" if str(text) else ""


def prose(text: str | None) -> str:
    """Return a docstring as Markdown: what is no code is shown as it is written."""
    parts = re.split(r"(``[^`]+``|`[^`]+`)", inspect.cleandoc(text or ""))
    return "".join(part if number % 2 else _plain(part) for number, part in enumerate(parts))


def summary(text: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(prose(text).split("\n\n")[0].split())


def _plain(text: str) -> str:
    return re.sub(r"([<*\[\]])", r"\\\1", text)
