"""One ingest: read the sources, write the dataset folder, report. The same call again updates the folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.imports import NO_COLUMNS, Columns, Imported, split_by_document
from harness.errors import DataError, Problem
from harness.hashing import digest_file, digest_of
from harness.ingest.apart import LIMITS, Apart, Limits
from harness.ingest.contexts import Contexts
from harness.ingest.corpus import NewCorpus, OldCorpus, Row
from harness.ingest.files import Found
from harness.ingest.identifiers import Identifiers
from harness.ingest.judged import Judged, with_ids, write_files
from harness.ingest.readers.formats import READERS_VERSION
from harness.ingest.readers.parsed import Unreadable
from harness.ingest.reports import Report
from harness.ingest.sources import Source, open_sources
from harness.ingest.state import CORPUS_FILE, SOURCE_FILE, Entry, State, open_state
from harness.ingest.tally import Tally
from harness.values.records import Progress

Key = tuple[str, str]
"""Label of a source, and the path or id of a document in it."""


class Made(NamedTuple):
    """A row of the new corpus, and what is remembered of it."""

    entry: Entry
    row: Row


def ingest(
    sources: Sequence[str],
    folder: Path,
    *,
    columns: Columns = NO_COLUMNS,
    limits: Limits = LIMITS,
    keep_missing: bool = False,
    split: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Read sources into a dataset folder, or update it; return the report.

    With `split`, queries of imports are dealt to splits that share no document.

    Files that cannot be read are in the report and cost nothing else. Raises ConfigError for a source that is not
    there and for a folder with a corpus of somebody else, and DataError if there is no document at all; then nothing
    is written.
    """
    state, intact = open_state(folder)
    opened = open_sources(sources, folder, columns)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(state, intact, folder, limits, _Wishes(keep_missing, split), progress or (lambda done, total: None))
    try:
        return run.do(opened)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


class _Wishes(NamedTuple):
    keep_missing: bool
    split: bool


