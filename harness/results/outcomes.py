"""Outcomes on disk: `outcome.json`, Parquet rows, TREC runs and the reports in one folder a run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import provenance
from harness.data import formats
from harness.data.datasets import Dataset
from harness.errors import ConfigError, HarnessError, Problem
from harness.planning.graph import Plan
from harness.report import PAGE_FILE, REPORT_FILE, write_html, write_reports
from harness.report.explorer import Evidence
from harness.results import query_details, reuse
from harness.store import FolderStore
from harness.values.findings import OUTCOME_VERSION, Outcome
from harness.values.records import Answer, Score
from harness.values.versions import FileKind, read_value

OUTCOME_FILE = "outcome.json"
ATTEMPT_FILE = ".attempt.json"
ERROR_FILE = "report.error.txt"
RUN_IT = "run the suite first", "run the suite again"
log = logging.getLogger(__name__)
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


@contextlib.contextmanager
def attempted(root: Path, suite: str) -> Iterator[None]:
    """Note beside the latest outcome of a suite that a run is on its way, until it has ended in an outcome.

    A gate that read the latest after a run that failed would judge what was there before.
    """
    base = root / "outcomes" / suite
    if not (base / "latest").exists():
        yield
        return
    started = provenance.now()
    _note_attempt(base, started, "it may still be running, or was killed")
    try:
        yield
    except BaseException as error:
        why = str(error).strip().splitlines()
        _note_attempt(base, started, why[0] if why else type(error).__name__)
        raise
    with contextlib.suppress(OSError):
        (base / ATTEMPT_FILE).unlink(missing_ok=True)


def _note_attempt(base: Path, started: str, why: str) -> None:
    with contextlib.suppress(OSError):
        formats.write_atomically(base / ATTEMPT_FILE, json.dumps({"started": started, "why": why}))


def check_latest(base: Path) -> None:
    """Raise ConfigError if a run of a suite was started after its latest outcome and has not ended in one."""
    try:
        told = json.loads((base / ATTEMPT_FILE).read_text(encoding="utf-8"))
        started, why = str(told["started"]), str(told["why"]).rstrip(".")
    except (OSError, ValueError, KeyError, TypeError):
        return
    what = f"older than the last run, which was started at {started} and has not ended in an outcome ({why})"
    raise ConfigError(Problem(str(base / "latest"), what, f"run the suite again, or add --outcome {base / 'latest'}"))


def write(
    outcome: Outcome, root: Path, rows: Sequence[Score], plan: Plan, dataset: Dataset, store: FolderStore
) -> tuple[Outcome, Path]:
    """Write an outcome below `root`; return it with the count of looks at its split, and its folder.

    It is the suite's latest as soon as its scores are there. What fails after that, in a report or a picture, is told
    and noted in the outcome, and loses nothing: `harness report` writes it again.
    """
    base = root / "outcomes" / outcome.suite
    outcome = outcome.model_copy(update={"times_scored": reuse.count(root, base, outcome)})
    folder = new_folder(base, outcome.created)
    formats.write_parquet(folder / "scores.parquet", [row._asdict() for row in rows], SCORE_COLUMNS)
    failures = [row._asdict() for row in rows if row.status == "failed"]
    formats.write_parquet(folder / "failures.parquet", failures, SCORE_COLUMNS)
    ledger = [
        {**row.model_dump(), "systems": ", ".join(row.systems), "notes": json.dumps(row.notes)}
        for row in outcome.ledger
    ]
    formats.write_parquet(folder / "ledger.parquet", ledger, LEDGER_COLUMNS)
    formats.write_atomically(folder / OUTCOME_FILE, outcome.model_dump_json(indent=1))
    reuse.note(folder, outcome)
    point_to(base / "latest", folder)
    found: list[Evidence] = []
    lost = [
        guarded(lambda: found.append(_gather(folder, rows, plan, dataset, store)), "what the systems put out", folder),
        guarded(
            lambda: write_reports(outcome, folder, found[0] if found else None),
            "the report",
            folder,
            f"'harness report {outcome.suite}' writes it again.",
        ),
    ]
    told = tuple(line for line in lost if line)
    if told:
        outcome = outcome.model_copy(update={"notes": (*outcome.notes, *told)})
        formats.write_atomically(folder / OUTCOME_FILE, outcome.model_dump_json(indent=1))
    return outcome, folder


def _gather(folder: Path, rows: Sequence[Score], plan: Plan, dataset: Dataset, store: FolderStore) -> Evidence:
    """Write what the systems retrieved and answered into a folder, and return it for the report."""
    found = query_details.of_plan(rows, plan, dataset, store)
    formats.write_parquet(folder / "answers.parquet", list(_answers(plan, found.answers)), ANSWER_COLUMNS)
    for system in plan.systems:
        if system.label in found.runs:
            formats.write_run(folder / "runs" / f"{system.slug}.trec", found.runs[system.label])
    return found


def guarded(write: Callable[[], object], what: str, folder: Path, again: str = "") -> str:
    """Do what must not cost a result that is there already; return a sentence of what failed, or nothing.

    The sentence is logged too, and the traceback is left in the folder: a report that raises is a bug.
    """
    try:
        write()
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split()) if str(error) else type(error).__name__
        told = f"{what[0].upper()}{what[1:]} could not be written in full ({why}); the scores in {folder} are whole."
        with contextlib.suppress(OSError):
            trace = "".join(traceback.format_exception(error))
            with (folder / ERROR_FILE).open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{what}\n{trace}\n")
            told += f" The traceback stands in {folder / ERROR_FILE}."
        told += f" {again}" if again else ""
        log.error("%s", told)
        return told
    return ""


def rewrite_reports(folder: Path, outcome: Outcome) -> list[Path]:
    """Write the report files of an outcome again, if one is not there; return what was written."""
    if (folder / REPORT_FILE).is_file() and (folder / PAGE_FILE).is_file():
        return []
    return write_reports(outcome, folder, _kept_evidence(folder, outcome))


def _kept_evidence(folder: Path, outcome: Outcome) -> Evidence | None:
    """What the page shows of single queries; None, and a warning, where the rows are no longer all there."""
    try:
        return query_details.of_files(folder, outcome)
    except (HarnessError, OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: the page has no single queries, for its rows cannot be read (%s)", folder, error)
        return None


def read(folder: Path) -> Outcome:
    """Read an outcome; raise ConfigError if the folder holds none that this version can read."""
    return read_value(folder / OUTCOME_FILE, Outcome, FileKind("outcome", "harness/outcome-", OUTCOME_VERSION, RUN_IT))


def write_page(folder: Path, target: Path) -> Path:
    """Make the page of an outcome again out of its folder, and write it to `target`.

    Raises ConfigError if the folder holds no outcome that this version can read. Texts of documents and questions are
    left out, and the page says so, where the data set cannot be read or is another one by now.
    """
    outcome = read(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_html(outcome, target, _kept_evidence(folder, outcome))


def _answers(plan: Plan, answers: Mapping[str, Mapping[str, Answer]]) -> Iterator[dict[str, Any]]:
    for system in plan.systems:
        for answer in answers.get(system.label, {}).values():
            row = {**answer._asdict(), "context": json.dumps(answer.context)}
            yield {"system": system.name, "seed": system.seed, **row}


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
