"""Attention in blocks of queries, and keys and values with room: the numbers and texts of transformers' own."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models import blockwise_attention, generation, language_models
from harness.models.blockwise_attention import attend, to_blockwise
from harness.models.roomy_cache import with_room

WORDS = ["lime", "kiln", "salt", "brine", "ash", "clay"]


def usual(query: Any, key: Any, value: Any, mask: Any, scale: float | None = None) -> Any:
    """Scaled dot product with keys and values copied for each group, as transformers computes it."""
    import torch

    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return attended.transpose(1, 2)


def case(rows: int, queries: int, before: int, heads: tuple[int, int], padding: int) -> tuple[Any, Any, Any, Any]:
    """Random queries, keys and values, and a causal mask whose first row is padded on the left."""
    import torch

    torch.manual_seed(rows + 7 * queries + 31 * before)
    query = torch.randn(rows, heads[0], queries, 8)
    key, value = (torch.randn(rows, heads[1], before + queries, 8) for _ in range(2))
    mask = torch.ones(queries, before + queries, dtype=torch.bool).tril(before).repeat(rows, 1, 1, 1)
    mask[0, :, :, before : before + min(padding, queries - 1)] = False
    return query, key, value, mask


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 3), queries=st.integers(2, 40), before=st.integers(0, 20), padding=st.integers(0, 10),
    heads=st.sampled_from([(2, 2), (6, 2), (3, 1)]), scale=st.sampled_from([None, 0.2]), block=st.integers(1, 16),
)  # fmt: skip
def test_blocks_attend_as_the_whole(
    rows: int, queries: int, before: int, padding: int, heads: tuple[int, int], scale: float | None, block: int
) -> None:
    import torch

    query, key, value, mask = case(rows, queries, before, heads, padding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blockwise_attention, "QUERIES", block)
        found, weights = attend(SimpleNamespace(), query, key, value, mask, scaling=scale)
    assert weights is None
    expected = usual(query, key, value, mask, scale)
    seen = mask.any(dim=-1).transpose(1, 2)[..., None]
    # What a padded query attends to is never read.
    assert torch.allclose(found.where(seen, 0), expected.where(seen, 0), atol=1e-5)
    assert torch.isfinite(found).all()


def test_a_mask_that_is_not_causal_is_kept() -> None:
    import torch

    query, key, value, mask = case(2, 20, 3, (6, 2), 0)
    mask[:, :, :, -1] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blockwise_attention, "QUERIES", 4)
        found, _ = attend(SimpleNamespace(), query, key, value, mask)
    assert torch.allclose(found, usual(query, key, value, mask), atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"softcap": 3.0}, {"dropout": 0.1}, {"position_bias": "tensor"}, {"s_aux": "tensor"}, {"mask": "float"}]
)
def test_what_blocks_do_not_know_is_left_to_transformers(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers.integrations import sdpa_attention

    asked: list[dict[str, Any]] = []

    def theirs(module: Any, *tensors: Any, **settings: Any) -> Any:
        asked.append(settings)
        return tensors[0], None

    monkeypatch.setattr(sdpa_attention, "sdpa_attention_forward", theirs)
    query, key, value, mask = case(1, 5, 0, (2, 2), 0)
    given = {name: torch.ones(1) if value == "tensor" else value for name, value in change.items() if name != "mask"}
    attend(SimpleNamespace(), query, key, value, mask.float() if "mask" in change else mask, **given)
    assert len(asked) == 1
    # One query has nothing to its right.
    attend(SimpleNamespace(), query[:, :, -1:], key, value, mask[:, :, -1:])
    assert len(asked) == 2
    attend(SimpleNamespace(), query, key, value, mask, dropout=0.0, softcap=None)
    assert len(asked) == 2


def test_texts_are_those_of_plain_attention_and_of_a_plain_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.generator(tmp_path, WORDS, 16, 3)
    plain, tokenizer = language_models.load_language_model(tmp_path)
    blocks = to_blockwise(copy.deepcopy(plain))
    assert plain.config._attn_implementation == "sdpa"
    assert blocks.config._attn_implementation == blockwise_attention.NAME
    suffixes = [" ".join(WORDS[place:] + WORDS[:place] * place) for place in range(6)]
    sampling = generation.Sampling(12, batch_size=4)

    def texts(model: Any, prefix: str) -> list[str]:
        written = generation.write(generation.PromptPrefix(model, tokenizer, prefix), suffixes, sampling)
        return [text.text for text in written]

    monkeypatch.setattr(blockwise_attention, "QUERIES", 3)
    for prefix in ("", "salt kiln ash lime"):
        found = texts(blocks, prefix)
        with monkeypatch.context() as patch:
            patch.setattr(generation, "with_room", lambda cache, tokens: cache)
            assert found == texts(plain, prefix)
        assert len(set(found)) > 1


def test_a_generator_is_served_with_blocks(tmp_path: Path) -> None:
    tiny.generator(tmp_path, WORDS, 16, 3)
    model, _ = language_models.load_generator(tmp_path)
    assert model.config._attn_implementation == blockwise_attention.NAME
    model.config._attn_implementation = "eager"
    assert to_blockwise(model).config._attn_implementation == "eager"


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=8), room=st.integers(0, 9))
def test_a_cache_with_room_holds_what_the_plain_one_holds(steps: list[tuple[int, bool]], room: int) -> None:
    import torch
    from transformers import DynamicCache

    torch.manual_seed(room)
    start = torch.randn(6, 2, 5, 4)
    plain, roomy = DynamicCache(), DynamicCache()
    for cache in (plain, roomy):
        cache.update(start, start + 1, 0)
    assert with_room(roomy, room) is roomy
    for tokens, drop in steps:
        rows = plain.layers[0].keys.shape[0]
        if drop and rows > 1:
            kept = torch.arange(1, rows)
            plain.batch_select_indices(kept)
            roomy.batch_select_indices(kept)
            rows -= 1
        new = torch.randn(rows, 2, tokens, 4)
        expected, found = plain.update(new, new - 1, 0), roomy.update(new, new - 1, 0)
        assert all(map(torch.equal, found, expected))
        assert roomy.get_seq_length() == plain.get_seq_length()
        assert roomy.layers[0].get_mask_sizes(3) == plain.layers[0].get_mask_sizes(3)


def test_layers_of_other_kinds_stay() -> None:
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicSlidingWindowLayer

    cache = DynamicCache()
    cache.layers = [DynamicSlidingWindowLayer(sliding_window=4)]
    cache.update(torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4), 0)
    assert type(with_room(cache, 3).layers[0]) is DynamicSlidingWindowLayer
    assert with_room(None, 3) is None
