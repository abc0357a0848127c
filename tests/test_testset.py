"""Test questions from documents: dealt to splits, written, filtered, kept, and made again without a second request."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testset_author import FAULTS, Author, rows_of, write_corpus

from harness.data.datasets import load_dataset
from harness.errors import DataError, LlmStopped
from harness.llm.scripted import ScriptedChat
from harness.remarks import data
from harness.suite.sources import DatasetSource
from harness.testset import folder as files
from harness.testset import reasons
from harness.testset.dealing import Dealer, deal_documents, most_behind
from harness.testset.drafts import SHOWN_PASSAGES
from harness.testset.endpoint import EndpointWriter
from harness.testset.evidence import place_of
from harness.testset.items import Item
from harness.testset.make import Maker, Report, Wishes
from harness.testset.passages import Passage, passages_of
from harness.testset.review import shown
from harness.values.records import Document

SHARES = {"test": 0.5, "dev": 0.2, "train": 0.3}


def made(place: Path, questions: int = 24, author: Author | None = None, seed: int = 0) -> tuple[Report, ScriptedChat]:
    chat = ScriptedChat(author or Author())
    maker = Maker(place, Wishes(questions=questions, words=60, seed=seed), lambda _: EndpointWriter(chat, chat))
    return maker.run(lambda done, total: None), chat


def synthetic(place: Path) -> dict[str, Item]:
    return {item.query_id: item for item in files.read(place).items}


def test_the_folder_is_a_dataset_with_answers_and_evidence_of_every_kind(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data")
    report, _ = made(place, 30)
    assert (report.added, report.failed) == (30, {})
    items = synthetic(place)
    assert {item.kind for item in items.values()} == {"single", "several", "unanswerable", "paraphrased"}
    documents = files.read(place).documents
    for item in items.values():
        assert item.text.endswith("?")
        if item.kind == "unanswerable":
            assert not item.answer
            assert not item.spans
            continue
        assert len(item.spans) == len(item.passages) == (2 if item.kind == "several" else 1)
        for (doc_id, start, end), (about, first, last) in zip(item.spans, item.passages, strict=True):
            assert doc_id == about
            assert first <= start < end <= last
            assert " ".join(documents[doc_id].text[start:end].split()) in item.answer
    for split in SHARES:
        dataset = load_dataset(DatasetSource(path=str(place)), split)
        part = dataset.splits[split]
        assert all(query.metadata["synthetic"] is True for query in part.queries.values())
        assert set(part.queries) == {key for key, item in items.items() if item.split == split}
        assert set(part.judged) == {key for key, item in items.items() if item.split == split and item.answerable}
    source = json.loads((place / "SOURCE.json").read_text())
    assert source["questions"] == {"synthetic": 30, "reviewed": 0, "by": "scripted"}


@given(
    st.lists(st.text(min_size=1, max_size=6), unique=True, min_size=1, max_size=40),
    st.dictionaries(st.integers(0, 39), st.sampled_from(["test", "dev", "train"]), max_size=5),
)
def test_documents_are_dealt_whole_in_shares_and_pinned_ones_stay(names: list[str], pins: dict[int, str]) -> None:
    pinned = {names[place]: frozenset([split]) for place, split in pins.items() if place < len(names)}
    splits = deal_documents(names, SHARES, pinned)
    assert set(splits) == set(names)
    assert all(splits[name] in found for name, found in pinned.items())
    alone = deal_documents(names, SHARES, {})
    for split, share in SHARES.items():
        assert abs(list(alone.values()).count(split) - share * len(names)) <= 1
    assert "test" in alone.values()
    asked = {name: frozenset([alone[name]]) for name in names[::2]}
    assert deal_documents(names, SHARES, asked) == alone
    twice = deal_documents(names, SHARES, {names[0]: frozenset(["test", "train"])})
    assert names[0] not in twice


@given(st.integers(1, 30), st.integers(0, 3), st.data())
def test_splits_share_no_document_and_no_passage_is_used_twice(documents: int, seed: int, data: st.DataObject) -> None:
    pieces = {
        f"d{n}": tuple(Passage(f"d{n}", "", start, start + 1, "x") for start in range(data.draw(st.integers(1, 4))))
        for n in range(documents)
    }
    splits = deal_documents(list(pieces), SHARES, {})

    def neighbour(passage: Passage, doc_ids: object) -> Passage | None:
        allowed = sorted(doc_ids)  # type: ignore[call-overload]
        return pieces[allowed[0]][0] if allowed else None

    kinds = {"single": 0.4, "several": 0.4, "unanswerable": 0.1, "paraphrased": 0.1}
    dealer = Dealer(pieces, splits, SHARES, kinds, neighbour)  # type: ignore[arg-type]
    seen: dict[str, set[str]] = defaultdict(set)
    firsts = []
    while jobs := dealer.next_round():
        for job in jobs:
            firsts.append(job.passages[0])
            assert (job.kind == "several") == (len(job.passages) == 2)
            for doc_id in job.doc_ids:
                seen[doc_id].add(job.split)
            dealer.note(job, kept=data.draw(st.booleans()))
    assert all(len(found) == 1 for found in seen.values())
    assert len(firsts) == len(set(firsts)) == sum(map(len, pieces.values()))


def test_a_kind_that_always_fails_does_not_take_all_places() -> None:
    pieces = {f"d{n}": (Passage(f"d{n}", "", 0, 1, "x"),) for n in range(240)}
    kinds = {"single": 0.5, "paraphrased": 0.5}
    dealer = Dealer(pieces, dict.fromkeys(pieces, "test"), {"test": 1.0}, kinds, lambda *_: None)  # type: ignore[arg-type]
    asked = []
    for _ in range(10):
        for job in dealer.next_round():
            asked.append(job.kind)
            dealer.note(job, kept=job.kind == "single")
    assert 0.1 < asked.count("single") / len(asked) < 0.5
    assert most_behind({"a": 0.5, "b": 0.5}, {"a": 3.0, "b": 1.0}) == "b"


def test_a_larger_test_set_holds_the_smaller(tmp_path: Path) -> None:
    few, many = write_corpus(tmp_path / "few"), write_corpus(tmp_path / "many")
    made(few, 10, Author(0.4))
    made(many, 25, Author(0.4))
    assert synthetic(few).items() <= synthetic(many).items()
    made(few, 25, Author(0.4))
    assert {(one.text, one.split) for one in synthetic(few).values()} == {
        (one.text, one.split) for one in synthetic(many).values()
    }


def test_another_seed_asks_about_other_passages(tmp_path: Path) -> None:
    first, second = write_corpus(tmp_path / "a"), write_corpus(tmp_path / "b")
    made(first, 10)
    made(second, 10, seed=1)
    assert {one.passages for one in synthetic(first).values()} != {one.passages for one in synthetic(second).values()}


def test_running_again_changes_nothing_and_asks_nothing(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data")
    made(place, 20, Author(0.3))
    names = ("queries.jsonl", "answers.jsonl", "spans.jsonl", "SOURCE.json", "qrels/test.tsv", "splits.tsv")
    before = {name: (place / name).read_bytes() for name in names}
    report, chat = made(place, 20, Author(0.3))
    assert (report.added, report.there, chat.asks) == (0, 20, [])
    assert before == {name: (place / name).read_bytes() for name in names}


def test_every_fault_is_dropped_and_counted(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data", 160)
    author = Author(0.8)
    report, _ = made(place, 60, author)
    assert set(author.made) == {"good", *FAULTS}
    dropped = {reason: sum(counts.values()) for reason, counts in report.dropped.items()}
    expected = {
        reasons.EMPTY, reasons.PROMPT, reasons.LONG, reasons.LANGUAGE, reasons.COPIED, reasons.TITLE, reasons.NO_ANSWER,
        reasons.UNFOUND, reasons.UNSUPPORTED, reasons.ANSWERED, reasons.UNCLEAR, reasons.ONE_ENOUGH, reasons.SAME_WORDS,
        reasons.ELSEWHERE,
        "refers to the passage", "about the queries, not one of them",
    }  # fmt: skip
    assert expected <= set(dropped), expected - set(dropped)
    assert report.failed
    assert report.written == report.added + sum(dropped.values())
    assert len(rows_of(place / "testset" / "dropped.jsonl")) == sum(dropped.values()) + sum(report.failed.values())
    texts = [item.text for item in synthetic(place).values()]
    assert len(texts) == len({text.casefold() for text in texts}) == report.added
    for text in texts:
        assert not any(word in text.lower() for word in ("passage", "potential", "unclear", "wird dort"))


def test_a_capable_writer_looks_for_the_answer_in_other_documents(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data", 40)
    report, chat = made(place, 30, Author(0.5))
    asked = [ask.messages[-1].content for ask in chat.asks]
    seen = [text for text in asked if '{"elsewhere": false}' in text]
    titles = {item["_id"]: item["title"] for item in rows_of(place / "corpus.jsonl")}
    for item in synthetic(place).values():
        own = [text for text in seen if f"<question>\n{item.text}\n</question>" in text]
        assert len(own) == item.answerable
        assert not any(f"] {titles[doc_id]} > " in text for text in own for doc_id in item.doc_ids)
        assert all(text.count("\n[") + text.count("<passages>\n[") >= SHOWN_PASSAGES for text in own)
    assert sum(report.dropped[reasons.ELSEWHERE].values()) == sum("elsewhere question" in text for text in seen)


def test_a_question_about_a_passage_that_changed_is_told(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data")
    made(place, 12)
    items = synthetic(place)
    corpus = place / "corpus.jsonl"
    text = corpus.read_text(encoding="utf-8")
    corpus.write_text(text.replace("before sunset.", "before sunset. The box is red."), encoding="utf-8")
    assert files.read(place).changed == []
    about = {key for key, item in items.items() if "doc-3" in item.doc_ids}
    assert about
    row = next(line for line in text.splitlines() if '"doc-3"' in line)
    corpus.write_text(text.replace(row, row.replace("## Care", "# New\\n\\n## Care")), encoding="utf-8")
    assert set(files.read(place).changed) == about
    report, _ = made(place, 12)
    assert set(report.changed) == about
    told = []
    for split in SHARES:
        dataset = load_dataset(DatasetSource(path=str(place)), split)
        told += data.told(dataset, split)
    assert sum("have changed since" in line for line in told) == len({items[key].split for key in about})
    assert any(
        "(changed since the question was written)" in name
        for row in shown(files.read(place))
        for name, _ in row.passages
    )
    # A question of an older version says nothing of its passages.
    queries = place / "queries.jsonl"
    queries.write_text(re.sub(r', "digest": "[0-9a-f]+"', "", queries.read_text(encoding="utf-8")), encoding="utf-8")
    assert files.read(place).changed == []
    assert files.read(place).items


def test_questions_of_people_stay_to_the_letter_and_pin_their_documents(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data")
    (place / "qrels").mkdir()
    theirs = '{"_id": "syn-1", "text":"Who greases the tide gauge?",  "metadata": {"who": "me"}}\n'
    (place / "queries.jsonl").write_text(theirs, encoding="utf-8")
    (place / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nsyn-1\tdoc-0\t1\n", encoding="utf-8")
    (place / "answers.jsonl").write_text('{"_id": "syn-1",   "answers": ["a keeper"]}\n', encoding="utf-8")
    report, _ = made(place, 20)
    assert report.of_people == 1
    assert (place / "queries.jsonl").read_text(encoding="utf-8").startswith(theirs)
    assert (place / "answers.jsonl").read_text(encoding="utf-8").startswith('{"_id": "syn-1",   "answers"')
    assert "syn-1\tdoc-0\t1\n" in (place / "qrels" / "train.tsv").read_text(encoding="utf-8")
    assert {item.split for item in synthetic(place).values() if "doc-0" in item.doc_ids} == {"train"}
    assert "syn-1" not in synthetic(place)


def test_an_interrupted_run_goes_on_and_a_failed_request_is_asked_again(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data", 60)
    chat = ScriptedChat(Author())
    chat.stopped = "the budget of 10 tokens is spent"
    with pytest.raises(LlmStopped, match="budget"):
        Maker(place, Wishes(questions=30, words=60), lambda _: EndpointWriter(chat, chat)).run(lambda done, total: None)
    assert not synthetic(place)
    broken = {"left": 5}

    def sometimes(ask: object) -> str:
        if broken["left"] and '"quotes"' in ask.messages[-1].content:  # type: ignore[attr-defined]
            broken["left"] -= 1
            return "no JSON"
        return Author()(ask)  # type: ignore[arg-type]

    flaky = ScriptedChat(sometimes)
    report = Maker(place, Wishes(questions=30, words=60), lambda _: EndpointWriter(flaky, flaky)).run(
        lambda done, total: None
    )
    assert sum(report.failed.values()) == 5
    assert report.added == 30
    again, _ = made(place, 40)
    assert (again.there, again.added, again.failed) == (30, 10, {})


@pytest.mark.parametrize("documents", [1, 2, 3])
def test_a_tiny_corpus_still_gets_test_questions(tmp_path: Path, documents: int) -> None:
    """ragas #1615, #423: three short documents end in an IndexError or in nothing."""
    place = write_corpus(tmp_path / "data", documents)
    report, _ = made(place, 6)
    assert report.added == min(6, report.passages)
    assert "test" in {item.split for item in synthetic(place).values()}


