"""Parts of nearly equal length: no text is lost, little is padded, and gradients are those of one piece."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.training.parts import PLACES, Limits, by_length, in_order, limits, split

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=9)
RULES = st.builds(Limits, st.none() | st.integers(1, 5), st.integers(0, 40))


def padded_tokens(part: list[int], lengths: list[int]) -> int:
    return max(lengths[place] for place in part) * len(part)


def cost(parts: list[list[int]], lengths: list[int], rule: Limits) -> int:
    return sum(padded_tokens(part, lengths) + rule.overhead for part in parts)


def largest(parts: list[list[int]], lengths: list[int]) -> int:
    return max(padded_tokens(part, lengths) for part in parts)


@given(LENGTHS, RULES)
def test_every_text_is_in_one_part_and_no_part_is_too_large(lengths: list[int], rule: Limits) -> None:
    parts = by_length(lengths, rule)
    assert sorted(place for part in parts for place in part) == list(range(len(lengths)))
    assert largest(parts, lengths) <= (rule.texts or len(lengths)) * max(lengths)
    longest = [max(lengths[place] for place in part) for part in parts]
    assert longest == sorted(longest)


@given(LENGTHS, RULES)
def test_no_other_cut_of_the_sorted_texts_costs_less(lengths: list[int], rule: Limits) -> None:
    order, count = sorted(range(len(lengths)), key=lambda place: lengths[place]), len(lengths)
    costs = []
    for cuts in range(count):
        for ends in combinations(range(1, count), cuts):
            bounds = [0, *ends, count]
            parts = [order[start:end] for start, end in pairwise(bounds)]
            if largest(parts, lengths) <= (rule.texts or count) * max(lengths):
                costs.append(cost(parts, lengths, rule))
    assert cost(by_length(lengths, rule), lengths, rule) == min(costs)


def test_texts_of_equal_length_stay_together_and_one_long_text_stands_alone() -> None:
    assert by_length([20] * 6, limits(None, "cpu")) == [[0, 1, 2, 3, 4, 5]]
    assert by_length([10, 500, 10, 10], limits(None, "cpu")) == [[0, 2, 3], [1]]
    # On a GPU a part costs as much as thousands of tokens.
    assert by_length([10, 500, 10, 10], limits(None, "cuda")) == [[0, 2, 3, 1]]
    assert by_length([], limits(None, "cpu")) == []


def padded(lengths: list[int], left: bool) -> dict[str, Any]:
    """Tokens as a tokenizer pads them: a text's tokens are its number plus one."""
    width = max(lengths)
    rows, mask = [], []
    for number, length in enumerate(lengths, start=1):
        text, rest = [number] * length, [0] * (width - length)
        rows.append(rest + text if left else text + rest)
        mask.append([0] * len(rest) + [1] * length if left else [1] * length + [0] * len(rest))
    return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask), "prompt_length": 3}


@given(LENGTHS, RULES, st.booleans(), st.integers(0, 5))
def test_a_part_has_the_tokens_of_its_texts_and_no_column_of_padding_alone(
    lengths: list[int], rule: Limits, left: bool, first: int
) -> None:
    parts = split(padded(lengths, left), first, rule)
    for part in parts:
        assert part["attention_mask"].any(dim=0).all()
        assert part["prompt_length"] == 3
        for row, mask, place in zip(part["input_ids"], part["attention_mask"], part[PLACES].tolist(), strict=True):
            number = place - first
            assert row[mask.bool()].tolist() == [number + 1] * lengths[number]
    vectors = torch.cat([part["input_ids"].amax(dim=1) for part in parts])
    if first == 0:
        assert in_order(vectors, parts).tolist() == list(range(1, len(lengths) + 1))


def test_tokens_that_expand_a_query_are_kept_though_attention_leaves_them_out() -> None:
    tokens = padded([2, 4], left=False)
    expansion = torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]])
    parts = split({**tokens, "query_expansion_positions": expansion}, 0, limits(1, "cpu"))
    assert [part["input_ids"].shape[1] for part in parts] == [3, 4]
    assert parts[0]["attention_mask"].tolist() == [[1, 1, 0]]


def test_tokens_that_are_not_padded_stay_as_they_are() -> None:
    tokens = {"input_ids": torch.arange(5), "offsets": torch.tensor([0, 2])}
    assert split(tokens, 0, limits(2, "cpu")) == [tokens]
    vectors = torch.rand(2, 3)
    assert torch.equal(in_order(vectors, [tokens]), vectors)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_every_device_has_limits(device: str) -> None:
    assert limits(3, device).texts == 3
    assert limits(None, device).overhead > 0
