"""Cut texts into batches by their numbers of tokens, for models of sentence-transformers.

Texts are tokenized once and sorted by tokens; a batch holds as many as fit a budget of tokens, padding included, and
the sorted list is cut where the least is padded. Must not know what a model is for; torch is imported where it is used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from harness.models.shortage import batch_by_batch

R = TypeVar("R")
BUDGET_VARIABLE = "HARNESS_MAX_TOKENS_PER_BATCH"
"""Set for this process and its children by the suite's `max_tokens_per_batch`."""
CPU_TOKENS = 4096
"""Between 1,024 and 8,192 the embedded encoder was as fast, with texts of 10 to 256 tokens."""
CUDA_TOKENS = 4096, 65_536
"""Least and most tokens of a batch on a CUDA device, whatever memory is free."""
MEMORY_SHARE = 0.5
BATCH_COST_CPU, BATCH_COST_CUDA = 48, 4096
"""What a batch costs beside its tokens, in tokens that could be computed in that time."""
WINDOW = 2048
"""Texts that are tokenized at once."""
UNSPLIT = 32
"""Texts of a batch whose tokens cannot be cut into rows."""
LESS = "lower max_length"
"""What makes a text smaller."""


class TokenBatch(NamedTuple, Generic[R]):
    """The positions of some texts, and what was computed for them."""

    numbers: list[int]
    result: R


@dataclass
class Truncations:
    """Counts the texts that are longer than the model reads, as they are encoded."""

    count: int = 0


def budget_of(model: Any) -> int:
    """Return how many tokens, padding included, a batch of a loaded model may have: set, or by free memory."""
    if fixed := os.environ.get(BUDGET_VARIABLE):
        return int(fixed)
    if not _on_cuda(model):
        return CPU_TOKENS
    import torch

    free = torch.cuda.mem_get_info(model.device)[0]
    # What torch holds and does not use is free to it.
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    least, most = CUDA_TOKENS
    return max(least, min(most, int(MEMORY_SHARE * free / token_bytes(model))))


def token_bytes(model: Any) -> int:
    """Return about how many bytes a token takes while a batch runs: the widest layer, and the scores of its terms."""
    config = getattr(model, "config", None)
    hidden = getattr(config, "hidden_size", None) or 1024
    widest = getattr(config, "intermediate_size", None) or 4 * hidden
    width = 4 * hidden + 2 * widest
    if type(model).__name__ == "SparseEncoder":
        width += 4 * int(getattr(config, "vocab_size", None) or 32_000)
    return 4 * width


def _on_cuda(model: Any) -> bool:
    return getattr(getattr(model, "device", None), "type", "cpu") == "cuda"


def token_batches(
    model: Any,
    inputs: Sequence[Any],
    compute: Callable[[dict[str, Any]], R],
    truncations: Truncations | None = None,
    longer: Callable[[Sequence[Any]], int] | None = None,
    **options: Any,
) -> Iterator[TokenBatch[R]]:
    """Compute texts (or pairs of texts) in batches, the longest first, and yield each batch; see the module.

    `compute` is given what the model reads of a batch, on its device. Where the memory is short, batches are halved;
    see `shortage`. `options` are those of the model's `preprocess`, such as the prompt. Into `truncations` goes how
    many texts are truncated, which `longer` counts where the tokenizer does not tell. Raises ValueError if a text does
    not fit into the memory.
    """
    budget, cost = budget_of(model), BATCH_COST_CUDA if _on_cuda(model) else BATCH_COST_CPU
    order = sorted(range(len(inputs)), key=lambda number: (-_characters(inputs[number]), number))

    def batches() -> Iterator[list[_Row]]:
        for start in range(0, len(order), WINDOW):
            numbers = order[start : start + WINDOW]
            window = _Window(model, [inputs[number] for number in numbers], options)
            if truncations is not None:
                truncations.count += _truncated(window.features, window.inputs, longer)
            for places in window.batches(budget, cost):
                yield [_Row(window, place, numbers[place]) for place in places]

    def computed(rows: Sequence[_Row]) -> R:
        return compute(_moved(model, rows[0].window.part([row.place for row in rows])))

    def tokens(rows: Sequence[_Row]) -> int:
        return len(rows) * max(row.window.lengths[row.place] for row in rows)

    for rows, result in batch_by_batch(batches(), computed, tokens, LESS):
        yield TokenBatch([row.number for row in rows], result)


def count_longer(model: Any, prompt: str) -> Callable[[Sequence[str]], int]:
    """Return a function that counts texts which, with the prompt, are longer than the model reads; 0 if it reads all.

    It tokenizes them for this.
    """
    limit = model.max_seq_length

    def count(texts: Sequence[str]) -> int:
        if limit is None or not math.isfinite(limit) or not texts:
            return 0
        coded = model.tokenizer([prompt + text for text in texts], truncation=False, verbose=False)["input_ids"]
        return sum(len(ids) > limit for ids in coded)

    return count


def _characters(item: Any) -> int:
    return len(item) if isinstance(item, str) else sum(map(len, item))


def padded_features(model: Any, inputs: Sequence[Any], **options: Any) -> Any:
    """Tokenize inputs as the model does, all padded to the longest, also where it would concatenate them."""
    module = _first(model)
    flattens = getattr(module, "can_flatten_inputs", False)
    if not flattens:
        return model.preprocess(list(inputs), **options)
    module.can_flatten_inputs = False
    try:
        return model.preprocess(list(inputs), **options)
    finally:
        module.can_flatten_inputs = flattens


def _first(model: Any) -> Any:
    return model[0] if hasattr(model, "__getitem__") else None


