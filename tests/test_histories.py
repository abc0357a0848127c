"""The turns before a query: one reading is read and counted, two or none are refused with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from beir_folders import QUERIES, load, problems_of, write
from hypothesis import given
from hypothesis import strategies as st
from repaired_folders import counts

from harness.data.histories import before, read_history
from harness.data.objects import RawRow
from harness.errors import Problem
from harness.values.records import Turn
from harness.values.repairs import Repairing

ASKED = "What holds the warp?"
PAIR = [Turn("user", "What is weaving?"), Turn("assistant", "Warp and weft.")]
PLAIN = [{"role": "user", "content": "What is weaving?"}, {"role": "assistant", "content": "Warp and weft."}]
LAST = {"role": "user", "content": ASKED}


def read(**fields: Any) -> tuple[tuple[Turn, ...], dict[str, int], list[Problem]]:
    """The turns before `ASKED` in a line with these fields, the repairs by kind, and the problems."""
    problems, repairing = list[Problem](), Repairing()
    row = RawRow("q1", {"_id": "q1", "text": ASKED, **fields}, "queries.jsonl:1")
    turns = before(read_history(row, problems, repairing), ASKED, row.where, repairing)
    return turns, repairing.counts, problems


def test_the_form_of_the_harness_is_read_without_a_word(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, queries=[{**QUERIES[0], "history": PLAIN}, *QUERIES[1:]]))
    test = dataset.splits["test"]
    assert test.queries["q1"].history == tuple(PAIR)
    assert test.histories == {"q1": tuple(PAIR)}
    assert dataset.repairs == ()


@pytest.mark.parametrize("nothing", [[], None, "", float("nan")])
def test_an_empty_history_is_none(nothing: Any) -> None:
    assert read(history=nothing) == ((), {}, [])


FORMS: dict[str, Any] = {
    "strings in turn": ["What is weaving?", "Warp and weft."],
    "strings with speakers": ["user: What is weaving?", "agent: Warp and weft."],
    "MTRAG": [{"speaker": "user", "text": "What is weaving?"}, {"speaker": "agent", "text": "Warp and weft."}],
    "ShareGPT": [{"from": "human", "value": "What is weaving?"}, {"from": "gpt", "value": "Warp and weft."}],
    "LangChain": [
        {"type": "human", "data": {"content": "What is weaving?"}},
        {"type": "ai", "data": {"content": "Warp and weft."}},
    ],
    "pairs": [["What is weaving?", "Warp and weft."]],
    "rounds": [{"question": "What is weaving?", "answer": "Warp and weft."}],
    "lines": "User: What is weaving?\nAssistant: Warp and weft.",
    "bars": "|user|: What is weaving?\n|agent|: Warp and weft.",
    "JSON in a text": json.dumps(PLAIN),
    "an object": {"messages": PLAIN},
    "parts": [
        {"role": "user", "content": [{"type": "text", "text": "What is weaving?"}, {"type": "image_url", "url": {}}]},
        PLAIN[1],
    ],
    "a speaker called system": [
        {"speaker": "USER", "text": "What is weaving?"},
        {"speaker": "SYSTEM", "text": "Warp and weft."},
    ],
    "more keys": [{**PLAIN[0], "additional_kwargs": {"sources": ["x"] * 9}}, {**PLAIN[1], "id": 3}],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_are_read_and_counted(form: str) -> None:
    turns, repairs, problems = read(history=FORMS[form])
    assert (list(turns), problems) == (PAIR, [])
    assert repairs == ({} if form == "more keys" else {"other-history": 1})


@pytest.mark.parametrize("field", ["messages", "turns", "conversation", "chat_history"])
def test_other_fields_are_read_and_counted(field: str) -> None:
    turns, repairs, problems = read(**{field: PLAIN})
    assert (list(turns), repairs, problems) == (PAIR, {"other-history": 1}, [])


@pytest.mark.parametrize("identifier", ["c-17", 17, "thread: 4"])
def test_the_id_of_a_conversation_is_no_history(identifier: Any) -> None:
    assert read(conversation=identifier) == ((), {}, [])


def test_turns_of_systems_and_tools_are_left_out() -> None:
    others = [
        {"role": "system", "content": "Be brief."}, PLAIN[0],
        {"role": "assistant", "content": None, "tool_calls": [{}]}, {"role": "tool", "content": "[]"}, PLAIN[1],
    ]  # fmt: skip
    turns, repairs, problems = read(history=others)
    assert (list(turns), problems) == (PAIR, [])
    assert repairs["other-turn"] == 3


@pytest.mark.parametrize("last", [ASKED, f"  {ASKED.upper()}\n"])
def test_a_history_that_ends_with_the_query_is_read_up_to_it(last: str) -> None:
    turns, repairs, _ = read(history=[*PLAIN, {"role": "user", "content": last}])
    assert (list(turns), repairs) == (PAIR, {"query-in-history": 1})


def test_the_answer_to_the_query_is_not_shown() -> None:
    answered = [*PLAIN, LAST, {"role": "assistant", "content": "The loom."}]
    assert list(read(messages=answered)[0]) == PAIR
    # What the user asked before, and asks again, is what a history holds.
    assert list(read(history=answered)[0]) == [*PAIR, Turn("user", ASKED), Turn("assistant", "The loom.")]


def test_a_line_without_a_text_asks_what_its_last_turn_asks(tmp_path: Path) -> None:
    queries = [{"_id": "q1", "messages": [*PLAIN, LAST]}, *QUERIES[1:]]
    dataset = load(write(tmp_path, queries=queries))
    query = dataset.splits["test"].queries["q1"]
    assert (query.text, list(query.history)) == (ASKED, PAIR)
    assert counts(dataset) == {"other-history": 1}


REFUSED: dict[str, tuple[Any, str]] = {
    "a text": ("we spoke of weaving", "is a text, and no list of turns"),
    "a number": (3, "is no list of turns"),
    "an object": ({"user": "a"}, "is an object, and no list of turns"),
    "who begins": (["a", "b", "c"], "3 texts without roles do not say who begins and who ends"),
    "another role": ([{"role": "narrator", "content": "a"}], "role 'narrator' is neither the user's nor"),
    "no role": ([{"content": "a"}], "a turn has no 'role', but content"),
    "no text": ([{"role": "user", "txt": "a"}], "a turn has no 'content', but role, txt"),
    "a list of numbers": ([1, 2], "a turn is 1"),
    "broken JSON": ('[{"role": "user"', "is a text that begins like JSON and is none"),
    "an object as text": ([{"role": "user", "content": {"a": 1}}], 'the text of a turn is {"a": 1}'),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_has_no_reading_is_refused_with_its_line(form: str, tmp_path: Path) -> None:
    value, said = REFUSED[form]
    (problem,) = problems_of(write(tmp_path, queries=[QUERIES[0], {**QUERIES[1], "history": value}, *QUERIES[2:]]))
    assert problem.startswith(f"queries.jsonl:2: 'history': {said}")
    assert 'write "history": [{"role": "user"' in problem


def test_two_fields_that_could_be_the_history_are_refused() -> None:
    _, _, problems = read(messages=PLAIN, turns=PLAIN)
    assert [problem.what for problem in problems] == [
        "'messages': several fields could be the history ('messages', 'turns')"
    ]
    # One called history is the history.
    assert list(read(history=PLAIN, turns=PLAIN)[0]) == PAIR


def test_a_history_is_part_of_what_is_measured(tmp_path: Path) -> None:
    without = load(write(tmp_path / "a"))
    empty = load(write(tmp_path / "b", queries=[{**QUERIES[0], "history": []}, *QUERIES[1:]]))
    asked = load(write(tmp_path / "c", queries=[{**QUERIES[0], "history": PLAIN}, *QUERIES[1:]]))
    assert without.digests == empty.digests
    changed = {name for name in without.digests if without.digests[name] != asked.digests[name]}
    assert changed == {"test.queries"}


def test_conversations_are_groups(tmp_path: Path) -> None:
    queries = [
        {**row, "history": PLAIN, "metadata": {"conversation": f"c{number // 2}"}} for number, row in enumerate(QUERIES)
    ]
    groups = load(write(tmp_path, queries=queries), metadata="conversation").splits["test"].groups
    assert groups == {"q1": "c0", "q2": "c0", "q3": "c1"}


texts = (
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20).map(str.strip).filter(bool)
)
turns = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), texts), max_size=6)


@given(turns)
def test_what_is_written_is_read_again(said: list[Turn]) -> None:
    expected = (
        said[:-1] if said and said[-1].role == "user" and said[-1].content.casefold() == ASKED.casefold() else said
    )
    found, repairs, problems = read(history=[turn._asdict() for turn in said])
    assert (list(found), problems) == (expected, [])
    assert "other-history" not in repairs


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.sampled_from(["user", "user: a", "[", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "speaker", "text", "messages", "data", "question", "answer"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(values, st.sampled_from(["history", "messages", "turns", "conversation"]))
def test_any_value_is_read_or_refused(value: Any, field: str) -> None:
    found, _, problems = read(**{field: value})
    assert not (found and problems)
    assert all(turn.content.strip() and turn.role in ("user", "assistant") for turn in found)
