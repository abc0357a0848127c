"""What an upload of a folder would give away: paths of this machine, questions of the dataset, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.suite.secrets import revealed
from harness.suite.yaml_text import parsed

TEXTS = (".json", ".jinja", ".md", ".txt", ".yaml", ".yml", ".xml")
PIECE = 1 << 24
"""Bytes of a large file that are read at once."""
SHORTEST = 12
"""Characters of the shortest question that is looked for: a shorter one may stand anywhere."""
SHORTEST_PATH = 4
_SPACE = re.compile(r"\s+")


class Revealed(NamedTuple):
    """A file, by its path in the folder, and what it holds: a path, a question, or a secret."""

    file: str
    kind: str
    what: str


def revealing(folder: Path, paths: Iterable[Path], questions: Iterable[str]) -> list[Revealed]:
    """Return what the files of a folder hold that should stay here, each kind once for a file.

    Questions are looked for in texts, also where YAML has wrapped them or JSON has escaped them; paths in every byte.
    """
    places = sorted({str(path) for path in paths if len(str(path)) >= SHORTEST_PATH and path.is_absolute()})
    asked = [_SPACE.sub(" ", text.strip()) for text in questions]
    asked = sorted({text for text in asked if len(text) >= SHORTEST})
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found += [Revealed(path.relative_to(folder).as_posix(), *one) for one in _inside(path, places, asked)]
    return found


def _inside(path: Path, places: list[str], questions: list[str]) -> Iterator[tuple[str, str]]:
    place = next((place for place in places if _holds(path, place.encode())), "")
    if place:
        yield "path", place
    if path.suffix not in TEXTS:
        return
    text = _SPACE.sub(" ", path.read_text(encoding="utf-8", errors="replace"))
    written = " \n ".join([text, *(_SPACE.sub(" ", one) for one in _strings(path))])
    question = next((question for question in questions if question in written), "")
    if question:
        yield "question", question
    # Vocabularies hold every kind of word.
    if path.suffix in (".md", ".yaml", ".yml") and (why := revealed(text)):
        yield "secret", why


def _holds(path: Path, wanted: bytes) -> bool:
    """Whether the bytes of a file hold others, followed by what ends a part of a path."""
    pattern = re.compile(re.escape(wanted) + rb"(?![A-Za-z0-9_.-])")
    kept = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            kept += piece
            if pattern.search(kept):
                return True
            kept = kept[-len(wanted) - 1 :]
    return False


def _strings(path: Path) -> Iterator[str]:
    """Every text in a JSON or YAML file, as it was before it was written; YAML may stand before a page."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        if path.suffix == ".json":
            yield from _texts(json.loads(text))
        elif path.suffix in (".yaml", ".yml"):
            yield from _texts(parsed(text).value)
        elif text.startswith("---\n"):
            yield from _texts(parsed(text.split("---\n", 2)[1]).value)
    except (ValueError, RecursionError):
        return


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
