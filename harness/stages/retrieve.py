"""retrieve: an index and queries in, a run out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.data.formats import write_run
from harness.models.search import Bm25Index, DenseIndex
from harness.stages import Inputs
from harness.stages.common import bi_encoder, encode, read_queries
from harness.suite.fields import Spec
from harness.suite.spec import Retriever
from harness.values.records import Progress, Usage

RUN_FILE = "run.trec"


class Retrieve(Spec):
    """`depth` documents a query; `retriever` as in `index`."""

    kind: Literal["dense", "bm25"]
    depth: int
    retriever: Retriever | None = None


def retrieve(spec: Retrieve, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Search the input `index` for every query, exactly, ties in trec_eval's order."""
    queries = read_queries(inputs["queries"])
    texts = list(queries.values())
    if spec.kind == "bm25":
        found = Bm25Index(inputs["index"]).search(texts, spec.depth)
    else:
        vectors = encode(bi_encoder(spec.retriever, inputs), texts, "query", progress)
        found = DenseIndex(inputs["index"]).search(vectors, spec.depth)
    write_run(out / RUN_FILE, dict(zip(queries, found, strict=True)))
    progress(len(texts), len(texts))
    empty = sum(not hits for hits in found)
    return Usage(units=len(texts), notes={"queries": len(texts), "empty lists": empty})
