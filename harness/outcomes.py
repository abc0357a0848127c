"""Outcomes on disk: `outcome.json`, Parquet rows, TREC runs and the reports in one folder a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import evidence
from harness.data import formats
from harness.data.datasets import Dataset
from harness.errors import ConfigError
from harness.plans.graph import Plan
from harness.report import write_html, write_reports
from harness.store import FolderStore
from harness.values.findings import Outcome
from harness.values.records import Answer, Score

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
    outcome: Outcome, root: Path, rows: Sequence[Score], plan: Plan, dataset: Dataset, store: FolderStore
) -> tuple[Outcome, Path]:
    """Write an outcome below `root`; return it with the count of looks at its split, and its folder."""
    base = root / "outcomes" / outcome.suite
    outcome = outcome.model_copy(update={"times_scored": _looks(root, base, outcome)})
    folder = new_folder(base, outcome.created)
    formats.write_parquet(folder / "scores.parquet", [row._asdict() for row in rows], SCORE_COLUMNS)
    failures = [row._asdict() for row in rows if row.status == "failed"]
    formats.write_parquet(folder / "failures.parquet", failures, SCORE_COLUMNS)
    ledger = [
        {**row.model_dump(), "systems": ", ".join(row.systems), "notes": json.dumps(row.notes)}
        for row in outcome.ledger
    ]
    formats.write_parquet(folder / "ledger.parquet", ledger, LEDGER_COLUMNS)
    found = evidence.of_plan(rows, plan, dataset, store)
    formats.write_parquet(folder / "answers.parquet", list(_answers(plan, found.answers)), ANSWER_COLUMNS)
    for system in plan.systems:
        if system.label in found.runs:
            formats.write_run(folder / "runs" / f"{system.slug}.trec", found.runs[system.label])
    formats.write_atomically(folder / OUTCOME_FILE, outcome.model_dump_json(indent=1))
    write_reports(outcome, folder, found)
    point_to(base / "latest", folder)
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


def write_page(folder: Path, target: Path) -> Path:
    """Make the page of an outcome again out of its folder, and write it to `target`.

    Raises ConfigError if the folder holds no outcome that this version can read. Texts of documents and questions are
    left out, and the page says so, where the data set cannot be read or is another one by now.
    """
    outcome = read(folder)
    return write_html(outcome, target, evidence.of_files(folder, outcome))


def _answers(plan: Plan, answers: Mapping[str, Mapping[str, Answer]]) -> Iterator[dict[str, Any]]:
    for system in plan.systems:
        for answer in answers.get(system.label, {}).values():
            row = {**answer._asdict(), "context": json.dumps(answer.context)}
            yield {"system": system.name, "seed": system.seed, **row}


def _looks(root: Path, base: Path, outcome: Outcome) -> int:
    """How often this split of this data was scored for the suite: once for every other set of systems, and now.

    Every diagnosis and every curve that asked it counts too.
    """
    looks: set[object] = {_look(outcome)}
    for path in sorted(base.glob(f"*/{OUTCOME_FILE}")):
        try:
            earlier = read(path.parent)
        except ConfigError:
            continue
        questions = f"{outcome.split}.queries"
        same = earlier.dataset.digests.get(questions) == outcome.dataset.digests.get(questions)
        if earlier.split == outcome.split and same:
            looks.add(_look(earlier))
    for pattern in (f"diagnoses/{outcome.suite}/*/diagnosis.json", f"curves/{outcome.suite}/*/*/growth.json"):
        looks |= {path for path in root.glob(pattern) if not path.parent.is_symlink() and _split(path) == outcome.split}
    return len(looks)


def _split(path: Path) -> str | None:
    """The split that a diagnosis or a curve asked; None if the file cannot be read."""
    try:
        split = json.loads(path.read_text(encoding="utf-8")).get("split")
    except (OSError, ValueError, AttributeError):
        return None
    return str(split)


def _look(outcome: Outcome) -> frozenset[str]:
    return frozenset(system.identity for system in outcome.systems)


def new_folder(base: Path, created: str) -> Path:
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


def point_to(link: Path, folder: Path) -> None:
    aside = link.with_name(f".latest.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(folder.name)
    aside.replace(link)
