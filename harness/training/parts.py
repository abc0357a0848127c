"""Split the texts of a step into parts of nearly equal length, so that little of what is computed is padding.

The loss of a step needs the vectors of all its texts. They need not come from one piece. This module must not know
losses, recipes or trainers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

PLACES = "places"
"""Name of the positions of a part's texts in their step, among its tokens."""
OVERHEAD_CPU, OVERHEAD_GPU = 24, 4096
"""The cost of one more part, in tokens that are computed in the same time."""


class Limits(NamedTuple):
    """How large a part may be, and what a part costs beside its tokens.

    A part has at most as many tokens, padding included, as `texts` texts of the greatest length; None is no limit.
    """

    texts: int | None
    overhead: int


def limits(texts: int | None, device: str) -> Limits:
    """Return the limits of parts on a device; `texts` of the greatest length fit into its memory."""
    return Limits(texts, OVERHEAD_CPU if device == "cpu" else OVERHEAD_GPU)


def by_length(lengths: Sequence[int], rule: Limits) -> list[list[int]]:
    """Return the places of texts in parts, the shortest texts first, with as few padded tokens as possible.

    Texts are sorted by length, and the sorted list is cut where the sum of padded tokens and of the parts' overhead is
    least (dynamic programming; its time is quadratic in the number of texts).
    """
    import numpy as np

    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    budget = rule.texts * max(lengths, default=0) if rule.texts else None
    least, cuts = np.zeros(len(order) + 1, dtype=np.int64), [0]
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        first = max(0, end - budget // longest) if budget else 0
        costs = least[first:end] + longest * np.arange(end - first, 0, -1)
        cuts.append(first + int(costs.argmin()))
        least[end] = costs.min() + rule.overhead
    parts: list[list[int]] = []
    end = len(order)
    while end:
        parts.append(order[cuts[end] : end])
        end = cuts[end]
    return parts[::-1]


def split(tokens: Mapping[str, Any], first: int, rule: Limits) -> list[dict[str, Any]]:
    """Cut the tokens of some texts into parts by length; the first text has the place `first` in its step.

    `tokens` are as a tokenizer pads them. Tensors of shape (texts, tokens) lose the columns that only other parts need.
    Tokens without an attention mask of that shape are not padded: they stay one part, in order.
    """
    import torch

    mask = tokens.get("attention_mask")
    if mask is None or mask.dim() != 2:
        return [dict(tokens)]
    # A late-interaction model scores the tokens that expand a query, though attention may leave them out.
    needed = mask.bool() | tokens.get("query_expansion_positions", mask).bool()
    parts = []
    for places in by_length(needed.sum(dim=1).tolist(), rule):
        rows = torch.tensor(places, device=mask.device)
        columns = needed[rows].any(dim=0)

        def taken(value: Any, rows: Tensor = rows, columns: Tensor = columns) -> Any:
            if not torch.is_tensor(value) or value.shape[:1] != mask.shape[:1]:
                return value
            return value[rows][:, columns] if value.shape[:2] == mask.shape else value[rows]

        parts.append({**{name: taken(value) for name, value in tokens.items()}, PLACES: rows + first})
    return parts


def in_order(vectors: Tensor, parts: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the vectors of all parts, shape (texts, dim), in the order of their step."""
    import torch

    if not all(PLACES in part for part in parts):
        return vectors
    return vectors[torch.argsort(torch.cat([part[PLACES] for part in parts])).to(vectors.device)]


def loss_of_parts(
    parts: Sequence[Any], embed: Callable[[Any], Tensor], whole: Callable[[Tensor], Tensor], cached: bool
) -> Tensor:
    """Return the loss of all parts together: `embed` returns vectors of shape (texts, dim), `whole` maps all to it.

    With `cached`, the graph of one part is in memory at a time, for a second forward pass. First all parts are embedded
    without a graph, to get the gradient at every vector. The backward pass embeds each part again with a graph, under
    the same dropout (GradCache; Gao et al. 2021, arXiv 2101.06983).
    """
    import torch

    if not cached or len(parts) == 1 or not torch.is_grad_enabled():
        return whole(torch.cat([embed(part) for part in parts]))
    states, vectors = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state())
            vectors.append(embed(part))
    joined = torch.cat(vectors).requires_grad_()
    loss = whole(joined)
    (gradients,) = torch.autograd.grad(loss, joined)
    cut = gradients.split([len(part) for part in vectors])

    def again(scale: Tensor) -> None:
        after = _random_state()
        with torch.enable_grad():
            for part, state, gradient in zip(parts, states, cut, strict=True):
                _set_random_state(state)
                embed(part).backward(gradient * scale)
        _set_random_state(after)

    value: Tensor = loss.detach().requires_grad_()
    value.register_hook(again)
    return value


def _random_state() -> list[Any]:
    """Return the state of torch's global random generators, which decide what dropout drops."""
    import torch

    return [torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None]


def _set_random_state(state: list[Any]) -> None:
    import torch

    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
