"""Foreign data as a dataset: tables of questions and documents, testsets of other tools, datasets by name."""

from harness.data.imports.folder import write_folder
from harness.data.imports.imported import NO_COLUMNS, Columns, Imported, MissingSplits, Note
from harness.data.imports.locate import Search
from harness.data.imports.placing import move_contexts, pieces_of, place_contexts
from harness.data.imports.reader import read_import
from harness.data.imports.splitting import split_by_document

__all__ = [
    "NO_COLUMNS",
    "Columns",
    "Imported",
    "MissingSplits",
    "Note",
    "Search",
    "move_contexts",
    "pieces_of",
    "place_contexts",
    "read_import",
    "split_by_document",
    "write_folder",
]
