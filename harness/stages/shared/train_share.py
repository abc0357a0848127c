"""A share of the training questions: what `train_share` leaves of training examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from harness.hashing import by_hash

Row = TypeVar("Row", bound=Mapping[str, Any])


def sampled(rows: Sequence[Row], share: float) -> Sequence[Row]:
    """The rows of a share of the questions (`query`), in their order; all rows of a question stay or go together.

    Questions are taken in the order of their hashes, at least one: a smaller share lies inside a larger one, and it is
    the same on every machine.
    """
    if share == 1:
        return rows
    questions = by_hash({row["query"] for row in rows})
    kept = set(questions[: max(1, round(share * len(questions)))])
    return [row for row in rows if row["query"] in kept]


def share_notes(share: float) -> dict[str, Any]:
    """Notes for the ledger on a share of the training questions; none if all are used."""
    return {"share of the questions": share} if share < 1 else {}
