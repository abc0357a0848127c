"""tune_retriever: triplets or labelled lists in, a tuned bi-encoder out.

The recipes are in `harness.training.retrievers`. A checkpoint is chosen on dev by ranking the passages that the
untuned retriever finds there: a small corpus of likely mistakes, so that a dev evaluation takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.formats import load_jsonl, read_run
from harness.models.inspection import inspect
from harness.models.loaders import limit_length
from harness.stages import TRAINING, TRAINS_ALL, Inputs, SpeedRule, Stage, Takes, setting
from harness.stages.label import LABELS_FILE, by_query
from harness.stages.mine import TRIPLETS_FILE
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import (
    encode,
    model_folder,
    read_corpus,
    read_judgements,
    read_queries,
    seeded,
    shown_passage,
    trainable_bi_encoder,
)
from harness.stages.shared.dev_evaluation import DEV_CUTOFF, DEV_INPUTS, judged_sample, ndcg
from harness.stages.shared.known_positives import EqualTexts, Known
from harness.stages.shared.train_share import sampled, share_notes
from harness.suite.fields import Spec
from harness.suite.pipeline import Encoder
from harness.suite.recipes import RetrieverRecipe
from harness.training.batches import RankedPassages, text_key
from harness.training.memory import until_it_fits
from harness.training.retrievers import train
from harness.training.watch import loss_notes
from harness.values.grades import relevant_grades
from harness.values.records import Document, Progress, Usage

DEV_QUERIES, DEV_DEPTH = 50, 10


class TuneRetrieverSpec(Spec):
    """The untuned bi-encoder and the recipe."""

    retriever: Encoder
    recipe: RetrieverRecipe


def tune_retriever(spec: TuneRetrieverSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train and write the model (safetensors) as sentence-transformers saves it; LoRA is merged into the weights."""
    lists, left_out = training_lists(inputs, spec.recipe.train_share)
    retriever = spec.retriever
    length = spec.recipe.max_length or retriever.max_length
    made: list[Any] = []

    def attempt(micro_batch: int) -> Any:
        made.clear()
        with seeded(seed):
            model = trainable_bi_encoder(retriever.model_copy(update={"max_length": length}), inputs)
            made.append(model)
            return train(model, lists, spec.recipe, seed, micro_batch, progress, measured_on_dev(model, inputs))

    fitted = until_it_fits(attempt, spec.recipe.batch_size)
    model = made[0]
    limit_length(model, inspect(model_folder(retriever.model, inputs), "bi-encoder"), retriever.max_length)
    model.save_pretrained(str(out), create_model_card=False, safe_serialization=True)
    notes = {
        "lists": len(lists),
        **length_notes(lists),
        **({"queries left out, fewer than two passages are labelled": left_out} if left_out else {}),
        **loss_notes(fitted.value.losses),
        **fitted.value.notes,
        **fitted.notes,
        **share_notes(spec.recipe.train_share),
    }
    return Usage(units=fitted.value.units, notes=notes)


def training_lists(inputs: Inputs, share: float = 1.0) -> tuple[list[RankedPassages], int]:
    """Training queries with their passages, the positive first, with the teacher's scores if there are labels.

    Lists keep their own lengths. The second value counts queries that were left out, as too few labels of them are
    there. `share` of the queries are used. Raises ValueError if there is nothing to train on.
    """
    documents = read_corpus(inputs["corpus"])
    duplicates, left_out = EqualTexts(documents), 0
    if "labels" in inputs:
        rows = sampled(load_jsonl(inputs["labels"] / LABELS_FILE), share)
        lists = _labelled(rows, documents, duplicates, Known.read(inputs["labels"]))
        left_out = len(by_query(rows)) - len(lists)
    else:
        rows = sampled(load_jsonl(inputs["triplets"] / TRIPLETS_FILE), share)
        lists = _mined(rows, documents, duplicates, Known.read(inputs["triplets"]))
    if not lists:
        raise ValueError("no pairs are left to train on; write more queries, loosen the filters, or judge some")
    return lists, left_out


