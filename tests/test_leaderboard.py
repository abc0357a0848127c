"""The leaderboard says who is on top as surely as the scores allow, and what came before."""

from __future__ import annotations

import logging
from pathlib import Path

import outcomes as invented
import pytest

from harness import leaderboard
from harness.errors import ConfigError
from harness.report.boards import cost_class

MEANS = {"bm25": 0.3, "hybrid": 0.5, "untuned": 0.5, "few-shot": 0.5, "retriever": 0.7, "retriever-judged": 0.5}


def text_of(store: Path, folder: Path) -> str:
    path, _ = leaderboard.write(store, folder)
    return path.read_text(encoding="utf-8")


def row_of(text: str, system: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith("| ") and f"| {system} |" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_clear_winner_is_called_first(tmp_path: Path) -> None:
    invented.put(tmp_path, invented.normal(), MEANS)
    text = text_of(tmp_path, tmp_path / "out")
    assert "retriever (seed 0) is first: every other system is surely worse." in text
    assert row_of(text, "retriever (seed 0)")[0] == "1"
    assert row_of(text, "bm25")[0] == "6"
    assert row_of(text, "untuned")[0] == "2\N{EN DASH}5"
    assert f"{invented.QUERIES_PUT} queries in 40 groups" in text
    assert "oracle-context" not in text


def test_noise_makes_a_top_group(tmp_path: Path) -> None:
    close = {**MEANS, "retriever": 0.505}
    invented.put(tmp_path, invented.normal(), close, noise=0.2)
    text = text_of(tmp_path, tmp_path / "out")
    assert "The top group:" in text
    assert "is first" not in text


def test_a_system_with_a_failed_score_is_named_and_not_ranked(tmp_path: Path) -> None:
    invented.put(tmp_path, invented.normal(), MEANS, failed="retriever")
    text = text_of(tmp_path, tmp_path / "out")
    assert "Not ranked, as some of their scores failed: retriever (seed 0)." in text


def test_history_shows_only_what_measured_the_same_and_marks_another_recipe(tmp_path: Path) -> None:
    now = invented.normal(created="2026-11-20T10:00:00Z")
    before = invented.normal(created="2026-11-19T10:00:00Z")
    changed = before.systems[-1].model_copy(update={"identity": "other"})
    before = before.model_copy(update={"systems": (*before.systems[:-1], changed)})
    foreign = invented.normal(created="2026-11-18T10:00:00Z", identities={**now.identities, "ndcg@10": "else"})
    for outcome in (foreign, before, now):
        invented.put(tmp_path, outcome, MEANS)
    text = text_of(tmp_path, tmp_path / "out")
    history = text.split("### History")[1]
    assert "2026-11-19 10:00" in history
    assert "2026-11-20 10:00" in history
    assert "2026-11-18" not in history
    marked = [line for line in history.splitlines() if "\\*" in line and line.startswith("| ")]
    assert len(marked) == 1
    assert changed.label in marked[0]


def test_an_outcome_that_cannot_be_read_is_left_out_and_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    invented.put(tmp_path, invented.normal(), MEANS)
    torn = tmp_path / "outcomes" / "torn" / "1"
    torn.mkdir(parents=True)
    (torn / "outcome.json").write_text('{"schema_version": "harness/outcome-9"', encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        text = text_of(tmp_path, tmp_path / "out")
    assert "left out of the leaderboard" in caplog.text
    assert "torn" not in text


def test_a_store_without_outcomes_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run a suite first"):
        leaderboard.write(tmp_path, tmp_path)
    assert not (tmp_path / leaderboard.FILE).exists()


@pytest.mark.parametrize(
    ("dollars", "told"),
    [(0.0, "under $0.01"), (0.005, "under $0.01"), (0.02, "under $0.10"), (0.5, "under $1"), (40.0, "under $100")],
)
def test_cost_is_told_by_its_power_of_ten(dollars: float, told: str) -> None:
    assert cost_class(dollars) == told
