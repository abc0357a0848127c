"""Questions that a model wrote: how many of the scored ones, how many a person has seen, and how that is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.hashing import digest_of
from harness.values.frozen import Frozen
from harness.values.records import Document, Query

NAMED = 3
"""Documents that a remark names."""


class SyntheticQuestions(Frozen):
    """The `synthetic` of `total` questions of a split; a person has seen `reviewed` of them. `by` is the model."""

    total: int
    synthetic: int
    reviewed: int
    by: str = ""

    @property
    def sentence(self) -> str:
        """The first line of every report."""
        return in_words(self.total, self.synthetic, self.reviewed, self.by)


def in_words(total: int, synthetic: int, reviewed: int, by: str) -> str:
    """Return that questions are synthetic, and how many a person has seen; empty if none is synthetic."""
    if not synthetic:
        return ""
    written = f" (written by {by})" if by else ""
    seen = "all" if reviewed == synthetic else f"{reviewed:,} of"
    if synthetic == total:
        return f"Questions are synthetic{written}; a person has seen {seen} {total:,}."
    return (
        f"{synthetic:,} of {total:,} questions are synthetic{written}; a person has seen {seen} {synthetic:,} of these."
    )


def is_synthetic(query: Query) -> bool:
    """Return whether the metadata of a query says that a model wrote it."""
    return query.metadata.get("synthetic") is True


def synthetic_questions(queries: Iterable[Query], source: Mapping[str, Any]) -> SyntheticQuestions | None:
    """Return what is known of the synthetic ones among queries; None if there are none. `source` is `SOURCE.json`."""
    every = list(queries)
    written = [query for query in every if is_synthetic(query)]
    if not written:
        return None
    names = {str(query.metadata["by"]) for query in written if query.metadata.get("by")}
    told = source.get("questions")
    if not names and isinstance(told, Mapping) and told.get("by"):
        names = {str(told["by"])}
    reviewed = sum(query.metadata.get("reviewed") is True for query in written)
    return SyntheticQuestions(total=len(every), synthetic=len(written), reviewed=reviewed, by=", ".join(sorted(names)))


def digest_of_passages(passages: Iterable[Sequence[Any]], documents: Mapping[str, Document]) -> str:
    """Return a digest of the text of spans (document, start, end); a document that is gone has an empty text."""
    gone = Document("", "", "")
    return digest_of([documents.get(doc_id, gone).text[start:end] for doc_id, start, end in passages])


def about_changed(queries: Iterable[Query], documents: Mapping[str, Document]) -> list[str]:
    """Return the ids of synthetic questions whose passages are no longer what they were when these were written.

    Only a question whose metadata has the `digest` of its passages can be told.
    """
    changed = []
    for query in queries:
        digest, passages = query.metadata.get("digest"), query.metadata.get("passages")
        if is_synthetic(query) and isinstance(digest, str) and isinstance(passages, list | tuple):
            is_read = all(map(_is_span, passages))
            changed += [query.query_id] if is_read and digest_of_passages(passages, documents) != digest else []
    return changed


def _is_span(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(end, int) for end in value[1:])


def changed_in_words(changed: Sequence[str]) -> str:
    """Return the warning for questions of `about_changed`; empty if there is none."""
    if not changed:
        return ""
    named = ", ".join(changed[:NAMED]) + (", ..." if len(changed) > NAMED else "")
    is_one = len(changed) == 1
    return (
        f"The passages of {len(changed):,} synthetic {'question' if is_one else 'questions'} have changed since "
        f"{'it was' if is_one else 'these were'} written ({named}): answers and evidence may no longer hold. Reject "
        f"{'it' if is_one else 'them'} in the review, and 'harness testset' writes others."
    )


class MeanPair(Frozen):
    """The means of one system on the synthetic questions and on those of people."""

    system: str
    synthetic: float
    people: float


class QuestionAgreement(Frozen):
    """Whether synthetic questions and those of people rank the systems alike on one measure.

    `tau` is Kendall's tau-b between the means of the systems, with a 95 % bootstrap interval by group; None if all
    means of one side are equal. Each side has its number of queries with a score of every system.
    """

    measure: str
    n_synthetic: int
    n_people: int
    means: tuple[MeanPair, ...]
    tau: float | None = None
    low: float | None = None
    high: float | None = None
