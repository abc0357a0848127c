"""Testsets of other tools: ragas as the library itself writes them, DeepEval as its savers do, in every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_imports_tables import asked, left_out, notes, read, written

from harness.data.imports import Imported, place_contexts
from harness.data.imports.locate import LEAST, Search

CONTEXTS = [["it's 'one'\nline", 'a "two" | pipe'], ["<1-hop>\n\nit's 'one'\nline", "<2-hop>\n\nother, text"]]
FORMATS = ["csv", "jsonl", "pandas.csv", "numpy.csv", "columns.json", "records.json", "parquet", "saved", "hf.csv"]


def ragas_testset(folder: Path, form: str, contexts: list[list[str]] = CONTEXTS) -> Path:
    """Write a testset with the library's own writers, or through pandas and datasets as its users do."""
    dataset_schema = pytest.importorskip("ragas.dataset_schema")
    from ragas.testset.synthesizers.testset_schema import Testset, TestsetSample

    samples = [
        dataset_schema.SingleTurnSample(user_input=f"Number {n}?", reference=f"It's {n}", reference_contexts=texts)
        for n, texts in enumerate(contexts)
    ]
    testset = Testset([TestsetSample(eval_sample=sample, synthesizer_name="hops") for sample in samples])
    path = folder / form
    if form == "csv":
        testset.to_csv(path := folder / "t.csv")
    elif form == "jsonl":
        testset.to_jsonl(path := folder / "t.jsonl")
    elif form == "numpy.csv":
        import pandas

        testset.to_pandas().to_parquet(folder / "aside.parquet")
        pandas.read_parquet(folder / "aside.parquet").to_csv(path)
    elif form == "pandas.csv":
        testset.to_pandas().to_csv(path)
    elif form == "columns.json":
        testset.to_pandas().to_json(path)
    elif form == "records.json":
        testset.to_pandas().to_json(path, orient="records")
    elif form == "parquet":
        testset.to_pandas().to_parquet(path := folder / "t.parquet")
    elif form == "hf.csv":
        testset.to_hf_dataset().to_csv(path)
    else:
        testset.to_hf_dataset().save_to_disk(path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMATS)
def test_a_testset_of_ragas_is_the_same_in_every_format(tmp_path: Path, form: str) -> None:
    imported = read(ragas_testset(tmp_path, form))
    shared = "it's 'one'\nline"
    assert asked(imported) == [
        ("Number 0?", ["It's 0"], [shared, 'a "two" | pipe']),
        ("Number 1?", ["It's 1"], [shared, "other, text"]),
    ]
    assert len(imported.documents) == 3
    assert imported.queries[0]["metadata"] == {"synthesizer_name": "hops"}
    assert left_out(imported) == []


PASSAGE = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=30).filter(str.strip)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contexts=st.lists(st.lists(PASSAGE, min_size=1, max_size=3, unique=True), min_size=1, max_size=4))
@pytest.mark.parametrize("form", ["csv", "jsonl", "numpy.csv", "parquet"])
def test_any_contexts_of_ragas_come_back(tmp_path: Path, form: str, contexts: list[list[str]]) -> None:
    imported = read(ragas_testset(tmp_path, form, contexts))
    read_back = [{text.strip() for text in texts} for _, _, texts in asked(imported)]
    assert read_back == [{text.strip() for text in texts} for texts in contexts]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "numpy.csv"])
def test_conversations_of_ragas_are_queries_with_history(tmp_path: Path, form: str) -> None:
    schema = pytest.importorskip("ragas.dataset_schema")
    from ragas.messages import AIMessage, HumanMessage, ToolCall, ToolMessage

    call = ToolCall(name="find", args={"number": 1})
    talk = [HumanMessage(content="Hi, it's {me} {here}"), AIMessage(content="Yes?", tool_calls=[call])]
    talk += [ToolMessage(content="found"), HumanMessage(content="And then?"), AIMessage(content="That.")]
    dataset = schema.EvaluationDataset([schema.MultiTurnSample(user_input=talk, reference="The rest")])
    path = tmp_path / f"t.{form}"
    if form == "numpy.csv":
        import pandas

        dataset.to_hf_dataset().to_parquet(tmp_path / "aside.parquet")
        pandas.read_parquet(tmp_path / "aside.parquet").to_csv(path)
    elif form == "parquet":
        dataset.to_hf_dataset().to_parquet(path)
    else:
        getattr(dataset, f"to_{form}")(path)
    (query,) = read(path).queries
    assert query["text"] == "And then?"
    assert [turn["role"] for turn in query["history"]] == ["user", "assistant"]
    assert query["history"][1]["content"] == "Yes?"
    assert asked(read(path))[0][1] == ["The rest"]


