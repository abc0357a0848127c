"""When two systems are known to put out the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.alike import Columns, same_output
from harness.values.measures import Measure, parse

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")
QUERIES = [f"q{number}" for number in range(6)]
LISTS = {"ndcg@10": [0.0, 0.3, 0.5, 0.6, 0.9, 1.0], "recall@10": [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]}
WRONG = {"utility": [-1.0, -1.0, -1.0, 0.0, -1.0, -1.0], "exact_match": [0.0] * 6}
WORDS = {"token_f1": [0.0, 0.1, 0.2, 0.3, 0.0, 0.4]}


def columns(**values: list[float | None]) -> Columns:
    return {name: dict(zip(QUERIES, column, strict=True)) for name, column in values.items()}


@pytest.mark.parametrize(
    ("mine", "theirs", "measure", "same"),
    [
        ({**LISTS, **WRONG}, {**LISTS, **WRONG}, NDCG, True),
        # All is wrong on both sides, whatever was answered.
        ({**LISTS, **WRONG}, {**LISTS, **WRONG}, UTILITY, False),
        ({**WRONG, **WORDS}, {**WRONG, **WORDS}, UTILITY, True),
        ({**WRONG, **WORDS}, {**WRONG, "token_f1": [0.0, 0.1, 0.2, 0.3, 0.0, 0.5]}, UTILITY, False),
        # One more document found where ndcg@10 does not look.
        (LISTS, {**LISTS, "recall@10": [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]}, NDCG, False),
        ({"ndcg@10": [1.0] * 6}, {"ndcg@10": [1.0] * 6}, NDCG, False),
        # What a judge says of the same answers may differ.
        ({**WORDS, "faithfulness": [0.5] * 6}, {**WORDS, "faithfulness": [1.0] * 6}, Measure("token_f1"), True),
        ({**WORDS, **LISTS}, {**WRONG, "ndcg@10": LISTS["ndcg@10"]}, UTILITY, False),
    ],
)
def test_output_is_the_same_where_a_telling_measure_says_so(
    mine: dict[str, list[float | None]], theirs: dict[str, list[float | None]], measure: Measure, same: bool
) -> None:
    assert same_output(measure, ("retriever",), columns(**mine), columns(**theirs)) is same


def test_a_tuned_generator_has_the_lists_of_the_untuned() -> None:
    assert same_output(NDCG, ("generator",), {}, {})
    assert not same_output(UTILITY, ("generator",), {}, {})
    assert not same_output(NDCG, ("retriever", "generator"), {}, {})
    assert not same_output(NDCG, (), {}, {})


values = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
tables = st.dictionaries(
    st.sampled_from(["ndcg@10", "recall@5", "token_f1", "utility", "faithfulness"]),
    st.lists(values, min_size=6, max_size=6),
)


@given(tables, tables, st.sampled_from(["ndcg@10", "token_f1", "utility"]))
def test_it_is_symmetric_and_never_said_where_a_score_differs(
    mine: dict[str, list[float | None]], theirs: dict[str, list[float | None]], name: str
) -> None:
    measure, one, other = parse(name), columns(**mine), columns(**theirs)
    found = same_output(measure, (), one, other)
    assert found is same_output(measure, (), other, one)
    assert not (found and name in one and name in other and one[name] != other[name])
