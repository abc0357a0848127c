"""Equal content has an equal digest, and nothing else has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.hashing import KEY_LENGTH, canonical_json, digest_file, digest_of

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé€")
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner))


def test_the_digest_never_changes() -> None:
    """Keys of existing stores and accepted scores hang on it."""
    text = '{"a":[1,2.5,null],"b":"\u00e9"}'
    assert canonical_json({"b": "\u00e9", "a": [1, 2.5, None]}) == text
    assert digest_of({"b": "\u00e9", "a": (1, 2.5, None)}) == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert KEY_LENGTH == 32


@given(st.dictionaries(st.text("abc"), VALUES, max_size=4))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert digest_of(dict(reversed(list(value.items())))) == digest_of(value)


@given(st.lists(st.text("ab,\"[]'", max_size=4), max_size=3), st.lists(st.text("ab,\"[]'", max_size=4), max_size=3))
def test_other_content_has_another_digest(one: list[str], other: list[str]) -> None:
    assert (digest_of(one) == digest_of(other)) == (one == other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_has_no_one_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_of(value)


def test_a_file_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"same")
    assert digest_file(tmp_path / "a.txt") == hashlib.sha256(b"same").hexdigest()
