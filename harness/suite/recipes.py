"""How each part is tuned: the section `recipes` of a suite, and the changes that a candidate makes to it and to `data`.

A candidate changes single keys of these sections; the classes whose names end in ``Change`` are the same sections with
every key optional. This module must not know how anything is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from harness.suite.fields import Above0, Count, Place, Positive, Rate, Several, Share, Spec, Unique
from harness.suite.training_data import Instruct, Label, Mine

ABSTENTION = "Information not available in the provided context."

Part = Literal["retriever", "reranker", "generator"]
PARTS: tuple[Part, ...] = ("retriever", "reranker", "generator")
Teacher = Literal["bm25", "fusion", "cross-encoder", "llm"]


class Recipe(Spec):
    """What the recipes of all parts have in common.

    `train_share` is the share of the training queries that is used, chosen by a hash of the query: a smaller share
    lies inside a larger one.
    """

    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0


class RetrieverRecipe(Recipe):
    """How a bi-encoder is tuned.

    ``mnrl``: in-batch and mined negatives; ``raw``: the same loss and its training in plain PyTorch; ``triplet``: a
    margin between positive and mined negatives; ``distill``: the teacher's ranking of a list of `list_size`
    passages, the positive among them, with `contrastive_weight` of ``mnrl`` in it. `micro_batch_size` is how many texts
    of the greatest length are in memory at once, for batches beyond it. `lora_rank` 0 tunes all weights.
    `checkpoints` is how often dev is scored to choose a checkpoint; at 1 the last one is taken. `matryoshka` lists
    numbers of dimensions after which vectors are cut, too, for the loss: it is the mean of that of whole vectors and of
    each shorter one, so that less is lost where `pipeline.retriever.dimensions` cuts them.
    """

    recipe: Literal["mnrl", "triplet", "distill", "raw"] = "mnrl"
    epochs: Positive = 2
    batch_size: Several = 32
    learning_rate: Rate = 2e-5
    warmup: Share = 0.1
    max_length: Positive | None = None
    temperature: Above0 = 0.05
    micro_batch_size: Positive | None = None
    triplet_margin: Above0 = 0.2
    lora_rank: Count = 0
    checkpoints: Positive = 3
    teacher: Teacher = "fusion"
    teacher_model: Place | None = None
    teacher_temperature: Above0 = 0.3
    list_size: Several = 8
    contrastive_weight: Share = 0.1
    matryoshka: Annotated[tuple[Positive, ...], Unique] = ()

    @property
    def distills(self) -> bool:
        """Whether a teacher's labels are learned from."""
        return self.recipe == "distill"

    @model_validator(mode="after")
    def _named(self) -> RetrieverRecipe:
        if self.distills and self.teacher == "cross-encoder" and self.teacher_model is None:
            raise ValueError("'teacher: cross-encoder' needs 'teacher_model'")
        return self


class RerankerRecipe(Recipe):
    """How a reranker is tuned: the pipeline's, or a cross-encoder from `model`, or else late interaction.

    Late interaction is tuned on a copy of the retriever's encoder. ``bce``: each label on its own; ``listwise``: the
    order of the labels of a query (LambdaLoss); ``contrastive``: the positive against mined negatives and the other
    passages of the batch. ``auto`` is ``contrastive`` for late interaction, else ``bce``. Dev is evaluated
    `checkpoints` times, on the runs of `dev_queries` queries; training stops after `patience` evaluations without a
    gain. `max_length` counts the tokens that a cross-encoder from `model` reads. A causal language model gets a LoRA
    adapter of `lora_rank` on all linear layers, alpha twice the rank. `learning_rate` is 2e-5 if not given, and 2e-4
    for such an adapter.
    """

    recipe: Literal["auto", "bce", "listwise", "contrastive"] = "auto"
    model: Place | None = None
    epochs: Positive = 1
    batch_size: Positive = 32
    learning_rate: Rate | None = None
    lora_rank: Positive = 16
    warmup: Share = 0.1
    temperature: Above0 = 0.05
    max_length: Positive = 256
    checkpoints: Positive = 3
    patience: Positive = 3
    dev_queries: Positive = 50
    dev_depth: Several = 20

    def rate(self, adapter: bool) -> float:
        """Return the learning rate, of an adapter or of all weights."""
        return self.learning_rate if self.learning_rate is not None else (2e-4 if adapter else 2e-5)


class GeneratorRecipe(Recipe):
    """How a generator is tuned: LoRA on all linear layers; ``qlora`` holds the base in 4 bits (NF4).

    `batch_size` examples make a step. An example over `max_length` tokens is left out (the window of the model, if not
    given); more than `drop_limit` of them end the candidate. `optimizer: auto` is ``paged_adamw_8bit`` for ``qlora`` on
    CUDA, the only place where it runs, and ``adamw`` elsewhere.

    With `checkpoints` above 1, answers to `dev_queries` queries of dev are written before the training and that many
    times during it, and the adapter with the best utility is kept; at 1 the last one is.
    """

    recipe: Literal["lora", "qlora"] = "lora"
    epochs: Positive = 1
    batch_size: Positive = 8
    learning_rate: Rate = 2e-4
    warmup: Share = 0.03
    rank: Positive = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    optimizer: Literal["auto", "adamw", "paged_adamw_8bit"] = "auto"
    max_length: Positive | None = None
    drop_limit: Share = 0.05
    checkpoints: Positive = 1
    dev_queries: Positive = 24


class Recipes(Spec):
    retriever: RetrieverRecipe = RetrieverRecipe()
    reranker: RerankerRecipe = RerankerRecipe()
    generator: GeneratorRecipe = GeneratorRecipe()


S = TypeVar("S", bound=Spec)


def changed(section: S, change: Spec) -> S:
    """The section with the keys that a change sets; raises ValueError where they do not go together."""
    return type(section).model_validate({**section.model_dump(), **change.model_dump()})


class Change(Spec):
    """Base of the sections that a candidate changes keys of: written out, it holds the keys that are set."""

    @model_serializer(mode="wrap")
    def _only_set(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in whole(self).items() if name in self.model_fields_set}


def change_of(section: type[Spec], **sections: Any) -> Any:
    """A section with every key optional, under the section's own types; no rule that needs all keys is checked.

    `sections` are the types of keys that hold sections, whose keys are optional in their turn.
    """
    fields: dict[str, Any] = {
        name: (Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation, None)
        for name, info in section.model_fields.items()
    }
    # A section that may be null is null unless it is set; the others are empty.
    fields |= {name: (kind, kind() if isinstance(kind, type) else None) for name, kind in sections.items()}
    return create_model(
        f"{section.__name__}Change", __base__=Change, __doc__=f"Keys of `{section.__name__}`.", **fields
    )


if TYPE_CHECKING:
    RetrieverChange: TypeAlias = Spec
    RerankerChange: TypeAlias = Spec
    GeneratorChange: TypeAlias = Spec
    MineChange: TypeAlias = Spec
    LabelChange: TypeAlias = Spec
    InstructChange: TypeAlias = Spec
else:
    RetrieverChange = change_of(RetrieverRecipe)
    RerankerChange = change_of(RerankerRecipe)
    GeneratorChange = change_of(GeneratorRecipe)
    MineChange = change_of(Mine)
    LabelChange = change_of(Label)
    InstructChange = change_of(Instruct)
