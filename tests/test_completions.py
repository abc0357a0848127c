"""The gradients of a step whose prompts begin alike are those of the examples one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.training.completions import (
    IGNORED,
    SHORTEST_PREFIX,
    _Prefix,
    add_gradients,
    can_share,
    completion_loss,
    shared_prefix,
)

PREFIX = list(range(5, 5 + 14))
SUFFIXES = [([31, 7, 40, 22, 9], [50, 51, 2]), ([8, 8, 33], [52, 2]), ([31, 7, 12, 44, 45, 46, 47], [53])]
"""Prompts behind the prefix, of several lengths, with their completions."""


def model_of(kind: str, **changes: Any) -> Any:
    """Three layers with an adapter whose two halves are both random, so that every gradient counts."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    sizes = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "pad_token_id": 0, **changes,
    }  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**sizes)
    torch.manual_seed(0)
    base = getattr(transformers, f"{kind}ForCausalLM")(config)
    settings = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    # In float64, so that the order of sums does not matter; logits are float32, as in a training.
    return get_peft_model(base, settings).double().train()


def batch(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> dict[str, Any]:
    """A batch padded on the right, as the trainer's collator makes it."""
    import torch

    width = max(len(prompt) + len(done) for prompt, done in zip(prompts, completions, strict=True))
    rows = [([*prompt, *done], len(prompt)) for prompt, done in zip(prompts, completions, strict=True)]
    return {
        "input_ids": torch.tensor([row + [0] * (width - len(row)) for row, _ in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in rows]),
        "labels": torch.tensor([[IGNORED] * size + row[size:] + [IGNORED] * (width - len(row)) for row, size in rows]),
    }


def alike(prefix: Sequence[int] = PREFIX) -> dict[str, Any]:
    return batch([[*prefix, *prompt] for prompt, _ in SUFFIXES], [done for _, done in SUFFIXES])


def gradients(model: Any) -> dict[str, Any]:
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    return found


def compare(model: Any, inputs: dict[str, Any], tokens: Any = None) -> None:
    whole = completion_loss(model, inputs, tokens)
    whole.backward()
    wanted = gradients(model)
    loss = add_gradients(model, inputs, tokens)
    found = gradients(model)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    assert found.keys() == wanted.keys()
    assert len(found) >= 2 * 7 * 3
    for name, value in wanted.items():
        largest = value.abs().max()
        assert largest > 0, name
        assert (found[name] - value).abs().max() <= 1e-5 * largest.clamp(min=1e-3), name


@pytest.mark.parametrize("kind", ["Llama", "Qwen3", "Mistral"])
def test_a_shared_prefix_leaves_the_gradients_equal(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = model_of(kind), alike()
    compare(model, inputs)
    compare(model, inputs, 11)
    # The prefix is read once, every example behind it.
    read: list[int] = []
    real = type(model.base_model.model.model).forward

    def recorded(self: Any, *arguments: Any, **options: Any) -> Any:
        read.append(options["input_ids"].shape[1])
        return real(self, *arguments, **options)

    monkeypatch.setattr(type(model.base_model.model.model), "forward", recorded)
    add_gradients(model, inputs)
    assert read == [len(PREFIX), *(len(prompt) + len(done) for prompt, done in SUFFIXES)]


def test_prompts_without_a_common_prefix_are_read_whole() -> None:
    compare(model_of("Llama"), alike(PREFIX[: SHORTEST_PREFIX - 1]))


def test_a_single_example_is_read_whole() -> None:
    compare(model_of("Llama"), batch([[*PREFIX, 7, 8]], [[50, 2]]))


def test_every_example_keeps_the_place_before_its_first_label() -> None:
    """One prompt is the beginning of another: its last token predicts the completion, so it is not in the prefix."""
    inputs = batch([PREFIX, [*PREFIX, 30, 31], [*PREFIX, 40]], [[50, 2], [51, 2], [52]])
    rows = [{name: value[number : number + 1] for name, value in inputs.items()} for number in range(3)]
    assert shared_prefix(rows) == len(PREFIX) - 1
    compare(model_of("Llama"), inputs)
    compare(model_of("Llama"), batch([PREFIX, PREFIX], [[50, 2], [51, 2]]))


def test_what_depends_on_more_than_the_prefix_is_not_shared() -> None:
    assert can_share(model_of("Llama"))
    assert not can_share(model_of("Llama", attention_dropout=0.1))
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert not can_share(model_of("Llama", rope_parameters=scaled))


def test_a_window_shorter_than_the_prompt_may_be_shared() -> None:
    compare(model_of("Mistral", sliding_window=6), alike())
    compare(model_of("Mistral", sliding_window=20), alike())


def test_a_model_that_keeps_other_states_reads_every_prompt_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = model_of("Llama"), alike()
    assert _Prefix.read(model, inputs["input_ids"][:1, :9]) is not None
    monkeypatch.setattr("transformers.cache_utils.DynamicLayer", type("Other", (), {}))
    assert _Prefix.read(model, inputs["input_ids"][:1, :9]) is None
    compare(model, inputs)