def _truncated(features: Any, inputs: Sequence[Any], count: Callable[[Sequence[Any]], int] | None) -> int:
    encodings = getattr(features, "encodings", None)
    if encodings:
        return sum(bool(encoding.overflowing) for encoding in encodings)
    return count(inputs) if count is not None else 0


class _Window:
    """Texts that were tokenized at once, and their parts as the model reads them."""

    def __init__(self, model: Any, inputs: Sequence[Any], options: dict[str, Any]) -> None:
        self.model, self.inputs, self.options = model, inputs, options
        self.features = padded_features(model, inputs, **options)
        mask = self.features.get("attention_mask")
        self.in_rows = mask is not None and mask.dim() == 2 and len(mask) == len(inputs)
        self.on_left, self.lengths = False, [_characters(item) for item in inputs]
        if self.in_rows:
            used = mask.bool()
            if "query_expansion_positions" in self.features:
                used = used | self.features["query_expansion_positions"].bool()
            self.on_left = _padded_on_left(used)
            self.lengths = _lengths(used, self.on_left)

    def batches(self, budget: int, cost: int) -> Iterator[list[int]]:
        """Yield the places of texts in batches."""
        if self.in_rows:
            yield from by_tokens(self.lengths, budget, cost)
            return
        # Static embeddings: a sum for each text, without padding.
        size = len(self.inputs) if "offsets" in self.features else UNSPLIT
        for start in range(0, len(self.inputs), size):
            yield list(range(start, min(start + size, len(self.inputs))))

    def part(self, places: Sequence[int]) -> dict[str, Any]:
        """Return what the model reads of the texts at some places."""
        if self.in_rows:
            longest = max(self.lengths[place] for place in places)
            part = rows_of(self.features, places, longest, self.on_left)
            return _flattened(_first(self.model), part, self.options) or part
        if len(places) == len(self.inputs):
            return dict(self.features)
        return dict(self.model.preprocess([self.inputs[place] for place in places], **self.options))


class _Row(NamedTuple):
    """A text in its window, and its position among all."""

    window: _Window
    place: int
    number: int


def _padded_on_left(used: Any) -> bool:
    width = used.shape[1]
    return bool(width and (used[:, -1] & ~used[:, 0]).any())


def _lengths(used: Any, on_left: bool) -> list[int]:
    """Return for each row the columns from its padding's end to the other end, at least 1."""
    import torch

    columns = torch.arange(1, used.shape[1] + 1)
    if on_left:
        columns = columns.flip(0)
    longest = (used * columns).amax(dim=1) if used.shape[1] else used.sum(dim=1)
    lengths: list[int] = longest.clamp(min=1).tolist()
    return lengths


def by_tokens(lengths: Sequence[int], budget: int, cost: int) -> list[list[int]]:
    """Return the places of texts in batches, the longest texts first, with as few padded tokens as possible.

    A batch has at most `budget` tokens, padding included, or one text. Texts are sorted by length, and cut where the
    sum of padded tokens and of `cost` for each batch is least (dynamic programming over the places of cuts).
    """
    import numpy as np

    order = np.argsort(np.asarray(lengths), kind="stable")
    ranked = np.asarray(lengths)[order]
    ends = np.arange(len(order) + 1)
    best, cut = np.zeros(len(order) + 1), np.zeros(len(order) + 1, dtype=np.int64)
    for end in range(1, len(order) + 1):
        longest = ranked[end - 1]
        first = end - min(end, max(1, budget // longest))
        costs = best[first:end] + longest * (end - ends[first:end]) + cost
        place = int(costs.argmin())
        best[end], cut[end] = costs[place], first + place
    batches, end = [], len(order)
    while end:
        batches.append(order[cut[end] : end].tolist())
        end = int(cut[end])
    return batches


def rows_of(features: Any, places: Sequence[int], longest: int, on_left: bool) -> dict[str, Any]:
    """Return the features of some rows without the columns that are padding in all of them."""
    import torch

    rows, (count, width) = torch.tensor(places), features["attention_mask"].shape
    columns = slice(max(width - longest, 0), width) if on_left else slice(longest)

    def cut(value: Any) -> Any:
        if not torch.is_tensor(value) or value.shape[:1] != (count,):
            return value
        return value[rows][:, columns] if value.shape[:2] == (count, width) else value[rows]

    return {name: cut(value) for name, value in features.items()}


def _flattened(module: Any, part: dict[str, Any], options: dict[str, Any]) -> dict[str, Any] | None:
    """Return padded rows concatenated, as sentence-transformers gives them to FlashAttention; None if it pads them."""
    expands = options.get("task") == "query" and getattr(module, "query_expansion", None) is not None
    if not getattr(module, "can_flatten_inputs", False) or expands or part.get("modality") not in ("text", "message"):
        return None
    rows = zip(part["input_ids"], part["attention_mask"].bool(), strict=True)
    flat = dict(module.data_collator([{"input_ids": ids[mask].tolist()} for ids, mask in rows]))
    flat.pop("labels", None)
    # Learned positions of some architectures do not begin at 0.
    if offset := getattr(module, "_flatten_position_offset", 0):
        flat["position_ids"] = flat["position_ids"] + offset
    return flat | {name: part[name] for name in ("modality", "prompt_length") if name in part}


def _moved(model: Any, features: dict[str, Any]) -> dict[str, Any]:
    import torch

    device = getattr(model, "device", None)
    if device is None:
        return features
    return {
        name: value.to(device, non_blocking=True) if torch.is_tensor(value) else value
        for name, value in features.items()
    }
