"""A section of a report as a plain value: sentences, tables and lists under one heading. Knows nothing of drawing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.report.values import Table


@dataclass(frozen=True)
class Item:
    """One of a list, with lines below it: ``lines`` has pairs of a heading and its sentences."""

    title: str
    lines: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Section:
    """`slug` names it in a page and says which pictures belong to it; `short` is its name where room is scarce.

    `tables` and `items` are always shown in files, `in_full` only to who asks, under the words `folded`. On a terminal
    a section that is not `brief` has its sentences only, unless one asks for more.
    """

    slug: str
    short: str
    title: str
    told: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    items: tuple[Item, ...] = ()
    in_full: tuple[Table, ...] = ()
    folded: str = "The whole table"
    brief: bool = True

    def __bool__(self) -> bool:
        return bool(self.told or self.tables or self.items or self.in_full)


def present(*found: Table | None) -> tuple[Table, ...]:
    """The tables that there are."""
    return tuple(table for table in found if table is not None)


def filled(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The sections that say anything."""
    return tuple(section for section in sections if section)
