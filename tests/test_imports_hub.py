"""Datasets of Hugging Face: saved folders, and names of the hub through a stand-in for its loader."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_imports_articles import evidence
from test_imports_tables import asked, left_out, notes, read

from harness.data.imports import Imported, read_import
from harness.data.imports import hub as imports_hub
from harness.data.imports.hub import PATIENCE, Address, is_reachable, parse
from harness.errors import DataError

datasets = pytest.importorskip("datasets")
Parts = Mapping[str, list[dict[str, Any]]]

CORPUS = [{"_id": "4", "title": "", "text": "Pumps."}, {"_id": "5", "title": "B", "text": "Bees."}]
QUERIES = [{"_id": "1", "text": "What pumps?"}, {"_id": "2", "text": "Which bees?"}, {"_id": "3", "text": "Unused?"}]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def dataset_of(parts: Parts) -> Any:
    return datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in parts.items()})


class Hub:
    """The two functions of the library that reach the hub."""

    def __init__(self, held: Mapping[str, Mapping[str, Parts]]) -> None:
        self.held = held
        self.revisions: list[tuple[str, str | None]] = []
        self.commits: dict[str, str] = {}

    def get_dataset_config_names(self, name: str, revision: str | None = None) -> list[str]:
        if name not in self.held:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")
        return list(self.held[name])

    def commit_of(self, name: str, revision: str | None) -> str | None:
        return self.commits.get(f"{name}@{revision}" if revision else name)

    def load_dataset(self, name: str, config: str | None = None, revision: str | None = None) -> Any:
        self.revisions.append((name, revision))
        if name not in self.held:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")
        return dataset_of(self.held[name][config or next(iter(self.held[name]))])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    def with_datasets(**held: Mapping[str, Parts]) -> Hub:
        double = Hub({name.replace("__", "/").replace("_", "-"): configs for name, configs in held.items()})
        monkeypatch.setattr(imports_hub, "is_reachable", lambda: True)
        monkeypatch.setattr(imports_hub, "commit_of", double.commit_of)
        for name in ("get_dataset_config_names", "load_dataset"):
            monkeypatch.setattr(datasets, name, getattr(double, name))
        return double

    return with_datasets


def loaded(source: str) -> Imported:
    imported = read_import(source)
    assert imported is not None
    return imported


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("hf://squad", Address("squad", None, None)),
        ("hf://rajpurkar/squad_v2", Address("rajpurkar/squad_v2", None, None)),
        ("hf://datasets/rajpurkar/squad_v2", Address("rajpurkar/squad_v2", None, None)),
        ("hf://mteb/scifact/corpus", Address("mteb/scifact", None, "corpus")),
        ("hf://mteb/scifact@a1b2c3/corpus", Address("mteb/scifact", "a1b2c3", "corpus")),
        ("hf://BeIR/scifact@refs/convert/parquet", Address("BeIR/scifact", "refs/convert/parquet", None)),
        ("hf://BeIR/scifact@refs/pr/7/corpus", Address("BeIR/scifact", "refs/pr/7", "corpus")),
    ],
)
def test_names_of_the_hub_are_parsed(source: str, address: Address) -> None:
    assert parse(source) == address


@pytest.mark.parametrize("source", ["hf://", "hf://a/b/c/d", "hf://a b/c", "hf:///a"])
def test_another_form_is_refused_with_the_right_one(source: str) -> None:
    with pytest.raises(DataError, match=r"write hf://owner/name\[@revision\]\[/config\]"):
        parse(source)


def check_scifact(imported: Imported) -> None:
    assert [row["_id"] for row in imported.documents] == ["4", "5"]
    assert imported.qrels == {"train": {"2": {"5": 1}}, "test": {"1": {"4": 2, "5": 0}}}
    assert [row["_id"] for row in imported.queries] == ["1", "2"]
    assert "1 of 3 queries have no judgement and are left out" in notes(imported)
    assert left_out(imported) == []


JUDGED: Parts = {
    "train": [{"query-id": 2, "corpus-id": 5, "score": 1}],
    "test": [{"query-id": 1, "corpus-id": 4, "score": 2}, {"query-id": 1, "corpus-id": 5, "score": -1}],
}


def test_beir_has_its_judgements_in_a_second_dataset_with_numbers_as_ids(hub: Any) -> None:
    parts: dict[str, Parts] = {"corpus": {"corpus": CORPUS}, "queries": {"queries": QUERIES}}
    double = hub(BeIR__scifact=parts, BeIR__scifact_qrels={"default": JUDGED})
    check_scifact(loaded("hf://BeIR/scifact@v1"))
    assert double.revisions == [("BeIR/scifact", "v1"), ("BeIR/scifact", "v1"), ("BeIR/scifact-qrels", None)]


@pytest.mark.parametrize(("name", "config"), [("default", ""), ("qrels", ""), ("de-qrels", "/de")])
def test_mteb_has_its_judgements_in_a_configuration_with_decimal_grades(hub: Any, name: str, config: str) -> None:
    prefix = name.removesuffix("qrels") if config else ""
    decimal = {
        split: [
            {"query-id": str(row["query-id"]), "corpus-id": str(row["corpus-id"]), "score": float(row["score"])}
            for row in rows
        ]
        for split, rows in JUDGED.items()
    }
    corpus: Parts = {"corpus": CORPUS}
    hub(mteb__scifact={name: decimal, f"{prefix}corpus": corpus, f"{prefix}queries": {"test": QUERIES}})
    check_scifact(loaded(f"hf://mteb/scifact{config}"))


def test_judgements_of_unknown_queries_and_half_grades_are_named(hub: Any) -> None:
    rows = [{"query-id": q, "corpus-id": "4", "score": score} for q, score in (("1", 1.0), ("9", 1.0), ("2", 0.5))]
    hub(a__b={"default": {"test": rows}, "corpus": {"corpus": CORPUS}, "queries": {"queries": QUERIES}})
    imported = loaded("hf://a/b")
    assert list(imported.qrels["test"]) == ["1"]
    assert [line.partition(": ")[2] for line in left_out(imported)] == [
        "query '9' is not among the queries",
        "relevance 0.5 is not an integer; use grades such as 0, 1, 2",
    ]


SQUAD = {
    "id": "1", "title": "Water_pump", "context": "Built in 1698.", "question": "When?",
    "answers": {"text": ["1698"], "answer_start": [9]},
}  # fmt: skip


@pytest.mark.parametrize("shape", ["lists", "objects"])
def test_questions_and_contexts_in_the_shape_of_squad_become_articles(hub: Any, shape: str) -> None:
    row: dict[str, Any] = SQUAD if shape == "lists" else {**SQUAD, "answers": [{"text": "1698", "answer_start": 9}]}
    unanswerable = {
        **row,
        "id": "2",
        "question": "Who?",
        "answers": {"text": [], "answer_start": []} if shape == "lists" else [],
    }
    hub(rajpurkar__squad={"plain_text": {"train": [row], "validation": [unanswerable]}})
    imported = loaded("hf://rajpurkar/squad")
    assert evidence(imported) == [("When?", "1698")]
    assert imported.qrels == {"train": {"1": {"Water_pump": 1}}, "dev": {"2": {}}}
    assert [row["answerable"] for row in imported.answers] == [True, False]


def test_a_dataset_that_was_never_split_is_all_test(hub: Any) -> None:
    hub(a__b={"default": {"train": [{"question": "a?", "answer": "b"}]}})
    imported = loaded("hf://a/b")
    assert {split: len(part) for split, part in imported.qrels.items()} == {"test": 1}
    assert "its only split, 'train', is read as not split" in notes(imported)


def test_autorag_on_the_hub_has_two_configurations(hub: Any) -> None:
    corpus = [{"doc_id": "a", "contents": "Text."}]
    qa = [{"qid": "1", "query": "a?", "retrieval_gt": [["a"]], "generation_gt": ["b"]}]
    hub(a__b={"corpus": {"train": corpus}, "qa": {"train": qa, "test": [{**qa[0], "qid": "2"}]}})
    imported = loaded("hf://a/b")
    assert asked(imported) == [("a?", ["b"], ["Text."])] * 2
    assert {split: list(part) for split, part in imported.qrels.items()} == {"train": ["1"], "test": ["2"]}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hf://a/none", "no dataset 'a/none' on the hub; check the name; log in"),
        ("hf://a/b", r"has several configurations \(x, y\); name one: hf://a/b/x"),
        ("hf://a/b/z", "no configuration 'z'; there are x, y; name one of these"),
        ("hf://a/b/x", "no column of texts or questions is recognised; the columns are number"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(hub: Any, source: str, said: str) -> None:
    hub(a__b={"x": {"train": [{"number": 1}]}, "y": {"train": [{"number": 1}]}})
    with pytest.raises(DataError, match=said) as caught:
        loaded(source)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ConnectionError("Couldn't reach 'a/b' on the Hub (LocalEntryNotFoundError)"),
            "cannot be reached from here",
        ),
        (
            RuntimeError("Dataset scripts are no longer supported, but found b.py"),
            "code of its own, which is not run",
        ),
        (ValueError("first line\nsecond line"), r"'a/b' cannot be loaded \(first line\); check"),
    ],
)
def test_errors_of_the_library_are_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(imports_hub, "is_reachable", lambda: True)
    monkeypatch.setattr(datasets, "get_dataset_config_names", fail)
    with pytest.raises(DataError, match=said):
        loaded("hf://a/b")


@pytest.mark.parametrize("silent", [False, True])
def test_a_hub_that_cannot_be_reached_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: bool
) -> None:
    """A port that nobody listens on, and a server that takes a request and never answers."""
    constants = pytest.importorskip("huggingface_hub").constants
    asked_in: list[bool] = []

    def names(name: str, **_: Any) -> list[str]:
        asked_in.append(constants.HF_HUB_OFFLINE and datasets.config.HF_HUB_OFFLINE)
        raise ConnectionError(f"Couldn't reach {name!r} on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "get_dataset_config_names", names)
    monkeypatch.setattr(imports_hub, "is_reachable", lambda: is_reachable(0.3))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1 if silent else 0)
        if not silent:
            server.close()
        port = server.getsockname()[1] if silent else 9
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        with pytest.raises(DataError, match="the hub cannot be reached from here; load it where") as caught:
            loaded("hf://a/b")
    assert len(caught.value.problems) == 1
    assert asked_in == [True]
    assert (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE) == (False, False)
    assert PATIENCE <= 4


def test_saved_datasets_are_read_with_their_splits(tmp_path: Path) -> None:
    rows = [{"question": "a?", "answers": ["b", "c"], "context": "Text."}]
    dataset_of({"train": rows, "validation": [{**rows[0], "question": "d?"}]}).save_to_disk(tmp_path / "both")
    imported = read(tmp_path / "both")
    assert asked(imported) == [("a?", ["b", "c"], ["Text."]), ("d?", ["b", "c"], ["Text."])]
    assert {split: len(part) for split, part in imported.qrels.items()} == {"train": 1, "dev": 1}
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "one")
    assert {split: len(part) for split, part in read(tmp_path / "one").qrels.items()} == {"test": 1}


def test_beir_parts_saved_as_splits_are_told_apart(tmp_path: Path) -> None:
    qrels = [{"query-id": "1", "corpus-id": "4", "score": 1}]
    dataset_of({"corpus": CORPUS, "queries": QUERIES, "qrels": qrels}).save_to_disk(tmp_path / "d")
    assert read(tmp_path / "d").qrels == {"test": {"1": {"4": 1}}}


def test_images_of_a_dataset_are_not_read(tmp_path: Path) -> None:
    features = datasets.Features({"question": datasets.Value("string"), "image": datasets.Image(decode=True)})
    rows = {"question": ["a?"], "image": [{"bytes": b"x", "path": None}]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "d")
    assert [row["text"] for row in read(tmp_path / "d").queries] == ["a?"]


def test_a_damaged_saved_dataset_is_one_sentence(tmp_path: Path) -> None:
    datasets.Dataset.from_list([{"question": "a?"}]).save_to_disk(tmp_path / "d")
    next((tmp_path / "d").glob("*.arrow")).write_bytes(b"no arrow")
    with pytest.raises(DataError, match=r"cannot be loaded \(.*\); save it again"):
        read(tmp_path / "d")
    (tmp_path / "d" / "state.json").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(DataError, match="save it again"):
        read(tmp_path / "d")


def test_all_parts_are_read_at_the_commits_of_now(hub: Any) -> None:
    """A dataset that is pushed to in between gives no corpus of one commit with judgements of another."""
    parts: dict[str, Parts] = {"corpus": {"corpus": CORPUS}, "queries": {"queries": QUERIES}}
    double = hub(BeIR__scifact=parts, BeIR__scifact_qrels={"default": JUDGED})
    double.commits = {"BeIR/scifact@v1": "a" * 40, "BeIR/scifact-qrels": "b" * 40}
    imported = loaded("hf://BeIR/scifact@v1")
    assert double.revisions == [
        ("BeIR/scifact", "a" * 40), ("BeIR/scifact", "a" * 40), ("BeIR/scifact-qrels", "b" * 40)
    ]  # fmt: skip
    assert imported.source["revision"] == "a" * 40
    assert imported.source["revisions"] == {"BeIR/scifact-qrels": "b" * 40}


def test_branches_of_the_hub_keep_their_names_and_are_told_by_commit(hub: Any) -> None:
    double = hub(a__b={"default": {"test": [SQUAD]}})
    double.commits = {"a/b@refs/convert/parquet": "c" * 40}
    assert loaded("hf://a/b@refs/convert/parquet").source["revision"] == "c" * 40
    assert double.revisions == [("a/b", "refs/convert/parquet")]
