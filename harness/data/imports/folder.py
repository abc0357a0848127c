"""Write what was imported as a dataset folder."""

from __future__ import annotations

import json
from pathlib import Path

from harness.data.formats import write_jsonl, write_qrels
from harness.data.imports.imported import Imported
from harness.files import write_atomically


def write_folder(imported: Imported, folder: Path) -> None:
    """Write all files of a dataset folder; the splits of queries without judgements are in `splits.tsv`."""
    write_jsonl(folder / "corpus.jsonl", imported.documents)
    write_jsonl(folder / "queries.jsonl", imported.queries)
    unjudged = []
    for split, queries in imported.qrels.items():
        write_qrels(folder / "qrels" / f"{split}.tsv", queries)
        unjudged += [f"{query_id}\t{split}\n" for query_id, grades in queries.items() if not grades]
    if unjudged:
        write_atomically(folder / "splits.tsv", "query-id\tsplit\n" + "".join(unjudged))
    if imported.answers:
        write_jsonl(folder / "answers.jsonl", imported.answers)
    if imported.spans:
        write_jsonl(folder / "spans.jsonl", imported.spans)
    write_atomically(folder / "SOURCE.json", json.dumps(imported.source, ensure_ascii=False, indent=2) + "\n")
