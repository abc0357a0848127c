"""Which passage is asked about next, in which way and for which split.

Documents are dealt to splits, so that no two splits share one. Jobs come in rounds of a fixed size; what a round holds
depends on what was kept before it, and never on how many questions are wanted. So a larger test set holds the smaller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar, get_args

from harness.testset.passages import Passage

Kind = Literal["single", "several", "unanswerable", "paraphrased"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SPLITS = ("test", "dev", "train")
ROUND = 24
FAILURE = 0.25
"""What a dropped question weighs against a kept one when the next kind is chosen: a kind that always fails ends."""
Neighbour = Callable[[Passage, Iterable[str]], Passage | None]
"""Gives the passage of other documents, of those with these ids, that is nearest to a passage."""


Name = TypeVar("Name", bound=str)


class Job(NamedTuple):
    """A question to be written: about one passage, or about two of `kind` ``several``."""

    kind: Kind
    split: str
    passages: tuple[Passage, ...]

    @property
    def doc_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(passage.doc_id for passage in self.passages))


def deal_documents(
    doc_ids: Sequence[str], shares: Mapping[str, float], pinned: Mapping[str, frozenset[str]]
) -> dict[str, str]:
    """Return the split of each document, dealt in order by the shares of the splits.

    `pinned` has the splits of the questions that a document has already; a document with several is left out.
    """
    splits: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for doc_id in doc_ids:
        known = pinned.get(doc_id, frozenset())
        if len(known) < 2:
            # One that is pinned takes its place in the shares, so that the next run deals the others as before.
            splits[doc_id] = next(iter(known), "") or most_behind(shares, counts)
            counts[splits[doc_id]] += 1
    return splits


def most_behind(shares: Mapping[Name, float], counts: Mapping[Name, float]) -> Name:
    """Return the name whose count is farthest below its share of all; the first of equal ones."""
    total = sum(counts.values()) + 1
    return max(shares, key=lambda name: round(shares[name] * total - counts.get(name, 0.0), 9))


class Dealer:
    """Deals jobs: each passage is the first of one job at most, every document once before any twice."""

    def __init__(
        self,
        passages: Mapping[str, tuple[Passage, ...]],
        splits: Mapping[str, str],
        shares: Mapping[str, float],
        kinds: Mapping[Kind, float],
        neighbour: Neighbour,
    ) -> None:
        self._passages, self._splits, self._neighbour = passages, splits, neighbour
        self._shares = {name: share for name, share in shares.items() if share > 0}
        self._kinds = {kind: share for kind, share in kinds.items() if share > 0}
        self._of_split = {name: [key for key in passages if splits.get(key) == name] for name in self._shares}
        self._waiting = {name: list(self._in_turns(keys)) for name, keys in self._of_split.items()}
        self._by_split: Counter[str] = Counter()
        self._by_kind: dict[str, dict[Kind, float]] = {name: dict.fromkeys(self._kinds, 0.0) for name in self._shares}

    def _in_turns(self, keys: Sequence[str]) -> Iterable[Passage]:
        deepest = max((len(self._passages[key]) for key in keys), default=0)
        for turn in range(deepest):
            yield from (self._passages[key][turn] for key in keys if turn < len(self._passages[key]))

    def next_round(self) -> list[Job]:
        """Return the next jobs; fewer, or none, if no passage is left."""
        jobs: list[Job] = []
        pending: Counter[str] = Counter()
        while len(jobs) < ROUND:
            open_splits = {name: share for name, share in self._shares.items() if self._waiting[name]}
            if not open_splits:
                break
            name = most_behind(open_splits, self._by_split + pending)
            jobs.append(self._job(name))
            pending[name] += 1
        return jobs

    def _job(self, name: str) -> Job:
        passage = self._waiting[name].pop(0)
        counts = self._by_kind[name]
        kind: Kind = most_behind(self._kinds, counts)
        second = self._second(passage, name) if kind == "several" else None
        if kind == "several" and second is None:
            others: dict[Kind, float] = {one: share for one, share in self._kinds.items() if one != "several"}
            kind = most_behind(others, counts) if others else "single"
        counts[kind] = counts.get(kind, 0.0) + 1
        return Job(kind, name, (passage,) if second is None else (passage, second))

    def _second(self, passage: Passage, name: str) -> Passage | None:
        """Return another passage of the document, or, for every other document, the nearest of another one."""
        same = [one for one in self._passages[passage.doc_id] if one != passage]
        if same and len(passage.doc_id.encode()) % 2 == 0:
            return same[0]
        near = self._neighbour(passage, (key for key in self._of_split[name] if key != passage.doc_id))
        return near or (same[0] if same else None)

    def note(self, job: Job, kept: bool) -> None:
        """Learn whether the question of a job was kept."""
        if kept:
            self._by_split[job.split] += 1
        else:
            self._by_kind[job.split][job.kind] -= 1 - FAILURE
