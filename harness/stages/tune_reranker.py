"""tune_reranker: labelled passages or triplets in, a tuned reranker out.

The recipes are in `harness.training.rerankers` (cross-encoders, from labels), `harness.training.late_interaction`
(token encoders, from triplets or labels) and `harness.training.causal_rerankers` (adapters, from labels). A checkpoint
is chosen on dev by reranking the runs of the pipeline's retriever there, as they are: a relevant passage that it missed
is not put in. The start is a checkpoint too, unless its scores are random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import load_jsonl, read_run
from harness.models.loaders import has_trained_head, load_cross_encoder
from harness.models.packed_linear import to_trainable
from harness.models.token_encoders import load_token_encoder
from harness.stages import TRAINING, TRAINS_ALL, Inputs, SpeedRule, Stage, Takes, setting
from harness.stages.label import LABELS_FILE, by_query
from harness.stages.rerank import pools_of, reordered
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared.causal_reranking import CausalSettings, UntunedModel, tune_adapter
from harness.stages.shared.common import (
    base_name,
    model_folder,
    read_corpus,
    read_judgements,
    read_queries,
    seeded,
    shown_passage,
)
from harness.stages.shared.dev_evaluation import DEV_CUTOFF, DEV_INPUTS, judged_sample, ndcg
from harness.stages.shared.passage_scorers import CrossEncoderScorer, LateInteractionScorer, PassageScorer
from harness.stages.shared.relevance_models import count_cut
from harness.stages.shared.train_share import sampled, share_notes
from harness.stages.tune_retriever import length_notes, training_lists
from harness.suite.fields import Positive, Spec
from harness.suite.recipes import RerankerRecipe
from harness.training import late_interaction
from harness.training.checkpoints import DevEvaluation
from harness.training.generators import save_adapter
from harness.training.late_interaction import ContrastiveSettings
from harness.training.memory import Fitted, until_it_fits
from harness.training.rerankers import GradedPassages, train
from harness.training.watch import loss_notes
from harness.values.records import Document, Progress, Run, Usage


class TuneRerankerSpec(Spec):
    """The model to start from and the recipe; a cross-encoder need not have a trained head.

    The prompts are those of late interaction. For ``causal-lm`` the input `model` is the plain form of a converted
    model, and `instruction` is part of its prompts.
    """

    recipe: RerankerRecipe
    model: str
    max_length: Positive
    kind: Literal["cross-encoder", "late-interaction", "causal-lm"] = "cross-encoder"
    query_prompt: str = ""
    document_prompt: str = ""
    instruction: str = ""


def tune_reranker(spec: TuneRerankerSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train and write the model (safetensors) as sentence-transformers saves it, or the adapter as peft does."""
    return TRAININGS[spec.kind](spec, inputs, out, seed, progress)


