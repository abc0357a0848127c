"""What a dataset folder says of the queries in one of its files of judgements.

A run is scored by a file of judgements alone; whether a model wrote its queries stands in the files beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.data.beir import read_source
from harness.data.folders import QUERIES, first_of
from harness.data.formats import read_jsonl
from harness.values.questions import SyntheticQuestions, synthetic_questions
from harness.values.records import Query
from harness.values.repairs import Repairing


def synthetic_beside(qrels: Path, query_ids: Iterable[str]) -> SyntheticQuestions | None:
    """Return what the dataset folder of a file of judgements says of these queries.

    None if none of them is synthetic, or if the file lies in no dataset folder with a `queries.jsonl`.
    """
    folder = qrels.parent.parent if qrels.parent.name == "qrels" else qrels.parent
    path = first_of(folder, QUERIES[:2], [])
    if not path.is_file():
        return None
    about = {str(row.get("_id", "")).strip(): row.get("metadata") for _, row in read_jsonl(path, [], Repairing())}
    queries = [
        Query(key, "", key, metadata if isinstance(metadata := about.get(key), Mapping) else {}) for key in query_ids
    ]
    return synthetic_questions(queries, read_source(folder))
