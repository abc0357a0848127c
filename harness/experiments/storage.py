"""What a store holds: what takes the room, what no suite needs any more, and what a key stands for."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from filelock import Timeout

from harness.errors import ConfigError, HarnessError, Problem
from harness.files import PART
from harness.indexes import registry
from harness.indexes.protocol import Built
from harness.manifests import Entry
from harness.quarantine import QUARANTINE
from harness.remote.makings import FOLDER
from harness.results import running
from harness.results.outcomes import KEYS_FILE, OUTCOME_FILE
from harness.stages import STAGES
from harness.store import FolderStore, Store
from harness.suite.vector_indexes import VectorIndex

RESULTS = ("outcomes/*/*", "diagnoses/*/*", "curves/*/*/*")
"""Folders of results below a root; the newest of each place is named by the link `latest`."""
INDEXED = "build_index"
"""The stage whose artifacts may be on servers."""
LEFT_BEHIND = 86_400.0
"""Seconds after which a file or folder that was being written is taken to be that of a killed process."""


class Room(NamedTuple):
    """How many artifacts or folders of a kind there are, and their bytes."""

    kind: str
    number: int
    size: int


class Table(NamedTuple):
    """A table or collection on the server of an index, and the keys of the artifacts that were built there."""

    rule: VectorIndex
    name: str
    keys: Sequence[str]


class Garbage(NamedTuple):
    """What can be collected: artifacts that nothing needs, and paths that killed processes and damage left behind.

    `tables` are those that these artifacts have on servers.
    """

    artifacts: Sequence[Entry]
    paths: Sequence[Path]
    tables: Sequence[Table] = ()

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(entry.size for entry in self.artifacts) + sum(map(size_of, self.paths))


class Known(NamedTuple):
    """An artifact, the artifacts that were made from it, and the results that used it, as folders below the root."""

    entry: Entry
    used_by: Sequence[Entry]
    results: Sequence[str]


def kind_of(entry: Entry) -> str:
    """Return what an artifact is: its stage, or ``scores``, or ``dataset``."""
    return str(entry.facts.get("stage") or ("scores" if "scores" in entry.facts else "dataset"))


def room(root: Path, store: Store) -> list[Room]:
    """Return what the artifacts of each kind take, the largest first, then everything else below the root."""
    sizes: dict[str, list[int]] = {}
    for entry in store.entries():
        sizes.setdefault(kind_of(entry), []).append(entry.size)
    rows = sorted((Room(kind, len(some), sum(some)) for kind, some in sizes.items()), key=lambda row: -row.size)
    for name in (f"{FOLDER}/{QUARANTINE}", f"{FOLDER}/aside", "outcomes", "diagnoses", "curves", "llm"):
        if size := size_of(root / name):
            rows.append(Room(name, sum(1 for _ in (root / name).iterdir()), size))
    return rows


def garbage(root: Path, store: Store, days: float, every_result: bool) -> Garbage:
    """Return what no suite needs: not used by the last outcome, diagnosis or curve of any, nor by a running process.

    With `every_result`, earlier ones count, too. What was made in the last `days` stays in any case: it may belong to a
    run that was interrupted. Raises ConfigError for a store at an address, where nobody knows what runs elsewhere.
    """
    if not isinstance(store, FolderStore):
        what = "other machines may be working with what lies at an address, so nothing is collected there"
        raise ConfigError(Problem("harness store gc", what, "delete the address as a whole once nobody uses it"))
    entries = {entry.key: entry for entry in store.entries()}
    needed = set(running.held(root))
    for folder in _results(root, every_result):
        keys = _keys_of(folder)
        # An earlier version did not note keys of data, scores and probes.
        needed |= (
            keys
            if keys is not None
            else _of_ledger(folder) | {key for key, entry in entries.items() if entry.facts.get("stage") not in STAGES}
        )
    needed = _with_inputs(needed, entries)
    before = datetime.now(UTC) - timedelta(days=days)
    unneeded = [entry for key, entry in entries.items() if key not in needed and _moment(entry) <= before]
    gone = {entry.key for entry in unneeded}
    tables = _tables_of(store, unneeded, [entry for key, entry in entries.items() if key not in gone])
    return Garbage(unneeded, list(_left_behind(root, store, days * 86_400)), tables)


def collect(root: Path, store: FolderStore, found: Garbage) -> None:
    """Delete what was found, but for what a process has begun to work with since.

    An artifact whose table cannot be deleted is kept, so that the table is found again. Raises HarnessError, once all
    else is deleted, with what was kept.
    """
    kept: dict[str, Problem] = {}
    for table in found.tables:
        try:
            registry.drop(table.rule, table.name)
        except ValueError as error:
            what, _, hint = str(error).partition("; ")
            kept |= dict.fromkeys(table.keys, Problem(f"{table.name} at {table.rule.address}", what, hint))
    for entry in found.artifacts:
        if entry.key not in kept and entry.key not in running.held(root):
            store.discard(entry.key)
    for path in found.paths:
        if path.parent == store.aside():
            _delete_unclaimed(store, path)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if kept:
        raise HarnessError([*dict.fromkeys(kept.values())])


def known(root: Path, store: Store, start: str) -> Known:
    """Return what is known of the artifact whose key begins with `start`.

    Raises ConfigError if there is none, or more than one.
    """
    entries = list(store.entries())
    matching = [entry for entry in entries if start and entry.key.startswith(start)]
    if len(matching) != 1:
        what = f"{len(matching) or 'no'} {'keys begin' if matching else 'key begins'} with {start!r}"
        hint = "give more of it" if matching else "take one from the ledger of a report, or from 'harness plan --json'"
        raise ConfigError(Problem(str(root), what, hint))
    entry = matching[0]
    used_by = [other for other in entries if entry.key in _inputs(other).values()]
    results = [
        folder.relative_to(root).as_posix()
        for folder in _results(root, every=True)
        if entry.key in (_keys_of(folder) or _of_ledger(folder))
    ]
    return Known(entry, used_by, results)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 if there is none."""
    total = 0
    with suppress(OSError):
        for place in [path, *path.rglob("*")] if path.is_dir() else [path]:
            with suppress(OSError):
                total += place.stat().st_size if place.is_file() and not place.is_symlink() else 0
    return total