def test_short_documents_such_as_a_faq_are_asked_about(tmp_path: Path) -> None:
    """ragas #423 and #2083: documents of a few dozen words are refused as too short."""
    rows = [
        {
            "_id": f"faq-{n}",
            "title": f"Badge {n}",
            "text": f"Badge {n} opens door {n + 7} from {n % 12 + 6} in the morning.",
        }
        for n in range(12)
    ]
    place = tmp_path / "faq"
    place.mkdir()
    (place / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report, _ = made(place, 8)
    assert report.passages == 12
    assert report.added == 8


def test_nothing_to_ask_about_is_an_error_and_never_an_empty_success(tmp_path: Path) -> None:
    """DeepEval #2411: it runs, returns no question, and says nothing."""
    place = tmp_path / "empty"
    place.mkdir()
    (place / "corpus.jsonl").write_text('{"_id": "a", "text": "x = 1"}\n{"_id": "b", "text": ""}\n')
    with pytest.raises(DataError, match=r"no passage of 2 documents can be asked about \(.*too short"):
        made(place)
    with pytest.raises(DataError, match="no such folder"):
        made(tmp_path / "nowhere")


def test_files_of_another_form_are_not_touched(tmp_path: Path) -> None:
    place = write_corpus(tmp_path / "data")
    (place / "queries.tsv").write_text("q1\twho?\n")
    (place / "qrels").mkdir()
    (place / "qrels" / "test.tsv").write_text("q1 0 doc-1 1\n")
    with pytest.raises(DataError) as caught:
        made(place)
    assert [str(one).split("; ")[1][:8] for one in caught.value.problems] == ["write it", "write it"]


def test_passages_are_spans_of_their_documents_in_an_order_by_hash() -> None:
    text = "# Guide\n\n" + "\n\n".join(
        f"## Part {n}\n\n" + f"Sentence {n} says something about tiles. " * 20 for n in range(9)
    )
    found = passages_of([Document("a", "Guide", text), Document("b", "Other", text.replace("tiles", "slates"))], 220, 0)
    passages = found.by_document["a"]
    assert not found.left_out
    for passage in passages:
        assert passage.text == text[passage.start : passage.end]
        assert 40 <= len(passage.text.split()) <= 220
    # What two documents say, neither alone answers.
    copied = passages_of(
        [Document("a", "Guide", text), Document("b", "Copy", f"{text}\n\n## End\n\nNo tile. " * 9)], 220, 0
    )
    assert copied.left_out["same text as another passage"] >= 2 * (len(passages) - 1)
    assert "a" not in copied.by_document or len(copied.by_document["a"]) == 1
    listing = ">>> import x\n" * 60
    assert passages_of([Document("c", "", listing)], 220, 0).total == 0


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("tie both faces together", "tie both\n faces  together"),
        ("Tie both faces together", "tie both\n faces  together"),
        ("tie both faces togather and keep", "tie both\n faces  together and keep"),
        ("nothing of the kind is here at all", None),
        ("", None),
    ],
)
def test_a_quotation_is_found_though_it_was_copied_with_small_errors(quote: str, found: str | None) -> None:
    text = "Long stones tie both\n faces  together and keep the wall up."
    span = place_of(quote, Passage("d", "", 100, 100 + len(text), text))
    assert (None if span is None else text[span[1] - 100 : span[2] - 100]) == found


def test_a_copied_folder_makes_the_same_questions(tmp_path: Path) -> None:
    first = write_corpus(tmp_path / "first")
    second = tmp_path / "second"
    shutil.copytree(first, second)
    made(first, 12)
    made(second, 12)
    assert (first / "queries.jsonl").read_bytes() == (second / "queries.jsonl").read_bytes()
