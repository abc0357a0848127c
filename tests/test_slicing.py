"""Every question in one slice of a field: by hand, by its laws, and by the kinds that our own prompts show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pocket
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.data.slicing import MOST_SLICES, NOT_GIVEN, OTHER, kind_of, slice_values, thirds
from harness.errors import ConfigError
from harness.stages.shared.prompts import SYNTHESIS
from harness.suite.spec import DERIVED_SLICES
from harness.values.records import Document, Query


def asked(texts: Sequence[str]) -> dict[str, Query]:
    return {f"q{number:03}": Query(f"q{number:03}", text, "g") for number, text in enumerate(texts)}


def with_metadata(field: str, values: Sequence[Any]) -> dict[str, Query]:
    """One query a value; `...` stands for a query that lacks the field."""
    queries = asked(["why"] * len(values))
    return {
        query_id: query._replace(metadata={} if value is ... else {field: value})
        for (query_id, query), value in zip(queries.items(), values, strict=True)
    }


def sliced(field: str, values: Sequence[Any]) -> list[str]:
    return list(slice_values(field, with_metadata(field, values), {}, {}).values())


DOCS = (Path(__file__).parent.parent / "docs" / "slices.md").read_text(encoding="utf-8")


# ---- thirds


def test_thirds_by_hand() -> None:
    lengths = dict(zip("abcdefghi", (3, 5, 7, 8, 8, 11, 12, 30, 12), strict=True))
    assert thirds(lengths, "word") == {
        "a": "up to 7 words", "b": "up to 7 words", "c": "up to 7 words",
        "d": "8 to 11 words", "e": "8 to 11 words", "f": "8 to 11 words",
        "g": "12 words or more", "h": "12 words or more", "i": "12 words or more",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ([4, 4, 4], ["4 words"]),
        ([1, 2, 3], ["up to 1 word", "2 words", "3 words or more"]),
        ([1, 2, 2, 2, 2, 2], ["up to 1 word", "2 words or more"]),
        ([2, 2, 2, 2, 2, 9], ["up to 2 words", "3 words or more"]),
        ([0.25, 0.5, 0.75], ["up to 0.25 words", "over 0.25 to 0.5 words", "over 0.5 words"]),
        ([], []),
    ],
)
def test_names_of_thirds(numbers: list[float], names: list[str]) -> None:
    found = thirds({str(number): value for number, value in enumerate(numbers)}, "word")
    assert list(dict.fromkeys(found.values())) == names


@given(st.lists(st.integers(-30, 30) | st.integers(-(10**30), 10**30), min_size=1, max_size=40))
def test_thirds_hold_what_their_names_say(values: list[int]) -> None:
    numbers = {f"q{number}": value for number, value in enumerate(values)}
    found = thirds(numbers)
    assert found.keys() == numbers.keys()
    assert len(set(found.values())) <= 3
    for query, name in found.items():
        low, high = _bounds(name)
        assert low is None or low <= numbers[query]
        assert high is None or numbers[query] <= high
    if len(set(values)) == len(values) >= 3:
        sizes = Counter(found.values()).values()
        assert len(sizes) == 3
        assert max(sizes) - min(sizes) <= 1


def _bounds(name: str) -> tuple[int | None, int | None]:
    if match := re.fullmatch(r"up to (-?\d+)", name):
        return None, int(match[1])
    if match := re.fullmatch(r"(-?\d+) or more", name):
        return int(match[1]), None
    ends = [int(end) for end in name.split(" to ")]
    return ends[0], ends[-1]


# ---- derived slices


def test_what_our_prompts_show_of_each_kind_is_of_that_kind() -> None:
    for name, kind in SYNTHESIS.items():
        assert {kind_of(example) for example in kind.examples} == {name}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("In what country is Normandy located?", "question"),
        ("in which year were the Normans in Normandy", "question"),
        ("How many children were infected", "question"),
        ("Is aspirin safe", "question"),
        ("The pump stopped. Why?", "question"),
        ("Warum steht die Pumpe?", "question"),
        ("ポンプはなぜ止まりますか？", "question"),  # noqa: RUF001
        ("pump", "keyword"),
        ("can opener", "keyword"),
        ("pump pressure loss", "keyword"),
        ("docs/search?page=2 pump", "keyword"),
        ("Ltd.", "keyword"),
        ("0-dimensional biomaterials lack inductive properties.", "claim"),
        ("1 in 5 million have abnormal positivity", "claim"),
        ("the pump isn't primed", "claim"),
        ("antibiotic induced alterations in the gut microbiome reduce resistance", "claim"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert kind_of(text) == kind


DOCUMENTS = {
    "pump": Document("pump", "Pumps", "Priming a pump needs water in its housing."),
    "bell": Document("bell", "", "Bell ropes are waxed."),
}


@pytest.mark.parametrize(
    ("text", "relevant", "overlap"),
    [
        ("How are pumps primed?", {"pump": 1}, "all"),
        ("Which water primes the housings of a siphon?", {"pump": 1}, "most (over half)"),
        ("Which wax keeps a pump dry?", {"pump": 1}, "some (up to half)"),
        ("Which wax keeps a pump dry?", {"pump": 1, "bell": 2}, "some (up to half)"),
        ("waxed bell pump", {"pump": 1, "bell": 2}, "all"),
        ("waxed bell", {"pump": 1, "bell": 0}, "none"),
        ("What about it?", {"pump": 1}, "no content word"),
        ("How are pumps primed?", {}, "no relevant document"),
        ("How are pumps primed?", {"pump": 0}, "no relevant document"),
    ],
)
def test_lexical_overlap(text: str, relevant: dict[str, int], overlap: str) -> None:
    assert slice_values("lexical_overlap", asked([text]), {"q000": relevant}, DOCUMENTS) == {"q000": overlap}


def test_lengths() -> None:
    documents = {f"d{n}": Document(f"d{n}", "title", "word " * n) for n in range(1, 8)}
    queries = asked(["a", "a b", "a b c", "a b c d"])
    qrels = {"q000": {"d1": 1}, "q001": {"d2": 1, "d4": 1, "d7": 0}, "q002": {"d7": 3}}
    found = slice_values("document_length", queries, qrels, documents)
    assert list(found.values()) == ["up to 2 words", "3 to 4 words", "5 words or more", "no relevant document"]
    assert list(slice_values("query_length", asked(["a", "a b", "a b c"]), {}, {}).values()) == [
        "up to 1 word", "2 words", "3 words or more",
    ]  # fmt: skip


@pytest.mark.parametrize("name", DERIVED_SLICES)
def test_each_question_of_a_data_set_is_in_one_slice(name: str) -> None:
    dataset = pocket.dataset()
    split = dataset.splits["test"]
    found = slice_values(name, split.queries, split.qrels, dataset.documents)
    assert found.keys() == split.queries.keys()
    assert all(found.values())
    back = dict(reversed(split.queries.items()))
    assert slice_values(name, back, split.qrels, dataset.documents) == found


# ---- metadata


def test_metadata_is_taken_as_it_is() -> None:
    assert sliced("topic", ["pumps", " bell\n ropes ", True, 2, 2.0, 0.5]) == [
        "pumps", "bell ropes", "true", "2", "2", "0.5",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [..., None, "", "  ", [1, 2], {"a": 1}, float("nan"), float("inf")])
def test_what_is_no_value_is_not_given(value: Any) -> None:
    assert sliced("topic", ["pumps", value]) == ["pumps", NOT_GIVEN]


def test_numbers_with_many_values_are_cut_into_thirds() -> None:
    years = [*range(2000, 2009), None]
    assert Counter(sliced("year", years)) == {"up to 2002": 3, "2003 to 2005": 3, "2006 or more": 3, NOT_GIVEN: 1}
    assert set(sliced("year", [2000, 2001] * 5)) == {"2000", "2001"}
    assert "2004" in sliced("year", [*range(2000, 2009), "unknown"] * 6)  # not all are numbers


def test_rare_values_are_put_together() -> None:
    names = [name for number in range(12) for name in [f"topic {number:02}"] * (20 - number)]
    found = Counter(sliced("topic", [*names, None]))
    assert len(found) == MOST_SLICES
    assert found[NOT_GIVEN] == 1
    assert found[OTHER] == sum(20 - number for number in range(6, 12))
    assert found["topic 05"] == 15
    alone = sliced("id", [f"question {number}" for number in range(40)])
    assert set(alone) == {OTHER}
    assert len(set(sliced("topic", [f"topic {number}" for number in range(MOST_SLICES)]))) == MOST_SLICES


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers())
    | st.just(...)
)


@given(st.lists(values, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_any_metadata_has_few_slices_and_one_for_each_query(found: list[Any], random: Any) -> None:
    queries = with_metadata("field", [*found, "x"])
    slices = slice_values("field", queries, {}, {})
    assert slices.keys() == queries.keys()
    assert all(slices.values())
    assert len(set(slices.values())) <= MOST_SLICES
    shuffled = list(queries.items())
    random.shuffle(shuffled)
    assert slice_values("field", dict(shuffled), {}, {}) == slices


def told(name: str, queries: Mapping[str, Query]) -> str:
    with pytest.raises(ConfigError) as caught:
        slice_values(name, queries, {}, {})
    return str(caught.value)


def test_a_field_that_no_query_has_is_an_error_that_names_those_there_are() -> None:
    queries = with_metadata("topic", ["pumps"]) | {"q9": Query("q9", "why", "g", {"area": "north"})}
    assert told("topci", queries) == (
        "slices: no query has the metadata field 'topci'; the fields there are: area, topic; "
        "without metadata: query_length, query_kind, document_length, lexical_overlap"
    )
    assert "the queries have no metadata" in told("topic", asked(["why"]))


# ---- what the docs say


def test_the_docs_show_what_a_suite_takes_and_name_every_derived_slice() -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    assert example is not None
    suite = pocket.suite(yaml.safe_load(example[1]))
    assert set(DERIVED_SLICES) < set(suite.slices)
    for name in DERIVED_SLICES:
        assert f"| `{name}` |" in DOCS
    assert f"at most {MOST_SLICES} slices" in DOCS


def test_the_docs_show_the_names_of_slices() -> None:
    split, documents = pocket.dataset().splits["test"], pocket.dataset().documents
    kinds = set(slice_values("query_kind", split.queries, split.qrels, documents).values())
    overlaps = {"none", "some (up to half)", "most (over half)", "all"}
    for name in kinds | overlaps:
        assert f"`{name}`" in DOCS
