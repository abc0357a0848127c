"""label: triplets in, passages with a relevance from 0 to 1 out.

``mined``, ``bm25`` and ``fusion`` give a known positive 1; a cross-encoder or an LLM says what it thinks. Rows of one
query stand together, its positives first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.formats import load_jsonl, write_jsonl
from harness.models.search import Bm25Index, DenseIndex
from harness.stages import ENCODING, Inputs, SpeedRule, Stage, Takes
from harness.stages.fuse import reciprocal_rank_fusion
from harness.stages.mine import TRIPLETS_FILE
from harness.stages.shared.common import bi_encoder, encode, read_corpus
from harness.stages.shared.known_positives import EqualTexts, Known
from harness.stages.shared.relevance_labels import RelevanceModel, label_pairs
from harness.stages.shared.relevance_models import RelevanceLabel
from harness.stages.shared.remote import MENDED, MayAskEndpoint
from harness.suite.local_models import LocalModel
from harness.suite.pipeline import ServedEncoder
from harness.suite.training_data import Labeler
from harness.text.decimals import percent
from harness.training.batches import text_key
from harness.values.records import Progress, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LABELS_FILE = "labels.jsonl"
FAILED_FILE = "failed.jsonl"
FUSE_K = 60
VAGUE = 0.5
"""A query whose positive is labelled lower is vague, and may be replaced by the one that the LLM suggests."""


class LabelSpec(MayAskEndpoint):
    """See `training_data.Label`; with `depth`, lists are filled up to so many passages from what bm25 and dense find.

    With `endpoint`, ``by: llm`` asks it; `max_new_tokens` and `batch_size` then mean nothing.
    """

    by: Labeler
    model: str | None
    use_suggested: bool
    passage_tokens: int
    max_new_tokens: int
    batch_size: int | None
    failure_limit: float
    retriever: ServedEncoder
    depth: int = 0
    local: LocalModel = LocalModel()


class _List:
    """A query with its known positives and the passages to be labelled; what is in `right` is none of the others.

    `passages` holds what training shows of a positive, where that is not the document itself.
    """

    def __init__(self, query: str) -> None:
        self.query = query
        self.right: set[str] = set()
        self.positives: list[str] = []
        self.passages: dict[str, str] = {}
        self.others: list[str] = []

    def shown(self, doc_id: str) -> dict[str, str]:
        return {"passage": self.passages[doc_id]} if doc_id in self.passages else {}

    def cut(self, depth: int) -> list[str]:
        """Positives first; at least one place is left for another where there is one."""
        if not depth:
            return [*self.positives, *self.others]
        positives = self.positives[: max(1, depth - 1)]
        return [*positives, *self.others][:depth]


def label(spec: LabelSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write `labels.jsonl`: query, doc_id, score, positive; and beside it what could not be labelled.

    What is known to be relevant is written on (see `known`); of it, only positives stand in a list.
    """
    known, duplicates = Known.read(inputs["triplets"]), EqualTexts(read_corpus(inputs["corpus"]))
    lists = _lists(load_jsonl(inputs["triplets"] / TRIPLETS_FILE))
    for one in lists:
        one.right = duplicates.of([*known.of(one.query), *one.positives]) | duplicates.like(one.query)
        one.others = [doc_id for doc_id in one.others if doc_id not in one.right]
    scorer = _Fusion(spec, lists, inputs, progress) if "bm25" in inputs else None
    if spec.depth and scorer is not None:
        scorer.fill(lists, spec.depth)
    rows = [
        {"query": one.query, "doc_id": doc_id, "positive": doc_id in one.positives, **one.shown(doc_id)}
        for one in lists
        for doc_id in one.cut(spec.depth)
    ]
    notes: dict[str, Any] = {"queries": len(lists), "passages labelled": len(rows)}
    if spec.by in ("llm", "cross-encoder"):
        return _by_model(spec, rows, inputs, out, notes, progress)
    known.write(out)
    found = scorer is not None and spec.by != "mined"
    scores = scorer.score(rows, dense=spec.by == "fusion") if found and scorer else [0.0] * len(rows)
    for row, score in zip(rows, scores, strict=True):
        row["score"] = 1.0 if row["positive"] else score
    write_jsonl(out / LABELS_FILE, rows)
    if spec.by == "mined":
        notes["labelled by"] = "nobody: a positive is 1, a mined negative 0"
    return Usage(len(rows), notes=notes)


def by_query(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Labelled rows by the text of their query, in order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["query"], []).append(row)
    return found


def _lists(triplets: Iterable[Mapping[str, Any]]) -> list[_List]:
    """A list for each query text: what is positive for it in any triplet is no negative in another."""
    found: dict[str, _List] = {}
    for row in triplets:
        one = found.setdefault(row["query"], _List(row["query"]))
        one.positives += [row["doc_id"]] if row["doc_id"] not in one.positives else []
        one.passages |= {row["doc_id"]: row["passage"]} if "passage" in row else {}
        one.others += [doc_id for doc_id in row["negatives"] if doc_id not in one.others]
    return list(found.values())


