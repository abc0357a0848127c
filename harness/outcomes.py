"""Outcomes on disk: `outcome.json`, Parquet rows, TREC runs and `report.md` in one folder a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import formats
from harness.carry_out import Execution
from harness.errors import ConfigError
from harness.findings import Outcome
from harness.graph import Plan
from harness.records import Score
from harness.report import write_reports
from harness.stages.common import read_answers
from harness.stages.retrieve import RUN_FILE
from harness.store import FolderStore

OUTCOME_FILE = "outcome.json"
SCORE_COLUMNS = {
    "system": "string", "seed": "int64", "split": "string", "query_id": "string", "group": "string",
    "measure": "string", "value": "double", "status": "string", "reason": "string", "spread": "double",
}  # fmt: skip
LEDGER_COLUMNS = {
    "key": "string", "stage": "string", "label": "string", "seconds": "double", "device": "string",
    "peak_memory_mb": "double", "llm_calls": "int64", "prompt_tokens": "int64", "new_tokens": "int64",
    "role": "string", "llm_dollars": "double", "units": "int64", "bytes": "int64", "reused": "bool",
    "systems": "string", "notes": "string",
}  # fmt: skip
ANSWER_COLUMNS = {
    "system": "string", "seed": "int64", "query_id": "string", "text": "string", "prompt_tokens": "int64",
    "new_tokens": "int64", "context": "string",
}  # fmt: skip


def write(
    outcome: Outcome, root: Path, rows: Sequence[Score], plan: Plan, execution: Execution, store: FolderStore
) -> tuple[Outcome, Path]:
    """Write an outcome below `root`; return it with the count of looks at its split, and its folder."""
    base = root / "outcomes" / outcome.suite
    outcome = outcome.model_copy(update={"times_scored": _looks(base, outcome)})
    folder = _new_folder(base, outcome.created)
    formats.write_parquet(folder / "scores.parquet", [row._asdict() for row in rows], SCORE_COLUMNS)
    failures = [row._asdict() for row in rows if row.status == "failed"]
    formats.write_parquet(folder / "failures.parquet", failures, SCORE_COLUMNS)
    ledger = [
        {**row.model_dump(), "systems": ", ".join(row.systems), "notes": json.dumps(row.notes)}
        for row in outcome.ledger
    ]
    formats.write_parquet(folder / "ledger.parquet", ledger, LEDGER_COLUMNS)
    formats.write_parquet(folder / "answers.parquet", list(_answers(plan, store)), ANSWER_COLUMNS)
    for system in plan.systems:
        place = store.get(system.run) if system.run and system.scores_run else None
        if place is not None:
            formats.write_run(folder / "runs" / f"{system.slug}.trec", formats.read_run(place / RUN_FILE, escaped=True))
    formats.write_atomically(folder / OUTCOME_FILE, outcome.model_dump_json(indent=1))
    write_reports(outcome, folder)
    _point_to(base / "latest", folder)
    return outcome, folder


def read(folder: Path) -> Outcome:
    """Read an outcome; raise ConfigError if the folder holds none that this version can read."""
    path = folder / OUTCOME_FILE
    try:
        return Outcome.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: no outcome here; run the suite first") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not an outcome of this version of the harness; run the suite again") from error


def _answers(plan: Plan, store: FolderStore) -> Iterator[dict[str, Any]]:
    for system in plan.systems:
        place = store.get(system.answers) if system.answers else None
        for answer in read_answers(place).values() if place else ():
            row = {**answer._asdict(), "context": json.dumps(answer.context)}
            yield {"system": system.name, "seed": system.seed, **row}


def _looks(base: Path, outcome: Outcome) -> int:
    """How often this split of this data was scored for the suite: once for every other set of systems, and now."""
    looks = {_look(outcome)}
    for path in sorted(base.glob(f"*/{OUTCOME_FILE}")):
        try:
            earlier = read(path.parent)
        except ConfigError:
            continue
        questions = f"{outcome.split}.queries"
        same = earlier.dataset.digests.get(questions) == outcome.dataset.digests.get(questions)
        if earlier.split == outcome.split and same:
            looks.add(_look(earlier))
    return len(looks)


def _look(outcome: Outcome) -> frozenset[str]:
    return frozenset(system.identity for system in outcome.systems)


def _new_folder(base: Path, created: str) -> Path:
    """Make a folder named by the time; a second run in the same second gets a number."""
    stamp = created.replace(":", "").replace("-", "")
    for number in range(1000):
        folder = base / (stamp if number == 0 else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise ConfigError(f"{base}: too many outcomes of one second; remove some")


def _point_to(link: Path, folder: Path) -> None:
    aside = link.with_name(f".latest.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(folder.name)
    aside.replace(link)
