"""A measure is a value that is written and read without loss; a wrong name is refused with the right one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.values.measures import KINDS, Measure, parse

RANK = sorted(name for name, kind in KINDS.items() if kind.family == "rank")
ANSWER = sorted(set(KINDS) - set(RANK))
MEASURES = st.one_of(
    st.builds(Measure, st.sampled_from(RANK), st.integers(1, 10**6)), st.builds(Measure, st.sampled_from(ANSWER))
)


@given(MEASURES)
def test_parse_undoes_str(measure: Measure) -> None:
    assert parse(str(measure)) == measure
    assert hash(parse(str(measure))) == hash(measure)


NEARLY = st.builds(
    "{}{}{}".format, st.sampled_from([*KINDS, "x"]), st.sampled_from("@ -"), st.text("01٢@ \n", max_size=3)
)


@given(st.text(max_size=12) | NEARLY | st.sampled_from(ANSWER))
def test_str_undoes_parse(text: str) -> None:
    """There is one way to write a measure: what is read is written alike, everything else is refused."""
    try:
        measure = parse(text)
    except ValueError:
        return
    assert str(measure) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ndgc@10", "unknown measure 'ndgc@10'; did you mean 'ndcg@10'?"),
        ("nDCG@10", "unknown measure 'nDCG@10'; did you mean 'ndcg@10'?"),
        ("recal@100", "unknown measure 'recal@100'; did you mean 'recall@100'?"),
        ("token-f1", "unknown measure 'token-f1'; did you mean 'token_f1'?"),
        ("zzz", "unknown measure 'zzz'; known here: abstention, answer_relevancy, "),
        ("ndcg", "measure 'ndcg' should be written like 'ndcg@10'"),
        ("recall@0", "measure 'recall@0' should be written like 'recall@10'"),
        ("recall@", "measure 'recall@' should be written like 'recall@10'"),
        ("mrr@10.5", "measure 'mrr@10.5' should be written like 'mrr@10'"),
        ("map@010", "measure 'map@010' should be written like 'map@10'"),
        ("utility@5", "measure 'utility@5' should be written like 'utility'"),
        ("", "unknown measure ''"),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_one(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        parse(text)
    assert str(caught.value).startswith(message)


def test_each_kind_declares_over_which_queries_it_is_defined() -> None:
    assert all(KINDS[name].population == "judged" for name in RANK)
    assert {name for name in ANSWER if KINDS[name].population == "all"} == {
        "utility", "abstention", "format", "faithfulness", "answer_relevancy", "rubric",
    }  # fmt: skip
    assert all(kind.low < kind.high and kind.version >= 1 and kind.about for kind in KINDS.values())
    assert {name for name, kind in KINDS.items() if kind.low < 0} == {
        "utility", "semantic_similarity", "answer_relevancy",
    }  # fmt: skip


def test_each_kind_says_who_judges_it_and_which_way_is_better() -> None:
    assert {name for name in KINDS if parse_any(name).is_judged} == {
        "faithfulness", "factual_correctness", "answer_relevancy", "context_recall", "context_precision",
        "noise_sensitivity", "rubric",
    }  # fmt: skip
    assert {name for name, kind in KINDS.items() if kind.better == "lower"} == {"noise_sensitivity"}


def parse_any(name: str) -> Measure:
    return parse(f"{name}@10" if name in RANK else name)


def test_a_measure_knows_its_kind() -> None:
    assert parse("ndcg@10").is_rank
    assert parse("ndcg@10").population == "judged"
    assert not parse("utility").is_rank
    assert parse("utility").population == "all"
    assert sorted([parse("ndcg@100"), parse("map@3"), parse("ndcg@9")]) == [
        parse("map@3"), parse("ndcg@9"), parse("ndcg@100"),
    ]  # fmt: skip
