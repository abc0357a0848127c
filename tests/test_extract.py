"""Training pairs out of the structure of a corpus: what makes a pair, what none, and what training shows of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged import folder, indexes, silent

from harness.data.formats import load_jsonl, write_jsonl
from harness.models.fakes import FakeBiEncoder
from harness.stages.extract import ExtractSpec, extract, structure_pairs
from harness.stages.extract import _heading_of as heading_of
from harness.stages.label import LABELS_FILE, LabelSpec, label
from harness.stages.mine import TRIPLETS_FILE, MineSpec, mine
from harness.stages.shared import common
from harness.stages.sift import SiftSpec, sift
from harness.stages.tune_reranker import graded_lists
from harness.stages.tune_retriever import training_lists
from harness.suite.pipeline import Retriever
from harness.text import text_of
from harness.text.prose import sentences, without
from harness.training.batches import Batches, text_key
from harness.values.records import Document, Pair

ENGLISH = text_of("en")
BODY = (
    "Salt that leaves the tank and walks up the slate is called creep. Left to itself it tops the rim and hangs over. "
    "A band of beeswax, a hand wide and laid on warm slate above the line, gives it nothing to hold."
)
REST = BODY.split(". ", 1)[1]
FIRST = BODY.split(". ", maxsplit=1)[0] + "."


def pairs_of(*documents: Document) -> list[Pair]:
    return structure_pairs(documents, ENGLISH)


# sentences


@pytest.mark.parametrize(("text", "expected"), [
    ("One is here. Two is there! Is three? Four", ["One is here.", "Two is there!", "Is three?"]),
    ("See Fig. 3 of Smith et al. 2020. It is e.g. this.", ["See Fig. 3 of Smith et al. 2020.", "It is e.g. this."]),
    ("The U.S. Army came. J. Doe left.", ["The U.S. Army came.", "J. Doe left."]),
    ("It is 3.5 m wide. Next.", ["It is 3.5 m wide.", "Next."]),
    ("He said \"Go.\" Then\nhe went.", ["He said \"Go.\"", "Then he went."]),
    ("A heading\n\nA sentence over\ntwo lines.", ["A sentence over two lines."]),
    ("Intro:\n- an item.\n- two items. Here.", ["an item.", "two items.", "Here."]),
    ("Parameters\nx : float\n    The width.\ny : int", ["The width."]),
    ("东京是首都。它很大。最后", ["东京是首都。", "它很大。"]),
    ("यह सच है। वह नहीं।", ["यह सच है।", "वह नहीं।"]),
    ("", []),
])  # fmt: skip
def test_sentences_end_with_their_punctuation_and_cross_no_block(text: str, expected: list[str]) -> None:
    assert [sentence.text for sentence in sentences(text)] == expected


@settings(max_examples=200)
@given(text=st.text("aB.!? \n-\"'1。", max_size=60))
def test_sentences_are_parts_of_their_text_in_order(text: str) -> None:
    found = list(sentences(text))
    end = 0
    for sentence in found:
        assert sentence.start >= end
        end = sentence.end
        assert " ".join(text[sentence.start : sentence.end].split()) == sentence.text
        left = without(text, sentence)
        assert sorted("".join(left.split())) == sorted("".join((text[: sentence.start] + text[sentence.end :]).split()))


# pairs


def test_a_heading_asks_for_its_text_and_a_sentence_for_the_rest() -> None:
    heading, sentence = pairs_of(Document("d", "How salt creeps", BODY))
    assert heading == Pair("How salt creeps", "d", "heading", "structure", passage=BODY)
    assert sentence == Pair(FIRST, "d", "sentence", "structure", passage=f"How salt creeps\n{REST}")


def test_a_document_without_a_title_gives_a_sentence_and_a_heading_of_markdown() -> None:
    assert pairs_of(Document("d", "", BODY)) == [Pair(FIRST, "d", "sentence", "structure", passage=REST)]
    heading, sentence = pairs_of(Document("d", "", f"## How salt creeps ##\n\n{BODY}"))
    assert (heading.query, heading.passage) == ("How salt creeps", BODY)
    assert (sentence.query, sentence.passage) == (FIRST, f"How salt creeps\n{REST}")


@pytest.mark.parametrize("title", ["Creep", "", "scipy.linalg.pinv(a, b, c, d=None)", "2020 12 31", "a_b c_d"])
def test_what_is_no_heading_in_words_asks_for_nothing(title: str) -> None:
    assert [pair.kind for pair in pairs_of(Document("d", title, BODY))] == ["sentence"]


@pytest.mark.parametrize("start", [
    "This is what nobody would ever ask for alone.",
    "however cut off at the start, it has no beginning.",
    "Short one.",
    "[1, 2] 10.1016/j.1 12 (3) 45-67, 2019 vol 1.",
])  # fmt: skip
def test_the_first_sentence_that_stands_alone_is_taken(start: str) -> None:
    (pair,) = pairs_of(Document("d", "", f"{start} {BODY}"))
    assert (pair.query, pair.passage) == (FIRST, f"{start} {REST}")


def test_what_stands_in_several_passages_asks_for_none_of_them() -> None:
    second = "Quick that was spent leaves the nerves as bare as before."
    documents = [Document("d1", "How salt creeps", BODY), Document("d2", "How Salt creeps", f"{FIRST} {second} {REST}")]
    kept = {(pair.doc_id, pair.kind): pair.query for pair in pairs_of(*documents)}
    assert kept == {("d2", "sentence"): second}


def test_short_passages_and_empty_ones_give_no_pair() -> None:
    assert pairs_of(Document("d", "How salt creeps", FIRST), Document("e", "A heading alone", "")) == []


def test_a_title_that_the_text_repeats_is_not_shown() -> None:
    heading, sentence = pairs_of(Document("d", "How salt creeps", f"How salt creeps\n\n{BODY}"))
    assert heading.passage == BODY
    assert sentence.passage == f"How salt creeps\n{REST}"


# the way to a training

CORPUS = {
    "d1": Document("d1", "How salt creeps", BODY),
    "d2": Document("d2", "", "Slate roofs are laid from the eaves upwards, each row over two others. " + " ".join(
        f"Row {number} is nailed by hand." for number in range(9)
    )),
    "d3": Document("d3", "", "the ferry carries mail over the ice"),
}  # fmt: skip


@pytest.fixture
def triplets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Inputs of a training on pairs that were extracted, filtered and mined."""
    for module in ("mine", "sift", "index", "label"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder(), raising=False)
    inputs = indexes(tmp_path, CORPUS)
    usage = extract(ExtractSpec(), inputs, folder(tmp_path, "pairs"), 0, silent)
    assert usage.notes == {
        "passages": 3, "left out, being relevant for scored queries": 0, "pairs": 3, "of kind heading": 1,
        "of kind sentence": 2, "passages that give no pair": 1,
    }  # fmt: skip
    inputs["pairs"] = tmp_path / "pairs"
    spec = SiftSpec(leakage=0.6, round_trip=None, retriever=Retriever())
    sift(spec, inputs, folder(tmp_path, "kept"), 0, silent)
    inputs["pairs"] = tmp_path / "kept"
    rule = MineSpec(hard=1, random=0, relative_margin=0.0, depth=3, pairs="structure", retriever=Retriever())
    usage = mine(rule, inputs, folder(tmp_path, "triplets"), 0, silent)
    assert (usage.notes["structure"], usage.notes["synthetic"], usage.notes["judged"]) == (3, 0, 0)
    return inputs | {"triplets": tmp_path / "triplets"}


