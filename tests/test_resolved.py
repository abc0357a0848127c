"""Settings of the candidates, as resolved: in the outcome, and in the full report with what was set marked."""

from __future__ import annotations

from collections.abc import Callable

import combined
import outcomes as invented
import pocket
import pytest

from harness.report.content.details import resolved as table
from harness.report.render.markdown import render_markdown
from harness.report.view import view
from harness.suite.recipes import RerankerRecipe, RetrieverRecipe
from harness.suite.resolved import resolved
from harness.values.findings import Outcome

CANDIDATES = {
    "plain": {"tune": ["retriever"]},
    "quick": {"tune": ["retriever"], "retriever": {"epochs": 7}, "mine": {"hard": 1}, "pairs": "judged"},
    "both": {"tune": ["reranker", "retriever"], "reranker": {"batch_size": 3}},
}


def test_a_change_of_a_candidate_and_of_the_suite_are_both_resolved() -> None:
    suite = pocket.suite({"candidates": CANDIDATES, "recipes": {"retriever": {"learning_rate": 3e-5}}})
    found = {(one.candidate, one.section): one for one in resolved(suite)}
    quick, both = found["quick", "recipes.retriever"], found["both", "recipes.retriever"]
    assert quick.settings["epochs"] == 7
    assert quick.changed == ("epochs", "learning_rate") or set(quick.changed) == {"epochs", "learning_rate"}
    assert both.changed == ("learning_rate",)
    assert both.settings["epochs"] == RetrieverRecipe().epochs
    assert found["both", "recipes.reranker"].settings["batch_size"] == 3
    assert found["quick", "data.mine"].settings["hard"] == 1
    assert found["quick", "data"].settings == {"pairs": "judged"}
    assert ("plain", "data.instruct") not in found
    assert set(found["both", "recipes.reranker"].settings) == set(RerankerRecipe.model_fields)


def test_the_combinations_of_a_factorial_are_candidates_too() -> None:
    suite = pocket.suite({"candidates": {}, "factorial": ["retriever", "reranker"]})
    assert {one.candidate for one in resolved(suite)} == {"retriever", "reranker", "retriever-reranker"}


def test_the_report_marks_what_is_no_default_and_shares_rows() -> None:
    suite = pocket.suite({"candidates": CANDIDATES})
    outcome = invented.normal(resolved=resolved(suite))
    shown = table(view(outcome))
    assert shown is not None
    rows = {(row[0].text, row[1].text): (row[2].text, row[3].text) for row in shown.rows}
    mine = [key for key in rows if key[1] == "recipes.retriever"]
    assert ("quick", "recipes.retriever") in mine
    assert "epochs: 7" in rows["quick", "recipes.retriever"][0]
    assert "epochs" not in rows["quick", "recipes.retriever"][1]
    assert ("plain, both", "recipes.retriever") in mine, "candidates that share a section share its row"
    text = render_markdown(outcome)
    assert "Settings of the candidates, as resolved" in text
    assert "epochs: 7" in text


@pytest.mark.parametrize("made", [invented.normal, combined.factorial])
def test_an_outcome_of_before_has_no_such_table(made: Callable[[], Outcome]) -> None:
    assert table(view(made())) is None
