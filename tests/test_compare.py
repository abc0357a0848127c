"""`harness compare`: which sides can be compared, and what it prints."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import json

import judged
import pytest
from test_gating import BASE, Project, call, dataset_with, project  # noqa: F401

from harness.gates.compare import OWN_FAMILY
from harness.values.questions import SyntheticQuestions

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
    assert "written minus untuned" in out
    assert "+0.100" in out
    assert "(exploratory; seed 0)" in out
    assert out.count("seed") == 1, "one seed of all that is trained is said once"
    assert project.call("compare", "toy:written", "toy:untuned:0", "--json")[1].count("regressed") == 1


def test_accepted_scores_are_a_side_too(project: Project) -> None:
    project.ran()
    project.accept()
    project.ran(candidate=0.1)
    code, out, _ = project.call("compare", "baselines/toy", "toy", "--json")
    assert code == 0
    assert [row["verdict"] for row in json.loads(out)["rows"]].count("improved") == 1


def test_synthetic_questions_are_told_first(project: Project) -> None:
    about = SyntheticQuestions(total=120, synthetic=120, reviewed=7, by="m")
    first = project.ran(dataset=dataset_with().model_copy(update={"questions": about}))
    project.accept()
    said = "Questions are synthetic (written by m); a person has seen 7 of 120."
    code, out, _ = project.call("compare", str(first), "baselines/toy")
    assert (code, out.splitlines()[0]) == (0, said)
    more = about.model_copy(update={"reviewed": 9})
    other = project.ran(dataset=dataset_with().model_copy(update={"questions": more}))
    found = json.loads(project.call("compare", str(first), str(other), "--json")[1])["questions"]
    assert found == [f"{first}: {said}", f"{other}: {said.replace('7', '9', 1)}"]


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
    assert json.loads(out)["remarks"] == ["Not comparable, because the measurement has changed: ndcg@10.", OWN_FAMILY]
    third = project.ran(identities={"ndcg@10": "x", "recall@10": "y"})
    code, _, error = project.call("compare", str(first), str(third))
    assert code == 4
    assert "every shared measure was measured in different ways; run both on the same data" in error


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (
            "nowhere",
            "toy",
            "'nowhere' names no outcome, no accepted scores and no suite with an outcome; give a folder",
        ),
        ("toy:untund", "toy", "toy: no system 'untund'; did you mean 'untuned'?"),
        ("toy:untuned", "toy:", "toy: no system ''"),
        ("suites/toy/run.trec", "toy", "a run file needs judgements; add --qrels FILE"),
    ],
)
def test_sides_that_there_are_not(first: str, second: str, what: str, project: Project) -> None:
    project.ran()
    (project.suite_file.parent / "run.trec").write_text("", encoding="utf-8")
    code, out, error = project.call("compare", first, second)
    assert (code, out) == (2, "")
    assert what in error


@pytest.mark.parametrize("suite", ["toy", "suites/toy", "suites/toy/suite.yaml"])
def test_a_side_is_a_suite_by_its_name_its_folder_or_its_file(suite: str, project: Project) -> None:
    project.ran()
    code, out, error = project.call("compare", f"{suite}:untuned", f"{suite}:written", "--json")
    assert (code, error) == (0, "")
    assert {row["measure"] for row in json.loads(out)["rows"]} == {"ndcg@10", "recall@10"}


def test_measures_may_be_chosen(project: Project) -> None:
    project.ran()
    code, out, _ = project.call("compare", "toy:untuned", "toy:written", "--measure", "recall@10", "--json")
    assert (code, [row["measure"] for row in json.loads(out)["rows"]]) == (0, ["recall@10"])
    code, _, error = project.call("compare", "toy:untuned", "toy:written", "--measure", "mrr@10")
    assert code == 4
    assert "no shared measure of those asked for with a shared query" in error


def test_a_margin_that_is_given_counts_instead_of_that_of_a_gate(project: Project) -> None:
    project.ran()
    command = ("compare", "toy:untuned", "toy:written", "--measure", "ndcg@10", "--json")
    margins = [json.loads(project.call(*command, *more)[1])["rows"][0]["margin"] for more in ((), ("--margin", "0.07"))]
    assert margins == [0.02, 0.07]


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
    left_out = "untuned, noise_sensitivity: 5 queries have a score on one side only and are left out."
    assert value["remarks"] == [left_out, OWN_FAMILY]
