"""Cells as a page draws and sorts them, and tables on a terminal."""

from __future__ import annotations

import io
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.report import format as fmt
from harness.report.model import Cell, Column, Table, Unit, difference, left, number
from harness.report.render.page_tables import PAD, WIDTH, page_table
from harness.report.render.terminal import print_table
from harness.text import decimals

# ---- cells


def test_a_difference_is_drawn_in_parts() -> None:
    cells = (difference(0.0512, 0.01, 0.09, "improved"), difference(-0.1, None, None, "no claim"), Cell("baseline"))
    table = page_table(Table("T", (Column("x"),), tuple((cell,) for cell in cells), keys=0), {})
    parts = [row[0].parts for row in table.lower]
    assert parts == [("+0.051", "[+0.010, +0.090]", "improved"), None, None]
    assert [row[0].text for row in table.lower] == ["+0.051 [+0.010, +0.090] improved", "-0.100 no claim", "baseline"]


def test_intervals_of_a_column_share_a_scale_and_lie_inside_the_plot() -> None:
    gains = (difference(0.1, 0.05, 0.15, "improved"), difference(-0.2, -0.4, 0.0, "inconclusive"))
    columns = (Column("system", "left"), Column("ndcg@10", "left"))
    table = Table("Gains", columns, tuple((Cell(name), gain) for name, gain in zip("ab", gains, strict=True)))
    made = page_table(table, {"ndcg@10": 0.02})
    first, second = (row[1].plot for row in made.lower)
    assert first is not None
    assert second is not None
    assert second.low == PAD
    assert first.high == WIDTH - PAD
    assert first.zero == second.zero == second.high
    assert second.low < second.point < second.high < first.low < first.point < first.high
    assert first.band is not None
    assert first.band[0] < first.zero < first.band[1]
    assert math.isclose(first.band[1] - first.zero, first.zero - first.band[0], abs_tol=0.2)


# ---- columns sort by numbers and not by their text

UNITS = [*fmt.WRITERS]


@pytest.mark.parametrize("unit", UNITS)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=8, unique=True))
def test_a_column_sorts_by_its_numbers(unit: Unit, values: list[float]) -> None:
    """Also where two texts are equal, have different units, or a sign before that of the dollar."""
    rows = tuple((Cell(str(place)), number(value, unit, " more")) for place, value in enumerate(values))
    table = page_table(Table("T", (Column("system", "left"), Column("x")), rows), {})
    keys = [float(row[1].sort) for row in (*table.upper, *table.lower)]
    ordered = [values[place] for place in sorted(range(len(values)), key=keys.__getitem__)]
    assert all(one <= other or math.isclose(one, other, rel_tol=1e-8) for one, other in itertools.pairwise(ordered))


def test_a_cell_of_words_or_without_a_number_has_no_key() -> None:
    cells = (Cell("12 apples"), number(None, "ms"), number(float("nan"), "dollars"))
    table = page_table(Table("T", (Column("x"),), tuple((cell,) for cell in cells), keys=0), {})
    assert [row[0].sort for row in table.lower] == ["", "", ""]
    assert [row[0].text for row in table.lower] == ["12 apples", decimals.NONE, decimals.NONE]


@pytest.mark.parametrize("length", [10, 40, 41, 56, 70, 78])
@pytest.mark.parametrize("width", [80, 100])
def test_a_table_breaks_no_name_however_long_it_is(length: int, width: int) -> None:
    name = "n" * length
    numbers = (number(0.5, "mean"), number(0.25, "mean"))
    table = Table("Means", (*left("system"), Column("ndcg@10"), Column("recall@100")), ((Cell(name), *numbers),))
    console = Console(file=(file := io.StringIO()), width=width, force_terminal=False, color_system=None)
    print_table(table, console)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert sum(name in line for line in lines) >= 1
    assert {"0.500", "0.250"} <= set(file.getvalue().replace(";", "").split())


def test_a_long_name_stands_above_its_row_and_the_others_beside_theirs() -> None:
    names = ["short", "n" * 41, "m" * 48, "other"]
    gain = difference(0.124, 0.033, 0.216, "inconclusive")
    rows = tuple((Cell(name), gain) for name in names)
    table = Table("Gains", (*left("system"), Column("ndcg@10", "left")), rows, upper=2)
    console = Console(file=(file := io.StringIO()), width=80, force_terminal=False, color_system=None)
    print_table(table, console)
    lines = [line.rstrip() for line in file.getvalue().splitlines() if line.strip()][3:]
    beside = "+0.124 [+0.033, +0.216] inconclusive"
    assert [" ".join(line.split()) for line in lines] == [
        f"short {beside}", names[1], beside, names[2], beside, f"other {beside}",
    ]  # fmt: skip
