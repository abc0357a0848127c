"""Any change of a file may fail: what was there stays, one sentence says it, and the next run completes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ERRORS = {"ENOSPC": "No space left", "EIO": "Input/output error", "EMFILE": "Too many open files"}
CODES = (0, 2, 3)
needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or not sys.platform.startswith("linux"), reason="needs a C compiler on Linux"
)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("shim") / "io_faults.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "io_faults.c"), "-ldl"]
    subprocess.run(command, check=True)
    return library


def runs(
    shim: Path, tmp_path: Path, name: str, stays: bool, places: list[int], what: str = "run"
) -> list[dict[str, Any]]:
    """How a command ended with the change at each of these places failing, and what the same did after it."""
    folder = tmp_path / "below"
    folder.mkdir(exist_ok=True)
    environment = {
        **os.environ, "LD_PRELOAD": str(shim), "IO_FAULT_BELOW": str(folder / "root"), "HARNESS_FSYNC": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    number = str(getattr(errno, name))
    command = [
        sys.executable,
        str(HERE / "io_faults.py"),
        what,
        str(folder),
        number,
        str(int(stays)),
        *map(str, places),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def check(row: dict[str, Any], name: str, whole: list[dict[str, Any]]) -> None:
    where = f"{name} at {row['at']} ({row['what']}), exit code {row['code']}: {row['said']}"
    # A run may have a few changes less than the one that was counted, and then ends before the fault.
    assert row["what"] or row["count"] < row["at"], f"no fault came: {where}"
    assert "Traceback" not in row["said"], where
    assert row["code"] in (CODES if row["what"] else (0,)), where
    # Before or after, never between: scores are all there, or none are. A call that failed is one sentence in its rows.
    if row["code"] == 3:
        assert all(map(_right_or_failed, row["scores"], whole)), where
        assert len(row["scores"]) in (0, len(whole)), where
    else:
        assert row["scores"] in ([], whole), where
    assert row["damage"] == [], where
    if row["code"] == 0:
        assert row["scores"] == whole, where
    elif row["code"] == 2:
        assert ERRORS[name] in row["said"], where
        assert row["said"].count("error: ") == 1, where
    assert (row["again"], row["then"]) == (0, whole), f"{where}; then {row['said_then']}"


def _right_or_failed(row: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether a score is what it has to be, or a failure of it with its reason."""
    failed = {"status": "failed", "value": None}
    return row == right or (
        {**row, **failed, "reason": ""} == {**right, **failed, "reason": ""} and bool(row["reason"])
    )


def sampled(count: int, most: int) -> list[int]:
    return sorted({1 + round(place * (count - 1) / (most - 1)) for place in range(most)})


@needs_compiler
@pytest.mark.parametrize(("name", "stays"), [("ENOSPC", True), ("EIO", False)])
def test_a_change_that_fails_is_one_sentence_and_the_next_run_completes(
    name: str, stays: bool, shim: Path, tmp_path: Path
) -> None:
    (counted,) = runs(shim, tmp_path, name, False, [0])
    assert counted["code"] == 0
    assert counted["count"] > 50
    for row in runs(shim, tmp_path, name, stays, sampled(counted["count"], 5)):
        check(row, name, counted["scores"])


@pytest.mark.slow
@pytest.mark.timeout(7200)
@needs_compiler
@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("name", ERRORS)
def test_every_change_may_fail(name: str, stays: bool, shim: Path, tmp_path: Path) -> None:
    (counted,) = runs(shim, tmp_path, name, False, [0])
    for row in runs(shim, tmp_path, name, stays, list(range(1, counted["count"] + 1))):
        check(row, name, counted["scores"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs_compiler
@pytest.mark.parametrize(("name", "stays"), [("ENOSPC", True), ("EIO", False), ("EMFILE", False)])
def test_scores_are_accepted_as_a_whole_or_not_at_all(name: str, stays: bool, shim: Path, tmp_path: Path) -> None:
    (counted,) = runs(shim, tmp_path, name, False, [0], "accept")
    assert (counted["code"], counted["accepted"]) == (0, "second")
    assert counted["count"] > 10
    for row in runs(shim, tmp_path, name, stays, list(range(1, counted["count"] + 1)), "accept"):
        where = f"{name} at {row['at']} ({row['what']}), exit code {row['code']}: {row['said']}"
        assert row["what"], f"no fault came: {where}"
        assert "Traceback" not in row["said"], where
        assert row["code"] in (0, 2), where
        assert row["accepted"] in (("second",) if row["code"] == 0 else ("first", "second")), where
        if row["code"] == 2:
            assert ERRORS[name] in row["said"], where
            assert row["said"].count("error: ") == 1, where
        assert (row["again"], row["then"]) == (0, "second"), f"{where}; then {row['said_then']}"
