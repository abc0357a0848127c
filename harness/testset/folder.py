"""The files of a dataset folder: what is there is read, and synthetic questions are written beside it.

Lines that people wrote stay as they are, to the letter: only lines of synthetic questions are replaced. A synthetic
question is one whose metadata says so.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.folders import CORPUS, QUERIES, SPLITS, file_of, first_of, split_named
from harness.data.formats import read_jsonl, read_lines, read_table
from harness.data.judgements import read_judgements
from harness.data.objects import field_of, read_objects, text_of
from harness.errors import DataError, Problem, few_of_each
from harness.files import read_text, write_atomically
from harness.testset.evidence import Span
from harness.testset.items import Contents, Item
from harness.values.records import Document
from harness.values.repairs import Repairing

STATE = "testset"
"""The folder, inside of the dataset's, of what was written, dropped and rejected."""
HEADER = "query-id\tcorpus-id\tscore\n"
PLAIN = {"queries": "queries.jsonl", "answers": "answers.jsonl", "spans": "spans.jsonl", "splits": "splits.tsv"}


def read(folder: Path) -> Contents:
    """Read a dataset folder, with or without questions. Raises DataError with all problems."""
    problems: list[Problem] = []
    repairing = Repairing()
    if not folder.is_dir():
        raise DataError(Problem(str(folder), "no such folder", "name a folder that holds corpus.jsonl"))
    documents = _documents(folder, problems, repairing)
    _check_names(folder, problems)
    rows = _rows(folder / PLAIN["queries"], problems)
    qrels, split_of = _judged(folder, problems, repairing)
    if problems:
        raise DataError(few_of_each(problems))
    texts = {key: str(row.get("text") or "") for key, row in rows.items()}
    ours = {key for key, row in rows.items() if _is_synthetic(row)}
    asked_about: dict[str, set[str]] = defaultdict(set)
    for query_id, docs in qrels.items():
        for doc_id in docs if query_id not in ours else ():
            asked_about[doc_id].add(split_of[query_id])
    answers = _rows(folder / PLAIN["answers"], problems)
    spans = _spans(folder / PLAIN["spans"], problems)
    items = [_item(key, rows[key], split_of.get(key, ""), answers.get(key, {}), spans.get(key, ())) for key in ours]
    for item in items:
        for doc_id in item.doc_ids:
            asked_about[doc_id].add(item.split)
    return Contents(
        documents,
        {key: text for key, text in texts.items() if key not in ours},
        tuple(sorted(items, key=lambda item: list(rows).index(item.query_id))),
        {key: split for key, split in split_of.items() if key not in ours},
        {doc_id: frozenset(found) for doc_id, found in asked_about.items()},
        _rejected(folder),
        _source(folder),
    )


def _documents(folder: Path, problems: list[Problem], repairing: Repairing) -> dict[str, Document]:
    path = first_of(folder, CORPUS, problems)
    documents: dict[str, Document] = {}
    for row in read_objects(path, problems, repairing):
        title = field_of(row, "title", problems, repairing)
        documents.setdefault(row.key, Document(row.key, title, text_of(row, "document", problems, repairing)))
    if not documents and not problems:
        problems.append(Problem(str(path), "holds no document", 'write {"_id": "...", "text": "..."} on each line'))
    return documents


def _check_names(folder: Path, problems: list[Problem]) -> None:
    """Report files to which synthetic questions cannot be added line by line."""
    for name, usual in (("queries", QUERIES), ("answers", (PLAIN["answers"],)), ("splits", (PLAIN["splits"],))):
        path = first_of(folder, usual, problems) if name == "queries" else file_of(folder, usual[0], problems)
        if path.exists() and path.name != PLAIN[name]:
            hint = f"write it as {PLAIN[name]}, so that questions can be added to it"
            problems.append(Problem(str(path), "cannot be added to", hint))


