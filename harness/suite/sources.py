"""What a suite measures on: its dataset, which queries of it are used, and what must not be forgotten."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.suite.fields import Place, Positive, Seed, Share, Spec, Unique
from harness.text import parse_language

QuestionAbout = Literal["summary", "argument"]
ColumnPart = Literal["id", "text", "title", "question", "answer", "context"]
"""What a column of a foreign table can hold."""


class Grouping(Spec):
    """Where the group of a query comes from: a prefix of its documents' ids, or a field of its metadata."""

    doc_id_prefix: Annotated[str, Field(min_length=1)] | None = None
    metadata: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Grouping:
        if (self.doc_id_prefix is None) == (self.metadata is None):
            raise ValueError("give either 'doc_id_prefix' or 'metadata'")
        return self


class Repairs(Spec):
    """How much of a folder may be repaired while it is read, where that changes what is measured.

    `share` is a share of the documents, the queries or the judgements, for each kind of repair; 0 allows no repair at
    all, not even one of notation. `count` is a number of repairs of one kind.
    """

    share: Share = 0.5
    count: Annotated[int, Field(ge=0, strict=True)] | None = None


class DatasetSource(Spec):
    """A BEIR folder (`path`), foreign data (`source`), or documentation built from an installed package (`builder`).

    `source` is a file or folder of another tool, ``hf://owner/name`` or ``ir_datasets:ID``; `columns` names the columns
    of its tables.

    `language` is a code of ISO 639, several joined by ``+``, or ``auto``: told from the corpus. `questions` are what a
    builder asks about a function or class: what it does (its one-line ``summary``, which no passage holds), and what it
    takes (an ``argument``, described as in a passage).
    """

    OF_BUILDERS: ClassVar[tuple[str, ...]] = ("questions", "split_seed", "symbols", "unanswerable")

    path: Place | None = None
    source: Place | None = None
    columns: dict[ColumnPart, str] = Field(default_factory=dict)
    builder: Literal["scipy-api"] | None = None
    group: Grouping | None = None
    # A bare `no`, for Norwegian, is false in YAML.
    language: Annotated[
        str, BeforeValidator(lambda text: "no" if text is False else text), AfterValidator(parse_language)
    ] = "auto"
    repairs: Repairs = Repairs()
    symbols: Positive | None = None
    questions: Annotated[tuple[QuestionAbout, ...], Unique, Field(min_length=1)] = ("summary",)
    unanswerable: Share = 0.15
    split_seed: Seed = 0

    @model_validator(mode="after")
    def _one(self) -> DatasetSource:
        if sum(place is not None for place in (self.path, self.source, self.builder)) != 1:
            raise ValueError("give one of 'path', 'source' and 'builder'")
        if self.columns and self.source is None:
            raise ValueError("columns: only for a 'source'")
        if self.builder is None:
            fields = type(self).model_fields
            used = [name for name in self.OF_BUILDERS if getattr(self, name) != fields[name].default]
            if used:
                raise ValueError(f"{', '.join(used)}: only for a 'builder'")
        return self


class Contexts(Spec):
    """Passages chosen from the judgements instead of retrieved, so that generators are tested apart from the retriever.

    A query is shown its relevant passage; the share `lacking` of the answerable ones is shown another passage of the
    same group instead and must be declined. With `own_unanswerable`, queries that the dataset itself calls
    unanswerable are used too, with the passage they were written against.
    """

    lacking: Share = 0.5
    own_unanswerable: bool = False


class Evaluate(Spec):
    """Which split is scored; answers are written for a sample of `generation_queries` of it, all if not given.

    A document counts as relevant from the grade `relevance_level` on; only ndcg reads lower grades, as gains. With
    `exclude_own`, the document that has the id of the query is taken out of its list.
    """

    split: Literal["dev", "test"] = "test"
    relevance_level: Positive = 1
    exclude_own: bool = False
    generation_queries: Positive | None = None
    contexts: Contexts | None = None
    probe_queries: Positive = 100
    probe_generations: Positive = 30


class Forgetting(Spec):
    """Another dataset that every tuned model is scored on, so that what tuning unlearned is seen.

    Retrieval is measured on all judged queries of `split`, answers on `generation_queries` of them; 0 writes none.
    """

    dataset: DatasetSource
    split: Literal["dev", "test"] = "test"
    generation_queries: Annotated[int, Field(ge=0, strict=True)] = 0
    relevance_level: Positive = 1
    exclude_own: bool = False


class ReadingRule(NamedTuple):
    """What is read of a dataset, and by which rules.

    `splits` are those that the suite uses, all of them if None, and `scored` is the one that is scored. A file that is
    not used stops nothing. Without `answers`, no reference answer is used.
    """

    scored: str | None = None
    splits: frozenset[str] | None = None
    answers: bool = True
    relevance_level: int = 1
    exclude_own: bool = False

    def uses(self, split: str) -> bool:
        """Whether the suite uses a split."""
        return self.splits is None or split in self.splits
