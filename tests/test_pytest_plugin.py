"""`pytest suites/...`: a suite runs once, each gate is a test, and a failure reads as its verdict."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent
SUITE = """
schema: harness/suite-2
name: toy
dataset: {path: "fixture:pocket"}
pipeline: {generator: null}
baseline_rows: [bm25, untuned]
candidates: {retriever: {tune: [retriever], pairs: judged}}
measures: [ndcg@10]
gates: [{measure: ndcg@10, margin: 0.01}]
"""
CONFTEST = """
import json, os, sys
from pathlib import Path

sys.path.insert(0, {here!r})
import outcomes as invented
from harness.experiments import benchmark
from harness.errors import ConfigError

MEANS = {{"bm25": 0.3, "untuned": 0.5, "retriever": 0.7}}


def run(suite, store, **options):
    "Pretends to run: an outcome with invented scores; what it was told is noted."
    with open({log!r}, "a") as log:
        log.write(json.dumps({{"suite": Path(suite).parent.name, **options, "pid": os.getpid()}}) + "\\n")
    told = json.loads(Path({told!r}).read_text())
    if told.get("error"):
        raise ConfigError(told["error"])
    whole = invented.normal()
    systems = tuple(one for one in whole.systems if one.name in MEANS and one.name not in told.get("gone", []))
    outcome = whole.model_copy(update={{
        "suite": "toy", "measures": ("ndcg@10",), "created": told["created"], "systems": systems,
        "comparisons": (), "summaries": tuple(row for row in whole.summaries if row.measure == "ndcg@10"),
        "identities": {{"ndcg@10": told.get("identity", "same")}},
    }})
    folder = invented.put(Path(store), outcome, MEANS | told.get("means", {{}}))
    return type("Done", (), {{"folder": folder}})()


