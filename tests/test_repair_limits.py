"""Files that are not used, the limits of repairs, their laws, and how they are reported."""

from __future__ import annotations

import gzip
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from beir_folders import CORPUS, QRELS, Rows, write
from hypothesis import given, settings
from hypothesis import strategies as st
from repaired_folders import HEADER, counts, load, refused

from harness.remarks import data
from harness.suite.sources import Evaluate, ReadingRule, Repairs
from harness.values.repairs import KINDS, Repair, Repairing

# ---- files that are not used


def test_a_damaged_file_that_is_not_used_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "qrels" / "dev.tsv").write_text(HEADER + "q4\tloom-2\thigh\nq1\tloom-1\t1\n")
    (tmp_path / "qrels" / "hard.tsv").write_text("what?\n")
    (tmp_path / "answers.jsonl").write_text('{"_id": "q1", "answers": "a loom"}\n{')
    (tmp_path / "qrels" / "notes.md").write_text("# not judgements")
    dataset = load(tmp_path, ReadingRule(splits=frozenset(["test"]), answers=False))
    clean = load(write(tmp_path / "clean"))
    assert counts(dataset) == {"unused-file": 3}
    assert dataset.splits["test"].qrels == clean.splits["test"].qrels
    assert dataset.splits["test"].references == {}
    places = {problem.split(":")[0] for problem in refused(tmp_path)}
    assert places == {"qrels/dev.tsv", "qrels/test.tsv", "answers.jsonl"}


def test_a_file_that_is_there_plain_and_packed_must_be_one(tmp_path: Path) -> None:
    write(tmp_path)
    raw = (tmp_path / "corpus.jsonl").read_bytes()
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(raw))
    assert load(tmp_path).repairs == ()
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(raw + b'{"_id": "x", "text": "x"}\n'))
    (problem,) = refused(tmp_path)
    assert problem.endswith("corpus.jsonl and corpus.jsonl.gz are both there and differ; "
                            "remove the one that is not meant")  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "start", "what"),
    [
        (".zst", b"\x28\xb5\x2f\xfd", "a file of zstd; unpack it, or pack it with gzip; both are read"),
        (".bz2", b"BZh9", "a file of bzip2; unpack it, or pack it with gzip; both are read"),
        ("", b"PK\x03\x04", "a file of zip; unpack it, or pack it with gzip; both are read"),
        (
            "",
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS, not the file itself; run 'git lfs pull'",
        ),
        (".gz", b"\x1f\x8b\x08\x00", "a gzip file that is damaged or cut off; download or pack it again"),
    ],
)
def test_what_is_packed_otherwise_is_one_sentence(tmp_path: Path, suffix: str, start: bytes, what: str) -> None:
    """And not a problem for every line, nor one for every judgement of the corpus that is not there."""
    write(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / f"corpus.jsonl{suffix}").write_bytes(start + b"\x00" * 20)
    assert refused(tmp_path) == [f"corpus.jsonl{suffix}: {what}"]


# ---- the limit


def test_more_repairs_than_allowed_are_refused(tmp_path: Path) -> None:
    write(tmp_path, qrels={"test": ["q1 loom-1 1", "q1 gone 1", "q2 gone 1", "q2 lost 1"]})
    (problem,) = refused(tmp_path)
    assert problem == (
        "qrels/test.tsv:3: 'gone' of query 'q1': 3 of 4: relevant judgements name documents that are not in the "
        "corpus, more than dataset.repairs.share allows (50 %); check that the files belong together, or raise "
        "dataset.repairs"
    )
    assert counts(load(tmp_path, share=0.75)) == {"absent-document": 3}
    (problem,) = refused(tmp_path, share=0.75, count=2)
    assert "3 relevant judgements name documents" in problem
    assert "dataset.repairs.count allows (2)" in problem


def test_judgements_of_another_corpus_are_refused_whatever_the_limit(tmp_path: Path) -> None:
    (problem,) = refused(write(tmp_path, qrels={"test": ["q1 x 1", "q2 y 1"]}), share=1.0)
    assert "none of the 2 relevant documents of split 'test' is in the corpus" in problem


