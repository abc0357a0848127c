"""Which files of a folder are read: plain or packed, and the split that a file of judgements belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data.formats import read_bytes
from harness.errors import Problem
from harness.suite.sources import ReadingRule
from harness.values.repairs import Repairing

SPLITS = ("train", "dev", "test")
SPLIT_NAMES = {
    "training": "train",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "devel": "dev",
    "development": "dev",
    "testing": "test",
}
PACKED = (".gz", ".zst", ".bz2", ".xz")
"""Of these only gzip is read; the others are found, so that the message can say what to do."""
CORPUS = ("corpus.jsonl", "corpus.json", "corpus.tsv", "collection.tsv")
SPANS = "spans.jsonl"
QUERIES = ("queries.jsonl", "queries.json", "queries.tsv", "topics.tsv")
"""Names that a file may have, the usual one first; others are looked for only if it is not there."""
QRELS = (".tsv", ".txt", ".csv", ".trec", ".qrels", ".jsonl")


def split_named(text: str) -> str:
    """Return the split that a name means: ``validation`` is ``dev``, ``Test`` is ``test``; an unknown name as it is."""
    low = text.lower()
    return low if low in SPLITS else SPLIT_NAMES.get(low, text)


def file_of(folder: Path, name: str, problems: list[Problem]) -> Path:
    """Return the file of this name, or its compressed form if only that exists.

    If both exist, they must have equal content, so that nothing is guessed.
    """
    plain, packed = folder / name, [folder / f"{name}{ending}" for ending in PACKED]
    existing = [path for path in packed if path.exists()]
    if not plain.exists():
        return existing[0] if existing else plain
    double = folder / f"{name}.gz"
    if double in existing and not _alike(plain, double):
        what = f"{name} and {double.name} are both there and differ"
        problems.append(Problem(str(folder), what, "remove the one that is not meant"))
    return plain


def first_of(folder: Path, names: Sequence[str], problems: list[Problem]) -> Path:
    """Return the file with the first of these names that exists; if none does, the one with the first name."""
    existing = [path for name in names if (path := file_of(folder, name, problems)).exists()]
    return existing[0] if existing else folder / names[0]


def qrels_files(
    folder: Path, problems: list[Problem], repairing: Repairing, reading: ReadingRule
) -> list[tuple[str, Path]]:
    """Return the files of judgements with the split of each: one file a split.

    A file of no known split is left out and counted, if the one to be scored is there.
    """
    place = folder / "qrels"
    by_split: dict[str, Path] = {}
    others: list[tuple[str, Path]] = []
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        name = path.name
        for ending in PACKED:
            name = name.removesuffix(ending)
        stem, dot, suffix = name.rpartition(".")
        if f"{dot}{suffix}" not in QRELS or name.startswith(".") or not path.is_file():
            continue
        split = split_named(stem)
        if split not in SPLITS:
            others.append((stem, path))
        elif split not in by_split:
            by_split[split] = path
            if split != stem:
                repairing.note("split-name", str(path), f"{stem!r}, read as {split!r}")
        elif not _alike(by_split[split], path) and reading.uses(split):
            what = f"{by_split[split].name} and {path.name} are both judgements of the split {split!r}, and differ"
            problems.append(Problem(str(place), what, "keep one"))
    if not by_split and not others:
        problems.append(Problem(str(place), "no judgements", "add qrels/test.tsv"))
    for stem, path in others:
        if reading.scored is not None and reading.scored in by_split:
            repairing.note("unused-file", str(path), f"of no split, but {stem!r}")
        else:
            problems.append(Problem(str(path), f"split {stem!r}", "use train, dev or test"))
    return sorted(by_split.items())


def _alike(first: Path, other: Path) -> bool:
    return read_bytes(first, []) == read_bytes(other, [])
