"""What has one reading in a folder is repaired, counted and told; what has two is refused with its line."""

from __future__ import annotations

import gzip
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from beir_folders import ANSWERS, CORPUS, QRELS, QUERIES, SPLITS, Rows, lines, write
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.datasets import Dataset, load_dataset
from harness.errors import DataError
from harness.remarks import data
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.suite.sources import Evaluate, ReadingRule, Repairs
from harness.values.repairs import KINDS, Repair, Repairing, in_words

HEADER = "query-id\tcorpus-id\tscore\n"


def load(folder: Path, reading: ReadingRule | None = None, **repairs: Any) -> Dataset:
    return load_dataset(DatasetSpec(path=str(folder), repairs=Repairs(**repairs)), "test", reading)


def counts(dataset: Dataset) -> dict[str, int]:
    return {repair.kind: repair.count for repair in dataset.repairs}


def refused(folder: Path, reading: ReadingRule | None = None, **repairs: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        load(folder, reading, **repairs)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def qrels_file(folder: Path, text: str, name: str = "test.tsv") -> Path:
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels" / name).write_text(text)
    return folder


# ---- the rows of the field


def test_a_title_without_text_is_a_document(tmp_path: Path) -> None:
    """R12b: abstracts that are missing are empty texts in many corpora; index and generator see the title anyway."""
    corpus = [*CORPUS, {"_id": "t1", "title": "Claw hammer", "text": ""}]
    dataset = load(write(tmp_path, corpus, qrels={"test": ["q1 t1 1"]}))
    assert dataset.documents["t1"].content == "Claw hammer"
    assert dataset.splits["test"].judged == ["q1"]
    assert counts(dataset) == {"title-only": 1}


def test_a_document_with_nothing_is_kept_so_that_judgements_hold(tmp_path: Path) -> None:
    """R12: FiQA has 38 such documents."""
    dataset = load(write(tmp_path, [*CORPUS, {"_id": "e1", "title": None}, {"_id": "e2", "text": " "}]))
    assert (dataset.documents["e1"].content, len(dataset.documents)) == ("", 5)
    (repair,) = dataset.repairs
    assert (repair.kind, repair.count) == ("empty-document", 2)
    assert repair.examples == ("corpus.jsonl:4: 'e1'", "corpus.jsonl:5: 'e2'")
    assert in_words(dataset.repairs) == (
        "Repaired while reading: 2 documents have neither title nor text (kept as empty)."
    )


def test_a_judged_document_that_is_not_there_counts_as_relevant_and_not_found(tmp_path: Path) -> None:
    """R13: as in trec_eval, the ideal list holds it, so recall of q1 is a half however good the list is."""
    from harness.scoring import score_run
    from harness.values.measures import parse

    write(tmp_path, qrels={"test": ["q1 loom-1 1", "q1 gone 1", "q2 dye-1 1", "q2 gone-too 0"]})
    dataset = load(tmp_path)
    part = dataset.splits["test"]
    assert counts(dataset) == {"absent-document": 1, "absent-irrelevant": 1}
    assert dataset.repairs[0].examples == ("qrels/test.tsv:3: 'gone' of query 'q1'",)
    recall = parse("recall@10")
    run = {"q1": [("loom-1", 2.0), ("loom-2", 1.0)], "q2": [("dye-1", 1.0)]}
    assert score_run(run, part.qrels, [recall])[recall] == {"q1": 0.5, "q2": 1.0}
    assert part.usable == {"q1": {"loom-1": 1}, "q2": {"dye-1": 1}}


def test_a_judged_query_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    """R13: nobody can ask it."""
    dataset = load(write(tmp_path, qrels={"test": [*QRELS["test"], "gone loom-1 1", "gone loom-2 1"]}))
    assert list(dataset.splits["test"].qrels) == ["q1", "q2"]
    assert counts(dataset) == {"absent-query": 1}


def test_one_judgement_twice_is_read_once(tmp_path: Path) -> None:
    """R14: MIRACL-ko has some; another grade is refused with both lines."""
    dataset = load(write(tmp_path, qrels={"test": [*QRELS["test"], "q1 loom-1 1"]}))
    assert dataset.splits["test"].qrels == {"q1": {"loom-1": 1}, "q2": {"dye-1": 2, "loom-2": 0}}
    assert counts(dataset) == {"same-judgement": 1}
    (told,) = refused(write(tmp_path, qrels={"test": [*QRELS["test"], "q1 loom-1 2"]}))
    assert told.startswith("qrels/test.tsv:5: query 'q1' judges document 'loom-1' twice, with the grades 1 ")
    assert "qrels/test.tsv:2" in told


@pytest.mark.parametrize("number", [3, 3.0, 12345678901234567890])
def test_a_number_is_an_id(tmp_path: Path, number: float) -> None:
    """R16: pandas writes them so, and floats where a column had gaps."""
    dataset = load(write(tmp_path, [*CORPUS, {"_id": number, "text": "x"}], qrels={"test": [f"q1 {int(number)} 1"]}))
    assert str(int(number)) in dataset.documents
    assert counts(dataset) == {"number-id": 1}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "answers.jsonl", "splits.tsv", "qrels/test.tsv"])
