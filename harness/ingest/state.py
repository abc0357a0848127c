"""What an ingest remembers between runs, in `ingest.json`: which document came from where, and what was written.

A file that somebody else has written or changed is never overwritten: its digest is not the one that is remembered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.folders import CORPUS, PACKED
from harness.errors import ConfigError, Problem
from harness.files import read_text, write_atomically
from harness.hashing import digest_file

STATE, CORPUS_FILE, SOURCE_FILE = "ingest.json", CORPUS[0], "SOURCE.json"
SCHEMA = "harness/ingest-1"


class Entry(NamedTuple):
    """A document: its source, its path there, its content then, and its id.

    `language` is what was recognised, empty if none was, and None if nobody has asked. `notes` are those of its reader.
    """

    source: str
    path: str
    size: int
    digest: str
    id: str
    language: str | None = None
    notes: tuple[str, ...] = ()


@dataclass
class State:
    """`corpus` is the digest of the corpus that fits the entries, in their order; `before` that of the one before.

    The corpus is written after the state, so that a crash between the two leaves one whose digest is `before`.
    `written` holds the digests of the other files. `readers` is the version of the readers.
    """

    entries: list[Entry] = field(default_factory=list)
    corpus: str = ""
    before: str = ""
    readers: int = 0
    written: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path, report: Mapping[str, Any]) -> None:
        """Write the state with the report of the run."""
        value = {
            "schema": SCHEMA,
            "corpus": self.corpus,
            "before": self.before,
            "readers": self.readers,
            "written": self.written,
            "report": report,
            "documents": [entry._asdict() for entry in self.entries],
        }
        write_atomically(folder / STATE, json.dumps(value, ensure_ascii=False, indent=1) + "\n")

    def is_ours(self, path: Path) -> bool:
        """Return whether a file beside the corpus may be written: it does not exist, or is as an ingest left it."""
        name = path.relative_to(path.parent.parent if path.parent.name == "qrels" else path.parent).as_posix()
        return not path.exists() or digest_file(path) == self.written.get(name)


class Opened(NamedTuple):
    """The state of a folder; `intact` says that its corpus is there and fits the entries line by line."""

    state: State
    intact: bool


def open_state(folder: Path) -> Opened:
    """Return the state of a folder, empty if it is new. Raises ConfigError if it holds a corpus of somebody else."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(Problem(str(folder), "this is a file, not a folder", "choose a new folder"))
    corpora = [name for name in CORPUS for ending in ("", *PACKED) if (folder / f"{name}{ending}").exists()]
    if not (folder / STATE).exists():
        if corpora:
            what = f"holds a corpus ({corpora[0]}) that 'harness ingest' did not write"
            raise ConfigError(Problem(str(folder), what, "choose another folder, or move it"))
        return Opened(State(), False)
    state = _load(folder / STATE)
    corpus = folder / CORPUS_FILE
    if not corpus.exists():
        return Opened(state, False)
    digest = digest_file(corpus)
    if digest not in (state.corpus, state.before):
        what = "was changed after 'harness ingest' wrote it"
        raise ConfigError(Problem(str(corpus), what, "move it and run again, or choose another folder"))
    return Opened(state, digest == state.corpus)


def _load(path: Path) -> State:
    try:
        value = json.loads(read_text(path))
        if value["schema"] != SCHEMA:
            raise ValueError(value["schema"])
        entries = [_entry(one) for one in value["documents"]]
        written = {str(name): str(digest) for name, digest in value["written"].items()}
        return State(entries, str(value["corpus"]), str(value["before"]), int(value["readers"]), written)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = "is damaged, or of another version of the harness"
        raise ConfigError(Problem(str(path), what, "choose another folder, or move this one")) from error


def _entry(one: Mapping[str, Any]) -> Entry:
    return Entry(
        str(one["source"]), str(one["path"]), int(one["size"]), str(one["digest"]), str(one["id"]),
        str(one["language"]), tuple(map(str, one["notes"])),
    )  # fmt: skip