benchmark.run = run
"""


class Project:
    """A folder with a suite, whose runs are invented."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.path = pytester, pytester.path
        self.log, self.told = self.path / "log.jsonl", self.path / "told.json"
        (self.path / "suites" / "toy").mkdir(parents=True)
        (self.path / "suites" / "toy" / "suite.yaml").write_text(SUITE, encoding="utf-8")
        text = CONFTEST.format(here=str(HERE), log=str(self.log), told=str(self.told))
        (self.path / "conftest.py").write_text(textwrap.dedent(text), encoding="utf-8")
        self.runs = 0
        self.next()

    def next(self, **told: object) -> None:
        """What the next run will find."""
        import json

        self.runs += 1
        self.told.write_text(json.dumps({"created": f"2026-11-20T10:00:{self.runs:02d}Z", **told}), encoding="utf-8")

    def test(self, *options: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess("suites", "-p", "no:cacheprovider", *options, timeout=120)

    def noted(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


def test_every_system_and_gate_is_an_item_and_k_chooses(project: Project) -> None:
    listed = project.test("--collect-only", "-q").stdout.str()
    for name in ("bm25-ndcg@10", "untuned-ndcg@10", "retriever (seed 0)-ndcg@10", "accepted systems"):
        assert name in listed
    assert not project.noted(), "collecting ran the suite"
    project.test("-k", "retriever").assert_outcomes(passed=1, deselected=3)
    assert len(project.noted()) == 1


def test_new_then_accepted_then_worse(project: Project) -> None:
    project.test().assert_outcomes(passed=4)
    saved = project.test("--harness-save", "the first")
    saved.assert_outcomes(passed=4)
    saved.stdout.fnmatch_lines(["Accepted the outcome of *"])
    assert (project.path / "baselines" / "toy" / "accepted.json").is_file()
    project.next(means={"retriever": 0.4})
    worse = project.test()
    worse.assert_outcomes(passed=3, failed=1)
    text = worse.stdout.str()
    assert "retriever (seed 0)" in text
    assert "Traceback" not in text
    assert "GateFailed" not in text.split("short test summary")[0]
    assert worse.ret == 1


def test_what_fails_is_not_saved(project: Project) -> None:
    project.test("--harness-save", "the first")
    before = (project.path / "baselines" / "toy" / "accepted.json").read_bytes()
    project.next(means={"retriever": 0.4})
    project.test("--harness-save", "should not be")
    assert (project.path / "baselines" / "toy" / "accepted.json").read_bytes() == before


def test_a_system_that_is_gone_fails_an_item_of_its_own(project: Project) -> None:
    project.test("--harness-save", "the first")
    project.next(gone=["bm25"])
    suite = project.path / "suites" / "toy" / "suite.yaml"
    suite.write_text(SUITE.replace("[bm25, untuned]", "[untuned]"), encoding="utf-8")
    gone = project.test()
    gone.assert_outcomes(passed=2, failed=1)
    gone.stdout.fnmatch_lines(["*accepted systems*"])
    assert "bm25" in gone.stdout.str()


def test_a_suite_that_cannot_run_is_an_error_and_never_skipped(project: Project) -> None:
    project.next(error="llm.judge: no connection; check that it is up")
    broken = project.test()
    broken.assert_outcomes(errors=4)
    assert "llm.judge: no connection; check that it is up" in broken.stdout.str()
    assert "Traceback" not in broken.stdout.str()
    assert len(project.noted()) == 1, "it was tried once"


def test_a_suite_with_a_mistake_is_an_error_of_collection(project: Project) -> None:
    suite = project.path / "suites" / "toy" / "suite.yaml"
    suite.write_text(SUITE.replace("tune:", "tunes:"), encoding="utf-8")
    wrong = project.test()
    wrong.assert_outcomes(errors=1)
    assert "did you mean 'tune'?" in wrong.stdout.str()
    suite.write_text(SUITE.split("gates:")[0], encoding="utf-8")
    assert "nothing is gated" in project.test().stdout.str()


def test_other_yaml_files_are_left_alone(project: Project) -> None:
    (project.path / "suites" / "other.yaml").write_text("schema: something\n", encoding="utf-8")
    (project.path / "suites" / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert "other.yaml" not in project.test("--collect-only", "-q").stdout.str()


def test_under_xdist_the_suite_runs_once_and_every_gate_is_enforced(project: Project) -> None:
    project.test("--harness-save", "the first", "-n", "2").assert_outcomes(passed=4)
    assert len(project.noted()) == 1
    assert (project.path / "baselines" / "toy" / "accepted.json").is_file(), "what the workers ran was accepted"
    project.next(means={"retriever": 0.4, "bm25": 0.1})
    worse = project.test("-n", "2")
    worse.assert_outcomes(passed=2, failed=2)
    assert len(project.noted()) == 2
    assert not list((project.path / ".harness" / "pytest").iterdir())


def test_replay_is_passed_on_and_the_latest_outcome_can_be_judged_alone(project: Project) -> None:
    project.test("--harness-replay")
    assert '"replay": true' in project.noted()[-1]
    project.test("--harness-latest").assert_outcomes(passed=4)
    assert len(project.noted()) == 1


def test_where_and_how_many_calls_run_is_passed_on(project: Project) -> None:
    project.test().assert_outcomes(passed=4)
    assert '"executor": "child", "jobs": null' in project.noted()[-1]
    project.next()
    project.test("--harness-executor", "ray", "--harness-jobs", "3", "-n", "2").assert_outcomes(passed=4)
    assert '"executor": "ray", "jobs": 3' in project.noted()[-1]
    for given in ("0", "many", ""):
        refused = project.test("--harness-jobs", given)
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        assert "is no number of calls that can run side by side; give 1 or more" in refused.stderr.str()
    assert len(project.noted()) == 2


def test_accepted_scores_may_lie_elsewhere(project: Project) -> None:
    project.test("--harness-save", "the first", "--harness-compare", "elsewhere")
    assert (project.path / "elsewhere" / "toy" / "accepted.json").is_file()


def test_the_fixture_gives_an_outcome_to_assertions_of_ones_own(project: Project) -> None:
    (project.path / "suites" / "test_own.py").write_text(
        textwrap.dedent(
            """
            from pathlib import Path

            def test_own(harness_outcome):
                outcome = harness_outcome(Path(__file__).parent / "toy" / "suite.yaml")
                assert [info.name for info in outcome.systems] == ["bm25", "untuned", "retriever"]
            """
        ),
        encoding="utf-8",
    )
    project.test().assert_outcomes(passed=5)
    assert len(project.noted()) == 1


# ---- what is accepted, and what a session takes for its own

TWO_GATES = SUITE.replace("measures: [ndcg@10]", "measures: [ndcg@10, recall@10]").replace(
    "margin: 0.01}]", "margin: 0.01}, {measure: recall@10, margin: 0.01}]"
)


def head(project: Project) -> bytes:
    return (project.path / "baselines" / "toy" / "accepted.json").read_bytes()


def two_gates(project: Project) -> None:
    """Two gated measures, of which a run moves one alone."""
    (project.path / "suites" / "toy" / "suite.yaml").write_text(TWO_GATES, encoding="utf-8")
    conftest = project.path / "conftest.py"
    text = conftest.read_text(encoding="utf-8").replace('("ndcg@10",)', '("ndcg@10", "recall@10")')
    text = text.replace('{"ndcg@10": told.get("identity", "same")}', '{"ndcg@10": "a", "recall@10": "b"}')
    text = text.replace("folder = invented.put(", "folder = put_two(told, ")
    conftest.write_text(
        text.replace(
            "benchmark.run = run",
            textwrap.dedent(
                """
                def put_two(told, store, outcome, means):
                    from harness.data import formats
                    from harness.results.outcomes import SCORE_COLUMNS
                    folder = invented.put(store, outcome, means)
                    rows = formats.read_parquet(folder / "scores.parquet")
                    ndcg = [row for row in rows if row["measure"] == "ndcg@10"]
                    lost = told.get("lost", 0.0)
                    recall = [{**row, "measure": "recall@10", "value": row["value"] - lost} for row in ndcg]
                    formats.write_parquet(folder / "scores.parquet", ndcg + recall, SCORE_COLUMNS)
                    return folder

                benchmark.run = run
                """
            ),
        ),
        encoding="utf-8",
    )


def test_what_a_gate_that_was_not_chosen_refuses_is_not_saved(project: Project) -> None:
    two_gates(project)
    assert project.test("--harness-save", "the first").ret == 0
    before = head(project)
    project.next(lost=0.4)
    saved = project.test("--harness-save", "should not be", "-k", "ndcg", "-n", "2")
    saved.assert_outcomes(passed=3)
    assert head(project) == before
    assert saved.ret == 1
    saved.stdout.fnmatch_lines(["Not accepted, *suite.yaml: Gate of toy failed: *recall@10: regressed*"])
    project.next()
    assert project.test("--harness-save", "better", "-k", "ndcg").ret == 0
    assert head(project) != before


def test_nothing_run_is_nothing_saved_and_told(project: Project) -> None:
    project.test()
    latest = project.test("--harness-latest", "--harness-save", "of before")
    assert latest.ret == 1
    latest.stdout.fnmatch_lines(["Nothing was accepted: this session ran no suite."])
    assert not (project.path / "baselines").exists()


def test_what_a_killed_session_left_is_taken_for_nobodys(project: Project) -> None:
    """Process ids come again in containers: what lies there under any of them is not what this session ran."""
    import json

    pointers = project.path / ".harness" / "pytest"
    pointers.mkdir(parents=True)
    for number in range(1, 5000):
        told = {"suite": "suites/toy", "error": "left by another session"}
        (pointers / f"alone-{number}-toy.json").write_text(json.dumps(told), encoding="utf-8")
    project.test().assert_outcomes(passed=4)
    assert len(project.noted()) == 1
    assert len(list(pointers.iterdir())) == 4999


def test_a_baseline_may_be_required(project: Project) -> None:
    lacking = project.test("-o", "harness_require_baseline=true")
    lacking.assert_outcomes(errors=4)
    assert "nothing is accepted for toy, and a baseline is required" in lacking.stdout.str()
    assert project.test("--harness-require-baseline", "--harness-save", "the first").ret == 0
    project.test("--harness-require-baseline", "--harness-latest").assert_outcomes(passed=4)


def test_a_mistyped_folder_of_baselines_is_an_error(project: Project) -> None:
    (project.path / "baselines").mkdir()
    mistyped = project.test("--harness-compare", "baseline")
    mistyped.assert_outcomes(errors=4)
    assert "no such folder; did you mean 'baselines'?" in mistyped.stdout.str()


def test_last_failed_judges_by_the_whole_gate(project: Project) -> None:
    project.test("--harness-save", "the first")
    before = head(project)
    project.next(means={"retriever": 0.4, "bm25": 0.1})
    first = project.pytester.runpytest_subprocess("suites", "-x", timeout=120)
    first.assert_outcomes(failed=1)
    project.next(means={"retriever": 0.4})
    again = project.pytester.runpytest_subprocess("suites", "--lf", "--harness-save", "no", timeout=120)
    again.assert_outcomes(passed=1)
    assert again.ret == 1
    again.stdout.fnmatch_lines(["Not accepted, *Gate of toy failed: retriever*"])
    assert head(project) == before
