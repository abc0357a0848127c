"""Contexts of imported questions, looked for in the documents of an ingest while these pass.

The contexts are in memory, the documents are not.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.imports import Imported, Search, move_contexts, pieces_of
from harness.ingest.reports import Report


class Contexts:
    """The contexts of all imports, and where they lie in the documents that were seen."""

    def __init__(self, imports: Sequence[Imported]) -> None:
        self._search = Search(piece for imported in imports for piece in pieces_of(imported))
        self._sources = set[str]()

    def see(self, source: str, doc_id: str, text: str) -> None:
        """Look for all contexts in a document of a source."""
        self._sources.add(source)
        self._search.see(doc_id, text)

    def placed(self, source: str, imported: Imported, report: Report) -> Imported:
        """Return an import whose contexts are spans of the documents where they are parts of these; count them.

        One without documents of another source beside it stays as it is.
        """
        if self._sources <= {source} or not imported.contexts:
            return imported
        placed = move_contexts(imported, self._search.place)
        report.contexts += placed.pieces
        report.placed += placed.found
        return placed.imported
