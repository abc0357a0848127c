"""The benchmarks of `tests/perf/compare.py` run, and the committed page is what its results render to."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent / "perf"))
import compare
import gpu
import performance_page
from measuring import Bar, Lab, Row, alternate, largest_difference

ROOT = Path(__file__).resolve().parents[1]
FAST = ("encoding", "contrastive training", "LoRA", "synthesis", "late interaction")
NEW_PROCESSES = ("scoring", "sharing", "tutorial")
PAGE = ROOT / "docs" / "performance.md"
SECONDS = st.floats(1e-3, 1e3)
RECORD: dict[str, Any] = {
    "about": "What is measured.",
    "created": "2026-01-01T00:00:00Z",
    "repeats": 5,
    "threads": 2,
    "load": 0.3,
    "cores": 2,
    "provenance": {
        "git": {"commit": "0123456789abcdef", "dirty": True}, "machine": "A processor, 2 cores, 8 GiB, cpu",
        "system": "Linux", "python": "3.11.0", "packages": {"torch": "2.0"},
    },
}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, smoke=True, repeats=1)


def rows_of(name: str, lab: Lab) -> list[Row]:
    """The rows of a benchmark, after a way through JSON."""
    record = json.loads(json.dumps(compare.measured(name, lab, RECORD["provenance"])))
    return [Row.of_json(value) for value in record["rows"]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAST)
def test_a_benchmark_runs_on_tiny_models(name: str, lab: Lab) -> None:
    """Speeds of tiny models mean nothing, but both sides must compute the same."""
    rows = rows_of(name, lab)
    assert all(row.bar is not None and row.figure >= 0 for row in rows)
    assert all(row.is_met for row in rows if row.what.startswith("largest difference"))
    generated = [row.note for row in rows if row.against.startswith("transformers generate")]
    assert generated == (["4 of 4 texts equal"] * 2 if name == "synthesis" else [])


@pytest.mark.filterwarnings("ignore")
def test_all_scorers_score_alike() -> None:
    import rank_scores

    run, qrels = rank_scores.lists(5)
    ours, theirs = (rank_scores.SCORERS[name](run, qrels) for name in ("harness", "pytrec_eval"))
    assert largest_difference(list(ours.values()), [theirs[name] for name in ours]) < 1e-9


def test_eight_candidates_share_most_of_their_work(lab: Lab) -> None:
    import sharing

    row = sharing.together(lab)
    assert 1 / sharing.CANDIDATES < row.figure < 1
    assert row.is_met


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NEW_PROCESSES)
def test_a_benchmark_of_new_processes_runs(name: str, lab: Lab) -> None:
    assert rows_of(name, lab)


def test_every_benchmark_is_tried() -> None:
    assert {*compare.BENCHMARKS} == {*FAST, *NEW_PROCESSES}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["encoders", "answers"])
def test_a_benchmark_of_the_gpu_runs_on_a_cpu(name: str) -> None:
    rows = list(gpu.BENCHMARKS[name](True, "cpu"))
    assert rows
    assert {len(row) for row in rows} == {len(gpu.COLUMNS[name])}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_training_generators_for_the_gpu_runs_on_a_cpu() -> None:
    assert [row[0] for row in gpu.BENCHMARKS["generators"](True, "cpu")] == ["tiny lora", "tiny qlora"]


def test_sides_take_turns() -> None:
    order: list[str] = []

    def side(name: str, seconds: float | None) -> Any:
        return lambda: (order.append(name), seconds)[1]

    times = alternate({"a": side("a", None), "b": side("b", 7.0)}, 3)
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert times["b"] == (7.0, 7.0, 7.0)
    assert all(0 <= seconds < 7 for seconds in times["a"])


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=7), st.sampled_from(["at least", "at most"]), SECONDS)
def test_a_row_survives_json(values: list[tuple[float, float]], kind: Any, bar: float) -> None:
    ours, theirs = zip(*values, strict=True)
    row = Row("what", ours, theirs, "other", work=3, work_unit="texts", bar=Bar(kind, bar))
    assert Row.of_json(json.loads(json.dumps(row.as_json()))) == row
    low, high = row.spread
    assert low <= high
    # Twice as slow a harness is half as fast, whatever the alternative takes.
    assert replace(row, ours=tuple(2 * value for value in ours)).figure == pytest.approx(row.figure / 2)


@pytest.mark.parametrize(
    ("figure", "kind", "is_met"),
    [(2, "at least", True), (1.9, "at least", False), (2, "at most", True), (2.1, "at most", False)],
)
def test_a_bar_holds_its_own_value(figure: float, kind: Any, is_met: bool) -> None:
    assert Bar(kind, 2.0).is_met(figure) is is_met


def page_of(*rows: Row, load: float = 0.3) -> str:
    record = {**RECORD, "load": load, "rows": [row.as_json() for row in rows]}
    return performance_page.render({**compare.results({"encoding": record}), "order": []})


def test_the_page_says_what_is_missed_and_where_it_was_run() -> None:
    text = page_of(
        Row("fast", (1.0, 2.0, 4.0), (4.0, 4.0, 4.0), "other", work=8, work_unit="texts", bar=Bar("at least", 1.5)),
        Row("late", (12.0,), unit="ms", bar=Bar("at most", 10.0), note="a remark"),
    )
    assert "| fast | other | 2 s (4 texts/s) | 4 s (2 texts/s) | 2 x [1, 4] | at least 1.5 x | yes |" in text
    assert "| late (a remark) |  | 12 ms |  | 12 ms | at most 10 ms | **no** |" in text
    assert "at commit 0123456789ab, with changes that are not committed, on A processor, 2 cores" in text


def test_the_page_says_if_the_machine_was_busy() -> None:
    row = Row("what", (1.0,))
    assert "was busy" not in page_of(row, load=3.0)
    assert "(load 6.9 on 2 cores): these figures are rough" in page_of(row, load=6.9)


def test_writing_keeps_other_benchmarks(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    row = Row("first", (1.0,))
    for name, what in (("scoring", "old"), ("encoding", "kept"), ("scoring", "new")):
        record = {**RECORD, "rows": [replace(row, what=what).as_json()]}
        performance_page.write(page, compare.results({name: record}))
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.index("| kept |") < text.index("| new |")


def test_figures_of_a_smoke_run_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(["encoding", "--smoke", "--write", "performance.md"])
    assert "leave --smoke out" in capsys.readouterr().err


def test_unknown_benchmarks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(["encodings"])
    assert "no benchmark 'encodings'; there are encoding, contrastive" in capsys.readouterr().err


def test_the_committed_page_is_that_of_its_results() -> None:
    """If it is not: python tests/perf/compare.py --write docs/performance.md."""
    value = json.loads(performance_page.json_beside(PAGE).read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == performance_page.render(value)
    assert {*value["benchmarks"]} <= {*compare.BENCHMARKS}
