"""What has one reading in a folder is repaired and counted; what has two is refused with its line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from beir_folders import ANSWERS, CORPUS, QRELS, QUERIES, SPLITS, Rows, lines, write
from repaired_folders import HEADER, counts, load, refused

from harness.suite.sources import ReadingRule
from harness.values.repairs import Repair, in_words


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
