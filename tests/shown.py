"""Reports as tests look at them: printed at a width, without colour; and the texts of their cells."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from rich.console import Console

from harness.report.format import cell_text
from harness.report.model import Cell


def printed(print_it: Callable[[Console], object], width: int = 120) -> str:
    """Return what is printed on a console of this width."""
    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=False, color_system=None)
    print_it(console)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def texts(cells: Iterable[Cell]) -> list[str]:
    """Return the texts of a row."""
    return list(map(cell_text, cells))
