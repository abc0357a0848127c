"""Check the files of a dataset against each other, repair what has only one reading, and assemble the dataset.

A judgement of a document that is not in the corpus is kept: the document counts as relevant and not found, as in
trec_eval. Lines that name an unknown query are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.data.beir import Raw
from harness.data.evidence import checked_spans, of_queries
from harness.data.folders import SPLITS
from harness.data.splits import Dataset, Split
from harness.errors import Problem, nearest
from harness.suite.sources import Grouping, ReadingRule, Repairs
from harness.text.decimals import percent
from harness.values.grades import relevant_grades
from harness.values.passages import SpansOf
from harness.values.records import Document, Qrels, Query, Reference
from harness.values.repairs import KINDS, Repairing

MEND = "check that the files belong together, or raise dataset.repairs"


class CheckedFolder(NamedTuple):
    """The parts of a dataset, all of which name known queries only, and the counts of repairs.

    `absent` holds judged documents that are not in the corpus, `shares` (repairs, of how many) by the kind of repair.
    """

    documents: Mapping[str, Document]
    queries: Mapping[str, Query]
    qrels: Qrels
    references: Mapping[str, Reference]
    absent: frozenset[str]
    shares: Mapping[str, tuple[int, int]]
    spans: SpansOf


def check(raw: Raw, where: str, reading: ReadingRule, problems: list[Problem], repairing: Repairing) -> CheckedFolder:
    """Check documents, queries, judgements and answers against each other; a missing file is not checked against."""
    documents = {document.doc_id: document for document in raw.documents}
    queries = {query.query_id: query for query in raw.queries}
    problems += _duplicates("document", [document.doc_id for document in raw.documents], where, raw.lines)
    problems += _duplicates("query", [query.query_id for query in raw.queries], where, raw.lines)
    for doc_id, document in documents.items():
        if not document.text.strip():
            kind = "title-only" if document.title.strip() else "empty-document"
            repairing.note(kind, _at(raw, "document", doc_id, where), f"{doc_id!r}")
    asked = _with_text(queries, raw, where, reading, problems, repairing)
    qrels, gone = _judged(raw, queries, documents, where, reading, repairing)
    qrels = {key: grades for key, grades in qrels.items() if key in asked or not queries}
    absent = _absent(qrels, documents, raw, where, repairing) if documents else frozenset()
    references = _answered(raw, asked, documents, where, repairing) if asked else dict(raw.references)
    for query_id in raw.splits if asked else ():
        if query_id not in queries and query_id not in raw.qrels:
            repairing.note("absent-split-query", _at(raw, "splits", query_id, where), f"{query_id!r}")
    scored = [key for key in qrels if reading.scored is None or raw.splits.get(key) == reading.scored]
    relevant = [doc_id for key in scored for doc_id in relevant_grades(qrels[key])]
    spans = checked_spans(raw.spans, qrels, documents, reading.relevance_level, problems, repairing)
    counts, judgements = repairing.counts, sum(map(len, raw.qrels.values()))
    left_out = counts.get("left-out-row", 0)
    shares = {
        "left-out-row": (left_out, left_out + len(documents) + len(queries)),
        "empty-document": (counts.get("empty-document", 0), len(documents)),
        "same-document": (counts.get("same-document", 0), len(documents)),
        "same-query": (counts.get("same-query", 0), len(queries)),
        "same-judgement": (counts.get("same-judgement", 0), judgements),
        "same-answer": (counts.get("same-answer", 0), len(raw.references)),
        "absent-document": (sum(doc_id in absent for doc_id in relevant), len(relevant)),
        "absent-query": (gone, gone + len(scored)),
        "absent-answer-query": (counts.get("absent-answer-query", 0), len(raw.references)),
        "absent-source": (counts.get("absent-source", 0), sum(map(_sources, raw.references.values()))),
        "absent-span": (counts.get("absent-span", 0), len(raw.spans)),
    }
    return CheckedFolder(documents, asked, qrels, references, absent, shares, spans)


def _sources(reference: Reference) -> int:
    return len(reference.source_passages)


def _duplicates(kind: str, ids: list[str], where: str, lines: Mapping[tuple[str, str], str]) -> list[Problem]:
    twice = [key for key, count in Counter(ids).items() if count > 1]
    return [Problem(lines.get((kind, key), where), f"{kind} id {key!r} is used twice", "rename one") for key in twice]


def _at(raw: Raw, kind: str, key: str, where: str) -> str:
    return raw.lines.get((kind, key), where)


def _with_text(
    queries: Mapping[str, Query],
    raw: Raw,
    where: str,
    reading: ReadingRule,
    problems: list[Problem],
    repairing: Repairing,
) -> dict[str, Query]:
    """Return the queries that have text. One without is a problem if a split in use has it, and else left out."""
    with_text = {}
    for query_id, query in queries.items():
        split, at = raw.splits.get(query_id), _at(raw, "query", query_id, where)
        if query.text.strip():
            with_text[query_id] = query
        elif split is None or not reading.uses(split):
            repairing.note("unused-query", at, f"{query_id!r}")
        else:
            hint = f"write it, or remove the query from the split {split!r}"
            problems.append(Problem(at, f"query {query_id!r} has no text", hint))
    return with_text


def _judged(
    raw: Raw,
    queries: Mapping[str, Query],
    documents: Mapping[str, Document],
    where: str,
    reading: ReadingRule,
    repairing: Repairing,
) -> tuple[Qrels, int]:
    """Return the judgements of known queries, and the number of judged queries of the scored split that are unknown."""
    qrels: Qrels = {}
    gone = 0
    for stated_id, grades in raw.qrels.items():
        at = _at(raw, "judgement", stated_id, where)
        query_id = _whole_id(stated_id, queries, raw.qrels, at, repairing)
        if queries and query_id not in queries:
            repairing.note("absent-query", at, f"{stated_id!r}")
            gone += reading.scored in (None, raw.splits.get(stated_id))
            continue
        if query_id != stated_id:
            # The split of the judgements is that of the query that they mean.
            assert isinstance(raw.splits, dict)
            raw.splits.setdefault(query_id, raw.splits[stated_id])
        qrels[query_id] = {
            _whole_id(doc_id, documents, grades, at, repairing): grade
            for doc_id, grade in grades.items()
            if not (reading.exclude_own and doc_id == query_id)
        }
    return qrels, gone


def _whole_id(
    text: str, known: Mapping[str, object], others: Mapping[str, object], at: str, repairing: Repairing
) -> str:
    """``3`` for ``3.0`` where only the first is known: a table of numbers that went through floats."""
    if text in known or not re.fullmatch(r"[0-9]+\.0", text):
        return text
    whole = text.removesuffix(".0")
    if whole not in known or whole in others:
        return text
    repairing.note("decimal-id", at, f"{text!r}, read as {whole!r}")
    return whole


def _absent(
    qrels: Qrels, documents: Mapping[str, Document], raw: Raw, where: str, repairing: Repairing
) -> frozenset[str]:
    absent = set()
    for query_id, grades in qrels.items():
        for doc_id, grade in grades.items():
            if doc_id not in documents:
                absent.add(doc_id)
                kind = "absent-document" if grade > 0 else "absent-irrelevant"
                at = _at(raw, "judgement", f"{query_id}\t{doc_id}", where)
                repairing.note(kind, at, f"{doc_id!r} of query {query_id!r}")
    return frozenset(absent)


def _answered(
    raw: Raw, queries: Mapping[str, Query], documents: Mapping[str, Document], where: str, repairing: Repairing
) -> dict[str, Reference]:
    """Return the references to known queries, with their source passages that are in the corpus."""
    references = {}
    for query_id, reference in raw.references.items():
        at = _at(raw, "answers", query_id, where)
        if query_id not in queries:
            repairing.note("absent-answer-query", at, f"{query_id!r}")
            continue
        missing = [doc_id for doc_id in reference.source_passages if documents and doc_id not in documents]
        for doc_id in missing:
            repairing.note("absent-source", at, f"{doc_id!r} of query {query_id!r}")
        sources = tuple(doc_id for doc_id in reference.source_passages if doc_id not in missing)
        references[query_id] = reference._replace(source_passages=sources)
    return references


def too_many(dataset: Dataset, checked: CheckedFolder, allowed: Repairs, split: str, where: str) -> Iterator[Problem]:
    """Yield a problem for every kind of repair that is more frequent than the suite allows."""
    if allowed.share == 0 or allowed.count == 0:
        for repair in dataset.repairs:
            hint = "mend it, or let it be repaired with dataset.repairs"
            for place in repair.examples:
                yield Problem(place, KINDS[repair.kind].one, hint)
            if repair.count > len(repair.examples):
                yield Problem(where, f"{repair.text}, {len(repair.examples)} of which are named above", hint)
        return
    for repair in dataset.repairs:
        if not KINDS[repair.kind].content:
            continue
        count, of = checked.shares.get(repair.kind, (repair.count, 0))
        at = repair.examples[0] if repair.examples else where
        many = KINDS[repair.kind].many
        if of and count == of and repair.kind == "absent-document":
            what = f"none of the {of:,} relevant documents of split {split!r} is in the corpus"
            yield Problem(at, what, "check that corpus and judgements belong together")
        elif of and count / of > allowed.share:
            what = f"{count:,} of {of:,}: {many}, more than dataset.repairs.share allows ({percent(allowed.share)})"
            yield Problem(at, what, MEND)
        elif allowed.count is not None and repair.count > allowed.count:
            what = f"{repair.count:,} {many}, more than dataset.repairs.count allows ({allowed.count:,})"
            yield Problem(at, what, MEND)


def assembled(
    raw: Raw,
    checked: CheckedFolder,
    name: str,
    where: str,
    grouping: Grouping | None,
    reading: ReadingRule,
    problems: list[Problem],
) -> Dataset:
    """Assemble the dataset: sort the queries into splits and groups."""
    documents, queries = checked.documents, dict(checked.queries)
    if grouping is not None and grouping.metadata is not None:
        fields = {field for query in queries.values() for field in query.metadata}
        if queries and grouping.metadata not in fields:
            what = f"no query has the metadata field {grouping.metadata!r}"
            problems.append(Problem(where, what, nearest(grouping.metadata, fields)))
    if grouping is not None and grouping.doc_id_prefix and not any(grouping.doc_id_prefix in key for key in documents):
        what = f"group.doc_id_prefix {grouping.doc_id_prefix!r} is in no document id"
        problems.append(Problem(where, what, "give the sign that ends the prefix"))
    if grouping is not None:
        level = reading.relevance_level
        queries = {key: query._replace(group=_group(query, checked, grouping, level)) for key, query in queries.items()}
    splits = {}
    for part in SPLITS:
        ids = [key for key in queries if raw.splits.get(key) == part]
        qrels = {key: checked.qrels[key] for key in ids if key in checked.qrels}
        splits[part] = Split(
            {key: queries[key] for key in ids},
            qrels,
            {key: checked.references[key] for key in ids if key in checked.references},
            reading.relevance_level,
            frozenset(doc_id for grades in qrels.values() for doc_id in grades if doc_id in checked.absent),
            reading.exclude_own,
            of_queries(checked.spans, ids),
        )
    source = {key: value for key, value in raw.source.items() if key != "path"}
    return Dataset(name, documents, {part: split for part, split in splits.items() if split.queries}, source)


def _group(query: Query, checked: CheckedFolder, grouping: Grouping, level: int) -> str:
    """The group of a query: a metadata field, or what its documents' ids share; else the query itself."""
    if grouping.metadata is not None:
        return str(query.metadata.get(grouping.metadata, query.query_id))
    reference = checked.references.get(query.query_id)
    relevant = relevant_grades(checked.qrels.get(query.query_id, {}), level)
    sources = [*relevant, *(reference.source_passages if reference else ())]
    separator = str(grouping.doc_id_prefix)
    return min(doc_id.split(separator)[0] for doc_id in sources) if sources else query.query_id
