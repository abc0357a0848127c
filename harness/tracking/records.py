"""What is sent to a tracker, before any tracker's own rules apply: runs with parameters, metrics, tags and files.

These values cross a pipe to the child process that speaks to the tracker, as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field

from harness.hashing import canonical_json, digest_of
from harness.values.frozen import Frozen

SHORT = 8
"""Digits of an identity that stand in names."""


class Metric(Frozen):
    """A number at a step; a cost or a latency (`measured`) may differ between runs that are otherwise the same."""

    name: str
    value: float = Field(allow_inf_nan=False)
    step: int = 0
    measured: bool = False


class TrackedRun(Frozen):
    """A run in a tracker. `key` tells it from the others of a result; `failed` marks a system that failed."""

    key: str
    name: str
    params: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    failed: bool = False


class Tracked(Frozen):
    """A result: its parent run and one run for each system.

    `files` are paths of what is sent with the parent, relative to `folder`. `origin` are tags of the parent that say
    who made the result, and when; like costs, they are no part of its identity. `created` is in seconds since 1970.
    """

    suite: str
    kind: str
    parent: TrackedRun
    runs: tuple[TrackedRun, ...] = ()
    origin: dict[str, str] = Field(default_factory=dict)
    created: float
    seconds: float = 0.0
    folder: str = ""
    files: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """The digest of what was asked and what came out. Results with equal ones are the same result, made twice."""
        return digest_of([self.suite, self.kind, *(_identifying(run) for run in (self.parent, *self.runs))])

    @property
    def short(self) -> str:
        """The beginning of the identity, for names."""
        return self.identity[:SHORT]


def _identifying(run: TrackedRun) -> list[Any]:
    scores = [[metric.name, metric.value, metric.step] for metric in run.metrics if not metric.measured]
    return [run.key, run.name, run.params, run.tags, scores, run.failed]


def metrics(values: Mapping[str, float | int | None], *, measured: bool = False, step: int = 0) -> Iterator[Metric]:
    """Yield the numbers among the values: what is not known, or not finite, is no metric."""
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            yield Metric(name=name, value=float(value), step=step, measured=measured)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings of a section as ``pipeline.retriever.model``, values as text.

    None and empty values are left out. A list of plain values is one setting; one of mappings is written as JSON.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        if value:
            yield name, ", ".join(map(_text, value)) if all(map(_plain, value)) else canonical_json(list(value))
    elif value not in (None, ""):
        yield name, _text(value)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def tags(values: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Return the tags that have a value, as text."""
    return {name: _text(value) for name, value in values if value not in (None, "")}
