"""A loaded and checked data set: corpus, queries, qrels, references, groups, splits.

Every rule is checked at the door and all problems are reported together, so that a bad line is found before an hour
was spent on the good ones. Knows nothing of stages or stores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.data import beir
from harness.data.builders import load_builder
from harness.digests import digest_of
from harness.errors import DataError, Problem, nearest
from harness.suite.sources import Dataset as DatasetSpec
from harness.suite.sources import Grouping
from harness.text import Detected, detect
from harness.values.findings import DatasetInfo
from harness.values.records import Document, Qrels, Query, Reference

MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Split:
    """The questions of one split. `queries` holds every one, also those without qrels (unanswerable)."""

    queries: Mapping[str, Query]
    qrels: Qrels
    references: Mapping[str, Reference]

    @property
    def judged(self) -> list[str]:
        """Queries with at least one relevant document, in file order."""
        return [query_id for query_id in self.queries if any(self.qrels.get(query_id, {}).values())]

    @property
    def groups(self) -> dict[str, str]:
        return {query_id: query.group for query_id, query in self.queries.items()}


@dataclass(frozen=True)
class Dataset:
    """A corpus and its splits, checked. `digests` names the content of each part."""

    name: str
    documents: Mapping[str, Document]
    splits: Mapping[str, Split]
    source: Mapping[str, Any]
    asked_language: str = "auto"

    @cached_property
    def detected(self) -> Detected:
        """The language that the suite names, else the one that the corpus is in."""
        if self.asked_language != "auto":
            return Detected(self.asked_language, given=True)
        return detect([document.content for document in self.documents.values()])

    @property
    def language(self) -> str:
        """What words are read as: a code, or several joined by ``+``."""
        return self.detected.language

    @cached_property
    def digests(self) -> dict[str, str]:
        """Content digest of the corpus and, for each split, of queries, qrels, references and groups."""
        found = {"corpus": digest_of([list(document) for document in self.documents.values()])}
        for name, split in self.splits.items():
            found[f"{name}.queries"] = digest_of([[query.query_id, query.text] for query in split.queries.values()])
            found[f"{name}.qrels"] = digest_of(split.qrels)
            found[f"{name}.references"] = digest_of([list(reference) for reference in split.references.values()])
            found[f"{name}.groups"] = digest_of(split.groups)
        return found

    @property
    def digest(self) -> str:
        return digest_of(self.digests)

    def describe(self, split_name: str, answered: int) -> DatasetInfo:
        """Counts for the report; `answered` is the number of questions that generators are asked."""
        split = self.splits[split_name]
        unanswerable = sum(not reference.answerable for reference in split.references.values())
        return DatasetInfo(
            name=self.name,
            digest=self.digest,
            documents=len(self.documents),
            queries={name: len(part.queries) for name, part in self.splits.items()},
            groups=len(set(split.groups.values())),
            judged=len(split.judged),
            answerable=len(split.references) - unanswerable,
            unanswerable=unanswerable,
            answered=answered,
            digests=self.digests,
            source=dict(self.source),
        )


def load_dataset(spec: DatasetSpec, split: str) -> Dataset:
    """Load and check the data set of a suite; `split` is the one to be scored.

    Raises DataError with every problem found (the first 20 in words, the rest as a count).
    """
    problems: list[Problem] = []
    if spec.builder is not None:
        built = load_builder(spec.builder).build(spec.symbols, spec.unanswerable, spec.split_seed)
        raw = beir.Raw(
            built.documents, built.queries, built.qrels, built.references, built.splits, dict(built.source), {}
        )
        name = where = str(spec.builder)
    else:
        folder = Path(str(spec.path))
        raw = beir.read_folder(folder, problems)
        name, where = folder.name, str(folder)
    dataset = replace(_assemble(raw, name, where, spec.group, problems), asked_language=spec.language)
    if not problems and not dataset.splits.get(split, Split({}, {}, {})).judged:
        known = [part for part in dataset.splits if dataset.splits[part].judged]
        problems.append(Problem(where, f"no judged query in split {split!r}", nearest(split, known, "score")))
    if problems:
        rest = len(problems) - MAX_PROBLEMS
        more = [Problem(where, f"{rest} more problems of this kind", "mend those above first")] if rest > 0 else []
        raise DataError(problems[:MAX_PROBLEMS] + more)
    return dataset


def _assemble(raw: beir.Raw, name: str, where: str, grouping: Grouping | None, problems: list[Problem]) -> Dataset:
    """Check what the parts say of each other, and sort the queries into splits."""
    documents = {document.doc_id: document for document in raw.documents}
    queries = {query.query_id: query for query in raw.queries}
    problems += _duplicates("document", [document.doc_id for document in raw.documents], where, raw.lines)
    problems += _duplicates("query", [query.query_id for query in raw.queries], where, raw.lines)
    for kind, items in (("document", documents), ("query", queries)):
        empty = [key for key, item in items.items() if not item.text.strip()]
        problems += [Problem(_at(raw, kind, key, where), f"{kind} {key!r} has no text", "remove it") for key in empty]
    for query_id, docs in raw.qrels.items():
        if query_id not in queries:
            problems.append(Problem(_at(raw, "judgement", query_id, where), f"judges the unknown query {query_id!r}"))
        for doc_id in docs:
            if doc_id not in documents:
                at = _at(raw, "judgement", f"{query_id}\t{doc_id}", where)
                problems.append(Problem(at, f"query {query_id!r} judges the unknown document {doc_id!r}"))
    for query_id, reference in raw.references.items():
        for doc_id in reference.source_passages:
            if doc_id not in documents:
                problems.append(Problem(_at(raw, "answers", query_id, where), f"names the unknown document {doc_id!r}"))
    placed = [key for key in raw.splits if key not in raw.qrels]
    for what, keys in (("answers", raw.references), ("splits", placed)):
        unknown = [key for key in keys if key not in queries]
        problems += [Problem(_at(raw, what, key, where), f"names the unknown query {key!r}") for key in unknown]
    if grouping is not None and grouping.metadata is not None:
        fields = {field for query in queries.values() for field in query.metadata}
        if queries and grouping.metadata not in fields:
            what = f"no query has the metadata field {grouping.metadata!r}"
            problems.append(Problem(where, what, nearest(grouping.metadata, fields)))
    if grouping is not None and grouping.doc_id_prefix and not any(grouping.doc_id_prefix in key for key in documents):
        what = f"group.doc_id_prefix {grouping.doc_id_prefix!r} stands in no document id"
        problems.append(Problem(where, what, "give the sign that ends the prefix"))
    if grouping is not None:
        queries = {key: query._replace(group=_group(query, raw, grouping)) for key, query in queries.items()}
    splits = {}
    for part in beir.SPLITS:
        ids = [key for key in queries if raw.splits.get(key) == part]
        splits[part] = Split(
            {key: queries[key] for key in ids},
            {key: raw.qrels[key] for key in ids if key in raw.qrels},
            {key: raw.references[key] for key in ids if key in raw.references},
        )
    source = {key: value for key, value in raw.source.items() if key != "path"}
    return Dataset(name, documents, {part: split for part, split in splits.items() if split.queries}, source)


def _duplicates(kind: str, ids: list[str], where: str, lines: Mapping[tuple[str, str], str]) -> list[Problem]:
    twice = [key for key, count in Counter(ids).items() if count > 1]
    return [Problem(lines.get((kind, key), where), f"{kind} id {key!r} is used twice", "rename one") for key in twice]


def _at(raw: beir.Raw, kind: str, key: str, where: str) -> str:
    return raw.lines.get((kind, key), where)


def _group(query: Query, raw: beir.Raw, grouping: Grouping) -> str:
    """The group of a query: a metadata field, or what its documents' ids share; else the query itself."""
    if grouping.metadata is not None:
        return str(query.metadata.get(grouping.metadata, query.query_id))
    reference = raw.references.get(query.query_id)
    relevant = [doc_id for doc_id, relevance in raw.qrels.get(query.query_id, {}).items() if relevance > 0]
    sources = [*relevant, *(reference.source_passages if reference else ())]
    separator = str(grouping.doc_id_prefix)
    return min(doc_id.split(separator)[0] for doc_id in sources) if sources else query.query_id
