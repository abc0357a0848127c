"""Evaluation-driven benchmarks for tuning a RAG pipeline: which part to tune, what it buys, what it costs.

From Python, use `run`, `diagnose`, `compare` and `load_outcome`; docs/python.md explains them. `import harness` imports
nothing else: a name is looked up when it is first used. Type checkers read the names from `__init__.pyi`.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"
PUBLIC = {
    "run": "harness.api",
    "diagnose": "harness.api",
    "compare": "harness.api",
    "load_outcome": "harness.api",
    "OutcomeResult": "harness.api.results",
    "RunResult": "harness.api.results",
    "DiagnosisResult": "harness.api.results",
    "ComparisonResult": "harness.api.results",
    "HarnessError": "harness.errors",
}
"""Public name -> the module that defines it. Import contracts follow imports, so this module must not have any."""


def __getattr__(name: str) -> object:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