def test_no_repair_at_all_may_be_asked_for(tmp_path: Path) -> None:
    write(tmp_path, [*CORPUS, {"_id": 3, "text": "x"}, {"_id": "e"}], qrels={"test": [*QRELS["test"], "q1 loom-1 1"]})
    expected = [
        "id is a number; mend it, or let it be repaired with dataset.repairs",
        "corpus.jsonl:5: 'e': document has neither title nor text; mend it, or let it be repaired with dataset.repairs",
        "judgement is repeated with the same grade; mend it, or let it be repaired with dataset.repairs",
    ]
    found = refused(tmp_path, share=0)
    assert len(found) == 3
    assert all(problem.endswith(end) for problem, end in zip(found, expected, strict=True))
    assert load(write(tmp_path / "clean"), share=0).repairs == ()


# ---- laws


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


BIG_CORPUS: Rows = [
    {"_id": f"d{number}", "title": f"Title {number}", "text": f"Text of document {number}."} for number in range(12)
]


BIG_QUERIES: Rows = [{"_id": f"q{number}", "text": f"Question {number}?"} for number in range(12)]


BIG_QRELS = [f"q{number}\td{number}\t{1 + number % 2}" for number in range(12)]


DAMAGES = ["number-id", "other-id-field", "other-text-field", "same-document", "same-query", "same-judgement",
           "decimal-grade", "absent-query", "absent-irrelevant", "negative-grade"]  # fmt: skip


@settings(max_examples=40)
@given(st.lists(st.sampled_from(DAMAGES), max_size=8), st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_a_damaged_folder_loads_as_the_clean_one_and_counts_exactly(
    damages: list[str], dice: random.Random, packed: bool, windows: bool
) -> None:
    """Any mix of damages with one reading: the content is that of the clean folder, and the counts are true."""
    corpus, queries, qrels = [dict(row) for row in BIG_CORPUS], [dict(row) for row in BIG_QUERIES], list(BIG_QRELS)
    clean_corpus = list(BIG_CORPUS)
    expected: Counter[str] = Counter()
    for number, damage in enumerate(damages):
        row = dice.choice(corpus)
        if damage == "number-id":
            corpus.append({"_id": 1000 + number, "title": "", "text": "number"})
            clean_corpus.append({"_id": str(1000 + number), "title": "", "text": "number"})
        elif damage == "other-id-field":
            if "_id" not in row or isinstance(row["_id"], int):
                continue
            row["docid"] = row.pop("_id")
        elif damage == "other-text-field":
            if "text" not in row:
                continue
            row["contents"] = row.pop("text")
        elif damage == "same-document":
            copy = dict(row)
            expected["number-id"] += isinstance(copy.get("_id"), int)
            expected["other-id-field"] += "docid" in copy
            expected["other-text-field"] += "contents" in copy
            corpus.append(copy)
        elif damage == "same-query":
            queries.append(dict(dice.choice(queries)))
        elif damage == "same-judgement":
            line = dice.choice([one for one in qrels if "." not in one and "-" not in one and "gone" not in one])
            qrels.append(line)
        elif damage == "decimal-grade":
            places = [place for place, one in enumerate(qrels) if "." not in one and "-" not in one]
            place = dice.choice(places)
            qrels[place] += ".0"
        elif damage == "absent-query":
            qrels.append(f"gone{number}\td1\t1")
        elif damage == "absent-irrelevant":
            qrels.append(f"q1\tnone{number}\t0")
        else:
            qrels.append(f"q2\td{number % 2}\t-1")
            if sum(one.startswith(f"q2\td{number % 2}\t") for one in qrels) > 1:
                qrels.pop()
                continue
        expected[damage] += 1
    with scratch() as folder:
        clean = load(_written(folder / "clean", clean_corpus, BIG_QUERIES, BIG_QRELS))
        _written(folder / "damaged", corpus, queries, qrels)
        for path in [*(folder / "damaged").glob("*.jsonl"), *(folder / "damaged" / "qrels").iterdir()]:
            raw = path.read_bytes()
            raw = raw.replace(b"\n", b"\r\n") if windows else raw
            path.write_bytes(gzip.compress(raw) if packed else raw)
        found = load(folder / "damaged", share=1.0)
    assert counts(found) == {kind: count for kind, count in expected.items() if count}
    assert found.documents == clean.documents
    assert found.splits["test"].queries == clean.splits["test"].queries
    positive = {key: {doc: grade for doc, grade in some.items() if grade} for key, some in
                found.splits["test"].qrels.items()}  # fmt: skip
    assert positive == clean.splits["test"].qrels


def _written(folder: Path, corpus: Rows, queries: Rows, qrels: list[str]) -> Path:
    write(folder, corpus, queries, qrels={}, answers=None, splits=None)
    (folder / "qrels" / "test.tsv").write_text(HEADER + "".join(f"{line}\n" for line in qrels))
    return folder


def test_repairs_of_several_files_are_added_up() -> None:
    one, two = Repairing(), Repairing()
    one.note("number-id", "a:1")
    for number in range(5):
        two.note("number-id", f"b:{number}", "3")
    two.note("utf-16", "b")
    one.add(two.made())
    assert [(repair.kind, repair.count) for repair in one.made()] == [("number-id", 6), ("utf-16", 1)]
    assert one.made()[0].examples == ("a:1", "b:0: 3", "b:1: 3")


def test_the_page_about_data_shows_keys_that_there_are() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert Evaluate.model_validate(yaml.safe_load(example)["evaluate"]).relevance_level == 2
    assert f"(default {Repairs().share}" in text
    assert Repairs.model_validate({"share": 0}).share == 0


def test_every_kind_of_repair_reads_as_a_sentence() -> None:
    for kind in KINDS:
        one, many = (Repair(kind=kind, count=count).text for count in (1, 2000))
        assert one.startswith("1 ")
        assert many.startswith("2,000 ")
        assert not one.endswith(".")


# ---- what is told


def test_what_was_applied_is_told_with_its_count(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, qrels={"test": [*QRELS["test"], "q3 loom-1 0", "q1 gone 1"]}))
    assert data.told(dataset, "test") == [
        "Repaired while reading: 1 relevant judgement names a document that is not in the corpus (counted as relevant "
        "and not found).",
        "1 judged query has no relevant document and is left out.",
    ]


