"""`harness accept`, `gate`, `compare` and `score`: the whole story, what they write, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import judged
import pocket
import pytest
import yaml
from command import Leave, Left, runner

from harness.gates import commands, preconditions
from harness.gates.side_outputs import STEP_SUMMARY
from harness.results import baselines
from harness.suite.sources import DatasetSource

BASE = judged.scores()
BOUNDS_WANTED = "a gate on a measure needs 'margin'; on a probe, 'relative' or 'ceiling'"
Columns = Mapping[judged.Key, Mapping[str, Sequence[float | None]]]


class Project:
    """A project's folder with the suite `toy`, a store, and the command."""

    def __init__(self, root: Path, call: Leave) -> None:
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
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Leave:
    """Run the command in an empty folder, outside of CI."""
    monkeypatch.delenv(STEP_SUMMARY, raising=False)
    return runner(monkeypatch, capsys, tmp_path, columns=250)


@pytest.fixture
def project(tmp_path: Path, call: Leave) -> Project:
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
    why = "No score was compared, because none is accepted yet; to compare later outcomes with this one: "
    assert f'{why}harness accept suites/toy --reason "..."' in " ".join(out.split())
    assert "Against the accepted scores" not in out

    code, out, _ = project.accept()
    assert code == 0
    assert out.startswith("Accepted the outcome of ")
    assert project.gate()[:2] == (0, project.gate()[1])
    assert project.gate()[1].startswith("Gate of toy passed: 2 equivalent.")

    project.ran(candidate=-0.1, systems=(judged.info("untuned"), judged.info("written", identity="bad learning rate")))
    code, out, _ = project.gate()
    assert code == 1
    assert out.startswith("Gate of toy failed: written (ndcg@10: regressed).")
    assert "Changed since the scores were accepted, by system identity: written." in out

    moved = {"ndcg@10": "other", "recall@10": "other"}
    project.ran(identities=moved, dataset=dataset_with(corpus="another"))
    code, out, _ = project.gate()
    assert code == 4
    assert "ndcg@10 was measured differently from the accepted scores: the corpus (" in " ".join(out.split())
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


@pytest.mark.parametrize("path", ["${NO_SUCH_FOLDER}/data", "not-here"])
def test_what_was_measured_is_judged_and_reported_without_its_data(path: str, project: Project) -> None:
    """A CI machine may have the store, and nothing of the dataset."""
    before = project.ran()
    project.accept()
    project.ran(worse=-0.1)
    text = project.suite_file.read_text(encoding="utf-8")
    suite = yaml.safe_load(text)
    suite["dataset"] = {"path": path}
    project.suite_file.write_text(yaml.safe_dump(suite), encoding="utf-8")
    code, out, _ = project.gate()
    assert code == 1
    assert "regressed" in out
    for words in (
        ("report", "suites/toy"),
        ("compare", str(before), "toy"),
        ("accept", "suites/toy", "--reason", "worse"),
    ):
        assert project.call(*words)[0] == 0
    code, _, error = project.call("run", "suites/toy")
    assert code == 2
    assert "dataset.path: " in error


def test_a_system_that_vanished_is_missing(project: Project) -> None:
    project.ran()
    project.accept()
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": BASE, "recall@10": BASE}})
    judged.write_outcome(project.suite_file, project.store, rows)
    code, out, _ = project.gate()
    assert code == 1
    assert "written is missing on ndcg@10: accepted, but not in this outcome." in out


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
    assert "written regressed" in out
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
    assert "untuned: 1 of 120 scores of ndcg@10 failed (failure_limit 0.0 %); run the suite again" in error
    broken = (judged.info("untuned"), judged.info("written", failed="out of memory"))
    project.ran(systems=broken)
    code, _, error = project.accept()
    assert (code, error) == (3, "error: written (seed 0): failed (out of memory); run the suite again\n")
    assert project.content() == before


def test_failures_within_the_limit_are_accepted_and_counted(project: Project) -> None:
    judged.write_suite(project.root, {"failure_limit": 0.1, "candidates": {}})
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
    assert "Scores changed: written." in out
    judged.write_suite(project.root, {"candidates": {}})
    rows = judged.rows_of({("bm25", 0): {"ndcg@10": BASE}, ("untuned", 0): {"ndcg@10": BASE}})
    judged.write_outcome(project.suite_file, project.store, rows)
    out = project.accept(reason="less")[1]
    assert "New: bm25." in out
    assert "No longer accepted: written." in out


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
        ("none", "no outcome here; run the suite first with 'harness run', or set --store"),
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
            "later": path.read_bytes().replace(b"harness/outcome-3", b"harness/outcome-99"),
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
    project.ran(not_run={"utility": "the dataset has no reference answers"})
    code, _, error = project.gate()
    assert code == 2
    assert error.startswith("error: gates.0: utility was not run: the dataset has no reference answers; ")


def test_a_gate_on_an_unknown_measure(project: Project) -> None:
    project.ran()
    judged.write_suite(project.root, {"gates": [{"measure": "ndgc@10", "margin": 0.1}]})
    code, _, error = project.gate()
    assert code == 2
    assert "gates.0.measure: unknown measure 'ndgc@10'; did you mean 'ndcg@10'?" in error


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
            "gates.0.on_inconclusive: an advisory gate never fails; remove one of the two",
        ),
        (
            {"probe": "cost_per_1000", "ceiling": 1, "on_inconclusive": "fail"},
            "'on_inconclusive' is for measures and latencies: a cost or a drift is never inconclusive",
        ),
        ({"measure": "faithfulness", "margin": 0.1}, "is judged by an LLM and scores answered queries only"),
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


# ---- the shipped baselines


def test_the_folder_of_baselines_is_that_of_the_project(project: Project) -> None:
    project.ran()
    done = commands.accept(project.suite_file, "x", project.store)
    assert done.folder == project.accepted
    assert baselines.read(done.folder, "toy") is not None


@pytest.mark.parametrize(
    ("then", "now", "changed"),
    [("/one/rows.csv", "${ELSEWHERE}/rows.csv", False), ("hf://team/a", "hf://team/b", True)],
)
def test_where_data_of_another_tool_lies_is_no_change_of_the_suite(then: str, now: str, changed: bool) -> None:
    """Each machine has its own place for them; the digests of the data say whether they are the same."""
    suites = [pocket.suite().model_copy(update={"dataset": DatasetSource(source=place)}) for place in (then, now)]
    told = preconditions.stale(suites[1], suites[0].model_dump(mode="json", by_alias=True))
    assert bool(told) is changed
