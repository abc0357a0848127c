"""Collects what readers find, under ids that do not change from one import to the next.

An id that is not given is made from the content, so that the same question or document has the same id again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.data.folders import SPLITS, split_named
from harness.data.imports.cells import encodable
from harness.data.imports.imported import Damaged, Imported, Note, missing_splits
from harness.errors import Problem
from harness.hashing import digest_of

SHORT = 16
"""Characters of a digest in an id."""


class Gathering:
    """The parts of a dataset while it is read. `where` names the source in notes."""

    def __init__(self, where: str, source: Mapping[str, Any], problems: list[Problem]) -> None:
        self.where, self.source, self.problems = where, dict(source), problems
        self.documents: dict[str, dict[str, Any]] = {}
        self.queries: dict[str, dict[str, Any]] = {}
        self.judgements: dict[str, dict[str, int]] = {}
        self.splits: dict[str, str | None] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.spans: dict[tuple[str, str, int, int], None] = {}
        self.contexts: dict[str, Sequence[tuple[int, int]]] = {}
        self.pending = False
        """Queries are given without their splits, which their judgements tell."""
        self._by_text: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._keys: dict[tuple[str | None, str], str] = {}
        self._noted: set[str] = set()

    def note(self, what: str, hint: str = "") -> None:
        """Add a note, once."""
        if what not in self._noted:
            self._noted.add(what)
            self.problems.append(Note(self.where, what, hint))

    def failed(self, where: str, error: Damaged) -> None:
        """Add the problem of a row that was left out."""
        self.problems.append(Problem(where, error.what, error.hint))

    def document(
        self,
        text: str,
        title: str = "",
        key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        where: str = "",
    ) -> str:
        """Add a document and return its id; without a key, a known document of the same text is that document.

        Raises Damaged if it has neither title nor text, or if its id belongs to another document.
        """
        encodable(text), encodable(title)
        if not text.strip() and not title.strip():
            raise Damaged("a document without text")
        content = digest_of([text.strip() or title.strip()])[:SHORT]
        if key is None:
            if content in self._by_text:
                return self._by_text[content]
            key = f"d-{content}"
        row = {"_id": key, "title": title.strip(), "text": text, "metadata": dict(metadata or {})}
        known = self.documents.setdefault(key, row)
        if (known["title"], known["text"]) != (row["title"], row["text"]):
            first = self._places.get(f"d\t{key}", "")
            at = f" (first in {first})" if first else ""
            raise Damaged(f"document id {key!r} is used twice{at}", "rename one")
        self._places.setdefault(f"d\t{key}", where)
        self._by_text.setdefault(content, key)
        return key

    def context(
        self, text: str, title: str = "", key: str | None = None, metadata: Any = None, where: str = "",
        pieces: Sequence[tuple[int, int]] = (),
    ) -> str:  # fmt: skip
        """Add a context that was given beside a question as a document; `pieces` are spans of it, else it is one.

        It is remembered as a context if it is new: its pieces may be parts of other documents.
        """
        count = len(self.documents)
        doc_id = self.document(text, title, key, metadata, where)
        if len(self.documents) > count:
            self.contexts[doc_id] = tuple(pieces) or ((0, len(text)),)
        return doc_id

    def query(
        self,
        text: str,
        split: str | None,
        key: str | None = None,
        history: Sequence[Mapping[str, str]] = (),
        metadata: Mapping[str, Any] | None = None,
        where: str = "",
    ) -> str:
        """Add a query and return its id. One with a known key and the same text is that query.

        Two splits may number their queries alike: the second one gets the split before its id. Raises Damaged if the
        text is blank, or if the key belongs to another query of the same split.
        """
        if not encodable(text).strip():
            raise Damaged("a question without text")
        row: dict[str, Any] = {"_id": "", "text": text, "metadata": dict(metadata or {})}
        if history:
            row["history"] = [dict(turn) for turn in history]
        asked = key if key is not None else f"q-{digest_of([text.strip(), list(row.get('history', []))])[:SHORT]}"
        name = self._keys.get((split, asked), asked)
        if key is None:
            count = 1
            while name in self.queries:
                count += 1
                name = f"{asked}-{count}"
        elif name in self.queries:
            before, same_split = self.queries[name], split == self.splits[name]
            if same_split and all(before.get(part) == row.get(part) for part in ("text", "history")):
                return name
            if same_split:
                first = self._places[f"q\t{name}"]
                raise Damaged(f"question id {key!r} is used twice (first in {first})", "rename one")
            name = f"{split}-{asked}"
            if name in self.queries:
                raise Damaged(f"question id {key!r} is used twice", "rename one")
        self._keys[split, asked] = name
        self.queries[name] = {**row, "_id": name}
        self.splits[name] = split
        self._places[f"q\t{name}"] = where
        return name

    def judge(self, query_id: str, doc_id: str, grade: int = 1, split: str | None = None) -> None:
        """Add a judgement, of a table of judgements with its split. Raises Damaged if it contradicts another."""
        if query_id not in self.queries:
            raise Damaged(f"query {query_id!r} is not among the queries")
        if split is not None and (self.splits[query_id] or split) != split:
            raise Damaged(f"query {query_id!r} is in two splits ({self.splits[query_id]}, {split})", "keep it in one")
        self.splits[query_id] = split or self.splits[query_id]
        grades = self.judgements.setdefault(query_id, {})
        if grades.setdefault(doc_id, max(grade, 0)) != max(grade, 0):
            raise Damaged(f"query {query_id!r} judges document {doc_id!r} twice, with other grades", "remove one")

    def span(self, query_id: str, doc_id: str, start: int, end: int) -> None:
        """Add where the evidence for a query lies in a document's text."""
        self.spans[query_id, doc_id, start, end] = None

    def answer(
        self, query_id: str, answers: Sequence[str], answerable: bool | None = None, passages: Sequence[str] = ()
    ) -> None:
        """Add reference answers. A query without answers that is not said to be unanswerable gets no entry."""
        answers = [answer.strip() for answer in answers if answer.strip()]
        if not answers and answerable is not False:
            return
        row = self.answers.setdefault(
            query_id, {"_id": query_id, "answers": [], "answerable": bool(answers), "source_passages": []}
        )
        row["answerable"] = row["answerable"] or bool(answers)
        row["answers"] = list(dict.fromkeys([*row["answers"], *answers]))
        row["source_passages"] = list(dict.fromkeys([*row["source_passages"], *passages]))

    def split(self, name: Any) -> str | None:
        """Return the split that a name of a source means; an unknown name is ``test``, with a note."""
        if name is None or not str(name).strip():
            return None
        split = split_named(str(name).strip())
        if split not in SPLITS:
            low = str(name).strip().lower()
            parts = [split_named(part) for part in low.replace("-", "_").split("_")]
            split = next((part for part in parts if part in SPLITS), "")
        if split:
            return split
        self.note(f"the split {str(name)!r} is read as 'test'", "name splits train, dev and test")
        return "test"

    def imported(self) -> Imported:
        """Return everything, with a note of splits that have no query."""
        qrels: dict[str, dict[str, dict[str, int]]] = {}
        unsplit = [key for key, split in self.splits.items() if split is None]
        if self.pending and len(unsplit) < len(self.splits):
            for key in unsplit:
                del self.queries[key]
            if unsplit:
                what = f"{len(unsplit):,} of {len(self.splits):,} queries have no judgement"
                self.problems.append(Note(self.where, f"{what} and are left out"))
        for split in SPLITS:
            members = [key for key in self.queries if (self.splits[key] or "test") == split]
            part = {key: dict(self.judgements.get(key, {})) for key in members}
            if part:
                qrels[split] = part
        self.problems += missing_splits(qrels, self.where)
        spans = [
            {"query_id": query_id, "doc_id": doc_id, "start": start, "end": end}
            for query_id, doc_id, start, end in self.spans
            if query_id in self.queries
        ]
        answers = [row for key, row in self.answers.items() if key in self.queries]
        documents, queries = list(self.documents.values()), list(self.queries.values())
        return Imported(documents, queries, qrels, answers, spans, self.source, self.problems, dict(self.contexts))
