"""Datasets of ir_datasets, from a small one that is registered in the library's own registry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_imports_tables import left_out

from harness.data.imports import Imported, read_import
from harness.errors import DataError

ir_datasets = pytest.importorskip("ir_datasets")

DOCS = "1\tPumps move water.\n2\tBees make honey.\n"
QUERIES = "a\tWhat moves water?\nb\tWhat makes honey?\n"


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[None]:
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import TrecQrels, TsvDocs, TsvQueries
    from ir_datasets.util import LocalDownload

    def file(name: str, text: str) -> Any:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return LocalDownload(tmp_path / name)

    docs = TsvDocs(file("docs.tsv", DOCS), namespace="tiny", lang="en")
    queries = TsvQueries(file("queries.tsv", QUERIES), namespace="tiny", lang="en")
    parts = {"train": "b 0 2 1\n", "test": "a 0 1 2\na 0 2 0\n", "test/small": "a 0 1 2\n"}
    known = {"tiny": Dataset(docs, queries)}
    for name, text in parts.items():
        qrels = TrecQrels(file(f"{name.replace('/', '-')}.qrels", text), {2: "yes", 1: "related", 0: "no"})
        known[f"tiny/{name}"] = Dataset(docs, queries, qrels)
    for name, dataset in known.items():
        ir_datasets.registry.register(name, dataset)
    yield
    for name in known:
        del ir_datasets.registry._registered[name]


def loaded(source: str) -> Imported:
    imported = read_import(source)
    assert imported is not None
    return imported


@pytest.mark.usefixtures("registered")
def test_a_dataset_is_read_with_all_its_splits() -> None:
    imported = loaded("ir_datasets:tiny")
    assert imported.documents[0] == {"_id": "1", "title": "", "text": "Pumps move water.", "metadata": {}}
    assert imported.qrels == {"train": {"b": {"2": 1}}, "test": {"a": {"1": 2, "2": 0}}}
    assert [row["text"] for row in imported.queries] == ["What moves water?", "What makes honey?"]
    assert imported.source == {"from": "ir_datasets:tiny", "language": "en"}
    assert left_out(imported) == []


@pytest.mark.usefixtures("registered")
def test_one_split_is_read_alone() -> None:
    assert loaded("ir_datasets:tiny/test").qrels == {"test": {"a": {"1": 2, "2": 0}}}


@pytest.mark.usefixtures("registered")
def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(DataError, match="no dataset 'tiny/tets' in ir_datasets; did you mean 'tiny/test'"):
        loaded("ir_datasets:tiny/tets")


def test_a_dataset_that_is_only_a_name_is_refused_with_its_parts() -> None:
    with pytest.raises(DataError, match="has no documents; name a dataset that has them"):
        loaded("ir_datasets:beir")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("no file\nmore"), r"cannot be read \(no file\); see what its page"),
        (ConnectionError("HTTPSConnectionPool(...)"), "its files cannot be downloaded from here; run this once where"),
    ],
)
def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    whole = type("Whole", (), {"has_docs": lambda _: True, "has_qrels": lambda _: True, "docs_iter": fail})()
    monkeypatch.setattr(ir_datasets, "load", lambda _: whole)
    with pytest.raises(DataError, match=said):
        loaded("ir_datasets:beir/scifact/test")


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(DataError, match="the package ir_datasets is not installed; pip install"):
        loaded("ir_datasets:beir/scifact")


def test_titles_and_other_fields_are_found() -> None:
    from harness.data.imports.irds import _document

    genuine = ir_datasets.formats.GenericDoc
    assert _document(genuine("1", "Text"))["text"] == "Text"
    from ir_datasets.datasets.beir import BeirTitleDoc

    row = _document(BeirTitleDoc("1", "Text", "Title"))
    assert (row["title"], row["text"]) == ("Title", "Text")
