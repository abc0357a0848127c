"""The review of synthetic questions: a CSV that spreadsheets open as it is, and the decisions in one, applied.

A row is a question. A person writes `accept` or `reject` into the column `decision`, and may change question and
answer: `edit` accepts the changed text. Rows without a decision change nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import DataError, Problem, nearest
from harness.files import read_whole, write_atomically
from harness.testset import folder as files
from harness.testset.items import Contents, Item
from harness.values.records import Document

COLUMNS = ("id", "decision", "question", "answer", "kind", "split", "document", "evidence", "passage", "reviewed")
NEEDED = ("id", "decision")
MARK = "\ufeff"
"""The byte order mark by which Excel knows UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so is a formula to a spreadsheet; an apostrophe before it makes it text."""
CHANGED = " (changed since the question was written)"
MOST_BYTES = 100 * 2**20
MOST_CELL = 1_000_000
WORDS = {
    "accept": "accept", "accepted": "accept", "a": "accept", "ok": "accept", "yes": "accept",
    "reject": "reject", "rejected": "reject", "r": "reject", "no": "reject",
    "edit": "edit", "edited": "edit", "e": "edit",
}  # fmt: skip


class Shown(NamedTuple):
    """A question as a reviewer sees it: its passages as pairs of a title and pieces, of which some are evidence."""

    item: Item
    passages: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]

    @property
    def evidence(self) -> str:
        return " [...] ".join(
            " ".join(text.split()) for _, pieces in self.passages for text, marked in pieces if marked
        )

    @property
    def text(self) -> str:
        """The passages without marks."""
        return "\n\n".join("".join(text for text, _ in pieces) for _, pieces in self.passages)


class Applied(NamedTuple):
    """What a review did: counts of decisions, questions changed by it, and a sentence for each row that is wrong."""

    accepted: int = 0
    edited: int = 0
    rejected: int = 0
    undecided: int = 0
    changed: int = 0
    wrong: tuple[Problem, ...] = ()
    reviewed: int = 0
    total: int = 0


class Row(NamedTuple):
    """A row of a review, its place, and its cells by column; a column that is not there is None."""

    where: str
    key: str
    decision: str
    question: str | None
    answer: str | None


def shown(contents: Contents) -> list[Shown]:
    """Return the synthetic questions as a reviewer sees them; a document that is gone shows nothing."""
    return [
        Shown(item, tuple(_marked(item, contents.documents, CHANGED if contents.is_changed(item) else "")))
        for item in contents.items
    ]


def _marked(
    item: Item, documents: Mapping[str, Document], remark: str
) -> Iterator[tuple[str, tuple[tuple[str, bool], ...]]]:
    for doc_id, start, end in item.passages:
        document = documents.get(doc_id)
        if document is None:
            yield f"{doc_id} (no longer in the corpus)", ()
            continue
        spans = sorted(
            (max(a, start), min(b, end)) for one, a, b in item.spans if one == doc_id and a < end and b > start
        )
        pieces, place = list[tuple[str, bool]](), start
        for a, b in spans:
            if a > place:
                pieces.append((document.text[place:a], False))
            if b > max(a, place):
                pieces.append((document.text[max(a, place) : b], True))
            place = max(place, b)
        if place < end:
            pieces.append((document.text[place:end], False))
        yield f"{document.title or doc_id}{remark}", tuple(pieces)


def as_csv(rows: Sequence[Shown]) -> str:
    """Return the review as CSV text, with a byte order mark; no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        item = row.item
        decision = "" if not item.reviewed else "edit" if item.edited else "accept"
        cells = (
            item.query_id, decision, item.text, item.answer, item.kind, item.split, ", ".join(item.doc_ids),
            row.evidence, row.text, "yes" if item.reviewed else "no",
        )  # fmt: skip
        writer.writerow([guarded(cell) for cell in cells])
    return MARK + text.getvalue()


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; `unguarded` undoes it."""
    plain = cell.replace("\0", "")
    return f"'{plain}" if plain.startswith((*FORMULA, "'")) else plain


def unguarded(cell: str) -> str:
    """Return the text that `guarded` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*FORMULA, "'")) else cell


