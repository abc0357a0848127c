"""Machines that share an address: each with a cache of its own."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pocket
import pytest

from harness.execution.executors import Cost, InlineExecutor, Request, SynchronousExecutor
from harness.scoring.rank import numba_cache_folder
from harness.values.records import Progress

CHANGES: dict[str, Any] = {
    "pipeline.generator": None,
    "pipeline.retriever": {"max_length": 64},
    "pipeline.depth": 20,
    "data": {},
    "candidates": {"fused": {"pipeline": {"retriever": {"bm25_weight": "dev"}}}},
    "baseline_rows": ["bm25", "untuned"],
    "measures": ["ndcg@10", "recall@10"],
}

COMPILED = os.environ.get("NUMBA_CACHE_DIR") or str(numba_cache_folder())
"""Kernels take minutes to compile: all machines share those of this one."""


def write_suite(folder: Path) -> Path:
    """A suite on the fixture `pocket` in which nothing is trained."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "suite.yaml"
    path.write_text(pocket.suite_text(CHANGES), encoding="utf-8")
    return path


class Here(SynchronousExecutor):
    """Runs calls in this process, and notes their stages."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run(self, request: Request, progress: Progress) -> Cost:
        self.asked.append(request.stage)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return InlineExecutor().run(request, progress)


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[None]:
    """Work as a machine whose cache is this folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _cache(folder).items():
            patch.setenv(name, value)
        yield


def environment(folder: Path) -> dict[str, str]:
    """The environment of a process on such a machine."""
    return {**os.environ, **_cache(folder), "PYTHONPATH": os.pathsep.join(map(str, _paths()))}


def _cache(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder), "NUMBA_CACHE_DIR": COMPILED}


def _paths() -> list[Path]:
    tests = Path(__file__).resolve().parent
    return [tests.parent, tests]
