"""How much of the text of a corpus an encoder does not read, because its passages are too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

ADDED = 2
"""Tokens that an encoder puts around a text."""
SAMPLE = 400
"""Texts that are counted."""
ENOUGH = 60_000
"""Characters of a text that are counted; a longer one is taken to go on as it began."""


class Unread(NamedTuple):
    """What is not read, of a sample of texts: a share of all tokens; texts that are too long, and of how many."""

    share: float
    longer: int
    texts: int
    limit: int


def unread(texts: Sequence[str], count_tokens: Callable[[str], int], limit: int) -> Unread:
    """Count the tokens of texts beyond the first `limit`, those that the encoder adds included."""
    room = max(1, limit - ADDED)
    sizes = [_size(text, count_tokens) for text in texts[:SAMPLE]]
    beyond = [max(0.0, size - room) for size in sizes]
    return Unread(sum(beyond) / sum(sizes) if sum(sizes) else 0.0, sum(map(bool, beyond)), len(sizes), limit)


def _size(text: str, count_tokens: Callable[[str], int]) -> float:
    if len(text) <= ENOUGH:
        return count_tokens(text)
    return count_tokens(text[:ENOUGH]) * len(text) / ENOUGH
