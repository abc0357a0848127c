"""Score passages by a causal language model: the logit of yes less that of no, at the end of a prompt.

Pointwise, as Qwen3-Reranker does it (Zhang et al. 2025, arXiv 2506.05176): the sigmoid of the score is the probability
of yes against no. The score itself is kept, as probabilities near 1 are rounded to equal numbers. Must not know stages,
runs or training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.models.blockwise_attention import to_blockwise
from harness.models.decoding import left_padded
from harness.models.generation import PromptPrefix, shared_prefix_length, window_of
from harness.models.language_models import load_language_model
from harness.models.precision import prepared
from harness.models.relevance_prompts import AnswerTokens, Prompts, RelevancePrompt
from harness.models.shortage import batch_by_batch
from harness.suite.local_models import ServedDType
from harness.values.records import Progress

BATCH, BATCH_TOKENS = 32, 8192
"""Most prompts, and most tokens (padding included), of a batch; a prompt longer than that is a batch of its own."""
LESS = "lower max_length"
"""What makes a prompt smaller."""


def _silent(done: int, total: int) -> None:
    pass


class CausalReranker:
    """A causal language model that scores pairs of query and passage; `max_length` counts tokens of both texts.

    `folder` is the model's, which may name the tokens that answer. Raises ConfigError if no token says yes or no, or
    if the chat template cannot be used.
    """

    def __init__(
        self, model: Any, tokenizer: Any, max_length: int, instruction: str = "", folder: Path | None = None
    ) -> None:
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length
        self.prompt = RelevancePrompt(tokenizer, instruction)
        self.answers = self.prompt.answers(folder)

    def prompts(self, pairs: Sequence[tuple[str, str]]) -> Prompts:
        """Return the prompts of pairs as the model reads them; see `RelevancePrompt.prompts`."""
        return self.prompt.prompts(pairs, self.max_length, window_of(self.model))

    def score(self, pairs: Sequence[tuple[str, str]], progress: Progress = _silent) -> list[float]:
        """Return a score for each pair, higher is more relevant; see `score_prompts`."""
        return score_prompts(self.model, self.tokenizer, self.prompts(pairs).coded, self.answers, progress)

    def count_cut(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Return how many pairs have more tokens than the model reads, so that their passage (or query) is cut."""
        return self.prompts(pairs).cut


def load_causal_reranker(
    folder: Path, max_length: int, instruction: str = "", adapter: Path | None = None, dtype: ServedDType = "float32"
) -> CausalReranker:
    """Load a causal language model from a folder with safetensors, its LoRA adapter merged; see `CausalReranker`."""
    model, tokenizer = load_language_model(folder, adapter, dtype)
    return CausalReranker(to_blockwise(prepared(model, dtype)), tokenizer, max_length, instruction, folder)


def score_prompts(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], answers: AnswerTokens, progress: Progress = _silent
) -> list[float]:
    """Return the score of each prompt, in their order.

    Equal prompts are scored once, and the prefix that all share is computed once. Batches are of like length and padded
    on the left, so that every prompt ends in the last column. Raises ValueError if the model gives no numbers.
    """
    import torch

    places: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        places.setdefault(tuple(prompt), []).append(number)
    order = sorted(places, key=lambda prompt: (-len(prompt), places[prompt][0]))
    scores = [0.0] * len(prompts)
    shared = shared_prefix_length([list(prompt) for prompt in order])
    done = 0
    with torch.inference_mode():
        prefix = PromptPrefix(model, tokenizer, order[0][:shared] if order else [])

        def compute(batch: Sequence[tuple[int, ...]]) -> list[float]:
            suffixes = [list(prompt[shared:]) for prompt in batch]
            found: list[float] = relevance_of(_last_logits(prefix, suffixes), answers).tolist()
            return found

        for batch, found in batch_by_batch(_batches(order), compute, _tokens, LESS):
            for key, score in zip(batch, found, strict=True):
                for number in places[key]:
                    scores[number] = score
            done += len(batch)
            progress(done, len(order))
    if not all(map(math.isfinite, scores)):
        raise ValueError(
            "the causal-lm reranker gives scores that are no numbers; its weights are damaged, or training "
            "diverged: lower recipes.reranker.learning_rate"
        )
    return scores


def _batches(order: Sequence[tuple[int, ...]]) -> Iterator[Sequence[tuple[int, ...]]]:
    """Cut prompts, the longest first, into batches."""
    start = 0
    while start < len(order):
        size = max(1, min(BATCH, BATCH_TOKENS // len(order[start])))
        yield order[start : start + size]
        start += size


def _tokens(batch: Sequence[tuple[int, ...]]) -> int:
    return len(batch) * max(map(len, batch))


def relevance_of(logits: Any, answers: AnswerTokens) -> Any:
    """Return the scores, shape (batch,), of logits at the last position, shape (batch, vocabulary), in float32."""
    yes = logits[:, answers.yes].float()
    return yes if answers.no is None else yes - logits[:, answers.no].float()


def _last_logits(prefix: PromptPrefix, suffixes: list[list[int]]) -> Any:
    """Return the logits after each ``prefix + suffix``, shape (batch, vocabulary)."""
    ids, mask = left_padded(suffixes, len(prefix.tokens), prefix.model.device)
    cache = copy.deepcopy(prefix.cache)
    if cache is not None:
        cache.batch_repeat_interleave(len(suffixes))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, len(prefix.tokens) :]
    read = prefix.model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache,
        use_cache=cache is not None, logits_to_keep=1,
    )  # fmt: skip
    return read.logits[:, -1]
