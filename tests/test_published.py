"""The untuned retriever on SciFact against an independent computation and the published figure."""

import json
import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.shared, pytest.mark.slow, pytest.mark.timeout(3600)]

PUBLISHED = 0.6451
COMPARED = {"ndcg@10": "ndcg_cut_10", "recall@100": "recall_100"}


@pytest.fixture(scope="module")
def folder() -> Path:
    if "HARNESS_DATA" not in os.environ:
        pytest.skip("HARNESS_DATA names no folder of datasets")
    return Path(os.environ["HARNESS_DATA"]) / "scifact"


def independent(folder: Path) -> dict[str, dict[str, float]]:
    """Encode with sentence-transformers, sort, and score with trec_eval: not a line of the harness."""
    import numpy as np
    import pytrec_eval
    from sentence_transformers import SentenceTransformer

    from harness.models.loaders import locate

    model = SentenceTransformer(str(locate("embedded:all-minilm-l6-v2")), device="cpu")
    model.max_seq_length = 256
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    queries = {row["_id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())}
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query_id, doc_id, grade = line.split("\t")
        qrels.setdefault(query_id, {})[doc_id] = int(grade)
    vectors = model.encode([f"{row['title']}\n{row['text']}" for row in documents], normalize_embeddings=True)
    asked = model.encode([queries[query_id] for query_id in qrels], normalize_embeddings=True)
    run = {}
    for query_id, scores in zip(qrels, asked @ vectors.T, strict=True):
        best = np.argsort(-scores)[:100]
        run[query_id] = {documents[place]["_id"]: float(scores[place]) for place in best}
    found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut", "recall"}).evaluate(run)
    return found


def test_agrees_with_an_independent_computation(folder: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from harness.experiments import benchmark

    done = benchmark.run("scifact", Path(os.environ.get("HARNESS_STORE", tmp_path)))
    rows = pq.read_table(done.folder / "scores.parquet").to_pylist()
    theirs = independent(folder)
    for ours_name, their_name in COMPARED.items():
        ours = {
            row["query_id"]: row["value"]
            for row in rows
            if (row["system"], row["split"], row["measure"]) == ("untuned", "test", ours_name) and row["status"] == "ok"
        }
        assert set(ours) == set(theirs)
        mean = sum(ours.values()) / len(ours)
        other = sum(scores[their_name] for scores in theirs.values()) / len(theirs)
        print(
            f"{ours_name}: {mean:.6f}, independent {other:.6f}" + f", published {PUBLISHED}" * (ours_name == "ndcg@10")
        )
        assert mean == pytest.approx(other, abs=1e-4)
