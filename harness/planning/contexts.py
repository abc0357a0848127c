"""The questions that generators are asked, and the passages they are shown where the suite fixes them.

By default each system shows what it retrieved. With `evaluate.contexts` every system shows the same passages, chosen
from the judgements: ones that hold the answer and ones that lack it, so that generators are tested apart from
retrievers. Choices go by hashes of ids: they are the same on every machine, and a larger sample holds the smaller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.data.datasets import Dataset, Split
from harness.errors import ConfigError, Problem
from harness.hashing import by_hash
from harness.stages.shared.dev_evaluation import sample_with_references
from harness.suite.sources import Contexts
from harness.suite.spec import Suite
from harness.values.grades import best_first
from harness.values.records import Reference


@dataclass(frozen=True)
class GenerationSample:
    """The queries that generators answer, with references, and with passages (`contexts`) if the suite fixes them."""

    query_ids: list[str]
    references: Mapping[str, Reference] = field(default_factory=dict)
    contexts: Mapping[str, list[str]] = field(default_factory=dict)


def choose(suite: Suite, dataset: Dataset) -> GenerationSample:
    """Choose the questions of the scored split that have a reference, and their passages if the suite fixes them."""
    split = dataset.splits[suite.evaluate.split]
    asked = suite.pipeline.generator is not None and any(not measure.is_rank for measure in suite.measures)
    count = suite.evaluate.generation_queries if asked else 0
    rule = suite.evaluate.contexts
    if rule is None:
        sample = sample_queries(split, count)
        return GenerationSample(sample, {key: split.references[key] for key in sample})
    return _fixed(split, dataset, rule, count, suite)


def sample_queries(split: Split, count: int | None) -> list[str]:
    """Choose questions that have a reference, the unanswerable in their share."""
    return sample_with_references(split.queries, split.references, len(split.queries) if count is None else count)


def _fixed(split: Split, dataset: Dataset, rule: Contexts, count: int | None, suite: Suite) -> GenerationSample:
    grouping = suite.dataset.group
    separator = grouping.doc_id_prefix if grouping else None
    if rule.lacking and separator is None:
        what = "evaluate.contexts.lacking takes another passage of the same group, and documents have no group"
        raise ConfigError(Problem(dataset.name, what, "give dataset.group.doc_id_prefix, or lacking: 0"))
    usable = _usable(split, rule)
    sample = sample_queries(Split({key: split.queries[key] for key in usable}, {}, usable), count)
    answerable = by_hash([key for key in sample if usable[key].answerable])
    wanted = round(rule.lacking * len(answerable))
    references: dict[str, Reference] = {key: usable[key] for key in sample}
    contexts = {key: _relevant(split, key)[:1] or list(usable[key].source_passages)[:1] for key in sample}
    lacking = 0
    for key in answerable:
        if lacking == wanted:
            break
        other = _passage_without(split, dataset, key, str(separator))
        if other is not None:
            contexts[key] = [other]
            references[key] = Reference(key, (), False, (other,))
            lacking += 1
    return GenerationSample(sample, references, contexts)


def _usable(split: Split, rule: Contexts) -> dict[str, Reference]:
    """Questions that a passage can be chosen for."""
    return {
        key: reference
        for key, reference in split.references.items()
        if (reference.answerable and _relevant(split, key))
        or (rule.own_unanswerable and not reference.answerable and reference.source_passages)
    }


def _relevant(split: Split, query_id: str) -> list[str]:
    return best_first(split.usable.get(query_id, {}))


def _passage_without(split: Split, dataset: Dataset, query_id: str, separator: str) -> str | None:
    """A passage of the same group that is not relevant and in which no reference answer stands, or None."""
    relevant = _relevant(split, query_id)
    prefixes = {doc_id.split(separator)[0] for doc_id in relevant}
    answers = [answer.casefold() for answer in split.references[query_id].answers]
    same_group = [key for key in dataset.documents if key.split(separator)[0] in prefixes and key not in relevant]
    for doc_id in sorted(same_group, key=lambda key: hashlib.sha256(f"{query_id}\0{key}".encode()).digest()):
        text = dataset.documents[doc_id].content.casefold()
        if not any(answer in text for answer in answers):
            return doc_id
    return None
