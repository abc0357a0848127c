"""Chunking on real datasets: without it nothing changes; with it, documents are found by their chunks."""

from __future__ import annotations

import os
from pathlib import Path

import articles
import pytest

from harness.data.datasets import load_dataset
from harness.models.search import Bm25Index
from harness.scoring import score_run
from harness.stages.project import projected
from harness.suite.sources import DatasetSource
from harness.values.measures import parse
from harness.values.records import Run

pytestmark = pytest.mark.shared
MEASURES = [parse(name) for name in ("ndcg@10", "recall@100", "mrr@10", "map@100")]


@pytest.fixture(scope="module")
def data() -> Path:
    if "HARNESS_DATA" not in os.environ:
        pytest.skip("HARNESS_DATA names no folder of datasets")
    return Path(os.environ["HARNESS_DATA"])


@pytest.mark.parametrize("name", ["scifact", "squad2"])
def test_whole_documents_are_scored_as_before(data: Path, tmp_path: Path, name: str) -> None:
    dataset = load_dataset(DatasetSource(path=str(data / name)), "test")
    part = dataset.splits["test"]
    Bm25Index.save(tmp_path, list(dataset.documents.values()), "en")
    texts = [query.text for query in part.queries.values()]
    run: Run = dict(zip(part.queries, Bm25Index(tmp_path).search(texts, 100), strict=True))
    found = {key: one.hits for key, one in projected(run, dataset.documents, part.spans).items()}
    assert found == run
    scores = score_run(run, part.qrels, MEASURES)
    assert score_run(found, part.qrels, MEASURES) == scores
    assert sum(scores[MEASURES[0]].values()) > 0


def test_articles_are_joined_with_their_evidence(data: Path, tmp_path: Path) -> None:
    counts = articles.build(data / "covidqa", tmp_path)
    assert (counts["articles"], counts["queries"]) == (98, 1358)
    assert counts["of an answer"] > 0.9 * counts["spans"]
    dataset = load_dataset(DatasetSource(path=str(tmp_path)), "test")
    part = dataset.splits["test"]
    assert part.spans.keys() == set(part.judged)
    exact = [
        dataset.documents[doc_id].text[start:end] in part.references[query_id].answers
        for query_id, of_query in part.spans.items()
        for doc_id, places in of_query.items()
        for start, end in places
    ]
    assert sum(exact) > 0.9 * len(exact)
