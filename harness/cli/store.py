"""`harness store`: check the artifacts, see what takes the room, collect what nothing needs, explain a key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.cli import layout
from harness.cli.options import Common, print_json, print_line, takes
from harness.errors import ConfigError, HarnessError, Problem, nearest
from harness.experiments import storage
from harness.manifests import NOT_ITS_OWN, Entry
from harness.remote.places import store_in
from harness.report import format
from harness.store import FolderStore, Store

ACTIONS = ("verify", "du", "gc", "why")
SHOWN = 12
"""Characters of a key that are shown of one among many."""


@takes("store", "as_json", "quiet")
def verb(
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION",
            help="verify: read every file of every artifact and compare its digest. du: show what takes the room. "
            "gc: show what no suite needs; with --delete, delete it. why: say what a key was made of and who uses it.",
        ),
    ],
    key: Annotated[str, typer.Argument(metavar="KEY", help="For why: the key, or its beginning.")] = "",
    days: Annotated[
        float, typer.Option("--days", min=0, help="For gc: keep what was made in the last so many days.")
    ] = 7.0,
    every_result: Annotated[
        bool, typer.Option("--keep-all-results", help="For gc: keep what any outcome used, not the last of each suite.")
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="For gc: delete what was found.")] = False,
    *,
    common: Common,
) -> None:
    """Check a store to the last byte, show its sizes, collect what nothing needs, explain a key.

    Damage ends with 2.
    """
    if action not in ACTIONS:
        raise ConfigError(Problem("", f"no action {action!r}", nearest(action, ACTIONS)))
    if not common.store.is_dir():
        raise ConfigError(Problem(str(common.store), "no such folder", "name the folder of a store with --store"))
    store = store_in(common.store)
    if action == "verify":
        _verify(store, common)
    elif action == "du":
        _room(store, common)
    elif action == "gc":
        _collect(store, common, storage.garbage(common.store, store, days, every_result), delete)
    elif not key:
        raise ConfigError(Problem("harness store why", "needs a key", "take one from the ledger of a report"))
    else:
        _explain(storage.known(common.store, store, key), common)


def _verify(store: Store, common: Common) -> None:
    results = dict(store.verify())
    if not results:
        raise ConfigError(Problem(str(common.store), "holds no artifact", "name the folder of a store with --store"))
    damaged = {str(folder): why for folder, why in results.items() if why}
    if common.as_json:
        print_json({"artifacts": len(results), "damaged": damaged})
    elif not damaged and not common.quiet:
        print_line(common.screen(), f"Every file is as it was written: {format.counted(len(results), 'artifact')}.")
    if damaged:
        again = "the next run that needs it puts it into quarantine and makes it again"
        stray = "the next run that needs it puts that file into quarantine"
        hints = {folder: stray if why.endswith(NOT_ITS_OWN) else again for folder, why in damaged.items()}
        raise HarnessError([Problem(folder, why, hints[folder]) for folder, why in damaged.items()])


def _room(store: Store, common: Common) -> None:
    rows = storage.room(common.store, store)
    if common.as_json:
        print_json([row._asdict() for row in rows])
        return
    cells = [(row.kind, format.count(row.number), format.size(row.size)) for row in rows]
    cells.append(("all", "", format.size(sum(row.size for row in rows))))
    layout.table(["what", "how many", "size"], cells, ["how many", "size"], common.screen())


def _collect(store: Store, common: Common, found: storage.Garbage, delete: bool) -> None:
    size = found.size
    if delete and isinstance(store, FolderStore):
        storage.collect(common.store, store, found)
    if common.as_json:
        artifacts = [{"key": item.key, "kind": storage.kind_of(item), "size": item.size} for item in found.artifacts]
        tables = [{"address": table.rule.address, "name": table.name} for table in found.tables]
        value = {"artifacts": artifacts, "left_behind": [str(path) for path in found.paths], "tables": tables}
        print_json({**value, "size": size, "deleted": delete})
        return
    screen = common.screen()
    if not common.quiet and found.artifacts:
        rows = [
            (storage.kind_of(item), label_of(item), item.key[:SHOWN], format.size(item.size))
            for item in sorted(found.artifacts, key=lambda item: -item.size)
        ]
        layout.table(["what", "call", "key", "size"], rows, ["size"], screen)
        for table in found.tables:
            print_line(screen, f"{table.name} at {table.rule.address}")
        screen.print()
    what = format.counted(len(found.artifacts), "artifact") + " that no suite needs"
    if found.tables:
        what += f", {format.counted(len(found.tables), 'table')} on servers"
    if found.paths:
        what += f" and {format.counted(len(found.paths), 'leftover')} of killed processes or damage"
    if not found.artifacts and not found.paths:
        print_line(screen, "Nothing to collect: suites and running processes need all that there is, or it is recent.")
    elif delete:
        print_line(screen, f"Deleted {what}: {format.size(size)}.")
    else:
        print_line(screen, f"Found {what}: {format.size(size)}. Nothing was deleted; add --delete to do so.")


def _explain(known: storage.Known, common: Common) -> None:
    entry = known.entry
    call = entry.facts.get("call")
    if common.as_json:
        used_by = [{"key": other.key, "call": label_of(other)} for other in known.used_by]
        print_json({**entry._asdict(), "used_by": used_by, "results": list(known.results)})
        return
    screen = common.screen()
    print_line(screen, label_of(entry), "bold")
    rows = [("key", entry.key), ("made", entry.created), ("size", format.size(entry.size))]
    if "seconds" in entry.facts:
        rows.append(("took", f"{format.duration(entry.facts['seconds'])} on {entry.facts.get('device', 'any')}"))
    layout.fields(rows, screen)
    if isinstance(call, Mapping):
        layout.heading("Made of", screen)
        layout.fields(_made_of(call), screen)
    elif "stage" in entry.facts:
        print_line(screen, "Made by an earlier version of the harness, which did not note what it was made of.")
    _list("Used by", [f"{label_of(other)} ({other.key[:SHOWN]})" for other in known.used_by], screen)
    _list("In the results of", known.results, screen)


def _made_of(call: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("stage", f"{call['stage']}, version {call['version']}"), ("seed", str(call["seed"]))]
    rows += [(f"input {name}", str(key)[:SHOWN]) for name, key in call["inputs"].items()]
    rows += [(f"model {name}", str(digest)[:SHOWN]) for name, digest in call["models"].items()]
    rows += [(f"package {name}", str(version)) for name, version in call["packages"].items()]
    return rows + [(f"setting {name}", json.dumps(value, ensure_ascii=False)) for name, value in call["spec"].items()]


def _list(title: str, lines: Sequence[str], screen: Console) -> None:
    if lines:
        layout.heading(title, screen)
        layout.sentences(lines, screen)


def label_of(entry: Entry) -> str:
    """Return what an artifact is called: the label of its call, the measure of scores, the part of a dataset."""
    facts = entry.facts
    return str(facts.get("label") or facts.get("scores") or facts.get("part") or storage.kind_of(entry))
