"""Accepted scores on disk: `baselines/<suite>/`, one table a system and `accepted.json`, made to be reviewed.

Every table is named in `accepted.json` with a digest of its rows, and a digest over the whole file seals that, so that
an edit by hand, half a merge, or a file too many or too few is noticed. Line ends and the layout of JSON do not count.
This module must not know gates, statistics or how a suite is run.
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
from harness.data import formats
from harness.errors import DataError, Problem
from harness.results import damage, replacing
from harness.results.damage import HINT
from harness.results.score_tables import Tables, digest_of_table, read_table, text_of
from harness.suite import builtin
from harness.values.findings import DatasetInfo, MeasurementInputs, Outcome, Summary, SystemInfo
from harness.values.frozen import Frozen
from harness.values.measures import parse
from harness.values.records import ScoreTable
from harness.values.upgrades import upgraded

VERSION = 3
SCHEMA = "harness/accepted-3"
DIGEST = "digest"
"""Key of the digest over all else in the file; the first version of the form had none."""
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

    schema_version: Literal["harness/accepted-1", "harness/accepted-2", "harness/accepted-3"] = "harness/accepted-3"
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
    measured: dict[str, MeasurementInputs] = Field(default_factory=dict)
    systems: tuple[AcceptedSystem, ...]
    summaries: tuple[Summary, ...]
    margins: dict[str, float] = Field(default_factory=dict)
    """Measures by which systems were compared with `untuned`, and the margins of their gates then."""
    times_scored: int = 1
    served: bool | None = None
    """Whether an endpoint wrote the answers; not known of what an older version accepted."""


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
    with replacing.locked(folder.parent, alone=True):
        replacing.settle(folder)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            for system in accepted.systems:
                text = text_of(tables[system.info.name, system.info.seed])
                formats.write_atomically(aside / system.file, text)
            formats.write_atomically(aside / ACCEPTED_FILE, _sealed(accepted))
            _keep_others(folder, aside)
            aside.chmod(0o755)
            replacing.swap(folder, aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _sealed(accepted: Accepted) -> str:
    """The text of `accepted.json`, with a digest over all that it says, and so over the digests of the tables."""
    value = json.loads(accepted.model_copy(update={"schema_version": SCHEMA}).model_dump_json())
    return json.dumps({**value, DIGEST: damage.seal(value)}, indent=1, ensure_ascii=False) + "\n"


def read(folder: Path, suite: str | None = None) -> Baseline | None:
    """Read what was accepted (for a suite, if one is given); None if nothing was.

    Raises Damaged, with every problem, for what cannot be read, and DataError for what must not be replaced unseen:
    another version of the form, another suite, something else in its place. Nothing is written or moved.
    """
    in_the_way = damage.blocked(folder.parent) or damage.blocked(folder)
    if in_the_way is not None:
        raise DataError(in_the_way)
    with replacing.locked(folder.parent, alone=False):
        place = replacing.place_of(folder)
        path = place / ACCEPTED_FILE
        strays = sorted(found for found in place.glob("*.tsv") if not found.name.startswith("."))
        if not os.path.lexists(path):
            if strays:
                raise Damaged(Problem(str(path), "not there, though tables of accepted scores are", HINT))
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
            Problem(str(found), f"a table that {ACCEPTED_FILE} does not name", "remove it, or accept again")
            for found in strays
            if found.name not in named
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
        what = f"its columns stand in another order than was accepted ({', '.join(order)})"
        problems.append(Problem(f"{path}:1", what, HINT))
    else:
        what = "not what was accepted: it was edited, or merged by halves"
        problems.append(Problem(str(path), what, HINT))
    return None


def read_all(folder: Path) -> list[Baseline]:
    """Read what was accepted for every suite, in the order of their names. Raises what `read` raises."""
    places = {path.parent for path in folder.glob(f"[!.]*/{ACCEPTED_FILE}")} | set(replacing.names_aside(folder))
    return [found for place in sorted(places) if (found := read(place, place.name)) is not None]


def remarks_on(folder: Path, accepted: Accepted) -> list[str]:
    """What a reader must know of how accepted scores were read, in sentences that name the file."""
    place = replacing.place_of(folder)
    found = [
        f"{place / name}:1: begins with a byte order mark (BOM), which is passed over; save it as UTF-8 without one."
        for name in (ACCEPTED_FILE, *sorted({system.file for system in accepted.systems}))
        if damage.marked(place / name)
    ]
    if accepted.schema_version == "harness/accepted-1":
        found.append(
            f"{place / ACCEPTED_FILE}: accepted by an older harness, without a digest of the whole: an edit of its "
            "means and costs would not be noticed; the next 'harness accept' adds it."
        )
    return found


def _read_accepted(path: Path, suite: str | None) -> Accepted:
    try:
        value = damage.read_object(path)
    except damage.Unreadable as error:
        raise Damaged(error.problem) from error
    stated = re.fullmatch(r"harness/accepted-([1-9]\d{0,3})", str(value.get("schema_version")))
    if stated is not None and int(stated[1]) > VERSION:
        writer = (value.get("provenance") or {}).get("harness", "") if isinstance(value.get("provenance"), dict) else ""
        by = f"harness {writer}" if isinstance(writer, str) and writer else "a newer harness"
        what = f"written by {by} in the form {stated[0]}, and this is harness {__version__}, which reads {SCHEMA}"
        raise DataError(Problem(str(path), what, "upgrade the harness"))
    if suite is not None and isinstance(value.get("suite"), str) and value["suite"] != suite:
        what = f"accepted for the suite {value['suite']!r}, not for {suite!r}"
        raise DataError(Problem(str(path), what, "give the folder above it with --baselines"))
    digest = value.pop(DIGEST, None)
    if stated is not None and (digest is not None or int(stated[1]) > 1) and digest != damage.seal(value):
        what = "not what was accepted: it was edited, or merged by halves"
        raise Damaged(Problem(str(path), what, HINT))
    try:
        return Accepted.model_validate_json(json.dumps(upgraded(value)))
    except ValueError as error:
        raise Damaged(Problem(str(path), "damaged: not the accepted scores of a suite", HINT)) from error


def file_of(info: SystemInfo) -> str:
    return f"{info.name}.tsv" if info.role == "baseline" else f"{info.name}-{info.seed}.tsv"


def accepted_system(info: SystemInfo, table: ScoreTable) -> AcceptedSystem:
    return AcceptedSystem(info=info, file=file_of(info), rows=digest_of_table(table))


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
