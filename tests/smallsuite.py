"""Suites whose models are tiny and are run for real, in this process: a training takes a second or two."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pocket
import tiny

from harness.errors import StageFailed
from harness.execution.executors import Cost, InlineExecutor, Request, SynchronousExecutor
from harness.models.fakes import words
from harness.values.records import Progress

TOPICS = ("lime", "kiln", "ferry", "mail", "slate", "roof", "bell", "tower", "wheat", "mill", "tin", "mine")


class Here(SynchronousExecutor):
    """Runs calls in this process; a library's warning is no error. Stages named `stage` or `stage seed` fail instead.

    `asked` names the stages that were run.
    """

    def __init__(self, *broken: str) -> None:
        self.broken, self.asked = broken, []  # type: tuple[str, ...], list[str]

    def run(self, request: Request, progress: Progress) -> Cost:
        stage = request.function.split(":")[1]
        self.asked.append(stage)
        if {stage, f"{stage} {request.seed}"} & set(self.broken):
            raise StageFailed(f"{stage}: its process was killed by SIGKILL")
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return InlineExecutor().run(request, progress)


def vocabulary(size: int = 300) -> list[str]:
    """The words that the documents of `pocket` use most, and those of the other dataset."""
    counted = Counter(word for document in pocket.dataset().documents.values() for word in words(document.content))
    return [*TOPICS, *(word for word, _ in counted.most_common(size))]


def changes(model: Path, more: Mapping[str, Any] = {}) -> dict[str, Any]:
    """Changes to the suite of `pocket`: one tiny retriever, tuned on judged pairs, and no generator."""
    return {
        "pipeline.generator": None,
        "pipeline.retriever": {"model": str(model), "max_length": 48},
        "pipeline.depth": 20,
        "data": {"pairs": "judged"},
        "candidates": {"judged": {"tune": ["retriever"]}},
        "recipes": {"retriever": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "checkpoints": 1}},
        "baseline_rows": ["bm25", "untuned"],
        "measures": ["ndcg@10", "recall@10"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}],
        **more,
    }


def write(folder: Path, model: Path, more: Mapping[str, Any] = {}) -> Path:
    """The suite as a file in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(pocket.suite_text(changes(model, more)), encoding="utf-8")
    return folder / "suite.yaml"


def bi_encoder(folder: Path) -> Path:
    return tiny.bi_encoder(folder, vocabulary())


def other_dataset(folder: Path, answers: bool = False) -> Path:
    """Another dataset, with ids of its own: a document for each topic, and two questions about each, all of test."""
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"doc {topic}", "title": "", "text": f"The {topic} is old and it is red."} for topic in TOPICS]
    queries = [
        {"_id": f"{kind} {topic}", "text": f"{kind} is the {topic}?"} for topic in TOPICS for kind in ("what", "how")
    ]
    judged = ["query-id\tcorpus-id\tscore", *(f"{row['_id']}\tdoc {row['_id'].split()[1]}\t1" for row in queries)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("\n".join(judged) + "\n", encoding="utf-8")
    if answers:
        said = [{"_id": row["_id"], "answers": ["red"], "answerable": True, "source_passages": []} for row in queries]
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    return folder
