"""How training data is made: the section `data` of a suite. This module must not know how anything is computed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.suite.fields import Count, Place, Positive, Seed, Share, Spec, Unique

QUERY_KINDS = ("question", "keyword", "claim")
QueryKind = Literal["question", "keyword", "claim"]
Pairs = Literal["synthetic", "judged", "both", "structure"]
Labeler = Literal["mined", "bm25", "fusion", "cross-encoder", "llm"]


def _check_model(by: str, model: str | None) -> None:
    if by == "cross-encoder" and model is None:
        raise ValueError("'by: cross-encoder' needs 'model'")
    if by != "cross-encoder" and model is not None:
        raise ValueError(f"'model' belongs to 'by: cross-encoder', not to 'by: {by}'")


class RoundTrip(Spec):
    """Keep a synthetic query if one of these retrievers has its document among the first k.

    ``untuned`` and ``late-interaction`` are the untuned encoder, by a vector a text or a vector a token; ``either`` is
    bm25 or untuned.
    """

    k: Positive = 20
    by: Literal["bm25", "untuned", "either", "late-interaction"] = "either"


class Synthesize(Spec):
    """`test_documents` says whether passages that are relevant for queries of the scored split may be written about.

    `leakage` is the share of common word trigrams (or of equal words, for the shortest queries) at which a synthetic
    query is too near a dev or test query and is dropped. `examples` are those of the prompt: built in, or out of the
    split ``train``, the user's own queries with their passages.
    """

    queries_per_document: Positive = 2
    kinds: Annotated[tuple[QueryKind, ...], Unique, Field(min_length=1)] = ("question", "keyword")
    round_trip: RoundTrip | None = RoundTrip()
    test_documents: bool = True
    max_documents: Positive | None = None
    passage_tokens: Positive = 160
    max_new_tokens: Positive = 24
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    batch_size: Positive | None = None
    leakage: Share = 0.6
    examples: Literal["built-in", "train"] = "built-in"


class Relabel(Spec):
    """Ask about every mined negative whether it is relevant after all, and drop those scored at `threshold` or more.

    `model` is the cross-encoder; an LLM is the one of the role `labeler`.
    """

    by: Literal["cross-encoder", "llm"]
    model: Place | None = None
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
    model: Place | None = None
    use_suggested: bool = False
    passage_tokens: Positive = 160
    max_new_tokens: Positive = 80
    batch_size: Positive | None = None
    failure_limit: Share = 0.5

    @model_validator(mode="after")
    def _named(self) -> Label:
        _check_model(self.by, self.model)
        return self


class Instruct(Spec):
    """Examples for the generator: a query, passages as the pipeline retrieves them, the answer.

    `without_oracle` is the share of examples whose relevant passages were taken out, `unanswerable` the share of
    queries that the dataset itself calls unanswerable, as far as it has them; both must be declined. `answers` are
    people's, or written by the LLM of the role `synthesizer` from the relevant passage. The other passages are those of
    the candidate's pipeline as it is so far, or of the untuned one: then candidates share the training.
    """

    answers: Literal["references", "llm"] = "references"
    retrieved_by: Literal["pipeline", "untuned"] = "pipeline"
    examples: Positive | None = None
    distractors: Count = 2
    without_oracle: Share = 0.2
    unanswerable: Share = 0.0
    passage_tokens: Positive = 160
    max_new_tokens: Positive = 48
    batch_size: Positive | None = None

    @model_validator(mode="after")
    def _some_answered(self) -> Instruct:
        if self.without_oracle + self.unanswerable >= 1:
            raise ValueError(
                "'without_oracle' and 'unanswerable' must add up to less than 1, or no example is answered"
            )
        return self


class Data(Spec):
    """Training pairs are ``synthetic`` (written about passages), ``judged`` (of the split train), or ``both``.

    ``structure``: headings with their texts, and sentences with the passages that they are taken out of; no LLM is
    asked. Of `synthesize`, the passages used and the filters apply to these too.
    """

    synthesize: Synthesize = Synthesize()
    mine: Mine = Mine()
    label: Label = Label()
    instruct: Instruct = Instruct()
    pairs: Pairs = "synthetic"
    data_seed: Seed = 0
