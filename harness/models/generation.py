"""Generate text with a local causal language model: batched, sorted by length, the shared prefix computed once.

The prompts of one stage share a prefix (instruction, examples) and differ in a short suffix. Keys and values of the
prefix are computed once and copied to each batch, so a prompt costs its suffix only; finished rows leave the batch.
Batches depend on the list of prompts and the size of the memory: the same list gives the same texts on the same
machine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from harness.models import thoughts
from harness.models.chat_templates import ChatTemplate, Turn
from harness.models.decoding import batches, choose, end_tokens, left_padded, token_budget
from harness.models.roomy_cache import with_room
from harness.models.shortage import batch_by_batch
from harness.models.stop_rules import StopRules, split_answer, stop_check
from harness.models.vllm_engine import VllmModel
from harness.values.records import Progress

LESS = "show fewer or shorter passages, or lower max_new_tokens"
"""What makes a prompt and its answer smaller."""


class GeneratedText(NamedTuple):
    """A generated text, the tokens of its prompt (prefix included), and all new tokens (thoughts included).

    `cut` says that it did not end within the limit. `thought` was removed from the text; `open` says that the thought
    did not end, so that there is no answer.
    """

    text: str
    prompt_tokens: int
    new_tokens: int
    cut: bool = False
    thought: str = ""
    open: bool = False

    def fault(self, limit: str) -> str:
        """Return why this is no answer; empty if it is one. `limit` names the setting that limits its length."""
        return thoughts.SplitText(self.text, self.thought, self.open).fault(self.cut, limit)


class Sampling(NamedTuple):
    """Settings of generation. Temperature 0 is greedy; `one_line` ends a text at the first line break.

    `batch_size` is the most prompts of a batch, `max_tokens_per_batch` the most tokens, prompts and new ones together,
    padding included; None for both leaves the size to the memory (see `decoding.token_budget`).
    """

    max_new_tokens: int
    batch_size: int | None = None
    temperature: float = 0.0
    one_line: bool = False
    seed: int = 0
    max_tokens_per_batch: int | None = None


def truncate(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[str]:
    """Return each text cut after `max_tokens` tokens."""
    if not texts:
        return []
    coded = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=max_tokens)["input_ids"]
    return [text.strip() for text in tokenizer.batch_decode(coded, skip_special_tokens=True)]


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of texts, without the special tokens that a tokenizer adds."""
    return [list(row) for row in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []


def token_count(tokenizer: Any) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text, without special ones."""
    return lambda text: len(tokenize(tokenizer, [text])[0])


def token_cut(tokenizer: Any) -> Callable[[str, int], str]:
    """Return a function that cuts a text after so many tokens."""
    return lambda text, tokens: truncate(tokenizer, [text], tokens)[0]


def shared_prefix_length(coded: Sequence[list[int]]) -> int:
    """Return the length of the prefix that all prompts share, in tokens; each keeps at least one token of its own."""
    if not coded:
        return 0
    first, last = min(coded), max(coded)
    alike = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), None)
    return max(min(len(first) if alike is None else alike, *(len(tokens) - 1 for tokens in coded)), 0)


class PromptPrefix:
    """The shared prefix of prompts and its keys and values, computed once; reuse it for further prompts."""

    def __init__(self, model: Any, tokenizer: Any, prefix: str | Sequence[int]) -> None:
        import torch

        self.model = model
        self.tokenizer = tokenizer
        if isinstance(prefix, str):
            self.tokens = tokenize(tokenizer, [prefix])[0] if prefix else []
        else:
            self.tokens = list(prefix)
        self.cache = None
        # vLLM finds shared prefixes by itself.
        if self.tokens and not isinstance(model, VllmModel):
            with torch.inference_mode():
                read = model(torch.tensor([self.tokens], device=model.device), use_cache=True, logits_to_keep=1)
            self.cache = read.past_key_values


class Conversations:
    """The conversations of one stage, rendered and tokenized whole; their shared prefix is computed once."""

    def __init__(
        self, model: Any, template: ChatTemplate, conversations: Sequence[Sequence[Turn]], stop: Sequence[str] = ()
    ) -> None:
        self.template = template
        prompts = [template.prompt(turns) for turns in conversations]
        self.coded = tokenize(template.tokenizer, prompts)
        self.rules = StopRules(frozenset(template.ends), tuple(stop), thoughts.begun_by(prompts[0]) if prompts else "")
        self.prefix = PromptPrefix(
            model, template.tokenizer, self.coded[0][: shared_prefix_length(self.coded)] if self.coded else []
        )

    def write(
        self, sampling: Sampling, progress: Progress = lambda done, total: None, places: Sequence[int] | None = None
    ) -> list[GeneratedText]:
        """Return the answers to the conversations, or to those at `places`, in their order; see `write`."""
        chosen = range(len(self.coded)) if places is None else places
        suffixes = [self.coded[place][len(self.prefix.tokens) :] for place in chosen]
        return write(self.prefix, suffixes, sampling, progress, self.rules)

    def size(self, turns: Sequence[Turn]) -> int:
        """Return the tokens of one more conversation."""
        return len(self._coded(turns))

    def answer(self, turns: Sequence[Turn], sampling: Sampling) -> GeneratedText:
        """Return the answer to one more conversation; what it begins with like the others is not computed again."""
        coded, prefix = self._coded(turns), self.prefix
        if len(coded) <= len(prefix.tokens) or coded[: len(prefix.tokens)] != prefix.tokens:
            prefix = PromptPrefix(prefix.model, prefix.tokenizer, [])
        return write(prefix, [coded[len(prefix.tokens) :]], sampling, rules=self.rules)[0]

    def _coded(self, turns: Sequence[Turn]) -> list[int]:
        return tokenize(self.template.tokenizer, [self.template.prompt(turns)])[0]


def write(
    prefix: PromptPrefix,
    suffixes: Sequence[str] | Sequence[list[int]],
    sampling: Sampling,
    progress: Progress = lambda done, total: None,
    rules: StopRules | None = None,
) -> list[GeneratedText]:
    """Continue ``prefix + suffix`` for every suffix, a text or tokens; return the new texts in the same order.

    With `rules`, what is written is an answer in a chat: thoughts are removed, and it ends before the first stop
    string that stands in no thought. Equal suffixes are written once if the temperature is 0. Raises ValueError
    if a prompt is longer than the model's window.
    """
    import torch

    model, tokenizer = prefix.model, prefix.tokenizer
    texts = [suffix for suffix in suffixes if isinstance(suffix, str)]
    coded = tokenize(tokenizer, texts) or [suffix for suffix in suffixes if not isinstance(suffix, str)]
    _check_window(model, len(prefix.tokens) + max(map(len, coded), default=0) + sampling.max_new_tokens)
    order = _longest_first(coded, merge=sampling.temperature == 0)
    ends = end_tokens(model, tokenizer, sampling.one_line) | (rules.ends if rules else frozenset())
    over = stop_check(tokenizer, rules)
    written: dict[int, GeneratedText] = {}
    with torch.inference_mode():
        for batch, rows, cut_off in _batches_written(prefix, coded, order, sampling, _Ending(ends, over)):
            for place, (numbers, tokens) in enumerate(zip(batch, rows, strict=True)):
                split = split_answer(tokenizer, tokens, rules)
                size = len(prefix.tokens) + len(coded[numbers[0]])
                generated = GeneratedText(split.answer, size, len(tokens), place in cut_off, split.thought, split.open)
                written.update(dict.fromkeys(numbers, generated))
            progress(len(written), len(suffixes))
    return [written[number] for number in range(len(suffixes))]


class _Ending(NamedTuple):
    """What ends a text: one of `ends`, or that `over` is true of its tokens."""

    ends: set[int]
    over: Callable[[list[int]], bool]


def _batches_written(
    prefix: PromptPrefix, coded: Sequence[list[int]], order: list[list[int]], sampling: Sampling, ending: _Ending
) -> Iterator[tuple[list[list[int]], list[list[int]], set[int]]]:
    """Yield each batch of entries of `order`, the new tokens of its rows, and the places of rows that did not end.

    A batch that does not fit the memory is written in two halves; see `shortage`.
    """
    import torch

    if isinstance(prefix.model, VllmModel):
        prompts = [prefix.tokens + coded[numbers[0]] for numbers in order]
        if order:
            written = prefix.model.write(prompts, *ending, sampling.max_new_tokens, sampling.temperature, sampling.seed)
            yield order, *written
        return
    rng = torch.Generator().manual_seed(sampling.seed)

    def length(numbers: list[int]) -> int:
        return len(prefix.tokens) + len(coded[numbers[0]]) + sampling.max_new_tokens

    def compute(batch: Sequence[list[int]]) -> tuple[list[list[int]], set[int]]:
        state = rng.get_state()
        try:
            return _continue(prefix, [coded[numbers[0]] for numbers in batch], sampling, *ending, rng)
        except RuntimeError:
            rng.set_state(state)
            raise

    budget = sampling.max_tokens_per_batch or (None if sampling.batch_size else token_budget(prefix.model))
    parts = [order[part] for part in batches([length(numbers) for numbers in order], budget, sampling.batch_size)]
    for batch, written in batch_by_batch(parts, compute, lambda batch: sum(map(length, batch)), LESS):
        yield list(batch), *written


def _longest_first(coded: Sequence[list[int]], merge: bool) -> list[list[int]]:
    """Return the numbers of the prompts, longest first; with `merge`, equal prompts are one entry."""
    entries: dict[tuple[Any, ...], list[int]] = {}
    for number, suffix in enumerate(coded):
        entries.setdefault((tuple(suffix), 0 if merge else number), []).append(number)
    return sorted(entries.values(), key=lambda numbers: (-len(coded[numbers[0]]), numbers[0]))


def window_of(model: Any) -> int | None:
    """Return how many tokens a loaded model reads at once; None if there is no limit."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    return getattr(config, "max_position_embeddings", None)


def _check_window(model: Any, longest: int) -> None:
    window = window_of(model)
    if window is not None and longest > window:
        raise ValueError(f"a prompt of {longest} tokens does not fit the model's window of {window}; pass shorter text")


def _continue(
    prefix: PromptPrefix,
    suffixes: list[list[int]],
    sampling: Sampling,
    ends: set[int],
    over: Callable[[list[int]], bool],
    rng: Any,
) -> tuple[list[list[int]], set[int]]:
    """Generate one batch until each row has a token of `ends` or `over` is true of its tokens.

    Return the new tokens of each row, without the one that ended it, and the places of rows that did not end.
    """
    import torch

    model = prefix.model
    ids, mask = left_padded(suffixes, len(prefix.tokens), model.device)
    cache = copy.deepcopy(prefix.cache)
    if cache is not None:
        cache.batch_repeat_interleave(len(suffixes))
    rows: list[list[int]] = [[] for _ in suffixes]
    live = list(range(len(suffixes)))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, len(prefix.tokens) :]
    for number in range(sampling.max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        cache = output.past_key_values if number else with_room(output.past_key_values, sampling.max_new_tokens - 1)
        tokens = choose(output.logits[:, -1].float(), sampling.temperature, rng)
        unfinished = [place for place, token in enumerate(tokens) if token not in ends]
        for place in unfinished:
            rows[live[place]].append(tokens[place])
        unfinished = [place for place in unfinished if not over(rows[live[place]])]
        if not unfinished:
            live = []
            break
        if len(unfinished) < len(live):
            chosen = torch.tensor(unfinished, device=model.device)
            cache.batch_select_indices(chosen)
            mask, positions = mask[chosen], positions[chosen]
            live = [live[place] for place in unfinished]
        ids = torch.tensor([[tokens[place]] for place in unfinished], device=model.device)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        positions = positions[:, -1:] + 1
    return rows, set(live)
