"""Read and write accepted scores: `baselines/<suite>/` with one table per system and `accepted.json`.

The files are made for review in a diff. `accepted.json` has a digest of each table and one of itself, so that manual
edits, partial merges, and missing or extra files are detected. Line ends and the layout of the JSON do not matter. This
module must not know gates, statistics or how a suite is run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from harness import __version__
from harness.errors import DataError, Problem
from harness.files import write_atomically
from harness.results import damage, remote_baselines, replacing
from harness.results.damage import HINT
from harness.results.score_tables import Tables, digest_of_table, read_table, text_of
from harness.suite import builtin
from harness.values.findings import Comparison, DatasetInfo, MeasurementInputs, Outcome, Summary, SystemInfo
from harness.values.frozen import Frozen
from harness.values.gains import BestUntrained
from harness.values.measures import parse
from harness.values.records import ScoreTable
from harness.values.upgrades import upgraded

VERSION = 3
SCHEMA = "harness/accepted-3"
DIGEST = "digest"  # of the rest of the file; version 1 had none
ACCEPTED_FILE = "accepted.json"


class Damaged(DataError):
    """Accepted scores are damaged; accepting again repairs them."""


class AcceptedSystem(Frozen):
    """An accepted system; `rows` is the digest of the table in `file`."""

    info: SystemInfo
    file: Annotated[str, Field(pattern=r"^[a-z0-9-]+\.tsv$")]
    rows: str


class Accepted(Frozen):
    """The content of `accepted.json`: who accepted what and why, how it was measured, all but the scores by query."""

    schema_version: Literal["harness/accepted-1", "harness/accepted-2", "harness/accepted-3"] = "harness/accepted-3"
    suite: str
    title: str = ""
    split: str
    reason: str
    accepted: str
    by: str = ""
    created: str
    """Time of the accepted outcome."""
    provenance: dict[str, Any]
    dataset: DatasetInfo
    measures: tuple[str, ...]
    identities: dict[str, str]
    measured: dict[str, MeasurementInputs] = Field(default_factory=dict)
    systems: tuple[AcceptedSystem, ...]
    summaries: tuple[Summary, ...]
    margins: dict[str, float] = Field(default_factory=dict)
    """Measures on which systems were compared with `untuned`, with the margins of their gates at that time."""
    times_scored: int = 1
    served: bool | None = None
    """Whether an endpoint wrote the answers; None in files of older versions."""
    on_dev: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Means on dev by measure and label, where no dev query lacks a score. Older files lack this and what follows."""
    best_untrained: BestUntrained | None = None
    over_untrained: tuple[Comparison, ...] = ()
    over_bm25: tuple[Comparison, ...] = ()


class Baseline(NamedTuple):
    """Accepted scores: the content of `accepted.json`, and the tables."""

    accepted: Accepted
    tables: Tables


def folder_for(suite_file: Path) -> Path:
    """Return the folder of accepted scores: `baselines` beside `suites`, or beside a suite file elsewhere.

    For a suite of the installed package it is `baselines` in the current folder.
    """
    home = suite_file.resolve().parent
    if builtin.PACKAGE.resolve() in home.parents:
        return Path("baselines")
    return (home.parents[1] if home.parent.name == "suites" else home) / "baselines"