def test_queries_that_are_documents_are_pointed_out(tmp_path: Path) -> None:
    """ArguAna's queries are documents of its corpus. Equal numbers as ids alone say nothing."""
    queries = [{"_id": row["_id"], "text": row["text"]} for row in CORPUS]
    qrels = {"test": ["loom-1 loom-2 1", "dye-1 loom-1 1"]}
    dataset = load(write(tmp_path / "own", queries=queries, qrels=qrels, answers=None, splits=None))
    (told,) = data.told(dataset, "test")
    assert told.startswith("2 of 2 judged queries are documents of the corpus, with the same id and text")
    others = [{**row, "text": "Something else?"} for row in queries]
    dataset = load(write(tmp_path / "other", queries=others, qrels=qrels, answers=None, splits=None))
    assert data.told(dataset, "test") == []
    dataset = load(tmp_path / "own", ReadingRule(exclude_own=True))
    assert data.told(dataset, "test") == []
    assert list(data.settings(dataset.splits["test"])) == ["own documents"]


def test_reading_is_linear_in_faulty_lines(tmp_path: Path) -> None:
    """Twenty thousand repairs of each of four kinds, and one sentence with four counts."""
    corpus = [{"id": number, "contents": f"document {number}"} for number in range(20_000)]
    write(tmp_path, corpus, qrels={"test": ["q1 7 1"]}, answers=None, splits=None)
    (tmp_path / "qrels" / "test.tsv").write_text(
        "".join(f"q{1 + place % 2} 0 {place} 1.0\n" for place in range(20_000))
    )
    dataset = load(tmp_path)
    assert counts(dataset) == dict.fromkeys(
        ["number-id", "other-id-field", "other-text-field", "trec-judgement", "decimal-grade"], 20_000
    )
    assert all(len(repair.examples) == 3 for repair in dataset.repairs)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"_id": "x", "text": "a", "text": "b"}', "corpus.jsonl:4: 'text' is named twice in one object; keep one"),
        ('{"_id": "x", "metadata": {"id": 1, "id": 2}}', "corpus.jsonl:4: 'id' is named twice in one object; keep one"),
        (
            '{"_id": "x", "text": "a"},',
            "corpus.jsonl:4: not JSON: Extra data at column 26; remove the comma at its end",
        ),
        ('{"_id": "x", "text": Infinity}', 'corpus.jsonl:4: \'text\' is the number inf; write "text": "..."'),
        ("[" * 100_000, "corpus.jsonl:4: not JSON: too deep"),
    ],
)
def test_what_has_two_readings_is_refused_with_its_line(tmp_path: Path, line: str, what: str) -> None:
    with (write(tmp_path) / "corpus.jsonl").open("a") as file:
        file.write(line + "\n")
    assert refused(tmp_path) == [what]


