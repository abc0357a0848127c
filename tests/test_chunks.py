"""Chunks of a text: laws for any text, and what a reader expects of a known one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.text.chunks import Piece, above, headings, split, token_spans, words

KINDS = ("tokens", "sentences", "headings")
WORD = st.sampled_from(
    ["one", "Two", "three.", "four!", "\n\n", "\n", "## Head\n", "# T\n", "```\n", "漢字", "e.g.", " ", "x" * 30]
)
TEXT = st.one_of(st.text(max_size=300), st.lists(WORD, max_size=80).map(" ".join))
GUIDE = (
    "# Guide\n\nIntro text here. More text.\n\n## Install\n\n### On Linux\n\nRun pip. Then run it again until it works."
    "\n\n```\n# no heading\n```\n\n## Use\n\nCall it."
)


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, int, int]:
    tokens = draw(st.integers(1, 40))
    return draw(st.sampled_from(KINDS)), tokens, draw(st.integers(0, tokens - 1))


@given(TEXT, rules())
@example("", ("tokens", 1, 0))
@example("a\n# b\nc", ("headings", 1, 0))
def test_chunks_cover_every_character_in_order(text: str, rule: tuple[str, int, int]) -> None:
    pieces = split(text, *rule)
    assert pieces[0].start == 0
    assert pieces[-1].end == len(text)
    for before, after in pairwise(pieces):
        assert before.start < after.start <= before.end < after.end


@given(TEXT, rules())
def test_a_chunk_has_no_more_tokens_than_it_may(text: str, rule: tuple[str, int, int]) -> None:
    by, tokens, overlap = rule
    spans = token_spans(text, words)
    for piece in split(text, by, tokens, overlap):
        assert sum(piece.start <= start < piece.end for start, _ in spans) <= tokens


@given(TEXT, rules())
@example("0 0:0", ("sentences", 3, 1))
def test_an_overlap_is_no_longer_than_it_may(text: str, rule: tuple[str, int, int]) -> None:
    pieces, spans = split(text, *rule), token_spans(text, words)
    for before, after in pairwise(pieces):
        shared = sum(after.start <= start < before.end for start, _ in spans)
        # A window may begin earlier, so that it begins with a whole word.
        assert shared <= 2 * rule[2]


def byte_tokens(text: str) -> list[tuple[int, int]]:
    """As a byte-level tokenizer has them: a token a byte, white space too; those of a character share its place."""
    return [(place, place + 1) for place, letter in enumerate(text) for _ in letter.encode("utf-8", "replace")]


@given(st.text(max_size=120), rules())
@example("\N{WAVING HAND SIGN}" * 9, ("tokens", 5, 2))
@example("00\x80\x80\x80", ("tokens", 6, 5))
@example("\n" * 40 + "a" + " " * 40, ("tokens", 8, 0))
def test_a_character_of_several_tokens_is_not_cut(text: str, rule: tuple[str, int, int]) -> None:
    by, tokens, overlap = rule
    pieces = split(text, by, tokens, overlap, byte_tokens)
    assert (pieces[0].start, pieces[-1].end) == (0, len(text))
    for before, after in pairwise(pieces):
        assert before.start < after.start <= before.end < after.end
    for piece in pieces:
        shown = text[piece.start : piece.end]
        assert shown.strip() or len(pieces) == 1
        # White space at the ends is not shown, and one character may have more tokens than a chunk.
        assert len(byte_tokens(shown.strip())) <= max(tokens, 4)


@given(TEXT, st.integers(1, 40))
def test_without_overlap_chunks_join_to_the_text(text: str, tokens: int) -> None:
    for by in KINDS:
        assert "".join(text[piece.start : piece.end] for piece in split(text, by, tokens)) == text


@given(TEXT)
def test_a_short_text_is_one_chunk(text: str) -> None:
    whole = [Piece(0, len(text), ())]
    for by in ("tokens", "sentences"):
        assert split(text, by, max(1, len(words(text)))) == whole


@given(TEXT, st.integers(1, 12))
def test_no_chunk_crosses_a_heading(text: str, tokens: int) -> None:
    found = headings(text)
    for piece in split(text, "headings", tokens):
        inside = [one for one in found if piece.start < one.start < piece.end and text[piece.start : one.start].strip()]
        for heading in inside:
            # What stands before a heading in its chunk is nothing but the headings above it.
            lines = [line for line in text[piece.start : heading.start].splitlines() if line.strip()]
            assert all(line.lstrip().startswith("#") for line in lines)


def test_headings_name_the_sections_above() -> None:
    found = headings(GUIDE)
    assert [(one.level, one.title) for one in found] == [(1, "Guide"), (2, "Install"), (3, "On Linux"), (2, "Use")]
    assert above(found, GUIDE.index("Run pip")) == ("Guide", "Install", "On Linux")
    assert above(found, GUIDE.index("## Use")) == ("Guide",)
    assert above(found, 0) == ()


def test_a_heading_without_text_stays_with_the_one_below() -> None:
    pieces = split(GUIDE, "headings", 40)
    texts = [GUIDE[piece.start : piece.end] for piece in pieces]
    assert texts[1].startswith("## Install\n\n### On Linux\n\nRun pip.")
    assert texts[-1] == "## Use\n\nCall it."


def test_sentences_are_whole_across_hard_wrapped_lines() -> None:
    text = "The first sentence is\nwrapped by hand. The second one\nis wrapped, too. A third."
    texts = [text[piece.start : piece.end].strip() for piece in split(text, "sentences", 8)]
    assert texts == ["The first sentence is\nwrapped by hand.", "The second one\nis wrapped, too.", "A third."]


def test_windows_begin_with_whole_words() -> None:
    def halves(text: str) -> list[tuple[int, int]]:
        return [(place, place + 1) for place, letter in enumerate(text) if not letter.isspace()]

    text = "alpha beta gamma delta"
    assert [text[piece.start : piece.end] for piece in split(text, "tokens", 12, 0, halves)] == [
        "alpha beta ",
        "gamma delta",
    ]


def test_an_overlap_as_long_as_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 7, below the 8 tokens"):
        split("text", "tokens", 8, 8)


def test_a_long_text_without_white_space_is_cut() -> None:
    text = "漢" * 100_000
    pieces = split(text, "tokens", 100, 10, lambda part: [(place, place + 1) for place in range(len(part))])
    assert len(pieces) == 1_111
    assert pieces[-1].end == len(text)


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("Title\n=====\n\nText.\n\nPart\n----\n\nMore.", ["Title", "Part"]),
        ("# A\n\n````\n```\n# code\n````\n\n# B", ["A", "B"]),
        ("# A\n\n```\n```python\n# code\n```\n\n# B", ["A", "B"]),
        ("# A\n\n~~~\n# code\n```\n# code\n~~~\n## B", ["A", "B"]),
        ("---\ntitle: x\nauthor: y\n---\n\n# A", ["A"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\n- item\n---\n", []),
        ("#tag and #other\n\n####### seven\n\n    # indented code\n", []),
        ("Two lines of\na paragraph\n---\n", []),
        ("   ### Three blanks ###\n\n#\n\ntext", ["Three blanks", ""]),
    ],
)
def test_headings_are_those_of_markdown(text: str, titles: list[str]) -> None:
    found = headings(text)
    assert [one.title for one in found] == titles
    assert all(text[one.start :].startswith(one.title or "#") or text[one.start] == "#" for one in found)
