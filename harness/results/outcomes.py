"""Outcomes on disk: `outcome.json`, Parquet rows and TREC runs, in one folder a run. Reports are written elsewhere."""

from __future__ import annotations

import contextlib
import json
import logging
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import provenance
from harness.data import formats
from harness.errors import ConfigError, HarnessError, Problem
from harness.files import link_to, make_folder, sync, write_atomically
from harness.remote.mirror import mirror_of
from harness.results import reuse
from harness.values.evidence import Evidence
from harness.values.findings import OUTCOME_VERSION, Outcome, SystemInfo
from harness.values.records import Answer, Score
from harness.values.versions import FileKind, read_value

OUTCOME_FILE = "outcome.json"
ATTEMPT_FILE = ".attempt.json"
ERROR_FILE = "report.error.txt"
KEYS_FILE = "keys.json"
"""The keys of all artifacts that a result used, beside it: `harness store gc` keeps these."""
SEARCHED_FILE = "searched.parquet"
"""What systems searched with where that is another text than the query; only written if there is any."""
CHUNKS_FILE = "chunks.parquet"
"""The chunk that each retrieved document was found by; only written if a system searches chunks."""
RUN_IT = "run the suite first with 'harness run', or set --store", "run the suite again"
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
SEARCHED_COLUMNS = {"system": "string", "seed": "int64", "query_id": "string", "text": "string"}
CHUNK_COLUMNS = {
    "system": "string", "seed": "int64", "query_id": "string", "doc_id": "string", "chunk_id": "string",
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
    with contextlib.suppress(OSError, HarnessError):
        (base / ATTEMPT_FILE).unlink(missing_ok=True)
        if mirror := mirror_of(base):
            mirror.remove(base / ATTEMPT_FILE)


def _note_attempt(base: Path, started: str, why: str) -> None:
    with contextlib.suppress(OSError, HarnessError):
        write_atomically(base / ATTEMPT_FILE, json.dumps({"started": started, "why": why}))
        if mirror := mirror_of(base):
            mirror.push(base / ATTEMPT_FILE)


def check_latest(base: Path) -> None:
    """Raise ConfigError if a run of a suite was started after its latest outcome and has not ended in one."""
    try:
        told = json.loads((base / ATTEMPT_FILE).read_text(encoding="utf-8"))
        started, why = str(told["started"]), str(told["why"]).rstrip(".")
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return
    what = f"older than the last run, which was started at {started} and has not ended in an outcome ({why})"
    raise ConfigError(Problem(str(base / "latest"), what, f"run the suite again, or add --outcome {base / 'latest'}"))


def write(outcome: Outcome, root: Path, rows: Sequence[Score]) -> tuple[Outcome, Path]:
    """Write an outcome and its rows below `root`, and make it the latest of its suite.

    Return it with the count of evaluations of its split, and its folder.
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
    write_atomically(folder / OUTCOME_FILE, outcome.model_dump_json(indent=1))
    reuse.note(folder, outcome)
    link_to(base / "latest", folder)
    return outcome, folder


def with_notes(outcome: Outcome, folder: Path, notes: Sequence[str]) -> Outcome:
    """Add notes to an outcome that is written already; return it."""
    if not notes:
        return outcome
    outcome = outcome.model_copy(update={"notes": (*outcome.notes, *notes)})
    write_atomically(folder / OUTCOME_FILE, outcome.model_dump_json(indent=1))
    return outcome


def write_details(folder: Path, outcome: Outcome, details: Evidence) -> None:
    """Write what the systems retrieved and answered into the folder of an outcome."""
    formats.write_parquet(folder / "answers.parquet", list(_answers(outcome, details.answers)), ANSWER_COLUMNS)
    if any(details.searched.values()):
        formats.write_parquet(folder / SEARCHED_FILE, list(_searched(outcome, details.searched)), SEARCHED_COLUMNS)
    if any(details.found.values()):
        formats.write_parquet(folder / CHUNKS_FILE, list(_chunks(outcome, details)), CHUNK_COLUMNS)
    for system in outcome.systems:
        if system.label in details.runs:
            formats.write_run(run_file(folder, system), details.runs[system.label])


def run_file(folder: Path, system: SystemInfo) -> Path:
    """Where the run of a system lies in the folder of an outcome."""
    return folder / "runs" / f"{system.slug}.trec"


def note_keys(folder: Path, keys: Collection[str]) -> None:
    """Write the keys of the artifacts that a result used into its folder. Without them, more is kept than is needed."""
    with contextlib.suppress(OSError):
        write_atomically(folder / KEYS_FILE, json.dumps(sorted(keys)))


def guarded(write: Callable[[], object], what: str, folder: Path, again: str = "") -> str:
    """Run `write`, whose failure must not lose a result that is written; return a sentence if it failed.

    The sentence is logged, and the traceback is added to a file in the folder: a report that raises is a bug.
    """
    try:
        write()
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split()) if str(error) else type(error).__name__
        sentence = (
            f"{what[0].upper()}{what[1:]} could not be written in full ({why}); the scores in {folder} are whole."
        )
        with contextlib.suppress(OSError):
            trace = "".join(traceback.format_exception(error))
            with (folder / ERROR_FILE).open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{what}\n{trace}\n")
            sentence += f" The traceback is in {folder / ERROR_FILE}."
        sentence += f" {again}" if again else ""
        log.error("%s", sentence)
        return sentence
    return ""


def read(folder: Path) -> Outcome:
    """Read an outcome; raise ConfigError if the folder holds none that this version can read."""
    return read_value(folder / OUTCOME_FILE, Outcome, FileKind("outcome", "harness/outcome-", OUTCOME_VERSION, RUN_IT))


def _answers(outcome: Outcome, answers: Mapping[str, Mapping[str, Answer]]) -> Iterator[dict[str, Any]]:
    for system in outcome.systems:
        for answer in answers.get(system.label, {}).values():
            row = {**answer._asdict(), "context": json.dumps(answer.context)}
            yield {"system": system.name, "seed": system.seed, **row}


def _searched(outcome: Outcome, searched: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    for system in outcome.systems:
        for query_id, text in searched.get(system.label, {}).items():
            yield {"system": system.name, "seed": system.seed, "query_id": query_id, "text": text}


def _chunks(outcome: Outcome, details: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the chunk of each document that the run of a system has."""
    for system in outcome.systems:
        by_query = details.found.get(system.label, {})
        for query_id, hits in details.runs.get(system.label, {}).items():
            chunks = by_query.get(query_id, {})
            for doc_id, _ in hits:
                if doc_id in chunks:
                    row = {"system": system.name, "seed": system.seed, "query_id": query_id}
                    yield row | {"doc_id": doc_id, "chunk_id": chunks[doc_id]}


def new_folder(base: Path, created: str) -> Path:
    """Make a folder named by the time; a second run in the same second gets a number."""
    stamp = created.replace(":", "").replace("-", "")
    for number in range(1000):
        folder = base / (stamp if number == 0 else f"{stamp}-{number}")
        make_folder(base)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        sync(base)
        return folder
    raise ConfigError(f"{base}: too many outcomes of one second; remove some")
