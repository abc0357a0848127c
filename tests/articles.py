"""Whole articles out of the passages of `covidqa`, with the answers as judged spans: documents that need chunking.

``python tests/articles.py FOLDER`` writes the dataset there, from the folder `covidqa` below HARNESS_DATA, and a suite
that compares chunkings on it.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

SUITE = """\
schema: harness/suite-2
name: covidqa-articles
title: How should articles be cut into chunks?
dataset: {path: ., language: en, group: {metadata: article}}
pipeline: {depth: 100, generator: null}
candidates:
  tokens-64: {pipeline: {chunking: {tokens: 64}}}
  tokens-128: {pipeline: {chunking: {tokens: 128}}}
  tokens-128-overlap-32: {pipeline: {chunking: {tokens: 128, overlap: 32}}}
  tokens-256: {pipeline: {chunking: {tokens: 256}}}
  sentences-128: {pipeline: {chunking: {by: sentences, tokens: 128}}}
  headings-128: {pipeline: {chunking: {by: headings, tokens: 128}}}
  headings-256: {pipeline: {chunking: {by: headings, tokens: 256}}}
measures: [ndcg@10, recall@10, evidence@250, evidence@1000]
gates: [{measure: evidence@1000, margin: 0.02}, {measure: ndcg@10, margin: 0.02}]
"""
HEADING = re.compile(r"(?<=\n\n)([A-Z][^\n.?!:;]{2,70})(?=\n\n)")
"""A paragraph of a few words without an end is a heading."""


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, values: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")


def build(source: Path, out: Path) -> dict[str, int]:
    """Write the articles of `source` as a dataset with spans; return counts."""
    out.mkdir(parents=True, exist_ok=True)
    texts: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    places: dict[str, tuple[str, int, int]] = {}
    for row in rows(source / "corpus.jsonl"):
        article = row["_id"].rsplit("-", 1)[0]
        titles[article] = row["title"]
        parts = texts.setdefault(article, [])
        # Marks of headings would move what follows, so they are put in before anything is counted.
        text = HEADING.sub(r"## \1", row["text"])
        start = sum(len(part) + 2 for part in parts)
        places[row["_id"]] = (article, start, start + len(text))
        parts.append(text)
    documents = {article: "\n\n".join(parts) for article, parts in texts.items()}
    write_rows(
        out / "corpus.jsonl", [{"_id": key, "title": titles[key], "text": text} for key, text in documents.items()]
    )
    answers = {row["_id"]: row for row in rows(source / "answers.jsonl")}
    spans: list[dict[str, Any]] = []
    articles: dict[str, str] = {}
    exact = 0
    (out / "qrels").mkdir(exist_ok=True)
    for path in sorted((source / "qrels").iterdir()):
        judged: dict[tuple[str, str], int] = {}
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                article, start, end = places[row["corpus-id"]]
                text = documents[article]
                found = [
                    (place, place + len(answer))
                    for answer in answers.get(row["query-id"], {}).get("answers", [])
                    if (place := text.find(answer, start, end)) >= 0
                ]
                exact += bool(found)
                for first, last in found or [(start, end)]:
                    spans.append({"query_id": row["query-id"], "doc_id": article, "start": first, "end": last})
                judged[row["query-id"], article] = max(judged.get((row["query-id"], article), 0), int(row["score"]))
                articles[row["query-id"]] = article
        lines = [f"{query}\t{article}\t{grade}\n" for (query, article), grade in judged.items()]
        (out / "qrels" / path.name).write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")
    write_rows(out / "spans.jsonl", spans)
    queries = [
        {**row, "metadata": {"article": articles[row["_id"]]}}
        for row in rows(source / "queries.jsonl")
        if row["_id"] in articles
    ]
    write_rows(out / "queries.jsonl", queries)
    write_rows(out / "answers.jsonl", [answers[row["_id"]] for row in queries if row["_id"] in answers])
    shutil.copyfile(source / "SOURCE.json", out / "SOURCE.json")
    return {"articles": len(documents), "queries": len(queries), "spans": len(spans), "of an answer": exact}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(build(Path(os.environ["HARNESS_DATA"]) / "covidqa", folder))
    (folder / "suite.yaml").write_text(SUITE, encoding="utf-8")
