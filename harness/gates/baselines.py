"""Accepted scores on disk: `baselines/<suite>/`, one table a system and `accepted.json`, made to be reviewed.

Every table is named in `accepted.json` with a digest of its rows, so that an edit by hand or half a merge is noticed.
This module must not know gates, statistics or how a suite is run.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from harness.data import formats
from harness.errors import DataError, Problem
from harness.gates.score_tables import HINT, Table, Tables, digest_of_table, read_table, text_of
from harness.suite import builtin
from harness.values.findings import DatasetInfo, Measured, Outcome, Summary, SystemInfo
from harness.values.frozen import Frozen
from harness.values.measures import parse

SCHEMA = "harness/accepted-1"
ACCEPTED_FILE = "accepted.json"


class Damaged(DataError):
    """What was accepted cannot be read any more; accepting anew mends it."""


class AcceptedSystem(Frozen):
    """A system as it was accepted; `rows` is the digest of what `file` holds."""

    info: SystemInfo
    file: Annotated[str, Field(pattern=r"^[a-z0-9-]+\.tsv$")]
    rows: str


class Accepted(Frozen):
    """What `accepted.json` says: who accepted what and why, how it was measured, and all figures but single scores."""

    schema_version: Literal["harness/accepted-1"] = "harness/accepted-1"
    suite: str
    title: str = ""
    split: str
    reason: str
    accepted: str
    by: str = ""
    created: str
    """When the outcome was made that was accepted."""
    provenance: dict[str, Any]
    dataset: DatasetInfo
    measures: tuple[str, ...]
    identities: dict[str, str]
    measured: dict[str, Measured] = Field(default_factory=dict)
    systems: tuple[AcceptedSystem, ...]
    summaries: tuple[Summary, ...]
    margins: dict[str, float] = Field(default_factory=dict)
    """Measures by which systems were compared with `untuned`, and the margins of their gates then."""
    times_scored: int = 1


class Baseline(NamedTuple):
    accepted: Accepted
    tables: Tables


def folder_for(suite_file: Path) -> Path:
    """Where the accepted scores of suites lie: `baselines` beside `suites`, or beside a suite file that lies elsewhere.

    Those of a suite that came with the package are the caller's: `baselines` where the command is run.
    """
    home = suite_file.resolve().parent
    if builtin.PACKAGE.resolve() in home.parents:
        return Path("baselines")
    return (home.parents[1] if home.parent.name == "suites" else home) / "baselines"


def write(folder: Path, accepted: Accepted, tables: Tables) -> None:
    """Put accepted scores into a folder in place of those there, all or nothing; other files in it are kept.

    Raises OSError where the folder cannot be written; what was accepted before is then as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    settle(folder)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for system in accepted.systems:
            text = text_of(tables[system.info.name, system.info.seed])
            formats.write_atomically(aside / system.file, text)
        formats.write_atomically(aside / ACCEPTED_FILE, accepted.model_dump_json(indent=1) + "\n")
        _keep_others(folder, aside)
        aside.chmod(0o755)
        _swap(folder, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read(folder: Path, suite: str | None = None) -> Baseline | None:
    """Read what was accepted (for a suite, if one is given); None if nothing was.

    Raises Damaged, with every problem, for what cannot be read, and DataError for what must not be replaced unseen:
    another version of the form, another suite.
    """
    settle(folder)
    path = folder / ACCEPTED_FILE
    if not path.exists():
        return None
    accepted = _read_accepted(path)
    if suite is not None and accepted.suite != suite:
        what = f"accepted for the suite {accepted.suite!r}, not for {suite!r}"
        raise DataError(Problem(str(path), what, "give the folder above it with --baselines"))
    problems: list[Problem] = []
    tables = {}
    for system in accepted.systems:
        table = read_table(folder / system.file, problems)
        if table is not None and digest_of_table(table) != system.rows:
            what = "not what was accepted: it was edited, or merged by halves"
            problems.append(Problem(str(folder / system.file), what, HINT))
        elif table is not None:
            tables[system.info.name, system.info.seed] = table
    if problems:
        raise Damaged(problems)
    return Baseline(accepted, tables)


def read_all(folder: Path) -> list[Baseline]:
    """Read what was accepted for every suite, in the order of their names. Raises what `read` raises."""
    for left in folder.glob(".*.replaced"):
        settle(left.with_name(left.name.removeprefix(".").removesuffix(".replaced")))
    places = sorted(path.parent for path in folder.glob(f"[!.]*/{ACCEPTED_FILE}"))
    return [found for place in places if (found := read(place, place.name)) is not None]


def _read_accepted(path: Path) -> Accepted:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(Problem(str(path), "cannot be read", HINT)) from error
    try:
        return Accepted.model_validate_json(text)
    except ValidationError as error:
        stated = re.search(r'"schema_version":\s*"(harness/accepted-\d+)"', text)
        if stated is not None and stated[1] != SCHEMA:
            what = f"written in the form {stated[1]}, and this version reads {SCHEMA}"
            raise DataError(Problem(str(path), what, "take the version of the harness that wrote it")) from error
        raise Damaged(Problem(str(path), "damaged: not the accepted scores of a suite", HINT)) from error


def file_of(info: SystemInfo) -> str:
    return f"{info.name}.tsv" if info.role == "reference" else f"{info.name}-{info.seed}.tsv"


def accepted_system(info: SystemInfo, table: Table) -> AcceptedSystem:
    return AcceptedSystem(info=info, file=file_of(info), rows=digest_of_table(table))


# ---- a folder that is replaced whole


def settle(folder: Path) -> None:
    """Put back what was accepted if a process died between the two renames of `_swap`."""
    replaced = _replaced(folder)
    if replaced.is_dir() and not folder.exists():
        replaced.rename(folder)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _swap(folder: Path, new: Path) -> None:
    replaced = _replaced(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.replace(replaced)
    try:
        new.replace(folder)
    except OSError:
        settle(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _keep_others(folder: Path, new: Path) -> None:
    """Take along what is in the folder and was not written by `accept`."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name != ACCEPTED_FILE and path.suffix != ".tsv" and path.is_file():
            shutil.copy2(path, new / path.name)


# ---- were they measured in the same way?


def answers_elsewhere(outcome: Outcome) -> bool:
    """Whether an endpoint answers: which model that serves is not in a system's identity, only what it is called."""
    return bool((outcome.spec.get("llm") or {}).get("generator"))


def what_differs(accepted: Accepted, outcome: Outcome, measure: str) -> tuple[str, ...]:
    """What is not the same in how a measure was taken; empty if it was not accepted, or is comparable."""
    before, now = accepted.identities.get(measure), outcome.identities.get(measure)
    if before is None or before == now:
        return ()
    found = (
        [] if accepted.split == outcome.split else [f"the split: {accepted.split} was accepted, now {outcome.split}"]
    )
    found += _other_data(accepted, outcome, measure)
    known = [one.measured[measure] for one in (accepted, outcome) if measure in one.measured]
    if len(known) == 2:
        was, is_now = known
        if was.sample != is_now.sample:
            found.append("the sample of questions that are answered, or what they are shown")
        found += [f"the setting {change}" for change in _changes(was.settings, is_now.settings)]
    return tuple(found) or ("the sample of questions or the settings of the measure",)


def _other_data(accepted: Accepted, outcome: Outcome, measure: str) -> list[str]:
    parts = {"queries": "the queries", "groups": "the groups of queries"}
    parts |= {"qrels": "the judgements"} if parse(measure).is_rank else {"references": "the reference answers"}
    found = []
    if accepted.dataset.digests.get("corpus") != outcome.dataset.digests.get("corpus"):
        found.append(
            f"the corpus ({accepted.dataset.documents:,} documents accepted, now {outcome.dataset.documents:,})"
        )
    for part, words in parts.items():
        was, now = (one.dataset.digests.get(f"{one.split}.{part}") for one in (accepted, outcome))
        if was != now:
            found.append(words)
    return found


def _changes(was: Mapping[str, Any], now: Mapping[str, Any], at: str = "") -> list[str]:
    """``utility.wrong_cost (1.0, now 0.5)`` for every setting that is not the same."""
    found = []
    for key in dict.fromkeys((*was, *now)):
        old, new = was.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _changes(old, new, f"{at}{key}.")
        elif old != new:
            found.append(f"{at}{key} ({_short(old)}, now {_short(new)})")
    return found


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "\N{HORIZONTAL ELLIPSIS}"
