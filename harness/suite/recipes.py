"""How training data is made and how each part is tuned: the sections `data` and `recipes` of a suite.

A candidate changes single keys of these sections; the classes whose names end in ``Change`` are the same sections with
every key optional. This module must not know how anything is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from harness.suite.fields import Above0, Count, Positive, Rate, Seed, Several, Share, Spec, Unique

QUERY_KINDS = ("question", "keyword", "claim")
ABSTENTION = "Information not available in the provided context."

Part = Literal["retriever", "reranker", "generator"]
PARTS: tuple[Part, ...] = ("retriever", "reranker", "generator")
QueryKind = Literal["question", "keyword", "claim"]
Pairs = Literal["synthetic", "judged", "both"]
Labeler = Literal["mined", "bm25", "fusion", "cross-encoder", "llm"]
Teacher = Literal["bm25", "fusion", "cross-encoder", "llm"]


def _check_model(by: str, model: str | None) -> None:
    if by == "cross-encoder" and model is None:
        raise ValueError("'by: cross-encoder' needs 'model'")
    if by != "cross-encoder" and model is not None:
        raise ValueError(f"'model' belongs to 'by: cross-encoder', not to 'by: {by}'")


class RoundTrip(Spec):
    """Keep a synthetic query if one of these retrievers has its document among the first k."""

    k: Positive = 20
    by: Literal["bm25", "untuned", "either"] = "either"


class Synthesize(Spec):
    """`test_documents` says whether passages that are relevant for queries of the scored split may be written about.

    `leakage` is the share of common word trigrams (or of equal words, for the shortest queries) at which a synthetic
    query is too near a dev or test query and is dropped.
    """

    queries_per_document: Positive = 2
    kinds: Annotated[tuple[QueryKind, ...], Unique, Field(min_length=1)] = ("question", "keyword")
    round_trip: RoundTrip | None = RoundTrip()
    test_documents: bool = True
    max_documents: Positive | None = None
    passage_tokens: Positive = 160
    max_new_tokens: Positive = 24
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    batch_size: Positive = 16
    leakage: Share = 0.6


class Relabel(Spec):
    """Ask about every mined negative whether it is relevant after all, and drop those scored at `threshold` or more.

    `model` is the cross-encoder; an LLM is the one of the role `labeler`.
    """

    by: Literal["cross-encoder", "llm"]
    model: str | None = None
    threshold: Share = 0.5

    @model_validator(mode="after")
    def _named(self) -> Relabel:
        _check_model(self.by, self.model)
        return self


class Mine(Spec):
    """Negatives a pair: `hard` out of the retriever's first `depth`, `random` out of the corpus.

    `short` says what becomes of a pair with too few hard negatives: filled up with random ones, or dropped.
    """

    hard: Count = 1
    random: Count = 0
    relative_margin: Share = 0.05
    depth: Positive = 50
    short: Literal["fill", "drop"] = "fill"
    relabel: Relabel | None = None


class Label(Spec):
    """Who says how relevant a passage is, from 0 to 1.

    ``mined`` gives a positive 1 and a mined negative 0; ``bm25`` is its score, scaled to the list; ``fusion`` is the
    mean of bm25 and the untuned retriever, each scaled to its list; ``cross-encoder`` is `model`; ``llm`` is the LLM of
    the role `labeler`, whose labels that cannot be read are failures: more than `failure_limit` of them end the
    candidate.
    """

    by: Labeler = "mined"
    model: str | None = None
    use_suggested: bool = False
    passage_tokens: Positive = 160
    max_new_tokens: Positive = 80
    batch_size: Positive = 16
    failure_limit: Share = 0.5

    @model_validator(mode="after")
    def _named(self) -> Label:
        _check_model(self.by, self.model)
        return self


class Instruct(Spec):
    """Examples for the generator: a question, passages as the pipeline retrieves them, the answer.

    `without_oracle` is the share of examples whose relevant passages were taken out, `unanswerable` the share of
    questions that the dataset itself calls unanswerable, as far as it has them; both must be declined. `answers` are
    people's, or written by the LLM of the role `synthesizer` from the relevant passage.
    """

    answers: Literal["references", "llm"] = "references"
    examples: Positive | None = None
    distractors: Count = 2
    without_oracle: Share = 0.2
    unanswerable: Share = 0.0
    passage_tokens: Positive = 160
    max_new_tokens: Positive = 48
    batch_size: Positive = 8

    @model_validator(mode="after")
    def _some_answered(self) -> Instruct:
        if self.without_oracle + self.unanswerable >= 1:
            raise ValueError(
                "'without_oracle' and 'unanswerable' must add up to less than 1, or no example is answered"
            )
        return self


class Data(Spec):
    synthesize: Synthesize = Synthesize()
    mine: Mine = Mine()
    label: Label = Label()
    instruct: Instruct = Instruct()
    pairs: Pairs = "synthetic"
    data_seed: Seed = 0


class Recipe(Spec):
    """What the recipes of all parts have in common.

    `train_share` is the share of the training questions that is used, chosen by a hash of the question: a smaller share
    lies inside a larger one.
    """

    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0


class RetrieverRecipe(Recipe):
    """How a bi-encoder is tuned.

    ``mnrl``: in-batch and mined negatives; ``raw``: the same loss and its training in plain PyTorch; ``triplet``: a
    margin between positive and mined negatives; ``distill``: the teacher's ranking of a list of `list_size`
    passages, the positive among them, with `contrastive_weight` of ``mnrl`` in it. `micro_batch_size` is how many texts
    are in memory at once, for batches beyond it. `lora_rank` 0 tunes all weights. `checkpoints` is
    how often dev is scored to choose a checkpoint; at 1 the last one is taken.
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
    teacher_model: str | None = None
    teacher_temperature: Above0 = 0.3
    list_size: Several = 8
    contrastive_weight: Share = 0.1

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
    gain. `max_length` counts the tokens that a cross-encoder from `model` reads.
    """

    recipe: Literal["auto", "bce", "listwise", "contrastive"] = "auto"
    model: str | None = None
    epochs: Positive = 1
    batch_size: Positive = 32
    learning_rate: Rate = 2e-5
    warmup: Share = 0.1
    temperature: Above0 = 0.05
    max_length: Positive = 256
    checkpoints: Positive = 3
    patience: Positive = 3
    dev_queries: Positive = 50
    dev_depth: Several = 20


class GeneratorRecipe(Recipe):
    """How a generator is tuned: LoRA on all linear layers; ``qlora`` holds the base in 4 bits (NF4).

    `batch_size` examples make a step. An example over `max_length` tokens is left out (the window of the model, if not
    given); more than `drop_limit` of them end the candidate. `optimizer: auto` is ``paged_adamw_8bit`` for ``qlora`` on
    CUDA, the only place where it runs, and ``adamw`` elsewhere.
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
