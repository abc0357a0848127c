"""Tables of accepted scores: what is written reads back, and damage is detected."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_baselines import accepted, folder  # noqa: F401

from harness.errors import ConfigError
from harness.results.baselines import read
from harness.results.score_tables import as_accepted, digest_of_table, read_table, scores_in, tables_of, text_of
from harness.values.records import Score, ScoreTable

# ---- tables

IDS = st.text(min_size=1, max_size=6).filter(lambda text: max(text) < "\ud800" or max(text) > "\udfff")
SCORES = st.one_of(st.none(), st.floats(-1, 1), st.sampled_from([0.0, 1.0, -0.0, 1e-10, -1e-10, 1 / 3, 0.1 + 0.2]))


@given(st.dictionaries(IDS, st.tuples(IDS, st.lists(SCORES, min_size=2, max_size=2)), min_size=1, max_size=6))
def test_a_table_reads_back_as_it_was_written(rows: dict[str, tuple[str, list[float | None]]]) -> None:
    scored = [
        Score("s", 0, "test", query, group, measure, value, "ok" if value is not None else "failed")
        for query, (group, values) in rows.items()
        for measure, value in zip(("ndcg@10", "utility"), values, strict=True)
    ]
    (table,) = tables_of(scored, "test").values()
    again = round_trip(table)
    assert again == table
    assert digest_of_table(again) == digest_of_table(table)


def round_trip(table: ScoreTable) -> ScoreTable:

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "t.tsv"
        path.write_bytes(text_of(table).encode())
        problems: list[Any] = []
        found = read_table(path, problems)
        assert not problems
        assert found is not None
        return found


@given(st.floats(-1, 1))
def test_what_is_kept_is_kept_for_good(value: float) -> None:
    """So equal scores differ by nothing, and no score moves by more than half of the ninth decimal."""
    assert as_accepted(as_accepted(value)) == as_accepted(value) == float(f"{as_accepted(value):.9f}")
    assert abs(as_accepted(value) - value) <= 0.51e-9
    assert str(as_accepted(value)) != "-0.0"


def test_a_table_is_made_to_be_reviewed() -> None:
    table = ScoreTable(
        {"ndcg@10": {"b": 1 / 3, "a": 1.0, "c": None}, "utility": {"a": -0.5}}, dict.fromkeys("abc", "g 1")
    )
    table = table._replace(values={"ndcg@10": {"b": as_accepted(1 / 3), "a": 1.0, "c": None}, "utility": {"a": -0.5}})
    assert text_of(table).splitlines() == [
        "query\tgroup\tndcg@10\tutility",
        "a\tg 1\t1\t-0.5",
        "b\tg 1\t0.333333333\t-",
        "c\tg 1\tfailed\t-",
    ]


def test_scores_of_dev_and_of_no_population_are_left_out() -> None:
    rows = [
        Score("s", 0, "dev", "a", "g", "ndcg@10", 1.0),
        Score("s", 0, "test", "b", "g", "ndcg@10", None, "not_applicable"),
        Score("s", 0, "test", "c", "g", "ndcg@10", 0.5),
    ]
    assert tables_of(rows, "test") == {("s", 0): ScoreTable({"ndcg@10": {"c": 0.5}}, {"c": "g"})}


def test_lines_may_end_as_on_windows(folder: Path) -> None:
    path = folder / "untuned.tsv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(folder, "toy") == accepted()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(value: float, tmp_path: Path) -> None:
    from harness.data import formats
    from harness.results import outcomes

    path = tmp_path / "scores.parquet"
    rows = [Score("s", 0, "test", "a", "g", "ndcg@10", value)._asdict()]
    formats.write_parquet(path, rows, outcomes.SCORE_COLUMNS)
    with pytest.raises(ConfigError, match=r"scores\.parquet: a score is not a finite number; run the suite again"):
        scores_in(path)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_rows_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"scores\.parquet: its scores cannot be read; run the suite again"):
        scores_in(path)


def test_rows_of_another_form(tmp_path: Path) -> None:
    from harness.data import formats

    path = tmp_path / "scores.parquet"
    formats.write_parquet(path, [{"system": "s"}], {"system": "string"})
    with pytest.raises(ConfigError, match="its scores cannot be read"):
        scores_in(path)


def test_nothing_of_a_table_is_lost_where_nothing_was_measured() -> None:
    assert round_trip(ScoreTable({}, {})) == ScoreTable({}, {})
    assert text_of(ScoreTable({}, {})) == "query\tgroup\n"