def test_a_conversation_that_cannot_be_read_is_no_question(tmp_path: Path) -> None:
    text = """user_input,reference\n"[{'content': 'hi', 'type': <Type.HUMAN>}]",r\nWhat?,that\n"""
    imported = read(written(tmp_path, text))
    assert [row["text"] for row in imported.queries] == ["What?"]
    assert "a conversation that was saved as text and cannot be read; save it as JSON Lines" in left_out(imported)[0]


def test_an_older_evaluation_of_ragas_does_not_judge_what_was_retrieved(tmp_path: Path) -> None:
    row = {"question": "a?", "answer": "guess", "contexts": ["found"], "ground_truth": "right"}
    imported = read(written(tmp_path, json.dumps([row]), "t.json"))
    assert asked(imported) == [("a?", ["right"], [])]
    assert [document["text"] for document in imported.documents] == ["found"]
    assert "retrieved contexts are documents and judge nothing" in notes(imported)


def test_an_older_testset_of_ragas_has_its_reference_in_contexts(tmp_path: Path) -> None:
    row = {"question": "a?", "contexts": ["reference"], "ground_truths": ["right", "true"], "evolution_type": "simple"}
    imported = read(written(tmp_path, json.dumps([row]), "t.json"))
    assert asked(imported) == [("a?", ["right", "true"], ["reference"])]
    assert imported.queries[0]["metadata"] == {"evolution_type": "simple"}


def test_ids_of_reference_contexts_are_the_ids_of_documents(tmp_path: Path) -> None:
    row = {"user_input": "a?", "reference": "b", "reference_contexts": ["text"], "reference_context_ids": [7]}
    imported = read(written(tmp_path, json.dumps([row]), "t.json"))
    assert imported.documents[0]["_id"] == "7"
    assert list(imported.qrels["test"].values()) == [{"7": 1}]


GOLDENS: list[dict[str, Any]] = [
    {
        "input": "How much is Pro?", "actual_output": None, "expected_output": "$20",
        "context": ["cat access.log | grep ERROR", "no pipe here"], "retrieval_context": ["found"],
        "source_file": "docs/prices.md",
    },
    {
        "input": "What else?", "actual_output": None, "expected_output": "Nothing",
        "context": ["| Plan | Price |\n| --- | --- |\n| Pro | $20 |", "plain chunk"], "retrieval_context": None,
        "source_file": "docs/prices.md",
    },
]  # fmt: skip


def _flat(value: Any) -> Any:
    return "|".join(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value


def goldens(folder: Path, form: str, rows: list[dict[str, Any]] = GOLDENS) -> Path:
    """Write goldens as DeepEval does: lists in JSON, and joined by ``|`` in CSV and JSON Lines."""
    flat = [{name: _flat(value) for name, value in row.items()} for row in rows]
    path = folder / f"goldens.{form}"
    if form == "json":
        path.write_text(json.dumps(rows, indent=4, ensure_ascii=False), encoding="utf-8")
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in flat), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(list(rows[0]))
            writer.writerows([list(row.values()) for row in flat])
    return path


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_goldens_of_deepeval_keep_contexts_whose_text_has_the_sign_that_joins_them(tmp_path: Path, form: str) -> None:
    imported = read(goldens(tmp_path, form))
    assert asked(imported) == [(row["input"], [row["expected_output"]], row["context"]) for row in GOLDENS]
    assert {row["metadata"]["source"] for row in imported.documents} == {"docs/prices.md"}
    assert "found" in [row["text"] for row in imported.documents]


def test_a_compact_table_in_a_joined_cell_is_kept_whole_and_said(tmp_path: Path) -> None:
    context = ["|Plan|Price|\n|--|--|\n|Pro|$20|", "other"]
    rows = [{"input": "a?", "expected_output": "b", "context": context, "source_file": "x"}]
    imported = read(goldens(tmp_path, "csv", rows))
    assert asked(imported)[0][2] == ["|".join(context)]
    assert "is read as one context; save the goldens as JSON" in notes(imported)


def test_exports_of_deepeval_in_camel_case_are_read(tmp_path: Path) -> None:
    row = {"input": "a?", "expectedOutput": "b", "context": ["c"], "sourceFile": "f", "retrievalContext": None}
    assert asked(read(written(tmp_path, json.dumps([row]), "t.json"))) == [("a?", ["b"], ["c"])]


def test_marked_retrieved_contexts_lose_their_mark(tmp_path: Path) -> None:
    marked = "deepeval_source=a.md,deepeval_context=Text, of it."
    row = {"input": "a?", "expected_output": "b", "context": None, "retrieval_context": [marked]}
    (document,) = read(written(tmp_path, json.dumps([row]), "t.json")).documents
    assert (document["text"], document["metadata"]) == ("Text, of it.", {"source": "a.md"})


