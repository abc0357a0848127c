"""Builders: datasets made at run time from installed packages.

A suite names a builder instead of a folder; its module has a function `build` and a number `BUILDER_VERSION` that
changes whenever the same package would give another dataset. This package must not know stages or scores.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Protocol, cast

from harness.errors import ConfigError, nearest
from harness.values.records import Document, Qrels, Query, Reference

BUILDERS = {"scipy-api": "harness.data.builders.scipy_api"}


class Built(NamedTuple):
    """A dataset in memory. `splits` maps a query to its split, `source` says what it was made from."""

    documents: list[Document]
    queries: list[Query]
    qrels: Qrels
    references: dict[str, Reference]
    splits: dict[str, str]
    source: dict[str, Any]


class Builder(Protocol):
    BUILDER_VERSION: int

    def build(
        self, symbols: int | None, unanswerable: float, split_seed: int, arguments: bool = ..., summaries: bool = ...
    ) -> Built: ...


def load_builder(name: str) -> Builder:
    """Import the builder that the suite names."""
    if name not in BUILDERS:
        raise ConfigError(f"no builder {name!r}; {nearest(name, BUILDERS)}")
    return cast(Builder, importlib.import_module(BUILDERS[name]))