def test_every_file_may_be_packed_with_gzip(tmp_path: Path, name: str, suffix: str) -> None:
    """R21: by its first bytes, whatever its name."""
    plain = load(write(tmp_path / "plain"))
    path = write(tmp_path / "packed") / name
    raw = path.read_bytes()
    path.unlink()
    Path(f"{path}{suffix}").write_bytes(gzip.compress(raw))
    packed = load(tmp_path / "packed")
    assert (packed.digests, packed.repairs) == (plain.digests, ())


# ---- other forms that have one reading


def pandas_rows(rows: Rows, **new: str) -> Rows:
    """Rows as ``to_json(orient="records", lines=True)`` of a table with a renamed column writes them."""
    return [{new.get(name, name): value for name, value in row.items()} for row in rows]


def _utf16(folder: Path) -> None:
    path = folder / "corpus.jsonl"
    path.write_text(path.read_text(), encoding="utf-16")


def _json_list(folder: Path) -> None:
    (folder / "queries.jsonl").write_text(json.dumps(QUERIES, indent=2))


def _pretty(folder: Path) -> None:
    """Objects over several lines, as an editor formats them."""
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(row, indent=2) for row in CORPUS))


def _by_id(folder: Path) -> None:
    """BEIR's own dictionary of documents, dumped, and a table of pandas with ``orient="index"``."""
    corpus = {row["_id"]: {name: value for name, value in row.items() if name != "_id"} for row in CORPUS}
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.json").write_text(json.dumps(corpus))
    (folder / "queries.jsonl").write_text(json.dumps(dict(enumerate(QUERIES))))


