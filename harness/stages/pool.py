"""pool: passages in, those out that decide which of several candidates ranks better.

As in pooled test collections (Sparck Jones and van Rijsbergen 1975): what is judged, and what other systems found for
the same queries. An encoder is then compared with others without a corpus of millions being encoded for each.
"""

from __future__ import annotations

from pathlib import Path

from harness.data.formats import read_run
from harness.stages import Inputs, Stage, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_judgements, stream_corpus, write_corpus
from harness.suite.fields import Positive, Spec
from harness.values.records import Progress, Usage


class PoolSpec(Spec):
    """Of each ranking, the first `depth` passages are kept."""

    depth: Positive


def pool(spec: PoolSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the passages of `corpus` that `qrels` name or that a run found, in their order."""
    kept = {doc_id for judged in read_judgements(inputs["qrels"]).values() for doc_id in judged}
    runs = [name for name in inputs if name.startswith("run")]
    for name in runs:
        for hits in read_run(inputs[name] / RUN_FILE, escaped=True).values():
            kept |= {doc_id for doc_id, _ in hits[: spec.depth]}
    passages = {document.doc_id: document for document in stream_corpus(inputs["corpus"]) if document.doc_id in kept}
    write_corpus(out, passages)
    progress(len(passages), len(passages))
    return Usage(units=len(passages), notes={"passages": len(passages)})


STAGE = Stage(
    run=pool,
    spec=PoolSpec,
    version=1,
    takes=Takes(("corpus", "qrels"), numbered="run"),
    heavy=False,
    rate=20_000.0,
    unit="passages",
)
