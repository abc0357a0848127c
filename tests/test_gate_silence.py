"""A gate never takes silence for success: what did not run, was not read or was not given is told, with its exit code.

The cases are those that users of other gates reported: benchmarks that never ran and passed, baselines that could not
be read and counted as none, results of an earlier run that were judged, variables of a job that were not set.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import judged
import pytest
from test_gating import BASE, Columns, Project, call, project  # noqa: F401
from test_pytest_plugin import Project as Session

from harness.errors import ConfigError
from harness.results import damage, outcomes

pytest_plugins = ["pytester"]
TWO = {"candidates": {"written": {"tune": ["retriever"]}, "judged": {"tune": ["retriever"], "pairs": "judged"}}}
SCORED = {"ndcg@10": BASE, "recall@10": BASE}


def left(project: Project, *names: str, **changes: Any) -> None:  # noqa: F811
    """Leave an outcome with scores of these systems."""
    values: Columns = {(name, 0): SCORED for name in names}
    judged.write_outcome(project.suite_file, project.store, judged.rows_of(values), **changes)


# ---- what did not run


@pytest.mark.parametrize("accepted", [False, True])
def test_a_system_that_crashed_is_incomplete_whether_it_was_accepted_or_not(accepted: bool, project: Project) -> None:  # noqa: F811
    judged.write_suite(project.root, TWO)
    if accepted:
        left(project, "untuned", "written", "judged")
        assert project.accept()[0] == 0
    broken = judged.info("judged", failed="tune_retriever: out of memory")
    left(project, "untuned", "written", systems=(judged.info("untuned"), judged.info("written"), broken))
    code, out, _ = project.gate()
    assert code == 3
    assert out.startswith("Gate of toy is incomplete: judged (ndcg@10: failed).")
    assert "judged failed on ndcg@10: tune_retriever: out of memory." in out
    assert "To accept this outcome" not in out
    assert project.accept()[0] == 3


def test_one_seed_that_crashed_is_not_left_out(project: Project) -> None:  # noqa: F811
    values: Columns = {("untuned", 0): SCORED, ("written", 0): SCORED, ("written", 1): SCORED}
    judged.write_outcome(project.suite_file, project.store, judged.rows_of(values))
    project.accept()
    broken = judged.info("written", seed=1, failed="killed")
    left(project, "untuned", "written", systems=(judged.info("untuned"), judged.info("written"), broken))
    code, out, _ = project.gate()
    assert code == 3
    assert "written (seed 1) failed on ndcg@10: killed." in out
    assert "written (seed 1), ndcg@10: not compared" not in out


@pytest.mark.parametrize("lacking", ["judged", "bm25"])
def test_what_a_suite_names_and_an_outcome_lacks_is_missing_and_not_accepted(
    lacking: str, project: Project  # noqa: F811
) -> None:  # fmt: skip
    judged.write_suite(project.root, {**TWO, "baseline_rows": ["bm25", "untuned", "few-shot", "oracle-context"]})
    left(project, *({"bm25", "untuned", "written", "judged"} - {lacking}))
    code, out, _ = project.gate()
    assert code == 1
    assert out.startswith(f"Gate of toy failed: {lacking} (ndcg@10: missing).")
    assert "in the suite, but not in this outcome; run the suite again." in out
    assert "To accept this outcome" not in out
    code, _, error = project.accept()
    assert (code, error) == (
        3, f"error: {lacking}: in the suite, but not in this outcome; run the suite again\n",
    )  # fmt: skip
    assert not project.accepted.exists()
    left(project, "bm25", "untuned", "written", "judged")
    assert project.gate()[0] == project.accept()[0] == 0


def test_scores_that_were_lost_are_missing(project: Project) -> None:  # noqa: F811
    values: Columns = {("untuned", 0): SCORED, ("written", 0): {"recall@10": BASE}}
    judged.write_outcome(project.suite_file, project.store, judged.rows_of(values))
    code, out, _ = project.gate()
    assert code == 1
    assert "written is missing on ndcg@10: in this outcome, but without scores" in out


# ---- what was not read


def a_file(place: Path) -> None:
    place.write_text("../elsewhere/toy")


def a_broken_link(place: Path) -> None:
    place.symlink_to(place.parent / "nowhere")


@pytest.mark.parametrize("put", [a_file, a_broken_link])
@pytest.mark.parametrize("where", ["baselines", "baselines/toy", "baselines/toy/accepted.json"])
def test_what_lies_in_the_place_of_a_baseline_is_not_taken_for_none(
    put: Callable[[Path], None], where: str, project: Project  # noqa: F811
) -> None:  # fmt: skip
    """A link that was checked out as a text file, or whose target is not there."""
    project.ran()
    place = project.root / where
    place.parent.mkdir(parents=True, exist_ok=True)
    put(place)
    code, out, error = project.gate()
    assert (code, out) == (2, "")
    assert where in error
    if where != "baselines/toy/accepted.json":
        assert project.accept()[0] == 2
        assert os.path.lexists(place)
        assert not place.is_dir()


@pytest.mark.parametrize("name", ["accepted.json", "written-0.tsv"])
def test_a_pointer_of_git_lfs_is_named(name: str, project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept()
    (project.accepted / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")
    code, _, error = project.gate()
    assert code == 2
    assert error.endswith(f"{name}: a pointer of Git LFS, not the file itself; run 'git lfs pull'\n")


def test_a_baseline_of_no_system_is_damaged(project: Project) -> None:  # noqa: F811
    project.ran()
    project.accept()
    path = project.accepted / "accepted.json"
    value = json.loads(path.read_text()) | {"systems": []}
    del value["digest"]
    path.write_text(json.dumps({**value, "digest": damage.seal(value)}))
    for table in project.accepted.glob("*.tsv"):
        table.unlink()
    code, _, error = project.gate()
    assert code == 2
    assert "holds the scores of no system" in error


# ---- what is not of this run


def test_an_outcome_from_before_a_run_that_failed_is_not_judged(project: Project) -> None:  # noqa: F811
    left(project, "untuned", "written")
    assert project.gate()[0] == project.accept()[0] == 0
    with pytest.raises(ConfigError), outcomes.attempted(project.store, "toy"):
        raise ConfigError("llm.generator: no connection\nand more")
    for command in (project.gate, project.accept):
        code, out, error = command()
        assert (code, out) == (2, "")
        assert "latest: older than the last run, which was started at " in error
        assert (
            "has not ended in an outcome (llm.generator: no connection); run the suite again, or add --outcome" in error
        )
    assert project.gate("--outcome", ".harness/outcomes/toy/latest")[0] == 0
    with outcomes.attempted(project.store, "toy"):
        assert "it may still be running, or was killed" in project.gate()[2]
    assert project.gate()[0] == 0


def test_a_first_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), outcomes.attempted(tmp_path / "store", "toy"):
        raise ConfigError("no model")
    assert not (tmp_path / "store").exists()


# ---- what was not given


@pytest.mark.parametrize("option", ["--baselines", "--outcome", "--store", "--junit", "--json"])
@pytest.mark.parametrize("joined", [False, True])
def test_an_option_without_its_value_is_refused(option: str, joined: bool, project: Project) -> None:  # noqa: F811
    """An empty path would be the folder that the command is run in, where nothing was ever accepted."""
    project.ran()
    project.accept()
    project.ran(candidate=-0.1)
    code, out, error = project.gate(*([f"{option}="] if joined else [option, ""]))
    assert (code, out) == (2, "")
    assert error == f"error: {option}: empty; give a value (is a variable of the shell not set?)\n"


def test_arguments_that_are_empty_are_refused(project: Project) -> None:  # noqa: F811
    project.ran()
    code, _, error = project.call("compare", "", "toy")
    assert (code, error) == (2, "error: an argument: empty; give a value (is a variable of the shell not set?)\n")
    assert project.accept("--baselines", "")[0] == 2
    assert not (project.root / "toy").exists()


@pytest.mark.parametrize("margin", ["inf", "1e999"])
def test_a_margin_is_a_finite_number(margin: str, project: Project) -> None:  # noqa: F811
    project.ran()
    code, _, error = project.call("compare", "toy:untuned", "toy:written", "--margin", margin)
    assert (code, error) == (2, "error: --margin: should be a finite number, not inf\n")


# ---- the same in pytest


@pytest.fixture
def session(pytester: pytest.Pytester) -> Session:
    return Session(pytester)


def test_a_system_that_did_not_run_fails_its_test(session: Session) -> None:
    session.next(gone=["retriever"])
    done = session.test("--harness-save", "x", "-k", "bm25")
    done.assert_outcomes(passed=1, deselected=3)
    assert done.ret == 1
    done.stdout.fnmatch_lines(["Not accepted, *Gate of toy failed: retriever (seed 0) (ndcg@10: missing)."])
    session.test().assert_outcomes(passed=3, failed=1)


def test_options_without_their_values_are_refused_by_pytest(session: Session) -> None:
    for option in ("--harness-save", "--harness-compare", "--harness-store"):
        done = session.test(f"{option}=")
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        assert f"argument {option}: empty; give a value" in done.stderr.str()
    assert not session.noted()


def test_what_cannot_be_judged_is_one_sentence_in_pytest(session: Session) -> None:
    session.test("--harness-save", "the first")
    shutil.rmtree(session.path / "baselines")
    (session.path / "baselines").write_text("../elsewhere")
    done = session.test("--harness-latest")
    done.assert_outcomes(errors=4)
    text = done.stdout.str()
    assert "baselines: a file where a folder belongs; restore it from version control, or remove it" in text
    assert ".py:" not in text
