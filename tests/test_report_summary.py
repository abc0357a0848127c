"""The headline of a report says no more than the verdicts do."""

from __future__ import annotations

import outcomes

from harness.report.content.summary import summarise
from harness.report.view import view

# ---- the answer


def test_the_answer_names_what_paid_its_cost_and_what_it_holds_for() -> None:
    said = summarise(view(outcomes.normal()))
    assert said.tone == "improved"
    assert said.first == "Tuning the retriever paid: retriever (seed 0) improved ndcg@10 by +0.041 [+0.012, +0.070]."
    assert "14 min 05 s" in said.rest[0]
    assert "these checkpoints, not about their recipes" in said.rest[-1]


def test_the_answer_claims_nothing_where_nothing_was_told() -> None:
    said = summarise(view(outcomes.few_groups()))
    assert said.tone == "inconclusive"
    assert said.first == "No candidate is shown to improve on untuned."
    assert "2 inconclusive" in said.rest[0]
    assert "minimum detectable effect" in said.rest[0]


def test_the_answer_speaks_of_recipes_where_seeds_allow_it() -> None:
    said = summarise(view(outcomes.several_seeds()))
    assert "over 3 seeds" in said.first
    assert "about the recipes" in said.rest[-1]


def test_a_gain_with_a_loss_is_not_called_paid() -> None:
    base = outcomes.normal()
    lost = {"difference": -0.2, "low": -0.3, "high": -0.1, "verdict": "regressed"}
    rows = [
        row.model_copy(update=lost) if (row.system, row.measure) == ("retriever", "utility") else row
        for row in base.comparisons
    ]
    said = summarise(view(base.model_copy(update={"comparisons": tuple(rows)})))
    assert said.first == "No candidate is shown to improve on untuned without a loss on another measure."
    assert any("but lost utility by -0.200" in line for line in said.rest)


def test_several_that_paid_are_counted_and_not_ranked_as_tested() -> None:
    base = outcomes.normal()
    better = {"difference": 0.1, "low": 0.05, "high": 0.15, "verdict": "improved"}
    rows = [
        row.model_copy(update=better) if (row.system, row.measure) == ("retriever-judged", "ndcg@10") else row
        for row in base.comparisons
    ]
    said = summarise(view(base.model_copy(update={"comparisons": tuple(rows)})))
    start = "2 of 2 candidates improved on untuned, retriever-judged (seed 0) most: ndcg@10 by +0.100"
    assert said.first.startswith(start)
    assert any("not tested against each other" in line for line in said.rest)
    # What nobody has to tune and gained more stands in the same sentence.
    more = {"difference": 0.2, "low": 0.1, "high": 0.3, "verdict": "improved"}
    rows = [row.model_copy(update=more) if (row.system, row.measure) == ("bm25", "ndcg@10") else row for row in rows]
    said = summarise(view(base.model_copy(update={"comparisons": tuple(rows)})))
    assert said.first.startswith(start)
    assert said.first.endswith("; without tuning, bm25 improved ndcg@10 by +0.200 [+0.100, +0.300].")


def test_a_reference_row_that_gained_more_is_named() -> None:
    base = outcomes.few_groups()
    better = {"difference": 0.2, "low": 0.1, "high": 0.3, "verdict": "improved"}
    rows = [row.model_copy(update=better) if row.system == "bm25" else row for row in base.comparisons]
    said = summarise(view(base.model_copy(update={"comparisons": tuple(rows)})))
    assert "Without tuning, ndcg@10 improved: bm25 by +0.200 [+0.100, +0.300]." in said.rest


def test_without_a_candidate_nothing_is_claimed() -> None:
    base = outcomes.normal()
    systems = tuple(info for info in base.systems if info.role == "baseline")
    assert summarise(view(base.model_copy(update={"systems": systems}))).first.startswith("Nothing was tested")
