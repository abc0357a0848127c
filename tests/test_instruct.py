"""instruct: the shares of its kinds, which passages an example shows and where, and which answers are thrown away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stage_inputs import part, silent

from harness.data.formats import load_jsonl, write_run
from harness.stages.instruct import INSTRUCTIONS_FILE, InstructSpec, Material, instruct, mix
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.answer_writers import LocalAnswerer, WritingSettings, fault, holds, words_of
from harness.stages.shared.prompts import answering_head
from harness.suite import training_data
from harness.suite.recipes import ABSTENTION
from harness.values.records import Document, Reference, Usage

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
DEPTH = 6


def artifacts(root: Path, answerable: int, unanswerable: int = 0, backwards: bool = False) -> dict[str, Path]:
    """Questions with a passage of their own each; a list ranks it second among six others."""
    ids = [f"q{number:03}" for number in range(answerable + unanswerable)]
    documents = {f"d{number:03}": f"passage {number} says thing{number}" for number in range(len(ids) + DEPTH)}
    known = ids[:answerable]
    references = {
        key: Reference(key, (f"thing{place}", "other"), True, ()) if key in known else
        Reference(key, (), False, (f"d{place:03}",))
        for place, key in enumerate(ids)
    }  # fmt: skip
    run = {}
    for place, key in enumerate(ids):
        others = [f"d{place + step:03}" for step in range(1, DEPTH + 1)]
        run[key] = [(doc_id, 9.0 - rank) for rank, doc_id in enumerate([others[0], f"d{place:03}", *others[1:]])]
    order = list(reversed(ids)) if backwards else ids
    common.write_corpus(part(root, "corpus"), {key: Document(key, "", text) for key, text in documents.items()})
    common.write_queries(part(root, "queries"), {key: f"what is {key}" for key in order})
    common.write_judgements(part(root, "qrels"), {key: {f"d{ids.index(key):03}": 1} for key in order if key in known})
    common.write_references(part(root, "references"), {key: references[key] for key in order})
    write_run(part(root, "run") / RUN_FILE, {key: run[key] for key in order})
    return {name: root / name for name in ("corpus", "queries", "qrels", "references", "run")}


def made(
    spec: InstructSpec, inputs: Mapping[str, Path], out: Path, seed: int = 0
) -> tuple[list[dict[str, Any]], Usage]:
    out.mkdir(parents=True, exist_ok=True)
    usage = instruct(spec, inputs, out, seed, silent)
    return load_jsonl(out / INSTRUCTIONS_FILE), usage


# the shares

share = st.integers(0, 9).map(lambda tenths: tenths / 10)


@st.composite
def rules(draw: st.DrawFn) -> training_data.Instruct:
    without, declined = draw(share), draw(share)
    if without + declined >= 1:
        declined = 0.0
    count = draw(st.none() | st.integers(1, 60))
    return training_data.Instruct(examples=count, without_oracle=without, unanswerable=declined)


@quick
@given(rules(), st.integers(0, 40), st.integers(0, 40), st.data())
def test_a_mix_has_the_asked_shares_as_far_as_there_are_questions(
    rule: training_data.Instruct, known: int, declined: int, data: st.DataObject
) -> None:
    answered = [f"a{number}" for number in range(known)]
    lackable = data.draw(st.lists(st.sampled_from(answered), unique=True)) if answered else []
    unanswerable = [f"u{number}" for number in range(declined)]
    found = mix(rule, answered, lackable, unanswerable)
    used = [key for keys in found for key in keys]
    assert len(used) == len(set(used)) == found.size <= (rule.examples or found.size)
    assert len(found.without_oracle) == min(round(rule.without_oracle * found.size), len(lackable))
    assert len(found.unanswerable) == min(round(rule.unanswerable * found.size), len(unanswerable))
    assert set(found.oracle) <= set(answered)
    assert set(found.without_oracle) <= set(lackable)
    assert set(found.unanswerable) <= set(unanswerable)


@quick
@given(rules(), st.integers(1, 40))
def test_plenty_of_questions_give_exactly_what_was_asked_for(rule: training_data.Instruct, count: int) -> None:
    rule = rule.model_copy(update={"examples": count})
    answered, unanswerable = ([f"{kind}{number}" for number in range(count)] for kind in "au")
    found = mix(rule, answered, list(reversed(answered)), unanswerable)
    without, declined = round(rule.without_oracle * count), round(rule.unanswerable * count)
    assert tuple(map(len, found)) == (count - without - declined, without, declined)


@quick
@given(rules(), st.integers(1, 30), st.integers(0, 30), st.integers(1, 30))
def test_a_larger_mix_holds_the_smaller(rule: training_data.Instruct, known: int, declined: int, count: int) -> None:
    answered, unanswerable = [f"a{number}" for number in range(known)], [f"u{number}" for number in range(declined)]
    few, many = (
        mix(rule.model_copy(update={"examples": size}), answered, answered[::-1], unanswerable)
        for size in (count, count + 5)
    )
    for small, large in ((few.without_oracle, many.without_oracle), (few.unanswerable, many.unanswerable)):
        assert small == large[: len(small)]
    assert set(few.oracle) <= set(many.oracle) | set(many.without_oracle)
    if few.size + 5 == many.size and many.size <= known / 2:
        assert few.oracle == many.oracle[: len(few.oracle)]


def test_no_larger_mix_would_have_been_possible() -> None:
    rule = training_data.Instruct(without_oracle=0.2, unanswerable=0.2)
    answered, unanswerable = [f"a{number}" for number in range(8)], [f"u{number}" for number in range(50)]
    found = mix(rule, answered, answered[::-1], unanswerable)
    assert tuple(map(len, found)) == (6, 2, 2)


# what an example shows


@quick
@given(st.integers(0, 12), st.integers(0, 3), st.integers(0, 4), st.integers(0, 99))
def test_an_example_shows_what_its_kind_says(
    tmp_path_factory: pytest.TempPathFactory, known: int, declined: int, distractors: int, seed: int
) -> None:
    root = tmp_path_factory.mktemp("instruct")
    inputs = artifacts(root, known + 2, declined)
    spec = InstructSpec(distractors=distractors, without_oracle=0.3, unanswerable=0.2)
    rows, usage = made(spec, inputs, root / "out", seed)
    material = Material.read(inputs)
    for row in rows:
        own, key = f"d{int(row['query_id'][1:]):03}", row["query_id"]
        others = [doc_id for doc_id in row["context"] if doc_id != own]
        assert row["query"] == material.queries[key]
        assert len(row["context"]) == distractors + 1
        assert others == material.retrieved(key)[: len(others)]
        assert (own in row["context"]) == (row["kind"] != "without_oracle")
        assert row["answer"] == (f"thing{int(key[1:])}" if row["kind"] == "oracle" else ABSTENTION)
        assert material.is_declined(key) == (row["kind"] == "unanswerable")
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["without_oracle"] == round(0.3 * len(rows)) == usage.notes["with it left out"]
    missing = usage.notes["too few unanswerable"]
    assert kinds["unanswerable"] == round(0.2 * len(rows)) - missing == usage.notes["unanswerable"]
    assert missing >= 0


def test_the_relevant_passage_stands_in_every_place_alike(tmp_path: Path) -> None:
    rows, _ = made(InstructSpec(distractors=2, without_oracle=0.0), artifacts(tmp_path, 300), tmp_path / "out")
    places = Counter(row["context"].index(f"d{int(row['query_id'][1:]):03}") for row in rows)
    assert sorted(places) == [0, 1, 2]
    assert all(70 <= count <= 130 for count in places.values())


def test_the_order_of_the_files_changes_nothing_and_the_seed_does(tmp_path: Path) -> None:
    spec = InstructSpec(examples=12, without_oracle=0.25, unanswerable=0.25)
    first, _ = made(spec, artifacts(tmp_path / "a", 20, 8), tmp_path / "a" / "out")
    again, _ = made(spec, artifacts(tmp_path / "b", 20, 8, backwards=True), tmp_path / "b" / "out")
    other, _ = made(spec, artifacts(tmp_path / "a", 20, 8), tmp_path / "a" / "other", seed=1)
    assert first == again
    assert {row["query_id"] for row in first} != {row["query_id"] for row in other}


def test_a_passage_in_which_the_answer_stands_does_not_lack_it(tmp_path: Path) -> None:
    inputs = artifacts(tmp_path, 6)
    corpus = common.read_corpus(inputs["corpus"])
    # The best passage of every list but the relevant one now says the answer too, in other letters.
    for number in range(6):
        key = f"d{number + 1:03}"
        corpus[key] = corpus[key]._replace(text=f"{corpus[key].text}; THING{number}, and thing{number}x")
    common.write_corpus(inputs["corpus"], corpus)
    rows, usage = made(InstructSpec(distractors=1, without_oracle=0.5), inputs, tmp_path / "out")
    lacking = [row for row in rows if row["kind"] == "without_oracle"]
    assert len(lacking) == 3
    for row in lacking:
        number = int(row["query_id"][1:])
        assert row["context"] == [f"d{number + 2:03}", f"d{number + 3:03}"]
    assert usage.notes["passages skipped, holding the answer"] == 3


def test_lists_too_short_and_questions_without_use_are_counted(tmp_path: Path) -> None:
    inputs = artifacts(tmp_path, 4)
    run = {"q000": [("d000", 2.0)], "q001": [("d001", 2.0), ("d005", 1.0)], "q002": [("d000", 1.0)]}
    write_run(inputs["run"] / RUN_FILE, run)
    references = common.read_references(inputs["references"])
    references["q003"] = references["q003"]._replace(answers=(" \n",))
    common.write_references(inputs["references"], references)
    rows, usage = made(InstructSpec(distractors=2, without_oracle=0.9), inputs, tmp_path / "out")
    assert {row["query_id"]: (row["kind"], len(row["context"])) for row in rows} == {
        "q000": ("oracle", 1), "q001": ("without_oracle", 1), "q002": ("without_oracle", 1),
    }  # fmt: skip
    assert usage.notes["fewer passages than asked"] == 3
    assert usage.notes["questions without a passage or an answer"] == 1
    assert usage.notes["too few to leave it out"] == 1


def test_an_unanswerable_question_without_a_source_is_shown_what_was_found(tmp_path: Path) -> None:
    inputs = artifacts(tmp_path, 4, 1)
    references = common.read_references(inputs["references"])
    references["q004"] = references["q004"]._replace(source_passages=())
    common.write_references(inputs["references"], references)
    rows, _ = made(InstructSpec(distractors=1, unanswerable=0.3, without_oracle=0.0), inputs, tmp_path / "out")
    (row,) = [row for row in rows if row["kind"] == "unanswerable"]
    assert row["context"] == ["d005", "d004"]


def test_an_answer_of_several_lines_keeps_them(tmp_path: Path) -> None:
    inputs = artifacts(tmp_path, 1)
    reference = Reference("q000", ("two\n lines", "one"), True, ())
    common.write_references(inputs["references"], {"q000": reference})
    rows, _ = made(InstructSpec(without_oracle=0.0), inputs, tmp_path / "out")
    assert rows[0]["answer"] == "two\nlines"


def test_nothing_to_answer_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no training question has both .*; judge some"):
        made(InstructSpec(), artifacts(tmp_path, 0, 3), tmp_path / "out")


def test_a_model_goes_with_answers_by_an_llm_and_with_nothing_else() -> None:
    for given_keys in ({"answers": "llm"}, {"answers": "references", "model": "m"}):
        with pytest.raises(ValidationError, match="needs 'model'"):
            InstructSpec.model_validate(given_keys)


# answers by an LLM


class FakeAnswerer:
    """Answers with the last word of the passage; throws away what the question names as bad."""

    def __init__(self, bad: set[str]) -> None:
        self.bad, self.asked = bad, [0]
        self.calls = 0

    def write(self, asked: list[tuple[str, str]], progress: Any) -> list[str | None]:
        self.asked.append(len(asked))
        self.calls += len(asked)
        progress(len(asked), len(asked))
        return [
            None if question.removeprefix("what is ") in self.bad else passage.split()[-1]
            for question, passage in asked
        ]

    def usage(self) -> Usage:
        return Usage(0, self.calls, 7, 3, {"answers written": self.calls})


def with_llm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bad: set[str], spec: InstructSpec
) -> tuple[list[dict[str, Any]], Usage, FakeAnswerer]:
    fake = FakeAnswerer(bad)
    monkeypatch.setattr("harness.stages.instruct.LocalAnswerer", lambda folder, settings: fake)
    inputs = artifacts(tmp_path, 20)
    del inputs["references"]
    rows, usage = made(spec, {**inputs, "model": tmp_path}, tmp_path / "out")
    return rows, usage, fake


def test_an_answer_thrown_away_is_made_good_by_another_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = InstructSpec(answers="llm", model="m", examples=10, without_oracle=0.3)
    good, _, _ = with_llm(monkeypatch, tmp_path / "a", set(), spec)
    bad = {row["query_id"] for row in good if row["kind"] == "oracle"}
    rows, usage, fake = with_llm(monkeypatch, tmp_path / "b", set(sorted(bad)[:4]), spec)
    assert Counter(row["kind"] for row in rows) == {"oracle": 7, "without_oracle": 3}
    assert fake.asked == [0, 7, 4]
    assert not bad & {row["query_id"] for row in rows if row["kind"] == "oracle"} - set(sorted(bad)[4:])
    assert all(row["answer"] == f"thing{int(row['query_id'][1:])}" for row in rows if row["kind"] == "oracle")
    assert (usage.llm_calls, usage.prompt_tokens, usage.new_tokens) == (11, 7, 3)
    assert usage.notes["answers written"] == 11


def test_shares_hold_when_too_few_answers_are_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = {f"q{number:03}" for number in range(13)}
    spec = InstructSpec(answers="llm", model="m", without_oracle=0.3)
    rows, _, _ = with_llm(monkeypatch, tmp_path, bad, spec)
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["without_oracle"] == round(0.3 * len(rows)) > 0
    assert 3 <= kinds["oracle"] <= 7


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("nine days", None),
        ("It took nine long days", None),
        ("nine reindeer", None),
        ("", "empty"),
        ("...", "empty"),
        (ABSTENTION, "declines to answer"),
        ("The passage does not say how long.", "declines to answer"),
        ("How long did letters take?", "repeats the question"),
        ("letters take how long did", "repeats the question"),
        ("How long did letters take? nine days", "repeats the question"),
        ("sledge and reindeer", None),
        ("many reindeer", "not out of the passage"),
    ],
)
def test_trivial_answers_are_thrown_away(answer: str, reason: str | None) -> None:
    passage = "In winter the mail went by sledge and letters took nine days."
    assert fault(answer, "How long did letters take?", passage) == reason


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("born in New York.", "new york", True),
        ("a New Yorker", "new york", False),
        ("the straße", "STRASSE", True),
        ("anything", "?", False),
        ("1,000 men", "1 000", True),
    ],
)
def test_an_answer_stands_in_a_text_in_whole_words(text: str, answer: str, found: bool) -> None:
    assert holds(text, answer) is found


def test_a_model_writes_answers_and_everything_is_counted(tmp_path: Path) -> None:
    model = tiny.generator(part(tmp_path, "model"), words_of(answering_head()))
    answerer = LocalAnswerer(model, WritingSettings(passage_tokens=16, max_new_tokens=4, batch_size=2))
    asked = [(f"what is {number}", f"passage {number}") for number in range(5)]
    texts = answerer.write(asked, silent)
    usage = answerer.usage()
    assert len(texts) == usage.llm_calls == usage.notes["answers written"] == 5
    assert sum(answerer.dropped.values()) == sum(text is None for text in texts)
    assert usage.notes.keys() - {"answers written"} == {f"answers dropped: {key}" for key in answerer.dropped}
    assert usage.prompt_tokens > 5 * len(words_of(answering_head()))


def test_the_examples_are_one_json_object_a_line(tmp_path: Path) -> None:
    made(InstructSpec(), artifacts(tmp_path, 5), tmp_path / "out")
    lines = (tmp_path / "out" / INSTRUCTIONS_FILE).read_text(encoding="utf-8").splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["answer", "context", "kind", "query", "query_id"]] * 5
