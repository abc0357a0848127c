"""The way in from Python: names that cost nothing, results as values, frames with declared columns."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import combined
import diagnosed
import outcomes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import smallsuite
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import api
from harness.api import frames, tables
from harness.api.results import ComparisonResult, DiagnosisResult, OutcomeResult, RunResult
from harness.data import formats
from harness.errors import ConfigError, HarnessError, ModelMissing, NotComparable
from harness.execution import executors
from harness.gates import commands
from harness.results import diagnoses
from harness.results.score_tables import scores_in
from harness.values.findings import Outcome, Summary
from harness.values.records import Score

ROOT = Path(harness.__file__).parent
MEANS = {"untuned": 0.40, "retriever": 0.46, "bm25": 0.35}
PANDAS = {"integer": "int64", "number": "float64", "flag": "bool"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def outcome(store: Path) -> OutcomeResult:
    outcomes.put(store, outcomes.normal(), MEANS)
    return harness.load_outcome(outcomes.normal().suite, store)


# ---- names


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import harness; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names = set(done.stdout.split())
    assert "harness" in names
    assert not {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names} - {"harness"}
    assert len(names) < 10


def test_a_name_is_looked_up_when_it_is_used() -> None:
    code = (
        "import sys, harness; harness.HarnessError; print('pydantic' in sys.modules); "
        "harness.load_outcome; print({'pandas', 'polars', 'torch', 'ranx', 'pyarrow', 'matplotlib'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["False", "set()"]


def test_type_checkers_read_the_same_names() -> None:
    stub = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {
        (alias.name, node.module) for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == set(harness.PUBLIC.items())
    assert (ROOT / "py.typed").is_file()


@pytest.mark.parametrize("name", harness.PUBLIC)
def test_a_public_name_is_documented_and_typed(name: str) -> None:
    value = getattr(harness, name)
    assert name in dir(harness)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not inspect.Parameter.empty
        assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'rnu'"):
        harness.rnu  # type: ignore[attr-defined] # noqa: B018


# ---- outcomes


def test_an_outcome_is_found_by_suite_folder_and_parent(store: Path, outcome: OutcomeResult) -> None:
    folder = outcome.folder
    assert not folder.is_symlink()
    assert folder.name != "latest"
    for place in (folder, str(folder), folder.parent / "latest", folder.parent):
        found = harness.load_outcome(place)
        assert (found.outcome, found.folder) == (outcome.outcome, folder)


def test_an_outcome_is_found_by_the_file_of_its_suite(store: Path, tmp_path: Path) -> None:
    named = outcomes.normal(suite="toy")
    outcomes.put(store, named, MEANS)
    path = smallsuite.write(tmp_path / "mine", Path("nowhere"))
    found = harness.load_outcome(path, store).outcome
    assert (found.suite, found.created) == ("toy", named.created)


def test_rows_are_those_of_the_outcome_that_was_read(store: Path, outcome: OutcomeResult) -> None:
    """Also if a later run has made another one the latest."""
    before = outcome.to_pandas("queries")
    outcomes.put(store, outcomes.normal(created="2027-01-01T00:00:00Z"), {"untuned": 0.9})
    assert outcome.to_pandas("queries").equals(before)


def test_no_outcome_is_a_sentence(store: Path) -> None:
    with pytest.raises(HarnessError) as caught:
        harness.load_outcome("pocket", store)
    assert str(caught.value).endswith("no outcome here; run the suite first with 'harness run', or set --store")
    with pytest.raises(HarnessError, match="no suite 'pokcet'; did you mean 'pocket'"):
        harness.load_outcome("pokcet", store)


def test_a_result_says_in_a_line_what_it_is(outcome: OutcomeResult, store: Path) -> None:
    text = repr(outcome)
    assert text.startswith(f"<OutcomeResult of {outcome.outcome.suite}, {outcome.outcome.created}: ")
    assert "\n" not in text
    assert str(store) not in text
    steering = outcomes.normal(suite="a\x1b[31m")
    assert "\x1b" not in repr(OutcomeResult(steering, store))
    diagnosis = diagnosed.diagnosis()
    assert repr(DiagnosisResult(diagnosis, store)).startswith(f"<DiagnosisResult of {diagnosis.suite}, ")


# ---- frames

OUTCOMES: dict[str, Callable[[], Outcome]] = {
    "normal": outcomes.normal,
    "failed": outcomes.failed_candidate,
    "factorial": combined.factorial,
    "no generator": outcomes.no_generator,
    "empty": lambda: outcomes.normal(systems=(), summaries=(), comparisons=(), ledger=()),
}


def check_frame(result: frames.Framed, table: str) -> int:
    """Check columns and types of a frame; return its number of rows."""
    frame = result.to_pandas(table)
    kinds = result.tables[table].kinds
    assert list(frame.columns) == list(kinds)
    for name, kind in kinds.items():
        if kind == "text":
            assert all(isinstance(value, str) for value in frame[name]), name
        else:
            assert str(frame[name].dtype) == PANDAS[kind], name
    return len(frame)


@pytest.mark.parametrize("case", OUTCOMES)
def test_an_outcome_has_the_columns_that_are_declared(case: str, tmp_path: Path) -> None:
    value = OUTCOMES[case]()
    folder = outcomes.put(tmp_path, value, MEANS)
    formats.write_parquet(folder / "answers.parquet", [], outcomes_columns())
    result = OutcomeResult(value, folder)
    sizes = {table: check_frame(result, table) for table in tables.OUTCOME}
    assert sizes["systems"] == len(value.systems)
    assert sizes["summaries"] == len(value.summaries)
    assert sizes["comparisons"] == len(value.comparisons)
    assert sizes["ledger"] == len(value.ledger)
    assert sizes["queries"] == len(value.systems) * outcomes.QUERIES_PUT
    assert sizes["answers"] == 0


def outcomes_columns() -> dict[str, str]:
    from harness.results.outcomes import ANSWER_COLUMNS

    return ANSWER_COLUMNS


def test_a_diagnosis_has_the_columns_that_are_declared(tmp_path: Path) -> None:
    value = diagnosed.diagnosis()
    row = Score("untuned", 0, "dev", "q1", "g1", "ndcg@10", None, "failed", "broken")
    result = DiagnosisResult(value, diagnoses.write(value, tmp_path, [row]))
    sizes = {table: check_frame(result, table) for table in tables.DIAGNOSIS}
    assert sizes["advice"] == len(value.advice)
    assert sizes["oracle_gains"] == len(value.oracle_gains)
    assert sizes["funnels"] == sum(len(funnel.places) for funnel in value.funnels)
    assert sizes["queries"] == 1
    assert result.to_pandas()["rank"].tolist() == [advice.rank for advice in value.advice]


def test_numbers_are_those_of_the_outcome(outcome: OutcomeResult) -> None:
    frame = outcome.to_pandas()
    for row, value in zip(frame.itertuples(), outcome.outcome.summaries, strict=True):
        assert (row.system, row.seed, row.measure, row.n, row.failed) == (
            value.system, value.seed, value.measure, value.n, value.failed,
        )  # fmt: skip
        assert row.mean == value.mean or (value.mean is None and row.mean != row.mean)
    systems = outcome.to_pandas("systems").set_index("label")
    for info in outcome.outcome.systems:
        total = info.serving.total if info.serving else None
        shown = systems.loc[info.label, "total_p95_ms"]
        assert shown == total.p95_ms if total else shown != shown
        assert systems.loc[info.label, "tunes"] == ", ".join(info.tunes)


def test_the_score_of_every_query_is_there(store: Path) -> None:
    folder = outcomes.put(store, outcomes.normal(), MEANS, failed="bm25")
    frame = OutcomeResult(outcomes.normal(), folder).to_pandas("queries")
    scores = scores_in(folder / "scores.parquet")
    assert len(frame) == len(scores)
    by_key = {(row.system, row.seed, row.query_id, row.measure): row for row in scores}
    labels = {(info.name, info.seed): info.label for info in outcomes.normal().systems}
    for row in frame.itertuples():
        score = by_key[row.system, row.seed, row.query_id, row.measure]
        assert row.label == labels[row.system, row.seed]
        assert (row.status, row.reason, row.group) == (score.status, score.reason, score.group)
        assert row.value == score.value or (score.value is None and row.value != row.value)
    assert set(frame[frame.status == "failed"].reason) == {"broken"}


def test_an_older_file_has_no_spread(store: Path) -> None:
    folder = outcomes.put(store, outcomes.normal(), MEANS)
    path = folder / "scores.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["spread"]), path)
    frame = OutcomeResult(outcomes.normal(), folder).to_pandas("queries")
    assert str(frame.spread.dtype) == "float64"
    assert frame.spread.isna().all()


@pytest.mark.parametrize("damage", ["missing", "cut", "other columns"])
def test_rows_that_cannot_be_read_are_a_sentence(damage: str, store: Path) -> None:
    folder = outcomes.put(store, outcomes.normal(), MEANS)
    path = folder / "scores.parquet"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ConfigError, match=r"scores\.parquet: its rows cannot be read; run the suite again"):
        OutcomeResult(outcomes.normal(), folder).to_pandas("queries")


def test_a_table_that_there_is_not_gets_the_nearest_name(outcome: OutcomeResult) -> None:
    with pytest.raises(ConfigError, match=r"table: no table 'query'; did you mean 'queries'\?"):
        outcome.to_pandas("query")


def test_frames_without_their_package_say_what_to_install(
    outcome: OutcomeResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match=r"polars, which is not installed; run: pip install .*\[polars\]"):
        outcome.to_polars()
    with pytest.raises(ModelMissing, match="pandas, which is not installed; run: pip install pandas"):
        outcome.to_pandas()


@pytest.mark.notebook
@pytest.mark.parametrize("table", tables.OUTCOME)
def test_frames_of_polars_hold_the_same(table: str, store: Path) -> None:
    import polars

    value = outcomes.failed_candidate()
    folder = outcomes.put(store, value, MEANS, failed="bm25")
    formats.write_parquet(folder / "answers.parquet", [], outcomes_columns())
    result = OutcomeResult(value, folder)
    frame, other = result.to_polars(table), result.to_pandas(table)
    types = {"text": polars.String, "integer": polars.Int64, "number": polars.Float64, "flag": polars.Boolean}
    assert dict(frame.schema) == {name: types[kind] for name, kind in tables.OUTCOME[table].kinds.items()}
    assert frame.height == len(other)
    for name in frame.columns:
        ours = [None if value != value else value for value in other[name].tolist()]
        assert frame[name].to_list() == ours


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 2**32 - 1), numbers, numbers), max_size=6))
@settings(max_examples=30)
def test_any_summary_survives_its_frame(rows: list[tuple[str, int, float | None, float | None]]) -> None:
    summaries = tuple(
        Summary(system=name, seed=seed, measure="ndcg@10", mean=mean, n=1, spread=spread)
        for name, seed, mean, spread in rows
    )
    columns = tables.OUTCOME["summaries"]
    made = frames.of_rows(tables.outcome_rows("summaries", outcomes.normal(summaries=summaries)), columns)
    assert [(row["system"], row["seed"], row["mean"], row["spread"]) for row in made.to_pylist()] == rows


# ---- compare


def test_outcomes_are_compared_as_the_command_does(store: Path) -> None:
    first = outcomes.put(store, outcomes.normal(), MEANS)
    second = outcomes.put(store, outcomes.normal(created="2027-01-01T00:00:00Z"), {**MEANS, "untuned": 0.5})
    sides = [harness.load_outcome(folder) for folder in (first, second)]
    result = harness.compare(*sides, margin=0.02)
    expected = commands.compare(str(first), str(second), store, None, (), 0.02)
    assert result.compared.rows == expected.rows
    assert check_frame(result, "comparisons") == len(expected.rows)
    assert result.compared.first == f"{outcomes.normal().suite} of {outcomes.normal().created}"
    shown = f"{result!r} {result._repr_html_()}"
    assert str(store) not in shown
    assert "untuned" in shown


def test_systems_are_compared_by_name(outcome: OutcomeResult, store: Path) -> None:
    suite = outcome.outcome.suite
    result = harness.compare(f"{suite}:untuned", f"{suite}:retriever", store)
    (row,) = result.compared.rows
    assert row.measure == "ndcg@10"
    assert repr(result).endswith(f": 1 {row.verdict}>")


def test_run_files_are_compared_by_judgements(tmp_path: Path) -> None:
    for name, best in (("a", "d1"), ("b", "d2")):
        lines = [f"q{number} Q0 {doc} 0 {1.0 if doc == best else 0.5} t" for number in (1, 2) for doc in ("d1", "d2")]
        (tmp_path / f"{name}.trec").write_text("\n".join(lines) + "\n")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t2\n")
    runs, qrels = [tmp_path / "a.trec", tmp_path / "b.trec"], tmp_path / "qrels.tsv"
    result = harness.compare(*runs, qrels=qrels, measures=["ndcg@10", "mrr@10"])
    assert [row.measure for row in result.compared.rows] == ["ndcg@10", "mrr@10"]
    strict = harness.compare(*runs, qrels=qrels, measures=["mrr@10"], relevance_level=2)
    assert strict.compared.rows[0].n_queries == 1
    with pytest.raises(ConfigError, match="relevance_level: is for run files"):
        harness.compare(*runs, measures=["mrr@10"], relevance_level=2)
    with pytest.raises(ConfigError, match="a run file needs judgements"):
        harness.compare(*runs)


def test_what_cannot_be_compared_is_refused(store: Path) -> None:
    first = outcomes.put(store, outcomes.normal(), MEANS)
    other = outcomes.normal(created="2027-01-01T00:00:00Z")
    other = other.model_copy(update={"identities": dict.fromkeys(other.identities, "another")})
    second = outcomes.put(store, other, MEANS)
    with pytest.raises(NotComparable):
        harness.compare(first, second, store)


# ---- run and diagnose


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smallsuite.bi_encoder(tmp_path_factory.mktemp("model") / "encoder")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the executor of child processes be one in this process, which is quicker."""
    monkeypatch.setitem(executors.EXECUTORS, "child", "smallsuite:Here")