def test_a_text_that_speaks_of_fields_is_no_doubled_field(tmp_path: Path) -> None:
    text = 'Write "text": "..." and "text": "..." with "_id" and "_id".'
    dataset = load(write(tmp_path, [*CORPUS, {"_id": " x ", "text": text}]))
    assert dataset.documents["x"].text == text
    assert counts(dataset) == {"id-spaces": 1}


def test_answers_as_tables_write_them(tmp_path: Path) -> None:
    answers: Rows = [
        {"_id": "q1", "answers": [1984, "MCMLXXXIV"], "answerable": 1.0},
        {"_id": "q2", "answers": ["blue"], "answerable": None},
        {"_id": "q3", "answers": None, "answerable": float("nan"), "source_passages": ["dye-1"]},
    ]
    dataset = load(write(tmp_path, answers=answers))
    found = dataset.splits["test"].references
    assert found["q1"].answers == ("1984", "MCMLXXXIV")
    assert {key: one.answerable for key, one in found.items()} == {"q1": True, "q2": True, "q3": False}
    assert counts(dataset) == {"number-text": 1}
    (problem,) = refused(write(tmp_path, answers=[{"_id": "q1", "answers": ["x"], "answerable": "false"}]))
    assert problem == "answers.jsonl:1: 'answerable' is 'false'; write true or false"


def test_a_document_is_read_by_what_it_has() -> None:
    from harness.values.records import Document

    assert Document("a", "Title", " \n").content == "Title"
    assert Document("a", "", "").content == ""
    assert Document("a", "Title", "text").content == "Title\ntext"


def test_no_query_is_written_about_a_document_without_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.stages import synthesize
    from harness.stages.shared import common
    from harness.values.records import Document, Usage

    asked: list[str] = []

    def write_none(spec: Any, work: Any, *rest: Any) -> tuple[list[Any], Usage]:
        asked.extend(document.doc_id for documents in work.jobs.values() for document in documents)
        return [], Usage()

    monkeypatch.setattr(synthesize, "_in_process", write_none)
    for name in ("corpus", "out"):
        (tmp_path / name).mkdir()
    documents = [Document("a", "", "Woad."), Document("b", "", ""), Document("c", "Only a title", "")]
    common.write_corpus(tmp_path / "corpus", {one.doc_id: one for one in documents})
    spec = synthesize.SynthesizeSpec.model_validate(
        {"model": "m", "kinds": ["question"], "queries_per_document": 1, "max_documents": None, "passage_tokens": 50,
         "max_new_tokens": 9, "temperature": 0.0, "batch_size": 1}
    )  # fmt: skip
    inputs = {"corpus": tmp_path / "corpus"}
    usage = synthesize.synthesize(spec, inputs, tmp_path / "out", 0, lambda done, total: None)
    assert asked == ["a", "c"]
    assert usage.notes["left out, having no text"] == 1
