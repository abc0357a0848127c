"""How much of long documents is not read: the count, the remark, the sign of a diagnosis, and chunks as a candidate."""

from __future__ import annotations

from dataclasses import replace

import pocket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnosis.domain_gap import unread_text
from harness.models.unread import ENOUGH, unread
from harness.planning.oracles import build_diagnosis_plan, suite_for
from harness.planning.reading import unread_of
from harness.planning.training_free import chosen
from harness.remarks.passages import counted, told
from harness.suite.pipeline import Chunking
from harness.values.records import Document


def words(text: str) -> int:
    return len(text.split())


def test_what_is_not_read_is_a_share_of_all_tokens() -> None:
    found = unread(["one two three", "one " * 20], words, limit=10)
    assert found == (12 / 23, 1, 2, 10)


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(3, 60))
def test_the_share_is_that_of_the_tokens_beyond_the_limit(sizes: list[int], limit: int) -> None:
    found = unread(["w " * size for size in sizes], words, limit)
    beyond = sum(max(0, size - (limit - 2)) for size in sizes)
    assert found.share == pytest.approx(beyond / sum(sizes) if sum(sizes) else 0.0)
    assert found.longer == sum(size > limit - 2 for size in sizes)


def test_a_huge_text_is_counted_by_its_beginning() -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return words(text)

    found = unread(["word " * ENOUGH], count, 100)
    assert max(counted) == ENOUGH
    assert found.share == pytest.approx(1 - 98 / ENOUGH, abs=1e-4)


def test_a_diagnosis_of_chunks_says_that_documents_are_counted() -> None:
    dataset = pocket.dataset()
    whole, chunked = (pocket.suite({"candidates": {}, "pipeline.chunking": one}) for one in (None, {"tokens": 64}))
    assert counted(whole, dataset, "dev") == []
    (said,) = counted(chunked, dataset, "dev")
    assert "what is counted here is documents" in said
    assert said.endswith("found by any of its chunks.")
    part = dataset.splits["dev"]
    (query_id, grades), *_ = part.qrels.items()
    spans = {query_id: {next(iter(grades)): ((0, 10),)}}
    spanned = replace(dataset, splits={**dataset.splits, "dev": replace(part, spans=spans)})
    assert counted(chunked, spanned, "dev")[0].endswith("found by a chunk that holds its evidence.")


def test_long_documents_are_told_and_chunks_are_not() -> None:
    dataset = pocket.dataset()
    long = replace(dataset, documents={"d": Document("d", "", "kiln " * 900), **dataset.documents})
    whole = pocket.suite({"candidates": {}})
    found = unread_of(whole, whole.pipeline, long)
    assert found is not None
    assert (found.longer, found.limit) == (1, 256)
    (said,) = told(whole, long)
    assert said.startswith("The retriever reads 256 tokens of a document: ")
    assert "in 1 documents" not in said
    assert told(whole, dataset) == []
    assert told(pocket.suite({"pipeline.chunking": {"tokens": 128}, "candidates": {}}), long) == []
    assert told(pocket.suite({"pipeline.retriever": {"kind": "bm25"}, "candidates": {}}), long) == []


def test_chunks_that_nothing_reads_whole_are_told() -> None:
    suite = pocket.suite({"pipeline.chunking": {"tokens": 512}, "candidates": {}})
    remarks = told(suite, pocket.dataset())
    assert remarks == [
        "Chunks have up to 512 tokens, and the retriever reads 256 of them.",
        "Chunks have up to 512 tokens, and prompts show the first 160 of each (pipeline.generator.passage_tokens).",
    ]


def test_a_diagnosis_of_long_documents_measures_chunks() -> None:
    suite = pocket.suite({"candidates": {}, "pipeline.retriever": {"max_length": 48}})
    plan = build_diagnosis_plan(suite_for(suite, "dev"), pocket.dataset()).plan
    assert plan.system("chunking-48").settings.chunking == Chunking(tokens=48)
    assert "chunking-256" not in chosen(suite).candidates
    own = pocket.suite({"candidates": {"mine": {"pipeline": {"chunking": {"tokens": 64}}}}})
    assert [name for name in chosen(own, 48).candidates if "chunking" in name] == []


def test_much_unread_text_is_a_worrying_sign() -> None:
    assert unread_text(0.2, 256, 10).worrying
    assert not unread_text(0.1, 256, 10).worrying
