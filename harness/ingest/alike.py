"""Near duplicates by sketches: the smallest hashes of runs of five words (Broder, SEQUENCES 1997).

Two documents with equal sets of runs have equal sketches; the share of common hashes estimates their likeness.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise

RUN = 5
SKETCH = 64
"""Hashes of a document."""
FIRST_WORDS = 5000
"""Words of a document that are compared."""
LEAST_WORDS = 20
"""Words from which on a document is compared: shorter ones are alike by chance."""
NEAR = 0.8
"""Likeness from which on two documents are near duplicates."""
MOST_SHARING = 50
"""Documents that share a hash, up to which all pairs of them are compared."""


class Sketches:
    """Takes the words of documents by number."""

    def __init__(self) -> None:
        self._sketches: dict[int, frozenset[int]] = {}

    def add(self, number: int, words: Sequence[str]) -> None:
        if len(words) < LEAST_WORDS:
            return
        first = [zlib.crc32(word.encode("utf-8", "replace")) for word in words[:FIRST_WORDS]]
        runs = {hash(run) & 0xFFFFFFFFFFFF for run in zip(*(first[place:] for place in range(RUN)), strict=False)}
        self._sketches[number] = frozenset(sorted(runs)[:SKETCH])

    def groups(self) -> list[list[int]]:
        """Return groups of documents, each alike to at least one other of its group."""
        holders: dict[int, list[int]] = defaultdict(list)
        for number, sketch in self._sketches.items():
            for value in sketch:
                holders[value].append(number)
        common = Counter[tuple[int, int]]()
        for numbers in holders.values():
            # Of a text that many share, each is compared with the next.
            few = len(numbers) <= MOST_SHARING
            common.update(combinations(numbers, 2) if few else pairwise(numbers))
        parents: dict[int, int] = {}
        for (one, other), count in common.items():
            least = min(len(self._sketches[one]), len(self._sketches[other]))
            if count >= NEAR / 2 * least and self._likeness(one, other) >= NEAR:
                parents[_root(parents, other)] = _root(parents, one)
        groups: dict[int, list[int]] = defaultdict(list)
        for number in sorted(self._sketches):
            groups[_root(parents, number)].append(number)
        return [group for group in groups.values() if len(group) > 1]

    def _likeness(self, one: int, other: int) -> float:
        first, second = self._sketches[one], self._sketches[other]
        smallest = sorted(first | second)[:SKETCH]
        return sum(value in first and value in second for value in smallest) / len(smallest)


def _root(parents: dict[int, int], number: int) -> int:
    while (parent := parents.get(number, number)) != number:
        number = parent
    return number
