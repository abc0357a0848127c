"""mine: pairs and a retriever in, triplets out.

Hard negatives come from the retriever's first `depth` documents, without known positives and without those whose
score is above (1 - margin) of the positive's: too good to be wrong (NV-Retriever, arXiv 2407.15831, TopK-PercPos).
An LLM or a cross-encoder may be asked about those that are left, and what it finds relevant is dropped. Documents whose
text is that of a known positive, or of the query, are no negatives either.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.data.formats import write_jsonl
from harness.models.search import DenseIndex
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.shared.common import bi_encoder, encode, read_corpus, read_judgements, read_pairs, read_queries
from harness.stages.shared.known_positives import EqualTexts, Known
from harness.stages.shared.relevance_labels import RelevanceModel, label_pairs
from harness.stages.shared.remote import MENDED, MayAskEndpoint
from harness.suite.local_models import LocalModel
from harness.suite.pipeline import ServedEncoder
from harness.suite.training_data import Pairs, Relabel
from harness.values.grades import relevant_grades
from harness.values.passages import neighbours_of
from harness.values.records import Pair, Progress, Usage

TRIPLETS_FILE = "triplets.jsonl"
RELABEL_SPARE = 2
"""Times as many negatives as wanted are checked, so that enough are left when some turn out relevant."""


class MineSpec(MayAskEndpoint):
    """See `training_data.Mine`; `pairs` says which pairs are used, `retriever` is the untuned one.

    An LLM that relabels is `llm_model`, in process, or the one behind `endpoint`. With `exclude_own`, the document that
    has the id of a query is no negative for it. With `chunked`, passages are chunks, and one that overlaps a positive
    is no negative; nor is any that the input `train_known` judges relevant.
    """

    hard: int
    random: int
    relative_margin: float
    depth: int
    pairs: Pairs
    retriever: ServedEncoder
    short: Literal["fill", "drop"] = "fill"
    relabel: Relabel | None = None
    llm_model: str | None = None
    local: LocalModel = LocalModel()
    exclude_own: bool = False
    chunked: bool = False


class _Candidates(NamedTuple):
    """What the retriever found for a pair that may be wrong, best first, and how many were too near the positive."""

    doc_ids: list[str]
    refused: int


def mine(spec: MineSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write `triplets.jsonl`: query, doc_id, negatives (doc ids; hard ones first, as many for every pair).

    A row has a `passage` where training shows that instead of the document.
    The retriever is the input `model`, or the one that the spec names. What is known to be relevant for each query is
    written beside it (see `known`). Raises ValueError if no pair is left.
    """
    gathered = gather(spec.pairs, inputs)
    index, duplicates = DenseIndex(inputs["dense"]), EqualTexts(read_corpus(inputs["corpus"]))
    searched = set(index.doc_ids)
    pairs = [pair for pair in gathered if pair.doc_id in searched]
    known = Known((pair.query, pair.doc_id) for pair in gathered)
    if spec.chunked:
        _know_neighbours(known, pairs, index.doc_ids, inputs)
    if spec.exclude_own:
        for pair in pairs:
            if pair.query_id in searched:
                known.add(pair.query, pair.query_id)
    candidates = _find(spec, pairs, _kept_out(pairs, known, duplicates), index, inputs, progress)
    relevant, asked = _relabelled(spec, pairs, candidates, inputs, progress)
    for query, doc_id in relevant:
        known.add(query, doc_id)
    kept_out = _kept_out(pairs, known, duplicates)
    dice = random.Random(seed)
    rows: list[dict[str, Any]] = []
    filled = dropped = 0
    for pair, found in zip(pairs, candidates, strict=True):
        right = kept_out(pair.query)
        hard = [doc_id for doc_id in found.doc_ids if doc_id not in right][: spec.hard]
        missing = spec.hard - len(hard)
        if missing and spec.short == "drop":
            dropped += 1
            continue
        filled += missing
        easy = _draw(index.doc_ids, right, hard, missing + spec.random, dice)
        row = {"query": pair.query, "doc_id": pair.doc_id, "negatives": hard + easy, "origin": pair.origin}
        rows.append(row | ({"passage": pair.passage} if pair.passage else {}))
    if not rows:
        raise ValueError(_nothing_left(len(gathered), len(pairs)))
    write_jsonl(out / TRIPLETS_FILE, rows)
    known.write(out)
    notes = {
        "pairs": len(pairs),
        "synthetic": sum(pair.origin == "synthetic" for pair in pairs),
        "judged": sum(pair.origin == "judged" for pair in pairs),
        **({"structure": structure} if (structure := sum(pair.origin == "structure" for pair in pairs)) else {}),
        "negatives a pair": spec.hard + spec.random,
        "hard negatives replaced by random ones": filled,
        "pairs dropped for want of hard negatives": dropped,
        "passed over, too near the positive": sum(found.refused for found in candidates),
        **asked.notes,
    }
    short = sum(len(row["negatives"]) < spec.hard + spec.random for row in rows)
    notes |= {"pairs with fewer negatives, the corpus has no more": short} if short else {}
    lost = len(gathered) - len(pairs)
    notes |= {"pairs left out, their document is not in the corpus": lost} if lost else {}
    return asked._replace(units=len(pairs), notes=notes)


def _know_neighbours(known: Known, pairs: Sequence[Pair], chunks: Sequence[str], inputs: Inputs) -> None:
    """Add the chunks that share text with a positive, and those of documents that are judged as a whole."""
    neighbours = neighbours_of(chunks)
    for pair in pairs:
        for passage_id in neighbours.get(pair.doc_id, ()):
            known.add(pair.query, passage_id)
    if "train_known" in inputs:
        queries = read_queries(inputs["train_queries"])
        for query_id, grades in read_judgements(inputs["train_known"]).items():
            for passage_id in relevant_grades(grades) if query_id in queries else ():
                known.add(queries[query_id], passage_id)


