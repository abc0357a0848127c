"""Parts of decoding: which prompts make a batch, its tensors, the choice of the next tokens, and those that end a text.

Must not know prompts, thoughts or conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

TOKENS_ON_CPU = 8192
"""Tokens of a batch on a CPU: more rows are no faster there (measured with 135 M parameters on two cores)."""
CACHE_ON_CPU = 2**30
"""Most bytes of keys and values of a batch on a CPU."""
SHARE_ON_CUDA = 0.8
"""Share of the free memory of a GPU that a batch may take."""


def token_budget(model: Any) -> int:
    """Return how many tokens of a batch the memory holds: keys, values, and what one layer computes from a prompt.

    On CUDA it is a power of two, so that a little more or less free memory makes the same batches.
    """
    import torch

    config = model.config.get_text_config()
    size = next(model.parameters()).element_size()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cached: int = 2 * config.num_hidden_layers * heads * width * size
    if model.device.type != "cuda":
        return max(1, min(TOKENS_ON_CPU, CACHE_ON_CPU // cached))
    computed = size * (8 * config.hidden_size + 3 * (getattr(config, "intermediate_size", None) or config.hidden_size))
    free, _ = torch.cuda.mem_get_info(model.device)
    unused = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    tokens: int = int(SHARE_ON_CUDA * (free + unused)) // (cached + computed)
    return 1 << (max(tokens, 1).bit_length() - 1)


def batches(lengths: Sequence[int], max_tokens: int | None, max_rows: int | None) -> list[slice]:
    """Divide rows, longest first, into batches of at most `max_tokens`, padding included, and `max_rows` rows.

    A row that is longer than `max_tokens` is a batch of its own. None is no bound.
    """
    parts: list[slice] = []
    start = 0
    while start < len(lengths):
        by_tokens = len(lengths) if max_tokens is None else max(1, max_tokens // lengths[start])
        size = min(by_tokens, max_rows or by_tokens)
        parts.append(slice(start, min(start + size, len(lengths))))
        start += size
    return parts


def left_padded(suffixes: list[list[int]], prefix_length: int, device: Any) -> tuple[Any, Any]:
    """Return token ids, shape (batch, width), and the attention mask, shape (batch, prefix + width)."""
    import torch

    width = max(map(len, suffixes))
    ids = torch.tensor([[0] * (width - len(suffix)) + suffix for suffix in suffixes], device=device)
    real = torch.tensor([[0] * (width - len(suffix)) + [1] * len(suffix) for suffix in suffixes], device=device)
    return ids, torch.cat([torch.ones(len(suffixes), prefix_length, dtype=real.dtype, device=device), real], dim=1)


def choose(logits: Any, temperature: float, rng: Any) -> list[int]:
    """Return the next token of each row from logits of shape (batch, vocabulary); temperature 0 is greedy."""
    import torch

    if temperature == 0:
        chosen = logits.argmax(dim=-1)
    else:
        weights = torch.softmax(logits / temperature, dim=-1).cpu()
        chosen = torch.multinomial(weights, 1, generator=rng).squeeze(-1)
    tokens: list[int] = chosen.tolist()
    return tokens


def end_tokens(model: Any, tokenizer: Any, one_line: bool) -> set[int]:
    """Return the ids of tokens that end a text: the model's own, and for `one_line` all that hold a line break."""
    own = model.generation_config.eos_token_id
    ends = set(own) if isinstance(own, list) else {own, tokenizer.eos_token_id} - {None}
    return ends | _line_breaks(tokenizer) if one_line else ends


@lru_cache(maxsize=4)
def _line_breaks(tokenizer: Any) -> frozenset[int]:
    """Return the ids of tokens that hold a line break, found once in the whole vocabulary."""
    pieces = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(token for token, piece in enumerate(pieces) if "\n" in piece)
