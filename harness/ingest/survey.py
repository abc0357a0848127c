"""What a dataset folder holds, counted: documents, their lengths and language, questions, splits, answers.

Only what is needed to choose the settings of a suite; `harness.data` checks a folder when it is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.folders import CORPUS, QUERIES, SPANS, SPLITS, first_of, qrels_files
from harness.data.formats import read_jsonl, read_table
from harness.data.judgements import read_judgements
from harness.errors import ConfigError, Problem
from harness.files import read_text
from harness.ingest.tally import ENCODER_WORDS
from harness.suite.sources import ReadingRule
from harness.text import Detected, detect
from harness.text.chunks import headings
from harness.values.repairs import Repairing

SAMPLED = 2000
"""Documents whose text is looked at, at equal steps."""
GROUPS = ("conversation", "document", "article")
"""Metadata by which queries are grouped, if they have any of it."""
STEP_BYTES = 4000
"""Characters of a document by which its language is recognised."""


class Survey(NamedTuple):
    """`long` and `sectioned` are shares of the documents that were sampled: with more words than an encoder of 256
    tokens reads, and with more than one heading. `splits` counts the judged queries of each split, `spans` the lines
    that say where in a document the evidence lies. `group` is the metadata of queries that says which are alike.
    """

    documents: int
    long: float
    sectioned: float
    language: Detected
    queries: int
    splits: dict[str, int]
    answers: int
    unanswerable: int
    synthetic: int
    reviewed: int
    spans: int = 0
    group: str = ""


def survey(folder: Path) -> Survey:
    """Count what a dataset folder holds. Raises ConfigError if it has no corpus."""
    corpus = first_of(folder, CORPUS, [])
    if not corpus.is_file():
        what, hint = "holds no corpus.jsonl", "make one with: harness ingest SOURCE DIR"
        if not folder.is_dir():
            what, hint = "no such folder", "give the folder of a dataset"
        raise ConfigError(Problem(str(folder), what, hint))
    total = sum(1 for _ in _rows(corpus))
    texts, long, sectioned = list[str](), 0, 0
    step = max(1, total // SAMPLED)
    for number, row in enumerate(_rows(corpus)):
        if number % step:
            continue
        text = str(row.get("text") or "")
        long += len(text.split()) > ENCODER_WORDS
        sectioned += len(headings(text)) > 1
        texts.append(f"{row.get('title') or ''}\n{text[:STEP_BYTES]}")
    if not total:
        raise ConfigError(Problem(str(corpus), "holds no document", "make it with: harness ingest SOURCE DIR"))
    answers, unanswerable = _answers(folder)
    made = _questions(folder)
    return Survey(
        total, long / len(texts), sectioned / len(texts), detect(texts), _count(first_of(folder, QUERIES, [])),
        _splits(folder), answers, unanswerable, _number(made.get("synthetic")), _number(made.get("reviewed")),
        _count(folder / SPANS), _group(first_of(folder, QUERIES, [])),
    )  # fmt: skip


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file; what cannot be read is told when the dataset is used."""
    if path.suffix == ".tsv":
        for _, (key, text) in read_table(path, ("_id", "text"), []):
            yield {"_id": key, "text": text}
        return
    for _, row in read_jsonl(path, [], Repairing()):
        yield row


def _count(path: Path) -> int:
    return sum(1 for _ in _rows(path)) if path.is_file() else 0


def _group(path: Path) -> str:
    """The first of the usual fields that any query has."""
    found: set[str] = set()
    for row in _rows(path) if path.is_file() else ():
        metadata = row.get("metadata")
        found |= metadata.keys() if isinstance(metadata, dict) else set()
    return next((name for name in GROUPS if name in found), "")


def _splits(folder: Path) -> dict[str, int]:
    files = qrels_files(folder, [], Repairing(), ReadingRule()) if (folder / "qrels").is_dir() else []
    counted = {name: len({item.query_id for item in read_judgements(path, [], Repairing())}) for name, path in files}
    return {name: counted[name] for name in SPLITS if counted.get(name)}


def _answers(folder: Path) -> tuple[int, int]:
    """The answers, and how many say that there is none."""
    path = first_of(folder, ("answers.jsonl",), [])
    rows = list(_rows(path)) if path.is_file() else []
    unanswerable = sum(row.get("answerable") is False or not row.get("answers") for row in rows)
    return len(rows), unanswerable


def _questions(folder: Path) -> dict[str, Any]:
    """What SOURCE.json says of synthetic questions."""
    try:
        value = json.loads(read_text(folder / "SOURCE.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    questions = value.get("questions") if isinstance(value, dict) else None
    return questions if isinstance(questions, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