def _results(root: Path, every: bool) -> Iterator[Path]:
    """Folders of results; unless `every`, only the last of each suite and candidate."""
    for pattern in RESULTS:
        for folder in sorted(root.glob(pattern)):
            if folder.is_dir() and not folder.is_symlink():
                latest = folder.parent / "latest"
                if every or not latest.exists() or latest.resolve() == folder.resolve():
                    yield folder


def _keys_of(folder: Path) -> set[str] | None:
    """The keys that a result used; None if it has no note of them."""
    try:
        return {*map(str, json.loads((folder / KEYS_FILE).read_text(encoding="utf-8")))}
    except (OSError, ValueError, RecursionError, TypeError):
        return None


def _of_ledger(folder: Path) -> set[str]:
    try:
        return {str(row["key"]) for row in json.loads((folder / OUTCOME_FILE).read_text(encoding="utf-8"))["ledger"]}
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return set()


def _inputs(entry: Entry) -> Mapping[str, Any]:
    call = entry.facts.get("call")
    inputs = call.get("inputs") if isinstance(call, Mapping) else None
    return inputs if isinstance(inputs, Mapping) else {}


def _tables_of(store: FolderStore, unneeded: Sequence[Entry], kept: Iterable[Entry]) -> list[Table]:
    """The tables that unneeded artifacts have on servers, but for those that artifacts which are kept have, too.

    Equal vectors share a table, wherever its server was when each artifact was made.
    """
    used = {(rule.kind, name) for entry in kept for rule, name in _on_server(store, entry)}
    found: dict[tuple[str, str], Table] = {}
    for entry in unneeded:
        for rule, name in _on_server(store, entry):
            if (rule.kind, name) not in used:
                table = found.get((str(rule.address), name), Table(rule, name, ()))
                found[str(rule.address), name] = table._replace(keys=(*table.keys, entry.key))
    return list(found.values())


def _on_server(store: FolderStore, entry: Entry) -> Iterator[tuple[VectorIndex, str]]:
    """The index of an artifact and the name that it has on a server, if it is on one."""
    if kind_of(entry) != INDEXED:
        return
    with suppress(OSError, ValueError, KeyError, TypeError):
        rule = VectorIndex.model_validate(entry.facts["call"]["spec"]["index"])
        if rule.address is not None and (name := Built.read(store.place(entry.key)).name):
            yield rule, name


def _moment(entry: Entry) -> datetime:
    """When an artifact was committed; one that does not say is old."""
    try:
        return datetime.fromisoformat(entry.created)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _with_inputs(keys: set[str], entries: Mapping[str, Entry]) -> set[str]:
    """These keys and those of all that they were made from."""
    reached, waiting = set[str](), list(keys)
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            waiting += map(str, _inputs(entries[key]).values()) if key in entries else []
    return reached


def _left_behind(root: Path, store: FolderStore, age: float) -> Iterator[Path]:
    """Files and folders of writers that were killed, and damaged artifacts, unless they are younger than `age`."""
    yield from _older(store.root.glob(f"{QUARANTINE}/*"), age)
    # Finished parts of a call are taken over by whoever makes it next, so they are kept as artifacts are.
    yield from _older(store.root.glob("aside/*"), max(age, LEFT_BEHIND))
    yield from _older(root.rglob(f".*{PART}"), LEFT_BEHIND)


def _delete_unclaimed(store: FolderStore, aside: Path) -> None:
    """Delete what a claim has written, unless somebody holds it: finished parts of a long call may be days old."""
    with suppress(Timeout), store.lock(aside.name.partition(".")[0]).acquire(blocking=False):
        shutil.rmtree(aside, ignore_errors=True)


def _older(paths: Iterator[Path], seconds: float) -> Iterator[Path]:
    for path in sorted(paths):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime >= seconds:
                yield path
