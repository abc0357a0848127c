"""The section `pipeline` of a suite: the parts that answer a query, and the changes that a candidate makes to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from harness.suite.fields import Count, Place, Positive, Share, Spec
from harness.suite.local_models import DType, LocalModel, ServedDType
from harness.suite.recipes import ABSTENTION, Change, change_of
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint, ServedModel, check_kind
from harness.suite.vector_indexes import VectorIndex

RetrieverKind = Literal["dense", "late-interaction", "sparse", "bm25", "endpoint"]
RerankerKind = Literal["cross-encoder", "late-interaction", "causal-lm", "endpoint"]
OF_ONE_KIND: dict[str, RerankerKind] = {
    "instruction": "causal-lm", "precision": "late-interaction", "query_prompt": "late-interaction",
    "document_prompt": "late-interaction", "endpoint": "endpoint",
}  # fmt: skip
"""Settings of a reranker that have a meaning for one kind alone."""
ContextOrder = Literal["best-first", "best-last"]
"""Where the best passage of a prompt stands; the last one stands next to the question."""
Conversation = Literal["last", "concatenate", "rewrite"]
"""What a query with earlier turns is searched with."""
ON_DEV = "dev"
"""A weight that is chosen on the dev split."""


def _is_weight(value: object) -> bool:
    return value == ON_DEV or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)


def _weight(value: object) -> object:
    """Check a weight before its types are tried one by one, whose messages would name each of them."""
    if not _is_weight(value):
        raise ValueError("should be 'dev' or a number from 0 to 1")
    return value


def _blend(value: object) -> object:
    if value is not False and not _is_weight(value):
        raise ValueError("should be 'dev', a number from 0 to 1, or false")
    return value


Weight = Annotated[Literal["dev"] | Share, BeforeValidator(_weight)]
Blend = Annotated[Literal["dev"] | Literal[False] | Share, BeforeValidator(_blend)]


class Chunking(Spec):
    """How documents are cut into the passages that are indexed and shown.

    ``tokens``: windows of so many tokens; ``sentences``: whole sentences and lines, as many as fit into these;
    ``headings``: the same, and no chunk crosses a Markdown heading. Tokens are those of the retriever's encoder, words
    if the retriever is bm25; the title and the headings above a chunk count among them. A chunk repeats the last
    `overlap` tokens of the one before it, or the sentences that fit into these.
    """

    by: Literal["tokens", "sentences", "headings"] = "tokens"
    tokens: Annotated[int, Field(ge=16, strict=True)] = 256
    overlap: Count = 0

    @model_validator(mode="after")
    def _advances(self) -> Chunking:
        if 2 * self.overlap > self.tokens:
            raise ValueError(f"'overlap' may be at most half of the {self.tokens} tokens of a chunk")
        return self


VECTORS: tuple[RetrieverKind, ...] = ("dense", "endpoint")
"""Kinds that have one vector for each text."""


class Encoder(Spec):
    """A model that turns texts into vectors, how many tokens of a text it reads, and what it is given before a text."""

    model: Place = "embedded:all-minilm-l6-v2"
    max_length: Positive = 256
    query_prompt: str = ""
    document_prompt: str = ""


class Retriever(Encoder):
    """The first stage.

    ``dense``: a vector a text. ``late-interaction``: a vector a token, scored by MaxSim (Khattab and Zaharia, SIGIR
    2020). ``sparse``: weights of words that a model learned (SPLADE). ``bm25``: words, no model. `bm25_weight` mixes
    the scores of bm25 in, each list standardised; ``dev``: the weight that is best on dev.

    `dimensions` cuts dense vectors after so many numbers. `precision` is that of the stored vectors: float32 if dense
    and float16 if of tokens, unless given. Of int8 and binary vectors `rescore` times as many as are wanted are scored
    again with more of the query's precision; 0: none. `index` searches dense vectors as a vector database does; null:
    every vector is compared, exactly. `dtype` is what the encoder computes in: ``int8`` means its linear layers.
    Vectors come out in float32.

    ``endpoint``: dense vectors of a model that the server of `endpoint` runs. Training data is mined with `model`.
    """

    kind: RetrieverKind = "dense"
    bm25_weight: Weight = 0.0
    dimensions: Positive | None = None
    precision: Literal["float32", "float16", "int8", "binary"] | None = None
    rescore: Count = 4
    index: VectorIndex | None = None
    dtype: DType = "auto"
    endpoint: EncoderEndpoint | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder alone: what is tuned, and what training data is mined with."""
        return Encoder(**{name: getattr(self, name) for name in Encoder.model_fields})

    @model_validator(mode="after")
    def _fits_kind(self) -> Retriever:
        check_kind(self.kind, self.endpoint)
        if self.dimensions is not None and self.kind not in VECTORS:
            raise ValueError(f"'dimensions' cuts dense vectors, and the kind is {self.kind}")
        whole = ("float32", "float16", "int8", "binary")
        allowed = {"dense": whole, "endpoint": whole, "late-interaction": ("float16", "int8")}
        if self.precision is not None and self.precision not in allowed.get(self.kind, ()):
            names = " or ".join(allowed.get(self.kind, ())) or "nothing"
            raise ValueError(f"'precision' may be {names} for kind {self.kind}")
        if self.index is not None and self.kind not in VECTORS:
            raise ValueError(f"'index' holds dense vectors, and the kind is {self.kind}")
        if self.kind == "endpoint" and self.dtype != "auto":
            raise ValueError("'dtype' has no meaning for kind endpoint: the server decides")
        if self.kind == "bm25" and self.bm25_weight:
            raise ValueError("'bm25_weight' mixes bm25 into another kind; kind bm25 is bm25 alone")
        return self