def read_rows(path: Path, problems: list[Problem]) -> list[Row]:
    """Read a review: CSV with commas, semicolons or tabs, as UTF-8 or UTF-16. Report each row that is wrong.

    Raises DataError if the file is no review at all.
    """
    table = list(_records(_text(path)))
    if not table:
        raise DataError(Problem(str(path), "empty", f"give the file that was written, with the columns {NEEDED}"))
    names = [name.strip().strip("\ufeff").lower() for name in table[0][1]]
    lacking = [name for name in NEEDED if name not in names]
    if lacking:
        known = ", ".join(names[:10])
        hint = f"keep the first line as it was written (found: {known})"
        raise DataError(Problem(f"{path}:1", f"no column {lacking[0]!r}", hint))
    rows: list[Row] = []
    for line, cells in table[1:]:
        values = dict(zip(names, cells, strict=False))
        if not any(cell.strip() for cell in cells):
            continue
        key = unguarded(values["id"]).strip()
        word = values.get("decision", "").strip().lower()
        if word and word not in WORDS:
            problems.append(Problem(f"{path}:{line}", f"decision {word!r}", "write accept, edit or reject, or nothing"))
            continue
        question, answer = (
            None if values.get(name) is None else unguarded(values[name]).strip() for name in ("question", "answer")
        )
        rows.append(Row(f"{path}:{line}", key, WORDS.get(word, ""), question, answer))
    return rows


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(Problem(str(path), "larger than 100 MB", "give the review of this folder"))
        raw = read_whole(path)
    except OSError as error:
        raise DataError(Problem(str(path), f"cannot be read ({error.strerror})", "give a readable file")) from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    if raw.startswith(b"PK\x03\x04"):
        raise DataError(Problem(str(path), "a workbook, not CSV", "save it as CSV (UTF-8) from the spreadsheet"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"not UTF-8 at byte {error.start}"
        raise DataError(Problem(str(path), what, "save it as 'CSV UTF-8' from the spreadsheet")) from error


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the number of its first line."""
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    csv.field_size_limit(MOST_CELL)
    reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=separator)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(Problem(f"line {line}", f"no CSV ({error})", "give the file that was written")) from error


def apply(place: Path, review: Path) -> Applied:
    """Apply the decisions of a review to the questions of a folder; applying it again changes nothing.

    Raises DataError if the folder or the review cannot be read; single rows that are wrong are part of the result.
    """
    contents = files.read(place)
    problems: list[Problem] = []
    rows = read_rows(review, problems)
    items = {item.query_id: item for item in contents.items}
    gone: dict[str, Item] = {}
    counts: Counter[str] = Counter()
    seen: dict[str, str] = {}
    for row in rows:
        if problem := _wrong(row, items, contents, seen):
            problems.append(problem)
            continue
        seen[row.key] = row.where
        if row.key not in items:
            counts["reject"] += 1
            continue
        counts[row.decision or "none"] += 1
        if row.decision == "reject":
            gone[row.key] = items[row.key]
        elif row.decision:
            items[row.key], edited = _decided(items[row.key], row)
            counts["edit"] += edited and row.decision == "accept"
            counts["accept"] -= edited and row.decision == "accept"
    kept = [item for key, item in items.items() if key not in gone]
    before = {item.query_id: item for item in contents.items}
    changed = sum(before[item.query_id] != item for item in kept) + len(gone)
    if changed:
        rejected = {**contents.rejected, **{key: item.passages for key, item in gone.items()}}
        files.write(place, contents, kept, rejected)
    ordered = sorted(problems, key=lambda one: _line_of(one.where))
    return Applied(
        counts["accept"], counts["edit"], counts["reject"], counts["none"], changed, tuple(ordered),
        sum(item.reviewed for item in kept), len(kept),
    )  # fmt: skip


def _line_of(where: str) -> int:
    match = re.search(r":(\d+)$", where)
    return int(match[1]) if match else 0


def _wrong(row: Row, items: Mapping[str, Item], contents: Contents, seen: Mapping[str, str]) -> Problem | None:
    """Return what is wrong with a row; None if it can be applied, or was before."""
    if not row.key:
        return Problem(row.where, "no id", "keep the column 'id' as it was written")
    if row.key in seen:
        return Problem(row.where, f"question {row.key!r} stands here twice (first in {seen[row.key]})", "keep one row")
    if row.key not in items:
        if row.key in contents.rejected and row.decision in ("reject", ""):
            return None
        if row.key in contents.rejected:
            return Problem(row.where, f"question {row.key!r} was rejected before", "add it as a question of your own")
        if row.key in contents.questions:
            return Problem(row.where, f"question {row.key!r} is a person's, not a synthetic one", "edit queries.jsonl")
        return Problem(row.where, f"no synthetic question {row.key!r} in the folder", nearest(row.key, items))
    item = items[row.key]
    if row.decision in ("edit", "accept"):
        if row.question is not None and not row.question:
            return Problem(row.where, "the question is empty", "write one, or reject it")
        if row.answer is not None and not row.answer and item.answerable:
            return Problem(row.where, "the answer is empty", "write one, or reject the question")
        if row.answer and not item.answerable:
            return Problem(row.where, "an unanswerable question has an answer", "clear the answer, or reject it")
    return None


def _decided(item: Item, row: Row) -> tuple[Item, bool]:
    """Return the question after an acceptance, and whether its text is another one now."""
    text = item.text if row.question is None else _as_was(row.question, item.text)
    answer = item.answer if row.answer is None else _as_was(row.answer, item.answer)
    edited = (text, answer) != (item.text, item.answer)
    return item._replace(text=text, answer=answer, reviewed=True, edited=item.edited or edited), edited


def _as_was(cell: str, text: str) -> str:
    """Return the text as it was if the cell differs by white space only, as spreadsheets change line breaks."""
    return text if cell.split() == text.split() else cell


def write(place: Path, contents: Contents) -> Path:
    """Write the review of a folder as CSV; return its path."""
    path = place / "review.csv"
    write_atomically(path, as_csv(shown(contents)))
    return path