class _Run:
    """The values that the steps of one ingest share."""

    def __init__(
        self, state: State, intact: bool, folder: Path, limits: Limits, wishes: _Wishes, progress: Progress
    ) -> None:
        self.state, self.folder, self.limits, self.progress = state, folder, limits, progress
        self.keep_missing, self.split = wishes
        self.numbers = {(entry.source, entry.path): number for number, entry in enumerate(state.entries)}
        self.old = OldCorpus(folder / CORPUS_FILE if intact else None)
        self.report = Report(folder)
        self.tally = Tally()
        self.judged = Judged()
        self.renamed: dict[str, dict[str, str]] = {}

    def do(self, sources: Sequence[Source]) -> Report:
        labels = {source.label for source in sources}
        known = {
            key: self.state.entries[number].id
            for key, number in self.numbers.items()
            if self.keep_missing or key[0] in labels
        }
        self.identifiers = Identifiers(known)
        self.contexts = Contexts([source.imported for source in sources if source.imported])
        entries: list[Entry] = []
        try:
            with NewCorpus(self.folder / CORPUS_FILE) as new, Apart(self.limits) as reader:
                for made in self._documents(sources, reader):
                    new.add(made.row)
                    title, text = str(made.row.get("title") or ""), str(made.row.get("text") or "")
                    language = self.tally.add(made.entry.id, title, text, made.entry.language)
                    entries.append(made.entry._replace(language=language))
                self._refuse_none(entries, sources)
                self._finish(new, entries, sources)
        finally:
            self.old.close()
        return self.report

    def _documents(self, sources: Sequence[Source], reader: Apart) -> Iterator[Made]:
        """The documents of all sources; behind them the contexts of imports that are in none of these."""
        for made in self._known(sources, reader):
            self.contexts.see(made.entry.source, made.entry.id, str(made.row.get("text") or ""))
            yield made
        for source in sources:
            if source.imported is not None:
                yield from self._judged(source, source.imported)

    def _known(self, sources: Sequence[Source], reader: Apart) -> Iterator[Made]:
        """The documents of all sources in order; behind them those of earlier runs that are kept."""
        total = sum(len(source.walked.found) if source.walked else 0 for source in sources)
        done, passed = 0, set[Key]()
        for source in sources:
            if source.imported is not None:
                passed |= {(source.label, str(row["_id"])) for row in source.imported.documents}
                yield from self._imported(source, source.imported)
            for file in source.walked.found if source.walked else ():
                passed.add((source.label, file.name))
                made_of_file = self._file(source, file, reader)
                if made_of_file is not None:
                    yield made_of_file
                done += 1
                self.progress(done, total)
            if source.walked:
                self.report.add_walked(source.typed, source.walked)
        # What lies in a folder that cannot be opened now has not gone.
        closed = {source.label: source.walked.closed for source in sources if source.walked}
        for key, number in self.numbers.items():
            if key in passed:
                continue
            hidden = key[1].startswith(tuple(closed.get(key[0], ())))
            kept = self._again(number) if self.keep_missing or hidden else None
            self.report.count("removed" if kept is None else "unreadable_kept" if hidden else "kept")
            if kept:
                yield kept

    def _file(self, source: Source, file: Found, reader: Apart) -> Made | None:
        """The document of a file; that of an earlier run if the file cannot be read now."""
        number = self.numbers.get((source.label, file.name))
        before = self.state.entries[number] if number is not None else None
        try:
            size = file.path.stat().st_size
            if size > self.limits.bytes:
                raise Unreadable("is larger than --max-file-mb", "raise it, or split the file")
            digest = digest_file(file.path)
            if before is not None and digest == before.digest and self.state.readers == READERS_VERSION:
                again = self._again(number)
                if again is not None:
                    self.report.count("unchanged")
                    self.report.note(before.notes, file.name)
                    return again
            parsed = reader.read(file.path, file.format)
        except (Unreadable, OSError) as error:
            return self._unreadable(file, error, number)
        self.report.note(parsed.notes, file.name)
        identifier = self.identifiers.of(source.label, file.name)
        entry = Entry(source.label, file.name, size, digest, identifier, notes=parsed.notes)
        row: Row = {
            "_id": entry.id,
            "title": parsed.title,
            "text": parsed.text,
            "metadata": {"source": file.name, "format": file.format},
        }
        self.report.count("added" if before is None else "changed" if digest != before.digest else "unchanged")
        return Made(entry, row)

    def _unreadable(self, file: Found, error: Unreadable | OSError, number: int | None) -> Made | None:
        if isinstance(error, OSError):
            error = Unreadable(f"cannot be opened ({error.strerror})", "check its permissions")
        kept = self._again(number)
        self.report.unreadable(file.name, error.reason, error.hint)
        if kept is not None:
            self.report.count("unreadable_kept")
        elif number is not None:
            self.report.count("removed")
        return kept

    def _again(self, number: int | None) -> Made | None:
        """The document with this number in the old corpus, as it is there; None if that is gone."""
        if number is None:
            return None
        try:
            return Made(self.state.entries[number], self.old.row(number))
        except (IndexError, ValueError):
            return None

    def _imported(self, source: Source, imported: Imported) -> Iterator[Made]:
        """The documents of an import but its contexts; one with an id of another source gets a new one."""
        ids = self.renamed.setdefault(source.label, {})
        for document in imported.documents:
            path = str(document["_id"])
            ids[path] = self.identifiers.of(source.label, path)
            if path not in imported.contexts:
                yield self._row(source, path, document, ids[path])

    def _row(self, source: Source, path: str, document: Row, identifier: str) -> Made:
        digest = digest_of(document)
        number = self.numbers.get((source.label, path))
        before = self.state.entries[number].digest if number is not None else ""
        self.report.count("added" if not before else "unchanged" if before == digest else "changed")
        size = len(str(document.get("text", "")))
        return Made(Entry(source.label, path, size, digest, identifier), {**document, "_id": identifier})

    def _judged(self, source: Source, imported: Imported) -> Iterator[Made]:
        """The contexts of an import that are no part of another document; its queries are added as they are judged."""
        ids = self.renamed[source.label]
        placed = self.contexts.placed(source.label, with_ids(imported, ids), self.report)
        if self.split:
            placed = split_by_document(placed)
        paths = {ids[path]: path for path in imported.contexts}
        for document in placed.documents:
            if path := paths.pop(document["_id"], None):
                yield self._row(source, path, {**document, "_id": path}, document["_id"])
        for path in paths.values():
            if (source.label, path) in self.numbers:
                self.report.count("removed")
        self.judged.add(placed, source.label.rstrip("/").rpartition("/")[2])
        self.report.add_problems(source.typed, placed.problems)

    def _refuse_none(self, entries: Sequence[Entry], sources: Sequence[Source]) -> None:
        if entries:
            return
        where = ", ".join(source.typed for source in sources)
        stays = "; what is in the dataset folder stays" if self.state.entries else ""
        problems = [Problem(where, f"no document could be read{stays}", "see docs/ingest.md for what is read")]
        raise DataError([*problems, *self.report.problems()])

    def _finish(self, new: NewCorpus, entries: list[Entry], sources: Sequence[Source]) -> None:
        """Write all files, the corpus last: a crash before it leaves the old one, which the state knows."""
        files = self.judged.files()
        source_file = self.folder / SOURCE_FILE
        if self.state.is_ours(source_file):
            files[SOURCE_FILE] = json.dumps(_provenance(sources), ensure_ascii=False, indent=1) + "\n"
        problems: list[Problem] = []
        written = write_files(self.folder, files, self.state, self.keep_missing, problems)
        self.report.add_problems("", problems)
        self.report.finish(self.tally.summary(), self.judged, self.identifiers.collisions)
        before = digest_file(self.folder / CORPUS_FILE) if (self.folder / CORPUS_FILE).exists() else ""
        digest = new.finish()
        State(entries, digest, before, READERS_VERSION, written).save(self.folder, self.report.as_json())
        new.commit()


def _provenance(sources: Sequence[Source]) -> dict[str, Any]:
    """What SOURCE.json says: the sources, and what an import knows of its own."""
    imports = [source.imported.source for source in sources if source.imported is not None]
    named = imports[0] if len(imports) == 1 and len(sources) == 1 else {}
    return {"made_by": "harness ingest", **named, "sources": [source.label for source in sources],
            **({"imports": imports} if imports and not named else {})}  # fmt: skip
