"""Find contexts of questions in documents that are known, so that they become spans of these.

White space may differ where no place is exact. Of several places, the first one of the first document counts.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from harness.data.imports.imported import Imported

WORD = re.compile(r"\w+")
FILLED = re.compile(r"\S+")
KEPT = 64
"""Texts that are kept ready for another search."""
PROBES = 4
"""Rarest words of a context, all of which a document must have before it is searched."""


class Place(NamedTuple):
    """Where a text lies in a document."""

    doc_id: str
    start: int
    end: int


class Documents:
    """Documents that can be searched for whole passages."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.words: dict[str, list[str]] = {}
        for doc_id, text in texts.items():
            for word in set(WORD.findall(text)):
                self.words.setdefault(word, []).append(doc_id)
        self.squeezed = lru_cache(maxsize=KEPT)(lambda doc_id: Squeezed(texts[doc_id]))

    def find(self, passage: str) -> Place | None:
        """Return where the passage lies; None if it is in no document."""
        wanted = " ".join(FILLED.findall(passage))
        if not wanted:
            return None
        # The first and the last word may be cut.
        words = WORD.findall(wanted)[1:-1] or []
        candidates = list(self._candidates(words) if words else self.texts)
        exact = passage.strip()
        for doc_id in candidates:
            start = self.texts[doc_id].find(exact)
            if start >= 0:
                return Place(doc_id, start, start + len(exact))
        for doc_id in candidates:
            squeezed = self.squeezed(doc_id)
            start = squeezed.text.find(wanted)
            if start >= 0:
                return Place(doc_id, squeezed.place(start), squeezed.place(start + len(wanted) - 1) + 1)
        return None

    def _candidates(self, words: Sequence[str]) -> Iterable[str]:
        rarest = sorted(set(words), key=lambda word: (len(self.words.get(word, ())), word))[:PROBES]
        first, *others = [self.words.get(word, []) for word in rarest]
        rest = [set(ids) for ids in others]
        return [doc_id for doc_id in first if all(doc_id in ids for ids in rest)]


class Squeezed:
    """A text with each run of white space as one blank, and the way back to its own places."""

    def __init__(self, text: str) -> None:
        words = [(match.start(), match.group()) for match in FILLED.finditer(text)]
        self.text = " ".join(word for _, word in words)
        self.starts = array("q", (start for start, _ in words))
        self.squeezed = array("q", accumulate((len(word) + 1 for _, word in words), initial=0))

    def place(self, index: int) -> int:
        """Return the place in the text as it was of a character that is no blank."""
        word = bisect_right(self.squeezed, index) - 1
        return self.starts[word] + index - self.squeezed[word]


def place_contexts(imported: Imported, documents: Sequence[Mapping[str, Any]]) -> Imported:
    """Return the dataset over known documents (rows of `corpus.jsonl`), which come first.

    A document of `imported` that is a part of a known one is replaced by a span of it, in judgements and answers. Other
    documents stay.
    """
    known = Documents({str(row["_id"]): str(row["text"]) for row in documents})
    places = {row["_id"]: place for row in imported.documents if (place := known.find(row["text"])) is not None}
    rest = [row for row in imported.documents if row["_id"] not in places and row["_id"] not in known.texts]

    def moved(doc_id: str) -> str:
        return places[doc_id].doc_id if doc_id in places else doc_id

    spans: dict[tuple[str, str, int, int], None] = {}
    qrels: dict[str, dict[str, dict[str, int]]] = {}
    for split, queries in imported.qrels.items():
        qrels[split] = {}
        for query_id, grades in queries.items():
            mine = qrels[split].setdefault(query_id, {})
            for doc_id, grade in grades.items():
                mine[moved(doc_id)] = max(grade, mine.get(moved(doc_id), 0))
                if doc_id in places and grade > 0:
                    spans[query_id, *places[doc_id]] = None
    for span in imported.spans:
        if span["doc_id"] not in places:
            spans[span["query_id"], span["doc_id"], span["start"], span["end"]] = None
    answers = [
        {**row, "source_passages": list(dict.fromkeys(moved(doc_id) for doc_id in row["source_passages"]))}
        for row in imported.answers
    ]
    rows = [dict(zip(("query_id", "doc_id", "start", "end"), span, strict=True)) for span in spans]
    return imported._replace(documents=[*map(dict, documents), *rest], qrels=qrels, answers=answers, spans=rows)
