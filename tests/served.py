"""A suite with systems of every kind that can be served, run once with tiny models; and systems that pretend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import smallsuite
import tiny
from loopback import running

from harness.execution.served_system import Found, Served
from harness.experiments import benchmark
from harness.experiments.benchmark import Finished
from harness.llm import Reply
from harness.serving.access import Access
from harness.serving.app import About, App
from harness.serving.server import Server
from harness.serving.worker import Worker
from harness.values.passages import span_of

CHANGES: dict[str, Any] = {
    "name": "served",
    "pipeline.depth": 20,
    "pipeline.rerank_depth": 8,
    "pipeline.context": 2,
    "candidates": {
        "tuned": {"tune": ["retriever"]},
        "ranked": {"pipeline": {"reranker": {"kind": "late-interaction", "blend": 0.5}}},
        "ordered": {"pipeline": {"reranker": {"kind": "late-interaction", "blend": False}}},
        "mixed": {"pipeline": {"retriever": {"bm25_weight": "dev"}}},
        "chunks": {"pipeline": {"chunking": {"tokens": 24, "overlap": 6}}},
        "graph": {"pipeline": {"retriever": {"index": {"kind": "faiss", "method": "hnsw"}}}},
    },
    "baseline_rows": ["closed-book", "bm25", "hybrid", "untuned", "few-shot", "oracle-context"],
    "evaluate": {"split": "test", "generation_queries": 6, "probe_queries": 3, "probe_generations": 2},
    "measures": ["ndcg@10", "recall@10", "exact_match"],
}


class Run:
    """A suite file, its folder of results, and the run."""

    def __init__(self, folder: Path, finished: Finished) -> None:
        self.suite, self.store, self.finished = folder / "suite.yaml", folder / "store", finished


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("served")
    writer = tiny.generator(folder / "writer", smallsuite.vocabulary())
    generator = {
        "model": str(writer), "max_new_tokens": 6, "passage_tokens": 24, "few_shot": 1, "instruction": "answer it",
    }  # fmt: skip
    path = smallsuite.write(
        folder, smallsuite.bi_encoder(folder / "model"), {**CHANGES, "pipeline.generator": generator}
    )
    return Run(folder, benchmark.run(path, folder / "store", executor=smallsuite.Here()))


# ---- systems that pretend


def found(count: int, shown: int = 2, chunks: bool = False) -> tuple[Found, ...]:
    """Passages of the manual, whole or chunks of it."""
    ids = [f"manual-{place}#{10 * place}-{10 * place + 9}" if chunks else f"manual-{place}" for place in range(count)]
    return tuple(
        Found(
            key, 3.5 - place / 4, f"Valve {place}", f"The ball valve number {place} is closed by hand. " * 9,
            place < shown, span_of(key) if chunks else None,
        )
        for place, key in enumerate(ids)
    )  # fmt: skip


class Pretended:
    """A system that answers by a function of the question, and notes what it was asked."""

    def __init__(
        self, label: str = "untuned", answer: Callable[[str], Any] = lambda text: f"You asked: {text}",
        passages: tuple[Found, ...] = found(12),
    ) -> None:  # fmt: skip
        self.label, self.answer, self.found = label, answer, passages
        self.answers, self.passages, self.searched = True, 120, ""
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def ask(self, text: str, turns: Any = (), most: int = 10) -> Served:
        self.asked.append((text, tuple(turns)))
        said = self.answer(text)
        reply = said if isinstance(said, Reply) or said is None else Reply(said, prompt_tokens=40, new_tokens=7)
        times: dict[Any, float] = {"search": 12.34, "rerank": 3.21} | ({"answer": 1234.5} if reply else {})
        return Served(self.found[:most], reply, times, self.searched or text)


def app_of(systems: Mapping[str, Any], room: int = 32) -> App:
    about = About("support", "Support of valves", "2026-11-29", dict.fromkeys(systems, "ndcg@10 0.612"))
    return App(systems, about, Worker(room))


@contextmanager
def serving(systems: Mapping[str, Any] | App, access: Access = Access()) -> Iterator[Server]:  # noqa: B008
    """A server on a free port of this machine, in a thread of its own."""
    server = Server("127.0.0.1", 0, access, lambda line: None)
    server.open(systems if isinstance(systems, App) else app_of(systems))
    with running(server):
        yield server
