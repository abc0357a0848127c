"""The dataset `fixtures/pocket` in suites for tests, and an executor that pretends."""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from harness.data.datasets import Dataset, load_dataset
from harness.errors import StageFailed
from harness.execution.executors import Cost, Request, SynchronousExecutor
from harness.suite.files import parse_suite
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.suite.spec import Suite
from harness.values.records import Progress, Usage

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "pocket"
SUITE: dict[str, Any] = {
    "schema": "harness/suite-2",
    "name": "toy",
    "dataset": {"path": "fixture:pocket", "group": {"doc_id_prefix": "-"}},
    "evaluate": {"split": "test", "generation_queries": 6, "probe_queries": 5, "probe_generations": 2},
    "pipeline": {"depth": 30, "context": 2},
    "data": {"synthesize": {"max_documents": 10}},
    "candidates": {"written": {"tune": ["retriever"]}, "judged": {"tune": ["retriever"], "pairs": "judged"}},
    "measures": ["ndcg@10", "recall@10", "exact_match"],
    "gates": [{"measure": "ndcg@10", "margin": 0.02}],
}


def suite_text(changes: dict[str, Any] | None = None) -> str:
    """The suite as a file, with dotted keys changed: ``{"data.data_seed": 1}``; None as a value is kept."""
    value = copy.deepcopy(SUITE)
    for dotted, new in (changes or {}).items():
        *path, last = dotted.split(".")
        place = value
        for key in path:
            place = place.setdefault(key, {})
        place[last] = new
    return yaml.safe_dump(value, sort_keys=False)


def suite(changes: dict[str, Any] | None = None) -> Suite:
    return parse_suite(suite_text(changes), Path("suite.yaml"))


@cache
def dataset() -> Dataset:
    return load_dataset(DatasetSpec.model_validate({**SUITE["dataset"], "path": str(FOLDER)}), "test")


@cache
def words() -> list[str]:
    """Every word of its documents and queries, for the vocabulary of a model."""
    texts = [document.content for document in dataset().documents.values()]
    texts += [query.text for split in dataset().splits.values() for query in split.queries.values()]
    return sorted({word for text in texts for word in re.findall(r"\w+", text.lower())})


class Pretender(SynchronousExecutor):
    """An executor that writes what it was asked for instead of doing it; `trouble` may raise before it does."""

    def __init__(self, trouble: Callable[[str, Request], None] = lambda stage, request: None) -> None:
        self.asked: list[str] = []
        self.trouble = trouble

    def run(self, request: Request, progress: Progress) -> Cost:
        stage = request.function.split(":")[1]
        self.trouble(stage, request)
        self.asked.append(stage)
        given = {name: sorted(path.name for path in place.iterdir()) for name, place in request.inputs.items()}
        wanted = {"stage": stage, "spec": dict(request.spec), "inputs": given, "seed": request.seed}
        (request.out / f"{stage}.json").write_text(json.dumps(wanted, sort_keys=True), encoding="utf-8")
        progress(1, 1)
        return Cost(2.0, 100.0, Usage(units=1))


def failing(name: str, seed: int | None = None) -> Callable[[str, Request], None]:
    """Trouble for one stage (with one seed)."""

    def trouble(stage: str, request: Request) -> None:
        if stage == name and seed in (None, request.seed):
            raise StageFailed(f"{name}: the machine may be out of memory")

    return trouble


def later(work: Callable[[], Cost]) -> Future[Cost]:
    """Do some work in a thread: the future of its cost, or of what it raises."""
    future: Future[Cost] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
