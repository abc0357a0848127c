"""Foreign data in a suite: the same checks as of a folder, the same dataset as the folder that it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_imports_articles import FIRST, SECOND, article, question, squad
from test_imports_tables import in_format, read, written

from harness.data.datasets import load_dataset
from harness.data.imports import Imported, MissingSplits, split_by_document, write_folder
from harness.errors import ConfigError, DataError
from harness.suite.files import parse_suite
from harness.suite.sources import DatasetSource
from harness.values.repairs import in_words

HEAD = "schema: harness/suite-2\nname: x\npipeline: {retriever: {model: m}}\nmeasures: [ndcg@10]\n"


def pump(tmp_path: Path) -> Path:
    asked = [question("When?", ("1698", 37)), question("Who?", is_impossible=True)]
    text = squad(article("Pump", (FIRST, asked), (SECOND, [question("Where?", ("museum", 23))])))
    return written(tmp_path, text, "pumps.json")


def test_a_source_is_loaded_as_the_folder_that_it_makes(tmp_path: Path) -> None:
    path = pump(tmp_path)
    dataset = load_dataset(DatasetSource(source=str(path)), "test")
    write_folder(read(path), tmp_path / "folder")
    folder = load_dataset(DatasetSource(path=str(tmp_path / "folder")), "test")
    assert dataset.digests == folder.digests == load_dataset(DatasetSource(source=str(path)), "test").digests
    assert (dataset.name, dataset.source) == ("pumps", {"from": "pumps.json"})
    assert [query.text for query in dataset.splits["test"].queries.values()] == ["When?", "Who?", "Where?"]
    assert dataset.splits["test"].spans["id_of_When?"] == {"Pump": ((37, 41),)}
    assert dataset.splits["test"].judged == ["id_of_When?", "id_of_Where?"]
    assert not dataset.splits["test"].references["id_of_Who?"].answerable


def test_rows_that_are_left_out_are_repairs_with_their_line_and_no_path(tmp_path: Path) -> None:
    path = written(tmp_path, "question,answer,context\na?,b,c\n,b,c\nd?,e\n")
    dataset = load_dataset(DatasetSource(source=str(path)), "test")
    (repair,) = dataset.repairs
    assert in_words([repair]) == "Repaired while reading: 2 rows cannot be imported (left out)."
    assert repair.examples[0] == "table.csv:4: 2 fields instead of 3"
    assert repair.examples[1] == "table.csv:3: no question in 'question'"


def test_what_was_assumed_is_told(tmp_path: Path) -> None:
    text = "question,answer,context\nOù est-il?,là,École\nEt après?,,Été\n"
    dataset = load_dataset(DatasetSource(source=str(written(tmp_path, text.encode("cp1252")))), "test")
    (repair,) = dataset.repairs
    assert repair.text.startswith("2 assumptions were made while importing")
    assert repair.examples == (
        "table.csv: read as cp1252: the file is not UTF-8",
        "table.csv: 1 of 2 questions have no answer ('answer')",
    )


@pytest.mark.parametrize("repairs", [{"share": 0}, {"count": 1}, {"share": 0.2}])
def test_more_damage_than_the_suite_allows_is_refused(tmp_path: Path, repairs: dict[str, Any]) -> None:
    path = written(tmp_path, "question,answer,context\na?,b,c\n,b,c\nd?,e\n")
    with pytest.raises(DataError, match="cannot be imported"):
        load_dataset(DatasetSource(source=str(path), repairs=repairs), "test")


def test_what_the_folder_would_be_refused_for_is_refused_by_the_name_of_the_source(tmp_path: Path) -> None:
    path = written(tmp_path, "question,answer\na?,b\n")
    with pytest.raises(DataError) as caught:
        load_dataset(DatasetSource(source=str(path)), "test")
    text = str(caught.value)
    assert str(path) in text
    assert "harness-import-" not in text


def test_a_source_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    written(tmp_path / "docs", "# Title\n", "a.md")
    with pytest.raises(DataError, match="neither a table, a testset nor a dataset of another tool"):
        load_dataset(DatasetSource(source=str(tmp_path / "docs")), "test")


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder; give one, hf://owner/name, or ir_datasets:ID"):
        load_dataset(DatasetSource(source=str(tmp_path / "none.csv")), "test")


@pytest.mark.parametrize("value", ["hf://mteb/scifact", "ir_datasets:beir/scifact"])
def test_names_in_a_suite_stay_as_they_are(tmp_path: Path, value: str) -> None:
    suite = parse_suite(HEAD + f"dataset: {{source: '{value}'}}\n", tmp_path / "suite.yaml")
    assert suite.dataset.source == value


def test_a_path_in_a_suite_is_relative_to_it_and_can_hold_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "question\na?\n", "q.csv")
    monkeypatch.setenv("QUESTIONS", "q.csv")
    text = HEAD + "dataset: {source: '${QUESTIONS}', columns: {question: frage}}\n"
    suite = parse_suite(text, tmp_path / "suite.yaml")
    assert suite.dataset.source == str(tmp_path / "q.csv")
    with pytest.raises(DataError, match="no column 'frage'; it has question"):
        load_dataset(suite.dataset, "test")
    with pytest.raises(
        ConfigError, match=r"no file or folder .*none\.csv; give a file or folder, relative to the suite"
    ):
        parse_suite(HEAD + "dataset: {source: none.csv}\n", tmp_path / "suite.yaml")


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("{source: 'hf://a/b', path: .}", "give one of 'path', 'source' and 'builder'"),
        ("{path: ., columns: {question: q}}", "columns: only for a 'source'"),
        ("{source: 'hf://a/b', split_seed: 3}", "split_seed: only for a 'builder'"),
        ("{source: 'hf://a/b', columns: {questions: q}}", "did you mean 'question'?"),
    ],
)
def test_what_does_not_belong_together_is_said(tmp_path: Path, dataset: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_suite(HEAD + f"dataset: {dataset}\n", tmp_path / "suite.yaml")
    assert said in str(caught.value)


def test_settings_of_other_datasets_have_the_keys_that_they_had() -> None:
    assert DatasetSource(path="x").key_settings() == {"path": "x"}


def shared(count: int) -> Imported:
    """Questions on documents of their own, each third one also on the next document."""
    queries = {f"q{n}": {f"d{n}": 1} | ({f"d{n + 1}": 1} if n % 3 == 0 else {}) for n in range(count)}
    rows = [{"_id": key, "text": key, "metadata": {}} for key in queries]
    return Imported(
        [], rows, {"test": queries}, [], [], {}, [MissingSplits("", "no query is in ...", "split by document")]
    )


@pytest.mark.parametrize("count", [3, 10, 200])
def test_documents_are_split_as_wholes(count: int) -> None:
    split = split_by_document(shared(count), 7)
    assert split == split_by_document(shared(count), 7)
    documents = {name: {one for grades in part.values() for one in grades} for name, part in split.qrels.items()}
    assert sum(map(len, documents.values())) == len(set().union(*documents.values()))
    assert sorted(key for part in split.qrels.values() for key in part) == sorted(f"q{n}" for n in range(count))
    if count == 200:
        assert {name: round(len(part) / count, 1) for name, part in split.qrels.items()} == {
            "train": 0.4, "dev": 0.2, "test": 0.4
        }  # fmt: skip
        assert split.qrels != split_by_document(shared(count), 8).qrels
        assert split.problems == []


def test_questions_on_one_document_stay_together_and_this_is_said() -> None:
    queries = {f"q{n}": {"d": 1} for n in range(9)}
    split = split_by_document(shared(3)._replace(qrels={"test": queries}))
    assert list(split.qrels) == ["test"]
    assert "no query is left for 'train' and 'dev': too many questions share a document" in str(split.problems[0])


def test_a_query_without_judgements_keeps_its_split_in_the_folder(tmp_path: Path) -> None:
    in_format(
        tmp_path / "t.jsonl", [{"question": "a?", "split": "dev"}, {"question": "b?", "context": "c", "split": "test"}]
    )
    imported = read(tmp_path / "t.jsonl")
    write_folder(imported, tmp_path / "folder")
    assert (tmp_path / "folder" / "splits.tsv").read_text(encoding="utf-8").splitlines()[1].endswith("\tdev")
    dataset = load_dataset(DatasetSource(path=str(tmp_path / "folder")), "test")
    assert {name: len(split.queries) for name, split in dataset.splits.items()} == {"dev": 1, "test": 1}
    assert json.loads((tmp_path / "folder" / "SOURCE.json").read_text(encoding="utf-8")) == {"from": "t.jsonl"}
