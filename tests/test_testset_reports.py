"""Every report says on its first line that its questions are synthetic, and whether they agree with people's."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import outcomes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import kendalltau

from harness.report.content.boards import sentences
from harness.report.content.questions import sections
from harness.report.render.html import render_html
from harness.report.render.markdown import render_gating, render_markdown
from harness.report.render.terminal import render
from harness.report.view import view
from harness.statistics.rank_agreement import rank_agreement, tau_b
from harness.statistics.verdicts import Gating
from harness.values.boards import Board, Placed
from harness.values.findings import Outcome
from harness.values.questions import MeanPair, QuestionAgreement, SyntheticQuestions, in_words, synthetic_questions
from harness.values.records import Query

SEEN = SyntheticQuestions(total=120, synthetic=120, reviewed=12, by="big-model")
LINE = "Questions are synthetic (written by big-model); a person has seen 12 of 120."


def with_questions(**changes: Any) -> Outcome:
    outcome = outcomes.normal()
    return outcome.model_copy(update={"dataset": outcome.dataset.model_copy(update={"questions": SEEN}), **changes})


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((120, 120, 12), LINE),
        ((120, 120, 120), "Questions are synthetic (written by big-model); a person has seen all 120."),
        (
            (200, 120, 0),
            "120 of 200 questions are synthetic (written by big-model); a person has seen 0 of 120 of these.",
        ),
        ((200, 1, 1), "1 of 200 questions are synthetic (written by big-model); a person has seen all 1 of these."),
        ((5, 0, 0), ""),
    ],
)
def test_the_sentence(counts: tuple[int, int, int], said: str) -> None:
    assert in_words(*counts, "big-model") == said


def test_what_is_synthetic_is_in_the_metadata_of_queries() -> None:
    queries = [
        Query("a", "x", "a", {"synthetic": True, "reviewed": True, "by": "one"}),
        Query("b", "x", "b", {"synthetic": True}), Query("c", "x", "c", {"synthetic": "no"}), Query("d", "x", "d"),
    ]  # fmt: skip
    assert synthetic_questions(queries, {}) == SyntheticQuestions(total=4, synthetic=2, reviewed=1, by="one")
    assert synthetic_questions(queries[1:2], {"questions": {"by": "two"}}) == SyntheticQuestions(
        total=1, synthetic=1, reviewed=0, by="two"
    )
    assert synthetic_questions(queries[2:], {}) is None


def test_every_report_begins_with_it() -> None:
    outcome = with_questions()
    screen = Console(file=io.StringIO(), width=80, force_terminal=False)
    render(outcome, screen)
    assert isinstance(screen.file, io.StringIO)
    assert " ".join(screen.file.getvalue().split("\n")[:2]).startswith(LINE)
    assert render_markdown(outcome).lstrip().startswith(f"**{LINE}**")
    html = render_html(outcome)
    assert html.index(LINE) < html.index("<h1")
    gating = Gating(suite="s", split="test", created="now", verdicts=(), questions=SEEN)
    assert render_gating(gating).startswith(f"**{LINE}**")
    row = Placed(label="untuned", role="baseline", mean=0.5, place=1, best=1, worst=1)
    board = Board(
        suite="s", title="", split="test", measure="ndcg@10", queries=9, groups=9, created="2026", commit="",
        machine="", rows=(row, row.model_copy(update={"label": "other"})), questions=SEEN,
    )  # fmt: skip
    assert next(iter(sentences(board))) == LINE


def test_reports_of_questions_by_people_say_nothing_of_it() -> None:
    outcome = outcomes.normal()
    assert "synthetic (written" not in render_markdown(outcome) + render_html(outcome)
    assert sections(view(outcome)) == ()


def test_agreement_is_a_table_of_its_own() -> None:
    means = (MeanPair(system="untuned", synthetic=0.8, people=0.5), MeanPair(system="tuned", synthetic=0.9, people=0.6))
    row = QuestionAgreement(measure="ndcg@10", n_synthetic=40, n_people=20, means=means, tau=1.0, low=0.2, high=1.0)
    (section,) = sections(view(with_questions(agreement=(row,))))
    assert "alike: Kendall's tau-b is 1.000 [0.200, 1.000] over 2 systems" in section.sentences[0]
    text = render_markdown(with_questions(agreement=(row,)))
    assert "| ndcg@10 | 40 | 20 | 1.000 [0.200, 1.000] | tuned | tuned |" in text
    for low, high, words in ((-0.5, 0.5, "not shown"), (-1.0, -0.1, "turn the order"), (None, None, "too few")):
        other = row.model_copy(update={"low": low, "high": high})
        assert words in sections(view(with_questions(agreement=(other,))))[0].sentences[0]
    flat = row.model_copy(update={"tau": None})
    assert "no order to compare" in sections(view(with_questions(agreement=(flat,))))[0].sentences[0]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9))
def test_tau_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    expected = kendalltau(first, second).statistic
    found = tau_b(first, second)
    assert (found is None and np.isnan(expected)) or found == pytest.approx(expected)


def columns(rng: np.random.Generator, qualities: list[float], queries: int) -> dict[str, dict[str, float | None]]:
    return {
        f"s{n}": {f"q{k}": float(np.clip(quality + 0.05 * rng.standard_normal(), 0, 1)) for k in range(queries)}
        for n, quality in enumerate(qualities)
    }


def test_systems_that_both_sides_rank_alike_agree_and_reversed_ones_do_not() -> None:
    rng = np.random.default_rng(1)
    qualities = [0.2, 0.35, 0.5, 0.65, 0.8]
    table = columns(rng, qualities, 60)
    groups = {f"q{k}": f"g{k // 2}" for k in range(60)}
    first = frozenset(f"q{k}" for k in range(30))
    found = rank_agreement(table, groups, first)
    assert found is not None
    assert (found.tau, found.n_first, found.n_second) == (1.0, 30, 30)
    assert found.low is not None
    assert found.low > 0.5
    turned = {
        name: {query: (1 - value if query in first else value) for query, value in column.items() if value is not None}
        for name, column in table.items()
    }
    other = rank_agreement(turned, groups, first)
    assert other is not None
    assert other.tau == -1.0
    assert other.high is not None
    assert other.high < 0


def test_few_groups_have_no_interval_and_one_side_alone_no_agreement() -> None:
    rng = np.random.default_rng(2)
    table = columns(rng, [0.2, 0.6], 10)
    groups = {query: query for query in table["s0"]}
    assert rank_agreement(table, groups, frozenset()) is None
    assert rank_agreement({"s0": table["s0"]}, groups, frozenset(["q0"])) is None
    found = rank_agreement(table, groups, frozenset(["q0", "q1"]))
    assert found is not None
    assert (found.low, found.high) == (None, None)
    table["s0"]["q2"] = None
    assert (rank_agreement(table, groups, frozenset(["q0", "q1"])) or found).n_second == 7


@given(st.integers(0, 2**16))
def test_the_interval_of_pure_noise_holds_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"q{k}" for k in range(40)]
    table = {f"s{n}": dict.fromkeys(names, 0.0) for n in range(4)}
    for column, name in itertools.product(table.values(), names):
        column[name] = float(rng.random())
    found = rank_agreement(table, {name: name for name in names}, frozenset(names[:20]))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= found.high <= 1
