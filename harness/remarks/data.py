"""Remarks on a dataset and its judgements: repairs, queries left out, the rules of relevance."""

from __future__ import annotations

from harness.data.datasets import Dataset, Split
from harness.values.grades import LEVEL, left_out_in_words
from harness.values.questions import about_changed, changed_in_words
from harness.values.repairs import in_words

SAME_TEXT = 0.5
"""Share of queries that are documents from which there is a remark on `exclude_own`."""


def told(dataset: Dataset, split: str) -> list[str]:
    """Return sentences on everything that was applied to a dataset of which `split` is scored."""
    part = dataset.splits[split]
    sentences = [in_words(dataset.repairs)] if dataset.repairs else []
    changed = changed_in_words(about_changed(part.queries.values(), dataset.documents))
    sentences += [changed] if changed else []
    return [*sentences, *left_out_in_words(part.qrels, part.level), *_own(dataset, part)]


def settings(part: Split) -> dict[str, str]:
    """Return the rules of relevance in words, if they are not the defaults."""
    rules = {}
    if part.level != LEVEL:
        rules["relevance"] = f"grade {part.level} or more is relevant; only ndcg reads lower grades, as gains"
    if part.exclude_own:
        rules["own documents"] = "the document with the id of its query is removed from every ranking"
    return rules


def _own(dataset: Dataset, part: Split) -> list[str]:
    """Return a remark if most queries are documents. Equal ids alone prove nothing: both may be numbers."""
    if part.exclude_own or not part.judged:
        return []
    same = sum(
        query_id in dataset.documents and _says(dataset.documents[query_id].content, part.queries[query_id].text)
        for query_id in part.judged
    )
    if same < SAME_TEXT * len(part.judged):
        return []
    return [
        f"{same:,} of {len(part.judged):,} judged queries are documents of the corpus, with the same id and text, and "
        "retrieve themselves. evaluate.exclude_own: true removes these from their rankings."
    ]


def _says(content: str, text: str) -> bool:
    """Return whether one of two texts holds the other, apart from white space."""
    shorter, longer = sorted((" ".join(content.split()), " ".join(text.split())), key=len)
    return bool(shorter) and shorter in longer
