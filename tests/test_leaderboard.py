"""The leaderboard says who is on top as surely as the scores allow, and what came before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import explored
import judged
import outcomes as invented
import pocket
import pytest
from command import exit_code
from hypothesis import given
from hypothesis import strategies as st
from ranked import a_board, placed

from harness.cli.leaderboard import FILE, PAGE_FILE, write
from harness.errors import ConfigError, DataError
from harness.experiments import leaderboard
from harness.gates import commands
from harness.planning.plan import build_plan
from harness.report.content.boards import cost_class, standing
from harness.report.format import cell_text
from harness.report.render.boards import BAR, LINE, _bar, _line, render_page
from harness.report.render.markdown import render_boards
from harness.report.untrusted import plain
from harness.results import baselines
from harness.statistics.comparisons import Comparisons
from harness.suite import builtin
from harness.values.boards import Board, Past

MEANS = {"bm25": 0.3, "hybrid": 0.5, "untuned": 0.5, "few-shot": 0.5, "retriever": 0.7, "retriever-judged": 0.5}


def text_of(store: Path, folder: Path) -> str:
    return write(leaderboard.stored_boards(store), folder)[0].read_text(encoding="utf-8")


def row_of(text: str, system: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith("| ") and f"| {system} |" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_clear_winner_is_called_first(tmp_path: Path) -> None:
    invented.put(tmp_path, invented.normal(), MEANS)
    text = text_of(tmp_path, tmp_path / "out")
    assert "retriever is first: it is significantly better than every other system." in text
    assert row_of(text, "retriever")[0] == "1"
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
    assert "Not ranked, because scores failed: retriever." in text


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
    assert changed.name in marked[0]


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
        write(leaderboard.stored_boards(tmp_path), tmp_path)
    assert not (tmp_path / FILE).exists()


def test_scores_that_cannot_be_read_are_told_and_leave_their_suite_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    invented.put(tmp_path, invented.normal(), MEANS)
    folder = invented.put(tmp_path, invented.normal(suite="torn"), MEANS)
    (folder / "scores.parquet").write_bytes(b"PAR1")
    with caplog.at_level(logging.WARNING):
        text = text_of(tmp_path, tmp_path / "out")
    assert "left out of the leaderboard" in caplog.text
    assert "torn" not in text


def test_measures_come_in_the_order_of_the_suite_and_a_gain_with_its_interval(tmp_path: Path) -> None:
    invented.put(tmp_path, invented.normal(), MEANS)
    text = text_of(tmp_path, tmp_path / "out")
    assert row_of(text, "retriever")[4] == "+0.041 [+0.012, +0.070] improved"
    assert row_of(text, "untuned")[4] == "baseline"
    gains = invented.normal().comparisons
    made = invented.normal(comparisons=gains[::-1])
    assert leaderboard.Ranking(made, made.systems, {}, made.comparisons).measures == ["ndcg@10", "utility"]
    novel = made.model_copy(
        update={"measures": ("novel",), "comparisons": (gains[0].model_copy(update={"measure": "novel"}),)}
    )
    assert leaderboard.Ranking(novel, novel.systems, {}, novel.comparisons).measures == []


def test_latency_is_of_what_the_measure_judges(tmp_path: Path) -> None:
    invented.put(tmp_path, invented.normal(), MEANS)
    text = text_of(tmp_path, tmp_path / "out")
    assert "retrieval p95 ms" in text
    assert row_of(text, "hybrid")[7] == "25.6"


@pytest.mark.parametrize(
    ("dollars", "told"),
    [(0.0, "under $0.01"), (0.005, "under $0.01"), (0.02, "under $0.10"), (0.5, "under $1"), (40.0, "under $100")],
)
def test_cost_is_told_by_its_power_of_ten(dollars: float, told: str) -> None:
    assert cost_class(dollars) == told


# ---- out of accepted scores

WORDED: dict[str, Any] = {
    "pipeline.generator": None,
    "baseline_rows": ["bm25", "hybrid", "untuned"],
    "measures": ["ndcg@10", "recall@10"],
    "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "recall@10", "margin": 0.03}],
    "seeds": [0, 1],
    "failure_limit": 0.05,
}


def run_and_accept(root: Path, failed: Sequence[str] = ()) -> tuple[list[Board], list[Board]]:
    """Boards of an outcome as `run` makes it, and of the same once it is accepted; `failed` systems lack a score."""
    suite_file = judged.write_suite(root, WORDED)
    plan = build_plan(pocket.suite(WORDED), pocket.dataset())
    values: dict[judged.Key, dict[str, list[float | None]]] = {}
    for number, system in enumerate(plan.systems):
        columns = {
            name: [round(value, 9) for value in judged.scores(7 * number + place, mean=0.5 + 0.02 * number)]
            for place, name in enumerate(WORDED["measures"])
        }
        values[system.name, system.seed] = {name: list(column) for name, column in columns.items()}
        if system.name in failed:
            values[system.name, system.seed]["ndcg@10"][3] = None
    rows = judged.rows_of(values)
    by_label = {
        one.label: [row for row in rows if (row.system, row.seed) == (one.name, one.seed)] for one in plan.systems
    }
    made = {"comparisons": tuple(Comparisons(plan.suite, plan.systems, by_label).gains()), "times_scored": 4}
    judged.write_outcome(suite_file, root / ".harness", rows, **made)
    commands.accept(suite_file, "the first of its kind", root / ".harness")
    stored = [board for history in leaderboard._suites(root / ".harness") for board in leaderboard.boards_of(history)]
    read = baselines.read_all(root / "baselines")
    return stored, [board for baseline in read for board in leaderboard.accepted_boards(baseline)]


@pytest.mark.parametrize("failed", [(), ("untuned",), ("bm25", "judged")])
def test_accepted_scores_give_the_boards_of_their_outcome_but_for_history(
    tmp_path: Path, failed: tuple[str, ...]
) -> None:
    stored, accepted = run_and_accept(tmp_path, failed)
    assert [board.measure for board in stored] == ["ndcg@10", "recall@10"]
    assert {row.verdict for board in stored for row in board.rows} >= {"improved", "inconclusive"}
    for one, other in zip(stored, accepted, strict=True):
        assert (other.reason, other.times_scored, other.margin) == ("the first of its kind", 4, one.margin)
        assert other.accepted
        assert all(len(row.history) == 1 for row in one.rows)
        rows = tuple(row.model_copy(update={"history": ()}) for row in one.rows)
        assert other == one.model_copy(update={"rows": rows, "accepted": other.accepted, "reason": other.reason})


def test_the_command_ranks_what_was_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_and_accept(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert exit_code(monkeypatch, "leaderboard", "--baselines", "baselines") == 0
    assert "2 boards" in capsys.readouterr().out
    text = Path("reports", FILE).read_text(encoding="utf-8")
    assert "from accepted scores" in text
    assert "accepted on " in text
    assert "(the first of its kind)" in text
    assert "### History" not in text
    page = Path("reports", PAGE_FILE).read_text(encoding="utf-8")
    assert "from accepted scores" in page
    assert exit_code(monkeypatch, "leaderboard") == 0
    assert "from stored outcomes" in Path("reports", FILE).read_text(encoding="utf-8")


def test_damaged_accepted_scores_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    run_and_accept(tmp_path)
    (tmp_path / "baselines" / "toy" / "bm25.tsv").write_text("torn", encoding="utf-8")
    with pytest.raises(DataError, match=r"bm25\.tsv"):
        write(leaderboard.baseline_boards(tmp_path / "baselines"), tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_a_suite_whose_replacement_was_cut_short_is_still_read(tmp_path: Path) -> None:
    _, before = run_and_accept(tmp_path)
    folder = tmp_path / "baselines" / "toy"
    folder.rename(folder.with_name(".toy.replaced"))
    (again,) = baselines.read_all(folder.parent)
    assert leaderboard.accepted_boards(again) == before


# ---- the committed leaderboard


def out_of_date(root: Path, aside: Path) -> list[str]:
    """What a checkout's `reports/` says that does not follow from its `baselines/`."""
    accepted, reports = root / "baselines", root / "reports"
    command = "harness leaderboard --baselines baselines"
    if not any(map(leaderboard.accepted_boards, baselines.read_all(accepted))):
        with pytest.raises(ConfigError, match="nothing is accepted"):
            write(leaderboard.baseline_boards(accepted), aside)
        left = [name for name in (FILE, PAGE_FILE) if (reports / name).exists()]
        return [f"{name} is committed, and nothing is accepted: remove it" for name in left]
    text, page = (path.read_bytes() for path in write(leaderboard.baseline_boards(accepted), aside))
    found = []
    if not (reports / FILE).is_file() or (reports / FILE).read_bytes() != text:
        found.append(f"{FILE} is not what the accepted scores say: {command}")
    if (reports / PAGE_FILE).exists() and (reports / PAGE_FILE).read_bytes() != page:
        found.append(f"{PAGE_FILE} is not what the accepted scores say: {command}")
    return found


