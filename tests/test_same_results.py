"""`tests/perf/same_results.py` tells two stores with one outcome from two with others."""

from __future__ import annotations

import sys
from pathlib import Path

import outcomes as invented
import pytest
from outcome_ledger import ledger_row

from harness.data import formats
from harness.results.outcomes import SCORE_COLUMNS
from harness.store import FolderStore

sys.path.insert(0, str(Path(__file__).resolve().parent / "perf"))

import same_results

MEANS = {"bm25": 0.3, "untuned": 0.5}
KEYS = ("aa" * 16, "bb" * 16)


def store(root: Path, *keys: str, files: str = "the same") -> Path:
    ledger = tuple(ledger_row(1, "index", "index for bm25", 1.0).model_copy(update={"key": key}) for key in keys)
    outcome = invented.normal().model_copy(update={"ledger": ledger})
    invented.put(root, outcome, MEANS)
    for key in keys:
        held = FolderStore(root / "store")
        with held.claim(key) as folder:
            (folder / "file").write_text(files)
            held.commit(key, folder, {})
    return root


def told(capsys: pytest.CaptureFixture[str], first: Path, second: Path) -> tuple[int, str]:
    code = same_results.main([invented.normal().suite, str(first), str(second)])
    return code, " ".join(capsys.readouterr().out.split())


def change(root: Path, number: int, **changes: object) -> None:
    path = next((root / "outcomes").rglob("scores.parquet"))
    rows = formats.read_parquet(path)
    rows[number] = {**rows[number], **changes}
    formats.write_parquet(path, rows, SCORE_COLUMNS)


def test_equal_results_are_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = told(capsys, store(tmp_path / "one", *KEYS), store(tmp_path / "two", *KEYS))
    assert code == 0
    assert "0 in the first, 0 in the second" in said
    assert "keys with other files: 0" in said


def test_what_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = store(tmp_path / "one", *KEYS), store(tmp_path / "two", KEYS[0], files="others")
    rows = formats.read_parquet(next((two / "outcomes").rglob("scores.parquet")))
    number = next(number for number, row in enumerate(rows) if row["value"] is not None)
    change(two, number, value=rows[number]["value"] + 0.25)
    code, said = told(capsys, one, two)
    assert code == 1
    assert " 0.25 " in said
    assert f"keys in the first alone: 1 {KEYS[1][:16]} index for bm25" in said
    assert f"keys with other files: 1 {KEYS[0][:16]}" in said


@pytest.mark.parametrize(
    ("changes", "words"), [({"status": "failed", "value": None}, " inf "), ({"query_id": "another"}, "1 in the first")]
)
def test_a_row_that_failed_or_is_missing_differs(
    changes: dict[str, object], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = store(tmp_path / "one"), store(tmp_path / "two")
    change(two, 0, **changes)
    code, said = told(capsys, one, two)
    assert code == 1
    assert words in said


def test_a_store_without_an_outcome_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        same_results.main(["pocket", str(store(tmp_path / "first")), str(tmp_path / "second")])
    assert left.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"error: {tmp_path}" in said
    assert "no outcome here" in said
    assert "Traceback" not in said