class _Fusion:
    """bm25 and the untuned retriever: what they find, and how they score."""

    def __init__(self, spec: LabelSpec, lists: Sequence[_List], inputs: Inputs, progress: Progress) -> None:
        self.queries = [one.query for one in lists]
        self.bm25, self.dense = Bm25Index(inputs["bm25"]), DenseIndex(inputs["dense"])
        # The lists may have been mined with a tuned retriever; the teacher is the untuned one.
        untuned = {name: folder for name, folder in inputs.items() if name != "model"}
        self.vectors = encode(bi_encoder(spec.retriever, untuned), self.queries, "query", progress)
        self.place = {doc_id: number for number, doc_id in enumerate(self.dense.doc_ids)}

    def fill(self, lists: Sequence[_List], depth: int) -> None:
        """Add what both find, best first by rank fusion, until there are `depth` passages."""
        keyed = [str(number) for number in range(len(lists))]
        runs = [
            dict(zip(keyed, hits, strict=True))
            for hits in (self.bm25.search(self.queries, depth), self.dense.search(self.vectors, 2 * depth))
        ]
        fused = reciprocal_rank_fusion(runs, FUSE_K, 3 * depth)
        for key, one in zip(keyed, lists, strict=True):
            there = {*one.right, *one.others}
            one.others += [doc_id for doc_id, _ in fused[key] if doc_id not in there]

    def score(self, rows: Sequence[Mapping[str, Any]], dense: bool) -> list[float]:
        """Scores of bm25, or the mean of both, each scaled to the range that it has over the query's list."""
        numbers = {query: number for number, query in enumerate(self.queries)}
        scores: list[float] = []
        for query, own in by_query(rows).items():
            places = [self.place[row["doc_id"]] for row in own]
            told = _scaled(self.bm25.scores(query)[[self.bm25.place[row["doc_id"]] for row in own]])
            if dense:
                told = (told + _scaled(self.dense.vectors[places] @ self.vectors[numbers[query]])) / 2
            scores += [float(value) for value in told]
        return scores


def _scaled(scores: Any) -> Floats:
    """Scores from 0 (the lowest of the list) to 1 (the highest); all 0 if they are equal."""
    import numpy as np

    values = np.asarray(scores, dtype=np.float64)
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _by_model(
    spec: LabelSpec, rows: list[dict[str, Any]], inputs: Inputs, out: Path, notes: dict[str, Any], progress: Progress
) -> Usage:
    """Labels of a cross-encoder or an LLM. What cannot be read is a failure: counted, kept aside, limited."""
    assert spec.by in ("cross-encoder", "llm")
    items = [(row["query"], row["doc_id"]) for row in rows]
    sizes = spec.passage_tokens, spec.max_new_tokens, spec.batch_size
    named = spec.by, spec.model or "", "model"
    labeler = RelevanceModel(*named, spec.endpoint, spec.local, *sizes, dtype=spec.retriever.dtype)
    found = label_pairs(labeler, items, inputs, progress)
    told = list(zip(rows, found.judged, strict=True))
    failed = [{**row, "reason": one.failure} for row, one in told if one.score is None]
    write_jsonl(out / FAILED_FILE, failed)
    notes["labels that failed"] = len(failed)
    if len(failed) > spec.failure_limit * len(rows):
        first = failed[0]["reason"]
        raise ValueError(
            f"{len(failed)} of {len(rows)} labels could not be read, more than failure_limit "
            f"{percent(spec.failure_limit)} (the first: {first}); use a more capable labeler, or by: mined"
        )
    suggested = _suggested(told) if spec.use_suggested else {}
    notes |= {"vague queries replaced": len(suggested)} if spec.use_suggested else {}
    kept = [
        {**row, "query": suggested.get(row["query"], row["query"]), "score": one.score}
        for row, one in told
        if one.score is not None
    ]
    write_jsonl(out / LABELS_FILE, kept)
    Known.read(inputs["triplets"]).renamed(suggested).write(out)
    notes |= {"known from the cache": found.known} if spec.endpoint else {}
    notes |= {MENDED: found.mended} if found.mended else {}
    return found.usage(len(rows), notes)


def _suggested(told: Sequence[tuple[Mapping[str, Any], RelevanceLabel]]) -> dict[str, str]:
    """Vague queries and the ones suggested for them; no two queries may become one."""
    found: dict[str, str] = {}
    taken = {text_key(row["query"]) for row, _ in told}
    for row, one in told:
        vague = row["positive"] and one.score is not None and one.score < VAGUE
        if vague and row["query"] not in found and one.suggested_query and text_key(one.suggested_query) not in taken:
            found[row["query"]] = one.suggested_query
            taken.add(text_key(one.suggested_query))
    return found


STAGE = Stage(
    run=label,
    spec=LabelSpec,
    version=2,
    takes=Takes(("triplets", "corpus"), ("bm25", "dense", "model")),
    heavy=True,
    packages=(*ENCODING, "bm25s"),
    rate=lambda spec: {"llm": 0.7, "cross-encoder": 30.0}.get(str(spec.get("by")), 300.0),
    unit="passages",
    speed=SpeedRule(kind=("by",), size=("passage_tokens", "max_new_tokens")),
    role="labeler",
)
