"""How much has to be read until the evidence: a measure of rankings that does not depend on the length of passages.

Of two chunkings, the one with longer passages needs fewer of them to show the evidence, and shows more beside it. So
`evidence@500` asks what a reader, or a prompt, meets within so many words: the share of the judged documents whose
evidence is read to its end within the first 500 words of the passages, in their order. Compare the token-wise recall of
Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval" (Chroma, 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.values.grades import relevant_grades
from harness.values.measures import Measure
from harness.values.records import Qrels

Words = Mapping[str, Mapping[str, int]]
"""Words until the evidence is read: query_id -> {doc_id: words}; a document that is not found is not in it."""


def score_evidence(
    words: Words, qrels: Qrels, judged: Mapping[str, Mapping[str, object]], measures: Sequence[Measure], level: int
) -> dict[Measure, dict[str, float]]:
    """Score the queries that have judged spans of relevant documents: measure -> query -> share from 0 to 1.

    `judged` has the documents of each query that have spans.
    """
    scores: dict[Measure, dict[str, float]] = {measure: {} for measure in measures}
    for query_id, grades in qrels.items():
        wanted = [doc_id for doc_id in relevant_grades(grades, level) if doc_id in judged.get(query_id, {})]
        for measure in measures if wanted else ():
            read = words.get(query_id, {})
            found = sum(doc_id in read and read[doc_id] <= (measure.cutoff or 0) for doc_id in wanted)
            scores[measure][query_id] = found / len(wanted)
    return scores
