"""Turns under a budget: the query is never lost, the newest turns are kept, and templates get roles that alternate."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from stage_inputs import part, silent

from harness.llm.prompt_templates import rough_tokens, shorten
from harness.models.loaders import load_bi_encoder
from harness.stages.concatenate import ConcatenateSpec, Reader, concatenate
from harness.stages.shared import common
from harness.stages.shared.turns import alternating, concatenated, recent
from harness.values.records import Turn, Usage

words = st.lists(st.sampled_from(["the", "lime", "kiln", "ferry"]), min_size=1, max_size=9).map(" ".join)
turns = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), words), max_size=8)


def count(text: str) -> int:
    return len(text.split())


def cut(text: str, tokens: int) -> str:
    return " ".join(text.split()[:tokens])


@given(turns, words, st.none() | st.integers(0, 40))
def test_the_query_is_whole_and_last_and_what_comes_before_fits(
    said: list[Turn], query: str, limit: int | None
) -> None:
    text = concatenated(said, query, limit, count)
    *before, last = text.split("\n")
    users = [turn.content for turn in said if turn.role == "user"]
    assert last == query
    assert before == (users[len(users) - len(before) :] if before else [])
    assert limit is None or text == query or count(text) <= limit
    # One more would not fit.
    more = users[len(users) - len(before) - 1 :] if len(before) < len(users) else None
    assert more is None or (limit is not None and count(" ".join([*more, query])) > limit)


@given(turns, st.integers(0, 40))
def test_the_newest_turns_are_kept_within_the_budget(said: list[Turn], budget: int) -> None:
    kept = recent(said, budget, count, cut)
    assert sum(count(turn.content) for turn in kept) <= budget
    newest = said[len(said) - len(kept) :]
    assert [turn.role for turn in kept] == [turn.role for turn in newest]
    assert all(whole.content.startswith(turn.content) for turn, whole in zip(kept, newest, strict=True))


@given(st.lists(st.text(min_size=1, max_size=300), max_size=5), st.integers(0, 60))
def test_rough_counts_keep_the_budget_too(texts: list[str], budget: int) -> None:
    kept = recent([Turn("user", text) for text in texts], budget, rough_tokens, shorten)
    assert sum(rough_tokens(turn.content) for turn in kept) <= budget


def test_a_long_answer_leaves_room_for_its_question() -> None:
    said = [Turn("user", "why is lime burned"), Turn("assistant", "lime " * 500)]
    kept = recent(said, 40, count, cut)
    assert [(turn.role, count(turn.content)) for turn in kept] == [("user", 4), ("assistant", 20)]


@given(turns)
def test_roles_alternate_from_the_users_to_an_answer(said: list[Turn]) -> None:
    shown = alternating(said)
    assert [turn.role for turn in shown.turns] == ["user", "assistant"] * (len(shown.turns) // 2)
    first = next((place for place, turn in enumerate(said) if turn.role == "user"), len(said))
    # Nothing is lost but answers to nothing.
    whole = "\n\n".join([*(turn.content for turn in shown.turns), *([shown.asked] if shown.asked else [])])
    assert whole == "\n\n".join(turn.content for turn in said[first:])


# ---- the stage

QUERIES = {"q1": "how old is it", "q2": "what is tin", "q3": "and the roof of the mill " * 4}
SAID = (
    Turn("user", "where is the kiln"), Turn("assistant", "by the ferry"), Turn("user", "who built the kiln"),
    Turn("assistant", "the miller"),
)  # fmt: skip


def inputs_of(root: Path) -> dict[str, Path]:
    common.write_queries(part(root, "queries"), QUERIES)
    common.write_histories(part(root, "history"), {"q1": SAID, "q3": SAID})
    return {"queries": root / "queries", "history": root / "history"}


def joined(root: Path, reader: Reader | None) -> tuple[dict[str, str], Usage]:
    used = concatenate(ConcatenateSpec(reader=reader), inputs_of(root), part(root, "out"), 0, silent)
    return common.read_queries(root / "out"), used


def test_what_the_user_said_stands_before_the_query(tmp_path: Path) -> None:
    found, used = joined(tmp_path, None)
    assert found["q1"] == "where is the kiln\nwho built the kiln\nhow old is it"
    assert found["q2"] == QUERIES["q2"]
    assert list(found) == list(QUERIES)
    assert used.notes == {"queries": 3, "with earlier turns": 2, "some turns left out": 0}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vocabulary = {word for text in (*QUERIES.values(), *(turn.content for turn in SAID)) for word in text.split()}
    return tiny.bi_encoder(tmp_path_factory.mktemp("encoder"), sorted(vocabulary))


@pytest.mark.parametrize(("length", "pairs", "kept"), [(48, False, 2), (13, False, 1), (10, False, 0), (26, True, 1)])
def test_the_oldest_turns_go_first_where_the_model_would_not_read_the_query(
    length: int, pairs: bool, kept: int, encoder: Path, tmp_path: Path
) -> None:
    reader = Reader(model=str(encoder), kind="bi-encoder", max_length=length, pairs=pairs)
    found, used = joined(tmp_path, reader)
    assert found["q1"].split("\n") == ["where is the kiln", "who built the kiln", "how old is it"][2 - kept :]
    # q3 is longer than most limits by itself.
    assert found["q3"].endswith(QUERIES["q3"])
    model = load_bi_encoder(encoder, length)
    coded = model.tokenizer([found["q1"]], truncation=False)["input_ids"][0]
    assert len(coded) <= (length // 2 if pairs else length)
    assert used.notes["some turns left out"] == (kept < 2) + (length < 48)


def test_a_prompt_takes_its_tokens_from_the_turns(encoder: Path, tmp_path: Path) -> None:
    reader = Reader(model=str(encoder), kind="bi-encoder", max_length=13, prompt="what is the ")
    assert joined(tmp_path, reader)[0]["q1"] == QUERIES["q1"]
