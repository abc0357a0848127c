"""Outcomes with score rows, made up: systems on the same queries, and folders as `harness run` leaves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import outcomes as invented
import pocket

from harness.data import formats
from harness.files import write_atomically
from harness.results import outcomes
from harness.results.baselines import Accepted, Baseline, accepted_system
from harness.results.score_tables import tables_of
from harness.suite.files import load_suite
from harness.values.findings import MeasurementInputs, Outcome, ServingCost, Summary, SystemInfo, Timing
from harness.values.records import Score, ScoreTable, Status

Key = tuple[str, int]
MEASURE = "ndcg@10"
CANDIDATE = "written"
"""A candidate of the suite `toy`; every other system here is a reference row."""
QUERIES = 120
GROUP_OF_THREE: Callable[[int], str] = lambda number: f"g{number // 3:03}"  # noqa: E731


def scores(seed: int = 0, queries: int = QUERIES, spread: float = 0.1, mean: float = 0.5) -> list[float]:
    """Scores between 0 and 1, the same for the same seed."""
    return list(np.clip(np.random.default_rng(seed).normal(mean, spread, queries), 0, 1).astype(float))


def rows_of(
    values: Mapping[Key, Mapping[str, Sequence[float | None]]], group: Callable[[int], str] = GROUP_OF_THREE
) -> list[Score]:
    """Score rows by system, seed and measure; None is a failure."""
    return [
        Score(name, seed, "test", f"q{number:04}", group(number), measure, *_scored(value))
        for (name, seed), columns in values.items()
        for measure, column in columns.items()
        for number, value in enumerate(column)
    ]


def _scored(value: float | None) -> tuple[float | None, Status, str]:
    return (None, "failed", "x") if value is None else (float(value), "ok", "")


def info(name: str, seed: int = 0, **changes: Any) -> SystemInfo:
    candidate = name not in invented.ROWS
    total = Timing(part="total", n=100, p50_ms=10.0, p95_ms=20.0)
    values: dict[str, Any] = {
        "name": name, "seed": seed, "role": "candidate" if candidate else "baseline", "identity": f"{name}{seed}",
        "tunes": ("retriever",) if candidate else (),
        "serving": ServingCost(parts=("dense",), retrieval=total, total=total, dollars_per_1000=0.4),
    }  # fmt: skip
    return SystemInfo(**values | changes)


def outcome_of(rows: Sequence[Score], **changes: Any) -> Outcome:
    """The outcome that these rows belong to."""
    columns: dict[tuple[str, int, str], list[float | None]] = {}
    for row in rows:
        columns.setdefault((row.system, row.seed, row.measure), []).append(row.value)
    keys = list(dict.fromkeys((name, seed) for name, seed, _ in columns))
    measures = list(dict.fromkeys(measure for *_, measure in columns))
    summaries = [_summary(*key, found) for key, found in columns.items()]
    values: dict[str, Any] = {
        "suite": "toy", "split": "test", "systems": tuple(info(name, seed) for name, seed in keys),
        "summaries": tuple(summaries), "comparisons": (), "measures": tuple(measures), "abstentions": (), "ledger": (),
        "identities": {measure: f"id of {measure}" for measure in measures},
        "measured": {
            measure: MeasurementInputs(sample=None, settings={"measure": measure, "version": 1}) for measure in measures
        },
        "not_run": {},
    }  # fmt: skip
    return invented.normal(**values | changes)


def _summary(name: str, seed: int, measure: str, values: Sequence[float | None]) -> Summary:
    present = [value for value in values if value is not None]
    failed = len(values) - len(present)
    mean = sum(present) / len(present) if present else None
    reasons = {"x": failed} if failed else {}
    return Summary(system=name, seed=seed, measure=measure, mean=mean, n=len(present), failed=failed, reasons=reasons)


def baseline_of(outcome: Outcome, rows: Sequence[Score], **changes: Any) -> Baseline:
    """The outcome as if it had been accepted."""
    tables = tables_of(rows, outcome.split)
    empty = ScoreTable({}, {})
    values: dict[str, Any] = {
        "suite": outcome.suite, "split": outcome.split, "reason": "the first", "accepted": "2026-11-01T00:00:00Z",
        "created": outcome.created, "provenance": outcome.provenance, "dataset": outcome.dataset,
        "measures": outcome.measures, "identities": outcome.identities, "measured": outcome.measured,
        "systems": tuple(accepted_system(one, tables.get((one.name, one.seed), empty)) for one in outcome.systems),
        "summaries": outcome.summaries,
    }  # fmt: skip
    return Baseline(Accepted(**values | changes), tables)


def write_suite(root: Path, changes: dict[str, Any] | None = None) -> Path:
    """The suite `toy` in a project's folder `suites`, with one candidate; nothing in it needs a model."""
    path = root / "suites" / "toy" / "suite.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    toy = {
        "measures": ["ndcg@10", "recall@10", "utility"], "baseline_rows": ["untuned"],
        "candidates": {CANDIDATE: {"tune": ["retriever"]}},
    }  # fmt: skip
    path.write_text(pocket.suite_text(toy | (changes or {})))
    return path


def write_outcome(suite_file: Path, store: Path, rows: Sequence[Score], **changes: Any) -> Path:
    """Leave an outcome of a suite as its latest, as a run would; return its folder."""
    suite, _ = load_suite(suite_file)
    spec = suite.model_dump(mode="json", by_alias=True)
    outcome = outcome_of(rows, **{"suite": suite.name, "spec": spec} | changes)
    base = store / "outcomes" / suite.name
    folder = base / f"made{len(list(base.glob('made*')))}"
    formats.write_parquet(folder / "scores.parquet", [row._asdict() for row in rows], outcomes.SCORE_COLUMNS)
    write_atomically(folder / outcomes.OUTCOME_FILE, outcome.model_dump_json(indent=1))
    (base / "latest").unlink(missing_ok=True)
    (base / "latest").symlink_to(folder.name)
    return folder