def _tuned_cross_encoder(spec: TuneRerankerSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    documents = read_corpus(inputs["corpus"])
    labelled = graded_lists(sampled(load_jsonl(inputs["labels"] / LABELS_FILE), spec.recipe.train_share), documents)
    lists = usable(labelled, spec.recipe)
    dev = dev_lists(spec.recipe, inputs)
    start = model_folder(spec.model, inputs)
    made: list[Any] = []

    def attempt(micro_batch: int) -> Any:
        made.clear()
        with seeded(seed):
            model = to_trainable(load_cross_encoder(start, spec.max_length, untrained_ok=True))
            made.append(model)
            evaluation = None
            if dev is not None:
                scorer = CrossEncoderScorer(model, documents)
                # Without a trained head the scores of the start are random.
                evaluation = DevEvaluation(lambda: dev.reranked(scorer), from_start=has_trained_head(start))
            return train(model, lists, spec.recipe, seed, micro_batch, progress, evaluation)

    fitted = until_it_fits(attempt, spec.recipe.batch_size)
    model = made[0]
    model.save_pretrained(str(out), create_model_card=False, safe_serialization=True)
    pairs = [(item.query, passage) for item in lists for passage in item.passages]
    notes = {
        "queries": len(lists),
        "pairs": len(pairs),
        "queries left out, whose passages are labelled alike": len(labelled) - len(lists),
        f"pairs cut at {model.max_seq_length} tokens": count_cut(model, pairs),
        **_training_notes(fitted, dev, spec.recipe),
    }
    return Usage(units=fitted.value.units, notes=notes)


def _tuned_token_encoder(spec: TuneRerankerSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train a copy of an encoder on lists with mined negatives, by MaxSim."""
    documents, recipe = read_corpus(inputs["corpus"]), spec.recipe
    lists, left_out = training_lists(inputs, recipe.train_share)
    dev = dev_lists(recipe, inputs)
    made: list[Any] = []

    def attempt(micro_batch: int) -> Any:
        made.clear()
        with seeded(seed):
            folder = model_folder(spec.model or "", inputs)
            prompts = spec.query_prompt, spec.document_prompt
            model = to_trainable(load_token_encoder(folder, spec.max_length, *prompts))
            made.append(model)
            evaluation = None
            if dev is not None:
                scorer = LateInteractionScorer(model, documents)
                evaluation = DevEvaluation(lambda: dev.reranked(scorer), from_start=True)
            settings = ContrastiveSettings(
                recipe.epochs, recipe.batch_size, recipe.rate(adapter=False), recipe.warmup, recipe.temperature,
                recipe.checkpoints, recipe.patience, micro_batch, seed,
            )  # fmt: skip
            return late_interaction.train(model, lists, settings, progress, evaluation)

    fitted = until_it_fits(attempt, recipe.batch_size)
    made[0].save_pretrained(str(out), create_model_card=False, safe_serialization=True)
    notes = {
        "lists": len(lists),
        **length_notes(lists),
        **({"queries left out, fewer than two passages are labelled": left_out} if left_out else {}),
        **_training_notes(fitted, dev, recipe),
    }
    return Usage(units=fitted.value.units, notes=notes)


def _tuned_causal_lm(spec: TuneRerankerSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Train an adapter for a causal language model that answers yes or no."""
    documents = read_corpus(inputs["corpus"])
    labelled = graded_lists(sampled(load_jsonl(inputs["labels"] / LABELS_FILE), spec.recipe.train_share), documents)
    lists = usable(labelled, spec.recipe)
    dev = dev_lists(spec.recipe, inputs)
    start = UntunedModel(
        CausalSettings(spec.model, spec.max_length, spec.instruction), model_folder(spec.model, inputs), documents
    )
    fitted, cut = tune_adapter(start, spec.recipe, lists, dev.reranked if dev is not None else None, (seed, progress))
    save_adapter(fitted.value.model, out, base_name(spec.model))
    notes = {
        "queries": len(lists),
        "pairs": sum(len(item.passages) for item in lists),
        f"pairs cut at {spec.max_length} tokens": cut,
        **_training_notes(fitted, dev, spec.recipe),
    }
    return Usage(units=fitted.value.units, notes=notes)


TRAININGS: dict[str, Callable[[TuneRerankerSpec, Inputs, Path, int, Progress], Usage]] = {
    "cross-encoder": _tuned_cross_encoder,
    "late-interaction": _tuned_token_encoder,
    "causal-lm": _tuned_causal_lm,
}
"""The training of each kind of reranker."""


def _training_notes(fitted: Fitted, dev: DevLists | None, recipe: RerankerRecipe) -> dict[str, Any]:
    return {
        **loss_notes(fitted.value.losses),
        **fitted.value.notes,
        **({"ndcg@10 on dev without a reranker": round(dev.as_they_come(), 4)} if dev is not None else {}),
        **fitted.notes,
        **share_notes(recipe.train_share),
    }


def graded_lists(rows: Sequence[Mapping[str, Any]], documents: Mapping[str, Document]) -> list[GradedPassages]:
    """A list for each query, as labelled."""
    return [
        GradedPassages(
            query,
            tuple(shown_passage(row, documents) for row in own),
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
    if recipe.recipe != "listwise":
        return list(lists)
    kept = [item for item in lists if len(set(item.scores)) > 1]
    if not kept:
        raise ValueError("listwise needs a query whose passages are labelled differently, and there is none; use bce")
    return kept


def dev_lists(recipe: RerankerRecipe, inputs: Inputs) -> DevLists | None:
    """The lists of dev; None if dev was not given, or has no judged query."""
    found = DevLists(recipe, inputs) if "dev_run" in inputs else None
    return found if found is not None and found.lists else None


class DevLists:
    """The lists that a dev evaluation reranks, with their judgements."""

    def __init__(self, recipe: RerankerRecipe, inputs: Inputs) -> None:
        queries, self.qrels = read_queries(inputs["dev_queries"]), read_judgements(inputs["dev_qrels"])
        run = read_run(inputs["dev_run"] / RUN_FILE, escaped=True)
        chosen = judged_sample(queries, self.qrels, recipe.dev_queries)
        self.lists = {key: run.get(key, [])[: recipe.dev_depth] for key in chosen}
        self.pools = pools_of(self.lists, queries, recipe.dev_depth)

    def reranked(self, scorer: PassageScorer) -> float:
        """Return the mean ndcg@10 of the lists in the order of their scores."""
        scores = scorer.score(self.pools)
        return self._mean(
            {key: reordered(hits, new) for (key, hits), new in zip(self.lists.items(), scores, strict=True)}
        )

    def as_they_come(self) -> float:
        """Return the mean ndcg@10 of the lists before reranking."""
        return self._mean(self.lists)

    def _mean(self, lists: Run) -> float:
        gains = (ndcg([doc_id for doc_id, _ in hits], self.qrels[key], DEV_CUTOFF) for key, hits in lists.items())
        return sum(gains) / len(lists)


def _first_guess(spec: Mapping[str, Any]) -> float:
    """Pairs or, for late interaction, lists a second."""
    tokens = {"causal-lm": 60, "late-interaction": 700}.get(str(spec.get("kind")), 2000)
    return tokens / float(setting(spec, "max_length", 256))


STAGE = Stage(
    run=tune_reranker,
    spec=TuneRerankerSpec,
    version=5,
    takes=Takes(("corpus",), ("labels", "triplets", "model", *DEV_INPUTS)),
    heavy=True,
    packages=TRAINING,
    rate=_first_guess,
    unit="passages",
    memory=TRAINS_ALL,
    speed=SpeedRule(kind=("kind", "recipe.recipe"), size=("max_length",)),
    more_packages=lambda spec, inputs: ("peft", "trl") if spec.kind == "causal-lm" else (),
)
