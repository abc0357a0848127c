"""A tuned retriever and a tuned reranker are exported, served by Infinity, and gated against what was measured here.

Infinity 0.0.78 comes with sentence-transformers 3 and transformers 4, which also load the exports themselves. See
`test_served_real` for what is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pocket
import pytest
import tiny
from test_benchmark import Here
from test_served_real import PYTHON, TOLERANCE, infinity

from harness import provenance
from harness.cli.export import export
from harness.data import formats
from harness.experiments import benchmark
from harness.gates.commands import gate
from harness.models.loaders import load_bi_encoder, load_cross_encoder
from harness.stages.shared.common import encode

pytestmark = [pytest.mark.served, pytest.mark.timeout(1500)]
READ, PAIR = 64, 40
"""Tokens that are read of a text, and of a pair: fewer than most passages have, so that a server has to cut as well."""
TUNED = ("retriever", "reranker")
OLDER = """
import json, sys
import sentence_transformers, transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
retriever, reranker, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
vectors = SentenceTransformer(retriever, device="cpu").encode(texts, normalize_embeddings=True).tolist()
scores = CrossEncoder(reranker, device="cpu").predict([(texts[0], text) for text in texts]).tolist()
versions = [sentence_transformers.__version__, transformers.__version__]
print(json.dumps({"vectors": vectors, "scores": scores, "versions": versions}))
"""


class Round:
    """A suite whose tuned models are exported and served, with its store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.suite, self.store = folder, folder / "suite.yaml", folder / "store"
        words = {word for one in pocket.dataset().documents.values() for word in one.content.lower().split()}
        self.base = tiny.cross_encoder(folder / "base", sorted(words), seed=3)

    def run(self, rows: dict[str, Any], gates: list[dict[str, Any]]) -> benchmark.Finished:
        reranker = {"kind": "cross-encoder", "model": str(self.base), "max_length": PAIR, "blend": False}
        quick = {"epochs": 1, "batch_size": 8, "checkpoints": 1}
        changes = {
            "pipeline": {"generator": None, "depth": 20, "rerank_depth": 10, "retriever": {"max_length": READ}},
            "data": {"pairs": "judged"},
            "recipes": {"retriever": quick, "reranker": quick},
            "candidates": {
                "retriever": {"tune": ["retriever"]},
                "reranker": {"tune": ["reranker"], "pipeline": {"reranker": reranker}},
                **rows,
            },
            "baseline_rows": ["untuned"],
            "measures": ["ndcg@10", "recall@10"],
            "gates": [{"measure": "ndcg@10", "margin": 0.02}, *gates],
        }
        self.suite.write_text(pocket.suite_text(changes), encoding="utf-8")
        return benchmark.run(self.suite, self.store, executor=Here())

    def exported(self, part: str) -> Path:
        return self.folder / f"{part}-export" / part


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Round:
    """The suite, run without a server, and both of its tuned models exported."""
    os.environ.setdefault(provenance.DEVICE_VARIABLE, "auto")
    made = Round(tmp_path_factory.mktemp("round"))
    outcome = made.run({}, []).outcome
    assert [info.failed for info in outcome.systems if info.failed] == []
    for part in TUNED:
        export(part, made.folder / f"{part}-export", made.store, str(made.suite))
    return made


@pytest.fixture(scope="module")
def done(tuned: Round) -> Iterator[benchmark.Finished]:
    models = {part: tuned.exported(part) for part in TUNED}
    with infinity(tuned.folder, tuned.folder / "server.log", **models) as url:
        there = {"model": "reranker", "base_url": url, "extra_body": {"raw_scores": True}}
        rows = {
            "retriever-served": {
                "pipeline": {"retriever": {"kind": "endpoint", "endpoint": {"model": "retriever", "base_url": url}}}
            },
            "reranker-served": {"pipeline": {"reranker": {"kind": "endpoint", "endpoint": there, "blend": False}}},
        }
        gates = [{"served": {"candidate": f"{part}-served", "of": part, "tolerance": 0.005}} for part in TUNED]
        yield tuned.run(rows, gates)


@pytest.mark.parametrize("part", TUNED)
def test_scores_of_a_served_export_are_those_of_what_was_tuned(part: str, done: benchmark.Finished) -> None:
    assert [info.failed for info in done.outcome.systems if info.failed] == []
    slugs = {info.name: info.slug for info in done.outcome.systems}
    served, ours = (
        formats.read_run(done.folder / "runs" / f"{slugs[name]}.trec", escaped=True)
        for name in (f"{part}-served", part)
    )
    assert served.keys() == ours.keys()
    for query_id, hits in ours.items():
        scores = dict(served[query_id])
        shared = [(score, scores[doc_id]) for doc_id, score in hits if doc_id in scores]
        assert len(shared) >= len(hits) - 1, "one may differ at the end of a list"
        assert [one for one, _ in shared[:10]] == pytest.approx([other for _, other in shared[:10]], abs=TOLERANCE)


def test_training_changed_the_models(done: benchmark.Finished) -> None:
    """Else a server of the untuned models would pass, too."""
    means = {row.system: row.mean for row in done.outcome.summaries if row.measure == "ndcg@10"}
    assert means["retriever"] != means["untuned"]
    assert means["reranker"] != means["untuned"]


def test_the_gate_on_drift_passes(done: benchmark.Finished, tuned: Round) -> None:
    found = gate(tuned.suite, tuned.store)
    drifts = {one.system: one.verdict for one in found.verdicts if one.gate.startswith("drift")}
    assert drifts == {f"{part}-served": "within bound" for part in TUNED}


def test_older_libraries_compute_the_same(tuned: Round) -> None:
    texts = [document.content for document in list(pocket.dataset().documents.values())[:12]]
    places = [str(tuned.exported(part)) for part in TUNED]
    quiet = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": "", "PYTHONWARNINGS": "ignore"}
    command = [PYTHON, "-c", OLDER, *places, json.dumps(texts)]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | quiet, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    theirs = json.loads(ended.stdout.splitlines()[-1])
    former, transformers = (int(version.split(".")[0]) for version in theirs["versions"])
    assert former < 6
    assert transformers < 5
    ours = encode(load_bi_encoder(tuned.exported("retriever"), READ), texts, "document")
    for one, other in zip(ours.tolist(), theirs["vectors"], strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    judge = load_cross_encoder(tuned.exported("reranker"), PAIR)
    expected = judge.predict([(texts[0], text) for text in texts]).tolist()
    assert theirs["scores"] == pytest.approx(expected, abs=1e-5)
