"""What `harness gate` leaves with: a function of its verdicts, whatever is written beside them, never 0 for nothing.

Cases that a CI job meets: a summary that cannot be written, a folder of baselines that was mistyped, moved or not
checked out, a suite that was renamed, a disk that is full.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import judged
import pytest
from test_gating import BASE, Project, call, project  # noqa: F401

from harness.gates import compare
from harness.gates.preconditions import stale
from harness.gates.side_outputs import MOST_BYTES, STEP_SUMMARY
from harness.report.content import gates
from harness.results import baselines
from harness.statistics.verdicts import FAILING, Gated, Gating, Standing
from harness.suite.files import load_suite
from harness.suite.sources import Forgetting

STANDINGS: tuple[Standing, ...] = (
    "improved", "equivalent", "inconclusive", "regressed", "new", "missing", "failed", "not comparable",
    "within bound", "over bound", "not compared",
)  # fmt: skip
FAKE = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from harness.cli import main; main.main()"


def one(verdict: Standing, advisory: bool = False, strict: bool = False) -> Gated:
    return Gated(system="s", seeds=(0,), label="s", gate="g", verdict=verdict, advisory=advisory, strict=strict)


def gating_of(*verdicts: Gated, measured: bool = True) -> Gating:
    return Gating(suite="toy", split="test", created="now", verdicts=verdicts, measured=measured)


# ---- the code is a function of the verdicts


def test_the_code_follows_from_the_set_of_verdicts() -> None:
    """Of several: 2 (nothing judged), 4, 3, 1; the heading says the same."""
    sets = [chosen for size in range(len(STANDINGS) + 1) for chosen in itertools.combinations(STANDINGS, size)]
    for chosen, advisory, strict in itertools.product(sets, (False, True), (False, True)):
        found = gating_of(*(one(verdict, advisory, strict) for verdict in chosen))
        counted = set() if advisory else {*chosen} & {*FAILING, *(["inconclusive"] if strict else [])}
        if not chosen:
            expected = 2
        elif "not comparable" in counted:
            expected = 4
        elif "failed" in counted:
            expected = 3
        else:
            expected = 1 if counted else 0
        assert found.exit_code == expected
        heading = gates.heading(found)
        words = {0: "passed", 1: "failed:", 2: "judged nothing", 3: "is incomplete", 4: "cannot compare"}
        assert words[expected] in heading
        assert ("passed" in heading) == (expected == 0)


def test_a_failing_verdict_decides_whatever_advisory_ones_stand_beside_it() -> None:
    for standing in STANDINGS:
        both = gating_of(one(standing, advisory=True), one("regressed"))
        assert both.exit_code == 1
        assert gating_of(one(standing, advisory=True), one("new")).exit_code == 0


def test_an_outcome_without_a_value_is_incomplete_also_under_advisory_gates() -> None:
    found = gating_of(one("failed", advisory=True), measured=False)
    assert (found.exit_code, gates.heading(found)) == (3, "Gate of toy is incomplete: every score failed.")


# ---- what stands beside the verdict does not change it


def broken_summary(kind: str, root: Path) -> str:
    if kind == "no such folder":
        return str(root / "nonexistent" / "summary.md")
    if kind == "a folder":
        return str(root)
    if kind == "below a file":
        (root / "file").write_text("")
        return str(root / "file" / "summary.md")
    return "/dev/full"


@pytest.mark.parametrize("kind", ["no such folder", "a folder", "below a file", "a full disk"])
@pytest.mark.parametrize(("worse", "code"), [(0.0, 0), (-0.1, 1)])
def test_a_summary_that_cannot_be_written_changes_no_verdict(
    kind: str, worse: float, code: int, project: Project, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    if kind == "a full disk" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    project.ran()
    project.accept()
    project.ran(candidate=worse)
    monkeypatch.setenv(STEP_SUMMARY, broken_summary(kind, project.root))
    left, out, error = project.gate()
    assert left == code
    assert error.startswith("warning: ")
    assert error.count("\n") == 1
    assert STEP_SUMMARY in error
    assert error.endswith("the verdict is not affected\n")
    assert "Gate of toy " in out


def test_a_long_summary_is_cut_to_what_fails(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    summary = project.root / "summary.md"
    summary.write_text("x" * (MOST_BYTES - 100))
    monkeypatch.setenv(STEP_SUMMARY, str(summary))
    project.ran()
    project.accept()
    project.ran(candidate=-0.1)
    assert project.gate()[0] == 1
    added = summary.read_text()[MOST_BYTES - 100 :]
    assert added.startswith("## Gate of toy failed")
    assert "|" not in added
    assert "regressed on ndcg@10" in added


@pytest.mark.parametrize("which", ["--junit", "--json-file"])
def test_a_typed_path_that_cannot_work_is_refused_before_anything(which: str, project: Project) -> None:  # noqa: F811
    project.ran()
    (project.root / "taken").write_text("")
    for path, what in [("taken/gate.out", "taken is not a folder"), (".", "is a folder")]:
        code, out, error = project.gate(which, path)
        assert (code, out) == (2, "")
        assert error == f"error: {which} {path}: {what}; choose a file in a writable folder\n"


def test_all_paths_that_cannot_work_are_told_at_once(project: Project) -> None:  # noqa: F811
    error = project.gate("--junit", ".", "--json-file", "suites")[2]
    assert error.count("error: ") == 2


@pytest.mark.parametrize(("worse", "code"), [(0.0, 0), (-0.1, 1)])
@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), TypeError("a bug in the report")])
def test_files_that_fail_when_they_are_written_change_no_verdict(
    trouble: Exception, worse: float, code: int, project: Project, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    def fails(*_: object, **__: object) -> None:
        raise trouble

    project.ran()
    project.accept()
    project.ran(candidate=worse)
    monkeypatch.setattr("harness.gates.side_outputs.write_atomically", fails)
    left, out, error = project.gate("--junit", "gate.xml", "--json-file", "gate.json")
    assert left == code
    assert [line.split(":")[1].strip() for line in error.splitlines()] == ["gate.xml", "gate.json"]
    assert "Gate of toy " in out


# ---- baselines that are not there


def test_a_mistyped_folder_of_baselines_is_refused(project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept()
    code, out, error = project.gate("--baselines", "baseline")
    assert (code, out) == (2, "")
    assert error == "error: --baselines baseline: no such folder; did you mean 'baselines'?\n"
    (project.root / "file").write_text("")
    assert "not a folder" in project.gate("--baselines", "file")[2]
    assert "the folder above it" in project.gate("--baselines", "baselines/toy")[2]


def renamed(project: Project, name: str) -> None:  # noqa: F811
    text = project.suite_file.read_text()
    project.suite_file.write_text(text.replace("name: toy", f"name: {name}"))


def test_scores_under_the_old_name_of_a_suite_are_told(project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept()
    renamed(project, "toys")
    project.ran()
    code, out, _ = project.gate()
    assert code == 0
    told = " ".join(out.split())
    assert "Nothing is accepted for toys, and no suite file beside this one uses the accepted scores in" in told
    assert "baselines/toy. If the suite was renamed, this gate compares nothing" in told
    other = project.root / "suites" / "other" / "suite.yaml"
    other.parent.mkdir()
    other.write_text(project.suite_file.read_text().replace("name: toys", "name: toy"))
    assert "claims" not in project.gate()[1], "they belong to the suite beside it"


def test_a_folder_that_was_renamed_is_told(project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept()
    project.accepted.rename(project.accepted.with_name("old"))
    told = " ".join(project.gate()[1].split())
    assert "old holds accepted scores of toy: rename it to" in told


@pytest.mark.parametrize("how", ["option", "suite"])
def test_a_baseline_may_be_required(how: str, project: Project) -> None:  # noqa: F811
    options = ["--require-baseline"] if how == "option" else []
    if how == "suite":
        project.suite_file.write_text(project.suite_file.read_text() + "\nrequire_baseline: true\n")
    project.ran()
    code, out, error = project.gate(*options)
    assert (code, out) == (2, "")
    assert "nothing is accepted for toy, and a baseline is required; accept an outcome and commit the folder" in error
    project.accept()
    assert project.gate(*options)[0] == 0
    project.ran(candidate=-0.1)
    assert project.gate(*options)[0] == 1


def test_a_required_baseline_must_have_the_measure(project: Project) -> None:  # noqa: F811
    rows = judged.rows_of({("untuned", 0): {"recall@10": BASE}, ("written", 0): {"recall@10": BASE}})
    judged.write_outcome(project.suite_file, project.store, rows)
    project.accept()
    project.ran()
    assert project.gate()[0] == 0
    code, _, error = project.gate("--require-baseline")
    assert code == 2
    assert error.startswith("error: gate ndcg@10: nothing is compared with accepted scores, and a baseline is required")


# ---- nothing judged is no success


def test_an_outcome_in_which_all_failed_is_neither_passed_nor_accepted(project: Project) -> None:  # noqa: F811
    for limit in ("0.0", "1.0"):
        project.suite_file.write_text(f"{judged.pocket.suite_text()}\nfailure_limit: {limit}\n")
        project.suite_file.write_text(project.suite_file.read_text())
        rows = judged.rows_of({("untuned", 0): {"ndcg@10": [None] * 30}, ("written", 0): {"ndcg@10": [None] * 30}})
        judged.write_outcome(project.suite_file, project.store, rows)
        code, out, _ = project.gate()
        assert code == 3
        assert "passed" not in out
        assert project.accept()[0] == 3
        assert not project.accepted.exists()


def test_an_outcome_without_systems_is_no_success(project: Project) -> None:  # noqa: F811
    judged.write_outcome(project.suite_file, project.store, [])
    assert project.gate()[0] == 2
    assert project.accept()[0] == 3


def test_comparing_failures_is_no_success(project: Project) -> None:  # noqa: F811
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": [None] * 30}, ("written", 0): {"ndcg@10": [None] * 30}})
    judged.write_outcome(project.suite_file, project.store, rows)
    code, _, error = project.call("compare", "toy:untuned", "toy:written")
    assert (code, error) == (3, "error: nothing was compared: no query has a score on both sides\n")


# ---- the suite as it was and as it is


def test_where_things_lie_is_no_change_of_a_suite(project: Project) -> None:  # noqa: F811
    suite, _ = load_suite(project.suite_file)
    elsewhere = {"dataset": {"path": "/one/place/data"}}
    suite = suite.model_copy(update={"forgetting": Forgetting.model_validate(elsewhere)})
    spec = suite.model_dump(mode="json", by_alias=True)
    assert stale(suite, spec) == ()
    moved = json.loads(json.dumps(spec).replace("/one/place/data", "data"))
    moved["dataset"]["path"] = "../../data"
    assert stale(suite, moved) == ()
    moved["forgetting"]["dataset"]["group"] = {"metadata": "topic"}
    assert stale(suite, moved) == (
        "The suite file has changed since this outcome was made (forgetting): run the suite again.",
    )


def test_keys_that_the_harness_has_got_since_are_no_change(project: Project) -> None:  # noqa: F811
    suite, _ = load_suite(project.suite_file)
    spec = suite.model_dump(mode="json", by_alias=True)
    for section in ("utility", "prices", "slices", "device"):
        del spec[section]
    del spec["pipeline"]["retriever"]["max_length"]
    assert stale(suite, spec) == ()


# ---- as a job of a CI system runs it


def run_gate(project: Project, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:  # noqa: F811
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", FAKE, "gate", "suites/toy", *options],
        cwd=project.root, env=kept | environment, capture_output=True, text=True, errors="replace", timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HOME": "/nonexistent", "COLUMNS": "80", "NO_COLOR": "1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict", "CI": "true", "GITHUB_ACTIONS": "true"},
    ],
)
def test_a_bare_environment_changes_no_verdict(environment: dict[str, str], project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept(reason="na\u00efve \u2013 \u57fa\u6e96")
    project.ran()
    done = run_gate(project, **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("Gate of toy passed")


@pytest.mark.parametrize(("worse", "code"), [(0.0, 0), (-0.1, 1)])
def test_a_reader_that_goes_away_changes_no_verdict(worse: float, code: int, project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept()
    project.ran(candidate=worse)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", FAKE, "gate", "suites/toy", "--json-file", "gate.json"],
        cwd=project.root, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (code, "")
    assert json.loads((project.root / "gate.json").read_text())["exit_code"] == code


def test_two_gates_at_once_agree(project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept()
    project.ran(candidate=-0.1)
    command = [sys.executable, "-c", FAKE, "gate", "suites/toy", "--junit", "gate.xml"]
    both = [subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE) for _ in range(2)]
    told = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [1, 1]
    assert told[0] == told[1]


# ---- accepted scores against accepted scores


@pytest.mark.parametrize(("served", "answers"), [(True, "inconclusive"), (None, "inconclusive"), (False, "equivalent")])
def test_answers_of_an_endpoint_are_not_made_alike(served: bool | None, answers: str, tmp_path: Path) -> None:
    """Equal answers of two accepted folders say nothing where another model may have served them; lists do."""
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": BASE[:6], "utility": [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]}})
    for name in ("one", "other"):
        baseline = judged.baseline_of(judged.outcome_of(rows), rows, served=served)
        baselines.write(tmp_path / name, baseline.accepted, baseline.tables)
    found = compare.compare(*(compare.side(str(tmp_path / name), tmp_path) for name in ("one", "other")), 0.02)
    assert {row.measure: row.verdict for row in found.rows} == {"ndcg@10": "equivalent", "utility": answers}
