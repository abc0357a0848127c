"""Sort questions into slices by a field: a property of their text or their relevant documents, or their metadata.

A field puts every question of a split into exactly one slice. Numbers are cut into thirds with about equally many
questions, named by their bounds. Words are those of the dataset's language; for languages without spaces, lengths are
in characters. Recognising questions works best in English.
This module must not know scores, systems or statistics.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Any

from harness.errors import ConfigError, Problem
from harness.suite.spec import DERIVED_SLICES
from harness.text import ENGLISH, Texts, asks, text_of
from harness.values.grades import relevant_grades
from harness.values.records import Document, Qrels, Query

NOT_GIVEN, OTHER = "not given", "other"
NO_DOCUMENT, NO_CONTENT_WORD = "no relevant document", "no content word"
MOST_SLICES = 8
"""Of one field, `NOT_GIVEN` and `OTHER` included: every slice more widens the intervals of all."""
RARE = 6
"""Fewer questions than this never have an interval; where there are too many values they are put together first."""

QUESTION_WORDS = frozenset(["what", "which", "who", "whom", "whose", "when", "where", "why", "how"])
PREPOSITIONS = frozenset(["about", "at", "by", "during", "for", "from", "in", "of", "on", "to", "under", "with"])
INVERTED = frozenset(
    ["is", "are", "was", "were", "do", "does", "did", "has", "can", "could", "should", "would", "will"]
)
"""A text that begins with one of these is a yes-no question."""
FINITE = INVERTED | frozenset(["am", "have", "had", "may", "might", "must", "shall", "cannot"])
"""A text that has one of these later is a statement; search words seldom have them."""
ASKING, STATING = re.compile(r"[?？؟](?!\w)"), re.compile(r"(?<!\W)[^\w.!。]*+[.!。]\W*+$")  # noqa: RUF001  as other scripts write them
WORD = re.compile(r"[^\W_]+")
MOST_KEYWORDS = 7
"""A text with more words is not a list of search words."""

Numbers = Mapping[str, int | float]


def slice_values(
    name: str, queries: Mapping[str, Query], qrels: Qrels, documents: Mapping[str, Document], language: str = ENGLISH
) -> dict[str, str]:
    """Return the slice of every query in the field `name`: one of `spec.DERIVED_SLICES`, or a field of the metadata.

    ``query_length``: words of the query, in thirds. ``query_kind``: question, claim or keyword, see `kind_of`.
    ``document_length``: words of the relevant document (the mean of several), in thirds. ``lexical_overlap``: the share
    of the query's stemmed content words that stand in any of its relevant documents. A query without a relevant
    document has a slice of its own in the last two. Metadata: numbers with many values in thirds, others as they are;
    a missing value or a list is ``not given``. Raises ConfigError if no query has the metadata field.
    """
    relevant = {
        query_id: [documents[doc_id] for doc_id in relevant_grades(qrels.get(query_id, {}))] for query_id in queries
    }
    if name == "query_length":
        texts = text_of(language)
        return thirds({query_id: texts.size(query.text) for query_id, query in queries.items()}, texts.unit)
    if name == "query_kind":
        return {query_id: kind_of(query.text, language) for query_id, query in queries.items()}
    if name == "document_length":
        return _document_lengths(relevant, text_of(language))
    if name == "lexical_overlap":
        return _overlaps(queries, relevant, text_of(language))
    return _capped(_of_metadata(name, queries))


def check_slices(names: Sequence[str], queries: Mapping[str, Query]) -> None:
    """Raise ConfigError if one of the names is neither derived nor a metadata field of any query."""
    for name in names:
        if name not in DERIVED_SLICES:
            _of_metadata(name, queries)


def kind_of(text: str, language: str = ENGLISH) -> str:
    """``question``, ``claim`` or ``keyword``, by the first of these rules that holds.

    A question has a question mark, begins with a question word (also after a preposition: "in which year"), or begins
    with an auxiliary verb before two more words. A claim has three words or more and ends in a full stop or has an
    auxiliary verb, or is longer than search words are. The rest are keywords. Other languages are classified by
    punctuation, length and `questions.asks`.
    """
    if language != ENGLISH:
        if ASKING.search(text) or asks(text):
            return "question"
        length = text_of(language).length(text)
        return "claim" if length >= 3 and (STATING.search(text) or length > MOST_KEYWORDS) else "keyword"
    words = WORD.findall(text.lower())
    first, second = [*words, "", ""][:2]
    if ASKING.search(text) or first in QUESTION_WORDS or (first in PREPOSITIONS and second in QUESTION_WORDS):
        return "question"
    if len(words) < 3:
        return "keyword"
    if first in INVERTED:
        return "question"
    # "isn't" is read as the words "isn" and "t".
    states = any(word in FINITE or word.removesuffix("n") in FINITE for word in words)
    return "claim" if states or STATING.search(text) or len(words) > MOST_KEYWORDS else "keyword"


def thirds(numbers: Numbers, unit: str = "") -> dict[str, str]:
    """Cut numbers into three slices of about equally many queries, fewer if there are few distinct numbers.

    Equal numbers are never separated. Slices are named by their bounds: ``up to 7 words``, ``8 to 11 words``,
    ``12 words or more``; numbers that are not whole have ``over 0.5 to 0.9``.
    """
    counts = Counter(numbers.values())
    values = sorted(counts)
    up_to = dict(zip(values, accumulate(counts[value] for value in values), strict=True))

    def nearest_to(third: int) -> int | float:
        return min(values[:-1], key=lambda value: abs(3 * up_to[value] - third * len(numbers)))

    # A cut lies after a value, and never after the last.
    cuts = sorted({nearest_to(1), nearest_to(2)}) if len(values) > 1 else []
    names = _names(cuts, unit) if cuts else [_shown(value, unit) for value in values]
    return {query_id: names[bisect_left(cuts, value)] for query_id, value in numbers.items()}


def _names(cuts: Sequence[int | float], unit: str) -> list[str]:
    """Return the names of the slices: up to the first cut, between two cuts, beyond the last."""
    first = f"up to {_shown(cuts[0], unit)}"
    if not all(isinstance(cut, int) for cut in cuts):
        between = [f"over {_shown(low)} to {_shown(high, unit)}" for low, high in pairwise(cuts)]
        return [first, *between, f"over {_shown(cuts[-1], unit)}"]
    between = [
        _shown(high, unit) if low + 1 == high else f"{_shown(low + 1)} to {_shown(high, unit)}"
        for low, high in pairwise(cuts)
    ]
    return [first, *between, f"{_shown(cuts[-1] + 1, unit)} or more"]


def _shown(value: int | float, unit: str = "") -> str:
    text = str(value) if isinstance(value, int) else f"{value:.12g}"
    return f"{text} {unit if text == '1' else unit + 's'}" if unit else text


def _document_lengths(relevant: Mapping[str, Sequence[Document]], texts: Texts) -> dict[str, str]:
    sizes = {document.doc_id: texts.size(document.content) for documents in relevant.values() for document in documents}
    lengths = {
        query_id: round(fmean(sizes[document.doc_id] for document in documents))
        for query_id, documents in relevant.items()
        if documents
    }
    known = thirds(lengths, texts.unit)
    return {query_id: known.get(query_id, NO_DOCUMENT) for query_id in relevant}


def _overlaps(queries: Mapping[str, Query], relevant: Mapping[str, Sequence[Document]], texts: Texts) -> dict[str, str]:
    needed = {document.doc_id: document.content for documents in relevant.values() for document in documents}
    stems = dict(zip(needed, map(frozenset, _stems(list(needed.values()), texts)), strict=True))
    asked = _stems([query.text for query in queries.values()], texts)
    values = {}
    for query_id, words in zip(queries, map(frozenset, asked), strict=True):
        held = frozenset[str]().union(*(stems[document.doc_id] for document in relevant[query_id]))
        values[query_id] = _overlap(words, held) if relevant[query_id] else NO_DOCUMENT
    return values


def _overlap(words: frozenset[str], held: frozenset[str]) -> str:
    if not words:
        return NO_CONTENT_WORD
    share = len(words & held) / len(words)
    if share in (0.0, 1.0):
        return "all" if share else "none"
    return "some (up to half)" if share <= 0.5 else "most (over half)"


def _stems(texts: list[str], reader: Texts) -> list[list[str]]:
    """Return the stemmed words as the bm25 index reads them, with a longer list of stop words left out."""
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return reader.search(texts, sorted({*STOPWORDS_EN_PLUS, *QUESTION_WORDS, *FINITE, "many", "much"}))


def _of_metadata(name: str, queries: Mapping[str, Query]) -> dict[str, str]:
    fields = sorted({field for query in queries.values() for field in query.metadata})
    if name not in fields:
        known_fields = f"the fields there are: {', '.join(fields)}" if fields else "the queries have no metadata"
        hint = f"{known_fields}; without metadata: {', '.join(DERIVED_SLICES)}"
        raise ConfigError(Problem("slices", f"no query has the metadata field {name!r}", hint))
    raw: dict[str, Any] = {query_id: query.metadata.get(name) for query_id, query in queries.items()}
    known_values = {query_id: value for query_id, value in raw.items() if _is_given(value)}
    numbers = {query_id: value for query_id, value in known_values.items() if _is_number(value)}
    if len(numbers) == len(known_values) and len(set(numbers.values())) > MOST_SLICES - 1:
        known = thirds(numbers)
    else:
        known = {query_id: _written(value) for query_id, value in known_values.items()}
    return {query_id: known.get(query_id, NOT_GIVEN) for query_id in queries}


def _is_given(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _shown(value) if _is_number(value) else " ".join(value.split())


def _capped(values: Mapping[str, str]) -> dict[str, str]:
    """Return at most `MOST_SLICES` slices: values with the most queries keep their names, the rest are merged."""
    counts = Counter(value for value in values.values() if value != NOT_GIVEN)
    room = MOST_SLICES - (NOT_GIVEN in values.values())
    if len(counts) <= room:
        return dict(values)
    often = sorted((value for value in counts if counts[value] >= RARE), key=lambda value: (-counts[value], value))
    keep = {NOT_GIVEN, *often[: room - 1]}
    return {query_id: value if value in keep else OTHER for query_id, value in values.items()}
