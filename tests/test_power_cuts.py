"""A power cut at any moment: what was finished is there, nothing half is, and the next run completes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CUT = 9
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def cuts(tmp_path: Path, places: list[int], what: str = "run") -> list[dict[str, Any]]:
    environment = {
        **os.environ, "HARNESS_FSYNC": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [sys.executable, str(HERE / "power_cuts.py"), what, str(tmp_path), *map(str, places)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def check(row: dict[str, Any], whole: list[dict[str, Any]]) -> None:
    where = f"cut at {row['at']} of {row['events']}; then {row['said_then']}"
    # A run on a busy machine may have fewer changes than the one that was counted, and then ends before the cut.
    assert row["code"] == (CUT if row["at"] <= row["events"] else 0), where
    assert row["scores"] in ([], whole), where
    assert row["damage"] == [], where
    assert (row["again"], row["then"]) == (0, whole), where


def of_whole_run(tmp_path: Path) -> dict[str, Any]:
    """What is left of a run that had ended: all of it."""
    (row,) = cuts(tmp_path, [0])
    assert row["code"] == 0
    assert row["scores"]
    assert row["scores"] == row["then"]
    assert (row["again"], row["made"], row["damage"]) == (0, 0, [])
    return row


def test_what_was_finished_outlives_a_power_cut(tmp_path: Path) -> None:
    whole = of_whole_run(tmp_path)
    places = sorted(random.Random(3).sample(range(1, whole["events"]), 5))
    rows = cuts(tmp_path, places)
    for row in rows:
        check(row, whole["scores"])
    # What was committed before the cut is not made again.
    kept = [row["kept"] for row in rows]
    assert kept == sorted(kept)
    assert all(row["made"] <= whole["kept"] - row["kept"] for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_power_cuts(tmp_path: Path) -> None:
    whole = of_whole_run(tmp_path)
    random_places = random.Random(11)
    for row in cuts(tmp_path, [random_places.randint(1, whole["events"] - 1) for _ in range(200)]):
        check(row, whole["scores"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_power_cut_leaves_the_scores_that_were_accepted_or_the_new_ones(tmp_path: Path) -> None:
    (whole,) = cuts(tmp_path, [0], "accept")
    assert (whole["code"], whole["accepted"]) == (0, "second")
    assert whole["events"] > 10
    for row in cuts(tmp_path, list(range(1, whole["events"])), "accept"):
        where = f"cut at {row['at']} of {row['events']}: {row['accepted']}; then {row['said_then']}"
        assert row["code"] == CUT, where
        assert row["accepted"] in ("first", "second"), where
        assert (row["again"], row["then"]) == (0, "second"), where
