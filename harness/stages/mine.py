"""mine: pairs and the untuned retriever in, triplets out.

Hard negatives come from the retriever's first `depth` documents, without known positives and without those whose
score is above (1 - margin) of the positive's: too good to be wrong (NV-Retriever, arXiv 2407.15831, TopK-PercPos).
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from harness.fields import Spec
from harness.formats import write_jsonl
from harness.recipes import Pairs
from harness.records import Pair, Progress, Usage
from harness.search import DenseIndex
from harness.spec import Retriever
from harness.stages import Inputs
from harness.stages.common import bi_encoder, encode, read_judgements, read_pairs, read_queries


class Mine(Spec):
    """See `spec.Mine`; `pairs` says which pairs are used, `retriever` is the untuned one."""

    hard: int
    random: int
    relative_margin: float
    depth: int
    pairs: Pairs
    retriever: Retriever


def mine(spec: Mine, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write `triplets.jsonl`: query, doc_id, negatives (doc ids; hard ones first, as many for every pair)."""
    pairs = gather(spec.pairs, inputs)
    index = DenseIndex(inputs["dense"])
    dice = random.Random(seed)
    vectors = encode(bi_encoder(spec.retriever, inputs), [pair.query for pair in pairs], "query", progress)
    hits = index.search(vectors, spec.depth)
    place = {doc_id: number for number, doc_id in enumerate(index.doc_ids)}
    positives = known_positives(pairs)
    rows, filled, refused = [], 0, 0
    for pair, vector, found in zip(pairs, vectors, hits, strict=True):
        own = positives[pair.query]
        bar = float(vector @ index.vectors[place[pair.doc_id]])
        bar -= spec.relative_margin * abs(bar)
        wrong = [(doc_id, score) for doc_id, score in found if doc_id not in own]
        hard = [doc_id for doc_id, score in wrong if score <= bar][: spec.hard]
        refused += sum(score > bar for _, score in wrong)
        filled += spec.hard - len(hard)
        easy = _draw(index.doc_ids, own | set(hard), spec.hard + spec.random - len(hard), dice)
        rows.append({"query": pair.query, "doc_id": pair.doc_id, "negatives": hard + easy, "origin": pair.origin})
    write_jsonl(out / "triplets.jsonl", rows)
    notes = {
        "pairs": len(pairs),
        "synthetic": sum(pair.origin == "synthetic" for pair in pairs),
        "judged": sum(pair.origin == "judged" for pair in pairs),
        "negatives a pair": spec.hard + spec.random,
        "hard negatives replaced by random ones": filled,
        "passed over, too near the positive": refused,
    }
    return Usage(units=len(pairs), notes=notes)


def gather(which: Pairs, inputs: Inputs) -> list[Pair]:
    """Return the pairs to train on: written, judged by people (train split), or both."""
    pairs = read_pairs(inputs["pairs"]) if which != "judged" else []
    if which != "synthetic":
        queries, qrels = read_queries(inputs["train_queries"]), read_judgements(inputs["train_qrels"])
        pairs += [
            Pair(queries[query_id], doc_id, "judged", "judged", query_id)
            for query_id, docs in sorted(qrels.items())
            for doc_id, relevance in sorted(docs.items())
            if relevance > 0
        ]
    if not pairs:
        raise ValueError(f"no pairs to train on ({which}); write more queries, loosen the filters, or judge some")
    return pairs


def known_positives(pairs: list[Pair]) -> dict[str, set[str]]:
    """All documents that are known to be right for each query text."""
    positives: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        positives[pair.query].add(pair.doc_id)
    return positives


def _draw(doc_ids: list[str], without: set[str], count: int, dice: random.Random) -> list[str]:
    """Draw `count` documents that are not in `without`; fewer only if the corpus has no more."""
    count = min(count, len(doc_ids) - len(without))
    drawn: list[str] = []
    while len(drawn) < count:
        doc_id = dice.choice(doc_ids)
        if doc_id not in without and doc_id not in drawn:
            drawn.append(doc_id)
    return drawn
