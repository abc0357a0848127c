"""The headline of a report says what the verdicts do, and no more."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import combined
import outcomes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.content.candidates import by_candidate
from harness.report.content.subjects import Subject, unimproved
from harness.report.content.summary import summarise
from harness.report.view import view
from harness.values.findings import Outcome
from harness.values.gains import BestUntrained

# ---- the answer


def test_the_answer_names_what_paid_its_cost_and_what_it_holds_for() -> None:
    said = summarise(view(outcomes.normal()))
    assert said.tone == "improved"
    assert said.first == "Tuning the retriever paid: retriever improved ndcg@10 by +0.041 [+0.012, +0.070]."
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
    start = "2 of 2 candidates improved on untuned, retriever-judged most: ndcg@10 by +0.100"
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


# ---- settings and trainings


def verdicts(outcome: Outcome, family: str, **by_system: Any) -> Outcome:
    """The outcome with other numbers for ndcg@10 of these systems; None takes their row away."""
    changes = {name.replace("_", "-"): change for name, change in by_system.items()}
    rows = []
    for row in outcome.comparisons:
        asked = row.family == family and row.measure == "ndcg@10" and row.system in changes
        if not asked:
            rows.append(row)
        elif changes[row.system] is not None:
            rows.append(row.model_copy(update=changes[row.system]))
    return outcome.model_copy(update={"comparisons": tuple(rows)})


OPEN = {"difference": 0.004, "low": -0.01, "high": 0.018, "verdict": "inconclusive"}
LOSS = {"difference": -0.2, "low": -0.3, "high": -0.1, "verdict": "regressed"}
EQUAL = {"difference": 0.001, "low": -0.004, "high": 0.006, "verdict": "equivalent"}


def test_the_answer_names_the_best_setting_and_what_improves_on_it() -> None:
    said = summarise(view(combined.with_settings()))
    assert said.first.startswith("3 of 3 candidates improved on untuned, staged most: ndcg@10 by +0.120")
    best = "The best system without training, chosen on dev, is late-interaction (ndcg@10 +0.088 [+0.061, +0.116] "
    assert any(line.startswith(best) for line in said.rest)
    beyond = "staged improves on it by +0.032 [+0.010, +0.053]; retriever is worse."
    assert f"Of the trained candidates, on ndcg@10: {beyond}" in said.rest


def test_a_training_that_a_setting_may_equal_is_not_recommended() -> None:
    """It gained most against `untuned`, and is not shown to improve on what trains nothing."""
    said = summarise(view(verdicts(combined.with_settings(), "untrained", staged=OPEN)))
    assert said.first == (
        "3 of 3 candidates improved on untuned. late-interaction improved ndcg@10 by +0.088 [+0.061, +0.116], "
        "without training; staged improved more, but is not shown to improve on late-interaction, which "
        "trains nothing."
    )
    assert said.rest[0].startswith("It trains nothing and took 1 min 01 s")
    none = "none of 2 is shown to improve on it; retriever is worse"
    assert f"Of the trained candidates, on ndcg@10: {none}." in said.rest


def test_a_baseline_row_can_be_the_setting_that_no_training_improves_on() -> None:
    base = verdicts(combined.with_settings(), "gain", **{combined.LATE: LOSS}, retriever=OPEN)
    base = verdicts(base, "untrained", staged=OPEN)
    best = BestUntrained(system="hybrid", measure="ndcg@10", means={"hybrid": 0.7})
    said = summarise(view(base.model_copy(update={"best_untrained": best})))
    assert said.tone == "inconclusive"
    assert said.first == ("staged improved on untuned, but is not shown to improve on hybrid, which trains nothing.")
    assert said.rest[0] == "staged improved ndcg@10 by +0.120 [+0.091, +0.149]."
    assert any("chosen on dev, is hybrid (ndcg@10 +0.027" in line for line in said.rest)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (LOSS, "regressed against hybrid, which trains nothing: ndcg@10 by -0.200 [-0.300, -0.100]."),
        (EQUAL, "is equivalent to hybrid, which trains nothing."),
        (OPEN, "is not shown to improve on hybrid, which trains nothing."),
    ],
)
def test_the_headline_says_of_a_training_what_its_verdict_against_a_setting_says(over: Any, said: str) -> None:
    base = verdicts(combined.with_settings(), "gain", **{combined.LATE: LOSS}, retriever=OPEN)
    base = verdicts(base, "untrained", staged=over)
    best = BestUntrained(system="hybrid", measure="ndcg@10", means={"hybrid": 0.7})
    first = summarise(view(base.model_copy(update={"best_untrained": best}))).first
    assert first == f"staged improved on untuned, but {said}"


@pytest.mark.parametrize(
    ("staged", "late", "said"),
    [
        (LOSS, LOSS, "Each of 2 candidates regressed against untuned."),
        (EQUAL, EQUAL, "Each of 2 candidates is equivalent to untuned."),
        (EQUAL, LOSS, "No candidate is shown to improve on untuned."),
        (OPEN, LOSS, "No candidate is shown to improve on untuned."),
        (LOSS, None, "staged regressed against untuned: ndcg@10 by -0.200 [-0.300, -0.100]."),
        (EQUAL, None, "staged is equivalent to untuned."),
        (OPEN, None, "No candidate is shown to improve on untuned."),
    ],
)
def test_where_none_improved_the_headline_says_what_all_did(staged: Any, late: Any, said: str) -> None:
    base = verdicts(combined.with_settings(), "gain", staged=staged, **{combined.LATE: late})
    rows = tuple(row for row in base.comparisons if row.system != "retriever")
    assert summarise(view(base.model_copy(update={"comparisons": rows}))).first == said


def test_candidates_that_differ_against_a_setting_are_counted() -> None:
    (row, *_) = outcomes.gains("retriever")
    lost, same, unclear = ([row.model_copy(update=change)] for change in (LOSS, EQUAL, OPEN))
    assert unimproved([lost, unclear, same], "bm25") == (
        "none is shown to improve on bm25, and 1 of 3 regressed against it"
    )
    assert unimproved([lost, lost], "bm25") == "each regressed against bm25"
    assert unimproved([same, same], "bm25") == "each is equivalent to bm25"
    assert unimproved([same, unclear], "bm25") == "none is shown to improve on bm25"
    mixed = [*unclear, row.model_copy(update={**LOSS, "measure": "utility"})]
    assert unimproved([mixed], "bm25") == "regressed against bm25: utility by -0.200 [-0.300, -0.100]"


def test_a_single_setting_that_improved_is_not_called_a_tuning() -> None:
    base = verdicts(combined.with_settings(), "gain", retriever=OPEN, staged=LOSS)
    said = summarise(view(base))
    assert said.first == "late-interaction improved ndcg@10 by +0.088 [+0.061, +0.116], without training."


def test_many_candidates_are_counted_in_a_few_lines_and_named_by_verdict_below() -> None:
    seen = view(combined.many())
    said = summarise(seen)
    assert said.first == "13 of 13 candidates improved on untuned, staged most: ndcg@10 by +0.120 [+0.091, +0.149]."
    assert said.rest[-1] == (
        "Of the trained ones, 6 of 12 on ndcg@10 improve on late-interaction, the best without training."
    )
    assert len(textwrap.wrap(" ".join((said.first, *said.rest)), 80)) <= 5
    below = by_candidate(seen)
    assert below[0] == "ndcg@10: of 13 candidates, 13 improved (staged most, +0.120 [+0.091, +0.149])."
    (named,) = (line for line in below if line.startswith("Of the trained candidates, on ndcg@10: "))
    assert ": staged (+0.032 [+0.010, +0.053]), staged-copy (" in named
    worse = "retriever, retriever-copy, retriever-copy-of-a-copy and 3 more are worse."
    assert named.endswith(f"and 3 more improve on it; {worse}")


def test_of_many_candidates_those_that_a_setting_may_equal_are_counted() -> None:
    base = combined.many()
    copies = [info.name for info in base.systems if info.name.startswith("staged-")]
    changes = {**dict.fromkeys(copies, OPEN), "staged": OPEN}
    first = summarise(view(verdicts(base, "untrained", **changes))).first
    assert "; 6 improved more, but none of these is shown to improve on late-interaction." in first


def test_where_no_setting_can_be_chosen_the_reason_is_told() -> None:
    base = verdicts(combined.with_settings(), "untrained", retriever=None, staged=None)
    said = summarise(view(base.model_copy(update={"best_untrained": BestUntrained(reason="there is no dev split")})))
    assert "No best system without training is named: there is no dev split." in said.rest


def test_verdicts_on_settings_alone_are_not_about_checkpoints() -> None:
    base = combined.with_settings()
    systems = tuple(info for info in base.systems if not info.tunes)
    rows = tuple(row for row in base.comparisons if row.system in {info.name for info in systems})
    said = summarise(view(base.model_copy(update={"systems": systems, "comparisons": rows, "best_untrained": None})))
    assert said.first == "late-interaction improved ndcg@10 by +0.088 [+0.061, +0.116], without training."
    assert "checkpoints" not in " ".join(said.rest)


outcomes_of_a_test = st.sampled_from([OPEN, LOSS, {"difference": 0.3, "low": 0.2, "high": 0.4, "verdict": "improved"}])


@given(st.tuples(*[outcomes_of_a_test] * 3), st.tuples(*[outcomes_of_a_test] * 2))
def test_no_headline_sells_a_training_that_a_setting_may_equal(gains: tuple[Any, ...], over: tuple[Any, ...]) -> None:
    base = verdicts(combined.with_settings(), "gain", retriever=gains[0], staged=gains[1], **{combined.LATE: gains[2]})
    base = verdicts(base, "untrained", retriever=over[0], staged=over[1])
    said = summarise(view(base))
    for name, row in zip(("retriever", "staged"), over, strict=True):
        if row["verdict"] != "improved" and re.search(rf"(?<!the ){name}\b", said.first):
            lost = row["verdict"] == "regressed"
            assert ("regressed against" if lost else "shown to improve on") + " late-interaction" in said.first or (
                "none is shown to improve on late-interaction" in said.first
            )
            assert not said.first.startswith("Tuning")


def test_gains_of_several_measures_are_added_in_margins() -> None:
    """So a candidate that improves on both measures is not second to one with a gain on the larger scale alone."""
    (row, *_) = outcomes.gains("retriever")

    def improved(measure: str, difference: float, margin: float) -> Any:
        return row.model_copy(
            update={"measure": measure, "difference": difference, "margin": margin, "verdict": "improved"}
        )

    info = outcomes.system("retriever")
    both = Subject("staged", info, (improved("ndcg@10", 0.14, 0.02), improved("utility", 0.6, 0.05)))
    alone = Subject("generator", info, (improved("ndcg@10", 0.0, 0.02), improved("utility", 0.5, 0.05)))
    assert both.gain_in_margins == pytest.approx(7 + 12)
    assert both.gain_in_margins > alone.gain_in_margins
    assert Subject("one", info, (improved("ndcg@10", 0.1, 0.0),)).gain_in_margins == pytest.approx(0.1)
