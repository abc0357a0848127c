"""Signs of a gap between the domain and the models, from the tokenizer, the words and two retrievers.

Words are those of the bm25 index, with a longer list of English stop words (otherwise queries would share "which" and
"how"). In languages without spaces, they are pairs of characters. The thresholds for words were set on five English
datasets, whose values are in docs/diagnose.md; that of `agreement` is a guess. This module must not know how a
retriever or a tokenizer works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from statistics import fmean

from harness.hashing import by_hash
from harness.text import ENGLISH, text_of
from harness.text.decimals import percent
from harness.values.grades import relevant_grades
from harness.values.insights import Sign
from harness.values.records import Document, Qrels, Query, Run

CountTokens = Callable[[str], int]
"""The number of tokens that a tokenizer splits a word into."""
MANY_TOKENS = 4
VOCABULARY = 5000
"""How many distinct words are read. In more text a larger share would be rare words, in any domain."""
CHUNK = 64
STOP_WORDS = "en_plus"
CUTOFF = 10
BAR_HIGH_FERTILITY = 0.06
BAR_NO_SHARED_WORD = 0.1
BAR_AGREEMENT = 0.2
BAR_JUDGED = 0.5
BAR_UNREAD = 0.1


def signs(
    queries: Mapping[str, Query],
    qrels: Qrels,
    documents: Mapping[str, Document],
    run: Run,
    other: Run,
    count_tokens: CountTokens | None = None,
    language: str = ENGLISH,
) -> tuple[Sign, ...]:
    """Return all signs. `queries` are the judged ones, `run` is of the bi-encoder, `other` of bm25.

    Without `count_tokens` there is no sign of the tokenizer; without a run of bm25 there is none of agreement.
    """
    texts = [query.text for query in queries.values()] + [documents[key].content for key in by_hash(documents)]
    return (
        *((fragmented(texts, count_tokens, language),) if count_tokens is not None else ()),
        no_shared_word(queries, qrels, documents, language),
        *((agreement(run, other, queries),) if other else ()),
        judged(run, {query_id: qrels.get(query_id, {}) for query_id in queries}),
    )


def unread_text(share: float, limit: int, texts: int) -> Sign:
    """Return the share of the text that lies behind what the encoder reads of a document."""
    about = (
        f"Share of the text of the documents that lies beyond the first {limit:,} tokens, which is all that the "
        "retriever reads of one. Above the threshold, chunks are likely to gain more than any training."
    )
    return _over("unread_text", share, BAR_UNREAD, about, texts)


def fragmented(texts: Iterable[str], count_tokens: CountTokens, language: str = ENGLISH) -> Sign:
    """Return the share of the first `VOCABULARY` distinct words that a tokenizer splits into 4 tokens or more."""
    words = list(islice(_distinct(texts, language), VOCABULARY))
    split = sum(count_tokens(word) >= MANY_TOKENS for word in words)
    about = (
        f"Share of the distinct words that the retriever's tokenizer splits into {MANY_TOKENS} tokens or more. Above "
        "the threshold, the vocabulary is out of domain for the model, and tuning has much to teach."
    )
    return _over("high_fertility", split / len(words) if words else None, BAR_HIGH_FERTILITY, about, len(words))


def no_shared_word(
    queries: Mapping[str, Query], qrels: Qrels, documents: Mapping[str, Document], language: str = ENGLISH
) -> Sign:
    """Return the share of queries that share no stemmed word with any of their relevant documents."""
    relevant = {query_id: list(relevant_grades(qrels.get(query_id, {}))) for query_id in queries}
    judged_ids = [query_id for query_id, doc_ids in relevant.items() if doc_ids]
    doc_ids = list(dict.fromkeys(doc_id for query_id in judged_ids for doc_id in relevant[query_id]))
    texts = text_of(language)
    stems = dict(zip(doc_ids, texts.search([documents[key].content for key in doc_ids], STOP_WORDS), strict=True))
    asked = texts.search([queries[query_id].text for query_id in judged_ids], STOP_WORDS)
    alone = [
        all(words.isdisjoint(stems[doc_id]) for doc_id in relevant[query_id])
        for query_id, words in zip(judged_ids, map(set, asked), strict=True)
    ]
    about = (
        "Share of the queries that share no word with a relevant document. Above the threshold, queries and documents "
        "use different words: bm25 cannot find these documents, and a bi-encoder must learn to."
    )
    return _over("no_shared_word", fmean(alone) if alone else None, BAR_NO_SHARED_WORD, about, len(alone))


def agreement(run: Run, other: Run, queries: Iterable[str]) -> Sign:
    """Return the mean overlap of the first ten documents of two retrievers; 0 for a query if one ranking is empty.

    A query for which neither finds anything is left out.
    """
    shares = []
    for query_id in queries:
        top, other_top = (_first(ranked.get(query_id, [])) for ranked in (run, other))
        if top or other_top:
            shares.append(len(top & other_top) / max(len(top), len(other_top)))
    about = (
        f"Share of the first {CUTOFF} documents that bm25 and the bi-encoder both find. Below the threshold, at least "
        "one of the two does not fit the queries."
    )
    return _under("agreement", fmean(shares) if shares else None, BAR_AGREEMENT, about, len(shares))


def judged(run: Run, qrels: Qrels) -> Sign:
    """Return the share of the first ten documents that are judged, with any grade.

    The threshold is half of what is possible. A query with one judged document can have at most a tenth of its ranking
    judged. If most queries are such, the sign says little more than recall, and `about` says so.
    """
    asked = {query_id: grades for query_id, grades in qrels.items() if grades}
    read = {query_id: len(_first(run.get(query_id, []))) or CUTOFF for query_id in asked}
    shares = [len(_first(run.get(key, [])) & grades.keys()) / read[key] for key, grades in asked.items()]
    could_be = fmean(min(read[key], len(grades)) / read[key] for key, grades in asked.items()) if asked else 0.0
    about = (
        f"Share of the first {CUTOFF} documents that are judged; at most {percent(could_be)} could be. Below "
        "the threshold, most of the ranking counts as irrelevant although nobody judged it."
    )
    if could_be < 3 / CUTOFF:
        about += " With so few judged documents a query, a low value says no more than a low recall."
    return _under(f"judged@{CUTOFF}", fmean(shares) if shares else None, BAR_JUDGED * could_be, about, len(shares))


def _over(name: str, value: float | None, bar: float, about: str, n: int) -> Sign:
    return Sign(name=name, value=value, bar=bar, worrying=value is not None and value > bar, about=about, n=n)


def _under(name: str, value: float | None, bar: float, about: str, n: int) -> Sign:
    return Sign(name=name, value=value, bar=bar, worrying=value is not None and value < bar, about=about, n=n)


def _first(hits: list[tuple[str, float]]) -> set[str]:
    return {doc_id for doc_id, _ in hits[:CUTOFF]}


def _distinct(texts: Iterable[str], language: str) -> Iterable[str]:
    """Yield the distinct words that have a letter, in their order."""
    seen: set[str] = set()
    rest = iter(texts)
    while chunk := list(islice(rest, CHUNK)):
        for words in text_of(language).search(chunk, STOP_WORDS, stem=False):
            for word in words:
                if word not in seen and any(map(str.isalpha, word)):
                    seen.add(word)
                    yield word
