"""Diagnoses on disk: `diagnosis.json` and the rows it rests on, in one folder for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data import formats
from harness.errors import ConfigError
from harness.files import link_to, write_atomically
from harness.results.outcomes import SCORE_COLUMNS, new_folder
from harness.values.insights import DIAGNOSIS_VERSION, Diagnosis
from harness.values.records import Score
from harness.values.versions import FileKind, read_value

DIAGNOSIS_FILE = "diagnosis.json"
KIND = FileKind(
    "diagnosis", "harness/diagnosis-", DIAGNOSIS_VERSION, ("run 'harness diagnose' first", "diagnose again")
)


def write(diagnosis: Diagnosis, root: Path, rows: Sequence[Score]) -> Path:
    """Write a diagnosis and its rows below `root`, make it the latest of its suite, and return its folder."""
    base = root / "diagnoses" / diagnosis.suite
    folder = new_folder(base, diagnosis.created)
    formats.write_parquet(folder / "scores.parquet", [row._asdict() for row in rows], SCORE_COLUMNS)
    write_atomically(folder / DIAGNOSIS_FILE, diagnosis.model_dump_json(indent=1))
    link_to(base / "latest", folder)
    return folder


def add_note(diagnosis: Diagnosis, folder: Path, note: str) -> None:
    """Add a note to a diagnosis that is written already."""
    noted = diagnosis.model_copy(update={"notes": (*diagnosis.notes, note)})
    write_atomically(folder / DIAGNOSIS_FILE, noted.model_dump_json(indent=1))


def read(folder: Path) -> Diagnosis:
    """Read a diagnosis; raise ConfigError if the folder holds none that this version can read."""
    return read_value(folder / DIAGNOSIS_FILE, Diagnosis, KIND)


def latest(root: Path, suite: str) -> Diagnosis | None:
    """The last diagnosis of a suite in a store; None if there is none that can be read."""
    folder = root / "diagnoses" / suite / "latest"
    try:
        return read(folder) if folder.is_dir() else None
    except ConfigError:
        return None
