"""tune_reranker: labelled passages in, a tuned cross-encoder out.

The recipes are in `harness.training.rerankers`. A checkpoint is chosen on dev by reranking the runs of the pipeline's
retriever there, as they are: a relevant passage that it missed is not put in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import load_jsonl, read_run
from harness.models.loaders import load_cross_encoder, locate
from harness.stages import TRAINING, Inputs, SpeedRule, Stage, Takes
from harness.stages.label import LABELS_FILE, by_query
from harness.stages.rerank import pairs_of, reordered
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.common import read_corpus, read_judgements, read_queries, seeded
from harness.stages.shared.dev_evaluation import DEV_CUTOFF, DEV_INPUTS, judged_sample, ndcg
from harness.stages.shared.relevance_models import count_cut, score_pairs
from harness.stages.shared.train_share import sampled, share_notes
from harness.suite.fields import Positive, Spec
from harness.suite.recipes import RerankerRecipe
from harness.training.memory import until_it_fits
from harness.training.rerankers import GradedPassages, train
from harness.training.watch import loss_notes
from harness.values.records import Document, Progress, Run, Usage


class TuneRerankerSpec(Spec):
    """The cross-encoder to start from, which need not have a trained head, and the recipe."""

    recipe: RerankerRecipe
    model: str
    max_length: Positive
    kind: Literal["cross-encoder", "late-interaction"] = "cross-encoder"
    query_prompt: str = ""
    document_prompt: str = ""


def tune_reranker(spec: TuneRerankerSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train and write the model (safetensors) as sentence-transformers saves it."""
    documents = read_corpus(inputs["corpus"])
    labelled = graded_lists(sampled(load_jsonl(inputs["labels"] / LABELS_FILE), spec.recipe.train_share), documents)
    lists = usable(labelled, spec.recipe)
    dev = dev_lists(spec.recipe, documents, inputs)
    made: list[Any] = []

    def attempt(micro_batch: int) -> Any:
        made.clear()
        with seeded(seed):
            model = load_cross_encoder(locate(spec.model), spec.max_length, untrained_ok=True)
            made.append(model)
            measure = (lambda: dev.reranked(model)) if dev is not None else None
            return train(model, lists, spec.recipe, seed, micro_batch, progress, measure)

    fitted = until_it_fits(attempt, spec.recipe.batch_size)
    model = made[0]
    model.save_pretrained(str(out), create_model_card=False, safe_serialization=True)
    pairs = [(item.query, passage) for item in lists for passage in item.passages]
    notes = {
        "queries": len(lists),
        "pairs": len(pairs),
        "queries left out, whose passages are labelled alike": len(labelled) - len(lists),
        f"pairs cut at {model.max_seq_length} tokens": count_cut(model, pairs),
        **loss_notes(fitted.value.losses),
        **fitted.value.notes,
        **({"ndcg@10 on dev without a reranker": round(dev.as_they_come(), 4)} if dev is not None else {}),
        **fitted.notes,
        **share_notes(spec.recipe.train_share),
    }
    return Usage(units=fitted.value.units, notes=notes)


def graded_lists(rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document]) -> list[GradedPassages]:
    """A list for each query, as labelled."""
    return [
        GradedPassages(
            query,
            tuple(documents[row["doc_id"]].content for row in own),
            tuple(float(row["score"]) for row in own),
        )
        for query, own in by_query(rows).items()
    ]


def usable(lists: Sequence[GradedPassages], recipe: RerankerRecipe) -> list[GradedPassages]:
    """Return the lists that something can be learned from: ``listwise`` learns nothing where all labels are equal.

    Raises ValueError if there are no labels, or if no two differ.
    """
    if len({score for item in lists for score in item.scores}) < 2:
        raise ValueError("no two labels differ, so there is nothing to learn; mine negatives, or label otherwise")
    if recipe.recipe == "bce":
        return list(lists)
    kept = [item for item in lists if len(set(item.scores)) > 1]
    if not kept:
        raise ValueError("listwise needs a query whose passages are labelled differently, and there is none; use bce")
    return kept


def dev_lists(recipe: RerankerRecipe, documents: Mapping[str, Document], inputs: Inputs) -> DevLists | None:
    """The lists of dev; None if dev was not given, or has no judged query."""
    found = DevLists(recipe, documents, inputs) if "dev_run" in inputs else None
    return found if found is not None and found.lists else None


class DevLists:
    """The lists that a dev evaluation reranks, with their texts and judgements."""

    def __init__(self, recipe: RerankerRecipe, documents: Mapping[str, Document], inputs: Inputs) -> None:
        queries, self.qrels = read_queries(inputs["dev_queries"]), read_judgements(inputs["dev_qrels"])
        run = read_run(inputs["dev_run"] / RUN_FILE, escaped=True)
        chosen = judged_sample(queries, self.qrels, recipe.dev_queries)
        self.lists = {key: run.get(key, [])[: recipe.dev_depth] for key in chosen}
        self.pairs = pairs_of(self.lists, queries, documents, recipe.dev_depth)

    def reranked(self, model: Any) -> float:
        """Mean ndcg@10 of the lists in the order that the model gives them."""
        scores = iter(score_pairs(model, self.pairs))
        return self._mean({key: reordered(hits, [next(scores) for _ in hits]) for key, hits in self.lists.items()})

    def as_they_come(self) -> float:
        """Return the mean ndcg@10 of the lists before reranking."""
        return self._mean(self.lists)

    def _mean(self, lists: Run) -> float:
        gains = (ndcg([doc_id for doc_id, _ in hits], self.qrels[key], DEV_CUTOFF) for key, hits in lists.items())
        return sum(gains) / len(lists)


STAGE = Stage(
    run=tune_reranker,
    spec=TuneRerankerSpec,
    version=3,
    takes=Takes(("corpus",), ("labels", "triplets", "model", *DEV_INPUTS)),
    heavy=True,
    packages=TRAINING,
    rate=5.0,
    unit="passages",
    speed=SpeedRule(kind=("kind", "recipe.recipe"), size=("max_length",)),
)
