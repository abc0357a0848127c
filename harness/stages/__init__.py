"""The stages, in the order of the pipeline.

A stage is a plain function ``stage(spec, inputs, out, seed, progress) -> Usage``: it reads the input artifacts
(folders by name), writes into the folder `out`, and says what it used. It does no caching, chooses no paths and
sets up no logging. Change a stage's version whenever its result may change.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.values.records import Progress, Usage

Inputs = Mapping[str, Path]
StageFunction = Callable[[Any, Inputs, Path, int, Progress], Usage]


class Stage(NamedTuple):
    """What is known of a stage without importing it.

    `packages` are the distributions whose version enters the key; `rate` is a first guess at units a second on two
    cores, used for estimates until the store knows better; `unit` says what is counted.
    """

    version: int
    heavy: bool
    packages: tuple[str, ...]
    rate: float
    unit: str


ENCODING = ("sentence-transformers", "transformers", "torch")
TRAINING = (*ENCODING, "accelerate", "datasets")

STAGES: dict[str, Stage] = {
    "convert": Stage(1, True, ("transformers", "gguf"), 0.03, "models"),
    "synthesize": Stage(2, True, ("transformers", "torch"), 1.5, "queries"),
    "sift": Stage(4, True, ("sentence-transformers", "torch", "bm25s"), 60.0, "queries"),
    "mine": Stage(4, True, ("sentence-transformers", "torch"), 60.0, "pairs"),
    "label": Stage(2, True, (*ENCODING, "bm25s"), 100.0, "passages"),
    "instruct": Stage(2, True, ("transformers", "torch"), 100.0, "examples"),
    "tune_retriever": Stage(4, True, (*TRAINING, "peft"), 3.0, "lists"),
    "tune_reranker": Stage(2, True, TRAINING, 5.0, "passages"),
    "tune_generator": Stage(2, True, ("transformers", "torch", "accelerate", "datasets", "peft", "trl"), 0.5, "rows"),
    "index": Stage(2, True, ("sentence-transformers", "torch", "bm25s"), 25.0, "passages"),
    "retrieve": Stage(2, True, ("sentence-transformers", "torch", "bm25s"), 60.0, "queries"),
    "fuse": Stage(1, False, (), 2000.0, "queries"),
    "rerank": Stage(2, True, ENCODING, 20.0, "passages"),
    "substitute": Stage(1, False, (), 2000.0, "questions"),
    "answer": Stage(2, True, ("transformers", "torch"), 0.6, "answers"),
}


def load_stage(name: str) -> tuple[StageFunction, type[Any]]:
    """Import a stage; return its function and its spec class."""
    module = importlib.import_module(f"harness.stages.{name}")
    function: StageFunction = getattr(module, name)
    spec: type[Any] = getattr(module, "".join(part.capitalize() for part in name.split("_")))
    return function, spec