@pytest.mark.parametrize("form", ["json", "csv"])
def test_conversational_goldens_are_queries_with_history(tmp_path: Path, form: str) -> None:
    turns = [
        {"role": "user", "content": "I need a refund.", "user_id": None, "retrieval_context": None},
        {"role": "assistant", "content": "Which order?", "user_id": None, "retrieval_context": None},
        {"role": "user", "content": "The last one.", "user_id": None, "retrieval_context": None},
        {"role": "assistant", "content": "Done.", "user_id": None, "retrieval_context": None},
    ]
    row = {
        "scenario": "A refund",
        "turns": turns,
        "expected_outcome": "It is refunded",
        "context": ["Refunds: 30 days."],
    }
    if form == "csv":
        row = {**row, "turns": json.dumps(turns), "context": "Refunds: 30 days."}
    rows = [row, {**row, "turns": "" if form == "csv" else None}]
    imported = read(goldens(tmp_path, form, rows))
    (query,) = imported.queries
    assert (query["text"], len(query["history"])) == ("The last one.", 2)
    assert query["metadata"] == {"scenario": "A refund", "expected_outcome": "It is refunded"}
    assert asked(imported)[0][1:] == ([], ["Refunds: 30 days."])
    assert "a scenario without turns, which asks nothing" in left_out(imported)[0]


def test_older_conversational_goldens_end_in_their_question(tmp_path: Path) -> None:
    turns = [{"input": "Hi", "actual_output": "Hello"}, {"input": "What?", "expected_output": "That"}]
    imported = read(written(tmp_path, json.dumps([{"turns": turns}]), "t.json"))
    assert (imported.queries[0]["text"], len(imported.queries[0]["history"])) == ("What?", 2)
    assert asked(imported)[0][1] == ["That"]


WORDS = st.lists(st.sampled_from(["a", "pump", "moves", "x-1", "water.", "\u6c34\u6cf5"]), min_size=1, max_size=30)


@given(words=WORDS, blank=st.sampled_from([" ", "\n", "  \n"]), cut=st.tuples(st.integers(0, 29), st.integers(1, 9)))
def test_a_part_of_a_document_is_found_with_its_own_white_space_or_another(
    words: list[str], blank: str, cut: tuple[int, int]
) -> None:
    part = words[cut[0] :][: cut[1]] or words
    texts = {"other": "water a pump", "d": blank.join(words)}
    for joined in (blank, " ", " \n "):
        passage = joined.join(part)
        search = Search([passage])
        for doc_id, text in texts.items():
            search.see(doc_id, text)
        place = search.place(passage)
        # What is too short says nothing of where it was taken from.
        assert (place is None) == (len("".join(part)) < LEAST)
        if place is not None:
            assert texts[place.doc_id][place.start : place.end].split() == part
            start = passage.index(part[-1], len(passage) - len(part[-1]))
            first, last = place.inner(passage, start, len(passage))
            assert texts[place.doc_id][first:last] == part[-1]


def test_an_exact_place_counts_more_than_one_with_other_white_space_and_scripts_need_no_spaces() -> None:
    passage, chinese = (
        "the pump moves the water up",
        "\u6c34\u6cf5\u628a\u6c34\u4ece\u4e95\u91cc\u62bd\u4e0a\u6765\u5e76\u9001\u5230",
    )
    broken = f"{chinese[:4]}\n{chinese[4:]}"
    search = Search([passage, chinese, "absent words of a passage"])
    search.see("loose", f"So the pump  moves\nthe water up, and {broken}.")
    search.see("exact", "Here the pump moves the water up.")
    search.see("late", "the pump moves the water up")
    assert search.place(passage) == ("exact", 5, 32, passage)
    place = search.place(chinese)
    assert place is not None
    assert (place.doc_id, place.text) == ("loose", broken)
    assert search.place("absent words of a passage") is None


def test_contexts_become_spans_of_known_documents() -> None:
    imported = Imported(
        [{"_id": "d-1", "title": "", "text": "pump moves water", "metadata": {}}],
        [{"_id": "q", "text": "a?", "metadata": {}}],
        {"test": {"q": {"d-1": 1}}},
        [{"_id": "q", "answers": ["b"], "answerable": True, "source_passages": ["d-1"]}],
        [],
        {},
        [],
    )
    placed = place_contexts(imported, [{"_id": "m", "title": "", "text": "The pump\nmoves water.", "metadata": {}}])
    assert [row["_id"] for row in placed.documents] == ["m"]
    assert placed.spans == [{"query_id": "q", "doc_id": "m", "start": 4, "end": 20}]
    assert placed.qrels == {"test": {"q": {"m": 1}}}
    assert placed.answers[0]["source_passages"] == ["m"]
