"""The loss of a generator's training, and its gradients for a step of examples that begin alike.

Only completions carry loss, so logits are computed only there. The prompts of a step share a prefix (instruction,
solved examples): attention is causal, so what the model computes of the prefix is the same for every example, and it is
computed once for the step, forwards and backwards. This module must not know prompts, recipes or trainers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

IGNORED = -100
"""The label of a token that carries no loss."""
SHORTEST_PREFIX = 8
"""Tokens of a shared prefix below which sharing it costs more than it saves."""
LENGTH_DEPENDENT = ("dynamic", "longrope")
"""Kinds of rotary positions that depend on the length of the whole sequence."""


def completion_loss(model: Any, inputs: Any, tokens: Any = None, cache: Any = None) -> Any:
    """Return the cross-entropy of the labelled tokens, summed and divided by `tokens`, by default by their number.

    `inputs` holds `input_ids`, `attention_mask` and `labels`, each of shape (batch, tokens); labels of `IGNORED` carry
    no loss. Logits are computed only at places where some row has a label. `cache` holds keys and values of what stands
    before the inputs; the mask covers both.
    """
    from torch.nn import functional

    labels = inputs["labels"][:, 1:]
    places = (labels != IGNORED).any(dim=0).nonzero().squeeze(-1)
    read = model(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=cache is not None,
        past_key_values=cache, logits_to_keep=places,
    )  # fmt: skip
    wanted = labels[:, places].flatten()
    logits = read.logits.flatten(0, 1).float()
    total = functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
    return total / ((wanted != IGNORED).sum() if tokens is None else tokens)


def add_gradients(model: Any, inputs: Any, tokens: Any = None) -> Any:
    """Add the gradients of `completion_loss` of a batch to the model's, and return the loss, without a graph.

    One example is in memory at a time, without padding, and one shared prefix. The gradients are those of the whole
    batch, up to rounding.
    """
    import torch

    rows = [_without_padding(inputs, number) for number in range(len(inputs["input_ids"]))]
    if tokens is None:
        tokens = (inputs["labels"][:, 1:] != IGNORED).sum()
    size = shared_prefix(rows) if len(rows) > 1 and can_share(model) else 0
    prefix = _Prefix.read(model, rows[0]["input_ids"][:, :size]) if size else None
    total = torch.zeros((), device=inputs["input_ids"].device)
    for row in rows:
        if prefix is None:
            loss = completion_loss(model, row, tokens)
        else:
            own = {name: value if name == "attention_mask" else value[:, size:] for name, value in row.items()}
            loss = completion_loss(model, own, tokens, prefix.cache())
        loss.backward()
        total += loss.detach()
    if prefix is not None:
        prefix.backward()
    return total


def _without_padding(inputs: Any, number: int) -> dict[str, Any]:
    kept = inputs["attention_mask"][number].bool()
    return {name: inputs[name][number][kept][None] for name in ("input_ids", "attention_mask", "labels")}


def shared_prefix(rows: Sequence[Any]) -> int:
    """Return how many tokens all rows begin with, so that each keeps the place before its first label; 0 if too few."""
    first = rows[0]["input_ids"][0]
    most = min(int((row["labels"][0] != IGNORED).nonzero()[0]) - 1 for row in rows)
    alike = 0
    if most >= SHORTEST_PREFIX:
        differs = [(row["input_ids"][0, :most] != first[:most]).nonzero() for row in rows[1:]]
        alike = min((int(places[0]) if len(places) else most for places in differs), default=most)
    return alike if alike >= SHORTEST_PREFIX else 0


def can_share(model: Any) -> bool:
    """Whether the model computes a prefix the same whatever follows it: nothing is dropped out at random there."""
    import torch

    config = model.config.get_text_config()
    rotary = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    dropped = any(isinstance(module, torch.nn.Dropout) and module.p for module in model.modules())
    dropped = dropped or bool(getattr(config, "attention_dropout", 0.0))
    return not dropped and rotary.get("rope_type") not in LENGTH_DEPENDENT


class _Prefix:
    """Keys and values of a prefix: computed once, read by every example, and sent their gradients at the end."""

    @classmethod
    def read(cls, model: Any, tokens: Any) -> _Prefix | None:
        """Let the model read a prefix; None if it keeps anything but the keys and values of attention."""
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        known = (DynamicLayer, DynamicSlidingWindowLayer)
        output = model(input_ids=tokens, use_cache=True, logits_to_keep=1)
        layers = getattr(output.get("past_key_values"), "layers", None)
        usual = layers and all(type(layer) in known and layer.is_initialized for layer in layers)
        return cls(output.past_key_values) if usual else None

    def __init__(self, computed: Any) -> None:
        self._computed = computed
        self._read = [
            tuple(state.detach().requires_grad_() for state in (layer.keys, layer.values))
            for layer in self._computed.layers
        ]

    def cache(self) -> Any:
        """Return a cache that begins with the prefix; what is added to it is added to no other."""
        cache = copy.copy(self._computed)
        cache.layers = [copy.copy(layer) for layer in self._computed.layers]
        for layer, (keys, values) in zip(cache.layers, self._read, strict=True):
            layer.keys, layer.values = keys, values
        return cache

    def backward(self) -> None:
        """Add the gradients that the examples have of the prefix."""
        import torch

        states = [
            (state, read.grad)
            for layer, pair in zip(self._computed.layers, self._read, strict=True)
            for state, read in zip((layer.keys, layer.values), pair, strict=True)
            if state.requires_grad and read.grad is not None
        ]
        torch.autograd.backward([state for state, _ in states], [gradient for _, gradient in states])