def _windows(folder: Path) -> None:
    for path in (*folder.glob("*.jsonl"), *folder.glob("qrels/*.tsv")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def _pyserini(folder: Path) -> None:
    corpus = [{"id": row["_id"], "title": row.get("title"), "contents": row["text"]} for row in CORPUS]
    (folder / "corpus.jsonl").write_text(lines(corpus))


def _datasets_export(folder: Path) -> None:
    """`datasets` writes every column in every row, and null where there is nothing."""
    queries = [{"_id": row["_id"], "text": row["text"], "metadata": row.get("metadata")} for row in QUERIES]
    (folder / "queries.jsonl").write_text(lines(queries))
    corpus = [{"_id": row["_id"], "title": row.get("title"), "text": row["text"]} for row in CORPUS]
    (folder / "corpus.jsonl").write_text(lines(corpus))


def _miracl(folder: Path) -> None:
    """Topics and collections of MS MARCO and MIRACL: id, tab, text."""
    (folder / "queries.jsonl").unlink()
    (folder / "topics.tsv").write_text("".join(f"{row['_id']}\t{row['text']}\n" for row in QUERIES))
    (folder / "corpus.jsonl").unlink()
    rows = "".join(f"{row['_id']}\t{row.get('title', '')}\t{row['text']}\n" for row in CORPUS)
    (folder / "collection.tsv").write_text("docid\ttitle\ttext\n" + rows)


def _nan(folder: Path) -> None:
    rows = lines([{**row, "title": row.get("title") or float("nan")} for row in CORPUS])
    (folder / "corpus.jsonl").write_text(rows)


def _validation(folder: Path) -> None:
    (folder / "qrels" / "train.tsv").rename(folder / "qrels" / "validation.tsv")


def _qrels(text: str, name: str = "test.tsv") -> Callable[[Path], None]:
    return lambda folder: void(qrels_file(folder, text, name))


def void(value: object) -> None:
    assert value


FORMS: list[tuple[str, Callable[[Path], None], dict[str, int]]] = [
    ("TREC DL qrels", _qrels("q1 0 loom-1 1\nq2 0 dye-1 2\nq2 0 loom-2 0\n"), {"trec-judgement": 3}),
    ("MS MARCO qrels", _qrels("q1\t0\tloom-1\t1\nq2\t0\tdye-1\t2\nq2\t0\tloom-2\t0\n", "test.txt"),
     {"trec-judgement": 3}),
    ("no header", _qrels("q1\tloom-1\t1\nq2\tdye-1\t2\nq2\tloom-2\t0\n"), {}),
    ("header of MTEB with decimals", _qrels(f"{HEADER}q1\tloom-1\t1.0\nq2\tdye-1\t2.0\nq2\tloom-2\t0.0\n"),
     {"decimal-grade": 3}),
    ("header with other names", _qrels("query_id\tdoc_id\trelevance\nq1\tloom-1\t1\nq2\tdye-1\t2\nq2\tloom-2\t0\n"),
     {"header": 1}),
    ("columns in another order", _qrels("corpus-id\tquery-id\tscore\nloom-1\tq1\t1\ndye-1\tq2\t2\nloom-2\tq2\t0\n"),
     {"header": 1}),
    ("an index column of pandas", _qrels("\tquery-id\tcorpus-id\tscore\n0\tq1\tloom-1\t1\n1\tq2\tdye-1\t2\n"
                                         "2\tq2\tloom-2\t0\n"), {"header": 1}),
    ("csv", _qrels('query-id,corpus-id,score\nq1,"loom-1",1\nq2,dye-1,2\nq2,loom-2,0\n', "test.csv"), {"commas": 1}),
    ("spaces", _qrels("query-id corpus-id score\nq1 loom-1 1\nq2 dye-1 2\nq2 loom-2 0\n"), {"header": 1, "spaces": 3}),
    ("JSON Lines of MTEB", _qrels(lines([{"query-id": "q1", "corpus-id": "loom-1", "score": "1"},
                                         {"query-id": "q2", "corpus-id": "dye-1", "score": 2.0},
                                         {"query-id": "q2", "corpus-id": "loom-2", "score": 0}]), "test.jsonl"),
     {"decimal-grade": 1}),
    ("a grade below 0", _qrels(f"{HEADER}q1\tloom-1\t1\nq2\tdye-1\t2\nq2\tloom-2\t-2\n"), {"negative-grade": 1}),
    ("Windows files", _windows, {}),
    ("UTF-16 of PowerShell", _utf16, {"utf-16": 1}),
    ("one JSON list", _json_list, {"json-list": 1}),
    ("objects over several lines", _pretty, {"json-list": 1}),
    ("objects by id", _by_id, {"json-list": 2}),
    ("all fields in quotes", _qrels('"query-id"\t"corpus-id"\t"score"\n"q1"\t"loom-1"\t"1"\n"q2"\t"dye-1"\t"2"\n'
                                    '"q2"\t"loom-2"\t"0"\n'), {}),
    ("two files put together", _qrels(f"{HEADER}q1\tloom-1\t1\n{HEADER}q2\tdye-1\t2\nq2\tloom-2\t0\n"),
     {"same-header": 1}),
    ("a tab at the end", _qrels("q1\tloom-1\t1\t\nq2\tdye-1\t2\t\nq2\tloom-2\t0\t\n"), {}),
    ("Test.tsv", _qrels(f"{HEADER}q1\tloom-1\t1\nq2\tdye-1\t2\nq2\tloom-2\t0\n", "Test.tsv"), {"split-name": 1}),
    ("pyserini's corpus", _pyserini, {"other-id-field": 3, "other-text-field": 3}),
    ("null everywhere", _datasets_export, {}),
    ("topics of MIRACL", _miracl, {"table": 2, "other-id-field": 3}),
    ("NaN for a title", _nan, {"not-a-number": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_other_forms_of_the_same_content_are_read_alike(
    tmp_path: Path, change: Callable[[Path], None], expected: dict[str, int]
) -> None:
    clean = load(write(tmp_path / "clean"))
    change(write(tmp_path / "changed"))
    changed = load(tmp_path / "changed")
    assert changed.digests == clean.digests
    assert counts(changed) == expected


def test_another_name_of_a_split_is_read(tmp_path: Path) -> None:
    _validation(write(tmp_path))
    dataset = load(tmp_path)
    assert list(dataset.splits["dev"].queries) == ["q4"]
    assert dataset.repairs == (
        Repair(kind="split-name", count=1, examples=("qrels/validation.tsv: 'validation', read as 'dev'",)),
    )


def test_ids_that_went_through_floats_are_those_of_the_corpus(tmp_path: Path) -> None:
    corpus: Rows = [{"_id": str(number), "text": f"document {number}"} for number in range(4)]
    queries: Rows = [{"_id": "10", "text": "a?"}, {"_id": "11", "text": "b?"}]
    qrels = {"test": ["10.0 0.0 1", "11.0 3.0 1"]}
    dataset = load(write(tmp_path, corpus, queries, qrels, answers=None, splits=None))
    assert dataset.splits["test"].qrels == {"10": {"0": 1}, "11": {"3": 1}}
    assert counts(dataset) == {"decimal-id": 4}


def test_texts_that_are_numbers_or_lists_are_texts(tmp_path: Path) -> None:
    corpus = [*CORPUS, {"_id": "n", "text": 42}, {"_id": "s", "text": ["One.", "Two."], "title": 1984}]
    dataset = load(write(tmp_path, corpus))
    assert (dataset.documents["n"].text, dataset.documents["s"].content) == ("42", "1984\nOne. Two.")
    assert counts(dataset) == {"number-text": 2, "text-list": 1}


def test_the_same_line_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, [*CORPUS, CORPUS[0]], [*QUERIES, QUERIES[1], QUERIES[1]], answers=[*ANSWERS, ANSWERS[0]])
    dataset = load(tmp_path)
    assert counts(dataset) == {"same-document": 1, "same-query": 2, "same-answer": 1}
    assert dataset.digests == load(write(tmp_path / "clean")).digests


def test_answers_and_splits_that_name_nothing_are_left_out(tmp_path: Path) -> None:
    answers = [*ANSWERS, {"_id": "q9", "answers": ["x"]}, {"_id": "q4", "answers": ["x"], "source_passages": ["gone"]}]
    dataset = load(write(tmp_path, answers=answers, splits=[*SPLITS, "q8 test"]), share=1.0)
    assert counts(dataset) == {"absent-answer-query": 1, "absent-source": 1, "absent-split-query": 1}
    assert dataset.splits["train"].references["q4"].source_passages == ()


def test_a_query_without_text_stops_only_who_asks_it(tmp_path: Path) -> None:
    queries = [*QUERIES, {"_id": "q5", "text": ""}]
    assert counts(load(write(tmp_path, queries=queries))) == {"unused-query": 1}
    write(tmp_path, queries=queries, qrels={**QRELS, "train": ["q4 loom-2 1", "q5 loom-2 1"]})
    assert counts(load(tmp_path, ReadingRule(splits=frozenset(["test"])))) == {"unused-query": 1}
    assert refused(tmp_path) == [
        "queries.jsonl:5: query 'q5' has no text; write it, or remove the query from the split 'train'"
    ]


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
        "corpus, more than dataset.repairs.share allows (50%); check that the files belong together, or raise "
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
        "corpus.jsonl:5: 'e': document has neither title nor text; mend it, or let it be repaired with dataset.repairs",
        "judgement is repeated with the same grade; mend it, or let it be repaired with dataset.repairs",
        "id is a number; mend it, or let it be repaired with dataset.repairs",
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


@settings(deadline=None, max_examples=40)
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

    def write_none(spec: Any, jobs: Any, *rest: Any) -> tuple[list[Any], Usage]:
        asked.extend(document.doc_id for documents in jobs.values() for document in documents)
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
