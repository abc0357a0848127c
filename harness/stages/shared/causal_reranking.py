"""What the stages `rerank` and `tune_reranker` do for a causal language model; see `models.causal_rerankers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.errors import ConfigError
from harness.models.causal_rerankers import CausalReranker, load_causal_reranker, score_prompts
from harness.models.loaders import torch_device
from harness.stages.shared.common import base_name, model_folder, seeded
from harness.suite.recipes import RerankerRecipe
from harness.training import causal_rerankers as training
from harness.training.generators import load_base, load_tokenizer, save_adapter
from harness.training.memory import until_it_fits
from harness.training.rerankers import GradedPassages
from harness.training.watch import loss_notes
from harness.values.records import Progress

MICRO_BATCH_ON_CPU = 4


class CausalSettings(NamedTuple):
    """The untuned causal language model, how many tokens of query and passage it reads, and the instruction."""

    model: str
    max_length: int
    instruction: str


class DevRanking(Protocol):
    """The pairs of the lists of dev, and the score of these lists in the order of new scores of the pairs."""

    @property
    def pairs(self) -> Sequence[tuple[str, str]]: ...

    def ordered_by(self, scores: Sequence[float]) -> float: ...


class TunedAdapter(NamedTuple):
    """Notes for the ledger, and how many prompts were trained on in all epochs."""

    notes: dict[str, Any]
    units: int


def causal_reranker(settings: CausalSettings, inputs: Mapping[str, Path]) -> CausalReranker:
    """Load the model (the input `model` is its plain form, if it was converted) with the input `adapter`, if given.

    Raises ConfigError, with the name of the model, if it cannot be used as a reranker.
    """
    folder = model_folder(settings.model, inputs)
    return _named(
        settings.model,
        lambda: load_causal_reranker(folder, settings.max_length, settings.instruction, inputs.get("adapter")),
    )


def tune_adapter(
    settings: CausalSettings,
    recipe: RerankerRecipe,
    lists: Sequence[GradedPassages],
    dev: DevRanking | None,
    inputs: Mapping[str, Path],
    out: Path,
    run: tuple[int, Progress],
) -> TunedAdapter:
    """Train an adapter on labelled passages and write it to `out`; `run` is the seed and where steps are reported.

    Raises ValueError for a recipe that is not pointwise.
    """
    if recipe.recipe not in ("auto", "bce"):
        raise ValueError(
            f"recipe {recipe.recipe} does not tune a causal-lm reranker; use recipes.reranker.recipe: auto"
        )
    seed, progress = run
    folder = model_folder(settings.model, inputs)
    lora = training.as_generator_recipe(recipe)
    tokenizer, _, _ = load_tokenizer(folder)
    pairs = pairs_in(lists)
    labels = [score for item in lists for score in item.scores]
    cut: list[int] = []

    def attempt(micro_batch: int) -> training.TunedReranker:
        with seeded(seed):
            model = load_base(folder, lora).eval()
            reranker = _named(
                settings.model,
                lambda: CausalReranker(model, tokenizer, settings.max_length, settings.instruction, folder),
            )
            prompts = reranker.prompts(pairs)
            cut.append(prompts.cut)
            rows = [training.LabelledPrompt(*row) for row in zip(prompts.coded, labels, strict=True)]
            steps = training.Run(seed, micro_batch, progress)
            return training.train(model, rows, reranker.answers, recipe, steps, _on_dev(reranker, dev))

    first = recipe.batch_size if torch_device() == "cuda" else MICRO_BATCH_ON_CPU
    fitted = until_it_fits(attempt, first)
    tuned: training.TunedReranker = fitted.value
    save_adapter(tuned.model, out, base_name(settings.model))
    notes = {
        f"pairs cut at {settings.max_length} tokens": cut[-1], **loss_notes(tuned.losses), **tuned.notes, **fitted.notes
    }  # fmt: skip
    return TunedAdapter(notes, tuned.units)


def pairs_in(lists: Sequence[GradedPassages]) -> list[tuple[str, str]]:
    """Return the pairs of query and passage of labelled lists, list after list."""
    return [(item.query, passage) for item in lists for passage in item.passages]


def _on_dev(reranker: CausalReranker, dev: DevRanking | None) -> training.Measure | None:
    """Return a function that scores a model on dev; the prompts of dev are made once."""
    if dev is None:
        return None
    ranking, prompts = dev, reranker.prompts(dev.pairs).coded
    return lambda model: ranking.ordered_by(score_prompts(model, reranker.tokenizer, prompts, reranker.answers))


def _named(model: str, make: Callable[[], CausalReranker]) -> CausalReranker:
    """Call `make`; problems that name no place get the name of the model."""
    try:
        return make()
    except ConfigError as error:
        raise ConfigError([replace(problem, where=problem.where or model) for problem in error.problems]) from None
