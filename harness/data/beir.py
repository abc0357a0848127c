"""A folder in BEIR layout, with the optional `answers.jsonl` and `splits.tsv`, read as it stands.

What is wrong with a single line is found here; what the files say of each other is checked by `datasets`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.formats import read_jsonl, read_table
from harness.errors import Problem
from harness.values.records import Document, Qrels, Query, Reference

SPLITS = ("train", "dev", "test")
Lines = dict[tuple[str, str], str]


class Raw(NamedTuple):
    """The parts as read. `lines` maps (kind of thing, id) to ``file:line`` for problems found later."""

    documents: list[Document]
    queries: list[Query]
    qrels: Qrels
    references: Mapping[str, Reference]
    splits: Mapping[str, str]
    source: dict[str, Any]
    lines: Lines


def read_folder(folder: Path, problems: list[Problem]) -> Raw:
    """Read every file of the folder; what cannot be read is added to `problems`."""
    lines: Lines = {}
    documents = [
        Document(key, str(row.get("title") or ""), str(row.get("text") or ""))
        for key, row in _objects(folder / "corpus.jsonl", "document", lines, problems)
    ]
    queries = [
        Query(key, str(row.get("text") or ""), key, _typed(row, "metadata", dict, lines["query", key], problems))
        for key, row in _objects(folder / "queries.jsonl", "query", lines, problems)
    ]
    qrels, splits = _read_qrels(folder, lines, problems)
    _read_splits(folder, splits, lines, problems)
    return Raw(documents, queries, qrels, _read_answers(folder, lines, problems), splits, _read_source(folder), lines)


def _objects(path: Path, kind: str, lines: Lines, problems: list[Problem]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in read_jsonl(path, problems):
        if not isinstance(row.get("_id"), str) or not row["_id"]:
            problems.append(Problem(f"{path}:{number}", "no '_id' in words", 'write {"_id": "...", ...}'))
            continue
        lines[kind, row["_id"]] = f"{path}:{number}"
        yield row["_id"], row


def _typed(
    row: Mapping[str, Any],
    field: str,
    kind: type[list[Any]] | type[dict[str, Any]],
    where: str,
    problems: list[Problem],
) -> Any:
    """The value of a field that may be left out; one of another type is a problem."""
    value = row.get(field)
    if value is not None and not isinstance(value, kind):
        what, form = ("list", '["..."]') if kind is list else ("object", '{"...": ...}')
        problems.append(Problem(where, f"{field!r} is no {what}", f'write "{field}": {form}'))
        return kind()
    return value or kind()


def _read_qrels(folder: Path, lines: Lines, problems: list[Problem]) -> tuple[Qrels, dict[str, str]]:
    qrels: Qrels = {}
    splits: dict[str, str] = {}
    paths = sorted((folder / "qrels").glob("*.tsv"))
    if not paths:
        problems.append(Problem(str(folder / "qrels"), "no judgements", "add qrels/test.tsv"))
    for path in paths:
        if path.stem not in SPLITS:
            problems.append(Problem(str(path), f"split {path.stem!r}", "use train, dev or test"))
        for number, (query_id, doc_id, grade) in read_table(path, ("query-id", "corpus-id", "score"), problems):
            where = f"{path}:{number}"
            if not re.fullmatch(r"-?[0-9]+", grade):
                problems.append(Problem(where, f"relevance {grade!r} is no whole number", "use grades such as 0, 1, 2"))
                continue
            if doc_id in qrels.get(query_id, {}):
                problems.append(Problem(where, f"query {query_id!r} judges document {doc_id!r} twice", "remove one"))
            if splits.setdefault(query_id, path.stem) != path.stem:
                what = f"query {query_id!r} is in two splits ({splits[query_id]}, {path.stem})"
                problems.append(Problem(where, what, "keep it in one"))
            qrels.setdefault(query_id, {})[doc_id] = max(int(grade), 0)
            lines.setdefault(("judgement", query_id), where)
            lines["judgement", f"{query_id}\t{doc_id}"] = where
    return qrels, splits


def _read_splits(folder: Path, splits: dict[str, str], lines: Lines, problems: list[Problem]) -> None:
    """Add the splits of `splits.tsv` to those of the judgements, which they must not contradict."""
    path = folder / "splits.tsv"
    if not path.exists():
        return
    for number, (query_id, split) in read_table(path, ("query-id", "split"), problems):
        if split not in SPLITS:
            problems.append(Problem(f"{path}:{number}", f"split {split!r}", "use train, dev or test"))
        if splits.setdefault(query_id, split) != split:
            what = f"query {query_id!r} is in two splits ({splits[query_id]}, {split})"
            problems.append(Problem(f"{path}:{number}", what, "keep it in one"))
        lines["splits", query_id] = f"{path}:{number}"


def _read_answers(folder: Path, lines: Lines, problems: list[Problem]) -> dict[str, Reference]:
    path = folder / "answers.jsonl"
    references: dict[str, Reference] = {}
    if not path.exists():
        return references
    for key, row in _objects(path, "answers", lines, problems):
        where = lines["answers", key]
        answers, passages = (_typed(row, field, list, where, problems) for field in ("answers", "source_passages"))
        answerable = bool(row.get("answerable", bool(answers)))
        if answerable and not answers:
            problems.append(Problem(where, "answerable, but without an answer", "add one"))
        if not all(isinstance(answer, str) and answer.strip() for answer in answers):
            problems.append(Problem(where, "an answer without text", "remove it"))
        if key in references:
            problems.append(Problem(where, f"query {key!r} is answered twice", "join the answers"))
        references[key] = Reference(key, tuple(map(str, answers)), answerable, tuple(map(str, passages)))
    return references


def _read_source(folder: Path) -> dict[str, Any]:
    path = folder / "SOURCE.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