def _nothing_left(gathered: int, pairs: int) -> str:
    if not pairs:
        return f"none of the documents of all {gathered} pairs is in the corpus; judge documents that it holds"
    return f"all {pairs} pairs were dropped: too few hard negatives; use short: fill or more depth"


def _kept_out(pairs: Sequence[Pair], known: Known, duplicates: EqualTexts) -> Callable[[str], Collection[str]]:
    """What gives the documents that are no negatives of a query, each query's found once."""
    found = {query: duplicates.of(known.of(query)) | duplicates.like(query) for query in {pair.query for pair in pairs}}
    return found.__getitem__


def _find(
    spec: MineSpec, pairs: Sequence[Pair], kept_out: Callable[[str], Collection[str]], index: DenseIndex,
    inputs: Inputs, progress: Progress,
) -> list[_Candidates]:  # fmt: skip
    model = bi_encoder(spec.retriever, inputs)
    vectors = encode(model, [pair.query for pair in pairs], "query", progress)
    passages = list(dict.fromkeys(pair.passage for pair in pairs if pair.passage))
    shown = dict(zip(passages, encode(model, passages, "document"), strict=True)) if passages else {}
    place = {doc_id: number for number, doc_id in enumerate(index.doc_ids)}
    found = []
    for pair, vector, hits in zip(pairs, vectors, index.search(vectors, spec.depth), strict=True):
        # A positive that holds the query word for word would let every other document pass for wrong.
        positive = shown[pair.passage] if pair.passage else index.vectors[place[pair.doc_id]]
        bar = float(vector @ positive)
        bar -= spec.relative_margin * abs(bar)
        right = kept_out(pair.query)
        wrong = [(doc_id, score) for doc_id, score in hits if doc_id not in right]
        usable = [doc_id for doc_id, score in wrong if score <= bar]
        found.append(_Candidates(usable, len(wrong) - len(usable)))
    return found


def _relabelled(
    spec: MineSpec, pairs: Sequence[Pair], candidates: Sequence[_Candidates], inputs: Inputs, progress: Progress
) -> tuple[set[tuple[str, str]], Usage]:
    """Pairs of query and passage that turn out relevant, and what asking for them used.

    A judgement that failed says nothing: the passage stays a negative, and is counted.
    """
    rule = spec.relabel
    if rule is None:
        return set(), Usage()
    shown = RELABEL_SPARE * spec.hard
    asked = list(
        dict.fromkeys(
            (pair.query, key) for pair, found in zip(pairs, candidates, strict=True) for key in found.doc_ids[:shown]
        )
    )
    named = rule.model or spec.llm_model or ""
    asked_by = RelevanceModel(rule.by, named, "llm", spec.endpoint, spec.local, dtype=spec.retriever.dtype)
    judged = label_pairs(asked_by, asked, inputs, progress)
    relevant = {
        item for item, one in zip(asked, judged.judged, strict=True)
        if one.score is not None and one.score >= rule.threshold
    }  # fmt: skip
    notes: dict[str, Any] = {
        "negatives asked about": len(asked),
        "found relevant after all": len(relevant),
        "judgements that failed": sum(one.score is None for one in judged.judged),
    }
    notes |= {"judgements known from the cache": judged.known} if spec.endpoint else {}
    notes |= {MENDED: judged.mended} if judged.mended else {}
    return relevant, judged.usage(0, notes)


def gather(which: Pairs, inputs: Inputs) -> list[Pair]:
    """Return the pairs to train on: written or extracted, judged by people (train split), or written and judged."""
    pairs = read_pairs(inputs["pairs"]) if which != "judged" else []
    if which in ("judged", "both"):
        queries, qrels = read_queries(inputs["train_queries"]), read_judgements(inputs["train_qrels"])
        pairs += [
            Pair(queries[query_id], doc_id, "judged", "judged", query_id)
            for query_id, docs in sorted(qrels.items())
            if query_id in queries
            for doc_id in sorted(relevant_grades(docs))
        ]
    if not pairs:
        raise ValueError(f"no pairs to train on ({which}); write more queries, loosen the filters, or judge some")
    return pairs


def _draw(
    doc_ids: Sequence[str], right: Collection[str], hard: Sequence[str], count: int, dice: random.Random
) -> list[str]:
    """Draw `count` documents that are neither in `right` nor in `hard`; fewer only if the corpus has no more."""
    taken = set(hard)
    if 2 * (len(right) + len(hard) + count) > len(doc_ids):
        left = [doc_id for doc_id in doc_ids if doc_id not in right and doc_id not in taken]
        return dice.sample(left, min(count, len(left)))
    drawn: list[str] = []
    while len(drawn) < count:
        doc_id = dice.choice(doc_ids)
        if doc_id not in right and doc_id not in taken:
            drawn.append(doc_id)
            taken.add(doc_id)
    return drawn


STAGE = Stage(
    run=mine,
    spec=MineSpec,
    version=4,
    takes=Takes(("dense", "corpus"), ("model", "pairs", "train_queries", "train_qrels", "train_known", "llm")),
    heavy=True,
    packages=("sentence-transformers", "torch"),
    rate=300.0,
    unit="pairs",
    speed=SpeedRule(kind=("relabel.by",), size=("retriever.max_length",)),
    role="labeler",
)
