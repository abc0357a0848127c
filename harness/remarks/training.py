"""Remarks on training data: pairs that were left out, negatives that did not count, short lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from harness.training.batches import KNOWN_MASKED, LISTS_WITHOUT_NEGATIVES, NO_NEGATIVE, ROWS
from harness.values.findings import LedgerRow


class _Rule(NamedTuple):
    """A count in the notes of a stage, and the sentence about it; {of} is the total of `whole` in the same rows."""

    note: str
    sentence: str
    whole: str = ""


RULES = (
    _Rule(
        KNOWN_MASKED,
        "{count} times in training, a document of a batch was a known positive of another query of the batch, and was "
        "not used as its negative ({where}).",
    ),
    _Rule(
        NO_NEGATIVE,
        "{count} of {of} training rows had no negative in their batch and taught nothing ({where}). Mine negatives "
        "(mine.hard, mine.random), or train on a larger corpus.",
        ROWS,
    ),
    _Rule(
        LISTS_WITHOUT_NEGATIVES,
        "{count} training queries have no negative, and the recipe triplet left them out ({where}).",
    ),
    _Rule(
        "lists with fewer passages",
        "{count} of {of} training lists have fewer passages than the longest, and were used as they are "
        "({where}).",
        "lists",
    ),
    _Rule(
        "queries left out, fewer than two passages are labelled",
        "{count} training queries were left out: fewer than two passages, or no relevant one, could be labelled "
        "({where}).",
    ),
    _Rule(
        "pairs left out, their document is not in the corpus",
        "{count} judged training pairs were left out: their document is not in the corpus ({where}).",
    ),
    _Rule(
        "pairs dropped for want of hard negatives",
        "{count} training pairs were dropped: too few hard negatives were found (mine.short: drop; {where}).",
    ),
)  # fmt: skip


def training_remarks(ledger: Iterable[LedgerRow]) -> list[str]:
    """Return one sentence for each rule that was applied to training data, over all stage calls."""
    rows = list(ledger)
    sentences = []
    for rule in RULES:
        hit = [row for row in rows if _count(row, rule.note)]
        if hit:
            count, whole = (sum(_count(row, name) for row in hit) for name in (rule.note, rule.whole))
            where = hit[0].label if len(hit) == 1 else f"{len(hit)} stage calls, the first: {hit[0].label}"
            sentences.append(rule.sentence.format(count=f"{count:,}", of=f"{whole:,}", where=where))
    return sentences


def _count(row: LedgerRow, note: str) -> int:
    value = row.notes.get(note, 0)
    return value if isinstance(value, int) else 0
