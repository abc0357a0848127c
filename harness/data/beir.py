"""Read a folder in BEIR layout, with the optional `answers.jsonl` and `splits.tsv`.

This module checks each line by itself; `checking` compares the files with each other. Any file may be compressed with
gzip. A damaged file that the suite does not use is left out and counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.evidence import EvidenceSpan, read_spans
from harness.data.folders import CORPUS, QUERIES, SPANS, SPLITS, file_of, first_of, qrels_files, split_named
from harness.data.formats import read_table
from harness.data.histories import before, read_history
from harness.data.judgements import add, read_judgements
from harness.data.objects import RawRow, field_of, read_objects, text_of, typed
from harness.errors import Problem
from harness.files import exists, read_text
from harness.suite.sources import ReadingRule
from harness.text.decimals import is_finite
from harness.values.records import Document, Qrels, Query, Reference
from harness.values.repairs import Repairing

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
    spans: Sequence[EvidenceSpan] = ()


class Splits(NamedTuple):
    """Judgements of all splits, and the split of every query."""

    qrels: Qrels
    of: dict[str, str]


def read_folder(folder: Path, problems: list[Problem], repairing: Repairing, reading: ReadingRule) -> Raw:
    """Read every file of the folder; add what cannot be read to `problems` and count what was repaired."""
    lines: Lines = {}
    documents = _read_documents(first_of(folder, CORPUS, problems), lines, problems, repairing)
    queries = _read_queries(first_of(folder, QUERIES, problems), lines, problems, repairing)
    splits = _read_qrels(folder, lines, problems, repairing, reading)
    _read_splits(folder, splits.of, lines, problems)
    references = _read_answers(folder, lines, problems, repairing, reading)
    spans = read_spans(file_of(folder, SPANS, []), problems, repairing)
    return Raw(documents, queries, splits.qrels, references, splits.of, read_source(folder), lines, spans)


def _read_documents(path: Path, lines: Lines, problems: list[Problem], repairing: Repairing) -> list[Document]:
    documents: dict[str, Document] = {}
    if _is_absent(path, f"run 'harness ingest DOCUMENTS {path.parent}' to make it from documents", problems):
        return []
    for row in read_objects(path, problems, repairing):
        title = field_of(row, "title", problems, repairing)
        document = Document(row.key, title, text_of(row, "document", problems, repairing))
        if _first("document", row, documents.get(row.key), document, lines, problems, repairing):
            documents[row.key] = document
    _check_any(path, "document", documents, problems)
    return list(documents.values())


def _is_absent(path: Path, how: str, problems: list[Problem]) -> bool:
    """Report a file that every dataset needs, with the command that makes it, if there is none."""
    if exists(path) or path.is_symlink():
        return False
    problems.append(Problem(str(path), "no such file", f"write it, or {how}"))
    return True


def _check_any(path: Path, kind: str, items: Mapping[str, object], problems: list[Problem]) -> None:
    """Report a file that can be read but is empty: later errors would not name the cause."""
    if not items and not any(problem.where.startswith(str(path)) for problem in problems):
        problems.append(Problem(str(path), f"holds no {kind}", 'write {"_id": "...", "text": "..."} on each line'))


def _read_queries(path: Path, lines: Lines, problems: list[Problem], repairing: Repairing) -> list[Query]:
    queries: dict[str, Query] = {}
    if _is_absent(path, f"run 'harness testset {path.parent}' to have questions written", problems):
        return []
    for row in read_objects(path, problems, repairing):
        asked = read_history(row, problems, repairing)
        text = asked.query or text_of(row, "query", problems, repairing)
        history = before(asked, text, row.where, repairing)
        query = Query(row.key, text, row.key, typed(row, "metadata", dict, problems), history)
        if _first("query", row, queries.get(row.key), query, lines, problems, repairing):
            queries[row.key] = query
    _check_any(path, "query", queries, problems)
    return list(queries.values())


def _first(
    kind: str, row: RawRow, before: Any, now: Any, lines: Lines, problems: list[Problem], repairing: Repairing
) -> bool:
    """Return whether the id is new. An equal repeat is counted; a different one is a problem."""
    at = lines.setdefault((kind, row.key), row.where)
    if before is None:
        return True
    if before == now:
        repairing.note(f"same-{kind}", row.where, f"{row.key!r}, as {at}")
    else:
        problems.append(Problem(row.where, f"{kind} id {row.key!r} is used twice (first in {at})", "rename one"))
    return False


def _read_qrels(
    folder: Path, lines: Lines, problems: list[Problem], repairing: Repairing, reading: ReadingRule
) -> Splits:
    splits = Splits({}, {})
    files = qrels_files(folder, problems, repairing, reading)
    # What is used comes first, so that a fault between two splits is the fault of the one that is not.
    for name, path in sorted(files, key=lambda item: not reading.uses(item[0])):
        if reading.uses(name):
            _read_split(name, path, splits, lines, problems, repairing)
            continue
        aside, faults, made = Splits(dict(splits.qrels), dict(splits.of)), list[Problem](), Repairing()
        noted = dict(lines)
        _read_split(name, path, aside, noted, faults, made)
        if faults:
            repairing.note("unused-file", str(faults[0].where), faults[0].what)
            continue
        splits.qrels.update(aside.qrels)
        splits.of.update(aside.of)
        lines.update(noted)
        repairing.add(made.made())
    return splits


def _read_split(
    name: str, path: Path, splits: Splits, lines: Lines, problems: list[Problem], repairing: Repairing
) -> None:
    """Add the judgements of a file to those of the other splits; a query belongs to one split."""
    mine: Qrels = {}
    places: dict[str, str] = {}
    for item in read_judgements(path, problems, repairing):
        if splits.of.setdefault(item.query_id, name) != name:
            what = f"query {item.query_id!r} is in two splits ({splits.of[item.query_id]}, {name})"
            problems.append(Problem(item.where, what, "keep it in one"))
            continue
        add(item, mine, places, problems, repairing)
        lines.setdefault(("judgement", item.query_id), item.where)
    lines.update({("judgement", pair): where for pair, where in places.items()})
    splits.qrels.update(mine)


def _read_splits(folder: Path, splits: dict[str, str], lines: Lines, problems: list[Problem]) -> None:
    """Add the splits of `splits.tsv` to those of the judgements, which they must not contradict."""
    path = file_of(folder, "splits.tsv", [])
    if not path.exists():
        return
    for number, (query_id, name) in read_table(path, ("query-id", "split"), problems):
        split = split_named(name)
        if split not in SPLITS:
            problems.append(Problem(f"{path}:{number}", f"split {split!r}", "use train, dev or test"))
        if splits.setdefault(query_id, split) != split:
            what = f"query {query_id!r} is in two splits ({splits[query_id]}, {split})"
            problems.append(Problem(f"{path}:{number}", what, "keep it in one"))
        lines["splits", query_id] = f"{path}:{number}"


def _read_answers(
    folder: Path, lines: Lines, problems: list[Problem], repairing: Repairing, reading: ReadingRule
) -> dict[str, Reference]:
    path = file_of(folder, "answers.jsonl", [])
    if not path.exists():
        return {}
    faults, made = list[Problem](), Repairing()
    references = _references(path, lines, faults, made)
    if faults and not reading.answers:
        repairing.note("unused-file", str(faults[0].where), faults[0].what)
        return {}
    problems += faults
    repairing.add(made.made())
    return references


def _references(path: Path, lines: Lines, problems: list[Problem], repairing: Repairing) -> dict[str, Reference]:
    references: dict[str, Reference] = {}
    for row in read_objects(path, problems, repairing):
        answers, passages = (typed(row, field, list, problems) for field in ("answers", "source_passages"))
        answers = [_answer(answer, row, repairing) for answer in answers]
        answerable = _answerable(row, bool(answers), problems)
        if answerable and not answers:
            problems.append(Problem(row.where, "answerable, but without an answer", "add one"))
        if not all(isinstance(answer, str) and answer.strip() for answer in answers):
            problems.append(Problem(row.where, "an answer without text", "remove it"))
        reference = Reference(row.key, tuple(map(str, answers)), answerable, tuple(map(str, passages)))
        at = lines.setdefault(("answers", row.key), row.where)
        if references.setdefault(row.key, reference) != reference:
            problems.append(Problem(row.where, f"query {row.key!r} is answered twice", "join the answers"))
        elif at != row.where:
            repairing.note("same-answer", row.where, f"{row.key!r}, as {at}")
    return references


def _answer(answer: Any, row: RawRow, repairing: Repairing) -> Any:
    """Return a number as text, and anything else unchanged."""
    if is_finite(answer) or (isinstance(answer, int) and not isinstance(answer, bool)):
        repairing.note("number-text", row.where, f"the answer {answer!r}")
        return str(answer)
    return answer


def _answerable(row: RawRow, answered: bool, problems: list[Problem]) -> bool:
    """Return `answerable` as the line states it, else whether it has an answer; text is neither true nor false."""
    stated = row.fields.get("answerable")
    if stated is None or (isinstance(stated, float) and math.isnan(stated)):
        return answered
    if stated not in (0, 1):
        problems.append(Problem(row.where, f"'answerable' is {stated!r}", "write true or false"))
    return bool(stated)


def read_source(folder: Path) -> dict[str, Any]:
    """Return what a folder says of its origin; empty if it does not."""
    path = folder / "SOURCE.json"
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
