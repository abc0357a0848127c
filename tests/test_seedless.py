"""Where all that is trained has one seed, no name that a person reads has it; machines read it in every name."""

from __future__ import annotations

import io
import json
from typing import Any

import combined
import outcomes
import pytest
import ranked
from rich.console import Console

from harness.report import seedless
from harness.report.content.boards import facts
from harness.report.content.gates import as_json, heading, subject
from harness.report.render.boards import render_page
from harness.report.render.html import render_html
from harness.report.render.junit import junit
from harness.report.render.markdown import outcome_pictures, render_boards, render_gating, render_markdown
from harness.report.render.terminal import render
from harness.report.view import view
from harness.statistics.verdicts import Gated, Gating, label_of
from harness.values.findings import Outcome


def with_texts(outcome: Outcome) -> Outcome:
    """The outcome with the names of its systems in stored texts, too."""
    last = outcome.systems[-1].label
    notes = (f"Cut: {last} 3 of 9, retriever (seed 0) 2 of 9.", "tune retriever of retriever, seed 0")
    other = outcome.systems[-1].model_copy(update={"same_run_as": "retriever (seed 0)"})
    return outcome.model_copy(update={"notes": notes, "systems": (*outcome.systems[:-1], other)})


def printed(outcome: Outcome) -> str:
    console = Console(file=(file := io.StringIO()), width=160)
    render(outcome, console, verbose=True)
    return file.getvalue()


def pictures(outcome: Outcome) -> str:
    return "".join(picture.svg + picture.description for picture in outcome_pictures(outcome, "charts"))


@pytest.mark.parametrize("rendered", [printed, render_markdown, render_html, pictures])
@pytest.mark.parametrize("made", [outcomes.normal, combined.with_settings])
def test_no_rendering_repeats_the_one_seed(made: Any, rendered: Any) -> None:
    text = rendered(with_texts(made()))
    assert "(seed" not in text
    assert "retriever, seed 0" not in text
    assert rendered is pictures or "candidates, seed 0" in text


def test_stored_texts_lose_the_seed_behind_a_name_and_nothing_else() -> None:
    told = view(with_texts(outcomes.normal())).outcome
    assert told.notes == ("Cut: retriever-judged 3 of 9, retriever 2 of 9.", "tune retriever of retriever")
    assert told.systems[-1].same_run_as == "retriever"
    assert seedless.of_outcome(outcomes.normal(notes=("other (seed 0)", "retriever (seed 01)"))).notes == (
        "other (seed 0)", "retriever (seed 01)",
    )  # fmt: skip


def test_names_keep_their_seeds_where_there_are_several() -> None:
    several = outcomes.several_seeds()
    assert seedless.of_outcome(several) is several
    assert "(seed 0)" in printed(several)


def test_machines_read_the_names_as_they_are() -> None:
    outcome = with_texts(outcomes.normal())
    before = outcome.model_dump_json()
    view(outcome)
    assert outcome.model_dump_json() == before
    assert [info.label for info in outcome.systems][-1] == "retriever-judged (seed 0)"


# ---- gates


def gated(*names: tuple[str, tuple[int, ...]]) -> Gating:
    verdicts = tuple(
        Gated(
            system=name, seeds=seeds, label=label_of(name, seeds, trained=name != "untuned"), gate="ndcg@10",
            verdict="missing", reason="absent",
        )
        for name, seeds in names
    )  # fmt: skip
    changed = tuple(one.label for one in verdicts)
    return Gating(suite="toy", split="test", created="now", accepted="then", verdicts=verdicts, changed=changed)


def test_a_gate_says_the_one_seed_once() -> None:
    found = gated(("untuned", (0,)), ("one", (3,)), ("two", (3,)))
    text = render_gating(found)
    assert "(seed" not in text
    assert "Outcome of now, seed 3 against" in text
    assert "one (seed 3)" in junit(found)
    assert "one (seed 3)" in json.dumps(as_json(found))


@pytest.mark.parametrize("second", [(4,), (3, 4)])
def test_a_gate_on_several_seeds_names_them(second: tuple[int, ...]) -> None:
    found = gated(("one", (3,)), ("two", second))
    assert seedless.of_gating(found) is found
    assert "one (seed 3)" in heading(found)
    assert "seed" not in subject(found)


# ---- leaderboards


def test_a_board_says_the_one_seed_once() -> None:
    rows = [ranked.placed("tuned (seed 7)", 1, 1, 1, tunes=("retriever",)), ranked.placed("untuned", 2, 2, 2)]
    board = ranked.a_board(rows=tuple(rows), unranked=("lost (seed 7)",), seeds=(7,))
    assert "seed 7" in facts(board)
    for text in (render_boards([board]), render_page([board])):
        assert "(seed" not in text
        assert "seed 7" in text
    assert "tuned (seed 7)" in render_boards([board.model_copy(update={"seeds": (7, 8)})])


# ---- comparisons


@pytest.mark.parametrize(
    ("labels", "text", "shown", "seeds"),
    [
        (["bm25", "tuned (seed 3)"], "tuned (seed 3), ndcg@10: 2 left out", "tuned, ndcg@10: 2 left out", (3,)),
        (["tuned (seed 3) minus untuned"], "tuned (seed 3)", "tuned", (3,)),
        (["tuned (seed 3)", "tuned (seed 30)"], "tuned (seed 3)", "tuned (seed 3)", (3, 30)),
        (["bm25", "untuned"], "a file (seed 3)", "a file (seed 3)", ()),
    ],
)
def test_texts_about_labels_lose_the_one_seed(labels: list[str], text: str, shown: str, seeds: tuple[int, ...]) -> None:
    without, found = seedless.of_labels(labels)
    assert (without(text), found) == (shown, seeds)