def _rows(path: Path, problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """Return the objects of a file by `_id`; empty if there is no file."""
    if not path.exists():
        return {}
    return {str(row.get("_id", "")).strip(): row for _, row in read_jsonl(path, problems)}


def _judged(
    folder: Path, problems: list[Problem], repairing: Repairing
) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    qrels: dict[str, dict[str, int]] = {}
    splits: dict[str, str] = {}
    for path in sorted((folder / "qrels").glob("*")) if (folder / "qrels").is_dir() else ():
        split = split_named(path.name.split(".")[0])
        if split not in SPLITS:
            continue
        if path.name != f"{split}.tsv" or not _is_beir(path):
            hint = f"write it as qrels/{split}.tsv with the columns {HEADER.strip()!r}"
            problems.append(Problem(str(path), "cannot be added to", hint))
            continue
        for item in read_judgements(path, problems, repairing):
            splits[item.query_id] = split
            if item.grade > 0:
                qrels.setdefault(item.query_id, {})[item.doc_id] = item.grade
    path = folder / PLAIN["splits"]
    if path.exists():
        for _, (query_id, split) in read_table(path, ("query-id", "split"), problems):
            splits.setdefault(query_id, split_named(split))
    return qrels, splits


def _is_beir(path: Path) -> bool:
    first = next(iter(read_lines(path, [])), (0, HEADER))[1]
    return len(first.split("\t")) == 3


def _is_synthetic(row: Mapping[str, Any]) -> bool:
    metadata = row.get("metadata")
    return isinstance(metadata, Mapping) and metadata.get("synthetic") is True


def _spans(path: Path, problems: list[Problem]) -> dict[str, tuple[Span, ...]]:
    spans: dict[str, list[Span]] = defaultdict(list)
    for _, row in read_jsonl(path, problems) if path.exists() else ():
        try:
            spans[str(row["query_id"])].append((str(row["doc_id"]), int(row["start"]), int(row["end"])))
        except (KeyError, TypeError, ValueError):
            continue
    return {key: tuple(found) for key, found in spans.items()}


def _item(
    query_id: str, row: Mapping[str, Any], split: str, answer: Mapping[str, Any], spans: tuple[Span, ...]
) -> Item:
    about = row["metadata"]
    answers = [str(one) for one in answer.get("answers") or ()]
    return Item(
        query_id, str(row.get("text") or ""), str(about.get("kind") or "single"), split or "test",
        answers[0] if answers else "", _passages(about), spans, str(about.get("by") or ""),
        about.get("reviewed") is True, about.get("edited") is True, str(about.get("digest") or ""),
    )  # fmt: skip


def _passages(about: Mapping[str, Any]) -> tuple[Span, ...]:
    try:
        return tuple((str(doc_id), int(start), int(end)) for doc_id, start, end in about.get("passages") or ())
    except (TypeError, ValueError):
        return ()


def _rejected(folder: Path) -> dict[str, tuple[Span, ...]]:
    path = folder / STATE / "rejected.jsonl"
    if not path.exists():
        return {}
    return {str(row.get("_id")): _passages(row) for _, row in read_jsonl(path, [])}


def _source(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_text(folder / "SOURCE.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# ---- writing


def write(folder: Path, contents: Contents, items: Sequence[Item], rejected: Mapping[str, tuple[Span, ...]]) -> None:
    """Write the synthetic questions of a folder: these, and no other; all other lines stay."""
    ours = {item.query_id for item in (*contents.items, *items)}
    _replace(folder / PLAIN["queries"], ours, map(_query_row, items), "_id")
    _replace(folder / PLAIN["answers"], ours, map(_answer_row, items), "_id")
    spans = (
        {"query_id": item.query_id, "doc_id": doc_id, "start": start, "end": end}
        for item in items
        for doc_id, start, end in item.spans
    )
    _replace(folder / PLAIN["spans"], ours, spans, "query_id")
    for split in SPLITS:
        rows = [
            f"{item.query_id}\t{doc_id}\t1"
            for item in items
            if item.split == split and item.answerable
            for doc_id in item.doc_ids
        ]
        _replace_rows(folder / "qrels" / f"{split}.tsv", HEADER, ours, rows)
    open_ones = [f"{item.query_id}\t{item.split}" for item in items if not item.answerable]
    _replace_rows(folder / PLAIN["splits"], "query-id\tsplit\n", ours, open_ones)
    _write_rejected(folder, rejected)
    by = ", ".join(sorted({item.by for item in items if item.by}))
    counts = {"synthetic": len(items), "reviewed": sum(item.reviewed for item in items), "by": by}
    source = {**contents.source, "questions": counts}
    write_atomically(folder / "SOURCE.json", json.dumps(source, indent=1, ensure_ascii=False) + "\n")


def _query_row(item: Item) -> dict[str, Any]:
    about: dict[str, Any] = {"synthetic": True, "reviewed": item.reviewed, "kind": item.kind, "by": item.by}
    about |= {"edited": True} if item.edited else {}
    about |= {"document": item.doc_ids[0] if item.doc_ids else "", "passages": [list(one) for one in item.passages]}
    about |= {"digest": item.digest} if item.digest else {}
    return {"_id": item.query_id, "text": item.text, "metadata": about}


def _answer_row(item: Item) -> dict[str, Any]:
    answers = [item.answer] if item.answerable else []
    sources = list(item.doc_ids)
    return {"_id": item.query_id, "answers": answers, "answerable": item.answerable, "source_passages": sources}


def _replace(path: Path, ours: set[str], rows: Iterable[Mapping[str, Any]], key: str) -> None:
    """Write a JSON Lines file: the lines of others as they are, then these rows."""
    kept = [line for line in _lines(path) if _key_of(line, key) not in ours]
    new = [json.dumps(row, ensure_ascii=False) for row in rows]
    if kept or new or path.exists():
        write_atomically(path, "".join(f"{line}\n" for line in (*kept, *new)))


def _replace_rows(path: Path, header: str, ours: set[str], rows: Sequence[str]) -> None:
    """Write a table: the lines of others as they are, then these rows; one that would be empty is not begun."""
    lines = _lines(path)
    kept = [line for line in lines if line.split("\t")[0].strip() not in ours]
    if not rows and len(kept) == len(lines):
        return
    kept = kept or [header.rstrip("\n")]
    write_atomically(path, "".join(f"{line}\n" for line in (*kept, *rows)))


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip("\r")]


def _key_of(line: str, key: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    return str(row.get(key, "")).strip() if isinstance(row, dict) else ""


def _write_rejected(folder: Path, rejected: Mapping[str, tuple[Span, ...]]) -> None:
    if rejected:
        rows = ({"_id": key, "passages": [list(one) for one in spans]} for key, spans in rejected.items())
        _replace(folder / STATE / "rejected.jsonl", set(rejected), rows, "_id")
