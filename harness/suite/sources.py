"""What a suite measures on: its data set, which questions of it are asked, and what must not be forgotten."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.suite.fields import Positive, Seed, Share, Spec
from harness.text import parse_language


class Grouping(Spec):
    """Where the group of a query comes from: a prefix of its documents' ids, or a field of its metadata."""

    doc_id_prefix: Annotated[str, Field(min_length=1)] | None = None
    metadata: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Grouping:
        if (self.doc_id_prefix is None) == (self.metadata is None):
            raise ValueError("give either 'doc_id_prefix' or 'metadata'")
        return self


class Dataset(Spec):
    """A BEIR folder (`path`), or documentation built from an installed package (`builder`).

    `language` is a code of ISO 639, several joined by ``+``, or ``auto``: told from the corpus.
    """

    OF_BUILDERS: ClassVar[tuple[str, ...]] = ("split_seed", "symbols", "unanswerable")

    path: str | None = None
    builder: Literal["scipy-api"] | None = None
    group: Grouping | None = None
    # A bare `no`, for Norwegian, is false in YAML.
    language: Annotated[
        str, BeforeValidator(lambda text: "no" if text is False else text), AfterValidator(parse_language)
    ] = "auto"
    symbols: Positive | None = None
    unanswerable: Share = 0.15
    split_seed: Seed = 0

    @model_validator(mode="after")
    def _one(self) -> Dataset:
        if (self.path is None) == (self.builder is None):
            raise ValueError("give either 'path' or 'builder'")
        if self.path is not None:
            fields = type(self).model_fields
            used = [name for name in self.OF_BUILDERS if getattr(self, name) != fields[name].default]
            if used:
                raise ValueError(f"{', '.join(used)}: only for a 'builder'")
        return self


class Contexts(Spec):
    """Passages chosen from the judgements instead of retrieved, so that generators are tested apart from the retriever.

    A question is shown its relevant passage; the share `lacking` of the answerable ones is shown another passage of the
    same group instead and must be declined. With `own_unanswerable`, questions that the data set itself calls
    unanswerable are asked too, with the passage they were written against.
    """

    lacking: Share = 0.5
    own_unanswerable: bool = False


class Evaluate(Spec):
    """Which split is scored; answers are written for a sample of `generation_queries` of it, all if not given."""

    split: Literal["dev", "test"] = "test"
    generation_queries: Positive | None = None
    contexts: Contexts | None = None
    probe_queries: Positive = 100
    probe_generations: Positive = 30


class Forgetting(Spec):
    """Another data set that every tuned model is scored on, so that what tuning unlearned is seen.

    Retrieval is measured on all judged questions of `split`, answers on `generation_queries` of them; 0 writes none.
    """

    dataset: Dataset
    split: Literal["dev", "test"] = "test"
    generation_queries: Annotated[int, Field(ge=0, strict=True)] = 0
