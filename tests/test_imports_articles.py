"""SQuAD and tables in its shape: whole articles as documents, and answers as spans of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_imports_tables import left_out, notes, read, written

from harness.data.imports import Imported
from harness.data.imports.articles import nearest_place

FIRST, SECOND = "Pumps move water. They were built in 1698.", "A pump of 1698 is in a museum."


def squad(*articles: dict[str, Any]) -> str:
    return json.dumps({"version": "v2.0", "data": list(articles)})


def article(title: str, *paragraphs: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {"title": title, "paragraphs": [{"context": text, "qas": questions} for text, questions in paragraphs]}


def question(text: str, *answers: tuple[str, int], key: str = "", **more: Any) -> dict[str, Any]:
    pairs = [{"text": answer, "answer_start": start} for answer, start in answers]
    return {"id": key or f"id of {text}", "question": text, "answers": pairs, **more}


def evidence(imported: Imported) -> list[tuple[str, str]]:
    """Question and text of every span."""
    texts = {row["_id"]: row["text"] for row in imported.documents}
    queries = {row["_id"]: row["text"] for row in imported.queries}
    return [(queries[one["query_id"]], texts[one["doc_id"]][one["start"] : one["end"]]) for one in imported.spans]


def test_an_article_is_a_document_and_answers_are_spans_of_it(tmp_path: Path) -> None:
    unanswerable = question("Who?", is_impossible=True, plausible_answers=[{"text": "water", "answer_start": 11}])
    when = question("When?", ("1698", 37), ("in 1698", 34), ("1698", 37), is_impossible=False)
    text = squad(article("Water_pump", (FIRST, [when, unanswerable]), (SECOND, [question("Where?", ("museum", 23))])))
    imported = read(written(tmp_path, text, "train-v2.0.json"))
    assert imported.documents == [
        {"_id": "Water_pump", "title": "Water pump", "text": f"{FIRST}\n\n{SECOND}", "metadata": {}}
    ]
    assert evidence(imported) == [("When?", "1698"), ("When?", "in 1698"), ("Where?", "museum")]
    assert imported.spans[0]["start"] == 37
    assert [row["answers"] for row in imported.answers] == [["1698", "in 1698"], [], ["museum"]]
    assert imported.answers[1] | {"_id": ""} == {
        "_id": "", "answers": [], "answerable": False, "source_passages": ["Water_pump"]
    }  # fmt: skip
    assert {split: list(part.values()) for split, part in imported.qrels.items()} == {
        "train": [{"Water_pump": 1}, {}, {"Water_pump": 1}]
    }
    assert imported.queries[1]["metadata"] == {"plausible_answers": ["water"]}


def test_train_and_dev_of_a_folder_share_articles_and_keep_their_splits(tmp_path: Path) -> None:
    one = article("Pump", (FIRST, [question("When?", ("1698", 37), key="1")]))
    other = article("Pump", (SECOND, [question("Where?", ("museum", 23), key="1")]))
    written(tmp_path, squad(one), "train-v1.1.json")
    written(tmp_path, squad(other), "dev-v1.1.json")
    imported = read(tmp_path)
    assert [row["text"] for row in imported.documents] == [f"{SECOND}\n\n{FIRST}"]
    assert {split: list(part) for split, part in imported.qrels.items()} == {"train": ["train-1"], "dev": ["1"]}
    assert evidence(imported) == [("Where?", "museum"), ("When?", "1698")]


@pytest.mark.parametrize(
    ("stated", "place"),
    [(37, 37), (38, 37), (35, 37), (-1, 37), (10**6, 37), (None, 37)],
)
def test_a_wrong_place_of_an_answer_is_mended(tmp_path: Path, stated: Any, place: int) -> None:
    text = squad(article("Pump", (FIRST, [question("When?", ("1698", stated))])))
    imported = read(written(tmp_path, text, "dev.json"))
    assert (imported.spans[0]["start"], imported.spans[0]["end"]) == (place, place + 4)


def test_of_several_places_the_nearest_to_the_stated_one_counts() -> None:
    assert nearest_place("one two one two one", "one", 9) == 8
    assert nearest_place("aaaa", "aa", 2) == 2
    assert nearest_place("abc", "x", 0) is None


def test_an_answer_that_is_not_in_its_paragraph_makes_the_paragraph_the_span(tmp_path: Path) -> None:
    text = squad(article("Pump", (SECOND, []), (FIRST, [question("When?", ("1700", 37))])))
    imported = read(written(tmp_path, text, "dev.json"))
    assert evidence(imported) == [("When?", FIRST)]
    assert "1 of 1 answers are not in the paragraph; its span is the paragraph" in notes(imported)


def test_a_damaged_part_of_squad_costs_itself(tmp_path: Path) -> None:
    good = article("Pump", (FIRST, [question("When?", ("1698", 37)), {"question": None}, 3, question(" ")]), ("", []))
    imported = read(written(tmp_path, squad(good, {"title": "x"}, {"paragraphs": [None, {"context": 3}]}), "dev.json"))
    assert [row["text"] for row in imported.queries] == ["When?"]
    assert len(left_out(imported)) == 6
    assert "article 1, paragraph 1, question 2: a question without text" in left_out(imported)[0]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).filter(str.strip)


@st.composite
def paragraphs(draw: st.DrawFn) -> tuple[str, list[tuple[str, int]]]:
    text = draw(TEXT)
    spans = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        if text[start:end].strip():
            spans.append((text[start:end], start))
    return text, spans


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(paragraphs(), min_size=1, max_size=4, unique_by=lambda part: part[0]))
@pytest.mark.parametrize("form", ["json", "table"])
def test_any_article_comes_back_with_its_answers_as_spans(
    tmp_path: Path, form: str, parts: list[tuple[str, list[tuple[str, int]]]]
) -> None:
    if form == "json":
        asked = [(text, [question(f"Q{n}?", *spans, key=str(n))]) for n, (text, spans) in enumerate(parts)]
        path = written(tmp_path, squad(article("A", *asked)), "dev.json")
    else:
        rows = [
            {
                "id": str(n), "title": "A", "context": text, "question": f"Q{n}?",
                "answers": {"text": [one for one, _ in spans], "answer_start": [start for _, start in spans]},
            }
            for n, (text, spans) in enumerate(parts)
        ]  # fmt: skip
        path = written(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "dev.jsonl")
    imported = read(path)
    (document,) = imported.documents
    assert document["text"] == "\n\n".join(text for text, _ in parts)
    starts = {}
    place = 0
    for number, (text, _) in enumerate(parts):
        starts[str(number)] = place
        place += len(text) + 2
    expected = {(str(n), starts[str(n)] + start, one) for n, (_, spans) in enumerate(parts) for one, start in spans}
    spans = {(one["query_id"], one["start"], document["text"][one["start"] : one["end"]]) for one in imported.spans}
    if form == "json":  # in a table, no answers mean that there is none
        expected |= {(str(n), starts[str(n)], text) for n, (text, spans_of) in enumerate(parts) if not spans_of}
    assert spans == expected
