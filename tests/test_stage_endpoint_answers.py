"""Answers through an endpoint, to train on, to score and to time, by a scripted chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pydantic import ValidationError
from scripted_chat import (
    CORPUS,
    ENDPOINT,
    PROMPTS,
    Scripted,
    accounted,
    corpus,
    folder,
    scripted,
    silent,
)

from harness.data.formats import load_jsonl, write_run
from harness.execution.probe import TIMES_FILE, WARM_UP, Probe, probe
from harness.llm import Ask, Message
from harness.stages.answer import FAILED_FILE, AnswerSpec, answer
from harness.stages.instruct import INSTRUCTIONS_FILE, InstructSpec, instruct
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.prompts import question_turn
from harness.suite.pipeline import Generator
from harness.suite.recipes import ABSTENTION
from harness.values.records import Document, Reference, Usage

quick = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
__all__ = ["scripted"]


# instruct


def instructed(root: Path, count: int = 8, **changes: Any) -> tuple[list[Any], Usage]:
    documents = {f"d{n}": Document(f"d{n}", "", f"the answer number {n} is thing{n} here") for n in range(count)}
    common.write_corpus(folder(root, "corpus"), documents)
    common.write_queries(folder(root, "queries"), {f"q{n}": f"what is {n}" for n in range(count)})
    common.write_judgements(folder(root, "qrels"), {f"q{n}": {f"d{n}": 1} for n in range(count)})
    run = {f"q{n}": [(f"d{(n + step) % count}", 9.0 - step) for step in range(4)] for n in range(count)}
    write_run(folder(root, "run") / RUN_FILE, run)
    inputs = {name: root / name for name in ("corpus", "queries", "qrels", "run")}
    rule = InstructSpec(**{"answers": "llm", "model": "large", "endpoint": ENDPOINT, "without_oracle": 0.25, **changes})
    usage = instruct(rule, inputs, folder(root, "out"), 0, silent)
    return list(load_jsonl(root / "out" / INSTRUCTIONS_FILE)), usage


def number_of(ask: Ask) -> int:
    return int(ask.messages[0].content.rsplit("what is ", 1)[1])


def test_answers_to_train_on_come_from_the_endpoint_and_bad_ones_are_dropped(
    tmp_path: Path, scripted: Scripted
) -> None:
    odd: dict[int, Any] = {
        1: ABSTENTION, 2: OSError("HTTP 500"), 3: "unrelated matter", 4: "the answer is thing4 here " * 20,
    }  # fmt: skip
    chat = scripted(lambda ask: odd.get(number_of(ask), f"Answer: thing{number_of(ask)}\n"))
    rows, usage = instructed(tmp_path)
    answers = {row["query_id"]: row["answer"] for row in rows if row["kind"] == "oracle"}
    assert answers
    assert all(text == f"thing{key[1:]}" for key, text in answers.items())
    assert not {"q1", "q2", "q3", "q4"} & set(answers)
    assert {row["answer"] for row in rows if row["kind"] == "without_oracle"} == {ABSTENTION}
    asked = chat.spent.asked
    assert usage.notes["answers written"] + usage.notes["answers that failed"] == asked
    dropped = {key: count for key, count in usage.notes.items() if key.startswith("answers dropped")}
    tried = {number_of(ask) for ask in chat.asks}
    assert sum(dropped.values()) == len(tried & {1, 3, 4}) > 0
    assert usage.notes.get("answers that failed: HTTP 500", 0) == len(tried & {2})
    assert "what is" not in PROMPTS["instruct"]
    assert ABSTENTION in chat.asks[0].messages[0].content
    assert chat.roles == ["synthesizer"]  # type: ignore[attr-defined]
    accounted(usage, chat)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ABSTENTION, "declines to answer"),
        ("thing1 is here " * 20, "too long"),
        ("nothing of it", "not out of the passage"),
    ],
)
def test_each_bad_answer_is_dropped_for_its_reason(text: str, reason: str, tmp_path: Path, scripted: Scripted) -> None:
    from harness.stages.shared.answer_writers import ServedAnswerer, WritingSettings

    scripted(lambda ask: text)
    answerer = ServedAnswerer(PROMPTS["instruct"], WritingSettings(passage_tokens=50, max_new_tokens=16, batch_size=2))
    assert answerer.write([("what is 1", "the answer number 1 is thing1 here")], silent) == [None]
    assert answerer.usage().notes[f"answers dropped: {reason}"] == 1


def test_an_endpoint_that_fails_most_answers_ends_the_stage(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: OSError("HTTP 500"))
    with pytest.raises(ValueError, match=r"\d of \d answers failed, more than half \(the first: HTTP 500\)"):
        instructed(tmp_path)


def test_an_endpoint_belongs_to_answers_by_an_llm() -> None:
    with pytest.raises(ValidationError, match="'endpoint' belongs to 'answers: llm'"):
        InstructSpec(answers="references", endpoint=ENDPOINT)


# answer

GENERATOR = Generator(model="llm:generator", max_new_tokens=6, passage_tokens=16, instruction="Be short.")
QUERIES = {"q1": "how is lime burned", "q2": "who carries mail", "q3": "what is laid"}


def asking(root: Path) -> dict[str, Path]:
    common.write_queries(folder(root, "queries"), QUERIES)
    common.write_contexts(folder(root, "contexts"), {"q1": ["d1", "d4"], "q2": ["d2"], "q3": []})
    return corpus(root) | {name: root / name for name in ("queries", "contexts")}


def reply_spec(**changes: Any) -> AnswerSpec:
    bare = ENDPOINT.model_copy(update={"prompts": {}})
    return AnswerSpec(**{"generator": GENERATOR, "context": 2, "source": "given", "endpoint": bare, **changes})


def test_the_endpoint_is_shown_what_a_local_generator_is_shown(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "\n in a kiln \nand more")
    usage = answer(reply_spec(), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    passages = ["Lime\nlime is burned in a kiln at night for 3 $", "a kiln for bread is no kiln for lime"]
    turn = question_turn(QUERIES["q1"], passages)
    assert chat.roles == ["generator"]  # type: ignore[attr-defined]
    assert chat.asks[0].messages == (Message("system", "Be short."), Message("user", turn))
    assert chat.asks[2].messages[1].content == question_turn(QUERIES["q3"], [])
    assert {ask.max_tokens for ask in chat.asks} == {6}
    found = common.read_answers(tmp_path / "out")
    assert {key: (one.text, one.context) for key, one in found.items()} == {
        "q1": ("in a kiln \nand more", ("d1", "d4")), "q2": ("in a kiln \nand more", ("d2",)),
        "q3": ("in a kiln \nand more", ()),
    }  # fmt: skip
    assert found["q1"].prompt_tokens > found["q3"].prompt_tokens > 0
    assert found["q1"].new_tokens == 7
    accounted(usage, chat)


def test_what_follows_a_stop_string_is_cut_off_at_an_endpoint_too(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: "\n in a kiln \nand more")
    answer(reply_spec().model_copy(update={"stop": ("\n",)}), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    found = common.read_answers(tmp_path / "out")
    assert {(one.text, one.new_tokens) for one in found.values()} == {("in a kiln", 4)}


def test_answers_do_not_depend_on_what_the_cache_knew(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "in a kiln")
    for name in ("first", "again"):
        answer(reply_spec(), asking(tmp_path), folder(tmp_path, name), 0, silent)
    assert chat.spent.known == 3
    first, again = ((tmp_path / name / "answers.jsonl").read_bytes() for name in ("first", "again"))
    assert first == again


def test_a_failed_question_has_no_answer_and_is_listed_with_its_reason(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: OSError("refused") if "mail" in ask.messages[-1].content else "yes")
    usage = answer(reply_spec(), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    assert set(common.read_answers(tmp_path / "out")) == {"q1", "q3"}
    assert load_jsonl(tmp_path / "out" / FAILED_FILE) == [{"query_id": "q2", "reason": "refused"}]
    assert usage.notes["answers"] + usage.notes["answers that failed"] == usage.units == chat.spent.asked == 3
    assert usage.notes["answers that failed: refused"] == 1


def test_no_answer_at_all_ends_the_stage(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: OSError("refused"))
    with pytest.raises(ValueError, match=r"none of 3 questions was answered \(the first: refused\)"):
        answer(reply_spec(), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    assert not (tmp_path / "out" / "answers.jsonl").exists()


def test_examples_are_turns_of_the_chat(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "yes")
    inputs = asking(tmp_path)
    common.write_queries(folder(tmp_path, "train_queries"), {"t1": "who lays slate", "t2": "how hot is it"})
    common.write_judgements(folder(tmp_path, "train_qrels"), {"t1": {"d3": 1}})
    common.write_references(folder(tmp_path, "train_references"), {
        "t1": Reference("t1", ("a roofer",), True, ()), "t2": Reference("t2", (), False, ("d2",)),
    })  # fmt: skip
    inputs |= {f"train_{name}": tmp_path / f"train_{name}" for name in ("queries", "qrels", "references")}
    answer(reply_spec(few_shot=2), inputs, folder(tmp_path, "out"), 0, silent)
    assert chat.asks[0].messages[:-1] == (
        Message("system", "Be short."),
        Message("user", question_turn("who lays slate", [CORPUS["d3"].content])),
        Message("assistant", "a roofer"),
        Message("user", question_turn("how hot is it", [CORPUS["d2"].content])),
        Message("assistant", ABSTENTION),
    )


def test_an_adapter_does_not_go_with_an_endpoint(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: "yes")
    with pytest.raises(ValueError, match="a generator at an endpoint takes no adapter"):
        answer(reply_spec(), {**asking(tmp_path), "adapter": tmp_path}, folder(tmp_path, "out"), 0, silent)


# probe


def probed(root: Path, count: int = 5) -> tuple[list[float], Usage]:
    given = Probe(stage="answer", queries=count, machine="here", reply=reply_spec())
    usage = probe(given, asking(root), folder(root, "out"), 0, silent)
    return json.loads((root / "out" / TIMES_FILE).read_text(encoding="utf-8")), usage


def test_a_probe_times_requests_that_nothing_knew(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "yes")
    times, usage = probed(tmp_path)
    probed(tmp_path)
    assert len(times) == usage.units == 5
    assert usage.llm_calls == 5 + WARM_UP
    assert all(value > 0 for value in times)
    assert chat.spent.known == 0
    assert len({ask.repeat for ask in chat.asks[:7]}) == 7
    assert all(0 <= ask.repeat < 2**31 for ask in chat.asks)
    passages = ["Lime\nlime is burned in a kiln at night for 3 $", "a kiln for bread is no kiln for lime"]
    assert chat.asks[0].messages[-1].content == question_turn(QUERIES["q1"], passages)


def test_a_probe_without_an_answer_fails_with_the_reason(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: OSError("HTTP 503"))
    with pytest.raises(ValueError, match="the generator did not answer: HTTP 503"):
        probed(tmp_path)
    assert not (tmp_path / "out" / TIMES_FILE).exists()
