"""Signs of a gap between the domain and the models: what a tokenizer, the words and two retrievers show of it.

Words are those of the bm25 index, without a longer list of English stop words (with the short one, questions would
share "which" and "how"); where there are no spaces, they are pairs of characters. The bars of words were set on five
English data sets, whose values are in docs/diagnose.md; that of `agreement` is a guess. This module must not know how
a retriever or a tokenizer works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from statistics import fmean

from harness.hashing import by_hash
from harness.text import ENGLISH, text_of
from harness.values.grades import relevant_grades
from harness.values.insights import Sign
from harness.values.records import Document, Qrels, Query, Run

Pieces = Callable[[str], int]
"""Into how many pieces a tokenizer breaks a word."""
SHATTERED = 4
VOCABULARY = 5000
"""So many distinct words are looked at: of more text a larger share would be rare words, in any domain."""
CHUNK = 64
STOP_WORDS = "en_plus"
CUTOFF = 10
BAR_SHATTERED = 0.06
BAR_NO_SHARED_WORD = 0.1
BAR_AGREEMENT = 0.2
BAR_JUDGED = 0.5


def signs(
    queries: Mapping[str, Query],
    qrels: Qrels,
    documents: Mapping[str, Document],
    run: Run,
    other: Run,
    pieces: Pieces | None = None,
    language: str = ENGLISH,
) -> tuple[Sign, ...]:
    """All signs. `queries` are the judged ones, `run` the lists of the bi-encoder, `other` those of bm25.

    Without `pieces` nothing is said of the tokenizer, and nothing of agreement where there are no lists of bm25.
    """
    texts = [query.text for query in queries.values()] + [documents[key].content for key in by_hash(documents)]
    return (
        *((fragmented(texts, pieces, language),) if pieces is not None else ()),
        no_shared_word(queries, qrels, documents, language),
        *((agreement(run, other, queries),) if other else ()),
        judged(run, {query_id: qrels.get(query_id, {}) for query_id in queries}),
    )


def fragmented(texts: Iterable[str], pieces: Pieces, language: str = ENGLISH) -> Sign:
    """Share of the first `VOCABULARY` distinct words of the texts that a tokenizer breaks into 4 pieces or more."""
    words = list(islice(_distinct(texts, language), VOCABULARY))
    broken = sum(pieces(word) >= SHATTERED for word in words)
    about = (
        f"Share of the distinct words that the retriever's tokenizer breaks into {SHATTERED} pieces or more. Over the "
        "bar, the model hardly met this vocabulary: tuning on it has much to teach."
    )
    return _over("shattered", broken / len(words) if words else None, BAR_SHATTERED, about, len(words))


def no_shared_word(
    queries: Mapping[str, Query], qrels: Qrels, documents: Mapping[str, Document], language: str = ENGLISH
) -> Sign:
    """Share of the questions that share no stemmed word with any relevant document of theirs."""
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
        "Share of the questions that share no word with a relevant document. Over the bar, people ask in other words "
        "than the documents use: bm25 cannot find these, and a bi-encoder has to be taught."
    )
    return _over("no_shared_word", fmean(alone) if alone else None, BAR_NO_SHARED_WORD, about, len(alone))


def agreement(run: Run, other: Run, queries: Iterable[str]) -> Sign:
    """Mean share of the first ten documents that two retrievers have in common; an empty list has none.

    A question that neither finds anything for is left out.
    """
    shares = []
    for query_id in queries:
        one, two = (_first(lists.get(query_id, [])) for lists in (run, other))
        if one or two:
            shares.append(len(one & two) / max(len(one), len(two)))
    about = (
        f"Share of the first {CUTOFF} documents that bm25 and the bi-encoder both find. Under the bar, at least one of "
        "the two does not see what the questions are about."
    )
    return _under("agreement", fmean(shares) if shares else None, BAR_AGREEMENT, about, len(shares))


def judged(run: Run, qrels: Qrels) -> Sign:
    """Share of the first ten documents that carry a judgement, of any grade; the bar is half of what could be.

    A question with one judged document can have a tenth of its list judged at most. Where most questions are such, the
    sign says little beyond recall, and `about` says so.
    """
    asked = {query_id: grades for query_id, grades in qrels.items() if grades}
    looked = {query_id: len(_first(run.get(query_id, []))) or CUTOFF for query_id in asked}
    found = [len(_first(run.get(key, [])) & grades.keys()) / looked[key] for key, grades in asked.items()]
    could_be = fmean(min(looked[key], len(grades)) / looked[key] for key, grades in asked.items()) if asked else 0.0
    about = (
        f"Share of the first {CUTOFF} documents that are judged; {100 * could_be:.0f} % could be. Under the bar, "
        "most of what is found counts as irrelevant though nobody looked at it."
    )
    if could_be < 3 / CUTOFF:
        about += " So few are judged for each question that low says no more than a low recall does."
    return _under(f"judged@{CUTOFF}", fmean(found) if found else None, BAR_JUDGED * could_be, about, len(found))


def _over(name: str, value: float | None, bar: float, about: str, n: int) -> Sign:
    return Sign(name=name, value=value, bar=bar, worrying=value is not None and value > bar, about=about, n=n)


def _under(name: str, value: float | None, bar: float, about: str, n: int) -> Sign:
    return Sign(name=name, value=value, bar=bar, worrying=value is not None and value < bar, about=about, n=n)


def _first(hits: list[tuple[str, float]]) -> set[str]:
    return {doc_id for doc_id, _ in hits[:CUTOFF]}


def _distinct(texts: Iterable[str], language: str) -> Iterable[str]:
    """Words with a letter in them, each once, in the order in which they come."""
    seen: set[str] = set()
    rest = iter(texts)
    while chunk := list(islice(rest, CHUNK)):
        for words in text_of(language).search(chunk, STOP_WORDS, stem=False):
            for word in words:
                if word not in seen and any(map(str.isalpha, word)):
                    seen.add(word)
                    yield word
