"""Run files of any system, judged: a TREC run and judgements in, scores by query out. Knows no suite and no store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import scoring
from harness.data import formats
from harness.errors import DataError, Problem
from harness.values.measures import Measure
from harness.values.records import Qrels, Run


class RunScores(NamedTuple):
    """Scores by measure and query, over every judged query, and what a reader must know of the two files.

    `missing_lists`: judged queries that the run lacks (each an empty list: 0). `unjudged_queries`: queries of the run
    that nobody judged (left out). `unknown_documents`: listed documents, of `documents`, that no judgement names.
    """

    values: dict[Measure, dict[str, float]]
    queries: int
    missing_lists: int
    unjudged_queries: int
    documents: int
    unknown_documents: int

    @property
    def means(self) -> dict[str, float]:
        return {str(measure): sum(found.values()) / len(found) for measure, found in self.values.items()}

    def remarks(self) -> list[str]:
        told = []
        if self.missing_lists:
            told.append(
                f"{self.missing_lists} of {self.queries} judged queries have no list in the run: each scores 0."
            )
        if self.unjudged_queries:
            told.append(f"{self.unjudged_queries} queries of the run are not judged, and are left out.")
        if self.documents and self.unknown_documents == self.documents:
            told.append("No listed document is named in any judgement: are these the ids of the same corpus?")
        return told

    def as_json(self) -> dict[str, Any]:
        counts = {name: value for name, value in self._asdict().items() if name != "values"}
        per_query = {str(measure): found for measure, found in self.values.items()}
        return {"means": self.means, **counts, "per_query": per_query}


def score_files(run_file: Path, qrels_file: Path, measures: Sequence[Measure]) -> RunScores:
    """Score a TREC run. Raises DataError for files that cannot be read, or that have no query in common."""
    return score(read_run(run_file), read_qrels(qrels_file), measures, run_file, qrels_file)


def score(run: Run, qrels: Qrels, measures: Sequence[Measure], run_file: Path, qrels_file: Path) -> RunScores:
    """Score lists that were read; the files are named in errors."""
    judged = scoring.judged_queries(qrels)
    if not judged:
        raise DataError(Problem(str(qrels_file), "no document is relevant to any query", "give judgements above 0"))
    if not set(judged) & run.keys():
        like = f"such as {next(iter(run))!r} and {judged[0]!r}" if run else "it is empty"
        raise DataError(
            Problem(str(run_file), f"no query in common with {qrels_file} ({like})", "give both of one set")
        )
    named = {doc_id for documents in qrels.values() for doc_id in documents}
    listed = [doc_id for query in judged for doc_id, _ in run.get(query, [])]
    return RunScores(
        values=scoring.score_run(run, qrels, measures),
        queries=len(judged),
        missing_lists=scoring.missing_lists(run, qrels),
        unjudged_queries=len(run.keys() - qrels.keys()),
        documents=len(listed),
        unknown_documents=sum(doc_id not in named for doc_id in listed),
    )


def read_run(path: Path) -> Run:
    """Read a TREC run; ids are unescaped only where the tag says that the harness wrote them."""
    problems: list[Problem] = []
    first = next((line.split() for _, line in formats.read_lines(path, problems)), [])
    if problems:
        raise DataError(problems)
    return formats.read_run(path, escaped=first[-1:] == [formats.TREC_TAG])


def read_qrels(path: Path) -> Qrels:
    """Read judgements: TREC (``query 0 document relevance``) or BEIR (``query document relevance`` with tabs).

    Raises DataError with file and line for every line that is neither, or judges a pair twice.
    """
    problems: list[Problem] = []
    qrels: Qrels = {}
    for number, line in formats.read_lines(path, problems):
        fields = [field.strip() for field in line.split("\t")] if line.count("\t") == 2 else line.split()
        if number == 1 and fields[0].lower().replace("_", "-") == "query-id":
            continue
        if len(fields) not in (3, 4) or not re.fullmatch(r"-?[0-9]+", fields[-1]):
            what = "not 'query 0 document relevance' with a whole number"
            problems.append(Problem(f"{path}:{number}", what, "give judgements in the form of TREC or BEIR"))
            continue
        query_id, doc_id, grade = fields[0], fields[-2], int(fields[-1])
        if doc_id in qrels.get(query_id, {}):
            problems.append(Problem(f"{path}:{number}", f"query {query_id!r} judges document {doc_id!r} twice"))
        qrels.setdefault(query_id, {})[doc_id] = max(grade, 0)
    if problems:
        raise DataError(problems)
    return qrels
