"""Exact search against brute force, with ties in trec_eval's order: score descending, then doc id descending."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.models.search import SEARCH_CHUNK, Bm25Index, DenseIndex, Hits
from harness.values.records import Document

many = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
ids = st.text("abz019-", min_size=1, max_size=3)
small = st.integers(-1, 1)


def brute_force(doc_ids: list[str], vectors: np.ndarray, query: np.ndarray, depth: int) -> Hits:
    hits = [(doc_id, float(vector @ query)) for doc_id, vector in zip(doc_ids, vectors, strict=True)]
    return sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)[:depth]


@many
@given(data=st.data(), doc_ids=st.lists(ids, min_size=1, max_size=40, unique=True), depth=st.integers(1, 50))
def test_dense_search_is_brute_force_with_ties_by_id(
    data: st.DataObject, doc_ids: list[str], depth: int, tmp_path: Path
) -> None:
    """Numbers are small and whole, so that most scores tie and no rounding blurs it."""
    rows = data.draw(st.lists(st.tuples(small, small), min_size=len(doc_ids), max_size=len(doc_ids)))
    asked = data.draw(st.lists(st.tuples(small, small), max_size=3))
    vectors, queries = np.array(rows, np.float32), np.array(asked, np.float32).reshape(-1, 2)
    DenseIndex.save(tmp_path, doc_ids, vectors)
    found = DenseIndex(tmp_path).search(queries, depth)
    assert found == [brute_force(doc_ids, vectors, query, depth) for query in queries]


def test_of_documents_that_tie_at_the_border_the_last_ids_are_in(tmp_path: Path) -> None:
    doc_ids = ["m", "a", "z", "best", "b10", "b9"]
    vectors = np.array([[1], [1], [1], [2], [1], [1]], np.float32)
    DenseIndex.save(tmp_path, doc_ids, vectors)
    query = np.ones((1, 1), np.float32)
    assert DenseIndex(tmp_path).search(query, 3) == [[("best", 2.0), ("z", 1.0), ("m", 1.0)]]
    assert [doc_id for doc_id, _ in DenseIndex(tmp_path).search(query, 5)[0]] == ["best", "z", "m", "b9", "b10"]


def test_dense_search_in_chunks_loses_no_query(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    doc_ids = [f"d{number}" for number in range(30)]
    vectors = rng.integers(-2, 3, (30, 4)).astype(np.float32)
    queries = rng.integers(-2, 3, (SEARCH_CHUNK * 2 + 3, 4)).astype(np.float32)
    DenseIndex.save(tmp_path, doc_ids, vectors)
    found = DenseIndex(tmp_path).search(queries, 5)
    assert found == [brute_force(doc_ids, vectors, query, 5) for query in queries]


TEXTS = {
    "d1": ("Kilns", "A kiln burns lime slowly at night."),
    "d2": ("", "Lime mortar hardens slowly; lime putty never dries."),
    "d3": ("Boats", "The ferry carries mail."),
    "d4": ("", "Lime mortar hardens slowly; lime putty never dries."),
    "d5": ("Nets", "Nets are mended at night by ferrymen."),
}


@pytest.fixture
def bm25(tmp_path: Path) -> Bm25Index:
    Bm25Index.save(tmp_path, [Document(doc_id, title, text) for doc_id, (title, text) in TEXTS.items()])
    return Bm25Index(tmp_path)


def test_bm25_gives_only_documents_that_share_a_word(bm25: Bm25Index) -> None:
    (found,) = bm25.search(["burning lime"], 10)
    assert [doc_id for doc_id, _ in found] == ["d1", "d4", "d2"]
    assert all(score > 0 for _, score in found)
    assert found[1][1] == found[2][1]


def test_bm25_reads_titles_and_stems(bm25: Bm25Index) -> None:
    assert [doc_id for doc_id, _ in bm25.search(["boat"], 10)[0]] == ["d3"]


def test_bm25_gives_an_empty_list_to_unknown_and_to_common_words(bm25: Bm25Index) -> None:
    assert bm25.search(["zzyzx", "the of and", "", "zzyzx kiln"], 10)[:3] == [[], [], []]
    assert [doc_id for doc_id, _ in bm25.search(["zzyzx kiln"], 10)[0]] == ["d1"]


def test_bm25_ties_at_the_border_go_by_id_descending(bm25: Bm25Index) -> None:
    assert [doc_id for doc_id, _ in bm25.search(["putty"], 1)[0]] == ["d4"]


def test_bm25_of_no_queries_is_nothing(bm25: Bm25Index) -> None:
    assert bm25.search([], 10) == []


words = st.lists(st.sampled_from(["kiln", "lime", "putty", "ferry", "mail", "night", "slate"]), min_size=1, max_size=8)


@many
@given(texts=st.lists(words, min_size=4, max_size=15), query=words, depth=st.integers(1, 4))
def test_bm25_scores_are_those_of_bm25s_own_search(
    texts: list[list[str]], query: list[str], depth: int, tmp_path: Path
) -> None:
    import bm25s

    documents = [Document(f"d{number:02}", "", " ".join(text)) for number, text in enumerate(texts)]
    Bm25Index.save(tmp_path, documents)
    (found,) = Bm25Index(tmp_path).search([" ".join(query)], depth)

    own = bm25s.BM25()
    own.index(tokens([document.text for document in documents]), show_progress=False)
    if set(query) & {word for text in texts for word in text}:
        known = [[word for word in tokens([" ".join(query)])[0] if word in own.vocab_dict]]
        scores = own.retrieve(known, k=depth, show_progress=False).scores[0]
        assert [score for _, score in found] == pytest.approx([score for score in scores if score > 0])
    else:
        assert found == []
    assert found == sorted(found, key=lambda hit: (hit[1], hit[0]), reverse=True)


def tokens(texts: list[str]) -> list[list[str]]:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    found: list[list[str]] = bm25s.tokenize(
        texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
    )
    return found
