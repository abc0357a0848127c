"""A user's own queries as examples for a language model that writes queries.

A few queries of the task, each with its passage, teach the model how this user's people ask (Promptagator: Dai et al.,
ICLR 2023). They come from the split train alone. Must not know how prompts are laid out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.hashing import by_hash
from harness.suite.training_data import QueryKind
from harness.text import asks
from harness.values.grades import best_first
from harness.values.records import Document, Qrels

EXAMPLES = 4
"""Examples of a kind in a prompt: the source has 2 to 8; a small model's prompt has to stay short."""


class Example(NamedTuple):
    """A passage, and a query that somebody asked about it."""

    passage: str
    query: str


def own_examples(
    kinds: Sequence[QueryKind], queries: Mapping[str, str], qrels: Qrels, documents: Mapping[str, Document]
) -> dict[QueryKind, list[Example]]:
    """Return at most `EXAMPLES` for each kind of query, by a hash of the query's id, every passage once.

    A ``question`` is a query that asks; the other kinds are those that do not. `documents` are those that may be shown:
    the most relevant one of a query is. A kind that nobody asks in has none.
    """
    examples: dict[QueryKind, list[Example]] = {kind: [] for kind in kinds}
    shown: dict[QueryKind, set[str]] = {kind: set() for kind in kinds}
    for query_id in by_hash(queries):
        text = " ".join(queries[query_id].split())
        relevant = [key for key in best_first(qrels.get(query_id, {})) if key in documents and documents[key].content]
        fitting = [kind for kind in kinds if text and asks(text) == (kind == "question")]
        for kind in fitting:
            if relevant and relevant[0] not in shown[kind] and len(examples[kind]) < EXAMPLES:
                shown[kind].add(relevant[0])
                examples[kind].append(Example(documents[relevant[0]].content, text))
    return examples
