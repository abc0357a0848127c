"""Parts of decoding: the tensors of a batch, the choice of the next tokens, and the tokens that end a text.

Must not know prompts, thoughts or conversations.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


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
