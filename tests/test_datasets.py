"""What is wrong with a dataset is found at the door, all of it; what is right is digested part by part."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from beir_folders import ANSWERS, CORPUS, QRELS, QUERIES, SPLITS, Rows, load, problems_of, write

from harness.suite import builtin


def test_a_good_folder(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "weaving"))
    assert dataset.name == "weaving"
    assert list(dataset.documents) == ["loom-1", "loom-2", "dye-1"]
    assert dataset.documents["loom-1"].content == "Looms\nA loom holds the warp."
    assert dataset.documents["dye-1"].content == "Woad is blue."
    assert {name: list(split.queries) for name, split in dataset.splits.items()} == {
        "train": ["q4"],
        "test": ["q1", "q2", "q3"],
    }
    test = dataset.splits["test"]
    assert test.qrels == {"q1": {"loom-1": 1}, "q2": {"dye-1": 2, "loom-2": 0}}
    assert test.judged == ["q1", "q2"]
    assert test.references["q1"].answers == ("the loom", "a loom")
    assert test.references["q1"].answerable
    assert not test.references["q3"].answerable
    assert test.references["q3"].source_passages == ("dye-1",)
    assert test.groups == {"q1": "q1", "q2": "q2", "q3": "q3"}


def test_the_optional_files_are_optional(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, answers=None, splits=None))
    assert list(dataset.splits["test"].queries) == ["q1", "q2"]
    assert dataset.splits["test"].references == {}


def test_the_counts_that_a_report_shows(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "SOURCE.json").write_text('{"licence": "CC0", "path": "/home/someone"}')
    info = load(tmp_path, doc_id_prefix="-").describe("test", answered=2)
    assert (info.documents, info.queries, info.judged) == (3, {"train": 1, "test": 3}, 2)
    assert (info.groups, info.answerable, info.unanswerable, info.answered) == (2, 1, 1, 2)
    assert info.source == {"licence": "CC0"}


@pytest.mark.parametrize(
    ("parts", "problems"),
    [
        (
            {"corpus": [*CORPUS, {"_id": "dye-1", "text": "Madder is red."}]},
            ["corpus.jsonl:4: document id 'dye-1' is used twice (first in corpus.jsonl:3); rename one"],
        ),
        (
            {"queries": [*QUERIES, {"_id": "q1", "text": "Again?"}]},
            ["queries.jsonl:5: query id 'q1' is used twice (first in queries.jsonl:1); rename one"],
        ),
        (
            {"queries": [*QUERIES, {"_id": "q5", "text": ""}], "splits": [*SPLITS, "q5 test"]},
            [
                "queries.jsonl:5: query 'q5' has no text; write it, or remove the query from the split 'test'",
            ],
        ),
        (
            {"corpus": [*CORPUS, {"text": "x"}, {"_id": 7.5, "text": "x"}, {"_id": None}, {"_id": True}, {"_id": ""}]},
            [
                'corpus.jsonl:4: no \'_id\', but text; write {"_id": "...", ...}',
                'corpus.jsonl:5: \'_id\' is the number 7.5; write {"_id": "...", ...}',
                'corpus.jsonl:6: \'_id\' is null; write {"_id": "...", ...}',
                'corpus.jsonl:7: \'_id\' is true; write {"_id": "...", ...}',
                'corpus.jsonl:8: \'_id\' is an empty text; write {"_id": "...", ...}',
            ],
        ),
        (
            {"corpus": [*CORPUS, {"id": "x", "docid": "y", "text": "x"}, {"_id": "x", "contents": "a", "body": "b"}]},
            [
                "corpus.jsonl:4: no '_id', and several other ids ('id', 'docid'); write {\"_id\": \"...\", ...}",
                "corpus.jsonl:5: no 'text', and several that could be it ('contents', 'body'); name one \"text\"",
            ],
        ),
        (
            {"corpus": []},
            ["corpus.jsonl: holds no document; write {\"_id\": \"...\", \"text\": \"...\"} on each line"],
        ),
        (
            {"corpus": [*CORPUS, {"_id": "x", "text": {"en": "x"}}, {"_id": "y", "title": True, "text": "x"}]},
            [
                "corpus.jsonl:4: 'text' is an object; write \"text\": \"...\"",
                "corpus.jsonl:5: 'title' is true; write \"title\": \"...\"",
            ],
        ),
        (
            {"queries": [*QUERIES, {"_id": "q5", "text": "x", "metadata": ["a"]}]},
            ["queries.jsonl:5: 'metadata' is no object; write \"metadata\": {\"...\": ...}"],
        ),
        (
            {"qrels": {**QRELS, "test": ["q1 loom-1 1", "q1 loom-1 2"]}},
            [
                "qrels/test.tsv:3: query 'q1' judges document 'loom-1' twice, with the grades 1 (qrels/test.tsv:2) and "
                "2; remove one"
            ],
        ),
        (
            {"qrels": {"test": ["q1 loom-1 1", "q2 dye-1 high", "q2 dye-1 --1", "q2 dye-1 ²", "q2 dye-1 1.5"]}},
            [
                f"qrels/test.tsv:{line}: relevance {grade!r} is not an integer; use grades such as 0, 1, 2"
                for line, grade in ((3, "high"), (4, "--1"), (5, "²"), (6, "1.5"))
            ],
        ),
        (
            {"qrels": {**QRELS, "test": ["q1 loom-1 1", "q4 loom-1 1"]}},
            ["qrels/train.tsv:2: query 'q4' is in two splits (test, train); keep it in one"],
        ),
        ({"splits": ["q3 test", "q1 dev"]}, ["splits.tsv:3: query 'q1' is in two splits (test, dev); keep it in one"]),
        ({"splits": ["q3 test", "q3 dev"]}, ["splits.tsv:3: query 'q3' is in two splits (test, dev); keep it in one"]),
        (
            {"splits": ["q3 tests", "q9 test"]},
            ["splits.tsv:2: split 'tests'; use train, dev or test"],
        ),
        (
            {"qrels": {**QRELS, "validation": ["q1 loom-1 1"]}},
            ["qrels/test.tsv:2: query 'q1' is in two splits (dev, test); keep it in one"],
        ),
        (
            {"qrels": {**QRELS, "dev": ["q3 loom-1 1"], "validation": ["q3 dye-1 1"]}, "splits": None},
            ["qrels: dev.tsv and validation.tsv are both judgements of the split 'dev', and differ; keep one"],
        ),
        ({"qrels": {"hard": ["q1 loom-1 1"]}}, ["qrels/hard.tsv: split 'hard'; use train, dev or test"]),
        (
            {"answers": [{"_id": "q1", "answers": "a loom"}, {"_id": "q2", "answers": [" "]}]},
            [
                "answers.jsonl:1: 'answers' is no list; write \"answers\": [\"...\"]",
                "answers.jsonl:2: an answer without text; remove it",
            ],
        ),
        (
            {"answers": [{"_id": "q1", "answers": [], "answerable": True}, *ANSWERS]},
            [
                "answers.jsonl:1: answerable, but without an answer; add one",
                "answers.jsonl:2: query 'q1' is answered twice; join the answers",
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, parts: dict[str, Any], problems: list[str]) -> None:
    assert problems_of(write(tmp_path, **parts)) == problems


def test_what_cannot_be_read_is_named_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path)
    with (tmp_path / "corpus.jsonl").open("ab") as file:
        file.write(b'{"_id": "x", "text": "caf\xe9"}\n{"_id": "y", \n[]\n')
    with (tmp_path / "qrels" / "test.tsv").open("ab") as file:
        file.write(b"q1\tloom-2\n")
    assert problems_of(tmp_path) == [
        "corpus.jsonl:4: not UTF-8 at byte 25; save the file as UTF-8",
        "corpus.jsonl:5: not JSON: Expecting property name enclosed in double quotes at column 14",
        'corpus.jsonl:6: not a JSON object; write {"_id": ...} on each line',
        "qrels/test.tsv:5: 2 fields instead of 3 (query, document and relevance, split by tabs)",
    ]


def test_an_empty_folder(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == [
        f"corpus.jsonl: no such file; write it, or run 'harness ingest DOCUMENTS {tmp_path}' to make it from documents",
        f"queries.jsonl: no such file; write it, or run 'harness testset {tmp_path}' to have questions written",
        "qrels: no judgements; add qrels/test.tsv",
    ]


def test_the_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        corpus=[*CORPUS, {"text": "x"}],
        queries=[*QUERIES, {**QUERIES[0], "text": "Other?"}],
        qrels={"test": ["q1 loom-1 high"]},
        answers=[{"_id": "q9", "answers": "a"}],
        splits=["q8 tests"],
    )
    places = [problem.split(":")[0] for problem in problems_of(tmp_path)]
    assert sorted(places) == ["answers.jsonl", "corpus.jsonl", "qrels/test.tsv", "queries.jsonl", "splits.tsv"]


def test_the_first_mistakes_of_each_kind_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    """Twenty thousand faulty lines are a few sentences, each kind with its count; the last kind is not drowned."""
    bad: Rows = [{"text": f"no id {number}"} for number in range(20_000)]
    write(tmp_path, corpus=[*CORPUS, *bad, *({"_id": f"x{number}", "text": {}} for number in range(3))])
    problems = problems_of(tmp_path)
    assert problems[0].startswith("corpus.jsonl:4: no '_id', but text")
    assert problems[5] == "corpus.jsonl: 19,995 more of this kind (20,000 in all)"
    assert [problem.split(":")[1] for problem in problems[6:]] == ["20004", "20005", "20006"]


@pytest.mark.parametrize(
    ("split", "qrels", "hint"),
    [
        ("dev", QRELS, "known here: test, train"),
        ("test", {"test": ["q1 loom-1 0"], "train": ["q4 loom-2 1"]}, "known here: train"),
        ("test", {"test": ["q1 loom-1 -1"]}, ""),
    ],
)
def test_a_split_without_a_judged_query_is_refused(
    tmp_path: Path, split: str, qrels: dict[str, list[str]], hint: str
) -> None:
    (problem,) = problems_of(write(tmp_path, qrels=qrels), split)
    assert problem == f"{tmp_path}: no judged query in split {split!r}" + (f"; {hint}" if hint else "")


def test_groups_by_the_prefix_of_document_ids(tmp_path: Path) -> None:
    """Without judgements, the passage that a question was written against decides; without that, the question."""
    queries = [*QUERIES, {"_id": "q5", "text": "Alone?"}]
    dataset = load(write(tmp_path, queries=queries, splits=[*SPLITS, "q5 test"]), doc_id_prefix="-")
    assert dataset.splits["test"].groups == {"q1": "loom", "q2": "dye", "q3": "dye", "q5": "q5"}
    assert dataset.splits["train"].groups == {"q4": "loom"}


def test_groups_by_a_field_of_the_metadata(tmp_path: Path) -> None:
    dataset = load(write(tmp_path), metadata="level")
    assert dataset.splits["test"].groups == {"q1": "easy", "q2": "hard", "q3": "hard"}
    assert dataset.splits["train"].groups == {"q4": "q4"}


def test_a_field_of_the_metadata_that_no_query_has(tmp_path: Path) -> None:
    assert problems_of(write(tmp_path), metadata="levle") == [
        f"{tmp_path}: no query has the metadata field 'levle'; did you mean 'level'?"
    ]


def changed(rows: Rows, number: int, **fields: Any) -> Rows:
    return [*rows[:number], {**rows[number], **fields}, *rows[number + 1 :]]


@pytest.mark.parametrize(
    ("parts", "moved"),
    [
        ({"corpus": changed(CORPUS, 0, text="Another.")}, {"corpus"}),
        ({"corpus": changed(CORPUS, 0, title="Another")}, {"corpus"}),
        ({"queries": changed(QUERIES, 0, text="Another?")}, {"test.queries"}),
        ({"queries": changed(QUERIES, 3, text="Another?")}, {"train.queries"}),
        ({"queries": changed(QUERIES, 0, metadata={"level": "hard"})}, {"test.groups"}),
        ({"qrels": {**QRELS, "test": ["q1 loom-1 2", *QRELS["test"][1:]]}}, {"test.qrels"}),
        ({"qrels": {**QRELS, "train": ["q4 loom-1 1"]}}, {"train.qrels"}),
        ({"answers": changed(ANSWERS, 0, answers=["a loom"])}, {"test.references"}),
        ({"answers": changed(ANSWERS, 1, source_passages=["loom-1"])}, {"test.references"}),
        (
            {"splits": ["q3 train"]},
            {f"{split}.{part}" for split in ("test", "train") for part in ("queries", "references", "groups")},
        ),
        ({}, set()),
    ],
)  # fmt: skip
def test_only_the_digest_of_the_changed_part_changes(tmp_path: Path, parts: dict[str, Any], moved: set[str]) -> None:
    before = load(write(tmp_path / "before"), metadata="level")
    after = load(write(tmp_path / "after", **parts), metadata="level")
    assert set(before.digests) == set(after.digests)
    assert {name for name in before.digests if before.digests[name] != after.digests[name]} == moved
    assert (before.digest != after.digest) == bool(moved)


def test_where_a_data_set_lies_is_not_part_of_its_digest(tmp_path: Path) -> None:
    assert load(write(tmp_path / "one")).digest == load(write(tmp_path / "two")).digest


def test_the_pocket_data_set_loads() -> None:
    dataset = load(builtin.folder("fixtures") / "pocket", doc_id_prefix="-")
    assert set(dataset.splits) == {"train", "dev", "test"}
    test = dataset.splits["test"]
    assert test.judged
    assert any(not reference.answerable for reference in test.references.values())
    assert len(set(test.groups.values())) < len(test.queries)


@pytest.mark.shared
@pytest.mark.skipif("HARNESS_DATA" not in os.environ, reason="HARNESS_DATA is not set")
@pytest.mark.parametrize(
    ("name", "documents", "queries"),
    [
        ("covidqa", 2192, {"train": 665, "dev": 273, "test": 420}),
        ("scifact", 5183, {}),
        ("squad2", None, {}),
    ],
)
def test_the_shared_data_sets_load(name: str, documents: int | None, queries: dict[str, int]) -> None:
    dataset = load(Path(os.environ["HARNESS_DATA"]) / name)
    judged = {split: len(part.judged) for split, part in dataset.splits.items()}
    assert judged["test"] > 0
    if documents is not None:
        assert len(dataset.documents) == documents
    for split, count in queries.items():
        assert judged[split] == count
