"""A stored outcome shows the numbers, intervals and verdicts that an earlier version of the report showed.

`values.json` was written by that version (see `renderings`). The wording may differ, a number may not. One was changed
by hand: a bound just below zero, beside the verdict `regressed`, was shown as `+0.000` and is now `<0`.
That version wrote the one seed, 0, behind every name, also behind those of other systems at the end of a row.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import renderings
from rich.console import Console

from harness.report.render.terminal import render
from harness.results import outcomes

GOLDEN = Path(__file__).parent / "golden"
STORED = [path.parent for path in sorted(GOLDEN.glob("*/values.json"))]
each_outcome = pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)


def golden(folder: Path) -> dict[str, list[Any]]:
    text = (folder / "values.json").read_text(encoding="utf-8").replace(" (seed 0)", "")
    found: dict[str, list[Any]] = json.loads(text)
    return {"rows": [without_seeds(row) for row in found["rows"]], "differences": found["differences"]}


def without_seeds(value: Any) -> Any:
    """Return a row without the zeros at its end; a difference as it is."""
    if isinstance(value, str):
        return value
    last = next((place for place in range(len(value), 0, -1) if value[place - 1] != "0"), 0)
    return tuple(value[:last])


@each_outcome
def test_every_rendering_shows_the_values_of_the_earlier_version(folder: Path) -> None:
    before = golden(folder)
    assert len(before["rows"]) > 50
    for name, now in renderings.values_of(folder / "outcome.json").items():
        for key, values in before.items():
            shown = set(map(without_seeds, now[key]))
            assert [value for value in values if value not in shown] == [], (name, key)


@each_outcome
def test_a_terminal_of_100_columns_shows_every_number(folder: Path) -> None:
    console = Console(file=(file := io.StringIO()), width=100, force_terminal=False, color_system=None)
    render(outcomes.read(folder), console, verbose=True)
    shown = set(renderings.tokens(" ".join(file.getvalue().split())))
    wanted = {token for row in golden(folder)["rows"] for token in row[2:] if token[0] in "+-" and "." in token}
    assert sorted(wanted - shown) == []


@each_outcome
def test_a_changed_number_is_noticed(folder: Path, tmp_path: Path) -> None:
    text = (folder / "outcome.json").read_text(encoding="utf-8")
    outcome = json.loads(text)
    mean = next(row for row in outcome["summaries"] if row["mean"])
    gain = next(row for row in outcome["comparisons"] if row["family"] == "gain" and row["difference"])
    for row, field, change in ((mean, "mean", 0.01), (gain, "difference", 0.01), (gain, "high", 0.01)):
        kept = row[field]
        row[field] = kept + change
        (tmp_path / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
        row[field] = kept
        now = renderings.values_of(tmp_path / "outcome.json")
        assert all(lost(folder, values) for values in now.values()), field
    gain["verdict"] = "improved" if gain["verdict"] != "improved" else "equivalent"
    (tmp_path / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
    now = renderings.values_of(tmp_path / "outcome.json")
    assert all(lost(folder, values) for values in now.values())


def lost(folder: Path, values: dict[str, Any]) -> set[Any]:
    """Return the rows of the earlier version that are not shown."""
    return set(golden(folder)["rows"]) - set(map(without_seeds, values["rows"]))
