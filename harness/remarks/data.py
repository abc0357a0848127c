"""What was done to a data set and its judgements: repairs, queries left out, the rules of relevance."""

from __future__ import annotations

from harness.data.datasets import Dataset, Split
from harness.values.grades import LEVEL, left_out_in_words
from harness.values.repairs import in_words

SAME_TEXT = 0.5
"""From this share of queries on that are a document of their own id, a reader is told of `exclude_own`."""


def told(dataset: Dataset, split: str) -> list[str]:
    """Return sentences on everything that was applied to a data set of which `split` is scored."""
    part = dataset.splits[split]
    sentences = [in_words(dataset.repairs)] if dataset.repairs else []
    return [*sentences, *left_out_in_words(part.qrels, part.level), *_own(dataset, part)]


def settings(part: Split) -> dict[str, str]:
    """Return the rules of relevance in words, where they are not the defaults."""
    found = {}
    if part.level != LEVEL:
        found["relevance"] = f"grade {part.level} or more is relevant; ndcg alone reads lower grades, as gains"
    if part.exclude_own:
        found["own documents"] = "the document that has the id of its query is left out of every list"
    return found


def _own(dataset: Dataset, part: Split) -> list[str]:
    """Whether queries are documents of the corpus themselves. Equal ids alone say nothing: both may just be numbers."""
    if part.exclude_own or not part.judged:
        return []
    same = sum(
        query_id in dataset.documents and _says(dataset.documents[query_id].content, part.queries[query_id].text)
        for query_id in part.judged
    )
    if same < SAME_TEXT * len(part.judged):
        return []
    return [
        f"{same:,} of {len(part.judged):,} judged queries are documents of the corpus, of the same id and text, and "
        "find themselves; evaluate.exclude_own: true leaves these out of their lists."
    ]


def _says(content: str, text: str) -> bool:
    """Whether one of two texts holds the other, whatever their white space."""
    shorter, longer = sorted((" ".join(content.split()), " ".join(text.split())), key=len)
    return bool(shorter) and shorter in longer
