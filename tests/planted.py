"""Pipelines whose fault is known: an executor that retrieves and answers by rule, on a dataset made for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.data.formats import read_run, write_run
from harness.execution.executors import Cost, Request, SynchronousExecutor
from harness.execution.probe import TIMES_FILE
from harness.stages.answer import AnswerSpec as AnswerSpec
from harness.stages.answer import choose_contexts
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.suite.recipes import ABSTENTION
from harness.values.records import Answer, Progress, Usage

QUESTIONS, UNANSWERABLE, FELLOWS = 80, 16, 3
"""Answerable questions, questions without an answer, and passages in the group of each relevant one."""
Rank = Callable[[str, str, Sequence[str]], Sequence[str]]
"""Orders the documents for a query: (query_id, its relevant document, all documents), best first."""
Write = Callable[[str, Sequence[str], bool], str]
"""Answers: (the reference, the passages shown, whether the relevant one is among them)."""


def reference(group: int) -> str:
    """The answer to the question about an article."""
    return f"{900 + group} kelvin"


def write_dataset(folder: Path, word: str = "Passage") -> Path:
    """A BEIR folder: every question has one relevant passage, and an answer with no word of the question."""
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {
            "_id": f"g{group:03d}-{number}",
            "title": "",
            "text": f"{word} {number} of article {group}: {reference(group)}.",
        }
        for group in range(QUESTIONS)
        for number in range(FELLOWS)
    ]
    splits = {"train": range(20), "dev": range(QUESTIONS), "test": range(20)}
    queries, answers, places = [], [], ["query-id\tsplit"]
    for split, groups in splits.items():
        rows = ["query-id\tcorpus-id\tscore"]
        for group in groups:
            name = f"{split}{group:03d}"
            half = {"half": "odd" if group % 2 else "even"}
            queries.append({"_id": name, "text": f"Which value has article {group} in {split}?", "metadata": half})
            answers.append({"_id": name, "answers": [reference(group)], "answerable": True})
            rows.append(f"{name}\tg{group:03d}-0\t1")
            places.append(f"{name}\t{split}")
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for number in range(UNANSWERABLE):
        name = f"none{number:03d}"
        queries.append({"_id": name, "text": f"Which colour has article {number}?"})
        answers.append({"_id": name, "answers": [], "answerable": False, "source_passages": [f"g{number:03d}-0"]})
        places.append(f"{name}\tdev")
    for file, lines in (("corpus", documents), ("queries", queries), ("answers", answers)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{file}.jsonl").write_text(text, encoding="utf-8")
    (folder / "splits.tsv").write_text("\n".join(places) + "\n", encoding="utf-8")
    return folder


def write_suite(folder: Path, **changes: Any) -> Path:
    """A suite on that dataset, in a file beside it."""
    value = {
        "schema": "harness/suite-2",
        "name": "planted",
        "dataset": {"path": "data", "group": {"doc_id_prefix": "-"}},
        "evaluate": {"split": "test", "generation_queries": 20, "probe_queries": 5, "probe_generations": 2},
        "pipeline": {"depth": 20, "context": 3},
        "data": {"pairs": "judged"},
        "diagnose": {"generation_queries": 96},
        "factorial": ["retriever", "reranker", "generator"],
        "measures": ["ndcg@10", "recall@10", "exact_match", "token_f1", "utility"],
        "utility": {"right": "exact_match", "wrong_cost": 1},
        "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"measure": "utility", "margin": 0.05}],
        **changes,
    }
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path


def first(query_id: str, relevant: str, documents: Sequence[str]) -> list[str]:
    """A perfect retriever."""
    return [relevant, *(doc_id for doc_id in documents if doc_id != relevant)]


def last_of_pool(query_id: str, relevant: str, documents: Sequence[str]) -> list[str]:
    """A pool that holds the relevant document, at its very end (15th)."""
    others = shuffled(query_id, relevant, [doc_id for doc_id in documents if doc_id != relevant])
    return [*others[:14], relevant, *others[14:]]


def shuffled(query_id: str, relevant: str, documents: Sequence[str]) -> list[str]:
    """A retriever that knows nothing: an order that has nothing to do with the question."""
    return sorted(documents, key=lambda doc_id: hashlib.sha256(f"{query_id} {doc_id}".encode()).digest())


def attentive(reference: str, context: Sequence[str], holds: bool) -> str:
    """A perfect generator."""
    return reference if holds else ABSTENTION


def inattentive(reference: str, context: Sequence[str], holds: bool) -> str:
    """A generator that does not look at its passages."""
    return "something else"


def reckless(reference: str, context: Sequence[str], holds: bool) -> str:
    """A generator that never abstains."""
    return reference if holds else "5 kelvin"


def wordy(reference: str, context: Sequence[str], holds: bool) -> str:
    """A generator that is right in the wrong format."""
    return f"I am glad you ask: it is {reference}, as the passage says." if holds else ABSTENTION


class Planted(SynchronousExecutor):
    """An executor: ranks and answers by rule, and pretends everything else."""

    def __init__(self, rank: Rank = first, write: Write = attentive) -> None:
        self.rank, self.write = rank, write
        self.asked: list[str] = []

    def run(self, request: Request, progress: Progress) -> Cost:
        stage = request.function.split(":")[1]
        self.asked.append(stage)
        found = getattr(self, f"_{stage}", self._anything)(request)
        progress(1, 1)
        return Cost(2.0, 100.0, found or Usage(units=10))

    def _retrieve(self, request: Request) -> None:
        documents = [f"g{group:03d}-{number}" for group in range(QUESTIONS) for number in range(FELLOWS)]
        run = {}
        for query_id in common.read_queries(request.inputs["queries"]):
            ranked = self.rank(query_id, _relevant(query_id), documents)[: request.spec["depth"]]
            run[query_id] = [(doc_id, 1.0 / place) for place, doc_id in enumerate(ranked, start=1)]
        write_run(request.out / RUN_FILE, run)

    def _rerank(self, request: Request) -> None:
        """A reranker that puts the worst first."""
        run = read_run(request.inputs["run"] / RUN_FILE, escaped=True)
        first = {key: hits[: request.spec["depth"]][::-1] + hits[request.spec["depth"] :] for key, hits in run.items()}
        turned = {
            key: [(doc_id, 1.0 / place) for place, (doc_id, _) in enumerate(hits, 1)] for key, hits in first.items()
        }
        write_run(request.out / RUN_FILE, turned)

    def _answer(self, request: Request) -> None:
        queries = common.read_queries(request.inputs["queries"])
        contexts = choose_contexts(AnswerSpec.model_validate(request.spec), queries, request.inputs)
        answers = []
        for query_id in queries:
            shown = tuple(contexts[query_id])
            holds = not query_id.startswith("none") and _relevant(query_id) in shown
            text = self.write(reference(int(_relevant(query_id)[1:4])), shown, holds)
            answers.append(Answer(query_id, text, 100, 5, shown))
        common.write_answers(request.out, answers)

    def _probe(self, request: Request) -> None:
        times = {"generator": 800.0, "rerank": 200.0}.get(str(request.spec["part"]), 10.0)
        (request.out / TIMES_FILE).write_text(json.dumps([times] * 5), encoding="utf-8")

    def _anything(self, request: Request) -> None:
        (request.out / "made.json").write_text("{}", encoding="utf-8")


def _relevant(query_id: str) -> str:
    return f"g{int(query_id[-3:]):03d}-0"
