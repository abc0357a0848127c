"""Ids of documents: the path in the source, unique over all sources, and the same in every later run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]+")


class Identifiers:
    """Gives each document an id. `known` are the ids of earlier runs, which keep their owners: (source, path) -> id."""

    def __init__(self, known: Mapping[tuple[str, str], str], used: Iterable[str] = ()) -> None:
        self._known = known
        self._taken = {*known.values(), *used}
        self.collisions = 0

    def of(self, source: str, path: str) -> str:
        """Return the id of a document; where its path is the id of another, the name of its source stands before it."""
        if (source, path) in self._known:
            return self._known[source, path]
        plain = _BLANKS.sub("_", path)
        candidate, number = plain, 1
        while candidate in self._taken:
            self.collisions += number == 1
            prefix = _BLANKS.sub("_", source.rstrip("/").rpartition("/")[2]) or "source"
            candidate = f"{prefix}/{plain}" if number == 1 else f"{prefix}/{plain}~{number}"
            number += 1
        self._taken.add(candidate)
        return candidate
