"""Relevant documents: the only module that compares a grade with a relevance level.

Binary measures, training pairs, oracles and funnels use it. Only `ndcg` reads grades as gains, from 1 on.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.values.records import Qrels, Run

LEVEL = 1
"""The default relevance level: every grade above 0 is relevant."""


def is_relevant(grade: int, level: int = LEVEL) -> bool:
    """Return whether a document of this grade is relevant."""
    return grade >= level


def relevant_grades(grades: Mapping[str, int], level: int = LEVEL) -> dict[str, int]:
    """Return the relevant documents of one query with their grades, in the order given."""
    return {doc_id: grade for doc_id, grade in grades.items() if is_relevant(grade, level)}


def best_first(grades: Mapping[str, int], level: int = LEVEL) -> list[str]:
    """Return the relevant documents of one query, the highest grade first, equal ones by id."""
    relevant = relevant_grades(grades, level)
    return sorted(relevant, key=lambda doc_id: (-relevant[doc_id], doc_id))


def judged_queries(qrels: Qrels, level: int = LEVEL) -> list[str]:
    """Return the queries with at least one relevant document: the population of binary rank measures.

    A query without a relevant document has no ideal list, hence no recall. It is left out for every system.
    """
    return [
        query_id for query_id, grades in qrels.items() if any(is_relevant(grade, level) for grade in grades.values())
    ]


def at_level(qrels: Qrels, level: int = LEVEL) -> Qrels:
    """Return judgements in which every grade below the level is 0; the same object at the default level."""
    if level == LEVEL:
        return qrels
    return {
        query_id: {doc_id: grade if is_relevant(grade, level) else 0 for doc_id, grade in grades.items()}
        for query_id, grades in qrels.items()
    }


def without_own(run: Run) -> Run:
    """Return the lists without the documents that have the id of their query."""
    return {query_id: [hit for hit in hits if hit[0] != query_id] for query_id, hits in run.items()}


def left_out_in_words(qrels: Qrels, level: int = LEVEL) -> list[str]:
    """Return sentences about judged queries that no measure, or no binary measure, is defined on."""
    sentences = []
    nothing = len(qrels) - len(judged_queries(qrels))
    if nothing:
        sentences.append(f"{_left_out(nothing, 'no relevant document')}.")
    below = len(judged_queries(qrels)) - len(judged_queries(qrels, level))
    if below:
        sentences.append(f"{_left_out(below, f'no document of grade {level} or more')} of every measure but ndcg.")
    return sentences


def _left_out(count: int, what: str) -> str:
    if count == 1:
        return f"1 judged query has {what} and is left out"
    return f"{count:,} judged queries have {what} and are left out"


def without_own_judgement(qrels: Qrels) -> Qrels:
    """Return the judgements without those of the documents that have the id of their query."""
    return {
        query_id: {doc_id: grade for doc_id, grade in grades.items() if doc_id != query_id}
        for query_id, grades in qrels.items()
    }
