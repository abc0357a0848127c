"""Datasets of ir_datasets by id: ``ir_datasets:beir/scifact`` for all splits of it, or one of these.

The library downloads what it does not have. It is optional.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.data.imports.files import split_of
from harness.data.imports.imported import Row, Table
from harness.errors import DataError, Problem, nearest

PREFIX = "ir_datasets:"
TEXTS = ("text", "body", "contents", "abstract", "passage")
INSTALL = "pip install ir_datasets"


def read_irds(source: str) -> tuple[list[Table], dict[str, Any]]:
    """Return documents, queries and judgements. Raises DataError if they cannot be had."""
    try:
        import ir_datasets
    except ImportError:
        raise DataError(Problem(source, "the package ir_datasets is not installed", INSTALL)) from None
    name = source.removeprefix(PREFIX)
    try:
        whole = ir_datasets.load(name)
    except Exception:
        near = nearest(name, [key for key in ir_datasets.registry if key.count("/") == name.count("/")])
        hint = near if near.startswith("did") else "see the list of ids in its documentation"
        raise DataError(Problem(source, f"no dataset {name!r} in ir_datasets", hint)) from None
    if not whole.has_docs():
        raise DataError(Problem(source, "has no documents", "name a dataset that has them, such as beir/scifact"))
    parts = {name: whole}
    if not whole.has_qrels():
        parts = {key: ir_datasets.load(key) for key in ir_datasets.registry if _is_split(key, name)}
        parts = {key: part for key, part in parts.items() if part.has_qrels() and part.has_queries()}
    if not parts:
        hint = f"name a part of it that has some{_parts(ir_datasets, name)}"
        raise DataError(Problem(source, "has no judgements", hint))
    try:
        return list(_tables(whole, parts, source)), _about(whole)
    except Exception as error:
        raise DataError(_unread(error, source)) from None


def _unread(error: Exception, source: str) -> Problem:
    """Return the problem that an exception of the library means."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, ConnectionError) or "ConnectionError" in {kind.__name__ for kind in type(error).__mro__}:
        hint = "run this once where they can, and copy the folder ~/.ir_datasets from there"
        return Problem(source, "its files cannot be downloaded from here", hint)
    return Problem(source, f"cannot be read ({lines[0][:120]})", "see what its page in ir_datasets asks for")


def _is_split(key: str, name: str) -> bool:
    return (
        key.startswith(f"{name}/") and "/" not in key[len(name) + 1 :] and split_of(key.rpartition("/")[2]) is not None
    )


def _parts(library: Any, name: str) -> str:
    known = [key for key in library.registry if key.startswith(f"{name}/")]
    return f": {', '.join(known[:6])}" if known else ""


def _tables(whole: Any, parts: Mapping[str, Any], source: str) -> Iterator[Table]:
    documents = _rows(_document(item) for item in whole.docs_iter())
    yield Table(source, "corpus", None, ["_id", "title", "text"], list(documents))
    queries: dict[str, dict[str, Any]] = {}
    for part in parts.values():
        for item in part.queries_iter():
            queries.setdefault(str(item.query_id), {"_id": item.query_id, "text": _default(item)})
    yield Table(source, "queries", None, ["_id", "text"], list(_rows(queries.values())))
    for key, part in parts.items():
        qrels = part.qrels_iter()
        rows = ({"query-id": one.query_id, "corpus-id": one.doc_id, "score": one.relevance} for one in qrels)
        columns = ["query-id", "corpus-id", "score"]
        split = split_of(key.rpartition("/")[2])
        yield Table(source, "qrels", split, columns, list(_rows(rows, f"{PREFIX}{key} qrels")))


def _rows(items: Iterable[Mapping[str, Any]], where: str = "") -> Iterator[Row]:
    for number, item in enumerate(items, start=1):
        yield Row(f"{where or item.get('_id')}:{number}" if where else f"document or query {item.get('_id')!r}", item)


def _document(item: Any) -> dict[str, Any]:
    title = getattr(item, "title", "")
    title = title if isinstance(title, str) else ""
    texts = [value for name in TEXTS if isinstance(value := getattr(item, name, None), str)]
    return {"_id": item.doc_id, "title": title, "text": "\n\n".join(texts) if texts else _default(item)}


def _default(item: Any) -> str:
    """Return the text that the library takes for the whole; of older versions, the field `text`."""
    text = item.default_text() if hasattr(item, "default_text") else getattr(item, "text", "")
    return text if isinstance(text, str) else str(text)


def _about(whole: Any) -> dict[str, Any]:
    """Return the language, where the dataset names it."""
    language = whole.docs_lang() if hasattr(whole, "docs_lang") else None
    return {"language": language} if isinstance(language, str) else {}