def write(folder: Path, accepted: Accepted, tables: Tables) -> None:
    """Replace the accepted scores in a folder, all or nothing; other files in it are kept.

    Raises OSError if the folder cannot be written; then the previous scores are unchanged.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing.locked(folder.parent, alone=True):
        replacing.settle(folder)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            for system in accepted.systems:
                text = text_of(tables[system.info.name, system.info.seed])
                write_atomically(aside / system.file, text)
            write_atomically(aside / ACCEPTED_FILE, _sealed(accepted))
            _keep_others(folder, aside)
            aside.chmod(0o755)
            replacing.swap(folder, aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    remote_baselines.publish(folder)


def _sealed(accepted: Accepted) -> str:
    """The text of `accepted.json`, with a digest over the rest of it, including the digests of the tables."""
    value = json.loads(accepted.model_copy(update={"schema_version": SCHEMA}).model_dump_json())
    return json.dumps({**value, DIGEST: damage.seal(value)}, indent=1, ensure_ascii=False) + "\n"


def read(folder: Path, suite: str | None = None) -> Baseline | None:
    """Read accepted scores (of a suite, if one is named); return None if nothing is accepted.

    Raises Damaged, with every problem, if they cannot be read, and DataError if they must not be replaced by accident:
    a newer schema version, another suite, something else in its place. Nothing is written or moved.
    """
    remote_baselines.fetch(folder)
    in_the_way = damage.blocked(folder.parent) or damage.blocked(folder)
    if in_the_way is not None:
        raise DataError(in_the_way)
    with replacing.locked(folder.parent, alone=False):
        place = replacing.place_of(folder)
        path = place / ACCEPTED_FILE
        strays = sorted(table for table in place.glob("*.tsv") if not table.name.startswith("."))
        if not os.path.lexists(path):
            if strays:
                raise Damaged(Problem(str(path), "missing, although there are tables of accepted scores", HINT))
            return None
        accepted = _read_accepted(path, suite)
        if not accepted.systems:
            raise Damaged(Problem(str(path), "holds the scores of no system", HINT))
        problems: list[Problem] = []
        tables = {}
        for system in accepted.systems:
            table = _read_table(place / system.file, system, accepted.measures, problems)
            if table is not None:
                tables[system.info.name, system.info.seed] = table
        named = {system.file for system in accepted.systems}
        problems += [
            Problem(str(stray), f"a table that {ACCEPTED_FILE} does not name", "remove it, or accept again")
            for stray in strays
            if stray.name not in named
        ]
        if problems:
            raise Damaged(problems)
        return Baseline(accepted, tables)


def _read_table(
    path: Path, system: AcceptedSystem, measures: Sequence[str], problems: list[Problem]
) -> ScoreTable | None:
    table = read_table(path, problems)
    if table is None or digest_of_table(table) == system.rows:
        return table
    order = [name for name in measures if name in table.values]
    if list(table.values) != order and set(table.values) <= set(measures):
        what = f"its columns are not in the accepted order ({', '.join(order)})"
        problems.append(Problem(f"{path}:1", what, HINT))
    else:
        what = "differs from what was accepted: it was edited or partly merged"
        problems.append(Problem(str(path), what, HINT))
    return None


def read_all(folder: Path) -> list[Baseline]:
    """Read the accepted scores of every suite, sorted by name. Raises what `read` raises."""
    remote_baselines.fetch_all(folder)
    places = {path.parent for path in folder.glob(f"[!.]*/{ACCEPTED_FILE}")} | set(replacing.names_aside(folder))
    return [baseline for place in sorted(places) if (baseline := read(place, place.name)) is not None]


def remarks_on(folder: Path, accepted: Accepted) -> list[str]:
    """Return remarks on the files of accepted scores, in sentences that name the file."""
    place = replacing.place_of(folder)
    remarks = [
        f"{place / name}:1: starts with a byte order mark (BOM), which is ignored; save it as UTF-8 without one."
        for name in (ACCEPTED_FILE, *sorted({system.file for system in accepted.systems}))
        if damage.marked(place / name)
    ]
    if accepted.schema_version == "harness/accepted-1":
        remarks.append(
            f"{place / ACCEPTED_FILE}: accepted by an older harness, without a digest of the file: edits of its means "
            "and costs would not be detected; the next 'harness accept' adds the digest."
        )
    return remarks


def _read_accepted(path: Path, suite: str | None) -> Accepted:
    try:
        value = damage.read_object(path)
    except damage.Unreadable as error:
        raise Damaged(error.problem) from error
    stated = re.fullmatch(r"harness/accepted-([1-9]\d{0,3})", str(value.get("schema_version")))
    if stated is not None and int(stated[1]) > VERSION:
        writer = (value.get("provenance") or {}).get("harness", "") if isinstance(value.get("provenance"), dict) else ""
        by = f"harness {writer}" if isinstance(writer, str) and writer else "a newer harness"
        what = f"written by {by} as {stated[0]}; this is harness {__version__}, which reads up to {SCHEMA}"
        raise DataError(Problem(str(path), what, "upgrade the harness"))
    if suite is not None and isinstance(value.get("suite"), str) and value["suite"] != suite:
        what = f"accepted for the suite {value['suite']!r}, not for {suite!r}"
        raise DataError(Problem(str(path), what, "use --baselines with the folder above it"))
    digest = value.pop(DIGEST, None)
    if stated is not None and (digest is not None or int(stated[1]) > 1) and digest != damage.seal(value):
        what = "differs from what was accepted: it was edited or partly merged"
        raise Damaged(Problem(str(path), what, HINT))
    try:
        return Accepted.model_validate_json(json.dumps(upgraded(value)))
    except (ValueError, RecursionError) as error:
        raise Damaged(Problem(str(path), "damaged: not the accepted scores of a suite", HINT)) from error


def accepted_system(info: SystemInfo, table: ScoreTable) -> AcceptedSystem:
    """Return the entry of a system in `accepted.json`."""
    return AcceptedSystem(info=info, file=f"{info.slug}.tsv", rows=digest_of_table(table))


def _keep_others(folder: Path, new: Path) -> None:
    """Copy files that `accept` did not write from the old folder to the new one."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name != ACCEPTED_FILE and path.suffix != ".tsv" and path.is_file():
            shutil.copy2(path, new / path.name)


