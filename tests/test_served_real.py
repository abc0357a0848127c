"""A real embedding and rerank server, Infinity, serves rows whose scores are those of the same models here.

`tox -e served` installs it in an environment of its own, as it needs other versions of libraries than the harness.
`HARNESS_INFINITY` names the Python that has it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pocket
import pytest
import tiny
from test_benchmark import Here

from harness.data import formats
from harness.experiments import benchmark
from harness.models.loaders import locate

pytestmark = [pytest.mark.served, pytest.mark.timeout(900)]
PYTHON = os.environ.get("HARNESS_INFINITY", sys.executable)
STARTING = 300.0
TOKENS = 64
TOLERANCE = 1e-3
"""Largest difference of a score of a run; Infinity computes batches of other sizes."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def infinity(folder: Path, log: Path, **models: Path) -> Iterator[str]:
    """Serve models by name, on this machine alone; give the address."""
    port = free_port()
    code = "from infinity_emb.cli import cli; cli()"
    command = [PYTHON, "-c", code, "v2", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu",
               "--no-bettertransformer", "--dtype", "float32", "--no-model-warmup", "--batch-size", "8"]  # fmt: skip
    for name, path in models.items():
        command += ["--model-id", str(path), "--served-model-name", name, "--engine", "torch"]
    quiet = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=os.environ | quiet)
        try:
            wait(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTING
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = sorted(
        {word for document in pocket.dataset().documents.values() for word in document.content.lower().split()}
    )
    folder = tiny.cross_encoder(tmp_path_factory.mktemp("cross"), words, seed=3)
    # Infinity has transformers 4, which does not know the class by which transformers 5 saves any fast tokenizer.
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    # The server takes the limit of the tokenizer, and the row here that of the suite. Token types differ by version.
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": TOKENS}
    settings |= {"model_input_names": ["input_ids", "attention_mask"]}
    config.write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def done(cross: Path, folder: Path) -> Iterator[benchmark.Finished]:
    minilm = locate("embedded:all-minilm-l6-v2")
    with infinity(folder, folder / "server.log", minilm=minilm, cross=cross) as url:
        (folder / "suite.yaml").write_text(pocket.suite_text(changes(url, cross)), encoding="utf-8")
        yield benchmark.run(folder / "suite.yaml", folder / "store", executor=Here())


def changes(url: str, cross: Path) -> dict[str, Any]:
    local = {"kind": "cross-encoder", "model": str(cross), "max_length": TOKENS, "blend": False}
    there = {"model": "cross", "base_url": url, "extra_body": {"raw_scores": True}}
    minilm = {"model": "minilm", "base_url": url}
    return {
        "pipeline": {"generator": None, "depth": 20, "rerank_depth": 10},
        "candidates": {
            "served": {"pipeline": {"retriever": {"kind": "endpoint", "endpoint": minilm}}},
            "reranked": {"pipeline": {"reranker": local}},
            "served-reranked": {"pipeline": {"reranker": {"kind": "endpoint", "endpoint": there, "blend": False}}},
        },
        "baseline_rows": ["untuned"],
        "measures": ["ndcg@10", "recall@10"],
        "gates": [
            {"measure": "ndcg@10", "margin": 0.02},
            {"served": {"candidate": "served", "of": "untuned", "tolerance": 0.005}},
            {"served": {"candidate": "served-reranked", "of": "reranked", "tolerance": 0.005}},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("here", "there"), [("untuned", "served"), ("reranked", "served-reranked")])
def test_scores_of_a_real_server_are_those_of_the_model_here(done: benchmark.Finished, here: str, there: str) -> None:
    assert [info.failed for info in done.outcome.systems if info.failed] == []
    ours, theirs = (formats.read_run(done.folder / "runs" / f"{name}.trec", escaped=True) for name in (here, there))
    assert ours.keys() == theirs.keys()
    for query_id, hits in ours.items():
        scores = dict(theirs[query_id])
        shared = [(score, scores[doc_id]) for doc_id, score in hits if doc_id in scores]
        assert len(shared) >= len(hits) - 1, "one may differ at the end of a list"
        assert [one for one, _ in shared[:10]] == pytest.approx([other for _, other in shared[:10]], abs=TOLERANCE)
    means = {row.system: row.mean for row in done.outcome.summaries if row.measure == "ndcg@10"}
    assert means[here] == pytest.approx(means[there], abs=0.005)


def test_the_gate_on_drift_passes(done: benchmark.Finished, folder: Path) -> None:
    from harness.gates.commands import gate

    found = gate(folder / "suite.yaml", folder / "store")
    drifts = {one.system: one.verdict for one in found.verdicts if one.gate.startswith("drift")}
    assert drifts == {"served": "within bound", "served-reranked": "within bound"}


def test_single_queries_were_timed_through_it(done: benchmark.Finished) -> None:
    timed = {timing.part: timing for timing in done.outcome.timings}
    assert timed["endpoint"].p50_ms > 0
    assert done.outcome.paid[0].prompt_tokens > 0
