"""Lists of systems in remarks: short however many systems there are, and nothing in them is untrue."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from harness.remarks import systems

labels = st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), unique=True, max_size=12)
ALL = {f"s{number}": (number, 20) for number in range(1, 10)}


def test_few_systems_are_all_named() -> None:
    assert systems.named(["a"]) == "a"
    assert systems.named(["a", "b"]) == "a and b"
    assert systems.named(["a", "b", "c", "d"]) == "a, b, c and d"
    assert systems.named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 others"


@given(labels)
def test_a_list_counts_every_system(names: list[str]) -> None:
    words = systems.named(names)
    others = re.search(r" and (\d+) others$", words)
    shown = words[: others.start()] if others else words
    listed = [word for word in re.split(r", | and ", shown) if word]
    assert listed == names[: len(listed)]
    assert len(listed) + (int(others[1]) if others else 0) == len(names)


def test_equal_values_are_written_once() -> None:
    values = {"a": 0.9, "b": 0.5, "c": 0.9}
    assert systems.by_value(values, lambda value: f"{value:g}") == "0.9 in a and c; 0.5 in b"


def test_counts_of_many_systems_are_a_range() -> None:
    assert systems.counts({"a": (1, 20), "b": (0, 20), "c": (3, 20)}) == "a 1 of 20 answers, c 3 of 20"
    assert systems.counts({"a": (0, 20)}) == ""
    assert systems.counts(ALL) == "in all 9 systems, from s1 1 of 20 to s9 9 of 20 answers"
    assert systems.counts({**ALL, "none": (0, 20)}) == "in 9 of 10 systems, from s1 1 of 20 to s9 9 of 20 answers"
