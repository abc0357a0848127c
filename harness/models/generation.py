"""Writing with a local causal language model: batched, sorted by length, the shared prefix computed once.

The prompts of one stage begin alike (instruction, examples) and differ in a short tail. The prefix's keys and values
are computed once and copied to each batch, so a prompt costs its tail only; finished rows leave the batch. Batches
are cut from the list as given, so the same list gives the same texts on the same machine.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from harness.values.records import Progress


class Written(NamedTuple):
    """A text, with the tokens of its prompt (prefix included) and of the text."""

    text: str
    prompt_tokens: int
    new_tokens: int


class Sampling(NamedTuple):
    """How to write. Temperature 0 takes the likeliest token; `one_line` ends a text at the first line break."""

    max_new_tokens: int
    batch_size: int = 8
    temperature: float = 0.0
    one_line: bool = False
    seed: int = 0


def chat_parts(tokenizer: Any, system: str, turns: Sequence[tuple[str, str]]) -> str:
    """Return the shared head of a chat: the system message and finished (user, assistant) turns."""
    messages = [{"role": "system", "content": system}]
    for user, assistant in turns:
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False))


def chat_tail(tokenizer: Any, user: str) -> str:
    """Return what follows `chat_parts` to ask one more question."""
    marker = [{"role": "system", "content": ""}]
    head = str(tokenizer.apply_chat_template(marker, tokenize=False))
    whole = tokenizer.apply_chat_template(
        [*marker, {"role": "user", "content": user}], tokenize=False, add_generation_prompt=True
    )
    if not str(whole).startswith(head):
        raise ValueError("the generator's chat template is none that can be continued turn by turn; use another model")
    return str(whole).removeprefix(head)


def cut(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[str]:
    """Cut each text after `max_tokens` tokens."""
    if not texts:
        return []
    coded = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=max_tokens)["input_ids"]
    return [text.strip() for text in tokenizer.batch_decode(coded, skip_special_tokens=True)]


class Head:
    """The shared beginning of prompts, read by the model once. Hold on to it to write from it again."""

    def __init__(self, model: Any, tokenizer: Any, prefix: str) -> None:
        import torch

        self.model = model
        self.tokenizer = tokenizer
        self.tokens: list[int] = tokenizer(prefix, add_special_tokens=False)["input_ids"] if prefix else []
        self.cache = None
        if self.tokens:
            with torch.inference_mode():
                read = model(torch.tensor([self.tokens], device=model.device), use_cache=True, logits_to_keep=1)
            self.cache = read.past_key_values


def write(
    head: Head, tails: Sequence[str], sampling: Sampling, progress: Progress = lambda done, total: None
) -> list[Written]:
    """Continue ``head + tail`` for every tail.

    Tails that are equal are written once if the temperature is 0. Raises ValueError if a prompt is longer than the
    model's window.
    """
    import torch

    model, tokenizer = head.model, head.tokenizer
    coded = tokenizer(list(tails), add_special_tokens=False)["input_ids"] if tails else []
    _check_window(model, len(head.tokens) + max(map(len, coded), default=0) + sampling.max_new_tokens)
    jobs: dict[tuple[Any, ...], list[int]] = {}
    for number, tail in enumerate(tails):
        jobs.setdefault((tail,) if sampling.temperature == 0 else (tail, number), []).append(number)
    order = sorted(jobs.values(), key=lambda numbers: (-len(coded[numbers[0]]), numbers[0]))
    dice = torch.Generator().manual_seed(sampling.seed)
    ends = _end_tokens(model, tokenizer, sampling.one_line)
    written: dict[int, Written] = {}
    with torch.inference_mode():
        for start in range(0, len(order), sampling.batch_size):
            batch = order[start : start + sampling.batch_size]
            rows = _continue(head, [coded[numbers[0]] for numbers in batch], sampling, ends, dice)
            for numbers, tokens in zip(batch, rows, strict=True):
                text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
                size = len(head.tokens) + len(coded[numbers[0]])
                written.update(dict.fromkeys(numbers, Written(text, size, len(tokens))))
            progress(len(written), len(tails))
    return [written[number] for number in range(len(tails))]


def _check_window(model: Any, longest: int) -> None:
    window = getattr(model.config, "max_position_embeddings", None)
    if window is not None and longest > window:
        raise ValueError(f"a prompt of {longest} tokens does not fit the model's window of {window}; pass shorter text")


def _end_tokens(model: Any, tokenizer: Any, one_line: bool) -> set[int]:
    """Tokens that end a text: the model's own, and all that hold a line break if a text is one line."""
    own = model.generation_config.eos_token_id
    ends = set(own) if isinstance(own, list) else {own, tokenizer.eos_token_id} - {None}
    return ends | _line_breaks(tokenizer) if one_line else ends


@lru_cache(maxsize=4)
def _line_breaks(tokenizer: Any) -> frozenset[int]:
    """Tokens that hold a line break: looked for once, in the whole vocabulary."""
    pieces = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(token for token, piece in enumerate(pieces) if "\n" in piece)


def _continue(head: Head, tails: list[list[int]], sampling: Sampling, ends: set[int], dice: Any) -> list[list[int]]:
    """Write on from one batch of tails; return the new tokens of each row, without the one that ended it."""
    import torch

    model, size = head.model, len(head.tokens)
    width = max(map(len, tails))
    ids = torch.tensor([[0] * (width - len(tail)) + tail for tail in tails], device=model.device)
    real = torch.tensor([[0] * (width - len(tail)) + [1] * len(tail) for tail in tails], device=model.device)
    mask = torch.cat([torch.ones(len(tails), size, dtype=real.dtype, device=model.device), real], dim=1)
    cache = copy.deepcopy(head.cache)
    if cache is not None:
        cache.batch_repeat_interleave(len(tails))
    rows: list[list[int]] = [[] for _ in tails]
    live = list(range(len(tails)))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, size:]
    for _ in range(sampling.max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        cache = output.past_key_values
        tokens = _choose(output.logits[:, -1].float(), sampling.temperature, dice)
        going = [place for place, token in enumerate(tokens) if token not in ends]
        for place in going:
            rows[live[place]].append(tokens[place])
        if not going:
            break
        if len(going) < len(live):
            chosen = torch.tensor(going, device=model.device)
            cache.batch_select_indices(chosen)
            mask, positions = mask[chosen], positions[chosen]
            live = [live[place] for place in going]
        ids = torch.tensor([[tokens[place]] for place in going], device=model.device)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        positions = positions[:, -1:] + 1
    return rows


def _choose(logits: Any, temperature: float, dice: Any) -> list[int]:
    import torch

    if temperature == 0:
        chosen = logits.argmax(dim=-1)
    else:
        weights = torch.softmax(logits / temperature, dim=-1).cpu()
        chosen = torch.multinomial(weights, 1, generator=dice).squeeze(-1)
    tokens: list[int] = chosen.tolist()
    return tokens
