"""Diagnoses on disk: `diagnosis.json`, the rows it rests on, and its reports, in one folder for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data import formats
from harness.errors import ConfigError
from harness.outcomes import SCORE_COLUMNS, new_folder, point_to
from harness.report import write_diagnosis
from harness.values.insights import Diagnosis
from harness.values.records import Score

DIAGNOSIS_FILE = "diagnosis.json"


def write(diagnosis: Diagnosis, root: Path, rows: Sequence[Score]) -> Path:
    """Write a diagnosis below `root`, and return its folder."""
    base = root / "diagnoses" / diagnosis.suite
    folder = new_folder(base, diagnosis.created)
    formats.write_parquet(folder / "scores.parquet", [row._asdict() for row in rows], SCORE_COLUMNS)
    formats.write_atomically(folder / DIAGNOSIS_FILE, diagnosis.model_dump_json(indent=1))
    write_diagnosis(diagnosis, folder)
    point_to(base / "latest", folder)
    return folder


def read(folder: Path) -> Diagnosis:
    """Read a diagnosis; raise ConfigError if the folder holds none that this version can read."""
    path = folder / DIAGNOSIS_FILE
    try:
        return Diagnosis.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: no diagnosis here; run 'harness diagnose' first") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a diagnosis of this version of the harness; diagnose again") from error


def latest(root: Path, suite: str) -> Diagnosis | None:
    """The last diagnosis of a suite in a store; None if there is none that can be read."""
    folder = root / "diagnoses" / suite / "latest"
    try:
        return read(folder) if folder.is_dir() else None
    except ConfigError:
        return None
