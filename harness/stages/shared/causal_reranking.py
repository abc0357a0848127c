"""What the stages `rerank` and `tune_reranker` do for a causal language model; see `models.causal_rerankers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError
from harness.models.causal_rerankers import CausalReranker, load_causal_reranker
from harness.models.loaders import torch_device
from harness.stages.shared.common import seeded
from harness.stages.shared.passage_scorers import PassageScorer, Pool, pairs_of
from harness.suite.local_models import ServedDType
from harness.suite.recipes import RerankerRecipe
from harness.training import causal_rerankers as training
from harness.training.checkpoints import DevEvaluation
from harness.training.generators import load_base, load_tokenizer
from harness.training.memory import Fitted, until_it_fits
from harness.training.rerankers import GradedPassages
from harness.values.records import Document, Progress

MICRO_BATCH_ON_CPU = 4


class CausalSettings(NamedTuple):
    """The untuned causal language model, how many tokens of query and passage it reads, and the instruction."""

    model: str
    max_length: int
    instruction: str


class UntunedModel(NamedTuple):
    """What a training starts from: the settings, the folder of the model, and the texts of the corpus."""

    settings: CausalSettings
    folder: Path
    documents: Mapping[str, Document]


def _silent(done: int, total: int) -> None:
    pass


class CausalScorer:
    """A causal language model; its scores are logits of yes less those of no."""

    def __init__(self, reranker: CausalReranker, documents: Mapping[str, Document]) -> None:
        self.reranker, self.documents = reranker, documents

    def score(self, pools: Sequence[Pool], progress: Progress = _silent) -> list[list[float]]:
        """Return the scores of the documents of each pool."""
        scores = iter(self.reranker.score(pairs_of(pools, self.documents), progress))
        return [[next(scores) for _ in pool.doc_ids] for pool in pools]

    def notes(self, pools: Sequence[Pool]) -> dict[str, Any]:
        """Return how many pairs are cut."""
        cut = self.reranker.count_cut(pairs_of(pools, self.documents))
        return {f"pairs cut at {self.reranker.max_length} tokens": cut}


def causal_reranker(
    settings: CausalSettings, folder: Path, adapter: Path | None, dtype: ServedDType = "float32"
) -> CausalReranker:
    """Load the model of a folder, with an adapter, to serve with.

    Raises ConfigError, with the model's name, if it is no reranker.
    """
    return _named(
        settings.model,
        lambda: load_causal_reranker(folder, settings.max_length, settings.instruction, adapter, dtype),
    )


def tune_adapter(
    start: UntunedModel,
    recipe: RerankerRecipe,
    lists: Sequence[GradedPassages],
    on_dev: Callable[[PassageScorer], float] | None,
    run: tuple[int, Progress],
) -> tuple[Fitted, int]:
    """Train an adapter on labelled passages; return it and how many pairs were cut.

    `on_dev` scores a model on dev, `run` is the seed and where steps are reported. Raises ValueError for a recipe that
    is not pointwise.
    """
    if recipe.recipe not in ("auto", "bce"):
        raise ValueError(f"recipe {recipe.recipe} does not tune a reranker of kind causal-lm; use recipe: auto")
    settings, folder, documents = start
    lora, (tokenizer, _, _) = training.as_generator_recipe(recipe), load_tokenizer(folder)
    pairs = [(item.query, passage) for item in lists for passage in item.passages]
    labels = [score for item in lists for score in item.scores]
    cut = [0]

    def attempt(micro_batch: int) -> training.TunedReranker:
        with seeded(run[0]):
            model = load_base(folder, lora).eval()
            reranker = _named(
                settings.model,
                lambda: CausalReranker(model, tokenizer, settings.max_length, settings.instruction, folder),
            )
            prompts = reranker.prompts(pairs)
            cut[0] = prompts.cut
            rows = [training.LabelledPrompt(*row) for row in zip(prompts.coded, labels, strict=True)]
            dev = None
            if on_dev is not None:
                # The adapter is put into the model itself, so that this scores what is trained.
                scorer = CausalScorer(reranker, documents)
                dev = DevEvaluation(lambda: on_dev(scorer), from_start=True)
            steps = training.Run(run[0], micro_batch, run[1])
            return training.train(model, rows, reranker.answers, recipe, steps, dev)

    first = recipe.batch_size if torch_device() == "cuda" else MICRO_BATCH_ON_CPU
    return until_it_fits(attempt, first), cut[0]


def _named(model: str, make: Callable[[], CausalReranker]) -> CausalReranker:
    """Call `make`; problems that name no place get the name of the model."""
    try:
        return make()
    except ConfigError as error:
        raise ConfigError([replace(problem, where=problem.where or model) for problem in error.problems]) from None