# ---- comparability


def answers_elsewhere(outcome: Outcome) -> bool:
    """Whether an endpoint answers: a system's identity has only the name of its model, not its weights."""
    return bool((outcome.spec.get("llm") or {}).get("generator"))


def what_differs(accepted: Accepted, outcome: Outcome, measure: str) -> tuple[str, ...]:
    """Return what differs in the measurement of a measure; empty if it is comparable or was not accepted."""
    before, now = accepted.identities.get(measure), outcome.identities.get(measure)
    if before is None or before == now:
        return ()
    differences = (
        [] if accepted.split == outcome.split else [f"the split: {accepted.split} was accepted, now {outcome.split}"]
    )
    differences += _other_data(accepted, outcome, measure)
    known = [side.measured[measure] for side in (accepted, outcome) if measure in side.measured]
    if len(known) == 2:
        was, is_now = known
        if was.sample != is_now.sample:
            differences.append("the sample of answered queries, or their prompts")
        differences += [f"the setting {change}" for change in _changes(was.settings, is_now.settings)]
    return tuple(differences) or ("the sample of queries or the settings of the measure",)


def _other_data(accepted: Accepted, outcome: Outcome, measure: str) -> list[str]:
    parts = {"queries": "the queries", "groups": "the groups of queries"}
    parts |= {"qrels": "the judgements"} if parse(measure).is_rank else {"references": "the reference answers"}
    differences = []
    if accepted.dataset.digests.get("corpus") != outcome.dataset.digests.get("corpus"):
        differences.append(
            f"the corpus ({accepted.dataset.documents:,} documents accepted, now {outcome.dataset.documents:,})"
        )
    for part, words in parts.items():
        was, now = (side.dataset.digests.get(f"{side.split}.{part}") for side in (accepted, outcome))
        if was != now:
            differences.append(words)
    return differences


def _changes(was: Mapping[str, Any], now: Mapping[str, Any], at: str = "") -> list[str]:
    """``utility.wrong_cost (1.0, now 0.5)`` for every setting that differs."""
    changes = []
    for key in dict.fromkeys((*was, *now)):
        old, new = was.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += _changes(old, new, f"{at}{key}.")
        elif old != new:
            changes.append(f"{at}{key} ({_short(old)}, now {_short(new)})")
    return changes


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "\N{HORIZONTAL ELLIPSIS}"
