"""Invented stage calls, suite and provenance of an outcome."""

from __future__ import annotations

from typing import Any

from harness.values.findings import (
    LedgerRow,
)

RANK = ("ndcg@10", "recall@100", "mrr@10")
ANSWER = ("exact_match", "token_f1", "semantic_similarity", "utility")
MEASURES = RANK + ANSWER
MARGINS = {"ndcg@10": 0.01, "utility": 0.02}


def digest(number: int) -> str:
    """A digest that is none, but looks like one."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" * 2


def ledger_row(number: int, stage: str, label: str, seconds: float, **changes: Any) -> LedgerRow:
    values = {"device": "cpu", "peak_memory_mb": 1184.0, "bytes": 40_817_221, "systems": ("untuned",)}
    return LedgerRow(key=digest(number), stage=stage, label=label, seconds=seconds, **values | changes)


def ledger() -> tuple[LedgerRow, ...]:
    tuned = ("retriever (seed 0)", "retriever-judged (seed 0)")
    return (
        ledger_row(11, "index", "index bm25", 3.8, bytes=2_611_040, systems=("bm25", "hybrid"), reused=True),
        ledger_row(12, "index", "index untuned", 93.6, systems=("hybrid", "untuned", "few-shot"), reused=True),
        ledger_row(
            13,
            "synthesize",
            "synthesize",
            431.5,
            bytes=214_551,
            llm_calls=612,
            prompt_tokens=118_204,
            new_tokens=9_873,
            systems=tuned[:1],
            notes={"written": 612, "duplicates": 31, "leaked": 4, "round_trip_dropped": 158, "kept": 419},
        ),
        ledger_row(
            14,
            "mine",
            "mine synthetic",
            12.2,
            bytes=301_877,
            systems=tuned[:1],
            notes={"pairs": 419, "hard": 402, "random": 17, "dropped": 9},
        ),
        ledger_row(
            15,
            "tune_retriever",
            "tune_retriever retriever (seed 0)",
            304.3,
            peak_memory_mb=3121.4,
            bytes=90_912_404,
            systems=tuned[:1],
            notes={
                "steps": 28,
                "loss": {"first": 1.8213, "last": 0.6127},
                "dev ndcg@10": {"before": 0.5512, "after": 0.5871},
            },
        ),
        ledger_row(
            16,
            "tune_retriever",
            "tune_retriever retriever-judged (seed 0)",
            309.1,
            peak_memory_mb=3119.8,
            bytes=90_912_404,
            systems=tuned[1:],
            notes={"steps": 22, "loss": {"first": 1.2034, "last": float("nan")}},
        ),
    )


def spec() -> dict[str, Any]:
    return {
        "schema": "harness/suite-2",
        "name": "covidqa",
        "dataset": {"path": "/data/covidqa", "group": {"doc_id_prefix": "-"}},
        "evaluate": {"split": "test", "generation_queries": 120},
        "candidates": {
            "retriever": {"tune": ["retriever"], "pairs": "synthetic"},
            "retriever-judged": {"tune": ["retriever"], "pairs": "judged"},
        },
        "data": {"data_seed": 0},
        "seeds": [0],
        "measures": list(MEASURES),
        "gates": [{"measure": name, "margin": margin} for name, margin in MARGINS.items()],
        "published": {"untuned": {"ndcg@10": 0.561}, "paper-mnrl": {"ndcg@10": 0.612, "recall@100": 0.951}},
    }


def provenance() -> dict[str, Any]:
    return {
        "commit": "3f1c2d9a7b604e5188aa0d3e6a2b9c4f5d6e7081",
        "dirty": True,
        "harness": "0.1.0",
        "command": "harness run covidqa",
        "machine": {"class": "cpu-2", "cpu": "AMD EPYC 7B13", "cores": 2, "memory": "24 GiB", "gpu": None},
        "packages": {"torch": "2.9.1", "sentence-transformers": "5.2.0", "ranx": "0.3.21"},
    }