def test_training_shows_the_passage_without_what_asks_for_it(triplets: dict[str, Path]) -> None:
    lists, left_out = training_lists(triplets)
    assert left_out == 0
    shown = {item.query: item.passages[0] for item in lists}
    assert shown["How salt creeps"] == BODY
    assert shown[FIRST] == f"How salt creeps\n{REST}"
    assert all(item.query not in item.passages[0] for item in lists if item.query != FIRST)
    contents = {document.content for document in CORPUS.values()}
    assert all(passage in contents for item in lists for passage in item.passages[1:])


def test_no_form_of_a_passage_is_a_negative_of_a_query_about_it(triplets: dict[str, Path]) -> None:
    lists, _ = training_lists(triplets)
    about = [item for item in lists if item.query in ("How salt creeps", FIRST)]
    forms = {text_key(text) for text in (BODY, f"How salt creeps\n{REST}", CORPUS["d1"].content)}
    assert all(forms <= {text_key(item.passages[0]), *item.known} for item in about)
    mask = Batches(about).mask([0, 1]).included
    assert [mask[0][1], mask[1][0]] == [False, False]


def test_labels_keep_what_training_shows(triplets: dict[str, Path], tmp_path: Path) -> None:
    spec = LabelSpec(
        by="mined", model=None, use_suggested=False, passage_tokens=9, max_new_tokens=9, batch_size=1,
        failure_limit=0.5, retriever=Retriever(),
    )  # fmt: skip
    inputs = {name: triplets[name] for name in ("triplets", "corpus")}
    label(spec, inputs, folder(tmp_path, "labels"), 0, silent)
    rows = load_jsonl(tmp_path / "labels" / LABELS_FILE)
    positives = {item.query: item.passages[item.scores.index(1.0)] for item in graded_lists(rows, CORPUS)}
    assert positives[FIRST] == f"How salt creeps\n{REST}"
    lists, _ = training_lists({"corpus": triplets["corpus"], "labels": tmp_path / "labels"})
    assert {item.query: item.passages[0] for item in lists} == positives


def test_a_row_without_a_passage_shows_the_document(triplets: dict[str, Path]) -> None:
    path = triplets["triplets"] / TRIPLETS_FILE
    rows = [{key: value for key, value in row.items() if key != "passage"} for row in load_jsonl(path)]
    write_jsonl(path, rows)
    lists, _ = training_lists(triplets)
    assert {item.passages[0] for item in lists} == {CORPUS["d1"].content, CORPUS["d2"].content}


def test_passages_that_answer_scored_queries_may_be_left_out(tmp_path: Path) -> None:
    common.write_corpus(folder(tmp_path, "corpus"), CORPUS)
    common.write_judgements(folder(tmp_path, "excluded"), {"t1": {"d1": 1, "d2": 0}})
    inputs = {name: tmp_path / name for name in ("corpus", "excluded")}
    extract(ExtractSpec(), inputs, folder(tmp_path, "out"), 0, silent)
    assert {pair.doc_id for pair in common.read_pairs(tmp_path / "out")} == {"d2"}
    extract(ExtractSpec(max_documents=1), inputs, tmp_path / "out", 0, silent)
    assert {pair.doc_id for pair in common.read_pairs(tmp_path / "out")} <= {"d2", "d3"}


AS_IT_WAS = re.compile(r"\s*#{1,6}\s+(.+?)\s*#*\n")
"""What found a heading before, in time that grew with the square of the text."""


@given(st.text(st.sampled_from("# \n\ra-\t"), max_size=16))
def test_a_heading_is_found_as_by_an_expression_that_reads_on_and_on(text: str) -> None:
    body = text.strip()
    match = AS_IT_WAS.match(body)
    heading, below = (match[1], body[match.end() :].strip()) if match else ("", body)
    expected = " ".join(heading.split()), below.removeprefix(heading).strip()
    assert heading_of(Document("d", "", text)) == expected
