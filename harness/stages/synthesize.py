"""synthesize: a corpus and an LLM in, training queries out, each with the passage it was written about.

Everything that was written is kept; what of it may be used is decided by `sift`, so that a stricter rule does not
cost another evening of writing.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

from harness import generation
from harness.fields import Spec
from harness.models import load_generator
from harness.recipes import QueryKind
from harness.records import Document, Pair, Progress, Usage
from harness.stages import Inputs
from harness.stages.common import model_folder, read_corpus, read_judgements, write_pairs
from harness.stages.prompts import synthesis_head, synthesis_tail

LEADING = re.compile(r"^(?:(?:question|query|search words|keywords|statement|claim|answer)\s*:\s*|[-*\"'\s]+)+", re.I)


class Synthesize(Spec):
    """See `spec.Synthesize`; here are only the settings that change what is written."""

    model: str
    queries_per_document: int
    kinds: tuple[QueryKind, ...]
    max_documents: int | None
    passage_tokens: int
    max_new_tokens: int
    temperature: float
    batch_size: int


def synthesize(spec: Synthesize, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write queries about passages, kind by kind, and leave them as pairs.

    The input `barred`, if given, holds the judgements of the scored split, whose relevant passages are not written
    about.
    """
    documents = read_corpus(inputs["corpus"])
    barred = read_judgements(inputs["barred"]) if "barred" in inputs else {}
    left_out = {doc_id for docs in barred.values() for doc_id, relevance in docs.items() if relevance}
    chosen = choose_documents([item for key, item in documents.items() if key not in left_out], spec, seed)
    jobs = assign_kinds(chosen, spec)
    model, tokenizer = load_generator(model_folder(spec.model, inputs))
    pairs: list[Pair] = []
    prompt_tokens = new_tokens = done = 0
    wanted = sum(map(len, jobs.values()))
    for number, kind in enumerate(spec.kinds):
        docs = jobs[kind]
        passages = generation.cut(tokenizer, [document.content for document in docs], spec.passage_tokens)
        tails = [synthesis_tail(kind, passage) for passage in passages]
        sampling = generation.Sampling(
            spec.max_new_tokens, spec.batch_size, spec.temperature, one_line=True, seed=seed * len(spec.kinds) + number
        )
        base = done
        head = generation.Head(model, tokenizer, synthesis_head(kind))
        written = generation.write(head, tails, sampling, lambda part, _, base=base: progress(base + part, wanted))  # type: ignore[misc]
        done += len(docs)
        for document, one in zip(docs, written, strict=True):
            pairs.append(Pair(clean(one.text), document.doc_id, kind, "synthetic"))
            prompt_tokens += one.prompt_tokens
            new_tokens += one.new_tokens
    write_pairs(out, pairs)
    notes = {
        "passages": len(documents),
        "left out, being relevant for scored queries": len(left_out),
        "written about": len(chosen),
        "queries written": len(pairs),
        **{f"of kind {kind}": count for kind, count in sorted(Counter(pair.kind for pair in pairs).items())},
    }
    return Usage(len(pairs), len(pairs), prompt_tokens, new_tokens, notes)


def choose_documents(documents: list[Document], spec: Synthesize, seed: int) -> list[Document]:
    """Return all documents, or a seeded sample of `max_documents` of them, in corpus order."""
    if spec.max_documents is None or spec.max_documents >= len(documents):
        return documents
    chosen = set(random.Random(seed).sample(range(len(documents)), spec.max_documents))
    return [document for number, document in enumerate(documents) if number in chosen]


def assign_kinds(documents: list[Document], spec: Synthesize) -> dict[QueryKind, list[Document]]:
    """Deal the kinds out in turn, so that one query a document still gives every kind its share."""
    jobs: dict[QueryKind, list[Document]] = {kind: [] for kind in spec.kinds}
    turn = 0
    for document in documents:
        for _ in range(spec.queries_per_document):
            jobs[spec.kinds[turn % len(spec.kinds)]].append(document)
            turn += 1
        # A document with as many queries as there are kinds would else always begin with the same kind.
        turn += spec.queries_per_document % len(spec.kinds) == 0
    return jobs


def clean(text: str) -> str:
    """Strip what small models put around a query: labels, quotes, list marks."""
    return LEADING.sub("", text.strip()).strip(" \"'*")
