"""Make batches of training rows, and mask the documents of a batch that are no negatives of a query.

Every row is used once per epoch. Batches depend on seed and epoch alone, so that all recipes see the same ones. A row
goes into a batch without conflicts if one is found, else into the one with the fewest. Conflicts are masked: a document
that is known to be relevant for a query is never a negative of it.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

TRIES = 24
"""Batches that are tried for a row before the one with the fewest conflicts is taken."""


ROWS = "rows trained on"
KNOWN_MASKED = "known positives masked in batches"
REPEATED = "repeated documents counted once in batches"
NO_NEGATIVE = "rows whose batch holds no negative for them"
LISTS_WITHOUT_NEGATIVES = "lists left out, having no negative"
"""Names of counts in the notes of a training."""


class RankedPassages(NamedTuple):
    """A training query with its passages, the positive first; `scores` are those of a teacher, from 0 to 1.

    `known` holds the texts of further documents that are known to be relevant for the query, by `text_key`. Lists of
    one training may differ in length.
    """

    query: str
    passages: tuple[str, ...]
    scores: tuple[float, ...] = ()
    known: Collection[str] = frozenset()


def text_key(text: str) -> str:
    """Return the key of a text; texts that differ only in case, white space or Unicode composition share it."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


class Mask(NamedTuple):
    """Which documents of a batch enter the loss of which query, and counts of those that do not.

    `included` has a row for each query and a column for each document: the positives of the batch, then its negatives,
    row by row. `known` is how many negatives were left out because they are known to be relevant for the query,
    `repeated` how many documents of the batch are repetitions, `without_negative` how many queries have no negative.
    """

    included: list[list[bool]]
    known: int
    repeated: int
    without_negative: int

    def tensor(self, device: Any) -> Tensor:
        """Return `included` as a boolean tensor, shape (queries, documents)."""
        import torch

        return torch.tensor(self.included, dtype=torch.bool, device=device)


class Batches:
    """Deals the rows of a training into batches, and computes the mask of a batch."""

    def __init__(self, rows: Sequence[RankedPassages]) -> None:
        numbers: dict[str, int] = {}

        def number(key: str) -> int:
            return numbers.setdefault(key, len(numbers))

        # A passage stands in many lists: each text is normalised once.
        keys = {text: text_key(text) for row in rows for text in (row.query, *row.passages)}
        self.documents = [tuple(number(keys[text]) for text in row.passages) for row in rows]
        relevant: dict[int, set[int]] = {}
        queries = [number(keys[row.query]) for row in rows]
        for query, row, documents in zip(queries, rows, self.documents, strict=True):
            # The text of the query itself, where it stands in the corpus, is no example of what is wrong for it.
            own = relevant.setdefault(query, {query})
            own.add(documents[0])
            own.update(number(key) for key in row.known)
        self.relevant = [relevant[query] for query in queries]

    def __len__(self) -> int:
        return len(self.documents)

    def deal(self, size: int, seed: int, epoch: int) -> list[list[int]]:
        """Return the numbers of all rows in batches of at most `size`, whose sizes differ by at most one."""
        rng = random.Random(f"{seed} {epoch}")
        order = list(range(len(self)))
        rng.shuffle(order)
        # Rows that share a positive are placed first and in a row: the cursor then moves them to different batches.
        shared = Counter(documents[0] for documents in self.documents)
        place = {document: number for number, document in enumerate({self.documents[row][0]: None for row in order})}
        order.sort(key=lambda row: (-shared[self.documents[row][0]], place[self.documents[row][0]]))
        dealt = [_Open(room) for room in batch_sizes(len(self), size)]
        rng.shuffle(dealt)
        with_room, cursor = list(dealt), 0
        for row in order:
            chosen = self._place(row, with_room, cursor)
            batch = with_room[chosen]
            batch.add(row, self.documents[row], self.relevant[row])
            cursor = chosen + 1
            if not batch.room:
                with_room.pop(chosen)
                cursor = chosen
        for batch in dealt:
            rng.shuffle(batch.rows)
        return [batch.rows for batch in dealt]

    def _place(self, row: int, batches: Sequence[_Open], cursor: int) -> int:
        """Return the place of the first batch from the cursor on without conflicts, or of the best one tried."""
        best, least = cursor % len(batches), (len(self.documents) + 1, 0)
        for step in range(min(TRIES, len(batches))):
            number = (cursor + step) % len(batches)
            clashes = batches[number].clashes(self.documents[row], self.relevant[row])
            if clashes == (0, 0):
                return number
            if clashes < least:
                best, least = number, clashes
        return best

    def mask(self, rows: Sequence[int]) -> Mask:
        """Return the mask of a batch that holds these rows."""
        columns = [self.documents[row][0] for row in rows]
        columns += [document for row in rows for document in self.documents[row][1:]]
        at: dict[int, list[int]] = {}
        for column, document in enumerate(columns):
            at.setdefault(document, []).append(column)
        # A document that stands in the batch twice is one negative.
        first = [at[document][0] == column for column, document in enumerate(columns)]
        included, known, without_negative = [], 0, 0
        for place, row in enumerate(rows):
            mine, relevant = list(first), self.relevant[row]
            for document in relevant if len(relevant) < len(at) else at:
                if document in relevant:
                    for column in at.get(document, ()):
                        mine[column] = False
                        known += column != place
            without_negative += not any(mine)
            mine[place] = True
            included.append(mine)
        return Mask(included, known, first.count(False), without_negative)


class _Open:
    """A batch that is being filled: its documents, and those that are relevant for its queries."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.rows: list[int] = []
        self.documents: Counter[int] = Counter()
        self.relevant: set[int] = set()

    def add(self, row: int, documents: Sequence[int], relevant: Collection[int]) -> None:
        self.room -= 1
        self.rows.append(row)
        self.documents.update(documents)
        self.relevant.update(relevant)

    def clashes(self, documents: Sequence[int], relevant: Collection[int]) -> tuple[int, int]:
        """Return how many documents would be masked as relevant, and how many are in the batch already."""
        wrong = sum(document in self.relevant for document in documents)
        few, many = sorted((relevant, self.documents), key=len)
        wrong += sum(document in many for document in few)
        return wrong, sum(document in self.documents for document in documents)


def batch_sizes(rows: int, size: int) -> list[int]:
    """Return the sizes of the fewest batches of at most `size` rows, as equal as possible.

    A last batch of a single row would have no in-batch negatives.
    """
    count = -(-rows // size)
    return [rows // count + (number < rows % count) for number in range(count)]


class TrainingTotals:
    """Counts of a training over all epochs: rows trained on, and negatives that were masked."""

    def __init__(self) -> None:
        self.rows = 0
        self._known = self._repeated = self._without_negative = 0

    def add(self, mask: Mask) -> None:
        self._known += mask.known
        self._repeated += mask.repeated
        self._without_negative += mask.without_negative

    def notes(self) -> Mapping[str, int]:
        """Return the counts for the ledger, without those that are 0."""
        counts = {
            KNOWN_MASKED: self._known,
            REPEATED: self._repeated,
            NO_NEGATIVE: self._without_negative,
        }
        return {ROWS: self.rows, **{name: count for name, count in counts.items() if count}}
