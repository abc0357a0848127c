"""`harness accept`, `gate`, `compare` and `score`: the whole story, what they write, and what they refuse."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import judged
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import main as cli
from harness.gates import commands
from harness.gates.run_files import RunScores, read_qrels, score_files
from harness.gates.side_outputs import STEP_SUMMARY
from harness.results import baselines
from harness.values.findings import OUTCOME_SCHEMA
from harness.values.measures import parse
from harness.values.records import Qrels

Left = tuple[int, str, str]
BASE = judged.scores()
BOUNDS_WANTED = "a gate on a measure needs 'margin'; on a probe, 'relative' or 'ceiling'"
Columns = Mapping[judged.Key, Mapping[str, Sequence[float | None]]]


class Project:
    """A project's folder with the suite `toy`, a store, and the command."""

    def __init__(self, root: Path, call: Callable[..., Left]) -> None:
        self.root, self.call = root, call
        self.suite_file = judged.write_suite(root)
        self.store = root / ".harness"
        self.accepted = root / "baselines" / "toy"

    def ran(self, worse: float = 0.0, candidate: float = 0.0, **changes: Any) -> Path:
        """Leave an outcome: `candidate` is what the candidate's scores are moved by."""
        values: Columns = {
            ("untuned", 0): {"ndcg@10": [value + worse for value in BASE], "recall@10": BASE},
            ("written", 0): {"ndcg@10": [value + candidate for value in BASE], "recall@10": BASE},
        }
        return judged.write_outcome(self.suite_file, self.store, judged.rows_of(values), **changes)

    def accept(self, *more: str, reason: str = "the first") -> Left:
        return self.call("accept", "suites/toy", "--reason", reason, *more)

    def gate(self, *more: str) -> Left:
        return self.call("gate", "suites/toy", *more)

    def content(self) -> dict[str, bytes]:
        """Every file that lies in the baselines."""
        folder = self.root / "baselines"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Left]:
    """Run the command in an empty folder; return its exit code, what it wrote to stdout and to stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv(STEP_SUMMARY, raising=False)

    def run(*arguments: str) -> Left:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, error = capsys.readouterr()
        return int(caught.value.code or 0), out, error

    return run


@pytest.fixture
def project(tmp_path: Path, call: Callable[..., Left]) -> Project:
    return Project(tmp_path, call)


def dataset_with(**digests: str) -> Any:
    dataset = judged.outcome_of(judged.rows_of({("untuned", 0): {"ndcg@10": [0.5]}})).dataset
    return dataset.model_copy(update={"digests": {**dataset.digests, **digests}})


# ---- the story


def test_the_whole_story(project: Project) -> None:
    project.ran()
    code, out, _ = project.gate()
    assert code == 0
    assert out.startswith("Gate of toy passed: 2 new.")
    assert 'harness accept suites/toy --reason "..."' in out

    code, out, _ = project.accept()
    assert code == 0
    assert out.startswith("Accepted the outcome of ")
    assert project.gate()[:2] == (0, project.gate()[1])
    assert project.gate()[1].startswith("Gate of toy passed: 2 equivalent.")

    project.ran(candidate=-0.1, systems=(judged.info("untuned"), judged.info("written", identity="bad learning rate")))
    code, out, _ = project.gate()
    assert code == 1
    assert out.startswith("Gate of toy failed: written (seed 0) (ndcg@10: regressed).")
    assert "The change under test, by system identity: written (seed 0)." in out

    moved = {"ndcg@10": "other", "recall@10": "other"}
    project.ran(identities=moved, dataset=dataset_with(corpus="another"))
    code, out, _ = project.gate()
    assert code == 4
    assert "What differs: the corpus (" in out
    assert 'To accept this outcome: harness accept suites/toy --reason "..."' in out
    code, out, _ = project.accept(reason="a larger corpus")
    assert code == 0
    assert "Measurement changed since the last acceptance: ndcg@10 and recall@10." in out
    assert project.gate()[0] == 0

    for path in project.accepted.iterdir():
        path.unlink()
    code, out, _ = project.gate()
    assert code == 0
    assert out.startswith("Gate of toy passed: 2 new.")


def test_a_system_that_vanished_is_missing(project: Project) -> None:
    project.ran()
    project.accept()
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": BASE, "recall@10": BASE}})
    judged.write_outcome(project.suite_file, project.store, rows)
    code, out, _ = project.gate()
    assert code == 1
    assert "written (seed 0) is missing on ndcg@10: accepted, but not in this outcome." in out


def test_gates_are_those_of_the_suite_as_it_is_now(project: Project) -> None:
    project.ran()
    project.accept()
    project.ran(worse=-0.05)
    assert project.gate()[0] == 1
    judged.write_suite(project.root, {"gates": [{"measure": "ndcg@10", "margin": 0.02, "advisory": True}]})
    assert project.gate()[0] == 0
    judged.write_suite(project.root, {"gates": [{"measure": "recall@10", "margin": 0.0}]})
    assert project.gate()[0] == 0


def test_a_suite_file_that_changed_since_is_named(project: Project) -> None:
    project.ran()
    judged.write_suite(project.root, {"pipeline.depth": 40, "gates": [{"measure": "ndcg@10", "margin": 0.3}]})
    out = project.gate()[1]
    assert "The suite file has changed since this outcome was made (pipeline): run the suite again." in out


def test_quiet_says_only_what_fails(project: Project) -> None:
    project.ran()
    project.accept()
    project.ran(candidate=-0.1)
    out = project.gate("-q")[1]
    assert "written (seed 0) regressed" in out
    assert "untuned is unchanged" not in out


# ---- accept


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_accepting_needs_a_reason(reason: str, project: Project) -> None:
    project.ran()
    code, _, error = project.accept(reason=reason)
    assert (code, project.accepted.exists()) == (2, False)
    assert error == "error: --reason: must not be empty; say why these scores become the baseline\n"
    assert project.call("accept", "suites/toy")[0] == 2


def test_what_failed_is_not_accepted(project: Project) -> None:
    project.ran()
    project.accept()
    before = project.content()
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": [None, *BASE[1:]]}})
    judged.write_outcome(project.suite_file, project.store, rows)
    code, _, error = project.accept()
    assert code == 3
    assert "untuned: 1 of 120 scores of ndcg@10 failed (failure_limit 0.0%); run the suite again" in error
    broken = (judged.info("untuned"), judged.info("written", failed="out of memory"))
    project.ran(systems=broken)
    code, _, error = project.accept()
    assert (code, error) == (3, "error: written (seed 0): failed (out of memory); run the suite again\n")
    assert project.content() == before


def test_failures_within_the_limit_are_accepted_and_counted(project: Project) -> None:
    judged.write_suite(project.root, {"failure_limit": 0.1})
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": [None, *BASE[1:]]}})
    judged.write_outcome(project.suite_file, project.store, rows)
    assert project.accept()[0] == 0
    (summary,) = json.loads((project.accepted / "accepted.json").read_text())["summaries"]
    assert (summary["failed"], summary["reasons"]) == (1, {"x": 1})
    assert "\tfailed" in (project.accepted / "untuned.tsv").read_text()
    assert project.gate()[0] == 0


def test_accepting_says_what_it_changes(project: Project) -> None:
    project.ran()
    project.accept()
    project.ran(candidate=0.05)
    out = project.accept(reason="better")[1]
    assert "It replaces the scores accepted on " in out
    assert "Scores changed: written (seed 0)." in out
    rows = judged.rows_of({("bm25", 0): {"ndcg@10": BASE}})
    judged.write_outcome(project.suite_file, project.store, rows)
    out = project.accept(reason="less")[1]
    assert "New: bm25." in out
    assert "No longer accepted: untuned and written (seed 0)." in out


def test_accepting_twice_changes_only_when_and_why(project: Project) -> None:
    project.ran()
    project.accept()
    before = project.content()
    project.accept(reason="again")
    after = project.content()
    assert {name for name in before if before[name] != after[name]} == {"toy/accepted.json"}


def test_a_damaged_baseline_can_be_accepted_over_and_a_later_or_a_foreign_one_not(project: Project) -> None:
    project.ran()
    project.accept()
    head = project.accepted / "accepted.json"
    whole = head.read_text()
    head.write_text("{")
    assert project.gate()[0] == 2
    assert project.accept()[0] == 0
    for old, new in (("harness/accepted-3", "harness/accepted-9"), ('"suite": "toy"', '"suite": "other"')):
        head.write_text(whole.replace(old, new, 1))
        before = project.content()
        for code, out, error in (project.accept(), project.gate()):
            assert (code, out) == (2, "")
            assert error.startswith("error: ")
            assert error.count("\n") == 1
        assert project.content() == before


def test_a_folder_that_cannot_be_written(project: Project) -> None:
    project.ran()
    (project.root / "baselines").write_text("a file")
    code, _, error = project.accept()
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert (project.root / "baselines").read_text() == "a file"


def test_baselines_may_lie_elsewhere(project: Project) -> None:
    project.ran()
    assert project.accept("--baselines", "kept")[0] == 0
    assert (project.root / "kept" / "toy" / "accepted.json").is_file()
    assert not project.accepted.exists()
    out = project.gate()[1]
    assert "2 new" in out
    assert "2 equivalent" in project.gate("--baselines", "kept")[1]
    (project.root / "none").mkdir()
    assert "harness accept suites/toy --baselines none " in project.gate("--baselines", "none")[1]


# ---- what gate writes


def test_junit_json_and_a_summary_are_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = project.root / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv(STEP_SUMMARY, str(summary))
    project.ran()
    project.accept()
    project.ran(candidate=-0.1)
    code, _, _ = project.gate("--junit", "out/gate.xml", "--json-file", "out/gate.json")
    assert code == 1
    (suite,) = ElementTree.parse(project.root / "out" / "gate.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    value = json.loads((project.root / "out" / "gate.json").read_text())
    assert value["exit_code"] == 1
    assert summary.read_text().startswith("before\n## Gate of toy failed")


def test_json_goes_to_standard_output_and_to_a_file_as_before(project: Project) -> None:
    project.ran()
    code, out, error = project.gate("--json")
    assert (code, error) == (0, "")
    value = json.loads(out)
    assert [one["verdict"] for one in value["verdicts"]] == ["new", "new"]
    for number, arguments in enumerate([["--json", "0.json"], ["--json=1.json"], ["--json-file", "2.json"]]):
        code, out, _ = project.gate(*arguments)
        assert code == 0
        assert out.startswith("Gate of toy passed: 2 new.")
        assert json.loads((project.root / f"{number}.json").read_text()) == value
    code, _, error = project.gate("--json", "gate.txt")
    assert code == 2
    assert "gate.txt" in error


def test_a_file_that_cannot_be_written_is_no_pass(project: Project) -> None:
    project.ran()
    (project.root / "taken").write_text("")
    code, _, error = project.gate("--junit", "taken/gate.xml")
    assert code == 2
    assert error.startswith("error: ")


# ---- outcomes that cannot be used


@pytest.mark.parametrize("command", ["gate", "accept"])
@pytest.mark.parametrize(
    ("trouble", "what"),
    [
        ("none", "no outcome here; run the suite first"),
        ("cut off", "); run the suite again"),
        ("later", "; upgrade the harness, or run the suite again"),
        ("not text", "not the text of an outcome; run the suite again"),
        ("other suite", "an outcome of the suite 'other', not of 'toy'; give an outcome of this suite"),
        ("no rows", "its scores cannot be read; run the suite again"),
        ("broken rows", "its scores cannot be read; run the suite again"),
    ],
)
def test_an_outcome_that_cannot_be_used(trouble: str, what: str, command: str, project: Project) -> None:
    if trouble != "none":
        folder = project.ran(**({"suite": "other"} if trouble == "other suite" else {}))
        path = folder / "outcome.json"
        content = {
            "cut off": path.read_bytes()[:-50],
            "later": path.read_bytes().replace(OUTCOME_SCHEMA.encode(), b"harness/outcome-99"),
            "not text": b"\xff\xfe\x00",
        }
        path.write_bytes(content.get(trouble, path.read_bytes()))
        if trouble == "no rows":
            (folder / "scores.parquet").unlink()
        if trouble == "broken rows":
            (folder / "scores.parquet").write_bytes(b"PAR1")
    code, out, error = project.gate() if command == "gate" else project.accept()
    assert (code, out) == (2, "")
    assert error.endswith(f"{what}\n")
    assert error.count("\n") == 1
    assert not project.accepted.exists()


def test_an_outcome_is_given_by_its_folder(project: Project) -> None:
    first = project.ran()
    project.ran(candidate=-0.2)
    assert project.accept("--outcome", str(first))[0] == 0
    assert project.gate("--outcome", str(first))[0] == 0
    assert project.gate()[0] == 1


def test_a_gate_on_what_was_not_run(project: Project) -> None:
    judged.write_suite(project.root, {"gates": [{"measure": "utility", "margin": 0.1}]})
    project.ran(not_run={"utility": "the data set has no reference answers"})
    code, _, error = project.gate()
    assert code == 2
    assert error.startswith("error: gates.0: utility was not run: the data set has no reference answers; ")


def test_a_gate_on_an_unknown_measure(project: Project) -> None:
    project.ran()
    judged.write_suite(project.root, {"gates": [{"measure": "ndgc@10", "margin": 0.1}]})
    code, _, error = project.gate()
    assert code == 2
    assert "gates.0.measure: unknown measure 'ndgc@10'; did you mean 'ndcg'?" in error


# ---- the form of gates


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        ({"probe": "p95_ms"}, BOUNDS_WANTED),
        (
            {"probe": "p95_ms", "relative": 0.1, "ceiling": 5},
            "a probe has either 'relative' or 'ceiling'; write two gates",
        ),
        (
            {"measure": "ndcg@10", "margin": 0.1, "ceiling": 5},
            BOUNDS_WANTED,
        ),
        ({"probe": "p95_ms", "ceiling": 0}, "gates.0.ceiling: should be greater than 0, not 0"),
        ({"probe": "p99_ms", "ceiling": 1}, "gates.0.probe: 'p99_ms' is not allowed; did you mean 'p95_ms'?"),
        (
            {"measure": "ndcg@10", "margin": 0.1, "on_inconclusive": "fial"},
            "gates.0.on_inconclusive: 'fial' is not allowed; did you mean 'fail'?",
        ),
        (
            {"measure": "ndcg@10", "margin": 0.1, "on_inconclusive": "fail", "advisory": True},
            "gates.0.on_inconclusive: an advisory gate never fails; remove one of both",
        ),
        (
            {"probe": "p95_ms", "ceiling": 1, "on_inconclusive": "fail"},
            "'on_inconclusive' belongs to a measure: a probe is never inconclusive",
        ),
        ({"measure": "faithfulness", "margin": 0.1}, "is judged by an LLM and exists only where an answer was given"),
    ],
)
def test_a_gate_that_is_wrong_is_told_from_the_file(gate: dict[str, Any], what: str, project: Project) -> None:
    judged.write_suite(project.root, {"gates": [gate]})
    code, _, error = project.gate()
    assert code == 2
    assert what in error


def test_one_probe_may_have_both_kinds_of_bounds_once(project: Project) -> None:
    both: list[dict[str, Any]] = [{"probe": "p95_ms", "relative": 0.1}, {"probe": "p95_ms", "ceiling": 50}]
    judged.write_suite(project.root, {"gates": both})
    project.ran()
    assert project.gate()[0] == 0
    judged.write_suite(project.root, {"gates": [*both, both[1]]})
    assert "gates.2.probe: p95_ms has two gates; keep one" in project.gate()[2]


# ---- compare


def test_two_outcomes_are_compared_system_by_system(project: Project) -> None:
    first, second = project.ran(), project.ran(worse=-0.1)
    code, out, _ = project.call("compare", str(first), str(second), "--json")
    assert code == 0
    rows = {(row["label"], row["measure"]): row for row in json.loads(out)["rows"]}
    assert set(rows) == {(who, what) for who in ("untuned", "written (seed 0)") for what in ("ndcg@10", "recall@10")}
    worse = rows["untuned", "ndcg@10"]
    assert worse["difference"] == pytest.approx(-0.1)
    assert (worse["verdict"], worse["margin"], worse["family"]) == ("regressed", 0.02, "exploratory")
    assert rows["untuned", "recall@10"]["difference"] == 0.0


def test_two_systems_of_one_outcome(project: Project) -> None:
    project.ran(candidate=0.1)
    code, out, _ = project.call("compare", "toy:untuned", "toy:written")
    assert code == 0
    assert "written (seed 0) minus untuned" in out
    assert "+0.100" in out
    assert "(exploratory)" in out
    assert project.call("compare", "toy:written", "toy:untuned:0", "--json")[1].count("regressed") == 1


def test_accepted_scores_are_a_side_too(project: Project) -> None:
    project.ran()
    project.accept()
    project.ran(candidate=0.1)
    code, out, _ = project.call("compare", "baselines/toy", "toy", "--json")
    assert code == 0
    assert [row["verdict"] for row in json.loads(out)["rows"]].count("improved") == 1


def test_a_margin_of_ones_own(project: Project) -> None:
    first, second = project.ran(), project.ran()
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": BASE, "recall@10": [value - 0.01 for value in BASE]}})
    third = judged.write_outcome(project.suite_file, project.store, rows)

    def found(*more: str) -> str:
        value = json.loads(project.call("compare", str(first), str(third), "--json", *more)[1])
        return next(row["verdict"] for row in value["rows"] if row["measure"] == "recall@10")

    assert second
    assert (found(), found("--margin", "0.1")) == ("regressed", "equivalent")


def test_what_was_measured_in_another_way_is_left_out_and_named(project: Project) -> None:
    first = project.ran()
    second = project.ran(identities={"ndcg@10": "other", "recall@10": "id of recall@10"})
    code, out, _ = project.call("compare", str(first), str(second), "--json")
    assert code == 0
    assert {row["measure"] for row in json.loads(out)["rows"]} == {"recall@10"}
    assert json.loads(out)["remarks"] == ["Not comparable, because the measurement has changed: ndcg@10."]
    third = project.ran(identities={"ndcg@10": "x", "recall@10": "y"})
    code, _, error = project.call("compare", str(first), str(third))
    assert code == 4
    assert "every shared measure was measured in different ways; run both on the same data" in error


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("nowhere", "toy", "no outcome, accepted scores or suite with an outcome: 'nowhere'; give a folder"),
        ("toy:untund", "toy", "toy: no system 'untund'; did you mean 'untuned'?"),
        ("toy:untuned", "toy:", "toy: no system ''"),
        ("suites/toy/suite.yaml", "toy", "a run file needs judgements; add --qrels FILE"),
    ],
)
def test_sides_that_there_are_not(first: str, second: str, what: str, project: Project) -> None:
    project.ran()
    code, out, error = project.call("compare", first, second)
    assert (code, out) == (2, "")
    assert what in error


def test_a_system_with_several_seeds_needs_one(project: Project) -> None:
    rows = judged.rows_of({("written", seed): {"ndcg@10": BASE} for seed in (0, 1)})
    judged.write_outcome(project.suite_file, project.store, rows)
    code, _, error = project.call("compare", "toy:written", "toy:written:1")
    assert (code, error) == (2, "error: toy: 'written' has 2 seeds; write written:0\n")
    assert project.call("compare", "toy:written:0", "toy:written:1")[0] == 0


def test_no_system_on_both_sides(project: Project) -> None:
    first = project.ran()
    rows = judged.rows_of({("bm25", 0): {"ndcg@10": BASE}})
    second = judged.write_outcome(project.suite_file, project.store, rows)
    code, _, error = project.call("compare", str(first), str(second))
    assert code == 2
    assert f"no system of the same name and seed; known in {first}: untuned, written; choose one on each side" in error


def test_scores_that_a_judge_gave_are_compared_where_both_have_them(project: Project) -> None:
    """Less is better in noise_sensitivity: a lower one is a gain."""
    columns: list[list[float]] = [[0.4, *BASE[1:]], [value - 0.2 for value in BASE]]
    folders = []
    for column in columns:
        rows = judged.rows_of({("untuned", 0): {"noise_sensitivity": column}})
        if column is columns[1]:
            rows = rows[5:]
        folders.append(judged.write_outcome(project.suite_file, project.store, rows))
    value = json.loads(project.call("compare", *map(str, folders), "--json")[1])
    assert (value["rows"][0]["verdict"], value["rows"][0]["n_queries"]) == ("improved", 115)
    assert value["remarks"] == ["untuned, noise_sensitivity: 5 queries have a score on one side only and are left out."]


# ---- run files

QRELS = "q1 0 d1 2\nq1 0 d2 0\nq2 0 d3 1\nq3 0 d1 0\n"
RUN = "q1 Q0 d1 1 3.0 x\nq1 Q0 d2 2 2.0 x\nq9 Q0 d1 1 1.0 x\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "run.trec").write_text(RUN)
    (tmp_path / "qrels.txt").write_text(QRELS)
    return tmp_path / "run.trec", tmp_path / "qrels.txt"


def test_a_run_is_judged(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    code, out, _ = call("score", "run.trec", "qrels.txt", "--measure", "ndcg@10", "--measure", "recall@5")
    assert code == 0
    assert out.splitlines() == [
        "ndcg@10  0.5000  over 2 queries",
        "recall@5  0.5000  over 2 queries",
        "1 judged query has no relevant document and is left out.",
        "1 of 2 judged queries are missing in the run: each scores 0.",
        "1 queries of the run have no judgements and are left out.",
    ]
    code, out, _ = call("score", "run.trec", "qrels.txt", "--measure", "ndcg@10", "--json")
    found = json.loads(out)
    assert len(found.pop("remarks")) == 3
    assert found == {
        "means": {"ndcg@10": 0.5}, "queries": 2, "queries_without_run": 1, "unjudged_queries": 1, "documents": 2,
        "unknown_documents": 0, "left_out": 1, "own_documents": 0, "contradicted": 0, "tied": 0, "close": 0,
        "lists": 1, "level": 1, "exclude_own": False, "repairs": [],
        "per_query": {"ndcg@10": {"q1": 1.0, "q2": 0.0}},
    }  # fmt: skip


def test_judgements_in_the_form_of_beir(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    files[1].write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td3\t1\n")
    assert call("score", "run.trec", "qrels.txt")[1].startswith("ndcg@10  0.5000  over 2 queries")


def test_a_run_of_another_corpus_is_refused(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    """As an empty run is: a row of zeros would read as the worst system there is."""
    files[0].write_text("q1 Q0 x1 1 3.0 x\n")
    what = "run.trec: none of its 1 listed documents is named in qrels.txt, such as 'x1' and 'd1'"
    hint = "give a run and judgements of the same corpus"
    assert call("score", "run.trec", "qrels.txt") == (2, "", f"error: {what}; {hint}\n")
    (files[0].parent / "good.trec").write_text(RUN)
    assert call("compare", "good.trec", "run.trec", "--qrels", "qrels.txt") == (2, "", f"error: {what}; {hint}\n")


def test_a_share_of_documents_that_nobody_judged_is_told(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    files[0].write_text("q1 Q0 x1 1 3.0 x\nq1 Q0 d1 2 2.0 x\nq1 Q0 x2 3 1.0 x\n")
    code, out, _ = call("score", "run.trec", "qrels.txt", "--measure", "mrr@10")
    assert (code, out.splitlines()[0]) == (0, "mrr@10  0.2500  over 2 queries")
    assert "2 of 3 retrieved documents (67%) have no judgement and count as not relevant." in out


def test_a_run_of_the_harness_is_read_with_its_ids_unescaped(tmp_path: Path) -> None:
    from harness.data.formats import write_run

    write_run(tmp_path / "run.trec", {"a query": [("a doc", 1.0)]})
    (tmp_path / "qrels.tsv").write_text("a query\ta doc\t1\n")
    found = score_files(tmp_path / "run.trec", tmp_path / "qrels.tsv", [parse("ndcg@10")])
    assert found.means == {"ndcg@10": 1.0}


@pytest.mark.parametrize(
    ("run", "qrels", "what"),
    [
        ("q1 Q0 d1 1 NaN x\n", QRELS, "run.trec:1: not 'query_id Q0 doc_id rank score tag' with a finite score"),
        ("q1 Q0 d1 1 inf x\n", QRELS, "run.trec:1: not 'query_id Q0 doc_id rank score tag' with a finite score"),
        ("q1 d1 1\n", QRELS, "run.trec:1: not 'query_id Q0 doc_id rank score tag' with a finite score"),
        (
            RUN + "q1 Q0 d1 3 1.0 x\n",
            QRELS,
            "run.trec:4: query 'q1' lists document 'd1' twice, with the scores 3.0 (run.trec:1) and 1.0; remove one",
        ),
        ("q7 Q0 d1 1 1 x\n", QRELS, "run.trec: no query in common with qrels.txt (such as 'q7' and 'q1')"),
        (
            "",
            QRELS,
            "run.trec: no query in common with qrels.txt (it is empty); give a run and judgements of the same queries",
        ),
        (RUN, "", "qrels.txt: no document is relevant to any query; give judgements with grades above 0"),
        (RUN, "q1 0 d1 0\n", "qrels.txt: no document is relevant to any query; give judgements with grades above 0"),
        (RUN, "q1 0 d1 x\n", "qrels.txt:1: relevance 'x' is no whole number; use grades such as 0, 1, 2"),
        (RUN, "q1 0 d1 1\nq1 0 d1 2\n", "qrels.txt:2: query 'q1' judges document 'd1' twice, with the grades 1 ("),
        (None, QRELS, "run.trec: cannot be read (No such file or directory); give a readable file"),
        (RUN, None, "qrels.txt: cannot be read (No such file or directory); give a readable file"),
    ],
)
def test_files_that_cannot_be_judged(
    run: str | None, qrels: str | None, what: str, tmp_path: Path, call: Callable[..., Left]
) -> None:
    for name, text in (("run.trec", run), ("qrels.txt", qrels)):
        if text is not None:
            (tmp_path / name).write_text(text)
    code, out, error = call("score", "run.trec", "qrels.txt")
    assert (code, out) == (2, "")
    assert error.startswith(f"error: {what}")
    if run is not None and qrels is not None:
        for sides in (("run.trec", "run.trec"),):
            again, _, other = call("compare", *sides, "--qrels", "qrels.txt")
            assert (again, other.startswith(f"error: {what}")) == (2, True)


@pytest.mark.parametrize(
    ("measure", "what"),
    [
        ("ndgc@10", "unknown measure 'ndgc@10'; did you mean 'ndcg'?"),
        ("ndcg", "measure 'ndcg' should be written like 'ndcg@10'"),
        ("exact_match", "exact_match needs answers; take one such as ndcg@10"),
    ],
)
def test_measures_that_a_run_has_not(
    measure: str, what: str, files: tuple[Path, Path], call: Callable[..., Left]
) -> None:
    assert files
    code, _, error = call("score", "run.trec", "qrels.txt", "--measure", measure)
    assert (code, error) == (2, f"error: --measure: {what}\n")


def test_two_runs_are_compared(tmp_path: Path, call: Callable[..., Left]) -> None:
    dice = random.Random(0)
    queries = [f"q{number:02}" for number in range(60)]
    (tmp_path / "qrels.txt").write_text("".join(f"{query} 0 d1 1\n" for query in queries))
    for name, worst in (("a", 9), ("b", 3)):
        lines = [f"{query} Q0 d{1 if rank == place else rank + 20} {rank} {-rank} x\n"
                 for query in queries for place in [dice.randint(1, worst)] for rank in range(1, 10)]  # fmt: skip
        (tmp_path / f"{name}.trec").write_text("".join(lines))
    code, out, _ = call("compare", "a.trec", "b.trec", "--qrels", "qrels.txt", "--measure", "mrr@10", "--json")
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert (row["verdict"], row["measure"], row["n_groups"]) == ("improved", "mrr@10", 60)
    assert json.loads(out)["remarks"][-1].startswith("Every query is its own group")
    # The same lists are known to be no different; other lists of the same scores are not.
    (tmp_path / "qrels.txt").write_text("".join(f"{query} 0 d99 1\n{query} 0 d1 0\n" for query in queries))
    for other, verdict in (("a", "equivalent"), ("b", "inconclusive")):
        code, out, _ = call("compare", "a.trec", f"{other}.trec", "--qrels", "qrels.txt", "--margin", "0.01", "--json")
        (row,) = json.loads(out)["rows"]
        assert (code, row["difference"], row["verdict"]) == (0, 0.0, verdict)


GRADES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), min_size=1, max_size=6)
HITS = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=10)
IDS = st.sampled_from(["q1", "q2", "q3"])
MEASURES = {"ndcg@3": "ndcg_cut_3", "recall@5": "recall_5", "map@10": "map_cut_10", "precision@3": "P_3"}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(IDS, HITS, min_size=1), st.dictionaries(IDS, GRADES, min_size=1), st.randoms())
def test_scores_of_run_files_full_of_ties_are_those_of_trec_eval(
    run: dict[str, dict[str, float]], qrels: Qrels, dice: random.Random
) -> None:
    """Files with their lines in any order and wrong ranks, as other systems write them."""
    judged_queries = {query for query, grades in qrels.items() if any(grades.values())}
    named = {doc for grades in qrels.values() for doc in grades}
    if not any(named & run[query].keys() for query in judged_queries & run.keys()):
        return
    lines = [f"{query} Q0 {doc} 1 {value} x\n" for query, hits in run.items() for doc, value in hits.items()]
    dice.shuffle(lines)
    found = judged_files("".join(lines), "".join(
        f"{query} 0 {doc} {grade}\n" for query, grades in qrels.items() for doc, grade in grades.items()
    ))  # fmt: skip
    import pytrec_eval

    keys = {name.rpartition("_")[0] + "." + name.rpartition("_")[2] for name in MEASURES.values()}
    expected = pytrec_eval.RelevanceEvaluator(qrels, keys).evaluate(run)
    for measure, theirs in MEASURES.items():
        values = {query: expected.get(query, {}).get(theirs, 0.0) for query in judged_queries}
        assert found.values[parse(measure)] == pytest.approx(values, abs=1e-6)
        assert found.means[measure] == pytest.approx(sum(values.values()) / len(values), abs=1e-6)


def judged_files(run: str, qrels: str) -> RunScores:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "run").write_text(run)
        (folder / "qrels").write_text(qrels)
        return score_files(folder / "run", folder / "qrels", [parse(name) for name in MEASURES])


def test_judgements_below_zero_count_as_zero(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q1 0 d1 -1\nq1 0 d2 1\n")
    assert read_qrels(tmp_path / "qrels") == {"q1": {"d1": 0, "d2": 1}}


# ---- the shipped baselines


def test_the_folder_of_baselines_is_that_of_the_project(project: Project) -> None:
    project.ran()
    done = commands.accept(project.suite_file, "x", project.store)
    assert done.folder == project.accepted
    assert baselines.read(done.folder, "toy") is not None
