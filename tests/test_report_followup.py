"""What the report of an outcome shows after a diagnosis: predictions, ROI, slices, forgetting."""

from __future__ import annotations

import re

import combined
import diagnosed as built
import explored
import pytest
from syrupy.assertion import SnapshotAssertion
from test_report import blocks
from test_report_diagnosis import shown, whole_tables, words_of
from test_report_html import Page, squeezed

from harness.report import format as fmt
from harness.report.content import extras
from harness.report.content.outcome import contents
from harness.report.render.html import render_html
from harness.report.render.markdown import (
    outcome_pictures,
    render_markdown,
)
from harness.report.render.templates import escaped
from harness.report.render.terminal import print_section, render
from harness.report.view import view
from harness.text import decimals
from harness.values.findings import Outcome
from harness.values.insights import Prediction

# ---- what came after


def after(outcome: Outcome, verbose: bool = True, width: int = 120) -> str:
    sections = contents(outcome).after
    return shown(lambda console: [print_section(one, console, verbose) for one in sections] and None, width)


def test_aftermath_on_a_terminal(snapshot: SnapshotAssertion) -> None:
    for name, block in blocks(after(built.outcome(), verbose=False, width=80)):
        assert block == snapshot(name=name)


def test_a_terminal_says_what_an_average_hides_once() -> None:
    text = " ".join(shown(lambda console: render(built.outcome(), console)).split())
    assert contents(built.outcome()).cautions
    for line in contents(built.outcome()).cautions:
        assert text.count(line) == 1


def test_aftermath_in_markdown(snapshot: SnapshotAssertion) -> None:
    text = render_markdown(built.outcome(), outcome_pictures(built.outcome(), "charts"))
    whole_tables(text)
    begins, ends = (text.index(title) for title in ("## Predictions of the diagnosis", "## Tuning several parts"))
    for name, block in blocks(text[begins:ends].replace("<details>", "")):
        assert block == snapshot(name=name)


@pytest.mark.parametrize("width", [120, 80, 60])
def test_no_line_of_the_aftermath_is_wider_than_the_terminal(width: int) -> None:
    assert [line for line in after(built.outcome(), width=width).splitlines() if len(line) > width] == []


def test_an_outcome_without_an_aftermath_shows_nothing_of_it() -> None:
    plain = combined.factorial()
    assert contents(plain).after == ()
    assert extras.cautions(view(plain)) == ()
    ids = re.findall(r'<section id="(\w+)"', render_html(plain))
    assert ids == ["answer", "systems", "cost", "interactions", "verdicts", "ledger", "queries", "data", "reading"]


@pytest.mark.parametrize("field", ["diagnosis", "predictions", "roi", "slices", "forgotten"])
def test_what_is_empty_has_no_section(field: str) -> None:
    slugs = {"diagnosis": "loss", "predictions": "worth", "roi": "roi", "slices": "slices",
             "forgotten": "forgetting"}  # fmt: skip
    every = [section.slug for section in contents(built.outcome()).after]
    assert every == ["roi", "loss", "worth", "slices", "forgetting"]
    less = built.outcome(**{field: None if field == "diagnosis" else ()})
    assert [section.slug for section in contents(less).after] == [one for one in every if one != slugs[field]]


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(built.outcome())


def test_the_page_has_the_sections_in_the_order_of_a_readers_questions(page: str) -> None:
    ids = re.findall(r'<section id="(\w+)"', page)
    assert ids == [
        "answer", "systems", "cost", "roi", "loss", "worth", "slices", "forgetting", "interactions", "verdicts",
        "ledger", "queries", "data", "reading",
    ]  # fmt: skip


def test_the_page_shows_every_word_of_the_aftermath(page: str) -> None:
    outcome = built.outcome()
    words = squeezed(Page(page).words)
    text = render_markdown(outcome)
    for one in words_of(contents(outcome).after):
        assert squeezed(one) in words or all(squeezed(part) in words for part in one.split()), one
        assert escaped(one) in text, one


def test_a_winner_on_average_that_loses_a_slice_is_said_so_at_once() -> None:
    said = (
        "On ndcg@10, retriever improved on average (+0.040), but regressed on the slice query kind: keyword "
        "(-0.061 [-0.102, -0.021] on 58 queries)."
    )
    made = contents(built.outcome())
    assert made.cautions[0] == said
    (slices,) = (section for section in made.after if section.slug == "slices")
    assert slices.sentences == (said,)
    assert fmt.cell_text(slices.tables[0].rows[0][1]) == "query kind: keyword"
    assert {row[4].tone for row in slices.tables[0].rows} == {"improved", "regressed"}
    assert len(slices.in_full[0].rows) == len(built.outcome().slices)


def test_a_loser_on_average_is_not_said_to_win() -> None:
    lost = tuple(row.model_copy(update={"verdict": "inconclusive"}) for row in built.outcome().comparisons)
    (said, *_) = contents(built.outcome(comparisons=lost)).cautions
    assert said.startswith("On ndcg@10, retriever regressed on the slice query kind: keyword")


