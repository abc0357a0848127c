"""The extras of this package: which modules come with each, which are missing, and how an extra is installed.

The base install reads, scores, compares and gates. What loads models or judges answers comes with an extra, and is
imported inside the functions that need it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec

from harness.errors import ModelMissing, Problem

MODULES: Mapping[str, tuple[str, ...]] = {
    "local": (
        "torch", "transformers", "sentence_transformers", "accelerate", "peft", "trl", "datasets", "gguf",
        "huggingface_hub", "safetensors", "tokenizers",
    ),
    "ragas": ("ragas", "rouge_score"),
    "polars": ("polars",),
}  # fmt: skip
"""Extra -> the modules that the harness imports from it. Extras for one library are reported where it is used."""


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'rag-tuning-harness[{extra}]'"


def absent(extra: str) -> list[str]:
    """Return the modules of an extra that are not installed; they are looked for, and not imported."""
    return [module for module in MODULES[extra] if module not in sys.modules and find_spec(module) is None]


def lacking(extra: str, where: str, what: str) -> list[Problem]:
    """Return the problem that something at a place needs an extra that is not installed; an empty list if it is."""
    modules = absent(extra)
    if not modules:
        return []
    more = f" and {len(modules) - 1} more, which are" if len(modules) > 1 else ", which is"
    return [Problem(where, f"{what} needs {modules[0]}{more} not installed", f"run: {install(extra)}")]


def explained(error: ModuleNotFoundError) -> ModelMissing | None:
    """Return what to install for an import that failed; None if no extra brings that module."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in MODULES.items():
        if module in modules:
            return ModelMissing(Problem("", f"the package {module} is not installed", f"run: {install(extra)}"))
    return None
