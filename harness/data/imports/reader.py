"""Tell what a source is, and read it: a file, a folder of tables, or a dataset by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.data.imports import articles, files, hub, irds
from harness.data.imports.assemble import assemble
from harness.data.imports.imported import NO_COLUMNS, Columns, Imported, Table
from harness.errors import DataError, Problem
from harness.files import is_file, is_folder

IGNORED = (".md", ".txt", ".yaml", ".yml", ".lock", ".py", ".gitattributes", "")
"""Endings of files that lie beside tables and are not read, such as a README."""


def read_import(source: str, columns: Columns = NO_COLUMNS) -> Imported | None:
    """Return the dataset of a source; None if it is of no kind that is read here, such as a folder of documents, or
    if there is no such file or folder.

    `columns` are names of columns for tables; what is not named is recognised. Raises DataError if nothing can be read;
    what is left out of the rest is in `problems`.
    """
    problems: list[Problem] = []
    if source.startswith(hub.PREFIX):
        tables, about = hub.read_hub(source, problems)
        return assemble(tables, columns, source, {"from": source, **about}, problems)
    if source.startswith(irds.PREFIX):
        tables, about = irds.read_irds(source)
        return assemble(tables, columns, source, {"from": source, **about}, problems)
    path = Path(source)
    if is_folder(path):
        return _read_folder(path, columns, problems)
    if not is_file(path) or files.suffix_of(path) not in files.SUFFIXES:
        return None
    beside = path.parent / "corpus.parquet"
    paths = [path, beside] if _is_qa(path) and beside.is_file() else [path]
    return _read_files(paths, columns, str(path), {"from": path.name}, problems)


def _is_qa(path: Path) -> bool:
    """Return whether a file holds questions of AutoRAG, whose corpus lies beside it."""
    if files.suffix_of(path) not in files.PARQUET or path.name == "corpus.parquet":
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return "retrieval_gt" in pq.read_schema(path).names
    except (pa.ArrowException, OSError, ValueError):
        return False


def _read_folder(folder: Path, columns: Columns, problems: list[Problem]) -> Imported | None:
    """Read a folder if `save_to_disk` wrote it, or if all that it holds are tables named by what is in them."""
    source = {"from": folder.name}
    if hub.is_saved(folder):
        tables, about = hub.read_saved(folder, problems)
        return assemble(tables, columns, str(folder), {**source, **about}, problems)
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path, folder)]
    tables_inside = [path for path in inside if files.suffix_of(path) in files.SUFFIXES]
    others = [path for path in inside if path not in tables_inside and path.suffix.lower() not in IGNORED]
    named = [path for path in tables_inside if files.split_of(path.name) or files.role_of(path.name)]
    if not named or others or len(named) < len(tables_inside):
        return None
    return _read_files(named, columns, str(folder), source, problems)


def _hidden(path: Path, folder: Path) -> bool:
    return (
        any(part.startswith((".", "_")) for part in path.relative_to(folder).parts) or path.name == "dataset_infos.json"
    )


def _read_files(
    paths: list[Path], columns: Columns, where: str, source: dict[str, Any], problems: list[Problem]
) -> Imported:
    """Read files together. One that cannot be read is left out if there are others."""
    tables: list[Table] = []
    squads: list[tuple[str, str | None, Any]] = []
    faults: list[Problem] = []
    stated = [name for name in columns if name]
    for path in paths:
        try:
            files.check_size(path)
            value = files.read_json(path, problems) if files.suffix_of(path) in files.JSON else None
            if articles.is_squad(value):
                squads.append((str(path), files.split_of(path.name), value))
            else:
                tables.append(files.read_table(path, stated, problems, value))
        except DataError as error:
            faults += error.problems
    if not tables and not squads:
        raise DataError(faults)
    return assemble(tables, columns, where, source, [*faults, *problems], squads)
