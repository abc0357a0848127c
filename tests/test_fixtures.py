"""The dataset `fixtures/pocket` is whole, and is what its SOURCE.json says it is.

If a file was changed on purpose, change its digest and the counts in SOURCE.json in the same commit.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

POCKET = Path(__file__).resolve().parent.parent / "fixtures" / "pocket"
SPLITS = ("train", "dev", "test")


def json_lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (POCKET / name).read_text(encoding="utf-8").splitlines()]


def table(name: str, header: str) -> list[list[str]]:
    first, *rows = (POCKET / name).read_text(encoding="utf-8").splitlines()
    assert first == header, f"{name} starts with {first!r}"
    return [row.split("\t") for row in rows]


def article(passage: str) -> str:
    return passage.split("-")[0]


@pytest.fixture(scope="module")
def source() -> dict:
    return json.loads((POCKET / "SOURCE.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def passages() -> dict[str, dict]:
    return {row["_id"]: row for row in json_lines("corpus.jsonl")}


@pytest.fixture(scope="module")
def answers() -> dict[str, dict]:
    return {row["_id"]: row for row in json_lines("answers.jsonl")}


@pytest.fixture(scope="module")
def split_of() -> dict[str, str]:
    return dict(table("splits.tsv", "query-id\tsplit"))


@pytest.fixture(scope="module")
def qrels() -> dict[str, dict[str, dict[str, int]]]:
    """split -> query -> passage -> grade."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for split in SPLITS:
        for query, passage, grade in table(f"qrels/{split}.tsv", "query-id\tcorpus-id\tscore"):
            found.setdefault(split, {}).setdefault(query, {})[passage] = int(grade)
    return found


@pytest.fixture(scope="module")
def relevant(qrels) -> dict[str, dict[str, int]]:
    return {query: judged for per_query in qrels.values() for query, judged in per_query.items()}


def test_every_file_has_its_digest(source):
    there = {p.relative_to(POCKET).as_posix() for p in POCKET.rglob("*") if p.is_file()} - {"SOURCE.json"}
    digests = {name: hashlib.sha256((POCKET / name).read_bytes()).hexdigest() for name in sorted(there)}
    assert digests == source["sha256"]


def test_source_names_its_author_and_licence(source):
    assert source["name"] == "pocket"
    assert source["license"] == "Apache-2.0"
    assert source["author"] == "the authors of rag-tuning-harness"
    assert source["description"]


def test_counts(source, passages, answers, split_of, qrels):
    by_split = {}
    for split in SPLITS:
        queries = [query for query, where in split_of.items() if where == split]
        answerable = sum(answers[query]["answerable"] for query in queries)
        used = {article(p) for q in queries for p in [*qrels[split].get(q, {}), *answers[q].get("source_passages", [])]}
        by_split[split] = {
            "questions": len(queries),
            "answerable": answerable,
            "unanswerable": len(queries) - answerable,
            "articles": len(used),
            "qrels": sum(len(judged) for judged in qrels[split].values()),
        }
    assert source["counts"] == {
        "articles": len({article(p) for p in passages}),
        "passages": len(passages),
        "questions": len(json_lines("queries.jsonl")),
        "answerable": sum(row["answerable"] for row in answers.values()),
        "unanswerable": sum(not row["answerable"] for row in answers.values()),
        "qrels": sum(row["qrels"] for row in by_split.values()),
        "by_split": by_split,
    }
    assert all(row["unanswerable"] for row in by_split.values())


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "answers.jsonl"])
def test_ids_are_unique(name):
    assert [i for i, n in Counter(row["_id"] for row in json_lines(name)).items() if n > 1] == []


def test_rows_of_tables_are_unique():
    queries = [query for query, _ in table("splits.tsv", "query-id\tsplit")]
    assert len(queries) == len(set(queries))
    judged = [(q, p) for s in SPLITS for q, p, _ in table(f"qrels/{s}.tsv", "query-id\tcorpus-id\tscore")]
    assert len(judged) == len(set(judged))


def test_ids_agree_across_files(passages, answers, split_of, qrels, relevant):
    queries = {row["_id"] for row in json_lines("queries.jsonl")}
    assert queries == set(answers) == set(split_of)
    assert set(split_of.values()) == set(SPLITS)
    for split in SPLITS:
        assert {split_of[query] for query in qrels[split]} == {split}
    assert {p for judged in relevant.values() for p in judged} <= set(passages)
    assert {p for row in answers.values() for p in row.get("source_passages", ())} <= set(passages)
    assert {grade for judged in relevant.values() for grade in judged.values()} == {1, 2}


def test_passages_have_title_and_a_fair_length(passages):
    for name, row in passages.items():
        assert row["title"], name
        assert name.count("-") == 1, name
        assert 40 <= len(row["text"].split()) <= 110, name
    assert len({row["text"] for row in passages.values()}) == len(passages)


def test_every_answer_stands_in_a_relevant_passage(passages, answers, relevant):
    for query, row in answers.items():
        if not row["answerable"]:
            continue
        assert row["answers"], query
        for answer in row["answers"]:
            assert any(answer in passages[p]["text"] for p in relevant[query]), (query, answer)


def test_unanswerable_questions_have_a_source_and_no_qrels(answers, relevant):
    unanswerable = {query for query, row in answers.items() if not row["answerable"]}
    assert unanswerable.isdisjoint(relevant)
    assert set(answers) - unanswerable == set(relevant)
    for query in unanswerable:
        assert answers[query]["answers"] == [], query
        assert answers[query]["source_passages"], query


def test_splits_share_no_article(answers, split_of, relevant):
    where: dict[str, set[str]] = {}
    for query, row in answers.items():
        for passage in [*relevant.get(query, ()), *row.get("source_passages", ())]:
            where.setdefault(article(passage), set()).add(split_of[query])
    assert {name: splits for name, splits in where.items() if len(splits) > 1} == {}