def test_where_no_slice_tells_anything_there_is_no_first_table() -> None:
    rows = tuple(row.model_copy(update={"verdict": "inconclusive"}) for row in built.slices())
    (section,) = (one for one in contents(built.outcome(slices=rows)).after if one.slug == "slices")
    assert section.tables == ()
    assert section.sentences == ("No system loses significantly on a slice.",)


def test_many_losses_are_named_and_counted() -> None:
    (lost,) = (row for row in built.slices() if row.verdict == "regressed")
    many = tuple(lost.model_copy(update={"value": f"v{number}"}) for number in range(7))
    (said,) = extras.cautions(view(built.outcome(slices=many, forgotten=())))
    assert "regressed on the slices query kind: v0" in said
    assert said.endswith("query kind: v2 (-0.061 [-0.102, -0.021] on 58 queries) and 4 more.")
    systems = tuple(lost.model_copy(update={"system": f"s{number}"}) for number in range(11))
    told = extras.cautions(view(built.outcome(slices=systems, forgotten=())))
    assert len(told) == extras.MOST_SENTENCES + 1
    assert told[-1] == "3 more of this kind: see Slices and forgetting."


def test_what_is_forgotten_is_said_and_what_is_not_claims_no_more_than_it_may() -> None:
    (section,) = (one for one in contents(built.outcome()).after if one.slug == "forgetting")
    assert section.sentences == (
        "retriever regressed on other data: ndcg@10 on scifact (test) changed by -0.049 [-0.081, -0.017].",
    )
    kept = built.outcome(forgotten=built.forgotten()[1:])
    (section,) = (one for one in contents(kept).after if one.slug == "forgetting")
    assert section.sentences[0].startswith("No significant loss on scifact (test); only 'equivalent'")


def test_predictions_stand_in_the_order_of_the_advice() -> None:
    (section,) = (one for one in contents(built.outcome()).after if one.slug == "worth")
    ndcg, utility, costs = section.tables
    assert [fmt.cell_text(row[0]) for row in ndcg.rows] == ["1", "2", "5, against", *4 * [decimals.NONE]]
    assert ndcg.title.endswith("ndcg@10")
    assert [fmt.cell_text(cell) for cell in utility.rows[0]] == [
        "1", "generator", "about +0.859", "+0.142 [+0.056, +0.227] improved", "The advice held.",
    ]  # fmt: skip
    assert "Predicted on the split dev, gained on test." in ndcg.caption
    assert utility.caption == ""
    assert [fmt.cell_text(cell) for cell in costs.rows[0]] == [
        "generator", "39 min 17 s ($0.033)", "39 min 44 s ($0.033)",
    ]  # fmt: skip


def test_a_prediction_that_failed_says_so() -> None:
    row = Prediction(
        system="retriever", seed=0, measure="ndcg@10", verdict="failed", conclusion="cannot be told: no scores"
    )
    (section,) = (one for one in contents(built.outcome(predictions=(row,))).after if one.slug == "worth")
    assert [fmt.cell_text(cell) for cell in section.tables[0].rows[0]][2:] == [
        decimals.NONE, "failed", "Cannot be told: no scores.",
    ]  # fmt: skip


def test_returns_say_who_is_beaten_by_whom() -> None:
    (section,) = (one for one in contents(built.outcome()).after if one.slug == "roi")
    ndcg, _ = section.tables
    fronts = {fmt.cell_text(row[0]): fmt.cell_text(row[-1]) for row in ndcg.rows}
    assert fronts["retriever"] == "yes"
    assert fronts["reranker-generator"] == "dominated by retriever and generator"
    assert section.sentences[0].startswith("ndcg@10: on the Pareto front are retriever, reranker")
    assert ndcg.notes[-1].startswith("It adds no latency: retriever, generator and")


def test_hostile_names_of_slices_and_data_become_no_element(page: str) -> None:
    rows = tuple(row.model_copy(update={"field": explored.ATTACKS[0], "value": explored.ATTACKS[2]})
                 for row in built.slices())  # fmt: skip
    lost = tuple(row.model_copy(update={"dataset": explored.ATTACKS[1], "reason": explored.ATTACKS[5]})
                 for row in built.forgotten())  # fmt: skip
    outcome = built.outcome(slices=rows, forgotten=lost, diagnosis=built.hostile(explored.ATTACKS))
    tags = {tag for tag, _ in Page(render_html(outcome)).tags}
    assert tags == {tag for tag, _ in Page(page).tags}
    on_screen = shown(lambda console: render(outcome, console, verbose=True))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", on_screen)


def test_the_slices_of_who_loses_over_all_questions_are_no_news() -> None:
    seen = built.outcome()
    lost = next(row for row in seen.slices if row.verdict == "regressed")
    key = (lost.system, lost.seed, lost.measure)
    comparisons = tuple(
        row.model_copy(update={"verdict": "regressed"}) if (row.system, row.seed, row.measure) == key else row
        for row in seen.comparisons
    )
    told = extras.slices(view(seen.model_copy(update={"comparisons": comparisons}))).sentences
    assert any("regressed over all queries" in line and lost.system in line for line in told)
    assert not any("regressed on the slice" in line and lost.system in line and lost.measure in line for line in told)