@pytest.mark.usefixtures("here")
def test_a_suite_is_run_and_diagnosed(model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = smallsuite.write(tmp_path / "mine", model, {"candidates": {"fused": fused()}})
    capfd.readouterr()
    first = harness.run(path, tmp_path / "store")
    assert isinstance(first, RunResult)
    assert first.complete
    assert first.calls_made > 0
    assert first.report.is_file()
    assert capfd.readouterr().out == ""
    again = harness.run(str(path), str(tmp_path / "store"), progress=True)
    assert (again.calls_made, again.complete) == (0, True)
    assert capfd.readouterr().out == ""
    assert harness.load_outcome(path, tmp_path / "store").outcome == again.outcome
    frame = first.to_pandas("queries")
    means = frame[frame["split"] == "test"].groupby(["label", "measure"]).value.mean()
    for row in first.to_pandas().itertuples():
        assert means[row.label, row.measure] == pytest.approx(row.mean)
    diagnosis = harness.diagnose(path, tmp_path / "store", "test")
    assert isinstance(diagnosis, DiagnosisResult)
    assert diagnosis.report.is_file()
    assert check_frame(diagnosis, "queries") > 0
    assert capfd.readouterr().out == ""


def fused() -> dict[str, Any]:
    return {"pipeline": {"retriever": {"bm25_weight": 0.3}}}


@pytest.mark.usefixtures("here")
def test_a_run_whose_scores_failed_is_not_complete(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smallsuite.Here, "__init__", lambda self: self.__dict__.update(broken=("index",), asked=[]))
    path = smallsuite.write(tmp_path, model, {"candidates": {"fused": fused()}})
    result = harness.run(path, tmp_path / "store")
    assert not result.complete
    assert result.calls_failed > 0
    assert result.failed_share > result.failure_limit


def test_progress_is_lines_on_standard_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a notebook, where rich would ask for ipywidgets."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("harness.report.render.progress.WORTH_A_LINE", 0.0)
    with api._display(True) as display, display("a step"):
        pass
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("a step ")
    assert " done in " in error


def test_results_without_rows_are_still_shown(store: Path) -> None:
    empty = outcomes.normal(systems=(), summaries=(), comparisons=(), ledger=(), abstentions=(), timings=())
    assert "harness-out" in OutcomeResult(empty, store)._repr_html_()
    assert "harness-out" in DiagnosisResult(diagnosed.empty(), store)._repr_html_()
    nothing = commands.comparison.Compared("a", "b", [], {}, ["Nothing."])
    assert "Nothing." in ComparisonResult(nothing)._repr_html_()
