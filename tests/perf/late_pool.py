"""What late interaction adds to a query: MaxSim over a pool of 50 passages whose token vectors are stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import Bar, Lab, Row

POOL = 50


def silent(done: int, total: int | None) -> None:
    """Show no progress."""


def harness_steps(lab: Lab, folder: Path) -> tuple[Any, Any]:
    """The stages that retrieve and rerank, ready to be asked one query at a time, as the latency probe asks them."""
    from harness.stages import index, rerank, retrieve
    from harness.stages.shared.common import write_corpus
    from harness.suite.pipeline import Retriever
    from harness.values.records import Document

    passages = lab.texts.passages(lab.sized(400, 80))
    documents = {f"d{number}": Document(f"d{number}", "", text) for number, text in enumerate(passages)}
    for name in ("corpus", "index", "tokens"):
        (folder / name).mkdir(parents=True)
    write_corpus(folder / "corpus", documents)
    given = {"corpus": folder / "corpus", "index": folder / "index"}
    retriever = Retriever(model=str(lab.encoder), max_length=256)
    index.index(index.IndexSpec(kind="dense", retriever=retriever), given, folder / "index", 0, silent)
    index.index(index.IndexSpec(kind="tokens", retriever=retriever), given, folder / "tokens", 0, silent)
    searching = retrieve.RetrieveSpec(kind="dense", depth=100, retriever=retriever)
    reranking = rerank.RerankSpec(depth=POOL, max_length=256, model=str(lab.encoder), kind="late-interaction")
    given |= {"tokens": folder / "tokens"}
    return retrieve.serve(searching, given), rerank.serve(reranking, given)


def measure(lab: Lab) -> Iterator[Row]:
    from harness.execution.probe import quantile
    from harness.stages import Asked

    queries = [question for question, _ in lab.texts.pairs(lab.sized(100, 10))]
    retrieving, reranking = harness_steps(lab, lab.folder / "late")
    added, alone = [], []
    for _ in range(lab.repeats):
        first, both = [], []
        for text in queries:
            started = time.perf_counter()
            hits = retrieving(Asked(text))
            between = time.perf_counter()
            reranking(Asked(text, lists={"run": hits}))
            first.append((between - started) * 1000)
            both.append((time.perf_counter() - started) * 1000)
        alone.append(quantile(first, 0.95))
        added.append(quantile(both, 0.95) - alone[-1])
    note = f"{len(queries)} queries; retrieval alone {sorted(alone)[len(alone) // 2]:.1f} ms at p95"
    yield Row(
        f"p95 of retrieving and reranking {POOL}, less p95 of retrieving", tuple(added), unit="ms",
        bar=Bar("at most", 10.0), note=note,
    )  # fmt: skip
