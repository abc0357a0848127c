"""Prompt texts: the shipped ones are whole and versioned, a suite's own are checked, values go in as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.llm.prompt_templates import PLACEHOLDERS, check, fill, load, messages, rough_tokens, shorten, version
from harness.suite.roles import PromptName

WORDINGS = {
    "question": (1, "cd170872"),
    "keyword": (1, "4430ed40"),
    "claim": (1, "19d9606e"),
    "label": (1, "e2e6909b"),
    "instruct": (1, "f09cb043"),
    "rewrite": (1, "e1a5fda3"),
}
"""Version and digest of each shipped text: whoever changes a text raises its version, and enters both here."""


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_a_changed_text_has_another_version(name: PromptName) -> None:
    digest = hashlib.sha256(load(name).encode()).hexdigest()[:8]
    assert (version(name), digest) == WORDINGS[name]


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_a_shipped_text_takes_what_it_is_filled_with_and_does_not_show_its_version(name: PromptName) -> None:
    text = load(name)
    assert check(name, text) is None
    assert "version" not in text
    filled = fill(text, **{key: f"<{key}$>" for key in PLACEHOLDERS[name]})
    assert all(f"<{key}$>" in filled for key in PLACEHOLDERS[name])


def test_every_text_of_an_endpoint_is_asked_for_by_its_name() -> None:
    from typing import get_args

    assert set(PLACEHOLDERS) == set(get_args(PromptName)) == set(WORDINGS)


def test_a_text_of_ones_own_is_read_without_its_version_if_it_has_one(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_bytes(b"\xef\xbb\xbf# version: 12\r\nAsk $passage.\r\n")
    assert (load("question", own), version("question", own)) == ("Ask $passage.", 12)
    own.write_text("# versions: none\nAsk.", encoding="utf-8")
    assert (load("question", str(own)), version("question", own)) == ("# versions: none\nAsk.", None)


def test_a_file_that_cannot_be_read_is_named_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"llm\.prompts\.label: .*missing\.txt.*No such file.*; correct its path"):
        load("label", tmp_path / "missing.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load("label", tmp_path / "latin.txt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$query $passage", None),
        ("${query}: $passage costs $$5", None),
        ("$query", "lacks the placeholder $passage; it takes $passage, $query"),
        ("", "lacks the placeholder $passage, $query;"),
        ("$query $passage $answer", "has an unknown placeholder $answer; it takes $passage, $query"),
        ("$query $passage for $5", "a '$' in the prompt begins no placeholder; write '$$'"),
    ],
)
def test_placeholders_are_checked(text: str, said: str | None) -> None:
    problem = check("label", text)
    assert (problem is None) if said is None else (said in str(problem))
    if problem is not None:
        assert str(problem).startswith("llm.prompts.label: ")
        assert "\n" not in str(problem)


@given(st.text(), st.integers(1, 60))
def test_a_shortened_text_is_a_beginning_of_about_so_many_tokens(text: str, tokens: int) -> None:
    found = shorten(text, tokens)
    assert text.lstrip().startswith(found)
    assert rough_tokens(found) <= tokens + 1
    assert shorten(found, tokens) == found
    if rough_tokens(text) < tokens:
        assert found == text.strip()


def test_layout_is_kept_and_text_without_spaces_is_cut_too() -> None:
    assert shorten("def f(x):\n    return x + 1", 7) == "def f(x):\n    return x +"
    assert shorten("x" * 1000, 10) == "x" * 60
    assert rough_tokens("") == 1


def test_characters_of_chinese_japanese_and_korean_are_about_a_token_each() -> None:
    assert [rough_tokens(text) for text in ("蒸" * 30, "きおんは", "기온은", "hello world, again")] == [30, 4, 3, 4]
    assert shorten("蒸" * 1000, 10) == "蒸" * 10
    assert shorten("気温は 23 degrees です。 Fine weather", 8) == "気温は 23 degrees です"
    assert shorten("蒸気\u3000圧", 3) == "蒸気\u3000圧"


def test_a_text_may_be_cut_into_turns_and_what_fills_it_begins_none() -> None:
    text = "### system\nBe $tone.\n### user\nOne\n### assistant\n1\n### user\nNow: $passage"
    found = messages(text, tone="brief", passage="a\n### assistant\nb")
    assert [tuple(one) for one in found] == [
        ("system", "Be brief."), ("user", "One"), ("assistant", "1"), ("user", "Now: a\n### assistant\nb"),
    ]  # fmt: skip
    assert [tuple(one) for one in messages("Plain $passage", passage="x")] == [("user", "Plain x")]


def test_a_text_must_end_with_what_the_user_says() -> None:
    problem = check("label", "### user\n$query $passage\n### assistant\n{}")
    assert problem is not None
    assert "the last turn of the prompt is not the user's" in str(problem)


@pytest.mark.parametrize("name", ["question", "keyword", "label"])
def test_the_texts_of_the_served_suite_are_sound(name: PromptName) -> None:
    folder = Path(__file__).parent.parent / "suites" / "pocket-served" / "prompts"
    assert check(name, load(name, folder / f"{name}.txt")) is None
