"""Read the token counts in the `usage` of a response, by whichever convention the server counts.

Servers differ in three things: whether thought tokens are a part of the answer's (OpenAI) or beside them (xAI, Gemini);
whether cached tokens are a part of the prompt's (OpenAI, DeepSeek) or beside them (Anthropic); and the names. Where
numbers contradict each other the larger one counts, so that a budget stops too early rather than too late. A missing
count, or a 0 where there was something to count, is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

LARGEST = 10**9
PROMPT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count", "inputTokens")
NEW = ("completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count", "outputTokens", "generated_tokens")
TOTAL = ("total_tokens", "totalTokenCount", "totalTokens")
THOUGHT = ("reasoning_tokens", "thoughtsTokenCount", "thinking_tokens", "reasoningTokens")
CACHED = ("cached_tokens", "cachedContentTokenCount", "cache_read_tokens", "cachedTokens")
BESIDE = ("cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens")
"""Anthropic's counts of cached tokens; those of its own are not in `input_tokens`."""
DETAILS = (
    "completion_tokens_details", "output_tokens_details", "prompt_tokens_details", "input_tokens_details", "tokens",
)  # fmt: skip


class TokenCounts(NamedTuple):
    """Tokens of the prompt, of which some are `cached`; new tokens, of which some are `thought`."""

    prompt: int | None = None
    new: int | None = None
    cached: int = 0
    thought: int = 0


def token_counts(usage: Any) -> TokenCounts:
    """Return the counts in the `usage` of a response; all are None or 0 if it is not a mapping."""
    if not isinstance(usage, Mapping):
        return TokenCounts()
    flat = _flat(usage)
    prompt, new, total = _first(flat, PROMPT), _first(flat, NEW), _first(flat, TOTAL)
    thought, cached = _first(flat, THOUGHT) or 0, _first(flat, CACHED) or 0
    hit, missed = _count(flat.get("prompt_cache_hit_tokens")), _count(flat.get("prompt_cache_miss_tokens"))
    if hit is not None:
        prompt, cached = max(prompt or 0, hit + (missed or 0)), max(cached, hit)
    prompt, cached = _with_those_beside(flat, prompt, cached)
    if new is not None and thought > new:
        # They cannot be part of fewer tokens.
        new += thought
    if total is not None and prompt is not None:
        new = max(new or 0, total - prompt)
    elif total is not None and new is not None:
        prompt = total - new if total > new else None
    prompt = None if not prompt else max(prompt, cached)
    return TokenCounts(prompt, new or None, cached, min(thought, new or 0))


def _flat(usage: Mapping[str, Any]) -> dict[str, Any]:
    """All counts by name; those of the details are added where no name is taken."""
    counts = dict(usage)
    for name in DETAILS:
        inner = usage.get(name)
        if isinstance(inner, Mapping):
            counts = {**{key: value for key, value in inner.items() if key not in counts}, **counts}
    return counts


def _with_those_beside(flat: Mapping[str, Any], prompt: int | None, cached: int) -> tuple[int | None, int]:
    """Anthropic's cached tokens: beside `input_tokens`, and part of a gateway's `prompt_tokens` that can hold them."""
    counts = {name: count for name in BESIDE if (count := _count(flat.get(name))) is not None}
    if not counts:
        return prompt, cached
    read = counts.get(BESIDE[0], counts.get(BESIDE[2], 0))
    together = sum(counts.values())
    inside = "prompt_tokens" in flat and prompt is not None and prompt >= together
    return (prompt if inside else (prompt or 0) + together), max(cached, read)


def _first(flat: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The largest count under these names."""
    counts = [count for name in names if (count := _count(flat.get(name))) is not None]
    return max(counts, default=None)


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST
    return value if whole else None