def length_notes(lists: Sequence[RankedPassages]) -> dict[str, Any]:
    """How many passages a list has, and how many lists have fewer than the longest."""
    longest = max(len(item.passages) for item in lists)
    short = sum(len(item.passages) < longest for item in lists)
    return {"passages a list": longest, **({"lists with fewer passages": short} if short else {})}


def _mined(
    rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document], duplicates: EqualTexts, known: Known
) -> list[RankedPassages]:
    shown = _shown_of(rows)
    relevant = {query: known.of(query) for query in {row["query"] for row in rows}}
    texts = {query: duplicates.texts(doc_ids) | shown(doc_ids) for query, doc_ids in relevant.items()}
    return [
        RankedPassages(
            row["query"],
            (shown_passage(row, documents), *(documents[key].content for key in row["negatives"])),
            known=texts[row["query"]],
        )
        for row in rows
    ]


def _shown_of(rows: Sequence[Mapping[str, Any]]) -> Callable[[Collection[str]], frozenset[str]]:
    """What gives, for documents, the other texts that rows show of them, by `text_key`."""
    shown: dict[str, set[str]] = {}
    for row in rows:
        if "passage" in row:
            shown.setdefault(row["doc_id"], set()).add(text_key(row["passage"]))
    return lambda doc_ids: frozenset(key for doc_id in doc_ids for key in shown.get(doc_id, ()))


def _labelled(
    rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document], duplicates: EqualTexts, known: Known
) -> list[RankedPassages]:
    """A list for each query: its best positive, then the others as labelled; a list of one teaches nothing."""
    found, shown = [], _shown_of(rows)
    for query, own in by_query(rows).items():
        first = max((row for row in own if row["positive"]), key=lambda row: row["score"], default=None)
        if first is None or len(own) == 1:
            continue
        ordered = [first, *(row for row in own if row is not first)]
        texts = tuple(shown_passage(row, documents) for row in ordered)
        relevant = [*known.of(query), *(row["doc_id"] for row in own if row["positive"])]
        right = duplicates.texts(relevant) | shown(relevant)
        found.append(RankedPassages(query, texts, tuple(row["score"] for row in ordered), right))
    return found


def measured_on_dev(model: Any, inputs: Inputs) -> Callable[[], float] | None:
    """Return a function that scores the model on dev (mean ndcg@10 of up to 50 queries); None without dev."""
    if "dev_run" not in inputs:
        return None
    queries, qrels = read_queries(inputs["dev_queries"]), read_judgements(inputs["dev_qrels"])
    run = read_run(inputs["dev_run"] / RUN_FILE, escaped=True)
    chosen = judged_sample(queries, qrels, DEV_QUERIES)
    found = [doc_id for key in chosen for doc_id, _ in run.get(key, [])[:DEV_DEPTH]]
    relevant = [doc_id for key in chosen for doc_id in relevant_grades(qrels[key])]
    documents = read_corpus(inputs["corpus"])
    pool = [doc_id for doc_id in dict.fromkeys([*relevant, *found]) if doc_id in documents]

    def measure() -> float:
        passages = encode(model, [documents[doc_id].content for doc_id in pool], "document")
        vectors = encode(model, [queries[key] for key in chosen], "query")
        total = 0.0
        for key, scores in zip(chosen, vectors @ passages.T, strict=True):
            ranked = [pool[place] for place in scores.argsort()[::-1]]
            total += ndcg(ranked, qrels[key], DEV_CUTOFF)
        return total / len(chosen)

    return measure


STAGE = Stage(
    run=tune_retriever,
    spec=TuneRetrieverSpec,
    version=5,
    takes=Takes(("corpus",), ("triplets", "labels", *DEV_INPUTS)),
    heavy=True,
    packages=(*TRAINING, "peft"),
    rate=lambda spec: 800 / float(setting(spec, "recipe.max_length") or setting(spec, "retriever.max_length", 256)),
    unit="lists",
    memory=TRAINS_ALL,
    speed=SpeedRule(
        kind=("recipe.recipe",),
        size=("retriever.max_length", "recipe.max_length", "recipe.lora_rank", "recipe.list_size"),
        inputs={"triplets": ("hard", "random")},
    ),
)