def test_the_committed_leaderboard_is_that_of_the_accepted_scores(tmp_path: Path) -> None:
    assert out_of_date(Path(__file__).resolve().parent.parent, tmp_path) == []


def test_a_leaderboard_that_is_not_of_the_accepted_scores_is_found(tmp_path: Path) -> None:
    reports, aside = tmp_path / "reports", tmp_path / "aside"
    assert out_of_date(tmp_path, aside) == []
    reports.mkdir()
    (reports / FILE).write_text("# Leaderboard\n", encoding="utf-8")
    assert ["remove" in line for line in out_of_date(tmp_path, aside)] == [True]
    run_and_accept(tmp_path)
    assert len(out_of_date(tmp_path, aside)) == 1
    write(leaderboard.baseline_boards(tmp_path / "baselines"), reports)
    assert out_of_date(tmp_path, aside) == []
    (reports / PAGE_FILE).write_text("<p>", encoding="utf-8")
    assert len(out_of_date(tmp_path, aside)) == 1
    (reports / PAGE_FILE).unlink()
    assert out_of_date(tmp_path, aside) == []
    (reports / FILE).unlink()
    assert len(out_of_date(tmp_path, aside)) == 1


# ---- the page


class Page(HTMLParser):
    """The elements and the words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def of(self, kind: str) -> list[dict[str, str | None]]:
        return [found for _, found in self.tags if kind in str(found.get("class")).split()]


def test_the_page_shows_what_the_text_shows() -> None:
    boards = [a_board(), a_board(measure="utility", unranked=("broken",)), a_board(suite="other", dirty=True)]
    page = Page(render_page(boards))
    words = "".join(page.words.split())
    for board in boards:
        for row in standing(board).rows:
            assert all("".join(part.split()) in words for cell in row for part in cell_text(cell).split()), row
    assert "Notranked,becausescoresfailed:broken." in words
    assert "3suites" not in words
    assert "2suites,3boards" in words
    assert "withuncommittedchanges" in words
    assert len(page.of("top-group")) == len(page.of("badge")) == 6
    assert len(page.of("places")) == 9
    assert [one["aria-label"] for one in page.of("past")][:2] == [
        "first: 2026-11-01 0.510 (another recipe); 2026-11-02 0.520 (another recipe); 2026-11-03 0.540",
        "untuned: 2026-11-03 0.400",
    ]
    assert len(page.of("other")) == 6


def test_links_of_the_page_lead_somewhere_and_ids_differ() -> None:
    page = Page(render_page([a_board(), a_board(measure="utility"), a_board(suite="other")]))
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(ids) == len(set(ids))
    links = [str(found["href"])[1:] for tag, found in page.tags if tag == "a"]
    assert set(links) <= set(ids)
    assert {"s-toy", "s-other"} <= set(links)


def test_hostile_text_stays_text() -> None:
    for attack in explored.ATTACKS:
        hostile = a_board().rows[0].model_copy(update={"label": attack})
        board = a_board(
            suite=attack, title=attack, commit=attack, machine=attack, reason=attack, accepted=attack,
            rows=(hostile, *a_board().rows[1:]), unranked=(attack,),
        )  # fmt: skip
        page, calm = Page(render_page([board])), Page(render_page([a_board(accepted="x", reason="x", unranked=("x",))]))
        assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
        assert [sorted(found) for _, found in page.tags] == [sorted(found) for _, found in calm.tags]
        assert "".join(plain(attack).split()) in "".join(page.words.split())
        assert "<" not in render_boards([board]).replace("&lt;", "")


def test_a_page_of_one_machine_is_the_page_of_every_machine() -> None:
    """Nothing in it depends on when or where it is made."""
    assert render_page([a_board()]) == render_page([a_board()])
    assert str(builtin.PACKAGE) not in render_page([a_board()])


@given(st.integers(1, 60), st.data())
def test_a_bar_reaches_from_the_best_to_the_worst_place(count: int, data: st.DataObject) -> None:
    best, place, worst = sorted(data.draw(st.lists(st.integers(1, count), min_size=3, max_size=3)))
    bar = _bar(placed("x", place, best, worst), count)
    assert 0 < bar.best <= bar.at <= bar.worst < BAR[0]
    assert (bar.best, bar.at, bar.worst) == (bar.places[best - 1], bar.places[place - 1], bar.places[worst - 1])
    assert list(bar.places) == sorted(set(bar.places))


MEAN = st.floats(-1, 1)


@given(st.lists(st.lists(st.none() | MEAN, min_size=3, max_size=3), min_size=2, max_size=4))
def test_lines_of_a_board_share_a_scale_and_stay_in_their_frame(means: list[list[float | None]]) -> None:
    dates = [f"2026-11-{day:02}T10:00:00Z" for day in range(1, 4)]
    rows = tuple(
        placed(
            f"s{number}", 1, 1, len(means),
            history=tuple(
                Past(created=date, mean=mean, identity="i")
                for date, mean in zip(dates, column, strict=True)
                if mean is not None
            ),
        )
        for number, column in enumerate(means)
    )  # fmt: skip
    board = a_board(rows=rows)
    units = []
    for row in rows:
        line = _line(board, row)
        if line is None:
            continue
        assert all(0 < dot.x < LINE[0] and 0 < dot.y < LINE[1] for dot in line.dots)
        for one, other in zip(row.history, row.history[1:], strict=False):
            first, second = (line.dots[row.history.index(past)] for past in (one, other))
            if abs(other.mean - one.mean) > 0.3:
                units.append((first.y - second.y) / (other.mean - one.mean))
    assert max(units, default=0.0) - min(units, default=0.0) < 0.7
