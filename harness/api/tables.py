"""The tables of results: their columns with types, and their rows.

A table has no nested cells, so that it can be joined, grouped and written to CSV. Its columns are the same for every
outcome, also for one without rows. Values know nothing of tables, and this module nothing of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from harness.results.outcomes import ANSWER_COLUMNS, SCORE_COLUMNS
from harness.values.findings import Comparison, Outcome, SystemInfo
from harness.values.insights import Diagnosis
from harness.values.records import SystemKey

Kind = Literal["text", "integer", "number", "flag"]
"""What a column holds. A number may be missing; texts, integers and flags never are."""
Labels = Mapping[SystemKey, str]
Row = Mapping[str, Any]


class Columns(NamedTuple):
    """The columns of a table, by name, and what a row is."""

    row: str
    kinds: Mapping[str, Kind]


_QUANTILES = ("p50", "p95")
_KINDS: Mapping[str, Kind] = {"string": "text", "int64": "integer", "double": "number", "bool": "flag"}
_SYSTEM: Mapping[str, Kind] = {"system": "text", "seed": "integer", "label": "text"}
_INTERVAL: Mapping[str, Kind] = {
    "difference": "number", "low": "number", "high": "number", "p_value": "number", "margin": "number",
    "detectable": "number", "n_queries": "integer", "n_groups": "integer", "failed": "integer", "verdict": "text",
    "reason": "text",
}  # fmt: skip


def _stored(columns: Mapping[str, str]) -> Mapping[str, Kind]:
    """The columns of a stored file, with the label of the system behind its name and seed."""
    kinds = {name: _KINDS[kind] for name, kind in columns.items()}
    return {**_SYSTEM, **{name: kind for name, kind in kinds.items() if name not in _SYSTEM}}


OUTCOME: Mapping[str, Columns] = {
    "systems": Columns(
        "a system",
        {
            **_SYSTEM, "role": "text", "tunes": "text", "changes": "text", "training": "text",
            "build_seconds": "number", "build_dollars": "number", "retrieval_p50_ms": "number",
            "retrieval_p95_ms": "number", "total_p50_ms": "number", "total_p95_ms": "number",
            "dollars_per_1000": "number", "failed": "text", "stopped": "text",
        },
    ),
    "summaries": Columns(
        "the mean of a system on a measure",
        {**_SYSTEM, "measure": "text", "mean": "number", "n": "integer", "failed": "integer", "spread": "number"},
    ),
    "comparisons": Columns(
        "a difference with its interval", {"family": "text", **_SYSTEM, "measure": "text", **_INTERVAL}
    ),
    "queries": Columns("the score of a query", _stored(SCORE_COLUMNS)),
    "answers": Columns("the answer to a query", _stored(ANSWER_COLUMNS)),
    "ledger": Columns(
        "a stage call",
        {
            "stage": "text", "call": "text", "seconds": "number", "device": "text", "peak_memory_mb": "number",
            "llm_calls": "integer", "prompt_tokens": "integer", "new_tokens": "integer", "role": "text",
            "llm_dollars": "number", "units": "integer", "bytes": "integer", "reused": "flag", "systems": "text",
            "key": "text",
        },
    ),
}  # fmt: skip
"""The tables of an outcome."""
DIAGNOSIS: Mapping[str, Columns] = {
    "funnels": Columns(
        "a place where queries end up",
        {
            "kind": "text", "system": "text", "population": "text", "place": "text", "count": "integer",
            "share": "number", "low": "number", "high": "number",
        },
    ),
    "oracle_gains": Columns(
        "the gain of an oracle in the place of a part",
        {
            "oracle": "text", "measure": "text", "bound": "flag", "real": "number", "best": "number",
            "difference": "number", "low": "number", "high": "number", "detectable": "number",
            "n_queries": "integer", "n_groups": "integer", "reason": "text",
        },
    ),
    "advice": Columns(
        "an advice, best first",
        {
            "rank": "integer", "rule": "text", "kind": "text", "action": "text", "against": "flag", "tunes": "text",
            "candidates": "text", "estimated_seconds": "number", "estimated_dollars": "number",
        },
    ),
    "queries": Columns("the score of a query", _stored(SCORE_COLUMNS)),
}  # fmt: skip
"""The tables of a diagnosis."""
COMPARISON: Mapping[str, Columns] = {
    "comparisons": Columns("a difference with its interval", {**_SYSTEM, "measure": "text", **_INTERVAL})
}
"""The tables of a comparison."""


# ---- rows


def outcome_rows(table: str, outcome: Outcome) -> Iterator[Row]:
    """Yield the rows of a table that an outcome itself holds: all but ``queries`` and ``answers``."""
    labels = labels_of(outcome)
    if table == "systems":
        yield from map(_system, outcome.systems)
    elif table == "summaries":
        for row in outcome.summaries:
            yield {**row.model_dump(), "label": label_in(labels, row.system, row.seed)}
    elif table == "comparisons":
        yield from comparison_rows(outcome.comparisons, labels)
    else:
        for paid in outcome.ledger:
            yield {**paid.model_dump(), "call": paid.label, "systems": ", ".join(paid.systems)}


def comparison_rows(rows: Iterable[Comparison], labels: Labels) -> Iterator[Row]:
    """Yield comparisons with the labels of their systems."""
    for row in rows:
        yield {**row.model_dump(), "label": label_in(labels, row.system, row.seed)}


def diagnosis_rows(table: str, diagnosis: Diagnosis) -> Iterator[Row]:
    """Yield the rows of a table that a diagnosis itself holds: all but ``queries``."""
    if table == "funnels":
        for funnel in diagnosis.funnels:
            for place in funnel.places:
                yield {**place.model_dump(), "kind": funnel.kind, "system": funnel.system, "place": place.name}
    elif table == "oracle_gains":
        for gain in diagnosis.oracle_gains:
            yield gain.model_dump()
    else:
        for advice in diagnosis.advice:
            estimate = advice.estimate
            yield {
                **advice.model_dump(), "tunes": ", ".join(advice.tunes), "candidates": ", ".join(advice.candidates),
                "estimated_seconds": estimate and estimate.seconds, "estimated_dollars": estimate and estimate.dollars,
            }  # fmt: skip


def labels_of(outcome: Outcome) -> Labels:
    """Return the label of each system of an outcome."""
    return {(info.name, info.seed): info.label for info in outcome.systems}


def label_in(labels: Labels, system: str, seed: int) -> str:
    """Return the label of a system; its name if the outcome does not list it, as an accepted one that is gone."""
    return labels.get((system, seed), system)


def _system(info: SystemInfo) -> Row:
    serving = info.serving
    times = {"retrieval": serving and serving.retrieval, "total": serving and serving.total}
    return {
        **info.model_dump(),
        "system": info.name,
        "label": info.label,
        **{name: ", ".join(getattr(info, name)) for name in ("tunes", "changes", "training")},
        **{f"{part}_{at}_ms": time and getattr(time, f"{at}_ms") for part, time in times.items() for at in _QUANTILES},
        "dollars_per_1000": serving and serving.dollars_per_1000,
    }