class ServedRetriever(Retriever):
    """A retriever as stages have it: the number type is the one of the machine, so that it is part of keys."""

    dtype: ServedDType = "float32"


class DataEncoder(Encoder):
    """The encoder that training data is made with, as stages have it: its number type is the one of the machine."""

    dtype: ServedDType = "float32"


def _served(value: object) -> object:
    if isinstance(value, Encoder) and type(value) in (Encoder, Retriever):
        return value.model_dump(exclude_defaults=True)
    return value


Served = Annotated[ServedRetriever, BeforeValidator(_served)]
ServedEncoder = Annotated[DataEncoder, BeforeValidator(_served)]


class Reranker(Spec):
    """What reorders the first `rerank_depth` documents of a run.

    ``cross-encoder``: a model with a trained head. ``late-interaction``: MaxSim over token vectors, of `model` or, if
    it is not given, of the retriever's own encoder (tuned, if that is). ``causal-lm``: the probability that a language
    model answers yes. `blend` is the weight of its score in the final one, the rest being the score of the first stage,
    each list standardised; ``dev``: the weight that is best on dev; false: its score alone. `precision` is that of
    token vectors kept with the index; null: they are computed for the documents that are reranked. `dtype` is as in the
    retriever. ``endpoint``: a model that the server of `endpoint` runs.
    """

    kind: RerankerKind = "cross-encoder"
    model: Place | None = None
    max_length: Positive = 256
    query_prompt: str = ""
    document_prompt: str = ""
    blend: Blend = "dev"
    precision: Literal["float16", "int8"] | None = "float16"
    instruction: str = ""
    dtype: DType = "auto"
    endpoint: RerankerEndpoint | None = None

    @model_serializer(mode="wrap")
    def _only_set(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Written out, it holds the keys that are set: the others belong to other kinds, or to the retriever."""
        return {name: value for name, value in whole(self).items() if name in self.model_fields_set}

    @model_validator(mode="after")
    def _fits_kind(self) -> Reranker:
        check_kind(self.kind, self.endpoint)
        if self.endpoint is not None and self.model is not None:
            raise ValueError("'model' has no meaning for kind endpoint; name it in 'endpoint'")
        if self.model is None and self.kind not in ("late-interaction", "endpoint"):
            raise ValueError(f"kind {self.kind} needs 'model'; kind late-interaction takes the retriever's")
        for name, kind in OF_ONE_KIND.items():
            # A default that is written out says nothing.
            if kind != self.kind and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name!r} has no meaning for kind {self.kind}")
        return self


class Generator(LocalModel):
    """`passage_tokens` cuts every passage of the prompt; `few_shot` counts the examples of the row `few-shot`.

    `batch_size` bounds the prompts of a batch; None leaves the size to `max_tokens_per_batch`. `shots` solved examples
    out of the train split are shown before every question. `history_tokens` bounds the earlier turns of a conversation
    that a prompt shows, the oldest are dropped first; 0 shows none. `thinking` switches thoughts by the chat template
    of a model that runs here; None leaves them to the template. The model ``llm:generator`` is the one that
    `llm.generator` names.
    """

    model: Place = "embedded:smollm2-135m-instruct"
    max_new_tokens: Positive = 48
    passage_tokens: Positive = 160
    batch_size: Positive | None = None
    few_shot: Positive = 3
    shots: Count = 0
    history_tokens: Count = 512
    thinking: Annotated[bool, Field(strict=True)] | None = False
    instruction: str = (
        "Answer the question from the passages, as briefly as possible. "
        f"If the passages do not hold the answer, write exactly: {ABSTENTION}"
    )


class Pipeline(Spec):
    """The parts that every candidate starts from.

    Without `chunking`, documents are indexed whole. Runs have `depth` passages for a query; a reranker reorders the
    first `rerank_depth` of them; the generator is shown the first `context`, the best of them first or last.

    `conversation` says what a query with earlier turns is searched and reranked with. ``last``: the query alone.
    ``concatenate``: what the user said before, and the query; the oldest turns are left out where they would truncate
    the query. ``rewrite``: the query as the role `rewriter` words it to be understood alone. A query without earlier
    turns is the same in all three.
    """

    chunking: Chunking | None = None
    retriever: Retriever = Retriever()
    reranker: Reranker | None = None
    generator: Generator | None = Generator()
    depth: Positive = 100
    rerank_depth: Positive = 50
    context: Positive = 5
    context_order: ContextOrder = "best-first"
    fuse_k: Positive = 60
    conversation: Conversation = "last"


if TYPE_CHECKING:
    PipelineChange: TypeAlias = Change
else:
    PipelineChange = change_of(
        Pipeline,
        chunking=change_of(Chunking) | None,
        retriever=change_of(Retriever),
        reranker=change_of(Reranker) | None,
        generator=change_of(Generator),
    )


def changed_pipeline(pipeline: Pipeline, change: Change) -> Pipeline:
    """Return the pipeline with the keys that a change sets, at every depth.

    A reranker of another kind takes nothing over from the pipeline's, a retriever of another kind no endpoint. Raises
    ValidationError where settings do not go together.
    """
    whole = pipeline.model_dump(exclude_unset=True)
    for name in change.model_fields_set:
        value = getattr(change, name)
        if isinstance(value, Change):
            base, own = getattr(pipeline, name), value.model_dump()
            fresh = base is None or (name == "reranker" and own.get("kind", base.kind) != base.kind)
            kept = {} if fresh else base.model_dump(exclude_unset=True)
            if own.get("kind", "endpoint") != "endpoint":
                kept.pop("endpoint", None)
            value = {**kept, **own}
        whole[name] = value
    return type(pipeline).model_validate(whole)


def settings_of(change: Spec, at: str = "") -> list[str]:
    """Return the settings that a change sets, as ``reranker.kind=late-interaction``, in the order of the schema."""
    listed: list[str] = []
    for name in type(change).model_fields:
        if name in change.model_fields_set:
            value = getattr(change, name)
            if isinstance(value, Spec) and not isinstance(value, ServedModel):
                listed += settings_of(value, f"{at}{name}.")
            else:
                listed.append(f"{at}{name}={_shown(value)}")
    return listed


def _shown(value: Any) -> str:
    if isinstance(value, ServedModel):
        return value.label
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_shown, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
