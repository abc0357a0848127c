"""Remarks on passages that are longer than what reads them: the encoder of the retriever, the prompt of an answer."""

from __future__ import annotations

from collections.abc import Iterator

from harness.data.datasets import Dataset
from harness.planning.reading import MUCH, UNLIMITED, limit_of, unread_of
from harness.suite.spec import Suite
from harness.text.decimals import percent


def told(suite: Suite, dataset: Dataset) -> list[str]:
    """Return sentences on what the retriever cannot read of the documents, and on chunks that are too long."""
    return [*_documents(suite, dataset), *_chunks(suite)]


def counted(suite: Suite, dataset: Dataset, split: str) -> list[str]:
    """Return what depths, recall and the loss funnel count where the pipeline searches chunks; empty if it does not."""
    if suite.pipeline.chunking is None:
        return []
    which = "by a chunk that holds its evidence" if dataset.splits[split].spans else "by any of its chunks"
    return [
        "The pipeline searches chunks, and what is counted here is documents: in depths, recall, the loss funnel and "
        f"oracle gains, a document has the place of its best chunk. A relevant document is found {which}."
    ]


def _documents(suite: Suite, dataset: Dataset) -> Iterator[str]:
    found = unread_of(suite, suite.pipeline, dataset)
    if found is None or found.share < MUCH:
        return
    of = "document" if found.longer == 1 else "documents"
    of += "" if found.texts == len(dataset.documents) else f" of a sample of {found.texts:,}"
    remedy = "pipeline.chunking cuts documents into passages that are read whole"
    if all(_chunked(suite, name) for name in suite.all_candidates) and suite.all_candidates:
        remedy = "all candidates cut documents into chunks"
    yield (
        f"The retriever reads {found.limit:,} tokens of a document: {percent(found.share)} of the text lies beyond "
        f"them, in {found.longer:,} {of}; {remedy}."
    )


def _chunked(suite: Suite, name: str) -> bool:
    return suite.pipeline_of(suite.all_candidates[name]).chunking is not None


def _chunks(suite: Suite) -> Iterator[str]:
    pipelines = {"": suite.pipeline, **{name: suite.pipeline_of(one) for name, one in suite.all_candidates.items()}}
    for name, pipeline in pipelines.items():
        own = name == "" or suite.pipeline.chunking != pipeline.chunking
        if pipeline.chunking is None or not own:
            continue
        whose = f"{name}: " if name else ""
        size, read = pipeline.chunking.tokens, limit_of(suite, pipeline)
        if pipeline.retriever.kind not in UNLIMITED and size > read:
            yield f"{whose}Chunks have up to {size:,} tokens, and the retriever reads {read:,} of them."
        generator = suite.generator_of(pipeline)
        if generator is not None and size > generator.passage_tokens and suite.answerer_of(pipeline) is None:
            yield (
                f"{whose}Chunks have up to {size:,} tokens, and prompts show the first {generator.passage_tokens:,} of "
                "each (pipeline.generator.passage_tokens)."
            )
