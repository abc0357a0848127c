"""Names that MLflow accepts: valid, short, and as different as what they stand for."""

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tracking.names import CUT, MOST_NAME, accepted, cut, renamed

VALID = re.compile(r"[/\w.\- ]+")
NAMES = st.lists(st.text(alphabet=st.one_of(st.sampled_from("aA@/. _-é\0"), st.characters())), max_size=12)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("ndcg@10", "ndcg_at_10"),
        ("gain/ndcg@10", "gain/ndcg_at_10"),
        ("pipeline.retriever.model", "pipeline.retriever.model"),
        ("dataset.columns.Frage: Größe", "dataset.columns.Frage_ Gr__e"),
        ("/a//../b/", "a/__/b"),
        ("日本", "__"),
        ("", "_"),
    ],
)
def test_names_stay_readable(name: str, sent: str) -> None:
    assert accepted([name]) == {name: sent}


@given(NAMES)
def test_names_are_valid_and_differ(names: list[str]) -> None:
    sent = accepted(names)
    assert set(sent) == set(names)
    for name in sent.values():
        assert VALID.fullmatch(name)
        assert name.isascii()
        assert posixpath.normpath(name) == name
        assert not name.startswith(("/", ".."))
        assert len(name) <= MOST_NAME
    assert len({name.casefold() for name in sent.values()}) == len(sent)


def test_names_do_not_depend_on_what_was_sent_before() -> None:
    """Those that keep their letters, at least: a second run finds its parameters under the same names."""
    assert accepted(["a@b", "a_at_b"]) == accepted(["a@b", "a_at_b"])
    assert accepted(["a" * 400])["a" * 400] == accepted(["b", "a" * 400])["a" * 400]


@given(st.text(max_size=700), st.integers(20, 600))
def test_values_are_cut_with_a_mark(text: str, most: int) -> None:
    short = cut(text, most)
    assert len(short) <= most
    assert short == text.replace("\0", " ") or (short.endswith(CUT) and len(text) > most)


def test_what_is_no_unicode_is_replaced() -> None:
    assert cut("a\udc80b", 10) == "a?b"
    assert renamed({"x\udc80": "\udc80"}, 10) == {"x_": "?"}
