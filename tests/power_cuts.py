"""Runs of a small suite during which the power goes, on a disk that keeps what was flushed and nothing else.

    python tests/power_cuts.py run|accept FOLDER N...

For each N, the suite is run in a fork, or its scores are accepted for the second time, until the N-th change of a file
or flush (0: to its end). Then the folder is built anew as a disk may have it: a file has the content of its last fsync,
a folder the names of its last fsync. The same is done once more on what is left, and a line of JSON says what came of
it.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import io_faults
import pocket

from harness.execution import session
from harness.execution.executors import InlineExecutor

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CUT = 9


class Disk:
    """What a disk has kept below `root`: contents of files and names in folders by inode, as flushed last."""

    def __init__(self, root: Path, at: int, state: Path) -> None:
        self.root, self.at, self.state = root, at, state
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, tuple[str, Any]]] = {}
        self.first = root.stat().st_ino
        self.events = 0
        self.saving = False
        # An inode that is held is not given to another file.
        self.held: list[int] = []
        self.fsync = os.fsync
        os.fsync = self.flushed
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if (event in CHANGES or opened) and isinstance(arguments[0], str | bytes | os.PathLike):
            path = str(Path.cwd() / os.fsdecode(arguments[0]))
            if path.startswith(f"{self.root}/"):
                self.count()

    def flushed(self, handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path == self.root or self.root in path.parents:
            self.count()
            inode = path.stat().st_ino
            self.held.append(os.dup(handle))
            if path.is_dir():
                self.folders[inode] = dict(map(self.entry, os.scandir(path)))
            else:
                self.files[inode] = path.read_bytes()

    def settled(self) -> None:
        """Take what is there now to be on the disk."""
        for place in [self.root, *self.root.rglob("*")]:
            self.held.append(os.open(place, os.O_RDONLY))
            inode = place.stat().st_ino
            if place.is_dir():
                self.folders[inode] = dict(map(self.entry, os.scandir(place)))
            else:
                self.files[inode] = place.read_bytes()

    @staticmethod
    def entry(entry: os.DirEntry[str]) -> tuple[str, tuple[str, Any]]:
        if entry.is_symlink():
            return entry.name, ("link", str(Path(entry.path).readlink()))
        return entry.name, ("folder" if entry.is_dir() else "file", entry.inode())

    def count(self) -> None:
        if self.saving:
            return
        self.events += 1
        if self.events == self.at:
            self.save()
            os._exit(CUT)

    def save(self) -> None:
        self.saving = True
        self.state.write_bytes(pickle.dumps((self.first, self.files, self.folders, self.events)))


def rebuilt(root: Path, state: Path) -> int:
    """Put what the disk has kept in the place of `root`; return the number of events."""
    first, files, folders, events = pickle.loads(state.read_bytes())
    shutil.rmtree(root)

    def build(inode: int, target: Path) -> None:
        target.mkdir()
        for name, (kind, value) in folders.get(inode, {}).items():
            if kind == "link":
                (target / name).symlink_to(value)
            elif kind == "folder":
                build(value, target / name)
            else:
                (target / name).write_bytes(files.get(value, b""))

    build(first, root)
    return int(events)


def main() -> None:
    command, folder, places = sys.argv[1], Path(sys.argv[2]).resolve(), [int(text) for text in sys.argv[3:]]
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    session.executor_named = lambda name, jobs: InlineExecutor()  # type: ignore[assignment]
    suite, root, told, state = folder / "suite.yaml", folder / "root", folder / "told.txt", folder / "state"
    suite.write_text(pocket.suite_text(io_faults.CHANGES), encoding="utf-8")
    io_faults.run(suite, folder / "warm")
    if command == "accept":
        acceptances(suite, folder, places)
        return

    def cut(at: int) -> int:
        disk = Disk(root, at, state)
        code = io_faults.run(suite, root)
        disk.save()
        return code

    for at in places:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        code = io_faults.forked(lambda at=at: cut(at), told)  # type: ignore[misc]
        line: dict[str, Any] = {"at": at, "code": code, "said": told.read_text(encoding="utf-8")}
        line |= {"events": rebuilt(root, state), "scores": io_faults.scores(root), "damage": io_faults.damage(root)}
        line |= {"kept": sum(1 for _ in (root / "store").glob("??/*/manifest.json"))}
        line |= {"again": io_faults.forked(lambda: io_faults.run(suite, root), told), "then": io_faults.scores(root)}
        line |= {"said_then": told.read_text(encoding="utf-8"), "made": made(root)}
        print("\n" + json.dumps(line), flush=True)


def acceptances(suite: Path, folder: Path, places: list[int]) -> None:
    """Accept scores where others are accepted already, with a cut at each of these places."""
    warm, root, told, state = folder / "warm", folder / "root", folder / "told.txt", folder / "state"
    io_faults.accept(suite, warm, "first")

    def cut(at: int) -> int:
        disk = Disk(root, at, state)
        disk.settled()
        code = io_faults.accept(suite, warm, kept=root)
        disk.save()
        return code

    for at in places:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(warm / "kept", root)
        code = io_faults.forked(lambda at=at: cut(at), told)  # type: ignore[misc]
        line: dict[str, Any] = {"at": at, "code": code, "said": told.read_text(encoding="utf-8")}
        line |= {"events": rebuilt(root, state), "accepted": io_faults.accepted(root)}
        line |= {"again": io_faults.forked(lambda: io_faults.accept(suite, warm, kept=root), told)}
        line |= {"then": io_faults.accepted(root), "said_then": told.read_text(encoding="utf-8")}
        print("\n" + json.dumps(line), flush=True)


def made(root: Path) -> int:
    """How many stage calls the latest run made."""
    outcome = root / "outcomes" / "toy" / "latest" / "outcome.json"
    rows = json.loads(outcome.read_text(encoding="utf-8"))["ledger"] if outcome.exists() else []
    return sum(not row["reused"] for row in rows)


if __name__ == "__main__":
    main()
